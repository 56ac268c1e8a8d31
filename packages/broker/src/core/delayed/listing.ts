import type { CellClient } from '../../cell/client.ts'
import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import { loadRecords, type Wanted } from './load.ts'
import type { DelayedMachine } from './machine.ts'
import { readLater, type StoredLater } from './stored.ts'
import { VolumeQueue } from './volume-queue.ts'
import type { VolumeState } from './volume-state.ts'
import { idOf, type DelayedId } from './volumes.ts'

/** A message that waits. Its bytes are its own. */
export interface DelayedMessage extends StoredLater {
  readonly id: DelayedId
}

/** Which messages are wanted: all that is not left out must be so. */
export interface DelayedQuery {
  readonly namespace?: string
  readonly exchange?: string
  /** The routing key: with the default exchange, the queue. */
  readonly key?: string
  /** Due times, in milliseconds since 1970: from the first on, and before the second. */
  readonly fromMs?: number
  readonly toMs?: number
  /** Where the page before has ended: its `next`. */
  readonly after?: string
  readonly max: number
}

export interface DelayedPage {
  readonly messages: DelayedMessage[]
  /** There may be more, behind this; undefined: there are none. */
  readonly next: string | undefined
}

/** A page ends when so many messages were looked at, or so many bytes found. */
const lookedAtMax = 10_000
const pageBytesMax = 16 * 1024 * 1024
const readTogether = 64

/** One page of those that wait, in the order of their due times. Throws `BrokerError` for an `after` that is none. */
export async function listDelayed(
  machine: DelayedMachine,
  cell: CellClient,
  query: DelayedQuery,
): Promise<DelayedPage> {
  const { max, toMs = Infinity } = query
  const scan = new Scan(machine, cell, startOf(query))
  const messages: DelayedMessage[] = []
  let bytes = 0
  try {
    for (let looked = 0; looked < lookedAtMax; looked += readTogether) {
      const entries = await scan.take(Math.min(readTogether, Math.max(max - messages.length, 1)), toMs)
      if (entries.length === 0) return { messages, next: undefined }
      await loadRecords(cell, entries)
      for (const [at, { volume, due, offset, record }] of entries.entries()) {
        if (!record || volume.cancelled.has(offset) || volume.hasGone(due, offset)) continue
        const found = { id: idOf(volume, offset), ...readLater(record, record.timestampMs) }
        if (!isWanted(found, query)) continue
        messages.push(found)
        bytes += record.bytes.length
        if (messages.length >= max || bytes >= pageBytesMax) return { messages, next: tokenOf(entries[at]!) }
      }
    }
    return { messages, next: scan.token }
  } finally {
    scan.close()
  }
}

function isWanted({ namespace, exchange, key }: DelayedMessage, query: DelayedQuery): boolean {
  if (query.namespace !== undefined && query.namespace !== namespace) return false
  if (query.exchange !== undefined && query.exchange !== exchange) return false
  return query.key === undefined || query.key === key
}

interface Entry extends Wanted {
  readonly volume: VolumeState
  readonly due: number
}

/** Messages are in the order of (due time, volume, offset). */
type Position = readonly [dueMs: number, volume: number, offset: number]

const tokenOf = ({ volume, due, offset }: Entry): string => [volume.fromMs + due, volume.number, offset].join('-')

function startOf({ after, fromMs = 0 }: DelayedQuery): Position {
  const begin: Position = [fromMs, 0, -1]
  if (after === undefined) return begin
  const parts = /^(\d{1,15})-(\d{1,10})-(\d{1,10})$/.exec(after)
  if (!parts) throw new BrokerError('request-invalid', `${quote(after)} is not where a page has ended`)
  const given: Position = [Number(parts[1]), Number(parts[2]), Number(parts[3])]
  return given[0] < fromMs ? begin : given
}

/** Goes through all volumes at once, as they are when it comes to them. */
class Scan {
  readonly #cell: CellClient
  readonly #start: Position
  /** Not looked into yet, the last first. */
  readonly #later: VolumeState[]
  readonly #open: VolumeQueue[] = []
  #last: Entry | undefined
  #loaded: () => void = () => {}

  constructor(machine: DelayedMachine, cell: CellClient, start: Position) {
    this.#cell = cell
    this.#start = start
    const volumes = [...machine.volumes.values()].filter(({ live, untilMs }) => live > 0 && untilMs > start[0])
    this.#later = volumes.sort((a, b) => b.fromMs - a.fromMs || b.number - a.number)
  }

  /** Where the scan is. */
  get token(): string | undefined {
    return this.#last && tokenOf(this.#last)
  }

  /** The next ones, up to `count`, due before `toMs`. */
  async take(count: number, toMs: number): Promise<Entry[]> {
    const entries: Entry[] = []
    while (entries.length < count) {
      const queue = await this.#first()
      if (!queue) break
      const { state } = queue
      const due = queue.due ?? Infinity
      if (state.fromMs + due >= toMs) break
      const offset = queue.take()
      this.#last = { volume: state, due, stream: state.messages, offset, record: undefined, error: undefined }
      if (!state.cancelled.has(offset) && !state.hasGone(due, offset)) entries.push(this.#last)
    }
    return entries
  }

  close(): void {
    for (const queue of this.#open) queue.close()
  }

  /** The volume whose next message is due first; undefined: there is none. */
  async #first(): Promise<VolumeQueue | undefined> {
    for (;;) {
      const waiting = this.#open.find(({ due }) => due === undefined)
      if (waiting?.error) throw new BrokerError('storage-corrupt', waiting.error.message)
      if (waiting) {
        await new Promise<void>(resolve => (this.#loaded = resolve))
        continue
      }
      let first: VolumeQueue | undefined
      for (const queue of this.#open) {
        if (queue.due !== Infinity && (!first || comesBefore(queue, first))) first = queue
      }
      const next = this.#later.at(-1)
      if (!next || (first && dueMsOf(first) < next.fromMs)) return first
      this.#later.pop()
      this.#open.push(new VolumeQueue(next, this.#cell, this.#positionIn(next), () => this.#loaded()))
    }
  }

  #positionIn({ number, fromMs, firedDue, firedOffset }: VolumeState): [number, number] {
    const [dueMs, volume, offset] = this.#start
    const due = dueMs - fromMs
    const behind = volume === number ? offset : volume < number ? -1 : Infinity
    const isGone = firedDue > due || (firedDue === due && firedOffset > behind)
    return isGone ? [firedDue, firedOffset] : [due, behind]
  }
}

const dueMsOf = ({ state, due }: VolumeQueue): number => state.fromMs + (due ?? Infinity)

const comesBefore = (a: VolumeQueue, b: VolumeQueue): boolean =>
  dueMsOf(a) < dueMsOf(b) || (dueMsOf(a) === dueMsOf(b) && a.state.number < b.state.number)
