/**
 * Where a journal's blocks live: create-only, numbered names per cell. These four calls are all that the claim, fence and
 * replay rules need, so an embedded disk, an object store and a database are alike to everything above.
 */
export interface ChainStore {
  /**
   * Creates block `seq` from the parts.
   * `ok`: this call created it and it is durable. `exists`: something is there, perhaps these very bytes from an attempt whose
   * answer was lost. `unknown`: it may or may not come to be, even later; ask again with the same bytes.
   */
  putIfAbsent(cell: number, seq: number, parts: readonly Uint8Array[]): Promise<PutResult>
  /** The whole block, or null when absent. */
  get(cell: number, seq: number): Promise<Buffer | null>
  /** Numbers of the blocks from `fromSeq` on, ascending. */
  list(cell: number, fromSeq: number): Promise<number[]>
  drop(cell: number, seqs: readonly number[]): Promise<void>
  /** No more room but the reserve: what grows the data is refused, what shrinks it or is tiny goes on. */
  readonly full: boolean
  /** `ok` is told before the disk has the block: a power cut can take any of the last blocks, and leave later ones. */
  readonly isLazy?: boolean
  /** Only for lazy blocks: forgets those from `fromSeq` on, which a power cut has cut off from the rest. */
  cut?(cell: number, fromSeq: number): Promise<void>
  /** So many bytes were written beside the blocks, which may share their room: time to look how much is left. */
  noteWritten?(bytes: number): void
  /** So many bytes can still be written before it is full; absent: no end is in sight. */
  room?(): Promise<number>
  close(): Promise<void>
}

export type PutResult = 'ok' | 'exists' | 'unknown'
