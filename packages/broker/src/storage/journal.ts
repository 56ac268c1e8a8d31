import assert from 'node:assert/strict'
import { blockHeaderBytes, factHeaderBytes, readBlock, sealBlock, writeBlockHeader } from './block.ts'
import type { Link } from './block.ts'
import type { ChainStore, PutResult } from './chain-store.ts'
import type { ChainPoint, Claim } from './claim.ts'
import { Fenced } from './errors.ts'
import { KeptBlocks } from './kept-blocks.ts'
import type { Slab, SlabPool } from './slab.ts'

export interface JournalOptions {
  cell: number
  chain: ChainStore
  slabs: SlabPool
  claim: Claim
  clock: {
    nowMs(): number
    after(delayMs: number, run: () => void): () => void
    soon(run: () => void): void
  }
  blockBytesMax: number
  blockFactsMax: number
  /** Undefined when what the ticket stands for (`require`) is durable, else a promise of that. */
  required?(ticket: number): Promise<void> | undefined
  /** A write failed in a way that leaves the disk's state unknown: must not return to business. */
  onFatal(error: Error): void
  onFenced(): void
  /** The open block is about to be sealed: the last moment to add facts to it. */
  onSealing?(): void
  /** A block has become durable and its effects have run. */
  onSettled(): void
}

interface Block {
  readonly seq: number
  readonly timeMs: number
  bytes: number
  factCount: number
  /** The block is not written before this ticket is reached. */
  ticket: number
  /** Somebody is told when it is durable, or will be: it is written as soon as it can be. */
  isAwaited: boolean
  readonly ranges: { slab: Slab; start: number; end: number }[]
  /** Effects that wait for this block, in order. */
  readonly runs: ((argument: never) => void)[]
  readonly arguments: unknown[]
}

/**
 * The chain's only writer: facts are gathered in the open block while the one before is being written; one write is in
 * flight at a time, and nothing that somebody waits for is held back. What nobody waits for (that a message was given to a
 * consumer, and acknowledged by it) is written with the next block that somebody does wait for, or after a few
 * milliseconds. Facts lie in slabs, where they stay readable until the block is released.
 *
 * Invariants:
 *   durableSeq < seq of the block in flight < seqs of the sealed ones < openSeq, dense.
 *   An effect registered for a block runs after it is durable, in order of blocks and of registration.
 */
export class Journal {
  readonly epoch: number
  /** Where the payload of the last fact lies; valid until the next one. */
  slab!: Slab
  at = 0
  timeMs = 0

  readonly #options: JournalOptions
  readonly #writer: bigint
  #link: Link
  #durableSeq: number
  #openSeq: number
  #durableTimeMs: number
  #open: Block | undefined
  readonly #sealed: Block[] = []
  readonly #kept = new KeptBlocks()
  #current: Slab | undefined
  #currentAt = 0
  #writing = false
  #scheduled = false
  #closed = false
  #pendingBytes = 0
  floorHint = -1

  constructor(options: JournalOptions) {
    const { point, writer } = options.claim
    this.#options = options
    this.#writer = writer
    this.#link = point.link
    this.#durableSeq = point.seq
    this.#openSeq = point.seq + 1
    this.#durableTimeMs = point.timeMs
    this.epoch = point.epoch
  }

  get durableSeq(): number {
    return this.#durableSeq
  }
  /** The block that the next fact goes to. */
  get openSeq(): number {
    return this.#openSeq
  }
  /** The newest block that holds anything: all state seen now is durable once it is. */
  get lastSeq(): number {
    return this.#open ? this.#openSeq : this.#openSeq - 1
  }
  /** Bytes of facts not yet durable. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }
  /** Bytes of blocks not yet released: what a crash would replay. */
  get keptBytes(): number {
    return this.#kept.bytes
  }
  /** What those blocks take where each begins a page of its own: much more than their bytes when they are small. */
  get keptPageBytes(): number {
    return this.#kept.pageBytes
  }
  get full(): boolean {
    return this.#options.chain.full
  }

