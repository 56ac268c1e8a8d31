import { Writer } from '@dragoman/wire'
import { DiskError } from '../runtime/runtime.ts'
import type { ChainPoint } from '../storage/claim.ts'
import { Fenced } from '../storage/errors.ts'
import { SegmentWriter } from '../storage/segment.ts'
import type { Extent } from '../storage/segment.ts'
import type { Cell } from './cell.ts'
import { checkpointName, saveExtents, writeCheckpoint } from './checkpoint.ts'
import type { Placement } from './checkpoint.ts'
import { enforceRetention } from './retention.ts'
import type { Restore } from './restore.ts'
import { rewriteSparse } from './rewriter.ts'
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
  liveBytes: Map<number, number>
  plans: Plan[]
}

interface WrittenSegment {
  id: number
  name: string
  bytes: number
  extents: Extent[]
}

const retryMs = 1000
const noBytes = new Uint8Array(0)

/**
 * Moves flushed blocks into segments and makes checkpoints, one at a time, in the background:
 *
 *   cut the journal after block P, take the state there · write the tail up to P into a segment · wait until P is durable ·
 *   write checkpoint P, which names the segment · give the tail's memory back · drop blocks below the checkpoint before (R6)
 *   and segments that neither of the newest two checkpoints names.
 *
 * The newest two checkpoints are kept, and the blocks behind the older one: a damaged checkpoint costs a longer replay.
 */
export class Checkpointer {
  readonly #cell: Cell
  readonly placement: Placement
  /** Numbers of the checkpoints that are kept, ascending, and the segments that each names. */
  readonly #kept: { seq: number; segments: Set<number> }[] = []
  readonly #restore: Restore
  #running: Promise<void> | undefined
  #cancelTimer: (() => void) | undefined
  #cancelRetention: (() => void) | undefined
  #stopped = false
  #droppedTo = 0
  #segmentNumber = 0
  #lastSeq: number

  constructor(cell: Cell, restore: Restore) {
    this.#cell = cell
    this.#restore = restore
    this.placement = restore.placement
    this.#lastSeq = restore.from?.seq ?? -1
    for (const seq of restore.checkpoints) {
      if (!restore.unreadable.includes(seq)) this.#kept.push({ seq, segments: new Set(this.placement.segments.keys()) })
    }
  }

