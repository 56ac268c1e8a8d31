import { keptCopy } from '@dragoman/wire'
import type {
  AppendError,
  AppendResult,
  CellClient,
  FetchRequest,
  FetchResult,
  StreamBounds,
  StreamId,
  StreamRead,
} from '../../cell/client.ts'
import { BatchBuilder, type RecordBody } from '../../storage/batch-builder.ts'
import * as batches from '../../storage/record-batch.ts'

/** What a queue needs of the streams that it is made of: those of the cell, or those that are kept in memory. */
export type QueueStreams = Pick<
  CellClient,
  'append' | 'gather' | 'fetch' | 'watch' | 'bounds' | 'trim' | 'sizeBytes' | 'unsettled' | 'takenEnd'
>

interface VolatileStreamsOptions {
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
}

/**
 * Streams that live in memory and nowhere else: no fact tells of them, and nothing waits for the disk. What is appended is there, and
 * confirmed, at once; who watches is told in a later turn, once for all that came in this one.
 */
export class VolatileStreams implements QueueStreams {
  /** Of all streams together. */
  bytes = 0
  readonly #streams = new Map<StreamId, VolatileStream>()
  readonly #grown = new Set<VolatileStream>()
  readonly #soon: (run: () => void) => void

  constructor({ soon }: VolatileStreamsOptions) {
    this.#soon = soon
  }

  add(id: StreamId): void {
    this.#streams.set(id, new VolatileStream())
  }

