import { Random } from '@dragoman/wire'
import type { Cancel } from '../runtime.ts'
import { EventQueue } from './event-queue.ts'
import { SimNetwork } from './network.ts'
import { SimProcess, type ProcessOptions } from './process.ts'
import { Trace } from './trace.ts'
import type { Owner, World } from './world.ts'

/** Taken before anything replaces it: the simulator's own use of the real event loop. */
const realSetImmediate = setImmediate
/** Events for each turn of the real event loop. Node drains all promise reactions between two of them. */
const eventsPerTurn = 128

export interface SimulatorOptions {
  /** How many of the latest trace lines are kept for a failure's report. 0 for speed. */
  traceLines?: number
}

/** A rule was broken: what the checkers found, and the seed that shows it again. */
export class Violation extends Error {
  override name = 'Violation'
  readonly seed: number
  constructor(message: string, seed: number, options?: { cause?: unknown }) {
    super(message, options)
    this.seed = seed
  }
}

/**
 * A world that a seed decides: virtual time, processes that crash, their disks, the network between them.
 *
 * Only one event runs at a time, and all promise reactions that it causes run before the next: the code under test sees the
 * interleavings that the seed chose and no others. The same seed gives the same run (`traceHash`).
 */
export class Simulator implements World {
  readonly seed: number
  readonly random: Random
  readonly network: SimNetwork
  readonly #events = new EventQueue()
  readonly #trace: Trace
  readonly #traces: boolean
  readonly #processes: SimProcess[] = []
  #nowMs = 0
  #planned = 0
  #handled = 0
  #violation: Violation | undefined
  #current: Owner | undefined
  #currentIncarnation = 0

  constructor(seed: number, options: SimulatorOptions = {}) {
    this.seed = seed
    this.random = new Random(seed)
    const traceLines = options.traceLines ?? 200
    this.#traces = traceLines > 0
    this.#trace = new Trace(Math.max(1, traceLines))
    this.network = new SimNetwork(this)
  }

  /** Virtual milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs
  }

  get eventCount(): number {
    return this.#handled
  }

  get violation(): Violation | undefined {
    return this.#violation
  }

  get processes(): readonly SimProcess[] {
    return this.#processes
  }

  process(name: string, options: ProcessOptions = {}): SimProcess {
    const process = new SimProcess(this, this.network, name, this.#processes.length + 1, options)
    this.#processes.push(process)
    return process
  }

  /** Plans an event `delayMs` from now. One with an owner is dropped when the owner crashes, and waits while it is paused. */
  at(delayMs: number, label: string, run: () => void, owner?: Owner): Cancel {
    const event = {
      timeMs: this.#nowMs + Math.max(0, delayMs),
      tie: this.random.u32(),
      order: this.#planned++,
      label,
      run,
      owner,
      incarnation: owner?.incarnation ?? 0,
    }
    this.#events.push(event)
    return () => {
      event.run = nothing
    }
  }

  /** For the tasks of the world (clients, faults): those of a process use its clock. */
  sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => this.at(delayMs, 'sleep', resolve))
  }

  /** Puts a value that was handed out into the hash, and a line into the trace. */
  note(label: string, value = 0): void {
    this.#trace.mix(value)
    if (this.#traces) this.#trace.add(`${this.#nowMs.toFixed(3)} ${this.#current?.name ?? 'world'} ${label} ${value}`)
  }

  /** Ends the run; `run` rejects with it. Only the first counts. */
  fail(message: string, cause?: unknown): void {
    this.#violation ??= new Violation(message, this.seed, { cause })
  }

  traceHash(): string {
    return this.#trace.hash()
  }

  traceTail(): string[] {
    return this.#trace.tail()
  }

  /** Lets events happen until `isDone` or until nothing is planned before `untilMs`. Rejects with the first `Violation`. */
  run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      let running = true
      const release = this.#catchRejections()
      const finish = (): void => {
        running = false
        release()
        if (this.#violation) reject(this.#violation)
        else resolve()
      }
      const turn = (): void => {
        if (!running) return
        if (this.#violation || isDone() || !this.#step(untilMs)) finish()
      }
      const batch = (): void => {
        for (let count = 0; count < eventsPerTurn; count++) realSetImmediate(turn)
        if (running) realSetImmediate(batch)
      }
      batch()
    })
  }

  /** A promise that is rejected and not looked at ends a real process; a test runner that listens for it, too, would blame the test. */
  #catchRejections(): () => void {
    const others = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', reason => this.#uncaught(reason, 'A promise was rejected and nobody looked'))
    return () => {
      process.removeAllListeners('unhandledRejection')
      for (const other of others) process.on('unhandledRejection', other)
    }
  }

  /** False when nothing happens any more until `untilMs`. */
  #step(untilMs: number): boolean {
    const next = this.#events.first()
    if (!next || next.timeMs > untilMs) {
      this.#nowMs = Math.max(this.#nowMs, Math.min(untilMs, Number.MAX_SAFE_INTEGER))
      return false
    }
    const event = this.#events.pop()!
    this.#nowMs = event.timeMs
    const { owner } = event
    if (event.run === nothing || (owner && owner.incarnation !== event.incarnation)) return true
    if (owner && owner.pausedUntilMs > this.#nowMs) {
      event.timeMs = owner.pausedUntilMs
      this.#events.push(event)
      return true
    }
    this.#handled++
    this.#trace.mixTime(event.timeMs)
    this.#trace.mix(event.order)
    this.#trace.mixText(event.label)
    this.#current = owner
    this.#currentIncarnation = event.incarnation
    if (this.#traces) this.#trace.add(`${this.#nowMs.toFixed(3)} ${owner?.name ?? 'world'} ${event.label}`)
    try {
      event.run()
    } catch (error) {
      this.#uncaught(error, `An exception left the event "${event.label}"`)
    }
    return true
  }

  /** What ends a real process ends the run, unless the process was already dead and only its ghost spoke. */
  #uncaught(error: unknown, text: string): void {
    const owner = this.#current
    if (owner && !owner.isRunning(this.#currentIncarnation)) return
    this.fail(
      `${text}${owner ? ` in ${owner.name}` : ''}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      error,
    )
  }
}

function nothing(): void {}
