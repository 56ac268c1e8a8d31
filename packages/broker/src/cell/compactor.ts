import { BatchRecords } from '../storage/batch-records.ts'
import * as batches from '../storage/record-batch.ts'
import type { Placement } from './checkpoint.ts'
import { CompactionFilter, isAborted } from './compaction-filter.ts'
import type { Passed } from './compaction-filter.ts'
import type { CellCore } from './core.ts'
import { KeyMap } from './key-map.ts'
import type { CompactionPolicy } from './options.ts'
import type { Pace } from './pace.ts'
import { findRuns, pieceAt, Rewrite, shareMax } from './rewriter.ts'
import type { CreateSegment, Rewritten } from './rewriter.ts'
import { extent } from './stream.ts'
import type { Stream } from './stream.ts'

/** Bytes that one step copies from, in flushes: then what it has made takes effect, and other rewriting has its turn. */
const stepFlushes = 8
/** Segments that are read from at a time. */
const sourcesMax = 16
/** Records between two looks at the clock. */
const recordsPerLook = 64
/** A step that failed or did not find room is tried again after this. */
const restMs = 60_000
/** Of the greatest lag, between two looks. */
const patienceShare = shareMax / 2
/** No lag makes it look more often. */
const patienceMsMin = 1000

/** One compaction of one stream, from its start to `until`. */
interface Pass {
  stream: Stream
  until: number
  keys: KeyMap
  filter: CompactionFilter
  /** Everything before is copied. */
  next: number
  startedMs: number
}

/** How much of a stream could be compacted. */
export interface Dirt {
  /** Where the dirty part begins, and where what cannot be compacted yet does. */
  from: number
  until: number
  /** Of the bytes up to `until`, the share from `from` on. */
  ratio: number
  /** There is a record that must not wait longer. */
  isOverdue: boolean
}

/**
 * Keeps of each key only the newest record, in the streams that ask for it. A *pass* notes the newest offset of each key in the
 * dirty part of a stream, then copies the stream from its start without what is superseded. It goes in *steps*: each makes one
 * new segment at most, which takes effect before the next step begins. So what is stored is at any time a log of which
 * some older records are compacted and the others are not, and a crash costs only the work of the pass.
 *
 * Never compacted, like the newest segment file of other logs: the tail, the last stable record, and what is younger than the
 * least lag. Offsets do not change.
 */
export class Compactor {
  readonly #cell: CellCore
  readonly #placement: Placement
  readonly #pace: Pace
  /** Streams that are to be compacted when there is enough to do. */
  #candidates: number[] | undefined
  /**
   * So often streams must be flushed and looked at, that none of their records waits longer than it may. What is overdue is compacted a
   * quarter of the greatest lag early.
   */
  patienceMs = Infinity
  #pass: Pass | undefined
  /** The stream that was compacted last: the others have their turn first. */
  #lastId = -1
  #restUntilMs = 0

  constructor(cell: CellCore, placement: Placement, pace: Pace) {
    this.#cell = cell
    this.#placement = placement
    this.#pace = pace
  }

  /** Finds the streams that are to be compacted: to be called now and then, because there may be very many others. */
  look(): void {
    this.#candidates = []
    let lagMs = Infinity
    for (const stream of this.#cell.state.streams.values()) {
      const policy = this.#policyOf(stream)
      if (!policy) continue
      this.#candidates.push(stream.id)
      if (policy.lagMaxMs < lagMs) lagMs = policy.lagMaxMs
    }
    this.patienceMs = Math.max(patienceMsMin, lagMs * patienceShare)
    this.#candidates.sort((a, b) => a - b)
  }