  /** With all that it holds. */
  remove(id: StreamId): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    this.#streams.delete(id)
    this.bytes -= stream.bytes
    this.#noticeGrown(stream)
  }

  append(id: StreamId, batch: Buffer, done: (result: AppendResult) => void): void {
    const stream = this.#streams.get(id)
    if (!stream) return done(refused('stream-not-found'))
    stream.settle()
    const baseOffset = stream.endOffset
    // The caller's bytes are only lent.
    const bytes = keptCopy(batch)
    batches.placeBatch(bytes, 0, baseOffset, 0)
    stream.add(bytes)
    this.bytes += bytes.length
    this.#noticeGrown(stream)
    done({ baseOffset, appendTimeMs: -1, startOffset: stream.startOffset })
  }

  gather(id: StreamId, record: RecordBody): number | AppendError {
    const stream = this.#streams.get(id)
    if (!stream) return 'stream-not-found'
    this.bytes += stream.gather(record)
    this.#noticeGrown(stream)
    return durableAlready
  }

  /** Answers at once with what there is: whoever wants to know of more watches. */
  fetch({ streams, maxBytes }: FetchRequest, done: (result: FetchResult) => void): () => void {
    let left = maxBytes
    let isFirst = true
    const found = streams.map(({ stream: id, offset, maxBytes: most }) => {
      const read = readOf(this.#streams.get(id), offset, Math.min(left, most), isFirst)
      left -= read.bytes
      if (read.bytes > 0) isFirst = false
      return read
    })
    done({ streams: found, release: () => {} })
    return () => {}
  }

  watch(id: StreamId, _committed: boolean, grown: () => void): () => void {
    const stream = this.#streams.get(id)
    if (!stream) return () => {}
    stream.watchers = [...stream.watchers, grown]
    return () => {
      stream.watchers = stream.watchers.filter(other => other !== grown)
    }
  }

  bounds(id: StreamId): StreamBounds | undefined {
    const stream = this.#streams.get(id)
    if (!stream) return undefined
    const { startOffset, endOffset } = stream
    return { startOffset, endOffset, stableOffset: endOffset, epoch: 0, startEpoch: 0 }
  }

  async trim(id: StreamId, offset: number): Promise<number> {
    const stream = this.#streams.get(id)
    if (!stream) return -1
    this.bytes -= stream.trim(offset)
    return stream.startOffset
  }

  /** Gives back the memory of batches in which nothing is needed any more, wherever they lie. */
  sweep(isNeeded: (stream: StreamId, offset: number) => boolean): void {
    for (const [id, stream] of this.#streams) this.bytes -= stream.sweep(offset => isNeeded(id, offset))
  }

  sizeBytes(id: StreamId): number {
    return this.#streams.get(id)?.bytes ?? 0
  }

  takenEnd(id: StreamId): number {
    return this.#streams.get(id)?.endOffset ?? 0
  }

  unsettled(): number {
    return 0
  }

  #noticeGrown(stream: VolatileStream): void {
    if (stream.watchers.length === 0) return
    this.#grown.add(stream)
    if (this.#grown.size === 1) this.#soon(() => this.#tellGrown())
  }

  #tellGrown(): void {
    const grown = [...this.#grown]
    this.#grown.clear()
    for (const { watchers } of grown) for (const tell of watchers) tell()
  }
}

/** Invariant: batches ascend; those before `#head` are gone. Swept ones leave holes, which readers pass over. */
class VolatileStream {
  startOffset = 0
  endOffset = 0
  bytes = 0
  watchers: readonly (() => void)[] = []
  #batches: Buffer[] = []
  #head = 0
  /** Records that came last and are in no batch yet. */
  #gathered: BatchBuilder | undefined

  /** Returns the bytes that it takes. */
  gather(record: RecordBody): number {
    const gathered = (this.#gathered ??= spare.pop() ?? new BatchBuilder())
    const before = gathered.count === 0 ? 0 : gathered.size
    gathered.add(record)
    const bytes = gathered.size - before
    this.bytes += bytes
    this.endOffset++
    if (gathered.size >= batchBytesMax) this.settle()
    return bytes
  }

  /** What was gathered becomes a batch. */
  settle(): void {
    const gathered = this.#gathered
    if (!gathered) return
    this.#gathered = undefined
    const { count, size } = gathered
    // It may stay long: out of the pool it would keep much more than itself.
    const batch = Buffer.allocUnsafeSlow(size)
    gathered.take(batch, 0)
    batches.placeBatch(batch, 0, this.endOffset - count, 0)
    this.#batches.push(batch)
    if (spare.length < spareMax && gathered.capacity <= spareBytesMax) spare.push(gathered)
  }

  add(batch: Buffer): void {
    this.#batches.push(batch)
    this.endOffset = batches.lastOffset(batch) + 1
    this.bytes += batch.length
  }

  /** Returns the bytes that became free. */
  trim(offset: number): number {
    this.settle()
    const all = this.#batches
    let freed = 0
    this.startOffset = Math.max(this.startOffset, Math.min(offset, this.endOffset))
    for (let batch = all[this.#head]; batch && batches.lastOffset(batch) < this.startOffset; batch = all[this.#head]) {
      freed += batch.length
      all[this.#head++] = noBytes
    }
    if (this.#head === all.length) this.#restart([])
    else if (this.#head > 32 && this.#head * 2 > all.length) this.#restart(all.slice(this.#head))
    this.bytes -= freed
    return freed
  }

  /** Returns the bytes that became free. */
  sweep(isNeeded: (offset: number) => boolean): number {
    this.settle()
    let freed = 0
    const kept = this.#batches.slice(this.#head).filter(batch => {
      const last = batches.lastOffset(batch)
      for (let offset = batches.baseOffset(batch); offset <= last; offset++) if (isNeeded(offset)) return true
      freed += batch.length
      return false
    })
    this.#restart(kept)
    this.bytes -= freed
    return freed
  }

  /** The batch that holds the offset or is the first behind it, and those that follow, up to so many bytes but one at least when `isFirst`. */
  read(offset: number, maxBytes: number, isFirst: boolean): Buffer[] {
    this.settle()
    const all = this.#batches
    let low = this.#head
    for (let high = all.length; low < high;) {
      const middle = (low + high) >>> 1
      const batch = all[middle]
      if (batch && batches.lastOffset(batch) < offset) low = middle + 1
      else high = middle
    }
    const found: Buffer[] = []
    let bytes = 0
    for (let at = low, batch = all[at]; batch; batch = all[++at]) {
      if (bytes + batch.length > maxBytes && (found.length > 0 || !isFirst)) break
      found.push(batch)
      bytes += batch.length
    }
    return found
  }

  #restart(all: Buffer[]): void {
    this.#batches = all
    this.#head = 0
  }
}

function readOf(stream: VolatileStream | undefined, offset: number, maxBytes: number, isFirst: boolean): StreamRead {
  const none = { aborted: [], batches: [], bytes: 0 }
  if (!stream) return { ...none, error: 'stream-not-found', startOffset: -1, endOffset: -1, stableOffset: -1 }
  const { startOffset, endOffset } = stream
  const bounds = { startOffset, endOffset, stableOffset: endOffset }
  if (offset < startOffset || offset > endOffset) return { ...none, error: 'offset-out-of-range', ...bounds }
  const found = stream.read(offset, maxBytes, isFirst)
  return { aborted: [], batches: found, bytes: found.reduce((sum, { length }) => sum + length, 0), ...bounds }
}

const noBytes = Buffer.alloc(0)

/** The number of a block that is durable, whatever the newest is. */
const durableAlready = -1
/** Batches are made of what comes in one turn, up to so many bytes. */
const batchBytesMax = 16 * 1024
const spare: BatchBuilder[] = []
const spareMax = 64
/** One that a large message has made grow is not kept. */
const spareBytesMax = 4 * batchBytesMax

const refused = (error: AppendError): AppendResult => ({ error, baseOffset: -1, appendTimeMs: -1, startOffset: -1 })
