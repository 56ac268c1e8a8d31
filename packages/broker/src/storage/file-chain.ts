import assert from 'node:assert/strict'
import { DiskError } from '../runtime/runtime.ts'
import type { Disk, DiskFile } from '../runtime/runtime.ts'
import { BlockIndex, type BlockPlace } from './block-index.ts'
import { blockBytesAt, blockHeaderBytes, isFence, readBlock } from './block.ts'
import type { PutResult } from './chain-store.ts'
import { Corrupt } from './errors.ts'
import type { RoomWatch } from './room-watch.ts'
import { alignBlock, blockAlignment, ChainWriters, scanChainFile } from './scan.ts'

export interface FileChainOptions {
  disk: Disk
  clock: { after(delayMs: number, run: () => void): () => void }
  /** Size of one journal file. */
  fileBytes: number
  /** A block counts as durable only when the disk has it (O_DSYNC); else when the operating system has it. */
  dsync: boolean
  /** Free bytes of the file system below which only what is already promised is written. */
  reserveBytes: number
  /** Told when there is no room, and why. */
  room?: RoomWatch
  /** Told what a power cut took of blocks that were not synced. */
  warn?(message: string): void
}

const padding = Buffer.alloc(blockAlignment)
const zeros = Buffer.alloc(1024 * 1024)
/** Zeros are written so far ahead of the blocks: overwriting allocated space needs no metadata write. */
const allocateAheadBytes = 8 * 1024 * 1024
/** So much is allocated then. */
const allocateStepBytes = 16 * 1024 * 1024
/**
 * While the disk takes zeros, and the file system writes down what it has allocated, blocks wait: a little at a time, with rests between, unless
 * less than this is left.
 */
const urgentBytes = allocateAheadBytes / 2
const urgentPieceBytes = 8 * 1024 * 1024
const pieceBytes = 1024 * 1024
const restMs = 20
const fullRetryMs = 500
/** How many bytes of blocks are written between two looks at the free space, at most; and this share of the reserve. */
const roomCheckBytesMax = 16 * 1024 * 1024
const roomCheckShare = 1 / 16
/** And so long after a block: others may have filled the disk, or taken the directory away. */
const roomCheckMs = 1000
const sparesMax = 2

interface ChainFile {
  readonly ordinal: number
  readonly path: string
  readonly file: DiskFile
  /** Bytes that are allocated on disk. */
  allocated: number
  /** Where the next block goes. */
  end: number
  readonly blocks: BlockIndex
  /** Behind its end lie blocks that a power cut has cut off: nothing more is written to it. */
  readonly isSealed: boolean
}

/**
 * One cell's blocks in numbered files of a directory: `<ordinal>.blocks`, overwritten in place when all their blocks were
 * dropped (`spare-<n>`). Blocks that outlive their file (fences) are copied to `kept`, as soon as they are written.
 *
 * Exactly one process writes (the data directory is locked), so a number is taken if and only if it is below the next one.
 */
export class FileChain {
  readonly #directory: string
  readonly #options: FileChainOptions
  readonly #files: ChainFile[] = []
  readonly #spares: string[] = []
  #kept = new Map<number, Buffer>()
  readonly #writers = new ChainWriters()
  #keptFile: DiskFile | undefined
  #keptEnd = 0
  #lastSeq = -1
  #ordinal = 0
  #spareNumber = 0
  #next: Promise<ChainFile> | undefined
  #growing: Promise<void> | undefined
  #closed = false
  /** Writes that wait for room. */
  #starving = 0
  #isBelowReserve = false
  /** The directory is no longer there: what is written would be gone with the process. */
  #lost: DiskError | undefined

  private constructor(directory: string, options: FileChainOptions) {
    this.#directory = directory
    this.#options = options
  }

  /** Reads what is there. Rejects with `Corrupt` when there is damage that a crash cannot explain. */
  static async open(directory: string, options: FileChainOptions): Promise<FileChain> {
    const chain = new FileChain(directory, options)
    await options.disk.makeDirectory(directory)
    // A process that was killed may have left names and blocks that only the page cache has: nothing may be built on them
    // before they are durable, or a power cut would take them from under what was.
    await options.disk.syncDirectory(directory)
    const names = await options.disk.list(directory)
    await chain.#openKept(names.includes('kept'))
    for (const name of names.filter(name => name.startsWith('spare-')).sort()) {
      chain.#spares.push(`${directory}/${name}`)
      chain.#spareNumber = Math.max(chain.#spareNumber, Number(name.slice(6)) + 1)
    }
    for (const name of names.filter(name => name.endsWith('.blocks')).sort()) await chain.#scan(name)
    await chain.#writeLastAgain()
    await chain.checkRoom()
    return chain
  }

