import type {
  AppendError,
  AppendResult,
  FetchRequest,
  FetchResult,
  StreamBounds,
  StreamId,
  StreamRead,
} from '../../../cell/client.ts'
import type { RecordBody } from '../../../storage/batch-builder.ts'
import { baseOffset, batchBytes, leaderEpoch, placeBatch } from '../../../storage/record-batch.ts'
import type { QueueStreams } from '../../volatile/volatile-streams.ts'
import { laneIndexOf, laneOffsets } from './lane-offsets.ts'

/** A stream of a queue that has several, with its place among them. */
export interface LaneStream {
  /** 0 is the most urgent. */
  readonly index: number
  readonly stream: StreamId
}

/**
 * The lanes of one queue as one stream, named by the id of the queue's own one. It is read by places (`lane-offsets.ts`); records go to lanes, by
 * the ids of their streams.
 */
export class LanedStreams implements QueueStreams {
  readonly #inner: QueueStreams
  readonly #own: StreamId
  readonly #end: number
  readonly #lanes = new Map<number, LaneStream>()
  /** Whoever watches, with what ends it for each lane. */
  readonly #watchers = new Map<() => void, (() => void)[]>()

  constructor(inner: QueueStreams, own: StreamId, laneCount: number) {
    this.#inner = inner
    this.#own = own
    this.#end = laneCount * laneOffsets
  }

  add(lane: LaneStream): void {
    this.#lanes.set(lane.index, lane)
    for (const [grown, unwatch] of this.#watchers) unwatch.push(this.#inner.watch(lane.stream, false, grown))
  }

  gather(stream: StreamId, record: RecordBody): number | AppendError {
    return this.#inner.gather(stream, record)
  }

  append(stream: StreamId, batch: Buffer, done: (result: AppendResult) => void): void {
    this.#inner.append(stream, batch, done)
  }

  /** One position, in one lane: nobody reads a queue otherwise. */
  fetch(request: FetchRequest, done: (result: FetchResult) => void): () => void {
    const [position] = request.streams
    const lane = position && this.#lanes.get(laneIndexOf(position.offset))
    if (!position || !lane) {
      const bounds = { startOffset: -1, endOffset: -1, stableOffset: -1 }
      const read: StreamRead = { error: 'stream-not-found', ...bounds, aborted: [], batches: [], bytes: 0 }
      done({ streams: request.streams.map(() => read), release: () => {} })
      return () => {}
    }
    const base = lane.index * laneOffsets
    const inner = { ...position, stream: lane.stream, offset: position.offset - base }
    return this.#inner.fetch({ ...request, streams: [inner] }, ({ streams, release }) => {
      const placed = streams.map(read => ({
        ...read,
        startOffset: read.startOffset + base,
        endOffset: read.endOffset + base,
        stableOffset: read.stableOffset + base,
        batches: read.batches.map(bytes => placedAt(bytes, base)),
      }))
      release()
      done({ streams: placed, release: () => {} })
    })
  }

  watch(_stream: StreamId, _committed: boolean, grown: () => void): () => void {
    const unwatch = Array.from(this.#lanes.values(), ({ stream }) => this.#inner.watch(stream, false, grown))
    this.#watchers.set(grown, unwatch)
    return () => {
      this.#watchers.delete(grown)
      for (const run of unwatch) run()
    }
  }

  /** Of all places that there could be. */
  bounds(): StreamBounds | undefined {
    const own = this.#inner.bounds(this.#own)
    return own && { ...own, startOffset: 0, endOffset: this.#end, stableOffset: this.#end }
  }

  /** Lanes are trimmed by whoever has their cursors. */
  async trim(): Promise<number> {
    return 0
  }

  sizeBytes(): number {
    return this.#sum(stream => this.#inner.sizeBytes(stream))
  }

  takenEnd(): number {
    return this.#sum(stream => this.#inner.takenEnd(stream))
  }

  unsettled(): number {
    return this.#sum(stream => this.#inner.unsettled(stream))
  }

  #sum(of: (stream: StreamId) => number): number {
    let sum = 0
    for (const { stream } of this.#lanes.values()) sum += of(stream)
    return sum
  }
}

/** A copy of whole batches with their base offsets moved up. */
function placedAt(bytes: Buffer, base: number): Buffer {
  const copy = Buffer.from(bytes)
  for (let at = 0; at < copy.length; at += batchBytes(copy, at)) {
    placeBatch(copy, at, baseOffset(copy, at) + base, leaderEpoch(copy, at))
  }
  return copy
}
