import type { Answer } from '../../packages/broker/src/protocols/resp/driver.ts'
import type { Client } from './client.ts'
import type { RecordId } from './history.ts'
import { keyOf, ListHistory, Popper, type Item, type Side } from './list-history.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient, surely, type Told, type Word } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

const itemsMax = 3_000

/** Those who push, take, move and look at three lists. What they may rely on is said in `ListHistory`. */
export class Lists implements Workload {
  readonly shared: Shared
  /** Pushed at one end, taken at the other. */
  readonly jobs: ListHistory
  /** What is moved there from `jobs`, and removed then. */
  readonly work: ListHistory
  /** Pushed and taken at both ends. */
  readonly mixed: ListHistory
  readonly tail: Side
  readonly head: Side
  readonly #seed: string
  #checks = 0

  constructor(shared: Shared) {
    this.shared = shared
    const { simulator } = shared
    this.#seed = simulator.random.pick(['', 'ein/', 'a.b'])
    this.jobs = new ListHistory(simulator, `${this.#seed}jobs`, true)
    this.work = new ListHistory(simulator, `${this.#seed}work`, false)
    this.mixed = new ListHistory(simulator, `${this.#seed}mixed`, false)
    this.tail = simulator.random.pick(['left', 'right'])
    this.head = this.tail === 'left' ? 'right' : 'left'
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks: Promise<void>[] = []
    let number = 0
    const some = (least: number, most: number, task: (client: RespClient, number: number) => Promise<void>): void => {
      for (let count = random.between(least, most); count > 0; count--, number++) tasks.push(this.#repeat(task, number))
    }
    some(1, 3, (client, number) => this.#push(client, number, this.jobs, this.tail))
    some(0, 3, client => this.#pop(client, this.jobs, this.head))
    some(0, 1, client => this.#move(client))
    some(0, 1, client => this.#look(client, random.pick([this.jobs, this.mixed])))
    some(0, 2, (client, number) => this.#push(client, number, this.mixed, random.pick(['left', 'right'])))
    some(0, 1, client => this.#pop(client, this.mixed, random.pick(['left', 'right'])))
    await Promise.all(tasks)
  }

  #repeat(task: (client: RespClient, number: number) => Promise<void>, number: number): Promise<void> {
    const isMuch = (): boolean => this.jobs.items.size + this.mixed.items.size > itemsMax
    return repeat(this.shared, `lists-${number}`, { shortMs: 5, longMs: 200, isMuch }, client => task(client, number))
  }

  // Pushing and taking

  #nextIndex = 0

  async #push(client: RespClient, number: number, list: ListHistory, side: Side): Promise<void> {
    const { random } = this.shared.simulator
    // What an old connection has sent may come late: each is a pusher of its own.
    const producer = number * 10_000 + client.connection + 1
    const id = (): RecordId => ({ producer, index: this.#nextIndex++ })
    const commands: Item[][] = []
    for (let count = random.chance(0.3) ? random.between(2, 10) : 1; count > 0; count--) {
      const size = random.chance(0.2) ? random.between(2, 5) : 1
      commands.push(Array.from({ length: size }, () => list.pushing(id(), side)))
    }
    const name = side === 'left' ? 'LPUSH' : 'RPUSH'
    const told = await client.askAll(commands.map(items => [name, list.name, ...items.map(item => valueOf(item.id))]))
    for (const [at, items] of commands.entries()) {
      for (const item of items) list.pushed(item, told[at]!)
      if (typeof told[at]!.answer === 'number') this.shared.acknowledged += items.length
    }
  }

  readonly #poppers = new WeakMap<RespClient, Popper>()

  async #pop(client: RespClient, list: ListHistory, side: Side): Promise<void> {
    const { random } = this.shared.simulator
    const letter = side === 'left' ? 'L' : 'R'
    const count = random.pick([0, 0, 1, 3])
    const pop: Word[] = count > 0 ? [`${letter}POP`, list.name, count] : [`${letter}POP`, list.name]
    const isBlocking = random.chance(0.4)
    const commands = isBlocking
      ? [[`B${letter}POP`, list.name, random.pick([0.05, 0.5, 2])]]
      : Array.from({ length: random.chance(0.2) ? 5 : 1 }, () => pop)
    let popper = this.#poppers.get(client)
    if (!popper) this.#poppers.set(client, (popper = new Popper()))
    for (const told of await client.askAll(commands)) this.#popped(list, popper, told, Math.max(1, count), isBlocking)
  }

  #popped(list: ListHistory, popper: Popper, told: Told, count: number, isBlocking: boolean): void {
    const { answer } = told
    if (answer === undefined) return list.lost(told, count)
    if (answer instanceof Error) return
    if (answer === null) return list.wasEmpty(told)
    const values = Array.isArray(answer) ? (isBlocking ? answer.slice(1) : answer) : [answer]
    list.popped(popper, this.#idsOf(values), told)
    this.shared.acknowledged += values.length
  }

  #idsOf(values: Answer): RecordId[] {
    return (values as Buffer[]).map((value, at) => idOf(at, value))
  }

  // Moving

  readonly #held: Item[] = []

  /** Moves a value, or removes one that was moved. */
  async #move(client: RespClient): Promise<void> {
    const { jobs, work, shared } = this
    const { random } = shared.simulator
    const item = random.chance(0.5) ? this.#held.shift() : undefined
    if (item) return this.#remove(client, item)
    const sides = [this.head, this.tail].map(side => side.toUpperCase())
    const told = await (random.chance(0.3)
      ? client.ask('BLMOVE', jobs.name, work.name, ...sides, 0.3)
      : client.ask('LMOVE', jobs.name, work.name, ...sides))
    const { answer, askedMs } = told
    if (answer === undefined) jobs.lostMoves++
    else if (answer === null) jobs.wasEmpty(told)
    else if (!(answer instanceof Error)) {
      const ids = this.#idsOf([answer])
      jobs.popped(new Popper(), ids, told)
      const moved = work.pushing(ids[0]!, this.tail, askedMs)
      work.pushed(moved, told)
      this.#held.push(moved)
    }
  }

  async #remove(client: RespClient, item: Item): Promise<void> {
    const told = await client.ask('LREM', this.work.name, 1, valueOf(item.id))
    const { answer, untilMs } = told
    if (answer === undefined) item.mayBeRemoved = true
    else if (answer === 1) item.takenMs = untilMs
    else if (answer instanceof Error) this.#held.push(item)
    else this.shared.simulator.fail(`${item.name} was moved to ${this.work.name}, and is not there: ${String(answer)}`)
  }

  async #look(client: RespClient, list: ListHistory): Promise<void> {
    const { simulator } = this.shared
    const told = await client.ask('LRANGE', list.name, 0, -1)
    if (Array.isArray(told.answer)) list.showed(this.#idsOf(told.answer), told)
    await simulator.sleep(simulator.random.float() * 500)
  }

  // The end

  /** Compares what is there with all that was told, and the second time takes it out. */
  async check(_client: Client): Promise<void> {
    const { shared, jobs, work, mixed } = this
    await shared.simulator.sleep(5_000)
    const client = new RespClient(shared, `lists-check-${++this.#checks}`)
    const found = new Map<ListHistory, Item[]>()
    for (const list of [jobs, work, mixed]) found.set(list, await this.#all(client, list))
    const moved = new Set<Item>()
    for (const { id } of found.get(work)!) moved.add(jobs.items.get(keyOf(id))!)
    jobs.checkAll(found.get(jobs)!, moved)
    for (const list of [work, mixed]) list.checkAll(found.get(list)!, new Set())
    if (this.#checks > 1) for (const list of [jobs, mixed]) await this.#drain(client, list, found.get(list)!.length)
    client.drop()
  }

  async #all(client: RespClient, list: ListHistory): Promise<Item[]> {
    const told = await surely(this.shared, client, 'LRANGE', list.name, 0, -1)
    const ids = this.#idsOf(told.answer)
    for (const id of ids) {
      // Moved by a command that was not answered.
      if (list === this.work && !list.items.has(keyOf(id)) && this.jobs.items.has(keyOf(id)))
        list.pushing(id, this.tail, -Infinity)
    }
    return list.showed(ids, told)
  }

  async #drain(client: RespClient, list: ListHistory, count: number): Promise<void> {
    const popper = new Popper()
    let left = count
    for (; left > 0; left--) {
      const told = await surely(this.shared, client, this.head === 'left' ? 'LPOP' : 'RPOP', list.name)
      if (told.answer === null) break
      list.popped(popper, this.#idsOf([told.answer]), told)
    }
    const { answer } = await surely(this.shared, client, 'LLEN', list.name)
    if (left > 0 || answer !== 0)
      this.shared.simulator.fail(
        `list ${list.name} gave out ${count - left} of ${count} values, and ${String(answer)} are left`,
      )
  }
}