  get lastSeq(): number {
    return this.#lastSeq
  }

  get full(): boolean {
    return this.#isBelowReserve || this.#starving > 0
  }

  list(fromSeq: number): number[] {
    const seqs = [...this.#kept.keys()].filter(seq => seq >= fromSeq)
    for (const { blocks } of this.#files) seqs.push(...blocks.live(fromSeq))
    return seqs.sort((a, b) => a - b)
  }

  async get(seq: number): Promise<Buffer | null> {
    const kept = this.#kept.get(seq)
    if (kept) return kept
    for (const { file, blocks } of this.#files) {
      const place = blocks.isLive(seq) ? blocks.place(seq) : undefined
      if (!place) continue
      const bytes = Buffer.allocUnsafeSlow(place.bytes)
      await file.read(bytes, place.at)
      return bytes
    }
    return null
  }

  put(seq: number, parts: readonly Uint8Array[]): Promise<PutResult> {
    if (this.#lost) return Promise.reject(this.#lost)
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    const padded = alignBlock(bytes)
    const target = this.#files.at(-1)
    const hasRoom = target && !target.isSealed && target.end + padded <= target.allocated
    const isNext = hasRoom && seq === this.#lastSeq + 1 && seq === target.blocks.lastSeq + 1
    const putting =
      isNext && !isFence(parts) ? this.#write(target, seq, parts, bytes) : this.#placeAndWrite(seq, parts, bytes)
    this.#putting = putting
    return putting
  }
  #putting: Promise<unknown> | undefined

  async #placeAndWrite(seq: number, parts: readonly Uint8Array[], bytes: number): Promise<PutResult> {
    if (seq <= this.#lastSeq) return 'exists'
    // A checkpoint may be beyond the last block that is left (a power cut with `dsync` off): numbers are dense within a file.
    const blocks = this.#files.at(-1)?.blocks
    const isGap = blocks !== undefined && blocks.size > 0 && seq > blocks.lastSeq + 1
    const target = await this.#place(alignBlock(bytes), isGap)
    const result = await this.#write(target, seq, parts, bytes)
    if (isFence(parts)) await this.#announce(target, seq)
    return result
  }

  /** Fences are kept before their owner writes anything else (`ChainWriters`); where there is no room, when their file goes. */
  async #announce({ blocks }: ChainFile, seq: number): Promise<void> {
    try {
      await this.#keep(seq)
      blocks.drop(seq)
    } catch (error) {
      if (!isFull(error)) throw error
    }
  }

  #write(target: ChainFile, seq: number, parts: readonly Uint8Array[], bytes: number): Promise<PutResult> {
    const { file, end: at } = target
    const fill = alignBlock(bytes) - bytes
    const whole = fill > 0 ? [...parts, padding.subarray(0, fill)] : parts
    const done = (): PutResult => this.#written(target, seq, { at, bytes })
    return file.write(whole, at).then(done, (error: unknown) => {
      if (!isFull(error)) throw error
      return this.#patiently(() => file.write(whole, at)).then(done)
    })
  }

  #written(target: ChainFile, seq: number, place: BlockPlace): PutResult {
    const padded = alignBlock(place.bytes)
    target.end = place.at + padded
    target.blocks.add(seq, place)
    this.#lastSeq = seq
    this.#growAhead(target)
    this.noteWritten(padded)
    return 'ok'
  }

