import type { AppendError, CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { bodyOf, releaseBodies } from '../../storage/batch-builder.ts'
import { placeBatch, stampBatch, type NewRecord } from '../../storage/record-batch.ts'
import { BrokerError } from '../errors.ts'
import { envelopeHeader } from '../message.ts'
import { atomically } from '../refusals.ts'
import { topicConfig } from '../topic-config.ts'
import type { Topic } from '../topic.ts'
import { EntryGroup, type EntryLimits, type GroupHost } from './entry-group.ts'
import {
  compareIds,
  compareParts,
  idAfter,
  idMin,
  partAfter,
  sameId,
  writeId,
  type EntryId,
  type IdPart,
} from './entry-id.ts'
import { entryMarkHeader, writeMark } from './entry-mark.ts'
import { EntryReader, type Entry, type EntryVisitor, type Later } from './entry-reader.ts'
import { entryFacts, factFor, listedMax, writeIdAfter, writeName, writer } from './facts.ts'
import { writePosition, type EntryStreamState, type GroupPosition } from './machine.ts'

/** Which id a new entry is to have: the next one by the clock, the next one of a time, or this one. */
export type WantedId = 'next' | { readonly within: IdPart } | EntryId

/** An entry as it is stored, but for its id and its time. */
export type EntryBody = Pick<NewRecord, 'key' | 'value' | 'headers'>

/** Where an entry is. */
export interface Located {
  readonly offset: number
  readonly id: EntryId
}

export type IdRefusal =
  /** An id is greater than 0-0. */
  | 'id-zero'
  /** It is not greater than the newest one. */
  | 'id-not-greater'
  /** There are no greater ones. */
  | 'ids-exhausted'

/** What the streams of entries share. */
export interface EntryHost {
  readonly ledger: Ledger
  readonly cell: CellClient
  readonly limits: EntryLimits
}

/** A run of records that brings no ids gets a new time so often at the most. */
const runMs = 1000

/**
 * A topic of one partition whose records are entries with ids, while the broker runs. Verbs decide before they return, and return the number of the block
 * that makes it durable, or what they did; `lastSeq` tells it then.
 */
export class EntryStream implements GroupHost {
  /** As it is now: its settings may change. */
  topic: Topic
  readonly stream: StreamId
  readonly state: EntryStreamState
  readonly #host: EntryHost
  readonly #groups = new Map<number, EntryGroup>()
  /** Block of the newest fact. What tells of the stream waits for it. */
  lastSeq = -1
  /** Batches of one entry each that are not durable yet and can be read already, by offset. Who is told of them waits for their block. */
  readonly #fresh = new Map<number, Buffer>()
  #runTimeMs = 0

  constructor(topic: Topic, state: EntryStreamState, host: EntryHost) {
    this.topic = topic
    this.stream = state.stream
    this.state = state
    this.#host = host
  }

  get nowMs(): number {
    return this.#host.ledger.clock.nowMs()
  }

  get limits(): EntryLimits {
    return this.#host.limits
  }

  /** Entries that are left. */
  get length(): number {
    return this.state.length
  }

  /** Takes note of what others did to the topic: records that brought no ids get some, what was trimmed is gone. */
  notice(): void {
    const { cell } = this.#host
    const { state, stream } = this
    const end = cell.takenEnd(stream)
    if (end > state.end) this.#adopt(end - state.end)
    const start = cell.startOf(stream)
    if (start > state.first) this.#trimmed(Math.min(start, state.end))
  }

  #adopt(count: number): void {
    const { lastId, endsInRun } = this.state
    const now = this.nowMs
    const isStale = !endsInRun || now >= this.#runTimeMs + runMs
    const byClock = isStale && lastId.ms < now ? { ms: now, seq: 0 } : undefined
    if (byClock) this.#runTimeMs = now
    const id = byClock ?? idAfter(lastId)
    if (!id || !idAfter(id, count)) throw new BrokerError('limit-reached', 'the stream has no more ids')
    const out = factFor(this.stream)
    out.varlong(count)
    writeId(out, id)
    this.fact(entryFacts.adopted)
  }

  /** Adds the fact that was written last. */
  fact(type: number): number {
    return (this.lastSeq = this.#host.ledger.fact(machineKinds.entryStreams, type, writer.take()))
  }

  /** All that `run` does is in one block. */
  atomic(run: () => void): void {
    atomically(this.#host.ledger, run)
  }

  /** The id that an entry would get. */
  idFor(wanted: WantedId): EntryId | IdRefusal {
    const { lastId } = this.state
    if (wanted === 'next') {
      const now = this.nowMs
      return (lastId.ms < now ? { ms: now, seq: 0 } : idAfter(lastId)) ?? 'ids-exhausted'
    }
    const isExhausted = idAfter(lastId) === undefined
    if ('within' in wanted) {
      const { within: ms } = wanted
      if (isExhausted) return 'ids-exhausted'
      if (ms < lastId.ms) return 'id-not-greater'
      const seq = ms === lastId.ms ? partAfter(lastId.seq) : 0
      return seq === undefined ? 'id-not-greater' : { ms, seq }
    }
    if (sameId(wanted, idMin)) return 'id-zero'
    if (isExhausted) return 'ids-exhausted'
    return compareIds(wanted, lastId) > 0 ? wanted : 'id-not-greater'
  }

  /** Appends an entry. Its id is then `state.lastId`. `isFresh`: it can be read at once. Throws `BrokerError`. */
  add(body: EntryBody, wanted: WantedId, isFresh = false): IdRefusal | undefined {
    this.notice()
    const id = this.idFor(wanted)
    if (typeof id === 'string') return id
    let refusal: AppendError | undefined
    this.atomic(() => {
      refusal = this.#append(body, id, isFresh)
      if (refusal === undefined) this.#added(id)
    })
    if (refusal === undefined) return undefined
    if (refusal === 'stream-not-found') throw new BrokerError('topic-not-found', this.topic.name)
    throw new BrokerError(refusal, `nothing was added to ${this.topic.name}`)
  }

  #append(
    { key = null, value, headers = [] }: EntryBody,
    { ms, seq }: EntryId,
    isFresh: boolean,
  ): AppendError | undefined {
    const { cell } = this.#host
    const { messageBytesMax, cleanupPolicy, timestampType } = topicConfig(this.topic)
    if (cleanupPolicy.compacts && key === null) return 'message-invalid'
    const mark = { key: entryMarkHeader, value: writeMark(this.stream, this.state.end, ms, seq) }
    const [first, ...rest] = headers
    const marked = first?.key === envelopeHeader ? [first, mark, ...rest] : [mark, ...headers]
    const now = this.nowMs
    try {
      const timestampMs = typeof ms === 'number' ? ms : now
      const record = bodyOf({ key, value, headers: marked, timestampMs })
      if (record.length >= messageBytesMax || record.aloneBytes > messageBytesMax) return 'message-too-large'
      if (timestampType !== 'append') {
        const batch = isFresh ? Buffer.from(record.alone) : undefined
        const result = cell.gather(this.stream, record)
        if (typeof result === 'string') return result
        if (batch) this.#keep(batch, result)
        return undefined
      }
      const batch = Buffer.from(record.alone)
      stampBatch(batch, 0, now)
      let refusal: AppendError | undefined
      cell.append(this.stream, batch, ({ error }) => (refusal = error))
      return refusal
    } finally {
      releaseBodies()
    }
  }

  #keep(batch: Buffer, seq: number): void {
    const offset = this.state.end
    placeBatch(batch, 0, offset, 0)
    this.#fresh.set(offset, batch)
    this.#host.ledger.whenDurable(seq, () => void this.#fresh.delete(offset), undefined)
  }

  #added(id: EntryId): void {
    const { lastId } = this.state
    const out = factFor(this.stream)
    writeIdAfter(out, lastId.ms, lastId.seq, id.ms, id.seq)
    this.fact(entryFacts.added)
  }

  /** The newest id is this one from now on. It must not be below that of an entry. */
  setLastId(lastId: EntryId, added = -1, maxRemoved = this.state.maxRemoved): void {
    const out = factFor(this.stream)
    writeId(out, lastId)
    out.varlong(added)
    writeId(out, maxRemoved)
    this.fact(entryFacts.idSet)
  }

  /** Removes what lies below the offset, and returns how many entries these were. */
  trimTo(offset: number): number {
    const before = this.length
    const target = Math.min(offset, this.state.end)
    if (target > this.state.first) this.#trimmed(target)
    return before - this.length
  }

  #trimmed(offset: number): void {
    factFor(this.stream).varlong(offset)
    this.fact(entryFacts.trimmed)
  }

  /** Removes entries by their offsets, which ascend; returns how many there were. */
  remove(entries: readonly { readonly offset: number; readonly id: EntryId }[]): number {
    const before = this.length
    const left = entries.filter(({ offset }) => this.holds(offset))
    for (let at = 0; at < left.length; at += listedMax) {
      const some = left.slice(at, at + listedMax)
      const out = factFor(this.stream)
      writeId(out, some.at(-1)!.id)
      let previous = 0
      for (const { offset } of some) {
        out.varlong(offset - previous)
        previous = offset
      }
      this.fact(entryFacts.removed)
    }
    return before - this.length
  }

  /** Whether an entry is there. */
  holds(offset: number): boolean {
    const { first, end, removed } = this.state
    return offset >= first && offset < end && !removed.has(offset)
  }

  reader(): EntryReader {
    return new EntryReader(this.#host.cell, this.state, this.#fresh)
  }

  /** Entries with ids from `from` to `to`, both of which belong to it. */
  range(from: EntryId, to: EntryId, visit: EntryVisitor, reader = this.reader()): Later {
    const { index } = this.state
    return reader.scan(index.floor(from), index.ceiling(to), entry => {
      if (compareIds(entry.id, from) < 0) return true
      return compareIds(entry.id, to) <= 0 && visit(entry)
    })
  }

  /** The same backwards. */
  rangeBack(from: EntryId, to: EntryId, visit: EntryVisitor, reader = this.reader()): Later {
    const { index } = this.state
    return reader.scanBack(index.floor(from), index.ceiling(to), entry => {
      if (compareIds(entry.id, to) > 0) return true
      return compareIds(entry.id, from) >= 0 && visit(entry)
    })
  }

  /** The entries of these ids that are there, in their order; at once where they are in memory. */
  locate(ids: readonly EntryId[]): Located[] | Promise<Located[]> {
    const sorted = [...ids].sort(compareIds).filter((id, at, all) => at === 0 || !sameId(id, all[at - 1]!))
    const found: Located[] = []
    const reader = this.reader()
    const later = this.#locateFrom(sorted, 0, 0, found, reader)
    if (later) return later.finally(() => reader.clear()).then(() => found)
    reader.clear()
    return found
  }

  /** From the id `at` on, none of which lies before the offset `from`: each entry is looked at once. */
  #locateFrom(ids: readonly EntryId[], at: number, from: number, found: Located[], reader: EntryReader): Later {
    const { index, end } = this.state
    let next = at
    let start = from
    /** What is wanted next lies further on, behind entries that nobody asks for. */
    let isFar = next < ids.length
    const visit = ({ offset, id }: Entry): boolean => {
      const before = next
      while (next < ids.length && compareIds(ids[next]!, id) < 0) next++
      if (next < ids.length && sameId(ids[next]!, id)) found.push({ offset, id: ids[next++]! })
      start = offset + 1
      if (next === ids.length) return false
      isFar = next !== before && index.floor(ids[next]!) > start
      return !isFar
    }
    while (isFar) {
      isFar = false
      const later = reader.scan(Math.max(start, index.floor(ids[next]!)), end, visit)
      if (later) return later.then(() => (isFar ? this.#locateFrom(ids, next, start, found, reader) : undefined))
    }
    return undefined
  }

  /**
   * The first offset whose entry has an id that is not below this one; behind all that can be read when there is none. At once where the entries are in
   * memory.
   */
  offsetOf({ ms, seq }: EntryId): number | Promise<number> {
    const reader = this.reader()
    let found = reader.end
    const later = reader.scan(this.state.index.floor({ ms, seq }), this.state.end, entry => {
      if (compareParts(entry.id.ms, entry.id.seq, ms, seq) < 0) return true
      found = entry.offset
      return false
    })
    if (later) return later.finally(() => reader.clear()).then(() => found)
    reader.clear()
    return found
  }

  get groups(): EntryGroup[] {
    return Array.from(this.state.groups.keys(), id => this.#groupOf(id))
  }

  group(name: string): EntryGroup | undefined {
    const known = this.state.byName.get(name)
    return known && this.#groupOf(known.id)
  }

  #groupOf(id: number): EntryGroup {
    let group = this.#groups.get(id)
    if (!group) this.#groups.set(id, (group = new EntryGroup(this, this.state.group(id))))
    return group
  }

  /** Undefined when there is one of that name. Throws `BrokerError`. */
  createGroup(name: string, lastId: EntryId, entriesRead = -1): EntryGroup | undefined {
    const { byName, groups, nextGroup } = this.state
    if (byName.has(name)) return undefined
    const { entryGroupsMax } = this.limits
    if (groups.size >= entryGroupsMax)
      throw new BrokerError('limit-reached', `a stream has ${entryGroupsMax} groups at the most`)
    const out = factFor(this.stream)
    out.uvarint(nextGroup)
    writePosition(out, this.#positionAt(lastId, entriesRead))
    writeName(out, name)
    this.fact(entryFacts.groupCreated)
    return this.#groupOf(nextGroup)
  }

  /** What a group has read that has read up to this id. */
  #positionAt(lastId: EntryId, entriesRead: number): GroupPosition {
    const { state } = this
    const isAtEnd = compareIds(lastId, state.lastId) >= 0
    return { lastId, next: isAtEnd ? state.end : Math.max(state.first, state.index.floor(lastId)), entriesRead }
  }

  setGroup(group: EntryGroup, lastId: EntryId, entriesRead = -1): void {
    const out = factFor(this.stream)
    out.uvarint(group.state.id)
    writePosition(out, this.#positionAt(lastId, entriesRead))
    this.fact(entryFacts.groupSet)
  }

  removeGroup({ state: { id } }: EntryGroup): void {
    factFor(this.stream).uvarint(id)
    this.fact(entryFacts.groupRemoved)
    this.#groups.delete(id)
  }
}
