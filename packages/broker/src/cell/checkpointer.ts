import { Writer } from '@dragoman/wire'
import { DiskError } from '../runtime/runtime.ts'
import type { BlobWriter, CreateOptions } from '../storage/blob-store.ts'
import { crc32c } from '../storage/crc32c.ts'
import type { ChainPoint } from '../storage/claim.ts'
import { Corrupt, Fenced } from '../storage/errors.ts'
import { segmentHeader, segmentName, SegmentWriter } from '../storage/segment.ts'
import type { Extent } from '../storage/segment.ts'
import { abortedEnds, forgetAborted } from './aborted.ts'
import type { AbortedEnd } from './aborted.ts'
import { Compactor } from './compactor.ts'
import type { CellCore } from './core.ts'
import { checkpointName, nameOf, saveCompacted, saveExtents, segmentsNamedBy, writeCheckpoint } from './checkpoint.ts'
import type { Placement, SegmentInfo, Usage } from './checkpoint.ts'
import { Pace } from './pace.ts'
import { enforceRetention } from './retention.ts'
import { LargeBatches } from './large-batches.ts'
import type { OpenSegment } from './large-batches.ts'
import type { Restore } from './restore.ts'
import { chooseSegments, installRewritten, rewriteSegments, UnreadableSegment } from './rewriter.ts'
import type { CreateSegment, Rewritten } from './rewriter.ts'
import { SettledRecords } from './settled.ts'
import { cellFacts, cellMachine } from './state.ts'
import { tail } from './stream.ts'
import type { Stream } from './stream.ts'

/** A stream's batches that go to a segment. */
interface Plan {
  stream: Stream
  /** Rows of the tail up to the cut; the first `skip` of them lie below the start. */
  rows: number
  skip: number
}

/** Blocks up to the cut, with the state at that point in bytes. */
interface Cut {
  seq: number
  point: Promise<ChainPoint>
  state: Buffer
  extents: Buffer
  compacted: Buffer
  aborted: AbortedEnd[]
  usage: Map<number, Usage>
  plans: Plan[]
  /** Where large batches were put since the last cut: the flush goes on there. */
  segment: OpenSegment | undefined
  /** Segments of large batches up to the cut that nobody will finish: left by a crash, or by a flush that failed. */
  abandoned: SegmentInfo[]
}

interface WrittenSegment {
  id: number
  name: string
  bytes: number
  extents: Extent[]
}

const retryMs = 1000
/** The journal may take so many times the bytes of a flush on the disk. */
const journalShare = 2
/** On a full disk what was trimmed is wanted back soon. */
const fullFlushMs = 1000
/** A merge that did not find room is not begun again before this. */
const restMs = 600_000
const noBytes = new Uint8Array(0)

/**
 * Moves flushed blocks into segments and makes checkpoints, one at a time, in the background:
 *
 *   cut the journal after block P, take the state there · write the tail up to P into a segment, behind the large batches that
 *   lie there already (`large-batches.ts`) · wait until P is durable ·
 *   write checkpoint P, which names the segment · give the tail's memory back · drop blocks below the checkpoint before (R6)
 *   and segments that neither of the newest two checkpoints names.
 *
 * The newest two checkpoints are kept, and the blocks behind the older one: a damaged checkpoint costs a longer replay.
 *
 * Beside it, one rewrite of segments may be under way (`rewriter.ts`); it takes effect with the next checkpoint.
 */
export class Checkpointer {
  readonly #cell: CellCore
  readonly placement: Placement
  readonly large: LargeBatches
  /** Numbers of the checkpoints that are kept, ascending, and the segments that each names. */
  readonly #compactor: Compactor
  readonly #pace: Pace
  readonly #settled: SettledRecords
  readonly #kept: { seq: number; segments: Set<number>; aborted?: AbortedEnd[] }[] = []
  readonly #restore: Restore
  #running: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #dueMs = 0
  #cancelRetention: (() => void) | undefined
  #stopped = false
  #droppedTo = 0
  #segmentNumber = 0
  #lastSeq: number
  /** There is something to write down though no fact has come: segments that moved, or that only the older checkpoint names. */
  #isWanted = false
  #rewriting: Promise<void> | undefined
  #rewritten: Rewritten | undefined
  /** What was rewritten is to be written down without delay. */
  #isHurried = false
  #restUntilMs = 0
  /** Segments that could not be read when they were to be rewritten. */
  readonly #unreadable = new Set<number>()
  /** The last flush found no room. */
  isDiskFull = false

