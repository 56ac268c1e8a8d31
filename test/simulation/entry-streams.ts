import type { Answer } from '../../packages/broker/src/protocols/resp/driver.ts'
import type { Client } from './client.ts'
import { EntryHistory, GroupHistory, type Entry } from './entry-history.ts'
import type { RecordId } from './history.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient, surely, type Told, type Word } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

const key = 'events'
const entriesMax = 3_000

interface Found {
  readonly id: string
  /** Undefined: it was deleted. */
  readonly value: RecordId | undefined
}

/** What is to stay of the stream, as commands say it. */
interface Limit {
  readonly words: readonly Word[]
  /** What is below this id is gone then; undefined: nobody knows. */
  readonly from: string | undefined
}

/** Those who add, read, share and delete the entries of one stream. What they may rely on is said in `EntryHistory` and `GroupHistory`. */
export class EntryStreams implements Workload {
  readonly shared: Shared
  readonly history: EntryHistory
  readonly #groups: readonly GroupHistory[]
  readonly #readers: { shown: Set<Entry>; last: string }[] = []
  readonly #deletes: boolean
  /** So many entries are kept, by those who ask for a number of them. */
  readonly #kept: number
  #nextIndex = 0
  #checks = 0

  constructor(shared: Shared) {
    this.shared = shared
    const { simulator } = shared
    this.history = new EntryHistory(simulator)
    const names = simulator.random.pick([['g'], ['g', 'h']])
    this.#groups = names.map(name => new GroupHistory(simulator, name))
    this.#deletes = simulator.random.chance(0.3)
    this.#kept = simulator.random.pick([20, 200, 1_000])
    for (const group of this.#groups) group.claims = simulator.random.chance(0.4)
  }

  async create(): Promise<void> {
    const client = new RespClient(this.shared, 'entries-setup')
    for (const { name } of this.#groups) {
      for (let isMade = false; !isMade;) {
        const { answer } = await client.ask('XGROUP', 'CREATE', key, name, '0', 'MKSTREAM')
        isMade = answer === 'OK' || (answer instanceof Error && answer.message.startsWith('BUSYGROUP'))
      }
    }
    client.drop()
  }

  async run(): Promise<void> {
    const { random } = this.shared.simulator
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 3); number > 0; number--) {
      const trims = random.chance(0.2)
      tasks.push(this.#repeat(`adder-${number}`, client => this.#add(client, number, trims)))
    }
    for (let number = random.between(0, 2); number > 0; number--) {
      const reader = { shown: new Set<Entry>(), last: '0-0' }
      this.#readers.push(reader)
      tasks.push(this.#repeat(`reader-${number}`, client => this.#read(client, reader)))
    }
    for (const group of this.#groups) {
      for (let number = random.between(0, 3); number > 0; number--) {
        const consumer = new GroupConsumer(this, group, `c${number}`)
        tasks.push(this.#repeat(`${group.name}-${consumer.name}`, client => consumer.step(client)))
      }
    }
    if (random.chance(0.3)) tasks.push(this.#repeat('trimmer', client => this.#trim(client)))
    if (this.#deletes) tasks.push(this.#repeat('deleter', client => this.#delete(client)))
    await Promise.all(tasks)
  }

  #repeat(name: string, task: (client: RespClient) => Promise<void>): Promise<void> {
    const isMuch = (): boolean => this.history.entries.size > entriesMax
    return repeat(this.shared, `entries-${name}`, { shortMs: 5, longMs: 200, isMuch }, task)
  }

  async #add(client: RespClient, number: number, trims: boolean): Promise<void> {
    const { random } = this.shared.simulator
    const producer = number * 10_000 + client.connection
    let floor = this.history.idMax
    const count = random.chance(0.3) ? random.between(2, 20) : 1
    const entries = Array.from({ length: count }, () => this.history.adding({ producer, index: this.#nextIndex++ }))
    const limit = trims ? this.#limit() : undefined
    const words = ['XADD', key, ...(limit?.words ?? []), '*', 'v']
    const told = await client.askAll(entries.map(({ value }) => [...words, valueOf(value)]))
    this.#limited(limit, told[0]!)
    for (const [at, entry] of entries.entries()) {
      floor = this.history.added(entry, told[at]!, floor)
      if (entry.id !== undefined) this.shared.acknowledged++
    }
  }

  async #read(client: RespClient, reader: { shown: Set<Entry>; last: string }): Promise<void> {
    const { random } = this.shared.simulator
    const block: Word[] = random.chance(0.5) ? ['BLOCK', random.between(1, 1_000)] : []
    const words = ['XREAD', 'COUNT', random.between(1, 50), ...block, 'STREAMS', key, reader.last]
    const { answer, askedMs } = await client.ask(...words)
    const found = ofKey(answer).flatMap(({ id, value }) => (value ? [{ id, value }] : []))
    for (const entry of this.history.sawAll(found, askedMs, reader.last)) reader.shown.add(entry)
    reader.last = found.at(-1)?.id ?? reader.last
    this.shared.operations += found.length
  }

  async #delete(client: RespClient): Promise<void> {
    const { simulator } = this.shared
    await simulator.sleep(simulator.random.float() * 100)
    const all = [...this.history.byId.values()]
    const entry = all[simulator.random.below(Math.max(1, all.length))]
    if (entry?.id === undefined) return
    entry.isToGo = true
    const { answer, untilMs } = await client.ask('XDEL', key, entry.id)
    if (typeof answer === 'number') entry.deletedMs = Math.min(untilMs, entry.deletedMs)
  }

  async #trim(client: RespClient): Promise<void> {
    const { simulator } = this.shared
    await simulator.sleep(simulator.random.float() * 1_000)
    const limit = this.#limit()
    if (!limit) return
    const trim = ['XTRIM', key, ...limit.words]
    const [name, sign] = limit.words
    if (name !== 'MAXLEN' || sign !== '=') return this.#limited(limit, await client.ask(...trim))
    const length = ['XLEN', key]
    const told = (await client.askAll([['MULTI'], length, trim, length, ['EXEC']])).at(-1)!
    this.#limited(limit, told)
    if (!Array.isArray(told.answer)) return
    const [before, removed, after] = told.answer.map(Number)
    if (after !== Math.min(before!, this.#kept) || before! - removed! !== after)
      simulator.fail(`${removed} of ${before} entries are trimmed to ${this.#kept}, and ${after} are left`)
  }

  /** Keeps the newest entries, or what begins at some entry, mostly an old one. */
  #limit(): Limit | undefined {
    const { history } = this
    const { random } = this.shared.simulator
    const sign = random.pick(['=', '=', '~'])
    const isExact = sign === '='
    if (random.chance(0.5)) {
      const from = history.keeping(this.#kept)
      // Those that are deleted do not count.
      return { words: ['MAXLEN', sign, this.#kept], from: isExact && !this.#deletes ? from : undefined }
    }
    const id = history.ids[random.below(Math.max(1, Math.floor(history.ids.length * random.float())))]
    if (id === undefined) return undefined
    history.trimming(id)
    return { words: ['MINID', sign, id], from: isExact ? id : undefined }
  }

  #limited(limit: Limit | undefined, { answer, untilMs }: Told): void {
    const isDone = answer !== undefined && !(answer instanceof Error)
    if (limit?.from !== undefined && isDone) this.history.trimmed(limit.from, untilMs)
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { shared, history } = this
    await shared.simulator.sleep(5_000)
    const client = new RespClient(shared, `entries-check-${++this.#checks}`)
    const { answer, askedMs } = await surely(shared, client, 'XRANGE', key, '-', '+')
    const found = foundIn(answer).flatMap(({ id, value }) => (value ? [{ id, value }] : []))
    history.checkAll(history.sawAll(found, askedMs, '0-0'))
    for (const { shown, last } of this.#readers) history.checkReader(shown, last)
    const { answer: groups } = await surely(shared, client, 'XINFO', 'GROUPS', key)
    for (const group of this.#groups) {
      const { answer: pending } = await surely(shared, client, 'XPENDING', key, group.name, '-', '+', 100_000)
      const holders = (pending as Answer[][]).map(row => [String(row[0]), String(row[1])] as const)
      group.checkAll(history, new Map(holders), lastOf(groups as Answer[][], group.name))
    }
    client.drop()
  }
}

function lastOf(groups: readonly Answer[][], name: string): string {
  for (const fields of groups) {
    const texts = fields.map(String)
    if (texts[texts.indexOf('name') + 1] === name) return texts[texts.indexOf('last-delivered-id') + 1]!
  }
  throw new Error(`There is no group ${name}`)
}

/** Entries in an answer of those: [id, fields or nothing]. */
export function foundIn(answer: Answer | undefined): Found[] {
  if (!Array.isArray(answer)) return []
  return (answer as [Buffer, Buffer[] | null][]).map(([id, fields], at) => ({
    id: String(id),
    value: fields ? idOf(at, fields[1]!) : undefined,
  }))
}

/** Of one key. */
export function ofKey(answer: Answer | undefined): Found[] {
  return Array.isArray(answer) ? foundIn((answer as Answer[][])[0]?.[1]) : []
}

/** One of a group: asks for new entries, looks at what it holds, acknowledges, and claims what others hold. */
class GroupConsumer {
  readonly name: string
  readonly #streams: EntryStreams
  readonly #group: GroupHistory
  #held: Entry[] = []
  /** What it has asked for in vain may still be done. */
  #isLost = true

  constructor(streams: EntryStreams, group: GroupHistory, name: string) {
    this.#streams = streams
    this.#group = group
    this.name = name
  }

  async step(client: RespClient): Promise<void> {
    const { random } = this.#streams.shared.simulator
    if (this.#isLost || random.chance(0.03)) return this.#look(client)
    if (this.#group.claims && random.chance(0.05)) return this.#claim(client)
    if (this.#held.length > 0 && random.chance(0.6)) return this.#ack(client)
    return this.#take(client)
  }

  #entriesOf(found: readonly Found[], askedMs: number): Entry[] {
    const { history } = this.#streams
    return found.flatMap(({ id, value }) => {
      const entry = value ? history.saw(id, value, askedMs) : history.byId.get(id)
      if (!value && entry && !entry.mayBeDeleted)
        this.#streams.shared.simulator.fail(`${entry.name} is told as deleted, and nobody has asked for that`)
      return entry ? [entry] : []
    })
  }

  async #take(client: RespClient): Promise<void> {
    const { random } = this.#streams.shared.simulator
    const block: Word[] = random.chance(0.5) ? ['BLOCK', random.between(1, 500)] : []
    const from = ['GROUP', this.#group.name, this.name, 'COUNT', random.between(1, 20)]
    const floor = this.#group.newMax
    const { answer, askedMs } = await client.ask('XREADGROUP', ...from, ...block, 'STREAMS', key, '>')
    this.#isLost = answer === undefined
    const entries = this.#entriesOf(ofKey(answer), askedMs)
    this.#group.gave(this.name, entries, askedMs, floor)
    this.#held.push(...entries)
  }

  /** What was sent before this may still be under way, from an older connection: the answer is what holds now. */
  async #look(client: RespClient): Promise<void> {
    const from = ['GROUP', this.#group.name, this.name]
    const { answer, askedMs } = await client.ask('XREADGROUP', ...from, 'STREAMS', key, '0')
    if (answer === undefined || answer instanceof Error) return
    this.#isLost = false
    this.#held = this.#entriesOf(ofKey(answer), askedMs)
    this.#group.holds(this.name, this.#held, askedMs)
  }

  async #ack(client: RespClient): Promise<void> {
    const { random } = this.#streams.shared.simulator
    const entries = this.#held.splice(0, random.between(1, 10))
    const areSure = entries.every(entry => !this.#group.shareOf(entry).mayBeAcked && !entry.mayBeDeleted)
    this.#group.acking(entries)
    const told: Told = await client.ask('XACK', key, this.#group.name, ...entries.map(({ id }) => id!))
    this.#isLost = told.answer === undefined
    this.#group.acked(entries, told)
    if (typeof told.answer !== 'number') return
    this.#streams.shared.acknowledged += told.answer
    if (told.answer < entries.length && !this.#group.claims && areSure)
      this.#streams.shared.simulator.fail(
        `${this.name} held ${entries.length} entries, and ${told.answer} were acknowledged`,
      )
  }

  async #claim(client: RespClient): Promise<void> {
    const to = [this.#group.name, this.name, 300]
    const { answer, askedMs } = await client.ask('XAUTOCLAIM', key, ...to, '0', 'COUNT', 10)
    this.#isLost = answer === undefined
    if (!Array.isArray(answer)) return
    const entries = this.#entriesOf(foundIn(answer[1]), askedMs)
    this.#group.claimed(this.name, entries, askedMs)
    this.#held.push(...entries)
  }
}
