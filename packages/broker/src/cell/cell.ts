import assert from 'node:assert/strict'
import { Slab, SlabPool } from '../storage/slab.ts'
import { claimCell } from '../storage/claim.ts'
import { Fenced } from '../storage/errors.ts'
import { Journal } from '../storage/journal.ts'
import { Checkpointer } from './checkpointer.ts'
import type { CellCore } from './core.ts'
import { Gatherer } from './gatherer.ts'
import type { LargeBatches } from './large-batches.ts'
import { LongBlocks } from './long-blocks.ts'
import { existsOnce, machineKinds } from './machine.ts'
import type { Ledger, Machine, MachineKind } from './machine.ts'
import type { CellOptions } from './options.ts'
import { Restore } from './restore.ts'
import { cellFacts, cellMachine } from './state.ts'
import type { CellState } from './state.ts'
import type { Stream, StreamFactContext } from './stream.ts'

/** Thrown for a fact that would grow the data of a full disk. */
export class StorageFull extends Error {
  override name = 'StorageFull'
}

/**
 * One journal and the state built from it: the unit of order, atomicity, ownership and recovery.
 *
 * State changes when a fact is added, never before and never back: a write that fails or is fenced stops the cell, and the
 * next owner replays. Effects wait for their block by `whenDurable`.
 */
export class Cell implements Ledger, CellCore {
  readonly state: CellState
  readonly journal: Journal
  readonly checkpointer: Checkpointer
  readonly gatherer = new Gatherer(this)
  readonly longBlocks = new LongBlocks(this)
  /** What is being added belongs to what was taken before the disk was full. */
  isCommitted = false
  /** When the data was written to last before this start; 0: never. */
  readonly previousMs: number
  readonly options: CellOptions
  readonly #context: StreamFactContext
  #closing = false
  #relief: (() => void)[] = []

  private constructor(options: CellOptions, restore: Restore, journal: Journal, previousMs: number) {
    this.previousMs = previousMs
    this.options = options
    this.state = restore.state
    this.journal = journal
    this.#context = { seq: -1, timeMs: 0, epoch: journal.epoch, slab: new Slab(Buffer.alloc(0)), slabAt: 0 }
    this.checkpointer = new Checkpointer(this, restore)
  }

  /** Replays the cell, fences earlier owners out and begins to take facts. Rejects with `Corrupt` when the data is damaged. */
  static async open(options: CellOptions): Promise<Cell> {
    const restore = new Restore(options)
    const claim = await claimCell({ ...options, target: restore })
    const { sizes } = options
    const cell: Cell = new Cell(
      options,
      restore,
      new Journal({
        ...options,
        claim,
        slabs: new SlabPool(sizes.slabBytes, Math.ceil(sizes.unflushedBytesMax / sizes.slabBytes)),
        blockBytesMax: sizes.blockBytesMax,
        blockFactsMax: sizes.blockFactsMax,
        required: ticket => cell.large.reached(ticket),
        onFatal: error => cell.fail(error),
        onFenced: () => cell.#stop(() => options.onFenced()),
        onSealing: () => cell.#ending(),
        onSettled: () => cell.relieve(),
      }),
      claim.previousMs,
    )
    for (const { seq, slab, bytes } of restore.replayed) cell.journal.keep(seq, slab, bytes)
    for (const stream of cell.state.streams.values()) stream.settleAll()
    if (restore.from && (await options.chain.get(options.cell, restore.from.seq)) === null) {
      options.log(
        'warn',
        `The journal ended before block ${restore.from.seq}, which a checkpoint holds: its last blocks were lost`,
      )
    }
    await cell.checkpointer.start()
    return cell
  }

  get epoch(): number {
    return this.journal.epoch
  }
  get openSeq(): number {
    return this.journal.openSeq
  }
  get lastSeq(): number {
    return this.journal.lastSeq
  }
  /** Where large batches go. */
  get large(): LargeBatches {
    return this.checkpointer.large
  }
  get clock(): CellOptions['clock'] {
    return this.options.clock
  }
  /** Nothing that grows the data is taken: the disk is full. */
  get full(): boolean {
    return !this.isCommitted && (this.journal.full || this.checkpointer.isDiskFull || this.large.isFull)
  }
  /** The cell is stopping or has lost its ownership. */
  get closing(): boolean {
    return this.#closing
  }

  /**
   * So much is waiting for the disk that nothing new should be read from clients; see `onRelief`. Never on a full disk: there
   * appends are refused, and consumers must be able to go on.
   */
  get saturated(): boolean {
    const { sizes } = this.options
    if (this.full) return false
    const pending = this.journal.pendingBytes + this.large.pendingBytes
    return pending > sizes.pendingBytesMax || this.journal.keptBytes > sizes.unflushedBytesMax
  }

