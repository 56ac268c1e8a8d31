import type { BlobStore, BlobWriter } from './blob-store.ts'
import { crc32c } from './crc32c.ts'
import { readInt64, writeInt64 } from './record-batch.ts'

/**
 * Record batches of many streams, flushed together and never changed. Big-endian.
 *
 *   header, 32 bytes     magic 'DRGS', version u8 = 2, 3 x 0, cell u32, 4 x 0, epoch i64, number i64
 *   data                 large batches, as they came; then for each stream, in ascending order, its other batches, back to
 *                        back. In version 1 there were no large batches: the chunks of a stream lay together
 *   chunk table          a row of 28 bytes for each stretch of at least 64 KiB (or the stream's rest) of whole batches:
 *                        base offset i64, greatest timestamp i64, position u32, length u32, CRC-32C u32
 *   stream directory     a row of 44 bytes for each stream: stream u32, first offset i64, last offset i64,
 *                        greatest timestamp i64, data position u32, data length u32, first chunk u32, chunks u32
 *   trailer, 32 bytes    chunk table position u32, chunks u32, directory position u32, streams u32,
 *                        CRC-32C of header, chunk table and directory u32, 8 x 0, magic 'DRGE'
 *
 * On-disk format: to change it, raise the version, keep the old reader, add a file of the old form to `test/upgrade`.
 */
export const segmentVersion = 2
export const segmentHeaderBytes = 32
export const chunkRowBytes = 28
export const directoryRowBytes = 44
export const trailerBytes = 32
const headerMagic = 0x44524753
const trailerMagic = 0x44524745
const chunkBytesMin = 64 * 1024
const bufferBytes = 1024 * 1024
/** Batches from this size on are written from where they lie, unless they are lent. */
const directBytes = 256 * 1024
/** So many writes are under way at a time. */
const writesMax = 3

/** Where a stretch of a stream lies. */
export interface Extent {
  stream: number
  firstOffset: number
  lastOffset: number
  maxTimestamp: number
  /** Of its first chunk. */
  position: number
  /** Of all its chunks. */
  bytes: number
  /** Position of the first of its rows in the chunk table, and their count. */
  chunkPosition: number
  chunkCount: number
}

export interface Chunk {
  baseOffset: number
  maxTimestamp: number
  position: number
  bytes: number
  crc: number
}

/** The first bytes of a segment. */
export function segmentHeader(cell: number, epoch: number, number: number): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes)
  header.writeUInt32BE(headerMagic, 0)
  header[4] = segmentVersion
  header.writeUInt32BE(cell, 8)
  writeInt64(header, 16, epoch)
  writeInt64(header, 24, number)
  return header
}

export const segmentName = (cell: number, epoch: number, number: number): string => `cell/${cell}/s/${epoch}-${number}`

/** Writes one segment. Streams in ascending order; the batches of one in order of their offsets. */
export class SegmentWriter {
  /** What is added may change as soon as `add` has returned: all of it is copied. */
  isLent = false
  readonly #blob: BlobWriter
  readonly #header: Buffer
  readonly #chunks: Chunk[] = []
  readonly #extents: (Extent & { firstChunk: number })[] = []
  /** Writes under way, oldest first: the next batches are gathered meanwhile. */
  readonly #writes: Promise<void>[] = []
  readonly #spare: Buffer[] = []
  #buffer: Buffer = Buffer.allocUnsafeSlow(bufferBytes)
  #filled = 0
  #position = 0
  #chunk: Chunk | undefined
  #extent: (Extent & { firstChunk: number }) | undefined

  /** `position`: where to go on in a segment that has its header, and batches that are named by `refer`. */
  constructor(blob: BlobWriter, header: Buffer, position = 0) {
    this.#blob = blob
    this.#header = header
    this.#position = position
    if (position > 0) return
    header.copy(this.#buffer, 0)
    this.#filled = this.#position = segmentHeaderBytes
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#position
  }

  begin(stream: number): void {
    this.#endStream()
    this.#extent = {
      stream,
      firstOffset: -1,
      lastOffset: -1,
      maxTimestamp: -1,
      position: this.#position,
      bytes: 0,
      chunkPosition: 0,
      chunkCount: 0,
      firstChunk: this.#chunks.length,
    }
  }

