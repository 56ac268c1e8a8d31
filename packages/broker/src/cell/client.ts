import type { BatchError } from '../storage/record-batch.ts'

/**
 * What the layers above may ask of a stream, wherever the cell that owns it lives: a local call today, a remote one in a
 * cluster. Streams are named by the machine id that the cell gave them.
 */
export interface CellClient {
  /**
   * Appends one record batch (`storage/record-batch.ts`, already validated) and calls `done` when it is durable.
   * The bytes are copied before this returns. The decision (order, duplicates, refusals) is taken before this returns, too:
   * appends of one caller keep their order. `done` may be called at once with a refusal.
   */
  append(stream: StreamId, batch: Buffer, done: (result: AppendResult) => void): void

  /** Answers at once if `minBytes` are there, else when they are or `maxWaitMs` has passed. Never calls `done` after the returned cancel. */
  fetch(request: FetchRequest, done: (result: FetchResult) => void): () => void

  /** The present bounds of a stream; undefined when there is no such stream. */
  bounds(stream: StreamId): StreamBounds | undefined
  /** The first record with `timestampMs >= at`, or undefined. */
  offsetAtTime(stream: StreamId, at: number): Promise<TimedOffset | undefined>
  /** The record with the greatest timestamp, or undefined in an empty stream. */
  offsetOfMaxTimestamp(stream: StreamId): Promise<TimedOffset | undefined>
  /** End of what was written up to and including `epoch`: the greatest epoch <= `epoch` with the offset at which the next one starts. Undefined when `epoch` is older than all that is kept. */
  epochEnd(stream: StreamId, epoch: number): { epoch: number; endOffset: number } | undefined
  /** Removes all records below `offset`; resolves with the new start once durable. */
  trim(stream: StreamId, offset: number): Promise<number>
  /** Bytes kept of a stream, flushed or not. */
  sizeBytes(stream: StreamId): number
  /** The epoch of the present owner: +1 with each start. */
  readonly epoch: number
}

export type StreamId = number

export interface StreamBounds {
  startOffset: number
  /** One past the last durable record: what consumers may see. */
  endOffset: number
  /** Epoch of the newest record, or the cell's own when there is none. */
  epoch: number
}

export interface TimedOffset {
  offset: number
  timestampMs: number
  epoch: number
}

/** `error` undefined: durable at `baseOffset`. A duplicate answers as its original did. */
export interface AppendResult {
  error?: AppendError
  baseOffset: number
  /** Time at which the batch was stamped by the broker, or -1 when its producer's timestamps were kept. */
  appendTimeMs: number
  startOffset: number
}

export type AppendError =
  | BatchError
  | 'stream-not-found'
  | 'sequence-out-of-order'
  | 'sequence-duplicate'
  | 'producer-fenced'
  | 'producer-unknown'
  | 'storage-full'
  | 'shutting-down'

export interface FetchRequest {
  /** Read in this order until `maxBytes` are found; the first that has any gives at least one whole batch, whatever the limits. */
  streams: FetchPosition[]
  minBytes: number
  maxBytes: number
  maxWaitMs: number
}

export interface FetchPosition {
  stream: StreamId
  offset: number
  maxBytes: number
}

export interface FetchResult {
  /** One for each of the request's streams, in its order. */
  streams: StreamRead[]
  /** Gives the buffers back once they were written. Forgetting it costs only a little memory until they are collected; calling it early is a bug. */
  release(): void
}

export interface StreamRead {
  error?: 'stream-not-found' | 'offset-out-of-range' | 'storage-corrupt'
  startOffset: number
  endOffset: number
  /** Whole record batches, one after the other; the first may begin before the offset that was asked for. Empty when there is nothing. */
  batches: Buffer[]
  bytes: number
}
