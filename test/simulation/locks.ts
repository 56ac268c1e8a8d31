import { repeat, type RespClient, type Told } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

/** Somebody who was told that he has the lock. */
interface Hold {
  readonly token: string
  /** By then he had it. */
  readonly fromMs: number
  /** Before this he has it, unless he gives it up. */
  untilMs: number
  /** After this he does not have it. */
  readonly overMs: number
  /** How often the broker's clock was set by then: what it says now is something else. */
  readonly clockSets: number
}

/** One key by which clients exclude each other, as all of them together know it. */
class Lock {
  readonly key: string
  hold: Hold | undefined
  /** Somebody who was not answered may have it up to then. */
  lostUntilMs = -Infinity
  /** Attempts that were begun, and those that were not answered yet. */
  begun = 0
  open = 0

  constructor(key: string) {
    this.key = key
  }
}

/**
 * Locks: keys that are set if they are not there, end by themselves, and are removed by who has set them.
 *
 * Holds: while one who was told that he has a lock has it by the broker's clock, nobody else is told so, over crashes; when nobody can have it, who asks for
 * it gets it.
 */
export class Locks implements Workload {
  readonly #shared: Shared
  readonly #locks = [new Lock('lock-a'), new Lock('lock-b')]
  #tokens = 0

  constructor(shared: Shared) {
    this.#shared = shared
  }

  async run(): Promise<void> {
    const { random } = this.#shared.simulator
    const pauses = { shortMs: 20, longMs: 600 }
    const tasks = Array.from({ length: random.between(2, 4) }, (_, number) =>
      repeat(this.#shared, `locker-${number}`, pauses, client => this.#try(client, random.pick(this.#locks))),
    )
    await Promise.all(tasks)
  }

  async #try(client: RespClient, lock: Lock): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const lengthMs = random.between(2, random.pick([20, 300, 3_000]))
    const token = `token-${this.#tokens++}`
    const { clockSets } = this.#shared
    const isAlone = lock.open++ === 0
    const number = ++lock.begun
    const told = await client.ask('SET', lock.key, token, 'NX', 'PX', lengthMs)
    lock.open--
    const { answer, untilMs } = told
    if (answer === undefined) lock.lostUntilMs = Math.max(untilMs + lengthMs + 1, lock.lostUntilMs)
    else if (answer === null && isAlone && lock.begun === number) this.#refused(lock, told)
    else if (answer === 'OK') {
      this.#taken(lock, told, { token, lengthMs, clockSets })
      await simulator.sleep(random.float() * 2 * lengthMs)
      if (random.chance(0.7)) await this.#release(client, lock, token)
    }
  }

  #taken(
    lock: Lock,
    { askedMs, untilMs }: Told,
    { token, lengthMs, clockSets }: { token: string; lengthMs: number; clockSets: number },
  ): void {
    const { hold } = lock
    const isHeld = hold && hold.fromMs <= askedMs && untilMs < hold.untilMs && hold.clockSets === this.#shared.clockSets
    if (isHeld) this.#fail(lock, `is given to ${token}, and ${hold.token} has it`)
    const overMs = untilMs + lengthMs + 1
    this.#shared.acknowledged++
    // Answers may come in another order.
    if (hold?.clockSets === clockSets && hold.overMs > overMs) return
    lock.hold = { token, fromMs: untilMs, untilMs: askedMs + lengthMs - 1, overMs, clockSets }
  }

  #refused(lock: Lock, { askedMs }: Told): void {
    const { hold, lostUntilMs } = lock
    const isFree = !hold || (hold.overMs < askedMs && hold.clockSets === this.#shared.clockSets)
    if (isFree && lostUntilMs < askedMs) this.#fail(lock, 'is refused, and nobody has it')
  }

  /** It is removed only if it is still his own. */
  async #release(client: RespClient, lock: Lock, token: string): Promise<void> {
    const { hold, key } = lock
    const isOwn = hold?.token === token
    const commands = [
      ['WATCH', key],
      ['GET', key],
    ]
    const found = (await client.askAll(commands)).at(-1)!.answer
    if (!(found instanceof Uint8Array) || String(found) !== token) return void (await client.ask('UNWATCH'))
    if (isOwn) hold.untilMs = Math.min(this.#shared.simulator.nowMs, hold.untilMs)
    const { answer } = (await client.askAll([['MULTI'], ['DEL', key], ['EXEC']])).at(-1)!
    if (Array.isArray(answer) && lock.hold === hold) lock.hold = undefined
  }

  #fail({ key }: Lock, problem: string): void {
    this.#shared.simulator.fail(`${key} ${problem}`)
  }
}