  /** Clears away what crashes left behind and begins to look after retention. */
  async start(): Promise<void> {
    const { options } = this.#cell
    if (options.exclusive && this.#restore.unreadable.length === 0) await this.#sweep()
    this.#scheduleRetention()
    if (this.#cell.journal.keptBytes > 0) this.noticeFact()
  }

  /** Called for each fact: begins a flush when enough has gathered, and sees to it that one comes in time. */
  noticeFact(): void {
    if (this.#stopped) return
    const { journal, options } = this.#cell
    if (journal.keptBytes + journal.pendingBytes >= options.sizes.flushBytes && !this.#running) this.#begin()
    else
      this.#cancelTimer ??= options.clock.after(options.sizes.flushIntervalMs, () => {
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

  /** A last flush, unless the disk is full or the cell fenced: then the journal has it all. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelTimers()
    await this.#running
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
    this.#cancelTimers()
    await this.#running
  }

  #cancelTimers(): void {
    this.#cancelTimer?.()
    this.#cancelRetention?.()
    this.#cancelTimer = this.#cancelRetention = undefined
  }

  #begin(): void {
    if (this.#running || this.#stopped) return
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    this.#running = this.#run()
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#running = undefined
        this.#cell.relieve()
        const { journal, options } = this.#cell
        if (!this.#stopped && journal.keptBytes > options.sizes.flushBytes) this.#begin()
      })
  }

  #failed(error: unknown): Promise<void> {
    const { options } = this.#cell
    if (error instanceof Fenced || this.#stopped) return Promise.resolve()
    if (error instanceof DiskError && error.code === 'io') {
      // Whether the checkpoint exists is not known: what it would name must neither be removed nor built upon.
      this.#cell.fail(error)
      return Promise.resolve()
    }
    options.log('warn', `The flush failed and will be tried again: ${String(error)}`)
    return new Promise(resolve => options.clock.after(retryMs, resolve))
  }

  async #run(): Promise<void> {
    const cell = this.#cell
    await rewriteSparse(cell, this.placement, () => this.#createSegment()).catch((error: unknown) =>
      cell.options.log('warn', `Sparse segments were not rewritten: ${String(error)}`),
    )
    const cut = this.#cut()
    if (!cut) return
    const written = await this.#writeSegment(cut.plans)
    try {
      const point = await cut.point
      await this.#putCheckpoint(cut, point, written)
    } catch (error) {
      const isCertain = !(error instanceof DiskError && error.code === 'io')
      if (written && isCertain) await cell.options.blobs.drop([written.name])
      throw error
    }
    this.#install(cut, written)
    await this.#clearAway()
  }

  /** The state at a block's end, taken in one go. Undefined when nothing has happened since the last one. */
  #cut(): Cut | undefined {
    const { journal, state } = this.#cell
    const seq = journal.cut()
    if (seq === this.#lastSeq) return undefined
    const out = new Writer()
    state.save(out)
    const bytes = out.take()
    const liveBytes = saveExtents(state, out)
    const plans: Plan[] = []
    for (const stream of [...state.streams.values()].sort((a, b) => a.id - b.id)) {
      const rows = stream.tailRowsThrough(seq)
      let skip = 0
      while (skip < rows && stream.tail.get(skip, tail.last) < stream.startOffset) skip++
      if (rows > 0) plans.push({ stream, rows, skip })
    }
    return { seq, point: this.#pointAt(seq), state: bytes, extents: out.take(), liveBytes, plans }
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

  async #createSegment(): Promise<{ id: number; name: string; writer: SegmentWriter }> {
    const { options, epoch } = this.#cell
    const id = this.placement.nextSegment++
    const number = this.#segmentNumber++
    const name = `cell/${options.cell}/s/${epoch}-${number}`
    return { id, name, writer: new SegmentWriter(await options.blobs.create(name), options.cell, epoch, number) }
  }

  async #writeSegment(plans: Plan[]): Promise<WrittenSegment | undefined> {
    if (!plans.some(({ rows, skip }) => rows > skip)) return undefined
    const { id, name, writer } = await this.#createSegment()
    try {
      for (const plan of plans) await writeStream(writer, plan)
      const extents = await writer.finish()
      return { id, name, bytes: writer.bytes, extents }
    } catch (error) {
      await writer.abort()
      throw error
    }
  }

  async #putCheckpoint(cut: Cut, point: ChainPoint, written: WrittenSegment | undefined): Promise<void> {
    const { options } = this.#cell
    const segments = new Map([...this.placement.segments].filter(([id]) => cut.liveBytes.has(id)))
    if (written) segments.set(written.id, written)
    const parts = writeCheckpoint({
      cell: options.cell,
      point,
      state: cut.state,
      extents: cut.extents,
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
        throw new Error(`There is another checkpoint ${name}`)
      }
      await new Promise<void>(resolve => options.clock.after(retryMs, resolve))
    }
    this.#kept.push({ seq: cut.seq, segments: new Set(segments.keys()) })
    this.#lastSeq = cut.seq
  }

  #install(cut: Cut, written: WrittenSegment | undefined): void {
    const { journal, state } = this.#cell
    if (written) this.placement.segments.set(written.id, { id: written.id, name: written.name, bytes: written.bytes })
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
    if ([...this.placement.segments.keys()].some(id => !newest.has(id)))
      this.#cell.fact(cellMachine, cellFacts.mark, noBytes)
  }

  /** Removes segments and checkpoints that nothing names: what a crash left between two steps. */
  async #sweep(): Promise<void> {
    const { options } = this.#cell
    const { blobs, cell } = options
    const named = new Set([...this.placement.segments.values()].map(({ name }) => name))
    const orphans = (await blobs.list(`cell/${cell}/s/`)).map(({ name }) => name).filter(name => !named.has(name))
    if (orphans.length > 0) options.log('info', `Removed ${orphans.length} segments that no checkpoint names`)
    // The older checkpoint may name what was just removed; the newest one has proved to be readable.
    const newest = this.#kept.at(-1)
    const keep = newest && checkpointName(cell, newest.seq)
    const old = (await blobs.list(`cell/${cell}/c/`)).map(({ name }) => name).filter(name => name !== keep)
    await blobs.drop([...old, ...orphans])
    this.#kept.splice(0, this.#kept.length - 1)
  }

  #scheduleRetention(): void {
    const { options } = this.#cell
    this.#cancelRetention = options.clock.after(options.sizes.retentionCheckMs, () => {
      if (this.#stopped) return
      enforceRetention(this.#cell)
      this.#scheduleRetention()
    })
  }
}

async function writeStream(writer: SegmentWriter, { stream, rows, skip }: Plan): Promise<void> {
  writer.begin(stream.id)
  const { tail: table, tailSlabs } = stream
  for (let row = skip; row < rows; row++) {
    const at = table.get(row, tail.at)
    const bytes = table.get(row, tail.bytes)
    const base = table.get(row, tail.base)
    const last = table.get(row, tail.last)
    const wait = writer.add(tailSlabs[row]!.bytes, at, bytes, base, last, table.get(row, tail.maxTimestamp))
    if (wait) await wait
  }
}