  noteWritten(bytes: number): void {
    this.#sinceRoomCheck += bytes
    const { reserveBytes } = this.#options
    const checkBytes = reserveBytes > 0 ? Math.min(roomCheckBytesMax, reserveBytes * roomCheckShare) : roomCheckBytesMax
    if (this.#closed) return
    if (this.#sinceRoomCheck >= checkBytes) void this.checkRoom()
    this.#cancelLook ??= this.#options.clock.after(roomCheckMs, this.#look)
  }

  readonly #look = (): void => {
    this.#cancelLook = undefined
    void this.checkRoom()
  }
  #cancelLook: (() => void) | undefined

  async drop(seqs: readonly number[]): Promise<void> {
    for (const seq of seqs) {
      for (const { blocks } of this.#files) if (blocks.drop(seq)) break
      this.#droppedTo = Math.max(this.#droppedTo, seq)
    }
    while (this.#files.length > 1) {
      const first = this.#files[0]!
      if (first.blocks.lastSeq > this.#droppedTo) return
      for (const seq of first.blocks.live()) {
        await this.#keep(seq)
        first.blocks.drop(seq) // Not again, when the next one finds no room.
      }
      this.#files.shift()
      await this.#recycle(first)
    }
  }
  #droppedTo = -1

  /** Removes the blocks that are numbered from `fromSeq` on: whole files, newest first, and in a file the pages with their headers. */
  async cut(fromSeq: number): Promise<void> {
    const { disk } = this.#options
    for (const chainFile of this.#files.filter(({ blocks }) => blocks.lastSeq >= fromSeq).toReversed()) {
      if (chainFile.blocks.firstSeq < fromSeq) {
        await cutFile(chainFile, fromSeq)
        continue
      }
      this.#files.splice(this.#files.indexOf(chainFile), 1)
      await chainFile.file.close()
      await disk.remove(chainFile.path)
    }
    await disk.syncDirectory(this.#directory)
    await this.#cutKept(fromSeq)
    this.#lastSeq = Math.max(-1, ...this.#kept.keys(), ...this.#files.map(({ blocks }) => blocks.lastSeq))
    this.#options.warn?.(`A power cut took block ${fromSeq}, which was not synced; what follows is given up`)
  }

  /** The others take the places of those that go: what a crash leaves of it is cut again. */
  async #cutKept(fromSeq: number): Promise<void> {
    const file = this.#keptFile
    const left = new Map([...this.#kept].filter(([seq]) => seq < fromSeq))
    if (!file || left.size === this.#kept.size) return
    let end = 0
    for (const bytes of left.values()) end = await writePadded(file, bytes, end)
    while (this.#keptEnd > end) {
      this.#keptEnd -= blockAlignment
      await file.write([padding], this.#keptEnd)
    }
    await file.sync()
    this.#kept = left
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelWatch?.()
    this.#cancelLook?.()
    this.#endRest?.()
    await this.#putting?.catch(() => {}) // A file may not be closed under a write.
    await this.#growing?.catch(() => {})
    const next = await this.#next?.catch(() => undefined)
    for (const { file } of next ? [...this.#files, next] : this.#files) await file.close()
    await this.#keptFile?.close()
  }

  async #openKept(exists: boolean): Promise<void> {
    const { disk, dsync } = this.#options
    const path = `${this.#directory}/kept`
    if (!exists) return
    this.#keptFile = await disk.open(path, 'write', { dsync })
    await this.#keptFile.sync()
    const scan = await scanChainFile(this.#keptFile, {
      path,
      writers: this.#writers,
      afterSeq: -1,
      dense: false,
      visit: block => this.#kept.set(block.seq, Buffer.from(block.bytes)),
    })
    this.#keptEnd = scan.end
    if (scan.damage) this.#options.warn?.(`${scan.damage}; it holds copies, and new ones will take their places`)
    for (const seq of this.#kept.keys()) this.#lastSeq = Math.max(this.#lastSeq, seq)
  }

  /** Indexes the blocks of one file. A file of older blocks only is one that was prepared for reuse and not yet begun. */
  async #scan(name: string): Promise<void> {
    const path = `${this.#directory}/${name}`
    const ordinal = Number.parseInt(name, 10)
    this.#ordinal = Math.max(this.#ordinal, ordinal)
    const file = await this.#options.disk.open(path, 'write', { dsync: this.#options.dsync })
    await file.sync()
    const blocks = new BlockIndex()
    const { end, damage, torn, isExplained } = await scanChainFile(file, {
      path,
      writers: this.#writers,
      afterSeq: this.#lastFileSeq,
      dense: true,
      visit: (block, at) => {
        blocks.add(block.seq, { at, bytes: block.bytes.length }, !this.#kept.has(block.seq))
        this.#lastFileSeq = block.seq
      },
    })
    this.#lastSeq = Math.max(this.#lastSeq, this.#lastFileSeq)
    if (damage && !isExplained) {
      await file.close()
      throw new Corrupt(damage)
    }
    if (damage) this.#options.warn?.(`${damage}; a power cut took what was not synced, and what follows is given up`)
    if (torn)
      this.#options.warn?.(`${torn}, and is cut off: a crash of the machine leaves that, and nobody was told of it`)
    this.#files.push({
      ordinal,
      path,
      file,
      allocated: await file.size(),
      end,
      blocks,
      isSealed: damage !== undefined,
    })
  }
  #lastFileSeq = -1

  /**
   * The last block may be one that nobody was told of, left in the page cache by a process that was killed. If a sync of it has
   * failed before, the system takes it for clean and no further sync brings it to the disk. Written again it is there, or the
   * start fails. All blocks before it were either acknowledged or last at a start.
   */
  async #writeLastAgain(): Promise<void> {
    const last = this.#files.find(({ blocks }) => blocks.size > 0 && blocks.lastSeq === this.#lastFileSeq)
    const place = last?.blocks.place(this.#lastFileSeq)
    if (last && place) await writeAgain(last.file, place.at, place.bytes)
    const kept = [...this.#kept.values()].at(-1)
    if (kept && this.#keptFile) await writeAgain(this.#keptFile, this.#keptEnd - alignBlock(kept.length), kept.length)
  }

  /** The file that takes the next `bytes`, with that much space allocated where that can be had. */
  async #place(bytes: number, mustBeNew: boolean): Promise<ChainFile> {
    let target = this.#files.at(-1)
    const limit = Math.max(this.#options.fileBytes, bytes)
    const isOver = target && (target.isSealed || (mustBeNew && target.end > 0))
    if (!target || isOver || target.end + bytes > Math.max(limit, target.allocated)) {
      target = await (this.#next ?? this.#prepare())
      this.#next = undefined
      this.#files.push(target)
    }
    while (target.allocated < target.end + bytes) {
      this.#endRest?.()
      await this.#patiently(() => (this.#growing ??= this.#grow(target, bytes)))
    }
    return target
  }

  /** Takes a spare file or makes a new one, under a name that is durable before its first block. */
  async #prepare(): Promise<ChainFile> {
    const { disk, dsync } = this.#options
    const ordinal = ++this.#ordinal
    const path = `${this.#directory}/${String(ordinal).padStart(12, '0')}.blocks`
    const spare = this.#spares.shift()
    if (spare) await this.#patiently(() => disk.rename(spare, path))
    const file = await this.#patiently(() => disk.open(path, spare ? 'write' : 'create', { dsync }))
    await this.#patiently(() => disk.syncDirectory(this.#directory))
    return {
      ordinal,
      path,
      file,
      allocated: await file.size(),
      end: 0,
      blocks: new BlockIndex(),
      isSealed: false,
    }
  }

  /** Keeps allocated space ahead of the blocks, and the next file ready, without the writer having to wait for it. */
  #growAhead(target: ChainFile): void {
    if (this.#closed || this.full) return
    const room = target.allocated - target.end
    if (
      this.#options.dsync &&
      room < allocateAheadBytes &&
      target.allocated < this.#options.fileBytes &&
      !this.#growing
    ) {
      this.#growing = this.#grow(target, 0)
      this.#growing.catch(() => {})
    }
    if (target.end > this.#options.fileBytes / 2 && !this.#next && this.#spares.length > 0) {
      this.#next = this.#prepare()
      this.#next.catch(() => {})
    }
  }

  async #grow(target: ChainFile, needed: number): Promise<void> {
    try {
      const { fileBytes, dsync } = this.#options
      const step = needed > 0 ? allocateAheadBytes : allocateStepBytes
      const goal = Math.max(target.end + needed, Math.min(fileBytes, target.allocated + step))
      // Without a sync for each block there is nothing to gain from allocated space.
      if (dsync) await this.#allocate(target, goal, needed > 0)
      else target.allocated = Math.max(goal, fileBytes)
      await this.checkRoom()
    } finally {
      this.#growing = undefined
    }
  }

  /** At the end only what is needed is allocated. */
  async #allocate(target: ChainFile, goal: number, isNeeded: boolean): Promise<void> {
    const plain = await this.#options.disk.open(target.path, 'write')
    try {
      while (target.allocated < goal && (isNeeded || !this.#closed)) {
        const isUrgent = target.allocated - target.end < urgentBytes
        const until = Math.min(goal, target.allocated + (isUrgent ? urgentPieceBytes : pieceBytes))
        for (let at = target.allocated; at < until; at += zeros.length) {
          await plain.write([zeros.subarray(0, Math.min(zeros.length, until - at))], at)
        }
        await plain.sync()
        target.allocated = until
        if (!isUrgent && until < goal && !this.#closed) await this.#rest()
      }
    } finally {
      await plain.close()
    }
  }

  #rest(): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.#options.clock.after(restMs, () => this.#endRest?.())
      this.#endRest = () => {
        cancel()
        this.#endRest = undefined
        resolve()
      }
    })
  }
  #endRest: (() => void) | undefined

  /** Looks how much the file system still takes and sets `full`; while it is, looks again until space was freed. */
  async checkRoom(): Promise<void> {
    this.#sinceRoomCheck = 0
    const { room, reserveBytes } = this.#options
    const left = await this.room()
    this.#isBelowReserve = left < 0
    if (left < 0) room?.low('reserve', this.#explainRoom(left + reserveBytes))
    else room?.found('reserve')
    if (left < 0 && !this.#cancelWatch && !this.#closed) {
      this.#cancelWatch = this.#options.clock.after(fullRetryMs, () => {
        this.#cancelWatch = undefined
        if (!this.#closed) void this.checkRoom()
      })
    }
  }

  /** What the file system still takes but for the reserve; negative when that is begun. */
  async room(): Promise<number> {
    const free = await this.#options.disk.freeBytes(this.#directory).catch((error: unknown) => {
      if (!(error instanceof DiskError) || error.code !== 'not-found') return 0
      this.#lost = new DiskError('not-found', `The data directory is gone: ${error.message}`, { cause: error })
      return Infinity // The next block tells.
    })
    return free - this.#options.reserveBytes
  }

  #explainRoom(freeBytes: number): string {
    const { reserveBytes } = this.#options
    return `${mebibytes(freeBytes)} are free where ${this.#directory} is, and --reserve-bytes keeps ${mebibytes(reserveBytes)}`
  }
  #sinceRoomCheck = 0
  #cancelWatch: (() => void) | undefined

  /** What was promised is written as soon as there is space: a full disk is waited for, anything else is final. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    let isStarving = false
    try {
      for (;;) {
        try {
          return await attempt()
        } catch (error) {
          if (!isFull(error) || this.#closed) throw error
          if (!isStarving) this.#starving++
          isStarving = true
          this.#options.room?.missing('journal', error)
          await this.checkRoom()
          await new Promise<void>(resolve => this.#options.clock.after(fullRetryMs, resolve))
          if (this.#closed) throw error
        }
      }
    } finally {
      if (isStarving && --this.#starving === 0) this.#options.room?.found('journal')
    }
  }

  /** Copies a block that outlives its file. */
  async #keep(seq: number): Promise<void> {
    const bytes = await this.get(seq)
    assert(bytes && blockBytesAt(bytes, 0) === bytes.length && bytes.length >= blockHeaderBytes && readBlock(bytes))
    const { disk, dsync } = this.#options
    if (!this.#keptFile) {
      this.#keptFile = await disk.open(`${this.#directory}/kept`, 'create', { dsync })
      await disk.syncDirectory(this.#directory)
    }
    this.#keptEnd = await writePadded(this.#keptFile, bytes, this.#keptEnd)
    this.#kept.set(seq, bytes)
  }

  async #recycle({ path, file, allocated, isSealed }: ChainFile): Promise<void> {
    const { disk, fileBytes } = this.#options
    await file.close()
    if (isSealed || this.#spares.length >= sparesMax || allocated !== fileBytes) return disk.remove(path)
    const spare = `${this.#directory}/spare-${String(this.#spareNumber++).padStart(12, '0')}`
    await disk.rename(path, spare)
    this.#spares.push(spare)
  }
}

const isFull = (error: unknown): error is DiskError => error instanceof DiskError && error.code === 'full'
const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`

/** Newest first: what a crash leaves of it ends in blocks that were told before the disk had them, and is cut again. */
async function cutFile(chainFile: ChainFile, fromSeq: number): Promise<void> {
  const { file, blocks } = chainFile
  for (let seq = blocks.lastSeq; seq >= fromSeq; seq--) {
    const place = blocks.place(seq)
    assert(place)
    await file.write([padding], place.at)
    blocks.removeLast()
    chainFile.end = place.at
  }
  await file.sync()
}

/** Returns where the next one goes. */
async function writePadded(file: DiskFile, block: Buffer, at: number): Promise<number> {
  const padded = alignBlock(block.length)
  await file.write([block, padding.subarray(0, padded - block.length)], at)
  return at + padded
}

async function writeAgain(file: DiskFile, at: number, bytes: number): Promise<void> {
  const block = Buffer.alloc(alignBlock(bytes))
  await file.read(block.subarray(0, bytes), at)
  await file.write([block], at)
}
