import type { Cancel, Clock, Runtime } from '../runtime.ts'
import { SimDisk } from './disk.ts'
import type { SimNetwork } from './network.ts'
import type { Owner, World } from './world.ts'

export interface ProcessOptions {
  /** Two processes may share one. By default each has its own, which survives its crashes. */
  disk?: SimDisk
  /** What `Runtime.fatal` was called with. The process has crashed by then (with its page cache kept). */
  onFatal?: (error: Error) => void
}

/** 2026-01-01: where wall clocks begin. */
const wallClockStartMs = 1_767_225_600_000

/** A simulated operating-system process: started, paused, killed and started again, with a disk that stays. */
export class SimProcess implements Owner {
  readonly name: string
  readonly id: number
  readonly disk: SimDisk
  readonly #world: World
  readonly #network: SimNetwork
  readonly #onFatal: (error: Error) => void
  #incarnation = 0
  #isAlive = false
  #pausedUntilMs = 0
  #clockJumpMs = 0

  constructor(world: World, network: SimNetwork, name: string, id: number, options: ProcessOptions) {
    this.#world = world
    this.#network = network
    this.name = name
    this.id = id
    this.disk = options.disk ?? new SimDisk(world)
    this.#onFatal = options.onFatal ?? (error => world.fail(`${name} stopped: ${error.stack ?? error.message}`, error))
  }

  /** Raised by each start and each end: what belongs to an older one never happens. */
  get incarnation(): number {
    return this.#incarnation
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Whether `incarnation` still runs: code of an ended one may run on until its next wait, and must not have an effect. */
  isRunning(incarnation: number): boolean {
    return this.#isAlive && this.#incarnation === incarnation
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs
  }

  /** The world as a new incarnation of this process sees it. */
  start(): Runtime {
    if (this.#isAlive) throw new Error(`${this.name} runs already`)
    this.#isAlive = true
    const incarnation = ++this.#incarnation
    const world = this.#world
    world.note(`start ${this.name}`, incarnation)
    return {
      clock: new SimClock(world, this, () => this.#clockJumpMs),
      random: world.random.fork(`${this.name} ${incarnation}`),
      disk: this.disk.port(this),
      network: this.#network.port(this),
      fatal: error => this.#fatal(error, incarnation),
    }
  }

  /** Ends it between two instructions. With `power`, the machine goes down, too: what was not synced may be lost. */
  crash(how: { power: boolean }): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#world.note(`crash ${this.name} ${how.power ? 'power' : 'kill'}`, this.#incarnation)
    this.disk.processEnded(this, how)
    this.#network.processEnded(this)
    this.#incarnation++
    this.#pausedUntilMs = 0
  }

  /** Nothing of it runs for a while; all that was due happens then. */
  pause(forMs: number): void {
    this.#world.note(`pause ${this.name}`, forMs)
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.#world.nowMs + forMs)
  }

  /** Moves the wall clock, not the monotonic one. */
  jumpClock(byMs: number): void {
    this.#world.note(`clock ${this.name}`, byMs)
    this.#clockJumpMs += byMs
  }

  #fatal(error: Error, incarnation: number): void {
    if (!this.isRunning(incarnation)) return
    this.#world.note(`fatal ${this.name}: ${error.message}`)
    this.crash({ power: false })
    this.#onFatal(error)
  }
}

class SimClock implements Clock {
  readonly #world: World
  readonly #owner: SimProcess
  readonly #incarnation: number
  readonly #jumpMs: () => number
  readonly #startMs: number

  constructor(world: World, owner: SimProcess, jumpMs: () => number) {
    this.#world = world
    this.#owner = owner
    this.#incarnation = owner.incarnation
    this.#jumpMs = jumpMs
    this.#startMs = world.nowMs
  }

  nowMs(): number {
    return Math.floor(wallClockStartMs + this.#world.nowMs + this.#jumpMs())
  }

  monotonicMs(): number {
    return this.#world.nowMs - this.#startMs
  }

  after(delayMs: number, run: () => void): Cancel {
    if (!this.#owner.isRunning(this.#incarnation)) return () => {}
    return this.#world.at(delayMs + this.#world.random.float(), 'timer', run, this.#owner)
  }

  soon(run: () => void): void {
    if (!this.#owner.isRunning(this.#incarnation)) return
    this.#world.at(this.#world.random.float() * 0.02, 'soon', run, this.#owner)
  }
}
