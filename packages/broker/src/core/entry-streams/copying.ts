import { BrokerError } from '../errors.ts'
import { idMax, idMin, type EntryId } from './entry-id.ts'
import { entryMarkHeader } from './entry-mark.ts'
import type { EntryVisitor } from './entry-reader.ts'
import type { EntryGroup } from './entry-group.ts'
import type { EntryBody, EntryStream } from './entry-stream.ts'
import type { ConsumerState } from './machine.ts'
import type { PendingRow } from './pending.ts'

/** An entry of a stream that is to be copied, with bytes of its own. */
export interface CopiedEntry {
  readonly offset: number
  readonly id: EntryId
  /** Undefined: it was removed, and somebody holds it. */
  readonly body: EntryBody | undefined
}

/** What a record costs besides its bytes. */
const entryOverhead = 100

/** All entries; at once where they are in memory. Throws `BrokerError`, or rejects with it, when they are more than that. */
export function entriesOf(stream: EntryStream, bytesMax: number): CopiedEntry[] | Promise<CopiedEntry[]> {
  const found: CopiedEntry[] = []
  const reader = stream.reader()
  let bytes = 0
  const visit: EntryVisitor = ({ offset, id, record }) => {
    bytes += record.end - record.keyAt + entryOverhead
    const headers = record.headers().filter(({ key }) => key !== entryMarkHeader)
    const own = headers.map(({ key, value }) => ({ key, value: copyOf(value) }))
    found.push({ offset, id, body: { key: copyOf(record.key), value: copyOf(record.value), headers: own } })
    return bytes <= bytesMax
  }
  const done = (): CopiedEntry[] => {
    reader.clear()
    if (bytes > bytesMax) throw tooLarge(bytesMax)
    return found
  }
  const later = stream.range(idMin, idMax, visit, reader)
  return later ? later.then(done) : done()
}

/** The same with those that were removed and somebody holds, as it is now. Throws `BrokerError` when these are too many. */
export function withHeld(stream: EntryStream, entries: readonly CopiedEntry[], bytesMax: number): CopiedEntry[] {
  const held = new Map<number, CopiedEntry>()
  for (const { state } of stream.groups) {
    for (const { offset, ms, seq } of state.pending.from(undefined)) {
      if (!stream.holds(offset)) held.set(offset, { offset, id: { ms, seq }, body: undefined })
    }
    if (held.size * entryOverhead > bytesMax) throw tooLarge(bytesMax)
  }
  return held.size === 0 ? [...entries] : [...entries, ...held.values()].sort((a, b) => a.offset - b.offset)
}

const tooLarge = (bytesMax: number): BrokerError =>
  new BrokerError('limit-reached', `a stream of more than ${bytesMax} bytes cannot be copied`)

const copyOf = (bytes: Buffer | null): Buffer | null => bytes && Buffer.from(bytes)

/**
 * Adds the entries to an empty stream with their ids, and all groups with their consumers and what these hold.
 * `isFresh`: what is added can be read at once.
 */
export function copyInto(
  target: EntryStream,
  source: EntryStream,
  entries: readonly CopiedEntry[],
  isFresh: boolean,
): void {
  const offsets = new Map<number, number>()
  for (const { offset, id, body } of entries) {
    target.add(body ?? nothing, id, isFresh)
    offsets.set(offset, target.state.end - 1)
  }
  const removed = entries.flatMap(({ offset, id, body }) => (body ? [] : [{ offset: offsets.get(offset) ?? 0, id }]))
  target.remove(removed)
  const { lastId, added, maxRemoved } = source.state
  target.setLastId(lastId, added, maxRemoved)
  for (const group of source.groups) copyGroup(target, group, offsets)
}

const nothing: EntryBody = { key: null, value: null }

function copyGroup(target: EntryStream, source: EntryGroup, offsets: ReadonlyMap<number, number>): void {
  const { state } = source
  const made = target.createGroup(state.name, state.lastId, state.entriesRead)
  if (!made) return
  for (const original of state.consumers.values()) {
    const consumer = made.createConsumer(original.name)
    if (!consumer) continue
    claimAll(made, consumer, state.pending.from(undefined, original.id), offsets)
    made.setTimes(consumer, source.timesOf(original))
  }
}

/** What was delivered at one time is taken over together. */
function claimAll(
  group: EntryGroup,
  consumer: ConsumerState,
  rows: Iterable<PendingRow>,
  offsets: ReadonlyMap<number, number>,
): void {
  const byTime = Map.groupBy(rows, ({ timeMs }) => timeMs)
  for (const [timeMs, held] of byTime) {
    const claims = held.flatMap(({ offset, ms, seq, count }) => {
      const at = offsets.get(offset)
      return at === undefined ? [] : [{ offset: at, id: { ms, seq }, count }]
    })
    group.claim(consumer, claims, timeMs)
  }
}
