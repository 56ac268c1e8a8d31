import { DiskError } from '../runtime/runtime.ts'
import type { BlobStore } from './blob-store.ts'
import { crc32c } from './crc32c.ts'
import { Corrupt } from './errors.ts'
import { chunkRowBytes, readSegmentTables, segmentHeaderBytes } from './segment.ts'
import type { Chunk } from './segment.ts'

const noBytes: Buffer = Buffer.alloc(0)
/** Least size of one read: a segment is read from front to back, so what lies behind is wanted next. */
const windowBytes = 1024 * 1024

/** A segment that is copied: read in large pieces, nothing handed out whose checksum is wrong. Rejects with `Corrupt`. */
export class SegmentSource {
  readonly name: string
  readonly #blobs: BlobStore
  readonly #chunks: Chunk[]
  readonly #chunkPosition: number
  #buffer = noBytes
  #window = noBytes
  #start = 0
  /** Where the chunk behind the last one would begin. */
  #expected = segmentHeaderBytes

  private constructor(blobs: BlobStore, name: string, chunks: Chunk[], chunkPosition: number) {
    this.#blobs = blobs
    this.name = name
    this.#chunks = chunks
    this.#chunkPosition = chunkPosition
  }

  static async open(blobs: BlobStore, name: string, bytes: number): Promise<SegmentSource> {
    const tables = await readable(name, () => readSegmentTables(blobs, name, bytes))
    if (typeof tables === 'string') throw new Corrupt(tables)
    return new SegmentSource(blobs, name, tables.chunks, tables.chunkPosition)
  }

  /** The chunks of a stretch, by the place of its rows in the segment's chunk table. */
  chunks(position: number, count: number): Chunk[] {
    const first = (position - this.#chunkPosition) / chunkRowBytes
    if (!(first >= 0 && first + count <= this.#chunks.length))
      throw new Corrupt(`${this.name} has no chunks at ${position}`)
    return this.#chunks.slice(first, first + count)
  }

  /** The bytes of one chunk, valid until the next one is read: no memory is taken for each. */
  async read(chunk: Chunk): Promise<Buffer> {
    if (chunk.position < this.#start || chunk.position + chunk.bytes > this.#start + this.#window.length)
      await this.#load(chunk)
    const at = chunk.position - this.#start
    this.#expected = chunk.position + chunk.bytes
    if (crc32c(this.#window, at, at + chunk.bytes) !== chunk.crc) {
      throw new Corrupt(`${this.name} is damaged between bytes ${chunk.position} and ${chunk.position + chunk.bytes}`)
    }
    return this.#window.subarray(at, at + chunk.bytes)
  }

  async #load(chunk: Chunk): Promise<void> {
    // Large batches of several streams lie between each other: then what follows is not wanted.
    const isNext = chunk.position === this.#expected
    const wanted = Math.max(chunk.bytes, isNext ? Math.min(windowBytes, this.#chunkPosition - chunk.position) : 0)
    if (this.#buffer.length < wanted) this.#buffer = Buffer.allocUnsafeSlow(wanted)
    const target = this.#buffer.subarray(0, wanted)
    this.#window = noBytes // While it is filled it holds nothing.
    const count = await readable(this.name, () => this.#blobs.read(this.name, chunk.position, target))
    if (count !== wanted)
      throw new Corrupt(`${this.name} is missing or cut short at byte ${chunk.position + (count ?? 0)}`)
    this.#window = target
    this.#start = chunk.position
  }
}

/** A medium that does not give the bytes back is damaged like one that gives others. */
async function readable<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    throw new Corrupt(`${name} cannot be read: ${error.message}`, { cause: error })
  }
}
