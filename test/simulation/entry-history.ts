import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'
import type { RecordId } from './history.ts'
import { keyOf } from './list-history.ts'
import type { Told } from './resp-client.ts'

/** Ids as they are told, so that they can be compared. */
export function compareIds(a: string, b: string): number {
  const [aMs = '', aSeq = ''] = a.split('-')
  const [bMs = '', bSeq = ''] = b.split('-')
  return Number(aMs) - Number(bMs) || Number(aSeq) - Number(bSeq)
}

/** An entry that somebody has added, as all clients together know it. */
export class Entry {
  readonly value: RecordId
  readonly askedMs: number
  /** Undefined: nobody knows whether it is there. */
  id: string | undefined
  isRefused = false
  /** It is added by then, if at all. */
  overMs = Infinity
  /** Somebody has asked to delete it. */
  isToGo = false
  /** When it was told that it is; Infinity: never. */
  deletedMs = Infinity

  readonly #history: EntryHistory

  constructor(history: EntryHistory, value: RecordId, askedMs: number) {
    this.#history = history
    this.value = value
    this.askedMs = askedMs
  }

  get mayBeDeleted(): boolean {
    return this.isToGo || (this.id !== undefined && this.#history.mayBeTrimmed(this.id, this.askedMs))
  }

  get name(): string {
    return `entry ${this.value.index} of adder ${this.value.producer} (${this.id ?? 'no id'})`
  }
}

/**
 * All that the clients of one stream of entries were told.
 *
 * Holds: ids ascend, and an id means one entry for ever. What was answered with an id, or seen, is there until it is deleted, and
 * not again after that.
 */
export class EntryHistory {
  readonly #world: World
  readonly entries = new Map<number, Entry>()
  readonly byId = new Map<string, Entry>()
  /** Those that somebody was told, in their order. */
  readonly ids: string[] = []
  /** The highest id that somebody was told. */
  idMax = '0-0'
  /** Somebody has asked to remove what is below this. */
  #trimAsked = '0-0'
  /** Somebody has asked to keep so many. */
  #lengthAsked = Infinity
  /** Entries of which nobody knows whether they are there. */
  readonly #unknown = new Set<Entry>()
  /** What was below this was gone then. */
  #trimmed = { id: '0-0', toldMs: Infinity }

  constructor(world: World) {
    this.#world = world
  }

