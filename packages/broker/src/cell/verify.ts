import { linkOf, sameLink } from '../storage/block.ts'
import type { Link } from '../storage/block.ts'
import { crc32c } from '../storage/crc32c.ts'
import { Corrupt } from '../storage/errors.ts'
import { FileBlobStore } from '../storage/file-store.ts'
import * as batches from '../storage/record-batch.ts'
import { ChainWriters, scanChainFile } from '../storage/scan.ts'
import { chunkRowBytes, readSegmentTables } from '../storage/segment.ts'
import type { Chunk } from '../storage/segment.ts'
import { DiskError } from '../runtime/runtime.ts'
import type { Disk } from '../runtime/runtime.ts'
import { checkpointSeq, readCheckpoint, readCheckpointBlob } from './checkpoint.ts'
import type { Placement } from './checkpoint.ts'
import { placedIn } from './placed.ts'
import type { PlacedBatch } from './placed.ts'
import { CellState } from './state.ts'
import type { MachineFactories } from './state.ts'

/** One thing that is not as it should be, in words for the person who has to decide. */
export interface Finding {
  /** `damage`: stored bytes are lost or not what was written. `note`: harmless, the broker deals with it by itself. */
  level: 'damage' | 'note'
  where: string
  what: string
  advice: string
}

export interface VerifyReport {
  blocks: number
  segments: number
  batches: number
  records: number
  checkpoints: number
  bytes: number
  findings: Finding[]
}

const lazyAdvice =
  'These blocks were acknowledged before the disk had them (--durability os), and a power cut took some. Nothing to do: the ' +
  'next start goes on before the gap; what was acknowledged behind it is lost, as that durability allows.'
const journalAdvice =
  'The broker will not start on this journal, because what came after the damage was acknowledged. Restore the directory ' +
  'from a copy; or, if the loss is acceptable, move this file and those with higher numbers away and start: what they hold ' +
  'and no checkpoint does is then gone.'
const keptAdvice =
  'These are copies of blocks that tell who has written the journal. Nothing that was acknowledged is lost, and the broker starts; but it may ' +
  'not notice other damage. Restore this one file from a copy if there is one.'
const unreadableAdvice =
  'The medium does not give these bytes back. Copy the directory to a sound one before anything else, restore what is missing from a copy, and ' +
  'start there.'
const segmentAdvice =
  'Reads of this range are refused, everything else is served. Restore this one file from a copy while the broker is ' +
  'stopped; or delete the records up to behind the range, and consumers go on from there.'

/** Checks every block, checkpoint and segment of a data directory that no broker is using. Reads only. */
export async function verifyDirectory(
  disk: Disk,
  directory: string,
  machines: MachineFactories,
): Promise<VerifyReport> {
  const report: VerifyReport = {
    blocks: 0,
    segments: 0,
    batches: 0,
    records: 0,
    checkpoints: 0,
    bytes: 0,
    findings: [],
  }
  const cells = (await entries(disk, `${directory}/cell`)).map(Number).sort((a, b) => a - b)
  const blobs = new FileBlobStore(directory, disk)
  for (const cell of cells) await new CellVerifier(disk, blobs, directory, cell, machines, report).run()
  await blobs.close()
  return report
}

class CellVerifier {
  readonly #disk: Disk
  readonly #blobs: FileBlobStore
  readonly #directory: string
  readonly #cell: number
  readonly #machines: MachineFactories
  readonly #report: VerifyReport
  /** Links of all blocks that were read, by number. */
  readonly #links = new Map<number, { self: Link; previous: Link; isLazy: boolean }>()
  /** Large batches that blocks tell of, by the block's number. */
  readonly #placed: { seq: number; isLazy: boolean; batch: PlacedBatch }[] = []

  constructor(
    disk: Disk,
    blobs: FileBlobStore,
    directory: string,
    cell: number,
    machines: MachineFactories,
    report: VerifyReport,
  ) {
    this.#disk = disk
    this.#blobs = blobs
    this.#directory = directory
    this.#cell = cell
    this.#machines = machines
    this.#report = report
  }

  async run(): Promise<void> {
    await this.#journalFiles()
    const newest = await this.#checkpoints()
    if (!this.#isJournalUnread) this.#chain(newest?.seq ?? -1, newest?.link)
    const placed = this.#placed.filter(({ seq }) => seq > (newest?.seq ?? -1))
    for (const one of placed) {
      await this.#readable(`${this.#directory}/${one.batch.name}`, journalAdvice, () => this.#placedBatch(one))
    }
    const open = new Set(placed.map(({ batch }) => batch.name))
    await this.#segments(newest?.placement.segments ?? new Map(), open)
  }

  #find(level: Finding['level'], where: string, what: string, advice: string): void {
    this.#report.findings.push({ level, where, what, advice })
  }