  /**
   * Adds `bytes[at, at + length)`, one batch. Await the answer when there is one: enough is under way then. Unless `isLent`, the
   * bytes must not change before the segment is finished or aborted.
   */
  add(
    bytes: Buffer,
    at: number,
    length: number,
    base: number,
    last: number,
    maxTimestamp: number,
  ): Promise<void> | undefined {
    this.#stretch(this.#position, length, base, last, maxTimestamp)
    const part = bytes.subarray(at, at + length)
    this.#chunk ??= { baseOffset: base, maxTimestamp, position: this.#position, bytes: 0, crc: 0 }
    this.#chunk.maxTimestamp = Math.max(this.#chunk.maxTimestamp, maxTimestamp)
    this.#chunk.bytes += length
    this.#chunk.crc = crc32c(bytes, at, at + length, this.#chunk.crc)
    this.#position += length
    if (this.#chunk.bytes >= chunkBytesMin) this.#endChunk()
    return this.#write(part)
  }

  /** Adds a large batch that lies in the segment already, as a chunk of its own. */
  refer(position: number, length: number, crc: number, base: number, last: number, maxTimestamp: number): void {
    this.#endChunk()
    this.#stretch(position, length, base, last, maxTimestamp)
    this.#chunks.push({ baseOffset: base, maxTimestamp, position, bytes: length, crc })
  }

  #stretch(position: number, length: number, base: number, last: number, maxTimestamp: number): void {
    const extent = this.#extent!
    if (extent.firstOffset < 0) {
      extent.firstOffset = base
      extent.position = position
    }
    extent.lastOffset = last
    extent.maxTimestamp = Math.max(extent.maxTimestamp, maxTimestamp)
    extent.bytes += length
  }

