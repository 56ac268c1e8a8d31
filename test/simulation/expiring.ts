import type { Client } from './client.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient, surely, type Told } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

/** Since when and until when, by the broker's clock. */
interface Due {
  /** Before this the key is there. */
  readonly fromMs: number
  /** From then on it is not. */
  readonly untilMs: number
}

const forever: Due = { fromMs: Infinity, untilMs: Infinity }
const never: Due = { fromMs: -Infinity, untilMs: -Infinity }

/** By the broker's clock, before the command was sent and after it was answered; undefined: the clock was set meanwhile. */
type Times = { readonly askedMs: number; readonly toldMs: number } | undefined

/** One key that one client writes and reads, which lasts for some time. */
class Lease {
  readonly key: string
  readonly producer: number
  #index = -1
  /** Undefined: the clock was set meanwhile. */
  #due: Due | undefined = never
  /** How often the broker's clock was set when the key was. */
  #clockSets = 0
  next = 0
  /** A command was lost: nobody knows what it is, nor what it will be. */
  isLost = false

  constructor(key: string, producer: number) {
    this.key = key
    this.producer = producer
  }

  set(index: number, clockSets: number, due: Due | undefined): void {
    this.#index = index
    this.#clockSets = clockSets
    this.#due = due
  }

  /** It was there, and lasts for another time. */
  renew(clockSets: number, due: Due | undefined): void {
    this.#clockSets = clockSets
    this.#due = due
  }

  remove(): void {
    this.#due = never
  }

  /** What is wrong when somebody was shown `index`, or nothing: -1. */
  problem(index: number, { askedMs, toldMs }: NonNullable<Times>, clockSets: number): string | undefined {
    const due = this.#due
    if (!due) return undefined
    if (index >= 0) {
      if (askedMs >= due.untilMs) return `is ${index} ${askedMs - due.untilMs} ms after its time`
      return index === this.#index ? undefined : `is ${index}, and was set to ${this.#index}`
    }
    // It may have ended when the clock was ahead.
    const isThere = toldMs < due.fromMs && (due === forever || clockSets === this.#clockSets)
    return isThere
      ? `is gone ${(due.fromMs - toldMs).toFixed(0)} ms before its time, and was ${this.#index}`
      : undefined
  }

  /** What is wrong when it is said to last for so long. */
  wrongTime(leftMs: number, { askedMs, toldMs }: NonNullable<Times>): string | undefined {
    const due = this.#due
    if (!due || leftMs === -2) return undefined
    if (leftMs === -1) return due === forever ? undefined : `is said to last for ever`
    const isRight = askedMs + leftMs <= due.untilMs + 1 && toldMs + leftMs >= due.fromMs - 1
    return isRight
      ? undefined
      : `is said to last for ${leftMs} ms, not ${due.fromMs - toldMs} to ${due.untilMs - askedMs}`
  }
}

/**
 * Keys that last for some time, by the broker's clock.
 *
 * Holds: such a key is there until its time has come, and not from then on, over crashes. One that was made to last for ever does.
 */
export class Expiring implements Workload {
  readonly shared: Shared
  readonly #leases: Lease[][] = []
  #checks = 0

  constructor(shared: Shared) {
    this.shared = shared
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 3); number > 0; number--) {
      const leases = Array.from(
        { length: random.between(1, 5) },
        (_, at) => new Lease(`lease-${number}-${at}`, number * 10 + at),
      )
      this.#leases.push(leases)
      const pauses = { shortMs: 20, longMs: 400 }
      tasks.push(repeat(this.shared, `holder-${number}`, pauses, client => this.#use(client, leases)))
    }
    await Promise.all(tasks)
  }

  async #use(client: RespClient, leases: Lease[]): Promise<void> {
    const at = this.shared.simulator.random.below(leases.length)
    const lease = leases[at]!
    await this.#step(client, lease)
    if (lease.isLost) leases[at] = new Lease(`${lease.key}'`, lease.producer)
  }