  /** Calls `run` once, when the cell is no longer saturated. */
  onRelief(run: () => void): void {
    this.#relief.push(run)
    // A disk that fills up relieves, too (`saturated`), and nothing tells of that.
    if (this.#relief.length === 1) this.#lookAgain()
  }

  #lookAgain(): void {
    this.#cancelLook = this.options.clock.after(reliefCheckMs, () => {
      this.relieve()
      if (this.#relief.length > 0) this.#lookAgain()
    })
  }
  #cancelLook: (() => void) | undefined

  /** Something was written or flushed: goes on with those who wait for room. */
  relieve(): void {
    if (this.#relief.length === 0 || this.saturated) return
    this.#tellRelief()
  }

  #tellRelief(): void {
    this.#cancelLook?.()
    const waiting = this.#relief
    this.#relief = []
    for (const run of waiting) run()
  }

  fact(machine: number, type: number, payload: Uint8Array): number {
    // Once it is in the journal, a fact for nobody would stop every later start.
    assert(machine === cellMachine || this.state.machine(machine), `machine ${machine} does not exist`)
    const seq = this.reserveFact(machine, type, payload.length)
    const { slab, at } = this.journal
    slab.bytes.set(payload, at)
    this.applyReserved(machine, type, payload.length, seq)
    return seq
  }

  /** First half of a fact whose bytes are written in place at `journal.slab.bytes[journal.at]`. */
  reserveFact(machine: number, type: number, bytes: number): number {
    const seq = this.journal.reserve(type, machine, bytes)
    this.checkpointer.noticeFact()
    return seq
  }

  /** Second half: applies what was written. Nothing may come between. */
  applyReserved(machine: number, type: number, bytes: number, seq: number): void {
    const { slab, at, timeMs } = this.journal
    const context = this.#context
    context.seq = seq
    context.timeMs = timeMs
    context.slab = slab
    context.slabAt = at
    this.state.apply(type, machine, slab.bytes.subarray(at, at + bytes), context)
  }

  atomic(run: () => void): number {
    return this.journal.atomic(run)
  }

  beforeEnd(run: () => void): void {
    assert.equal(this.lastSeq, this.openSeq, 'no block is open')
    this.#beforeEnd.push(run)
  }
  readonly #beforeEnd: (() => void)[] = []

  #ending(): void {
    if (this.#beforeEnd.length > 0) for (const run of this.#beforeEnd.splice(0)) run()
    this.gatherer.flushAll()
  }

  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void {
    this.journal.whenDurable(seq, run, argument)
  }

  durable(seq: number): Promise<void> {
    return this.journal.durable(seq)
  }

  define(kind: MachineKind): number {
    if (this.full) throw new StorageFull('The disk is full')
    assert(!existsOnce(machineKinds[kind]), `there is one ${kind} and no more`)
    const id = this.state.nextMachine
    const payload = Buffer.alloc(6)
    payload.writeUInt16BE(machineKinds[kind], 0)
    payload.writeUInt32BE(id, 2)
    this.fact(cellMachine, cellFacts.define, payload)
    return id
  }

  drop(machine: number): void {
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(machine)
    const stream = this.state.streams.get(machine)
    if (stream) this.gatherer.flush(stream)
    const seq = this.fact(cellMachine, cellFacts.drop, payload)
    if (stream) this.whenDurable(seq, wakeWaiters, stream)
  }

  machine(id: number): Machine | undefined {
    return this.state.machine(id)
  }

  /**
   * Makes durable what was taken, writes a checkpoint so that the next start has nothing to replay, and stops.
   * The stores stay open: they belong to whoever opened them.
   */
  async close(): Promise<void> {
    if (this.#closing) return
    this.longBlocks.finish()
    this.#closing = true
    // What waits for room on a full disk was never acknowledged.
    const cancel = this.clock.after(fullPatienceMs, () => {
      if (!this.full) return
      this.options.log('warn', 'The disk is full: the last facts could not be written')
      this.journal.abandon()
      void this.large.close()
    })
    await this.checkpointer.stop()
    await this.journal.close()
    await this.large.close()
    cancel()
    this.#wakeAll()
  }

  /** Something has failed that cannot be survived: nothing more leaves the cell. */
  fail(error: Error): void {
    this.#stop(() => this.options.onFatal(error))
  }

  #stop(tell: () => void): void {
    this.#closing = true
    this.journal.abandon() // A block may be waiting for batches that will not come.
    void this.checkpointer.abandon()
    void this.large.close()
    this.#wakeAll()
    tell()
  }

  #wakeAll(): void {
    for (const stream of this.state.streams.values()) wakeWaiters(stream)
    this.#tellRelief()
  }
}

const reliefCheckMs = 500
/** How long closing waits for a full disk. */
const fullPatienceMs = 3000

/** Readers of a stream that is gone look again, and find that it is. */
function wakeWaiters(stream: Stream): void {
  for (const waiter of stream.waiters ? [...stream.waiters] : []) {
    try {
      waiter.grown(Number.MAX_SAFE_INTEGER)
    } catch (error) {
      // Who takes what there is finds the journal closed. The others are to be told, too.
      if (!(error instanceof Fenced)) throw error
    }
  }
}