  /** Writes the tables and makes the segment durable. */
  async finish(): Promise<Extent[]> {
    this.#endStream()
    if (this.#filled > 0) await this.#send()
    await Promise.all(this.#writes)
    const chunkPosition = this.#position
    const chunks = Buffer.alloc(this.#chunks.length * chunkRowBytes)
    for (const [row, chunk] of this.#chunks.entries()) writeChunk(chunks, row * chunkRowBytes, chunk)
    const directory = Buffer.alloc(this.#extents.length * directoryRowBytes)
    for (const [row, extent] of this.#extents.entries()) {
      extent.chunkPosition = chunkPosition + extent.firstChunk * chunkRowBytes
      writeDirectoryRow(directory, row * directoryRowBytes, extent)
    }
    const trailer = Buffer.alloc(trailerBytes)
    trailer.writeUInt32BE(chunkPosition, 0)
    trailer.writeUInt32BE(this.#chunks.length, 4)
    trailer.writeUInt32BE(chunkPosition + chunks.length, 8)
    trailer.writeUInt32BE(this.#extents.length, 12)
    trailer.writeUInt32BE(sumOf(this.#header, chunks, directory), 16)
    trailer.writeUInt32BE(trailerMagic, 28)
    await this.#blob.append([chunks, directory, trailer])
    this.#position += chunks.length + directory.length + trailer.length
    await this.#blob.finish()
    return this.#extents
  }

  async abort(): Promise<void> {
    await Promise.allSettled(this.#writes)
    await this.#blob.abort()
  }

  #endStream(): void {
    this.#endChunk()
    const extent = this.#extent
    if (!extent || extent.bytes === 0) return
    extent.chunkCount = this.#chunks.length - extent.firstChunk
    this.#extents.push(extent)
    this.#extent = undefined
  }

  #endChunk(): void {
    if (this.#chunk) this.#chunks.push(this.#chunk)
    this.#chunk = undefined
  }

  #write(part: Buffer): Promise<void> | undefined {
    if (part.length >= directBytes) return this.isLent ? this.#writeCopy(part) : this.#send(part)
    const wait = this.#filled + part.length > bufferBytes ? this.#send() : undefined
    part.copy(this.#buffer, this.#filled)
    this.#filled += part.length
    return wait
  }

  #writeCopy(part: Buffer): Promise<void> | undefined {
    const waits: Promise<void>[] = []
    for (let at = 0; at < part.length;) {
      const wait = this.#filled === bufferBytes ? this.#send() : undefined
      if (wait) waits.push(wait)
      const count = part.copy(this.#buffer, this.#filled, at)
      this.#filled += count
      at += count
    }
    return waits.length > 1 ? Promise.all(waits).then(() => {}) : waits[0]
  }

  /** Begins to write what was gathered, and `part` behind it. The answer is the oldest write when as many as may are under way. */
  #send(part?: Buffer): Promise<void> | undefined {
    const buffer = this.#buffer
    const gathered = buffer.subarray(0, this.#filled)
    if (this.#filled > 0) this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)
    this.#filled = 0
    const writing = this.#blob.append(part ? [gathered, part] : [gathered]).then(() => {
      if (gathered.length > 0) this.#spare.push(buffer)
    })
    writing.catch(() => {}) // Whoever waits for it is told.
    this.#writes.push(writing)
    return this.#writes.length > writesMax ? this.#writes.shift() : undefined
  }
}

function writeChunk(out: Buffer, at: number, chunk: Chunk): void {
  writeInt64(out, at, chunk.baseOffset)
  writeInt64(out, at + 8, chunk.maxTimestamp)
  out.writeUInt32BE(chunk.position, at + 16)
  out.writeUInt32BE(chunk.bytes, at + 20)
  out.writeUInt32BE(chunk.crc, at + 24)
}

export function readChunk(table: Buffer, row: number): Chunk {
  const at = row * chunkRowBytes
  return {
    baseOffset: readInt64(table, at),
    maxTimestamp: readInt64(table, at + 8),
    position: table.readUInt32BE(at + 16),
    bytes: table.readUInt32BE(at + 20),
    crc: table.readUInt32BE(at + 24),
  }
}

function writeDirectoryRow(out: Buffer, at: number, extent: Extent & { firstChunk: number }): void {
  out.writeUInt32BE(extent.stream, at)
  writeInt64(out, at + 4, extent.firstOffset)
  writeInt64(out, at + 12, extent.lastOffset)
  writeInt64(out, at + 20, extent.maxTimestamp)
  out.writeUInt32BE(extent.position, at + 28)
  out.writeUInt32BE(extent.bytes, at + 32)
  out.writeUInt32BE(extent.firstChunk, at + 36)
  out.writeUInt32BE(extent.chunkCount, at + 40)
}

/** The tables of a whole segment, or in words what is damaged. */
export async function readSegmentTables(
  blobs: BlobStore,
  name: string,
  bytes: number,
): Promise<{ extents: Extent[]; chunks: Chunk[]; chunkPosition: number } | string> {
  const header = Buffer.alloc(segmentHeaderBytes)
  const trailer = Buffer.alloc(trailerBytes)
  if (bytes < segmentHeaderBytes + trailerBytes) return `${name} is too short for a segment`
  await blobs.read(name, 0, header)
  await blobs.read(name, bytes - trailerBytes, trailer)
  if (header.readUInt32BE(0) !== headerMagic || trailer.readUInt32BE(28) !== trailerMagic)
    return `${name} is not a segment`
  if (header[4] !== segmentVersion && header[4] !== 1)
    return `${name} has version ${header[4]}, which this release cannot read`
  const chunkPosition = trailer.readUInt32BE(0)
  const chunkCount = trailer.readUInt32BE(4)
  const streams = trailer.readUInt32BE(12)
  const tables = Buffer.alloc(Math.max(0, bytes - trailerBytes - chunkPosition))
  const isConsistent = trailer.readUInt32BE(8) === chunkPosition + chunkCount * chunkRowBytes
  if (!isConsistent || tables.length !== chunkCount * chunkRowBytes + streams * directoryRowBytes) {
    return `the tables of ${name} are damaged`
  }
  await blobs.read(name, chunkPosition, tables)
  if (sumOf(header, tables) !== trailer.readUInt32BE(16)) return `the tables of ${name} are damaged`
  const directory = tables.subarray(chunkCount * chunkRowBytes)
  return {
    chunkPosition,
    chunks: Array.from({ length: chunkCount }, (_, row) => readChunk(tables, row)),
    extents: Array.from({ length: streams }, (_, row) => readDirectoryRow(directory, row, chunkPosition)),
  }
}

function readDirectoryRow(directory: Buffer, row: number, chunkPosition: number): Extent {
  const at = row * directoryRowBytes
  return {
    stream: directory.readUInt32BE(at),
    firstOffset: readInt64(directory, at + 4),
    lastOffset: readInt64(directory, at + 12),
    maxTimestamp: readInt64(directory, at + 20),
    position: directory.readUInt32BE(at + 28),
    bytes: directory.readUInt32BE(at + 32),
    chunkPosition: chunkPosition + directory.readUInt32BE(at + 36) * chunkRowBytes,
    chunkCount: directory.readUInt32BE(at + 40),
  }
}

const sumOf = (...parts: Buffer[]): number => parts.reduce((crc, part) => crc32c(part, 0, part.length, crc), 0)
