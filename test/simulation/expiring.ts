import type { Answer } from '../../packages/broker/src/protocols/resp/driver.ts'
import type { Client } from './client.ts'
import { foundIn } from './entry-streams.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient, surely, type Told, type Word } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

const producer = 1

/** What a key can name: how it is made of one value, and read. */
interface Kind {
  make(key: string, value: Uint8Array): Word[]
  read(key: string): Word[]
  /** Numbers of the values that are there. */
  indexes(answer: Answer): number[]
}

const string: Kind = {
  make: (key, value) => ['SET', key, value],
  read: key => ['GET', key],
  indexes: answer => (answer === null ? [] : [idOf(0, answer as Buffer).index]),
}
const list: Kind = {
  make: (key, value) => ['RPUSH', key, value],
  read: key => ['LRANGE', key, 0, -1],
  indexes: answer => (answer as Buffer[]).map((value, at) => idOf(at, value).index),
}
const stream: Kind = {
  make: (key, value) => ['XADD', key, '*', 'v', value],
  read: key => ['XRANGE', key, '-', '+'],
  indexes: answer => foundIn(answer).map(({ value }) => value!.index),
}
const kinds = [string, string, list, stream]

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
  kind = string
  #index = -1
  /** Undefined: the clock was set meanwhile. */
  #due: Due | undefined = never
  /** How often the broker's clock was set when the key was. */
  #clockSets = 0
  /** A command was lost: nobody knows what it is, nor what it will be. */
  isLost = false

  constructor(key: string) {
    this.key = key
  }

  set(kind: Kind, index: number, clockSets: number, due: Due | undefined): void {
    this.kind = kind
    this.#index = index
    this.#clockSets = clockSets
    this.#due = due
  }

  /** What was the other one's is this one's now, with its time. */
  become(other: Lease): void {
    this.set(other.kind, other.#index, other.#clockSets, other.#due)
  }

  /** It was there, and lasts for another time. */
  renew(clockSets: number, due: Due | undefined): void {
    this.#clockSets = clockSets
    this.#due = due
  }

  remove(): void {
    this.#due = never
  }

  /** What is wrong when it was there with what it was set to. */
  problemOfPresence(times: NonNullable<Times>): string | undefined {
    return this.#due === never ? 'is there, and was not set' : this.problem(this.#index, times, 0)
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
 * Keys of all kinds that last for some time, by the broker's clock, and get other names.
 *
 * Holds: such a key is there until its time has come, and not from then on, over crashes. One that was made to last for ever does. With another name
 * it is what it was, for as long.
 */
export class Expiring implements Workload {
  readonly shared: Shared
  readonly #leases: Lease[][] = []
  #next = 0
  #checks = 0

  constructor(shared: Shared) {
    this.shared = shared
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 3); number > 0; number--) {
      const leases = Array.from({ length: random.between(1, 5) }, (_, at) => new Lease(`lease-${number}-${at}`))
      this.#leases.push(leases)
      const pauses = { shortMs: 20, longMs: 400 }
      tasks.push(repeat(this.shared, `holder-${number}`, pauses, client => this.#use(client, leases)))
    }
    await Promise.all(tasks)
  }

  async #use(client: RespClient, leases: Lease[]): Promise<void> {
    const { random } = this.shared.simulator
    const lease = random.pick(leases)
    if (random.chance(0.1)) await this.#rename(client, lease, random.pick(leases))
    else await this.#step(client, lease)
    for (const [at, { isLost, key }] of leases.entries()) if (isLost) leases[at] = new Lease(`${key}'`)
  }

  async #step(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    if (random.chance(0.5)) return this.#look(client, lease)
    if (random.chance(0.5)) return this.#set(client, lease)
    if (random.chance(0.2)) return this.#remove(client, lease)
    return this.#renew(client, lease)
  }

  /** The broker's clock is read on both sides, and must not be set in between. */
  async #timed(client: RespClient, ...commands: Word[][]): Promise<{ told: Told; times: Times }> {
    const { shared } = this
    const { clockSets } = shared
    const askedMs = shared.wallMs()
    const told = (await client.askAll(commands)).at(-1)!
    return { told, times: clockSets === shared.clockSets ? { askedMs, toldMs: shared.wallMs() } : undefined }
  }

  /** From now on so long; undefined: nobody knows. */
  #dueOf(lengthMs: number, times: Times): Due | undefined {
    return times && { fromMs: times.askedMs + lengthMs, untilMs: times.toldMs + lengthMs + 1 }
  }

  async #set(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    const { clockSets } = this.shared
    const index = this.#next++
    const kind = random.pick(kinds)
    const lengthMs = random.chance(0.2) ? Infinity : random.between(1, random.pick([10, 300, 3_000]))
    const { told, times } = await this.#timed(client, ...this.#making(kind, lease.key, index, lengthMs))
    if (told.answer === undefined) return void (lease.isLost = true)
    if (told.answer instanceof Error) return
    this.shared.acknowledged++
    lease.set(kind, index, clockSets, lengthMs === Infinity ? forever : this.#dueOf(lengthMs, times))
  }

  #making(kind: Kind, key: string, index: number, lengthMs: number): Word[][] {
    const making = kind.make(key, valueOf({ producer, index }))
    const isForEver = lengthMs === Infinity
    if (kind === string) return [isForEver ? making : [...making, 'PX', lengthMs]]
    return [['MULTI'], ['DEL', key], making, ...(isForEver ? [] : [['PEXPIRE', key, lengthMs]]), ['EXEC']]
  }

  async #rename(client: RespClient, from: Lease, to: Lease): Promise<void> {
    if (from === to) return
    const { told, times } = await this.#timed(client, ['RENAME', from.key, to.key])
    const { answer } = told
    if (answer === undefined) return void (from.isLost = to.isLost = true)
    if (answer instanceof Error) {
      if (answer.message.endsWith('no such key')) this.#judge(from, -1, times)
      return
    }
    const problem = times && from.problemOfPresence(times)
    if (problem !== undefined) this.#fail(from, problem)
    to.become(from)
    from.remove()
  }

  async #renew(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    const { clockSets } = this.shared
    const isForever = random.chance(0.2)
    const lengthMs = random.between(1, random.pick([10, 300, 3_000]))
    const { told, times } = await this.#timed(
      client,
      isForever ? ['PERSIST', lease.key] : ['PEXPIRE', lease.key, lengthMs],
    )
    if (told.answer === undefined) return void (lease.isLost = true)
    if (told.answer instanceof Error) return
    if (told.answer === 1) lease.renew(clockSets, isForever ? forever : this.#dueOf(lengthMs, times))
    // 0: it is not there, or lasts for ever already.
    else if (!isForever) this.#judge(lease, -1, times)
  }

  async #remove(client: RespClient, lease: Lease): Promise<void> {
    const { told, times } = await this.#timed(client, ['DEL', lease.key])
    if (told.answer === undefined) return void (lease.isLost = true)
    if (told.answer === 0) this.#judge(lease, -1, times)
    if (typeof told.answer === 'number') lease.remove()
  }

  async #look(client: RespClient, lease: Lease): Promise<void> {
    const { random } = this.shared.simulator
    if (random.chance(0.3)) {
      const { told, times } = await this.#timed(client, ['PTTL', lease.key])
      if (typeof told.answer !== 'number') return
      if (told.answer === -2) return this.#judge(lease, -1, times)
      const problem = times && lease.wrongTime(told.answer, times)
      if (problem !== undefined) this.#fail(lease, problem)
      return
    }
    const { told, times } = await this.#timed(client, lease.kind.read(lease.key))
    if (told.answer !== undefined && !(told.answer instanceof Error))
      this.#judge(lease, this.#indexIn(lease, told.answer), times)
  }

  #indexIn(lease: Lease, answer: Answer): number {
    const indexes = lease.kind.indexes(answer)
    if (indexes.length > 1) this.#fail(lease, `is ${indexes.join(' and ')}`)
    return indexes[0] ?? -1
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
      const { answer } = await surely(shared, client, ...lease.kind.read(lease.key))
      const nowMs = shared.wallMs()
      this.#judge(lease, this.#indexIn(lease, answer), { askedMs: nowMs, toldMs: nowMs })
    }
    client.drop()
  }
}
