import type { Client } from './client.ts'
import type { RecordId } from './history.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient, surely, type Told } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

const counter = 'count'
const [pairA, pairB, pairCount] = ['pair-a', 'pair-b', 'pair-count']
const pairsMax = 500
/** A number that is raised by those who have watched it, and a list of all its values. */
const [raised, raises] = ['raised', 'raises']

/** What may be the value of a key: an index of what its writer has set, or -1 when there is none. */
interface Attempt {
  readonly index: number
  readonly untilMs: number
}

/** One key that one client writes and reads. What was answered, or read, stays until something else is set, or a lost command takes effect. */
class Register {
  readonly key: string
  readonly producer: number
  index = -1
  /** Since when at the earliest it has been so. */
  sinceMs = -Infinity
  lost: Attempt[] = []
  next = 0

  constructor(key: string, producer: number) {
    this.key = key
    this.producer = producer
  }

  set(index: number, { answer, askedMs, untilMs }: Told): void {
    if (answer instanceof Error) return
    if (answer === undefined) this.lost.push({ index, untilMs })
    else this.#become(index, askedMs)
  }

  #become(index: number, sinceMs: number): void {
    this.index = index
    this.sinceMs = sinceMs
    this.lost = this.lost.filter(({ untilMs }) => untilMs > sinceMs)
  }

  /** False: that cannot be. */
  found(index: number, askedMs: number): boolean {
    if (index === this.index) return true
    if (!this.lost.some(each => each.index === index && each.untilMs > this.sinceMs)) return false
    this.#become(index, askedMs)
    return true
  }
}

/**
 * Values by their keys, a counter that several raise, two lists and a counter that change together, and a number that is changed by those who watch it.
 *
 * Holds: what was answered lasts; a counter never tells the same number twice, nor a lower one than before; of a transaction all is there or nothing, and
 * nothing when what was watched has changed.
 */
export class Values implements Workload {
  readonly shared: Shared
  readonly #registers: Register[] = []
  #checks = 0
  /** The highest answer, and how many commands were answered and lost. */
  #countMax = 0
  readonly #counts = new Set<number>()
  #lostCounts = 0
  /** Pairs that were answered for. */
  readonly #pairs = new Set<number>()
  #pairsAsked = 0
  /** Values of `raised` that somebody was told to have set. */
  readonly #raised = new Set<number>()