  constructor(cell: CellCore, restore: Restore) {
    this.#cell = cell
    this.#restore = restore
    this.placement = restore.placement
    this.#pace = new Pace(cell.options.clock)
    this.#settled = new SettledRecords(cell)
    this.#compactor = new Compactor(cell, this.placement, this.#pace)
    this.large = new LargeBatches(cell, this.placement, () => this.#nameSegment())
    this.#lastSeq = restore.from?.seq ?? -1
    if (restore.from) this.#kept.push({ seq: restore.from.seq, segments: new Set(this.placement.segments.keys()) })
  }

  /** Clears away what crashes left behind and begins to look after retention. */
  async start(): Promise<void> {
    for (const { name } of this.placement.open.values()) await this.#cell.options.blobs.settle?.(name)
    await this.#recallOlder()
    if (this.#cell.options.exclusive && this.#restore.unreadable.length === 0) await this.#sweep()
    this.#scheduleRetention()
    if (this.#cell.journal.keptBytes > 0) this.noticeFact()
  }

  /** Called for each fact: begins a flush when enough has gathered, and sees to it that one comes in time. */
  noticeFact(): void {
    if (this.#stopped) return
    if (!this.#running && this.#isDue) this.#begin()
    else if (!this.#cancelTimer || this.#cell.full) this.#schedule()
  }

  get #isDue(): boolean {
    const { journal, options } = this.#cell
    const { flushBytes, largeFlushBytes } = options.sizes
    // Small blocks fill the journal's files with little: it must not outgrow those that are there to be used again.
    if (journal.keptPageBytes >= flushBytes * journalShare) return true
    return journal.keptBytes + journal.pendingBytes >= flushBytes || this.large.openBytes >= largeFlushBytes
  }

  #schedule(): void {
    const { clock, sizes } = this.#cell.options
    const delayMs = Math.min(
      sizes.flushIntervalMs,
      this.#compactor.patienceMs,
      this.#cell.full ? fullFlushMs : Infinity,
    )
    const dueMs = clock.monotonicMs() + delayMs
    if (this.#cancelTimer && dueMs >= this.#dueMs) return
    this.#cancelTimer?.()
    this.#dueMs = dueMs
    this.#cancelTimer = clock.after(delayMs, () => {
      this.#cancelTimer = undefined
      this.#begin()
    })
  }

  /** Flushes everything that is there now. */
  async flush(): Promise<void> {
    while (this.#running) await this.#running
    this.#begin()
    await this.#running
  }

  /** Also ends the rewriting that a flush may have begun, and writes down its results. */
  async settle(): Promise<void> {
    await this.flush()
    while (this.#rewriting || this.#rewritten || this.#running) {
      await this.#rewriting
      await this.flush()
    }
  }

  /** A last flush, unless the disk is full or the cell fenced: then the journal has it all. */
  async stop(): Promise<void> {
    await this.abandon()
    try {
      await this.#cell.journal.durable(this.#cell.journal.lastSeq)
      await this.#run()
    } catch (error) {
      if (!(error instanceof Fenced)) this.#cell.options.log('warn', `No checkpoint at the end: ${String(error)}`)
    }
  }

  /** Begins nothing any more; resolves when what is under way has ended. */
  async abandon(): Promise<void> {
    this.#stopped = true
    this.#pace.end()
    this.#cancelTimers()
    await this.#running
    await this.#rewriting
  }

  #cancelTimers(): void {
    this.#cancelTimer?.()
    this.#cancelRetention?.()
    this.#cancelTimer = this.#cancelRetention = undefined
  }

  /** Not within the call: the fact that asks for it is still being applied. */
  #begin(): void {
    if (this.#running || this.#stopped) return
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#running = Promise.resolve()
      .then(() => this.#run())
      .then(
        () => this.#succeeded(),
        (error: unknown) => this.#failed(error),
      )
      .then(again => {
        this.#running = undefined
        this.#cell.relieve()
        if (this.#stopped) return
        const { journal } = this.#cell
        if (again || this.#isHurried || this.#isDue) this.#begin()
        else if (journal.keptBytes + journal.pendingBytes > 0 || this.#isWanted) this.#schedule()
      })
  }

  #succeeded(): false {
    this.#cell.options.room?.found('flush')
    return (this.isDiskFull = false)
  }

  /** Whether to try again. */
  async #failed(error: unknown): Promise<boolean> {
    const { options } = this.#cell
    if (error instanceof Fenced || this.#stopped) return false
    if (error instanceof Contested) {
      options.log('warn', `The flush will be tried again: ${error.message}`)
      await new Promise<void>(resolve => options.clock.after(retryMs, resolve))
      return true
    }
    if (!(error instanceof DiskError) || error.code !== 'full') {
      // Whether the checkpoint exists is not known: what it would name must neither be removed nor built upon.
      this.#cell.fail(error instanceof Error ? error : new Error(String(error)))
      return false
    }
    options.room?.missing('flush', error)
    this.isDiskFull = true
    await new Promise<void>(resolve => options.clock.after(retryMs, resolve))
    return true
  }

  async #run(): Promise<void> {
    const cell = this.#cell
    await cell.journal.ending()
    if (this.#rewritten) {
      installRewritten(cell, this.placement, this.#rewritten)
      this.#rewritten = undefined
      this.#isHurried = false
      this.#isWanted = true
    }
    const cut = this.#cut()
    if (!cut) return
    const written = await this.#writeSegment(cut)
    try {
      const point = await cut.point
      await this.#putCheckpoint(cut, point, written)
    } catch (error) {
      const isCertain = !(error instanceof DiskError && error.code === 'io')
      if (written && isCertain && !cut.segment) await cell.options.blobs.drop([written.name])
      throw error
    }
    this.#install(cut, written)
    await this.#clearAway()
    this.#beginRewrite(cut.usage)
  }

  /** Segments that are mostly dead or hold many small pieces are copied while everything else goes on. */
  #beginRewrite(usage: ReadonlyMap<number, Usage>): void {
    if (this.#rewriting || this.#rewritten || this.#stopped) return
    const { clock } = this.#cell
    const mayMerge = !this.#cell.full && clock.monotonicMs() >= this.#restUntilMs
    const needed = this.#settled.deduct(usage)
    const chosen = chooseSegments(this.#cell, this.placement, needed, this.#unreadable, mayMerge)
    if (chosen.size === 0) return this.#beginCompaction()
    // What was chosen on a full disk is little and gives room; else the copy must not take the reserve.
    const wasFull = this.#cell.full
    const isStopped = () => this.#stopped || (this.#cell.full && !wasFull)
    const how = { create: this.#createSteadily, mustStop: isStopped, settled: this.#settled }
    const rewriting = rewriteSegments(this.#cell, this.placement, chosen, how)
    this.#await(rewriting, rewritten => {
      this.#rewritten = rewritten
      if (!rewritten) this.#restUntilMs = clock.monotonicMs() + restMs
      if (rewritten && !this.#stopped) this.#schedule()
    })
  }

  /** One step of compaction. What it has made is written down at once, so that the next step can begin. */
  #beginCompaction(): void {
    if (this.#rewriting || this.#rewritten || this.#stopped) return
    const isStopped = () => this.#stopped || this.#cell.full
    const compacting = this.#compactor.begin(this.#createSteadily, isStopped, this.#unreadable)
    if (!compacting) return
    this.#await(compacting, rewritten => {
      this.#rewritten = rewritten
      this.#isHurried = rewritten !== undefined
      if (rewritten) this.#begin()
    })
  }

  #await(rewriting: Promise<Rewritten | undefined>, ended: (rewritten: Rewritten | undefined) => void): void {
    this.#rewriting = rewriting
      .then(ended, (error: unknown) => this.#rewriteFailed(error))
      .then(() => {
        this.#rewriting = undefined
      })
  }

  #rewriteFailed(error: unknown): void {
    const { options } = this.#cell
    if (this.#stopped) return
    if (error instanceof UnreadableSegment) {
      this.#unreadable.add(error.segment)
      if (this.placement.segments.has(error.segment))
        options.log('error', `A segment cannot be rewritten: ${error.message}`)
    } else if (error instanceof DiskError && error.code === 'full') {
      this.#restUntilMs = this.#cell.clock.monotonicMs() + restMs
      options.log('warn', `Segments were not rewritten: ${error.message}`)
    } else this.#cell.fail(error instanceof Error ? error : new Error(String(error)))
  }

  /** The state at a block's end, taken in one go. Undefined when nothing has happened since the last one. */
  #cut(): Cut | undefined {
    const { journal, state } = this.#cell
    if (this.#isWanted && journal.lastSeq === this.#lastSeq) this.#cell.fact(cellMachine, cellFacts.mark, noBytes)
    const seq = journal.cut()
    if (seq === this.#lastSeq) return undefined
    this.#isWanted = false
    const out = new Writer()
    state.save(out)
    const { bytes: extents, usage } = saveExtents(state)
    const plans: Plan[] = []
    for (const stream of [...state.streams.values()].sort((a, b) => a.id - b.id)) {
      const rows = stream.tailRowsThrough(seq)
      let skip = 0
      while (skip < rows && stream.tail.get(skip, tail.last) < stream.startOffset) skip++
      if (rows > 0) plans.push({ stream, rows, skip })
    }
    const compacted = saveCompacted(state)
    const aborted = abortedEnds(state)
    const segment = this.large.seal()
    const abandoned = [...this.placement.open.values()].filter(({ id }) => id !== segment?.id)
    const point = this.#pointAt(seq)
    return { seq, point, state: out.take(), extents, compacted, aborted, usage, plans, segment, abandoned }
  }

  /** Where the chain stands at block `seq`, which is the newest one: known when it is durable, and only then. */
  #pointAt(seq: number): Promise<ChainPoint> {
    const { journal } = this.#cell
    const found = new Promise<ChainPoint>((resolve, reject) => {
      journal.durable(seq).catch(reject)
      journal.whenDurable(seq, () => resolve(journal.durablePoint), undefined)
    })
    found.catch(() => {}) // Awaited only after the segment is written.
    return found
  }

  #nameSegment(): { id: number; number: number; name: string } {
    const number = this.#segmentNumber++
    return {
      id: this.placement.nextSegment++,
      number,
      name: segmentName(this.#cell.options.cell, this.#cell.epoch, number),
    }
  }

  readonly #createSteadily: CreateSegment = () => this.#createSegment({ steadily: true })

  async #createSegment(how: CreateOptions): ReturnType<CreateSegment> {
    const { options, epoch } = this.#cell
    const { id, number, name } = this.#nameSegment()
    const blob = await options.blobs.create(name, how)
    const append: BlobWriter['append'] = async parts => {
      await blob.append(parts)
      options.chain.noteWritten?.(sizeOf(parts))
    }
    return { id, name, writer: new SegmentWriter({ ...blob, append }, segmentHeader(options.cell, epoch, number)) }
  }

  /** Goes on in a segment that has large batches. It is not removed when the flush fails: the journal tells of them. */
  async #continueSegment(segment: OpenSegment): Promise<{ id: number; name: string; writer: SegmentWriter }> {
    const { id, name, header, position, ticket } = segment
    const blob = await segment.blob
    let end = position
    const writer: BlobWriter = {
      append: async parts => {
        const at = end
        end += sizeOf(parts)
        await blob.write(parts, at)
        this.#cell.options.chain.noteWritten?.(sizeOf(parts))
      },
      finish: async () => {
        await this.large.reached(ticket)
        await blob.finish()
        return 'ok'
      },
      abort: async () => {
        await this.large.reached(ticket)
        await blob.close()
      },
    }
    return { id, name, writer: new SegmentWriter(writer, header, position) }
  }

  async #writeSegment({ plans, segment }: Cut): Promise<WrittenSegment | undefined> {
    if (!segment && !plans.some(({ rows, skip }) => rows > skip)) return undefined
    const { id, name, writer } = await (segment ? this.#continueSegment(segment) : this.#createSegment({}))
    try {
      for (const plan of plans) await this.#writeStream(writer, plan, id)
      const extents = await writer.finish()
      return { id, name, bytes: writer.bytes, extents }
    } catch (error) {
      await writer.abort()
      throw error
    }
  }

  async #writeStream(writer: SegmentWriter, { stream, rows, skip }: Plan, segment: number): Promise<void> {
    writer.begin(stream.id)
    const { tail: table, tailSlabs } = stream
    for (let row = skip; row < rows; row++) {
      const bytes = table.get(row, tail.bytes)
      const base = table.get(row, tail.base)
      const last = table.get(row, tail.last)
      const time = table.get(row, tail.maxTimestamp)
      const placed = table.get(row, tail.segment)
      if (placed === segment) {
        writer.refer(table.get(row, tail.position), bytes, table.get(row, tail.crc), base, last, time)
        continue
      }
      const wait =
        placed < 0
          ? writer.add(tailSlabs[row]!.bytes, table.get(row, tail.at), bytes, base, last, time)
          : writer.add(await this.#readPlaced(stream, row), 0, bytes, base, last, time)
      if (wait) await wait
    }
  }

  /** A large batch whose segment nobody will finish. */
  async #readPlaced({ tail: table }: Stream, row: number): Promise<Buffer> {
    const name = nameOf(this.placement, table.get(row, tail.segment))
    const bytes = Buffer.allocUnsafeSlow(table.get(row, tail.bytes))
    const position = table.get(row, tail.position)
    const count = await this.#cell.options.blobs.read(name, position, bytes)
    if (count === bytes.length && crc32c(bytes) === table.get(row, tail.crc)) return bytes
    throw new Corrupt(`${name} is damaged between bytes ${position} and ${position + bytes.length}`)
  }

  async #putCheckpoint(cut: Cut, point: ChainPoint, written: WrittenSegment | undefined): Promise<void> {
    const { options } = this.#cell
    const segments = new Map([...this.placement.segments].filter(([id]) => cut.usage.has(id)))
    // Blocks that an older checkpoint is followed by tell of them.
    for (const info of cut.abandoned) segments.set(info.id, info)
    if (written) segments.set(written.id, written)
    const parts = writeCheckpoint({
      cell: options.cell,
      point,
      state: cut.state,
      extents: cut.extents,
      compacted: cut.compacted,
      flushed: written?.extents ?? [],
      flushedSegment: written?.id ?? 0,
      placement: { nextSegment: this.placement.nextSegment, segments },
    })
    const name = checkpointName(options.cell, cut.seq)
    for (;;) {
      const result = await options.blobs.putIfAbsent(name, parts)
      if (result === 'ok') break
      if (result === 'exists') {
        // Ours, from an attempt whose answer was lost, or that of an owner before us at the same block.
        const whole = Buffer.concat(parts)
        const found = Buffer.alloc(whole.length + 1)
        const count = await options.blobs.read(name, 0, found)
        if (count === whole.length && found.subarray(0, count).equals(whole)) break
        // The next attempt is made at a later block. Who is fenced learns of it there.
        this.#lastSeq = cut.seq
        this.#isWanted = true
        throw new Contested(`There is another checkpoint ${name}`)
      }
      await new Promise<void>(resolve => options.clock.after(retryMs, resolve))
    }
    this.#kept.push({ seq: cut.seq, segments: new Set(segments.keys()), aborted: cut.aborted })
    this.#lastSeq = cut.seq
  }

  #install(cut: Cut, written: WrittenSegment | undefined): void {
    const { journal, state } = this.#cell
    for (const info of cut.abandoned) {
      this.placement.open.delete(info.id)
      this.placement.segments.set(info.id, info)
    }
    if (written) {
      this.placement.open.delete(written.id)
      this.placement.segments.set(written.id, { id: written.id, name: written.name, bytes: written.bytes })
    }
    const placed = new Map(written?.extents.map(extent => [extent.stream, extent]))
    for (const { stream, rows } of cut.plans) {
      if (state.streams.get(stream.id) === stream) stream.flushed(rows, placed.get(stream.id), written?.id ?? 0)
    }
    journal.release(cut.seq)
    journal.floorHint = cut.seq
    this.#cell.relieve()
  }

  /** Drops what the newest two checkpoints do not need. */
  async #clearAway(): Promise<void> {
    const { options, state } = this.#cell
    const { blobs, chain, cell } = options
    const dead = this.#kept.splice(0, this.#kept.length - 2)
    await blobs.drop(dead.map(({ seq }) => checkpointName(cell, seq)))
    // Not before: a start from the older of the two would find the records again.
    if (this.#kept.length === 2) forgetAborted(this.#cell, this.#kept[0]!.aborted ?? [])
    const floor = this.#kept[0]!.seq
    if (this.#kept.length === 2 && floor > this.#droppedTo) {
      const fences = new Set(state.fences)
      const seqs = (await chain.list(cell, this.#droppedTo)).filter(seq => seq < floor && !fences.has(seq))
      if (seqs.length > 0) await chain.drop(cell, seqs)
      this.#droppedTo = floor
    }
    const unused = [...this.placement.segments.values()].filter(
      ({ id }) => !this.#kept.some(kept => kept.segments.has(id)),
    )
    for (const { id } of unused) this.placement.segments.delete(id)
    await blobs.drop(unused.map(({ name }) => name))
    // What only the older checkpoint names goes with the next one; on a quiet broker nothing else would bring it about.
    const newest = this.#kept.at(-1)!.segments
    if ([...this.placement.segments.keys()].some(id => !newest.has(id))) this.#isWanted = true
  }

  /** The checkpoint before the newest is what is left when that one rots: it and the segments that it names are kept. */
  async #recallOlder(): Promise<void> {
    const { blobs, cell, machines } = this.#cell.options
    const { from, checkpoints } = this.#restore
    if (!from) return
    const present = new Map((await blobs.list(`cell/${cell}/c/`)).map(({ name, bytes }) => [name, bytes]))
    for (const seq of checkpoints.filter(seq => seq < from.seq).toReversed()) {
      const name = checkpointName(cell, seq)
      const segments = await segmentsNamedBy(blobs, name, present.get(name) ?? 0, machines)
      if (!segments || segments.some(({ id, name }) => (this.placement.segments.get(id)?.name ?? name) !== name))
        continue
      for (const segment of segments) this.placement.segments.set(segment.id, segment)
      this.#kept.unshift({ seq, segments: new Set(segments.map(({ id }) => id)) })
      return
    }
  }

  /** Removes segments and checkpoints that nothing names: what a crash left between two steps. */
  async #sweep(): Promise<void> {
    const { options } = this.#cell
    const { blobs, cell } = options
    const { segments, open } = this.placement
    const named = new Set([...segments.values(), ...open.values()].map(({ name }) => name))
    const orphans = (await blobs.list(`cell/${cell}/s/`)).map(({ name }) => name).filter(name => !named.has(name))
    if (orphans.length > 0) options.log('info', `Removed ${orphans.length} segments that no checkpoint names`)
    const keep = new Set(this.#kept.map(({ seq }) => checkpointName(cell, seq)))
    const old = (await blobs.list(`cell/${cell}/c/`)).map(({ name }) => name).filter(name => !keep.has(name))
    await blobs.drop([...old, ...orphans])
  }

  #scheduleRetention(): void {
    const { options } = this.#cell
    const delayMs = Math.min(options.sizes.retentionCheckMs, this.#compactor.patienceMs)
    this.#cancelRetention = options.clock.after(delayMs, () => {
      if (this.#stopped) return
      enforceRetention(this.#cell)
      this.#compactor.look()
      // It may be less patient now than when the next flush was planned.
      if (this.#cancelTimer) this.#schedule()
      if (!this.#running) this.#beginCompaction()
      this.#scheduleRetention()
    })
  }
}

/** Another owner has made a checkpoint of the same block: one of the two is out of business. */
class Contested extends Error {
  override name = 'Contested'
}

const sizeOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, part) => sum + part.length, 0)
