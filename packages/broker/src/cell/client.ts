import type { RecordBody } from '../storage/batch-builder.ts'
import type { BatchError } from '../storage/record-batch.ts'
import type { ProducerInfo } from './producers.ts'
import type { AbortedTransaction } from './stream-transactions.ts'

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

  /**
   * Appends one record, which becomes part of a batch with others that come for the stream before the open block is written. It is decided
   * before this returns: its place is behind all that was appended before. Returns the number of the block that makes it durable, or why it
   * is refused.
   */
  gather(stream: StreamId, record: RecordBody): number | AppendError

  /** Answers at once if `minBytes` are there, else when they are or `maxWaitMs` has passed. Never calls `done` after the returned cancel. */
  fetch(request: FetchRequest, done: (result: FetchResult) => void): () => void

  /**
   * Calls `grown` each time more of the stream can be read (`committed`: of what is committed), and when it is removed, until the
   * returned function is called.
   */
  watch(stream: StreamId, committed: boolean, grown: () => void): () => void
  /** Bytes that a fetch would find, at most `maxBytes`. Infinite when an error is to be told. */
  readableBytes(position: FetchPosition, committed: boolean): number
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
  /**
   * Ends the transaction that a producer has in the stream: appends the control batch that says so. Nothing happens when the
   * stream is gone. To be called within `Ledger.atomic`, so that a transaction ends everywhere or nowhere.
   */
  endTransaction(stream: StreamId, end: TransactionEnd): void
  /** Where the open transaction of a producer begins in the stream, going by all that was taken; undefined when it has none. */
  openTransaction(stream: StreamId, producerId: number): number | undefined
  /** What is remembered of the producers that wrote to the stream; undefined when there is no such stream. */
  producers(stream: StreamId): (ProducerInfo & { transactionOffset: number | undefined })[] | undefined
  /** Bytes kept of a stream, flushed or not. */
  sizeBytes(stream: StreamId): number
  /** Records of a stream that were taken and are not durable yet. */
  unsettled(stream: StreamId): number
  /** One past the last record that was taken, durable or not; -1 when there is no such stream. */
  takenEnd(stream: StreamId): number
  /** The first offset that is kept; -1 when there is no such stream. */
  startOf(stream: StreamId): number
  /** The epoch of the present owner: +1 with each start. */
  readonly epoch: number
  /** The disk is full: appends are refused until there is room. Nothing tells when that is over. */
  readonly isFull: boolean
  /** Number of the newest durable block: how far all that was decided has come. */
  readonly position: number
}

export type StreamId = number

export interface StreamBounds {
  startOffset: number
  /** One past the last durable record: what consumers may see. */
  endOffset: number
  /** One past the last durable record that is not in an open transaction, nor behind one that is. */
  stableOffset: number
  /** Epoch of the newest record, or the cell's own when there is none. */
  epoch: number
  /** Epoch of the oldest record, or the cell's own when there is none. */
  startEpoch: number
}

/** Which producer's transaction ends, how, and what its marker carries. */
export interface TransactionEnd {
  producerId: number
  /** What the producer sends in older epochs is refused from now on. */
  producerEpoch: number
  isCommitted: boolean
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
  | 'transaction-state-invalid'
  | 'storage-full'
  | 'shutting-down'

export interface FetchRequest {
  /** Read in this order until `maxBytes` are found; the first that has any gives at least one whole batch, whatever the limits. */
  streams: FetchPosition[]
  minBytes: number
  maxBytes: number
  maxWaitMs: number
  /** Reads only up to the last stable offset, and tells which transactions were aborted. */
  committed?: boolean
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
  stableOffset: number
  /** Transactions with records in `batches` that were aborted; empty unless only what is committed was asked for. */
  aborted: readonly AbortedTransaction[]
  /** Whole record batches, one after the other; the first may begin before the offset that was asked for. Empty when there is nothing. */
  batches: Buffer[]
  bytes: number
}