  async #step(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    if (random.chance(0.5)) return this.#look(client, lease)
    if (random.chance(0.5)) return this.#set(client, lease)
    if (random.chance(0.2)) return this.#remove(client, lease)
    return this.#renew(client, lease)
  }

  /** The broker's clock is read on both sides, and must not be set in between. */
  async #timed(client: RespClient, ...words: (string | number | Uint8Array)[]): Promise<{ told: Told; times: Times }> {
    const { shared } = this
    const { clockSets } = shared
    const askedMs = shared.wallMs()
    const told = await client.ask(...words)
    return { told, times: clockSets === shared.clockSets ? { askedMs, toldMs: shared.wallMs() } : undefined }
  }

  /** From now on so long; undefined: nobody knows. */
  #dueOf(lengthMs: number, times: Times): Due | undefined {
    return times && { fromMs: times.askedMs + lengthMs, untilMs: times.toldMs + lengthMs + 1 }
  }

  async #set(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    const { clockSets } = this.shared
    const index = lease.next++
    const value = valueOf({ producer: lease.producer, index })
    const lengthMs = random.chance(0.2) ? Infinity : random.between(1, random.pick([10, 300, 3_000]))
    const limits = lengthMs === Infinity ? [] : ['PX', lengthMs]
    const { told, times } = await this.#timed(client, 'SET', lease.key, value, ...limits)
    if (told.answer === undefined) return void (lease.isLost = true)
    if (told.answer instanceof Error) return
    this.shared.acknowledged++
    lease.set(index, clockSets, lengthMs === Infinity ? forever : this.#dueOf(lengthMs, times))
  }

  async #renew(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    const { clockSets } = this.shared
    const isForever = random.chance(0.2)
    const lengthMs = random.between(1, random.pick([10, 300, 3_000]))
    const { told, times } = await this.#timed(
      client,
      ...(isForever ? ['PERSIST', lease.key] : ['PEXPIRE', lease.key, lengthMs]),
    )
    if (told.answer === undefined) return void (lease.isLost = true)
    if (told.answer instanceof Error) return
    if (told.answer === 1) lease.renew(clockSets, isForever ? forever : this.#dueOf(lengthMs, times))
    // 0: it is not there, or lasts for ever already.
    else if (!isForever) this.#judge(lease, -1, times)
  }

  async #remove(client: RespClient, lease: Lease): Promise<void> {
    const { told, times } = await this.#timed(client, 'DEL', lease.key)
    if (told.answer === undefined) return void (lease.isLost = true)
    if (told.answer === 0) this.#judge(lease, -1, times)
    if (typeof told.answer === 'number') lease.remove()
  }

  async #look(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    if (random.chance(0.3)) {
      const { told, times } = await this.#timed(client, 'PTTL', lease.key)
      if (typeof told.answer !== 'number') return
      if (told.answer === -2) return this.#judge(lease, -1, times)
      const problem = times && lease.wrongTime(told.answer, times)
      if (problem !== undefined) this.#fail(lease, problem)
      return
    }
    const { told, times } = await this.#timed(client, 'GET', lease.key)
    if (told.answer === null) this.#judge(lease, -1, times)
    else if (told.answer instanceof Uint8Array) this.#judge(lease, this.#indexOf(lease, told.answer), times)
  }

  #indexOf(lease: Lease, value: Uint8Array): number {
    const { producer, index } = idOf(0, value)
    if (producer !== lease.producer) this.#fail(lease, `is ${index} of ${producer}`)
    return index
  }

  #judge(lease: Lease, index: number, times: Times): void {
    const problem = times && lease.problem(index, times, this.shared.clockSets)
    if (problem !== undefined) this.#fail(lease, problem)
  }

  #fail(lease: Lease, problem: string): void {
    this.shared.simulator.fail(`${lease.key} ${problem}`)
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { shared } = this
    await shared.simulator.sleep(5_000)
    const client = new RespClient(shared, `expiring-check-${++this.#checks}`)
    for (const lease of this.#leases.flat()) {
      const { answer } = await surely(shared, client, 'GET', lease.key)
      const nowMs = shared.wallMs()
      const index = answer instanceof Uint8Array ? this.#indexOf(lease, answer) : -1
      this.#judge(lease, index, { askedMs: nowMs, toldMs: nowMs })
    }
    client.drop()
  }
}
