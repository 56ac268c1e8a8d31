import type { PutResult } from './chain-store.ts'

/** Where segments and checkpoints live: immutable named byte sequences. Names use '/' and are never used twice. */
export interface BlobStore {
  /** Creates a whole blob at once; absent or complete after any crash. */
  putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<PutResult>
  /** Begins a large blob. It exists for readers only once `finish` has answered `ok`; until then it is an orphan. */
  create(name: string): Promise<BlobWriter>
  /** Fills `target` from `position`; returns the count, short at the end. Null when the blob is absent. */
  read(name: string, position: number, target: Buffer): Promise<number | null>
  list(prefix: string): Promise<{ name: string; bytes: number }[]>
  drop(names: readonly string[]): Promise<void>
  close(): Promise<void>
}

export interface BlobWriter {
  /** The parts may be changed again once this resolves. */
  append(parts: readonly Uint8Array[]): Promise<void>
  /** Makes it durable. */
  finish(): Promise<PutResult>
  /** Removes what was written. */
  abort(): Promise<void>
}

/** All of a blob, or null. */
export async function readBlob(blobs: BlobStore, name: string, bytes: number): Promise<Buffer | null> {
  const target = Buffer.allocUnsafeSlow(bytes)
  const count = await blobs.read(name, 0, target)
  return count === null ? null : target.subarray(0, count)
}