  /** A medium that does not give the bytes back is told, and the rest is looked at: undefined then. */
  async #readable<T>(path: string, advice: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof DiskError && error.code === 'io')) throw error
      this.#find('damage', path, `${error.message}.`, `${unreadableAdvice} ${advice}`)
      return undefined
    }
  }

  async #journalFiles(): Promise<void> {
    const directory = `${this.#directory}/cell/${this.#cell}/b`
    const names = await entries(this.#disk, directory)
    for (const name of names.filter(name => name === 'kept' || name.endsWith('.blocks')).sort(keptFirst)) {
      const path = `${directory}/${name}`
      if (!(await this.#readable(path, journalAdvice, () => this.#journalFile(path, name !== 'kept'))))
        this.#isJournalUnread = true
    }
  }
  /** What is not known of the journal is not missing. */
  #isJournalUnread = false
  readonly #writers = new ChainWriters()
  /** Of the files before. */
  #lastSeq = -1

  async #journalFile(path: string, dense: boolean): Promise<true> {
    const file = await this.#disk.open(path, 'read')
    try {
      const { damage, torn, isExplained } = await scanChainFile(file, {
        path,
        writers: this.#writers,
        afterSeq: dense ? this.#lastSeq : -1,
        dense,
        visit: block => {
          const isLazy = block.isLazy === true
          // A fence lies in its file and is kept apart, too.
          if (!this.#links.has(block.seq)) this.#report.blocks++
          this.#report.bytes += block.bytes.length
          this.#links.set(block.seq, { self: linkOf(block), previous: block.previous, isLazy })
          for (const batch of placedIn(block)) this.#placed.push({ seq: block.seq, isLazy, batch })
          if (dense) this.#lastSeq = block.seq
        },
      })
      if (damage && !dense) this.#find('damage', path, damage, keptAdvice)
      else if (damage && isExplained) this.#find('note', path, damage, lazyAdvice)
      else if (damage) this.#find('damage', path, damage, journalAdvice)
      else if (torn) this.#find('note', path, `${torn}.`, tornAdvice)
      return true
    } finally {
      await file.close()
    }
  }

  /** Every block behind the newest checkpoint must be there and name the one before it. */
  #chain(from: number, link: Link | undefined): void {
    const seqs = [...this.#links.keys()].filter(seq => seq > from).sort((a, b) => a - b)
    let expected = from + 1
    let previous = link
    const where = `${this.#directory}/cell/${this.#cell}/b`
    if (from >= 0 && !this.#links.has(from)) {
      const isLazy = this.#links.get(Math.max(...this.#links.keys()))?.isLazy === true
      this.#find(
        isLazy ? 'note' : 'damage',
        where,
        `Block ${from}, which the newest checkpoint holds, is missing: the end of the journal was lost.`,
        isLazy ? lazyAdvice : endAdvice,
      )
    }
    for (const seq of seqs) {
      const { self, previous: named, isLazy } = this.#links.get(seq)!
      if (seq !== expected && isLazy) {
        this.#find('note', where, `Block ${expected} is missing, but block ${seq} is there.`, lazyAdvice)
        return
      }
      if (seq !== expected) {
        this.#find('damage', where, `Block ${expected} is missing, but block ${seq} is there.`, journalAdvice)
      } else if (previous && !sameLink(named, previous)) {
        this.#find('damage', where, `Block ${seq} does not follow the block before it.`, journalAdvice)
      }
      expected = seq + 1
      previous = self
    }
  }

  async #checkpoints(): Promise<{ seq: number; link: Link; placement: Placement } | undefined> {
    let newest: { seq: number; link: Link; placement: Placement } | undefined
    const found = await this.#blobs.list(`cell/${this.#cell}/c/`)
    for (const { name, bytes } of found.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = `${this.#directory}/${name}`
      if (checkpointSeq(name) === undefined) {
        this.#find('note', path, 'A checkpoint that was not finished.', 'Nothing to do: the next start removes it.')
        continue
      }
      this.#report.checkpoints++
      this.#report.bytes += bytes
      try {
        const blob = await readCheckpointBlob(this.#blobs, name, bytes)
        const { point, placement } = readCheckpoint(blob ?? Buffer.alloc(0), new CellState(this.#machines))
        newest = { seq: point.seq, link: point.link, placement }
      } catch (error) {
        if (!(error instanceof Corrupt)) throw error
        this.#find('damage', path, `The checkpoint cannot be read: ${error.message}.`, checkpointAdvice)
      }
    }
    return newest
  }

  /** A large batch that no checkpoint has placed yet. */
  async #placedBatch({ seq, isLazy, batch }: { seq: number; isLazy: boolean; batch: PlacedBatch }): Promise<void> {
    const { name, position, bytes, crc, stream, baseOffset } = batch
    const target = Buffer.allocUnsafe(bytes)
    const count = await this.#blobs.read(name, position, target)
    this.#report.batches++
    this.#report.records += count === bytes ? batches.recordCount(target) : 0
    this.#report.bytes += bytes
    if (count === bytes && crc32c(target) === crc) return
    this.#find(
      isLazy ? 'note' : 'damage',
      `${this.#directory}/${name}`,
      `Bytes ${position} to ${position + bytes} (stream ${stream} from offset ${baseOffset}) are not what block ${seq} tells of.`,
      isLazy ? lazyAdvice : journalAdvice,
    )
  }

  /** `open`: names of segments that are not finished. */
  async #segments(segments: Placement['segments'], open: ReadonlySet<string>): Promise<void> {
    const present = new Map((await this.#blobs.list(`cell/${this.#cell}/s/`)).map(({ name, bytes }) => [name, bytes]))
    for (const { name, bytes } of segments.values()) {
      const path = `${this.#directory}/${name}`
      const actual = present.get(name)
      present.delete(name)
      // Nothing lies in it that is not elsewhere by now.
      if (bytes === 0) continue
      if (actual === undefined) this.#find('damage', path, 'The segment is missing.', segmentAdvice)
      else if (actual !== bytes)
        this.#find('damage', path, `The segment has ${actual} bytes and should have ${bytes}.`, segmentAdvice)
      else await this.#segment(name, bytes)
    }
    for (const name of present.keys()) {
      if (open.has(name)) continue
      this.#find(
        'note',
        `${this.#directory}/${name}`,
        'No checkpoint names this segment.',
        'Nothing to do: the next start removes it.',
      )
    }
  }

  async #segment(name: string, bytes: number): Promise<void> {
    const path = `${this.#directory}/${name}`
    this.#report.segments++
    this.#report.bytes += bytes
    const tables = await this.#readable(path, segmentAdvice, () => readSegmentTables(this.#blobs, name, bytes))
    if (tables === undefined) return
    if (typeof tables === 'string') return this.#find('damage', path, `${tables}.`, segmentAdvice)
    for (const { stream, chunkPosition, chunkCount } of tables.extents) {
      const first = (chunkPosition - tables.chunkPosition) / chunkRowBytes
      for (const chunk of tables.chunks.slice(first, first + chunkCount))
        await this.#readable(path, segmentAdvice, () => this.#chunk(name, path, stream, chunk))
    }
  }

  async #chunk(name: string, path: string, stream: number, chunk: Chunk): Promise<void> {
    const bytes = Buffer.allocUnsafe(chunk.bytes)
    const count = await this.#blobs.read(name, chunk.position, bytes)
    const range = `bytes ${chunk.position} to ${chunk.position + chunk.bytes} (stream ${stream} from offset ${chunk.baseOffset})`
    if (count !== chunk.bytes || crc32c(bytes) !== chunk.crc) {
      return this.#find('damage', path, `The checksum of ${range} is wrong.`, segmentAdvice)
    }
    for (let at = 0; at < bytes.length;) {
      const length = at + batches.batchHeaderBytes <= bytes.length ? batches.batchBytes(bytes, at) : 0
      const whole = length >= batches.batchHeaderBytes && at + length <= bytes.length
      if (!whole || bytes.readUInt32BE(at + 17) !== crc32c(bytes, at + 21, at + length)) {
        return this.#find('damage', path, `A record batch within ${range} is damaged.`, segmentAdvice)
      }
      this.#report.batches++
      this.#report.records += batches.recordCount(bytes, at)
      at += length
    }
  }
}

/** Who has written the journal is known before it is read. */
const keptFirst = (a: string, b: string): number => Number(b === 'kept') - Number(a === 'kept') || (a < b ? -1 : 1)

/** What a directory holds; nothing if it is absent. */
async function entries(disk: Disk, path: string): Promise<string[]> {
  try {
    return await disk.list(path)
  } catch (error) {
    if (error instanceof DiskError && error.code === 'not-found') return []
    throw error
  }
}

const tornAdvice =
  'Nothing to do if the machine crashed: nobody was told that it was written. If only the broker ended, the disk has damaged it: what was ' +
  'acknowledged with this one block is gone, and the disk is not to be trusted.'
const endAdvice =
  'What was acknowledged behind it, if anything, is gone, and the broker does not start. Restore the directory from a copy if there is ' +
  'one; else start once with --durability os, which goes on with everything up to that block. Expected after a power cut with --durability os.'
const checkpointAdvice =
  'The broker uses the checkpoint before it and replays more of the journal. If there is none, it will not start: restore ' +
  'the directory from a copy.'
