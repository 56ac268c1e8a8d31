import { BrokerError } from '../errors.ts'
import { compareIds, type EntryId } from './entry-id.ts'
import type { EntryReader, EntryVisitor, Later } from './entry-reader.ts'
import { entryFacts, EntryLister, factFor, listedMax, writeName } from './facts.ts'
import { readWith } from './lag.ts'
import { writePosition, type ConsumerState, type EntryStreamState, type GroupState } from './machine.ts'
import type { PendingRow } from './pending.ts'

export interface NewEntriesOptions {
  readonly countMax: number
  /** Nobody holds what is delivered. */
  readonly isForgotten: boolean
  /** Asked when the entries have been read, and are delivered with the answer: whether somebody still waits for them. */
  mayDeliver?(): boolean
}

/** What a consumer takes over. */
export interface Claim {
  readonly offset: number
  readonly id: EntryId
  readonly count: number
}

/** When a consumer was heard of last, and when it was given anything last (-1: never). */
export interface Times {
  readonly seenMs: number
  readonly activeMs: number
}

export interface EntryLimits {
  /** Groups of one stream. */
  readonly entryGroupsMax: number
  /** Consumers of one group. */
  readonly entryConsumersMax: number
  /** Entries that the consumers of one group hold. */
  readonly entryPendingMax: number
}

/** What a group needs of its stream. */
export interface GroupHost {
  readonly state: EntryStreamState
  readonly limits: EntryLimits
  readonly nowMs: number
  reader(): EntryReader
  /** Adds the fact that was written last. */
  fact(type: number): number
  /** All that `run` does is in one block. */
  atomic(run: () => void): void
}

/** A group of consumers among whom a stream of entries is shared out, while the broker runs. */
export class EntryGroup {
  readonly stream: GroupHost
  readonly state: GroupState
  /** Who reads new entries now: others wait until it is over. */
  #reading: Promise<void> | undefined
  readonly #seenMs = new WeakMap<ConsumerState, number>()
  /** Of consumers that were copied, until something else is written of them. */
  readonly #copied = new WeakMap<ConsumerState, Times>()

  constructor(stream: GroupHost, state: GroupState) {
    this.stream = stream
    this.state = state
  }

  get isRemoved(): boolean {
    return this.stream.state.groups.get(this.state.id) !== this.state
  }

  consumer(name: string): ConsumerState | undefined {
    return this.state.byName.get(name)
  }

  /** Undefined when there is one of that name. Throws `BrokerError`. */
  createConsumer(name: string): ConsumerState | undefined {
    const { byName, consumers, nextConsumer } = this.state
    if (byName.has(name)) return undefined
    const { entryConsumersMax } = this.stream.limits
    if (consumers.size >= entryConsumersMax)
      throw new BrokerError('limit-reached', `a group has ${entryConsumersMax} consumers at the most`)
    const out = this.#fact()
    out.uvarint(nextConsumer)
    writeName(out, name)
    this.stream.fact(entryFacts.consumerCreated)
    return this.state.consumers.get(nextConsumer)
  }

  removeConsumer({ id }: ConsumerState): void {
    this.#fact().uvarint(id)
    this.stream.fact(entryFacts.consumerRemoved)
  }

