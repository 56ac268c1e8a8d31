import type { Slab } from '../storage/slab.ts'
import type { Cell } from './cell.ts'
import type { FetchPosition, FetchRequest, FetchResult, StreamRead } from './client.ts'
import { StreamReader } from './reader.ts'
import { extent, tail } from './stream.ts'
import type { Stream, StreamWaiter } from './stream.ts'

/** Answers fetches: at once when enough is there, else when it is or the time is up. */
export class Fetcher {
  readonly #cell: Cell
  readonly reader: StreamReader

  constructor(cell: Cell) {
    this.#cell = cell
    this.reader = new StreamReader(cell)
  }

  fetch(request: FetchRequest, done: (result: FetchResult) => void): () => void {
    const available = this.#available(request)
    if (available >= request.minBytes || request.maxWaitMs <= 0 || this.#cell.closing)
      return this.#answer(request, done)
    return new WaitingFetch(this.#cell, request, available, () => this.#answer(request, done)).cancel
  }

  /** Bytes that a read would find, no more precisely than `minBytes` needs. Infinite when an error is to be told. */
  #available({ streams, minBytes, committed = false }: FetchRequest): number {
    let sum = 0
    for (const position of streams) {
      sum += availableIn(this.#cell.state.streams.get(position.stream), position, committed)
      if (sum >= minBytes) break
    }
    return sum
  }

  #answer(request: FetchRequest, done: (result: FetchResult) => void): () => void {
    const held: Slab[] = []
    const results: StreamRead[] = []
    const pending = this.#readFrom(request, 0, request.maxBytes, results, held)
    const release = (): void => {
      for (const slab of held) slab.release()
      held.length = 0
    }
    if (!pending) {
      done({ streams: results, release })
      return nothing
    }
    let cancelled = false
    pending.then(
      () => (cancelled ? release() : done({ streams: results, release })),
      (error: unknown) => this.#cell.options.onFatal(error instanceof Error ? error : new Error(String(error))),
    )
    return () => {
      cancelled = true
    }
  }

  /** Reads streams in order while they are in memory; goes on asynchronously behind the first that is not. */
  #readFrom(
    request: FetchRequest,
    index: number,
    budget: number,
    results: StreamRead[],
    held: Slab[],
  ): Promise<void> | undefined {
    let left = budget
    for (let at = index; at < request.streams.length; at++) {
      const position = request.streams[at]!
      const stream = this.#cell.state.streams.get(position.stream)
      if (!stream) {
        results.push(missingStream)
        continue
      }
      const first = left === request.maxBytes
      const bytesMax = Math.min(left, position.maxBytes)
      const read = this.reader.read(stream, position.offset, bytesMax, first, held, request.committed)
      if (read instanceof Promise) {
        return read.then(found => {
          results.push(found)
          return this.#readFrom(request, at + 1, left - found.bytes, results, held)
        })
      }
      results.push(read)
      left -= read.bytes
    }
    return undefined
  }
}

const missingStream: StreamRead = {
  error: 'stream-not-found',
  startOffset: -1,
  endOffset: -1,
  stableOffset: -1,
  aborted: [],
  batches: [],
  bytes: 0,
}
const nothing = (): void => {}

/** Bytes that a read would find, at most as many as the position asks for. Infinite when an error is to be told. */
export function availableIn(
  stream: Stream | undefined,
  { offset, maxBytes }: FetchPosition,
  committed: boolean,
): number {
  if (!stream || offset < stream.startOffset || offset > stream.visibleEnd) return Infinity
  const end = committed ? stream.stableEnd : stream.visibleEnd
  if (offset >= end) return 0
  let bytes = 0
  if (offset < stream.tailStart) {
    for (let row = stream.extentAt(offset); row < stream.extents.count && bytes < maxBytes; row++) {
      if (stream.extents.get(row, extent.first) >= end) break
      bytes += stream.extents.get(row, extent.bytes)
    }
  }
  const first = Math.max(0, stream.tail.lastAtMost(tail.base, offset))
  for (let row = first; row < stream.tail.count && bytes < maxBytes; row++) {
    if (stream.tail.get(row, tail.last) >= end) break
    bytes += stream.tail.get(row, tail.bytes)
  }
  return Math.min(bytes, maxBytes)
}

/** One long poll: counts what its streams grow by. */
class WaitingFetch implements StreamWaiter {
  readonly committed: boolean
  readonly #streams: Stream[] = []
  readonly #cancelTimer: () => void
  readonly #answer: () => () => void
  #missing: number
  #over = false
  #cancelAnswer: (() => void) | undefined

  constructor(cell: Cell, request: FetchRequest, available: number, answer: () => () => void) {
    this.committed = request.committed ?? false
    this.#missing = request.minBytes - available
    this.#answer = answer
    this.#cancelTimer = cell.clock.after(request.maxWaitMs, () => this.#finish())
    for (const position of request.streams) {
      const stream = cell.state.streams.get(position.stream)
      if (!stream) continue
      this.#streams.push(stream)
      if (stream.waiters) stream.waiters.push(this)
      else stream.waiters = [this]
    }
  }

  readonly cancel = (): void => {
    this.#leave()
    this.#cancelAnswer?.()
  }

  grown(bytes: number): void {
    if (bytes === 0) return
    this.#missing -= bytes
    if (this.#missing <= 0) this.#finish()
  }

  #finish(): void {
    if (this.#over) return
    this.#leave()
    this.#cancelAnswer = this.#answer()
  }

  #leave(): void {
    if (this.#over) return
    this.#over = true
    this.#cancelTimer()
    for (const stream of this.#streams) {
      const waiters = stream.waiters!
      const index = waiters.indexOf(this)
      waiters[index] = waiters.at(-1)!
      waiters.pop()
    }
  }
}