  /** Where the newest durable block stands. */
  get durablePoint(): ChainPoint {
    return { seq: this.#durableSeq, epoch: this.epoch, link: this.#link, timeMs: this.#durableTimeMs }
  }

  /**
   * Makes room for a fact in the open block and writes its header; the caller fills `slab.bytes[at, at + bytes)` at once.
   * Returns the block's sequence number.
   */
  reserve(type: number, machine: number, bytes: number): number {
    if (this.#closed) throw new Fenced('the journal is closed')
    let block = this.#open
    const whole = factHeaderBytes + bytes
    if (block && (block.bytes + whole > this.#options.blockBytesMax || this.#isCrowded(block))) {
      if (!this.#isWhole) {
        this.#seal()
        block = undefined
      }
    }
    block ??= this.#begin()
    this.#stretch(block, whole)
    const range = block.ranges.at(-1)!
    const { bytes: out } = range.slab
    const start = range.end - whole
    out[start] = type
    out[start + 1] = 0
    out.writeUInt32BE(machine, start + 2)
    out.writeUInt32BE(bytes, start + 6)
    block.factCount++
    block.bytes += whole
    this.#pendingBytes += whole
    this.slab = range.slab
    this.at = start + factHeaderBytes
    this.timeMs = block.timeMs
    return block.seq
  }

  /** The block that holds the last fact tells of what lies elsewhere: it is written only when that is durable. */
  require(ticket: number): void {
    if (this.#open) this.#open.ticket = ticket
  }

  #gathering = false
  /** Adds at once what is being added to the open block in several turns. */
  #addRest: (() => void) | undefined
  #whenLetGo: (() => void)[] = []

  /** Whatever comes belongs to the open block, however large it is. */
  get #isWhole(): boolean {
    return this.#gathering || this.#addRest !== undefined
  }

  /** All facts that `run` adds are in one block. Returns its sequence number. */
  atomic(run: () => void): number {
    if (this.#gathering) run()
    else {
      const { blockBytesMax, blockFactsMax } = this.#options
      const block = this.#open
      if (block && !this.#isWhole && (block.bytes > blockBytesMax / 2 || block.factCount > blockFactsMax / 2))
        this.#seal()
      this.#gathering = true
      try {
        run()
      } finally {
        this.#gathering = false
      }
    }
    return this.lastSeq
  }

  /**
   * All facts that come until `letGo` are in the block that is open now, also those of later turns, and others' between them. `finish` is called when
   * the block must end at once: it adds what is left, and lets go.
   */
  keepOpen(finish: () => void): void {
    assert(!this.#addRest, 'the open block is kept open already')
    this.#addRest = finish
  }

  letGo(): void {
    this.#addRest = undefined
    // What is kept open next is another block.
    if (this.#open && !this.#closed) this.#seal()
    for (const tell of this.#whenLetGo.splice(0)) tell()
  }

  /** Undefined: the open block can end. Else resolves when it could. */
  ending(): Promise<void> | undefined {
    return this.#addRest && new Promise(resolve => this.#whenLetGo.push(resolve))
  }

  /** The number of the open block, which is begun if there is none: facts will be added to it, at the latest by `onSealing`. */
  expect(): number {
    if (this.#closed) throw new Fenced('the journal is closed')
    const open = this.#open
    if (open && !this.#isWhole && (open.bytes > this.#options.blockBytesMax || this.#isCrowded(open))) this.#seal()
    const block = this.#open ?? this.#begin()
    this.#await(block)
    return block.seq
  }

  /** Facts that `run` adds belong to the open block, however large it is. */
  join(run: () => void): void {
    const gathering = this.#gathering
    this.#gathering = true
    try {
      run()
    } finally {
      this.#gathering = gathering
    }
  }

  #isCrowded(block: Block): boolean {
    return block.factCount >= this.#options.blockFactsMax
  }

  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void {
    const awaited = Math.min(seq, this.lastSeq)
    if (awaited <= this.#durableSeq) return run(argument)
    if (this.#closed) return
    const block = awaited === this.#openSeq ? this.#open! : this.#sealed[awaited - this.#durableSeq - 1]!
    block.runs.push(run)
    block.arguments.push(argument)
    this.#await(block)
  }

  #await(block: Block): void {
    if (block.isAwaited) return
    block.isAwaited = true
    this.#schedule()
  }

  #schedule(): void {
    if (this.#writing || this.#scheduled) return
    this.#scheduled = true
    this.#options.clock.soon(this.#start)
  }

  /** Resolves when block `seq` is durable; rejects when the journal is closed or fenced before. */
  durable(seq: number): Promise<void> {
    if (this.#closed && seq > this.#durableSeq) return Promise.reject(new Fenced('the journal is closed'))
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject)
      this.whenDurable(
        seq,
        () => {
          this.#waiting.delete(reject)
          resolve()
        },
        undefined,
      )
    })
  }
  readonly #waiting = new Set<(error: Error) => void>()

  /** Ends the open block here. Returns the last sealed number: state seen now is the state at its end. */
  cut(): number {
    this.#addRest?.()
    if (this.#open) this.#seal()
    return this.#openSeq - 1
  }

  /** Blocks up to `seq` are kept elsewhere now: their slabs may be reused. */
  release(seq: number): void {
    this.#kept.release(seq)
  }

  /** Takes over a replayed block's memory, to be released like the journal's own. */
  keep(seq: number, slab: Slab, bytes: number): void {
    slab.hold()
    this.#kept.add(seq, bytes, [slab])
  }

  /** No fact is taken any more; resolves when what was taken is durable, or cannot be. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#addRest?.()
    const last = this.durable(this.lastSeq)
    await last.catch(() => {})
    this.#stop()
  }

  /** Closes without waiting: what is not durable yet may come to be or not, and is never acknowledged. */
  abandon(): void {
    this.#stop()
  }

  #stop(): void {
    this.#closed = true
    for (const reject of this.#waiting) reject(new Fenced('the journal is closed'))
    this.#waiting.clear()
    for (const tell of this.#whenLetGo.splice(0)) tell()
  }

  #begin(): Block {
    const timeMs = this.#options.clock.nowMs()
    const seq = this.#openSeq
    const block: Block = {
      seq,
      timeMs,
      bytes: 0,
      factCount: 0,
      ticket: 0,
      isAwaited: false,
      ranges: [],
      runs: [],
      arguments: [],
    }
    this.#open = block
    this.#stretch(block, blockHeaderBytes)
    if (!this.#isPatient) this.#wait()
    return block
  }

  /** A timer for each block would cost more than the block: one looks now and then whether the same block is still open. */
  #isPatient = false

  #wait(): void {
    const seq = this.#openSeq
    this.#isPatient = true
    this.#options.clock.after(patienceMs, () => {
      this.#isPatient = false
      if (!this.#open || this.#closed) return
      if (this.#openSeq === seq) this.#await(this.#open)
      else this.#wait()
    })
  }

  /** Appends `bytes` to the block, all of them in one slab. */
  #stretch(block: Block, bytes: number): void {
    if (!this.#current || this.#currentAt + bytes > this.#current.bytes.length) {
      const next = this.#options.slabs.take(bytes)
      this.#current?.release()
      this.#current = next
      this.#currentAt = 0
    }
    const range = block.ranges.at(-1)
    if (range?.slab === this.#current) range.end += bytes
    else {
      this.#current.hold()
      block.ranges.push({ slab: this.#current, start: this.#currentAt, end: this.#currentAt + bytes })
    }
    this.#currentAt += bytes
  }

  #seal(): void {
    assert(this.#open)
    const { onSealing } = this.#options
    if (onSealing) this.join(onSealing)
    this.#sealed.push(this.#open)
    this.#open = undefined
    this.#openSeq++
    this.#schedule()
  }

  readonly #start = (): void => {
    this.#scheduled = false
    if (this.#writing || this.#closed) return
    if (this.#sealed.length === 0 && (this.#isWhole || !this.#open?.isAwaited)) return
    this.#writing = true
    if (this.#sealed.length === 0) this.#seal()
    this.#write(this.#sealed[0]!)
  }

  /** Callbacks and not `await`: for each block, of which there can be one for each message, every `await` costs objects. */
  #write(block: Block): void {
    const required = block.ticket > 0 ? this.#options.required?.(block.ticket) : undefined
    if (required) void required.then(() => this.#closed || this.#finish(block))
    else this.#finish(block)
  }

  /** Writes the block's header, gathers its bytes and has them written. */
  #finish(block: Block): void {
    const parts = block.ranges.map(({ slab, start, end }) => slab.bytes.subarray(start, end))
    const first = block.ranges[0]!
    writeBlockHeader(first.slab.bytes, first.start, {
      kind: 'data',
      cell: this.#options.cell,
      epoch: this.epoch,
      seq: block.seq,
      writer: this.#writer,
      previous: this.#link,
      timeMs: block.timeMs,
      bodyBytes: block.bytes,
      factCount: block.factCount,
      floorHint: this.floorHint,
      isLazy: this.#options.chain.isLazy === true,
    })
    const body = [parts[0]!.subarray(blockHeaderBytes), ...parts.slice(1)]
    this.#put(block, parts, sealBlock(first.slab.bytes, first.start, body))
  }

  #put(block: Block, parts: Buffer[], crc: number): void {
    const { chain, cell } = this.#options
    chain.putIfAbsent(cell, block.seq, parts).then(
      result => {
        if (this.#closed) return
        if (result === 'ok') this.#settle(block, crc)
        else void this.#clarify(result, block, parts, crc)
      },
      (error: unknown) => this.#failed(error),
    )
  }

  /** R4: the same bytes until it is certain whose block stands there. */
  async #clarify(result: PutResult, block: Block, parts: Buffer[], crc: number): Promise<void> {
    const { clock } = this.#options
    if (result === 'exists') {
      const isMine = await this.#isMine(block.seq, crc)
      if (this.#closed) return
      if (isMine === true) return this.#settle(block, crc)
      if (isMine === false) {
        this.#stop()
        return this.#options.onFenced()
      }
    } else {
      await new Promise<void>(resolve => clock.after(unknownRetryMs, resolve))
      if (this.#closed) return
    }
    this.#put(block, parts, crc)
  }

  /** Undefined: there is nothing, or nobody could tell, which closes the journal. */
  async #isMine(seq: number, crc: number): Promise<boolean | undefined> {
    const { chain, cell } = this.#options
    try {
      const bytes = await chain.get(cell, seq)
      if (bytes === null) return undefined
      const found = readBlock(bytes)
      return found !== undefined && found.writer === this.#writer && found.crc === crc
    } catch (error) {
      this.#failed(error)
      return undefined
    }
  }

  #failed(error: unknown): void {
    if (this.#closed) return
    this.#stop()
    this.#options.onFatal(error instanceof Error ? error : new Error(String(error)))
  }

  #settle(block: Block, crc: number): void {
    assert.equal(block.seq, this.#durableSeq + 1)
    this.#sealed.shift()
    this.#link = { writer: this.#writer, crc }
    this.#durableSeq = block.seq
    this.#durableTimeMs = block.timeMs
    this.#writing = false
    this.#pendingBytes -= block.bytes
    this.#kept.add(block.seq, blockHeaderBytes + block.bytes, slabsOf(block))
    for (let index = 0; index < block.runs.length; index++) block.runs[index]!(block.arguments[index] as never)
    this.#options.onSettled()
    this.#start()
  }
}

const unknownRetryMs = 50
/** What nobody waits for is written after so long, or twice as long. */
const patienceMs = 1

const slabsOf = ({ ranges }: Block): Slab[] => ranges.map(({ slab }) => slab)
