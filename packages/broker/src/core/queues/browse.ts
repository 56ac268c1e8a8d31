import type { Cursor } from '../cursor/cursor.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import type { DeathReason, Stamp } from './stamp.ts'

/** A message that was looked at and not taken. Bytes are its own. */
export interface BrowsedMessage {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** All but the stamp. */
  readonly headers: readonly { key: string; value: Buffer | null }[]
  readonly stamp: Stamp
  /** How often it was given to a consumer, the present time included. */
  readonly deliveryCount: number
  readonly isInFlight: boolean
  /** `dying`: it was dropped, and is on its way to where dead letters go. */
  readonly state: 'ready' | 'returned' | 'in-flight' | 'dying'
  /** The name of the consumer that holds it. */
  readonly holder: string | undefined
}

/** Of which messages somebody wants to know. */
export interface MessageFilter {
  /** Dead-lettered last for this reason. */
  readonly reason?: DeathReason | undefined
  /** Dead-lettered last from this queue. */
  readonly queue?: string | undefined
  readonly key?: string | undefined
}

export function isWanted(record: RecordView, { reason, queue, key }: MessageFilter): boolean {
  if (key !== undefined && String(record.key ?? '') !== key) return false
  if (reason === undefined && queue === undefined) return true
  const [death] = record.stamp.deaths
  if (!death) return false
  return (reason === undefined || death.reason === reason) && (queue === undefined || death.queue === queue)
}

interface BrowseOptions {
  name: string
  cursor: Cursor
  cell: QueueStreams
  /** The first `max` offsets from `from` on that are not settled. */
  unsettled(from: number, max: number): readonly number[]
  isHeir(consumer: number | undefined): boolean
  soon(run: () => void): void
}

/** What was found, and from which offset on there may be more; undefined: there is no more. */
export interface Browsed {
  readonly messages: BrowsedMessage[]
  readonly next: number | undefined
}

/** Looking at messages ends after so many bytes. */
const browsedBytesMax = 16 * 1024 * 1024
/** So many messages are looked at together. */
const lookedAtMax = 1000
/** Looking for messages ends after so many that are not wanted. */
const unwantedMax = 100_000

/** Up to `max` messages from `from` on that are wanted and not settled, without taking them; fewer when they are large, or far between. */
export async function browse(
  options: BrowseOptions,
  from: number,
  max: number,
  filter: MessageFilter,
): Promise<Browsed> {
  const { cursor, cell } = options
  const reader = new RecordReader(cell, cursor.stream)
  const found: BrowsedMessage[] = []
  let bytes = 0
  let unwanted = 0
  let next = from
  while (found.length < max && bytes < browsedBytesMax && unwanted < unwantedMax) {
    // What lies in memory is read within the turn: others come in between.
    if (next > from) await new Promise<void>(resolve => options.soon(resolve))
    const offsets = options.unsettled(
      next,
      Math.min(lookedAtMax, filter === everything ? max - found.length : Infinity),
    )
    if (offsets.length === 0) return { messages: found, next: undefined }
    for (const offset of offsets) {
      next = offset + 1
      await read(reader, offset, options.name)
      // It may have been settled, or be gone, while others were read.
      if (cursor.stateOf(offset) === 'settled' || reader.find(offset) !== 'found') continue
      if (!isWanted(reader.record, filter)) {
        unwanted++
        continue
      }
      found.push(messageOf(options, reader.record))
      bytes += reader.record.end - reader.record.keyAt
      if (found.length >= max || bytes >= browsedBytesMax) break
    }
  }
  return { messages: found, next }
}

export const everything: MessageFilter = {}

/** Throws `BrokerError` when the queue is gone or its bytes are damaged. What is not there any more is not found, and no error. */
export async function read(reader: RecordReader, offset: number, name: string): Promise<void> {
  if (reader.find(offset) !== 'unread') return
  const error = await new Promise<ReadError | undefined>(resolve => {
    if (reader.read(offset, true, resolve)) resolve(undefined)
  })
  if (error === 'stream-not-found') throw new BrokerError('queue-not-found', quote(name))
  if (error === 'storage-corrupt') throw new BrokerError(error, quote(name))
}

function messageOf({ cursor, isHeir }: BrowseOptions, record: RecordView): BrowsedMessage {
  const { offset, timestampMs, key, value, stamp } = record
  const holder = cursor.holder(offset)
  const isDying = isHeir(holder)
  const state = cursor.stateOf(offset)
  const isInFlight = state === 'in-flight' && !isDying
  return {
    offset,
    timestampMs,
    key,
    value,
    headers: record.headers(),
    stamp,
    // Its heir has it once more.
    deliveryCount: cursor.deliveryCount(offset) - (isDying ? 1 : 0),
    isInFlight,
    state: isDying ? 'dying' : isInFlight ? 'in-flight' : state === 'returned' ? 'returned' : 'ready',
    holder: isInFlight && holder !== undefined ? cursor.consumer(holder)?.name : undefined,
  }
}