  #fact(): ReturnType<typeof factFor> {
    const out = factFor(this.stream.state.stream)
    out.uvarint(this.state.id)
    return out
  }

  /** The consumer was heard of, though nothing was written of it. */
  heardOf(consumer: ConsumerState): void {
    this.#seenMs.set(consumer, this.stream.nowMs)
  }

  timesOf(consumer: ConsumerState): Times {
    const { seenMs, activeMs } = this.#copied.get(consumer) ?? consumer
    return { seenMs: Math.max(seenMs, this.#seenMs.get(consumer) ?? 0), activeMs }
  }

  /** As long as the broker runs, what was written of the consumer until now counts as written at other times. */
  setTimes(consumer: ConsumerState, times: Times): void {
    this.#copied.set(consumer, times)
  }

  /** Delivers what the group has not read yet. What was shown is the consumer's when this is over. */
  readNew(
    consumer: ConsumerState,
    options: NewEntriesOptions,
    visit: EntryVisitor,
    reader = this.stream.reader(),
  ): Later {
    if (this.#reading) return this.#reading.then(() => this.readNew(consumer, options, visit, reader))
    const taken: PendingRow[] = []
    const { state } = this
    const max = Math.min(options.countMax, this.#roomFor(options))
    if (max <= 0) return undefined
    let next = state.next
    const later = reader.scan(state.next, Infinity, entry => {
      next = entry.offset + 1
      if (compareIds(entry.id, state.lastId) <= 0) return true
      const { offset, id } = entry
      taken.push({ offset, ms: id.ms, seq: id.seq, holder: consumer.id, timeMs: 0, count: 1 })
      return visit(entry) && taken.length < max
    })
    if (!later) {
      this.#deliver(consumer, taken, next, options)
      return undefined
    }
    this.#reading = later.finally(() => (this.#reading = undefined))
    return this.#reading.then(() => this.#deliver(consumer, taken, next, options))
  }

  #roomFor({ isForgotten }: NewEntriesOptions): number {
    if (isForgotten) return Infinity
    const { entryPendingMax } = this.stream.limits
    const room = entryPendingMax - this.state.pending.size
    if (room > 0) return room
    throw new BrokerError('limit-reached', `the consumers of a group hold ${entryPendingMax} entries at the most`)
  }

  #deliver(consumer: ConsumerState, taken: readonly PendingRow[], next: number, options: NewEntriesOptions): void {
    const { state, stream } = this
    const last = taken.at(-1)
    // Group or consumer may have gone while the entries were read.
    const isThere = !this.isRemoved && state.consumers.get(consumer.id) === consumer
    if (!last || !isThere || options.mayDeliver?.() === false) return this.heardOf(consumer)
    this.#copied.delete(consumer)
    stream.atomic(() => {
      let { entriesRead } = state
      for (let at = 0; at < taken.length; at += listedMax) {
        const some = taken.slice(at, at + listedMax)
        const { ms, seq, offset } = some.at(-1)!
        const isLast = at + listedMax >= taken.length
        for (const row of some) entriesRead = readWith(stream.state, { offset: row.offset, id: row }, entriesRead)
        const out = this.#fact()
        out.uvarint(consumer.id)
        writePosition(out, { lastId: { ms, seq }, next: isLast ? next : offset + 1, entriesRead })
        const lister = new EntryLister()
        if (!options.isForgotten) for (const row of some) lister.write(out, row.offset, row.ms, row.seq)
        stream.fact(entryFacts.delivered)
      }
    })
  }

  /** Gives the entries back to nobody: they are done. Returns how many somebody held. */
  ack(ids: readonly EntryId[]): number {
    const { pending } = this.state
    const offsets: number[] = []
    for (const id of ids) if (pending.findId(id)) offsets.push(pending.row.offset)
    const before = pending.size
    this.release(offsets)
    return before - pending.size
  }

  /** Nobody holds what lies at these offsets any more. */
  release(offsets: readonly number[]): void {
    const { length } = offsets
    for (let at = 0; at < length; at += listedMax) {
      const out = this.#fact()
      let previous = 0
      for (let index = at; index < Math.min(at + listedMax, length); index++) {
        out.varlong(offsets[index]! - previous)
        previous = offsets[index]!
      }
      this.stream.fact(entryFacts.acked)
    }
  }

  /** The consumer holds these from now on, which ascend. */
  claim(consumer: ConsumerState, entries: readonly Claim[], timeMs: number): void {
    if (entries.length === 0) return this.heardOf(consumer)
    this.#copied.delete(consumer)
    for (let at = 0; at < entries.length; at += listedMax) {
      const out = this.#fact()
      out.uvarint(consumer.id)
      out.varlong(timeMs)
      const lister = new EntryLister()
      for (const { offset, id, count } of entries.slice(at, at + listedMax)) {
        lister.write(out, offset, id.ms, id.seq)
        out.uvarint(count)
      }
      this.stream.fact(entryFacts.claimed)
    }
  }
}