  trimming(id: string): void {
    if (compareIds(id, this.#trimAsked) > 0) this.#trimAsked = id
  }

  trimmed(id: string, toldMs: number): void {
    if (compareIds(id, this.#trimmed.id) > 0) this.#trimmed = { id, toldMs }
  }

  /** All but the newest are to go. Returns the oldest of those that are known to be among them. */
  keeping(length: number): string | undefined {
    this.#lengthAsked = Math.min(length, this.#lengthAsked)
    return this.ids.at(-length)
  }

  mayBeTrimmed(id: string, askedMs: number): boolean {
    if (compareIds(id, this.#trimAsked) < 0) return true
    let newer = this.ids.length - this.#countTo(id)
    if (newer + this.#unknown.size < this.#lengthAsked) return false
    // Those that were over before this one was sent are older.
    for (const { overMs } of this.#unknown) if (overMs > askedMs) newer++
    return newer >= this.#lengthAsked
  }

  /** How many of the known ids are not greater. */
  #countTo(id: string): number {
    let low = 0
    let high = this.ids.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareIds(this.ids[middle]!, id) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }

  adding(value: RecordId): Entry {
    const entry = new Entry(this, value, this.#world.nowMs)
    this.entries.set(keyOf(value), entry)
    this.#unknown.add(entry)
    return entry
  }

  /** `floor` is `idMax` when it was asked for. Returns the new floor for who has sent the next one behind it. */
  added(entry: Entry, { answer, untilMs }: Told, floor: string): string {
    if (answer === undefined ? untilMs === -Infinity : answer instanceof Error) {
      entry.isRefused = true
      this.#unknown.delete(entry)
    } else if (answer === undefined) entry.overMs = untilMs
    else {
      const id = String(answer)
      if (compareIds(id, floor) <= 0) this.#fail(`${entry.name} is given ${id}, and ${floor} was given before`)
      this.saw(id, entry.value, -Infinity)
      return id
    }
    return floor
  }

  /** An entry was shown by a request that was sent at `askedMs`. */
  saw(id: string, value: RecordId, askedMs: number): Entry | undefined {
    const entry = this.entries.get(keyOf(value))
    if (!entry) return this.#fail(`${id} holds entry ${value.index} of adder ${value.producer}, which nobody has added`)
    if (entry.isRefused) return this.#fail(`${entry.name} was refused, and is there`)
    if (entry.id !== undefined && entry.id !== id) return this.#fail(`${entry.name} has the id ${id}, too`)
    const other = this.byId.get(id)
    if (other && other !== entry) return this.#fail(`${id} is ${entry.name}, and was ${other.name}`)
    if (compareIds(id, this.#trimmed.id) < 0 && this.#trimmed.toldMs < askedMs)
      return this.#fail(`${entry.name} is below ${this.#trimmed.id}, where the stream was trimmed, and is there`)
    if (entry.deletedMs < askedMs) return this.#fail(`${entry.name} was deleted, and is there`)
    if (!other) this.ids.splice(this.#countTo(id), 0, id)
    entry.id = id
    this.#unknown.delete(entry)
    this.byId.set(id, entry)
    if (compareIds(id, this.idMax) > 0) this.idMax = id
    return entry
  }

  /** Entries of one answer, which must ascend from beyond `after`. */
  sawAll(found: readonly { id: string; value: RecordId }[], askedMs: number, after: string): Entry[] {
    const entries: Entry[] = []
    let last = after
    for (const { id, value } of found) {
      if (compareIds(id, last) <= 0) this.#fail(`${id} is told after ${last}`)
      last = id
      const entry = this.saw(id, value, askedMs)
      if (entry) entries.push(entry)
    }
    return entries
  }

  /** Nothing is under way, and these are all. */
  checkAll(found: readonly Entry[]): void {
    const there = new Set(found)
    for (const entry of this.byId.values())
      if (!there.has(entry) && !entry.mayBeDeleted) this.#fail(`${entry.name} was added, and is not there`)
  }

  /** Somebody has read from the beginning up to `last`, and was shown these. */
  checkReader(shown: ReadonlySet<Entry>, last: string): void {
    for (const entry of this.byId.values()) {
      const isBelow = compareIds(entry.id!, last) <= 0
      if (isBelow && !shown.has(entry) && !entry.mayBeDeleted) this.#fail(`${entry.name} was passed over by a reader`)
    }
  }

  #fail(message: string): undefined {
    this.#world.fail(`stream: ${message}`)
  }
}

/** What a group has done with an entry. */
interface Share {
  /** Who was told it last; undefined: nobody. */
  holder: string | undefined
  /** It was given out as one that nobody had. */
  wasNew: boolean
  mayBeAcked: boolean
  ackedMs: number
}

/**
 * All that the consumers of one group were told.
 *
 * Holds: each entry is given out once as a new one. Who it was given to holds it until it is acknowledged or another one claims it, over
 * crashes; what was acknowledged is never shown again to the group.
 */
export class GroupHistory {
  readonly name: string
  readonly #world: World
  readonly #shares = new Map<Entry, Share>()
  /** The newest that was given out as a new one. */
  newMax = '0-0'
  /** Entries change hands in ways that are not followed here. */
  claims = false

  constructor(world: World, name: string) {
    this.#world = world
    this.name = name
  }

  shareOf(entry: Entry): Share {
    let share = this.#shares.get(entry)
    if (!share) {
      share = { holder: undefined, wasNew: false, mayBeAcked: false, ackedMs: Infinity }
      this.#shares.set(entry, share)
    }
    return share
  }

  /** New ones were given to a consumer. `floor` is `newMax` when they were asked for. */
  gave(consumer: string, entries: readonly Entry[], askedMs: number, floor: string): void {
    for (const entry of entries) {
      const share = this.#shown(entry, askedMs)
      // Another one may have claimed it before this answer came.
      if (share.wasNew || (share.holder !== undefined && !this.claims))
        this.#fail(`${entry.name} is given to ${consumer} as a new one, and ${share.holder ?? 'somebody'} has had it`)
      if (compareIds(entry.id!, floor) <= 0) this.#fail(`${entry.name} is given out after ${floor}`)
      share.wasNew = true
      share.holder = consumer
      if (compareIds(entry.id!, this.newMax) > 0) this.newMax = entry.id!
    }
  }

  /** All that a consumer, who asks for nothing else meanwhile, holds by the broker's word. */
  holds(consumer: string, entries: readonly Entry[], askedMs: number): void {
    const there = new Set(entries)
    for (const entry of entries) {
      const share = this.#shown(entry, askedMs)
      if (share.holder !== undefined && share.holder !== consumer && !this.claims)
        this.#fail(`${entry.name} is held by ${consumer}, and was by ${share.holder}`)
      share.holder = consumer
    }
    if (this.claims) return
    for (const [entry, { holder, mayBeAcked }] of this.#shares)
      if (holder === consumer && !mayBeAcked && !entry.mayBeDeleted && !there.has(entry))
        this.#fail(`${entry.name} was given to ${consumer}, and is not held any more`)
  }

  /** Somebody took them from whoever held them. */
  claimed(consumer: string, entries: readonly Entry[], askedMs: number): void {
    for (const entry of entries) this.#shown(entry, askedMs).holder = consumer
  }

  acking(entries: readonly Entry[]): void {
    for (const entry of entries) this.shareOf(entry).mayBeAcked = true
  }

  acked(entries: readonly Entry[], { answer, untilMs }: Told): void {
    if (typeof answer !== 'number') return
    for (const entry of entries) this.shareOf(entry).ackedMs = Math.min(this.shareOf(entry).ackedMs, untilMs)
  }

  #shown(entry: Entry, askedMs: number): Share {
    const share = this.shareOf(entry)
    if (share.ackedMs < askedMs) this.#fail(`${entry.name} was acknowledged, and is shown again`)
    return share
  }

  /** Nothing is under way. `pending`: all that is held; `last`: the newest that was given out. */
  checkAll(history: EntryHistory, pending: ReadonlyMap<string, string>, last: string): void {
    if (compareIds(last, this.newMax) < 0) this.#fail(`${this.newMax} was given out, and it says ${last}`)
    for (const [id, holder] of pending) {
      const entry = history.byId.get(id)
      if (!entry) continue
      const share = this.#shown(entry, Infinity)
      if (!this.claims && share.holder !== undefined && share.holder !== holder)
        this.#fail(`${entry.name} is held by ${holder}, and was by ${share.holder}`)
      if (compareIds(id, last) > 0) this.#fail(`${entry.name} is held, and ${last} was the newest that was given out`)
    }
    for (const entry of history.byId.values()) {
      if (compareIds(entry.id!, last) > 0 || entry.mayBeDeleted || pending.has(entry.id!)) continue
      if (!this.shareOf(entry).mayBeAcked) this.#fail(`${entry.name} is held by nobody, and nobody has acknowledged it`)
    }
  }

  #fail(message: string): void {
    this.#world.fail(`group ${this.name}: ${message}`)
  }
}
