import type { PutResult } from './chain-store.ts'

/** Where segments and checkpoints live: immutable named byte sequences. Names use '/' and are never used twice. */
export interface BlobStore {
  /** Creates a whole blob at once; absent or complete after any crash. */
  putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<PutResult>
  /** Begins a large blob. It exists for readers only once `finish` has answered `ok`; until then it is an orphan. */
  create(name: string, options?: CreateOptions): Promise<BlobWriter>
  /** Fills `target` from `position`; returns the count, short at the end. Null when the blob is absent. */
  read(name: string, position: number, target: Buffer): Promise<number | null>
  /** Begins a large blob that can be read while it grows. Absent where a blob appears only as a whole. */
  grow?(name: string): Promise<GrowingBlob>
  /** Makes durable all that is there of a blob that a process before this one has left growing. */
  settle?(name: string): Promise<void>
  list(prefix: string): Promise<{ name: string; bytes: number }[]>
  drop(names: readonly string[]): Promise<void>
  close(): Promise<void>
}

export interface CreateOptions {
  /** Each piece is on the disk before its `append` resolves: no burst at a sync holds up what others write. For work in the background. */
  steadily?: boolean
}

export interface BlobWriter {
  /** The parts may be changed again once this resolves. */
  append(parts: readonly Uint8Array[]): Promise<void>
  /** Makes it durable. */
  finish(): Promise<PutResult>
  /** Removes what was written. */
  abort(): Promise<void>
}

/** A blob that is read while it is written. */
export interface GrowingBlob {
  /**
   * Resolves when the bytes are readable and as durable as the store makes what it takes. Several writes may be under way, in no order; one
   * that failed may be made again.
   */
  write(parts: readonly Uint8Array[], position: number): Promise<void>
  /** Makes all of it durable. */
  finish(): Promise<void>
  /** Leaves it as it is. */
  close(): Promise<void>
}

/** All of a blob, or null. */
export async function readBlob(blobs: BlobStore, name: string, bytes: number): Promise<Buffer | null> {
  const target = Buffer.allocUnsafeSlow(bytes)
  const count = await blobs.read(name, 0, target)
  return count === null ? null : target.subarray(0, count)
}