  /** One step; undefined when there is nothing to do, or no room. Streams that lie in one of `unreadable` are left alone. */
  begin(
    create: CreateSegment,
    mustStop: () => boolean,
    unreadable: ReadonlySet<number>,
  ): Promise<Rewritten | undefined> | undefined {
    const { clock, full } = this.#cell
    if (full || clock.monotonicMs() < this.#restUntilMs) return undefined
    const streams = this.#dueStreams(unreadable)
    if (streams.length === 0) return undefined
    return this.#step(streams, new Rewrite(this.#cell, this.#placement, create, mustStop, this.#pace, sourcesMax))
  }

  /** The stream of the pass under way, or those that are due, in the order of their ids from the one behind the last on. */
  #dueStreams(unreadable: ReadonlySet<number>): Stream[] {
    const { state } = this.#cell
    if (this.#pass) {
      const { stream } = this.#pass
      if (state.streams.get(stream.id) === stream && this.#policyOf(stream)) return [stream]
      this.#pass = undefined
    }
    if (!this.#candidates) this.look()
    const due: Stream[] = []
    for (const id of this.#candidates ?? []) {
      const stream = state.streams.get(id)
      if (stream && this.#isDue(stream, unreadable)) due.push(stream)
    }
    const behind = due.filter(({ id }) => id > this.#lastId)
    return behind.length > 0 ? behind : due
  }

  #isDue(stream: Stream, unreadable: ReadonlySet<number>): boolean {
    const policy = this.#policyOf(stream)
    if (!policy) return false
    const dirt = dirtOf(stream, policy, this.#cell.clock.nowMs())
    if (!dirt || !(dirt.isOverdue || dirt.ratio > policy.dirtyRatioMin)) return false
    for (let row = 0; row < stream.extents.count && unreadable.size > 0; row++) {
      if (unreadable.has(stream.extents.get(row, extent.segment))) return false
    }
    return true
  }

  #policyOf(stream: Stream): CompactionPolicy | undefined {
    return this.#cell.options.retentionOf(stream.id)?.compaction
  }

  async #step(streams: Stream[], rewrite: Rewrite): Promise<Rewritten | undefined> {
    const finished: Pass[] = []
    try {
      if (!(await this.#hasRoom(streams))) return undefined
      this.#pace.begin()
      const bytesMax = this.#cell.options.sizes.flushBytes * stepFlushes
      for (const stream of streams) {
        const pass = (this.#pass ??= await this.#plan(stream, rewrite))
        if (pass && (await this.#copy(pass, rewrite, bytesMax))) {
          finished.push(pass)
          this.#lastId = stream.id
          this.#pass = undefined
        }
        if (rewrite.isStopped || this.#pass || rewrite.bytesRead >= bytesMax) break
      }
      const rewritten = await rewrite.finish()
      if (!rewritten) this.#pass = undefined
      else this.#tell(finished)
      return rewritten && { ...rewritten, compacted: finished.map(({ stream, until }) => ({ stream, to: until })) }
    } catch (error) {
      this.#pass = undefined
      this.#restUntilMs = this.#cell.clock.monotonicMs() + restMs
      await rewrite.abort()
      throw error
    }
  }

  /** A copy must not take the room that is reserved for other things. */
  async #hasRoom(streams: readonly Stream[]): Promise<boolean> {
    const { options, clock } = this.#cell
    const room = (await options.chain.room?.()) ?? Infinity
    const most = options.sizes.flushBytes * stepFlushes
    let wanted = 0
    for (const { bytes } of streams) wanted = Math.min(most, wanted + bytes)
    if (room >= wanted) return true
    this.#restUntilMs = clock.monotonicMs() + restMs
    options.log('warn', 'Compaction waits for room on the disk', { wanted, room: Math.max(0, room) })
    return false
  }

  /** Notes the keys of the dirty part. Undefined when there is none any more, or it had to stop. */
  async #plan(stream: Stream, rewrite: Rewrite): Promise<Pass | undefined> {
    const { clock, options } = this.#cell
    const policy = this.#policyOf(stream)
    const nowMs = clock.nowMs()
    const dirt = policy && dirtOf(stream, policy, nowMs)
    if (!dirt) return undefined
    const startedMs = clock.monotonicMs()
    const keys = new KeyMap(dirt.from, dirt.until - dirt.from, options.sizes.keyMapBytes)
    const until = await noteKeys(stream, dirt, keys, rewrite, this.#pace)
    if (rewrite.isStopped) return undefined
    const { deleteRetentionMs } = policy
    const filter = new CompactionFilter({ stream, keys, until, nowMs, deleteRetentionMs, pace: this.#pace })
    return { stream, until, keys, filter, next: stream.startOffset, startedMs }
  }

  /** Copies on where the pass stands. True when it is at its end. */
  async #copy(pass: Pass, rewrite: Rewrite, bytesMax: number): Promise<boolean> {
    const { stream, until, filter } = pass
    const before = rewrite.bytesRead // For the keys.
    while (pass.next < until && rewrite.bytesRead - before < bytesMax) {
      const row = stream.extentAt(pass.next)
      if (row === stream.extents.count || stream.extents.get(row, extent.first) >= until) return true
      const [run] = findRuns(this.#cell, stream, () => true, { from: row, runsMax: 1 })
      if (!run) return true
      await rewrite.copy(run, batch => filter.filter(batch))
      if (rewrite.isStopped) return false
      pass.next = run.pieces.at(-1)!.last + 1
    }
    return pass.next >= until
  }

  #tell(finished: readonly Pass[]): void {
    if (finished.length === 0) return
    const sum: Passed = { bytesRead: 0, bytesKept: 0, recordsRead: 0, recordsKept: 0, unreadable: 0 }
    for (const { filter } of finished) {
      for (const name of Object.keys(sum) as (keyof Passed)[]) sum[name] += filter.passed[name]
    }
    const [first] = finished
    const { unreadable, ...counts } = sum
    this.#cell.options.log('info', 'Compacted', {
      ...(finished.length === 1 && first
        ? { stream: first.stream.id, below: first.until }
        : { streams: finished.length }),
      keys: finished.reduce((count, { keys }) => count + keys.count, 0),
      ...counts,
      ...(unreadable > 0 ? { unreadableBatches: unreadable } : {}),
      ms: Math.round(this.#cell.clock.monotonicMs() - Math.min(...finished.map(({ startedMs }) => startedMs))),
    })
  }
}

/** What of a stream could be compacted now; undefined when nothing could. */
export function dirtOf(stream: Stream, policy: CompactionPolicy, nowMs: number): Dirt | undefined {
  const { extents } = stream
  const from = Math.max(stream.compactedTo, stream.startOffset)
  const end = stream.stableEnd - 1
  let until = from
  let cleanBytes = 0
  let dirtyBytes = 0
  let isOverdue = false
  for (let row = 0; row < extents.count; row++) {
    const first = extents.get(row, extent.first)
    const next = extents.get(row, extent.last) + 1
    const newestMs = extents.get(row, extent.maxTimestamp)
    if (next > from && (first >= end || (policy.lagMinMs > 0 && newestMs > nowMs - policy.lagMinMs))) break
    const bytes = extents.get(row, extent.bytes) / (next - first)
    cleanBytes += bytes * Math.max(0, Math.min(next, from) - first)
    dirtyBytes += bytes * Math.max(0, Math.min(next, end) - Math.max(first, from))
    if (next <= from) continue
    until = Math.min(next, end)
    // An extent may hold records that are older than its newest by this share.
    isOverdue ||= newestMs < nowMs - policy.lagMaxMs * (1 - shareMax)
  }
  return until > from ? { from, until, ratio: dirtyBytes / (cleanBytes + dirtyBytes), isOverdue } : undefined
}

/** Returns where the keys end: at `until`, or before it when no more of them fit. */
async function noteKeys(
  stream: Stream,
  { from, until }: Dirt,
  keys: KeyMap,
  rewrite: Rewrite,
  pace: Pace,
): Promise<number> {
  const records = new BatchRecords()
  for (let next = from; next < until && !rewrite.isStopped;) {
    const row = stream.extentAt(next)
    if (row === stream.extents.count || stream.extents.get(row, extent.first) >= until) break
    const piece = pieceAt(stream, row)
    for await (const bytes of rewrite.chunks(stream, piece)) {
      if (pace.isDue) await pace.rest()
      for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
        if (batches.lastOffset(bytes, at) < from || batches.baseOffset(bytes, at) >= until) continue
        const batch = bytes.subarray(at, at + batches.batchBytes(bytes, at))
        if (batches.attributes(batch) & batches.attributeBits.control || isAborted(stream, batch)) continue
        const full = await noteBatch(batch, { from, until }, keys, records, pace)
        if (full !== undefined) return full
      }
    }
    next = piece.last + 1
  }
  return until
}

/** The offset from which on keys do not fit, if there is one. */
async function noteBatch(
  batch: Buffer,
  { from, until }: { from: number; until: number },
  keys: KeyMap,
  records: BatchRecords,
  pace: Pace,
): Promise<number | undefined> {
  const base = batches.baseOffset(batch)
  records.open(batch)
  while (records.next());
  if (!records.isSound) return undefined // It stays as it is, and nothing gives way to what nobody may be able to read.
  records.rewind()
  for (let count = 1; records.next(); count++) {
    if (count % recordsPerLook === 0 && pace.isDue) await pace.rest()
    const offset = base + records.offsetDelta
    if (offset < from || records.keyBytes < 0) continue
    if (offset >= until) break
    if (offset >= keys.end || !keys.set(records, offset)) return offset
  }
  return undefined
}