  constructor(shared: Shared) {
    this.shared = shared
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 3); number > 0; number--) {
      const registers = Array.from(
        { length: random.between(1, 5) },
        (_, at) => new Register(`value-${number}-${at}`, number * 10 + at),
      )
      this.#registers.push(...registers)
      tasks.push(this.#repeat(`writer-${number}`, client => this.#write(client, random.pick(registers))))
    }
    for (let number = random.between(0, 2); number > 0; number--)
      tasks.push(this.#repeat(`counter-${number}`, client => this.#count(client)))
    for (let number = random.pick([0, 0, 2, 3]); number > 0; number--)
      tasks.push(this.#repeat(`raiser-${number}`, client => this.#raise(client)))
    if (random.chance(0.6)) tasks.push(this.#repeat('pairs', client => this.#pair(client)))
    await Promise.all(tasks)
  }

  #repeat(name: string, task: (client: RespClient) => Promise<void>): Promise<void> {
    return repeat(this.shared, `values-${name}`, { shortMs: 10, longMs: 300 }, task)
  }

  async #write(client: RespClient, register: Register): Promise<void> {
    const { random } = this.shared.simulator
    if (random.chance(0.3)) return this.#read(await client.ask('GET', register.key), register)
    if (random.chance(0.1)) return register.set(-1, await client.ask('DEL', register.key))
    const index = register.next++
    const value = valueOf({ producer: register.producer, index })
    const told = await (random.chance(0.2)
      ? client.ask('GETSET', register.key, value)
      : client.ask('SET', register.key, value))
    // The old value is no refusal.
    register.set(index, told.answer === null ? { ...told, answer: 'OK' } : told)
    if (told.answer !== undefined) this.shared.acknowledged++
  }

  #read({ answer, askedMs }: Told, register: Register): void {
    if (answer === undefined || answer instanceof Error) return
    const { simulator } = this.shared
    const { producer, index }: RecordId =
      answer === null ? { producer: register.producer, index: -1 } : idOf(0, answer as Buffer)
    const what = `${register.key} is ${index} of ${producer}`
    if (producer !== register.producer) simulator.fail(`${what}, which was never set there`)
    else if (!register.found(index, askedMs)) {
      const lost = register.lost.map(each => each.index).join()
      simulator.fail(`${what}, and was ${register.index}; without an answer: ${lost || 'nothing'}`)
    }
  }

  async #count(client: RespClient): Promise<void> {
    const { simulator } = this.shared
    const floor = this.#countMax
    const commands = Array.from({ length: simulator.random.chance(0.3) ? 10 : 1 }, () => ['INCR', counter])
    for (const { answer, untilMs } of await client.askAll(commands)) {
      if (answer === undefined && untilMs > -Infinity) this.#lostCounts++
      if (typeof answer !== 'number') continue
      if (answer <= floor) simulator.fail(`the counter says ${answer}, and has said ${floor}`)
      if (this.#counts.has(answer)) simulator.fail(`the counter says ${answer} twice`)
      this.#counts.add(answer)
      this.#countMax = Math.max(this.#countMax, answer)
      this.shared.acknowledged++
    }
  }

  async #pair(client: RespClient): Promise<void> {
    if (this.#pairsAsked >= pairsMax) return
    const value = String(this.#pairsAsked++)
    // More than goes into a block, if blocks are small.
    const size = this.shared.simulator.random.pick([0, 30])
    const between = Array.from({ length: size }, (_, at) => ['SET', `pair-between-${at}`, value])
    const ends = [
      ['LPUSH', pairB, value],
      ['INCR', pairCount],
    ]
    const commands = [['MULTI'], ['RPUSH', pairA, value], ...between, ...ends, ['EXEC']]
    const { answer } = (await client.askAll(commands)).at(-1)!
    if (!Array.isArray(answer)) return
    this.#pairs.add(Number(value))
    const [a, b, count] = [answer[0], ...answer.slice(-2)]
    if (a !== b || a !== count)
      this.shared.simulator.fail(`a pair was added, and the lengths are ${answer.map(String).join()}`)
  }

  /** Sets what is one more than it was when it was watched. */
  async #raise(client: RespClient): Promise<void> {
    if (this.#raised.size >= pairsMax) return
    const { simulator } = this.shared
    const [, found] = await client.askAll([
      ['WATCH', raised],
      ['GET', raised],
    ])
    const before = found!.answer
    if (before === undefined || before instanceof Error) return
    await simulator.sleep(simulator.random.float() * 5)
    const next = Number(before) + 1
    const commands = [['MULTI'], ['SET', raised, String(next)], ['RPUSH', raises, String(next)], ['EXEC']]
    const { answer } = (await client.askAll(commands)).at(-1)!
    if (!Array.isArray(answer)) return
    if (this.#raised.has(next)) simulator.fail(`two who watched have raised the number to ${next}`)
    this.#raised.add(next)
    this.shared.acknowledged++
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { shared } = this
    await shared.simulator.sleep(5_000)
    const client = new RespClient(shared, `values-check-${++this.#checks}`)
    for (const register of this.#registers) this.#read(await surely(shared, client, 'GET', register.key), register)
    const { answer } = await surely(shared, client, 'GET', counter)
    const count = Number(answer ?? 0)
    const [least, most] = [Math.max(this.#countMax, this.#counts.size), this.#counts.size + this.#lostCounts]
    if (count < least || count > most) shared.simulator.fail(`the counter is ${count}, not from ${least} to ${most}`)
    await this.#checkPairs(client)
    await this.#checkRaises(client)
    client.drop()
  }

  async #checkRaises(client: RespClient): Promise<void> {
    const { shared } = this
    const { answer: list } = await surely(shared, client, 'LRANGE', raises, 0, -1)
    const { answer: last } = await surely(shared, client, 'GET', raised)
    const found = (list as Buffer[]).map(value => Number(String(value)))
    if (found.some((value, at) => value !== at + 1) || found.length !== Number(last))
      shared.simulator.fail(`a number was raised to ${String(last)}, by the steps ${found.join()}`)
    for (const value of this.#raised)
      if (value > found.length) shared.simulator.fail(`a number was raised to ${value}, and is ${found.length}`)
  }

  async #checkPairs(client: RespClient): Promise<void> {
    const { shared } = this
    const all = async (key: string): Promise<number[]> => {
      const { answer } = await surely(shared, client, 'LRANGE', key, 0, -1)
      return (answer as Buffer[]).map(value => Number(String(value)))
    }
    const a = await all(pairA)
    const b = await all(pairB)
    const { answer } = await surely(shared, client, 'GET', pairCount)
    if (a.join() !== b.toReversed().join() || a.length !== Number(answer ?? 0))
      shared.simulator.fail(`of pairs, ${a.length} and ${b.length} halves are there, ${String(answer)} were counted`)
    for (const value of this.#pairs)
      if (!a.includes(value)) shared.simulator.fail(`pair ${value} was added, and is not there`)
  }
}
