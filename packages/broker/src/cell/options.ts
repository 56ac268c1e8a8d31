import type { BlobStore } from '../storage/blob-store.ts'
import type { ChainStore } from '../storage/chain-store.ts'
import type { RoomWatch } from '../storage/room-watch.ts'
import type { Clock } from '../runtime/runtime.ts'
import type { Random } from '@dragoman/wire'
import type { MachineFactories } from './state.ts'

export interface CellOptions {
  cell: number
  chain: ChainStore
  blobs: BlobStore
  clock: Clock
  /** The time that decides what is too old to be kept; the clock's, unless told otherwise. */
  agesMs?(): number
  random: Random
  /** The machines that exist once: made empty, then filled by replay. */
  machines: MachineFactories
  sizes: CellSizes
  /** Only this process can write to the stores, so what no checkpoint names can be removed at start. */
  exclusive: boolean
  /** How long and how much of a stream is kept; undefined: all. Asked now and then. */
  retentionOf(stream: number): Retention | undefined
  /** Which records of a stream are still needed; undefined: all that are kept. Asked now and then. */
  liveOf?(stream: number): LiveRecords | undefined
  /** Told when there is no room to write, and why. */
  room?: RoomWatch | undefined
  /** Something that cannot be survived. The cell has stopped. */
  onFatal(error: Error): void
  /** Another owner has taken over. The cell has stopped. */
  onFenced(): void
  log(level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}

/** Which records of a stream somebody still needs. Once none does, that stays so. */
export interface LiveRecords {
  isLive(offset: number): boolean
  /** How many of [first, last], at most `max`. */
  count(first: number, last: number, max: number): number
}

export interface Retention {
  /** Milliseconds after its newest record's time, or -1. */
  ms: number
  /** Bytes, or -1. */
  bytes: number
  /** What lies below this offset is needed by nobody; undefined: that is not known. */
  neededFrom?: number | undefined
  /** Of the records of one key only the newest is kept; undefined: all. */
  compaction?: CompactionPolicy | undefined
}

export interface CompactionPolicy {
  /** Compacted when more than this share of the bytes has not been. */
  dirtyRatioMin: number
  /** Records younger than this stay as they are. */
  lagMinMs: number
  /** Records older than this are compacted, however few they are. */
  lagMaxMs: number
  /** How long a tombstone stays after the first compaction that met it. */
  deleteRetentionMs: number
}

export interface CellSizes {
  blockBytesMax: number
  blockFactsMax: number
  slabBytes: number
  /** Batches from this size on go straight into a segment, where the store lets it grow. */
  largeBatchBytes: number
  /** Journal bytes after which a flush begins. */
  flushBytes: number
  /** Bytes of large batches after which a flush begins: they are written already, so it is cheap. */
  largeFlushBytes: number
  /** Large batches that came last stay in memory for readers at the tail, up to so many bytes. */
  largeRecentBytes: number
  /** Time after which a flush begins when anything is unflushed. */
  flushIntervalMs: number
  /** Facts not yet durable, or blocks not yet flushed, beyond which nothing new is read from clients. */
  pendingBytesMax: number
  unflushedBytesMax: number
  retentionCheckMs: number
  /** Idempotent producers silent for so long are forgotten. */
  producerIdleMs: number
  /** Memory for the keys of one pass of compaction: 25 bytes for each; a stream with more of them takes several passes. */
  keyMapBytes: number
}

const MiB = 1024 * 1024

export const defaultCellSizes: CellSizes = {
  blockBytesMax: 8 * MiB,
  blockFactsMax: 20_000,
  slabBytes: 8 * MiB,
  largeBatchBytes: 64 * 1024,
  flushBytes: 32 * MiB,
  largeFlushBytes: 128 * MiB,
  largeRecentBytes: 16 * MiB,
  flushIntervalMs: 60_000,
  pendingBytesMax: 32 * MiB,
  unflushedBytesMax: 48 * MiB,
  retentionCheckMs: 30_000,
  producerIdleMs: 24 * 3600 * 1000,
  keyMapBytes: 64 * MiB,
}
