import { DiskError } from '../runtime/runtime.ts'
import type { Clock, Disk, DiskFile } from '../runtime/runtime.ts'
import type { BlobStore, BlobWriter, CreateOptions, GrowingBlob } from './blob-store.ts'
import type { ChainStore, PutResult } from './chain-store.ts'
import { FileChain } from './file-chain.ts'
import type { FileChainOptions } from './file-chain.ts'

/** Blocks of all cells below one directory: `<root>/cell/<cell>/b/`. */
export class FileChainStore implements ChainStore {
  readonly #root: string
  readonly #options: FileChainOptions
  readonly #cells = new Map<number, Promise<FileChain>>()
  readonly #open = new Map<number, FileChain>()

  constructor(root: string, options: FileChainOptions) {
    this.#root = root
    this.#options = options
  }

  get full(): boolean {
    for (const chain of this.#open.values()) if (chain.full) return true
    return false
  }

  #cell(cell: number): Promise<FileChain> {
    let chain = this.#cells.get(cell)
    if (!chain) {
      chain = FileChain.open(`${this.#root}/cell/${cell}/b`, this.#options).then(opened => {
        this.#open.set(cell, opened)
        return opened
      })
      this.#cells.set(cell, chain)
    }
    return chain
  }

  putIfAbsent(cell: number, seq: number, parts: readonly Uint8Array[]): Promise<PutResult> {
    const open = this.#open.get(cell)
    return open ? open.put(seq, parts) : this.#cell(cell).then(chain => chain.put(seq, parts))
  }
  async get(cell: number, seq: number): Promise<Buffer | null> {
    return (await this.#cell(cell)).get(seq)
  }
  async list(cell: number, fromSeq: number): Promise<number[]> {
    return (await this.#cell(cell)).list(fromSeq)
  }
  async drop(cell: number, seqs: readonly number[]): Promise<void> {
    return (await this.#cell(cell)).drop(seqs)
  }
  async cut(cell: number, fromSeq: number): Promise<void> {
    return (await this.#cell(cell)).cut(fromSeq)
  }
  get isLazy(): boolean {
    return !this.#options.dsync
  }
  noteWritten(bytes: number): void {
    for (const chain of this.#open.values()) chain.noteWritten(bytes)
  }
  async room(): Promise<number> {
    return Math.min(...(await Promise.all(Array.from(this.#open.values(), chain => chain.room()))))
  }
  async close(): Promise<void> {
    for (const chain of this.#open.values()) await chain.close()
  }
}

/** A read that finds no descriptor is tried again so often, so much later. */
const descriptorTries = 300
const descriptorRetryMs = 100

/** Of a file that is removed, so much is given back at a time; between the pieces it rests, for all files of one call so often at most. */
const pieceBytes = 4 * 1024 * 1024
const restMs = 4
const restsMax = 64

/** How many files stay open for reading. */
const openFilesMax = 64

/** A file that is read: closed only when it is forgotten *and* no read is under way on it. */
interface OpenFile {
  readonly file: Promise<DiskFile>
  reads: number
  forgotten: boolean
}

/** Blobs as files below one directory. Reading keeps the most recently used files open. */
export class FileBlobStore implements BlobStore {
  readonly #root: string
  readonly #disk: Disk
  readonly #open = new Map<string, OpenFile>()
  readonly #directories = new Set<string>()

  readonly #dsync: boolean
  readonly #clock: Pick<Clock, 'after'> | undefined
  #isClosed = false

  /** `dsync`: what is written to a growing blob counts only when the disk has it. With a clock, reads wait for descriptors. */
  constructor(root: string, disk: Disk, dsync = true, clock?: Pick<Clock, 'after'>) {
    this.#root = root
    this.#disk = disk
    this.#dsync = dsync
    this.#clock = clock
  }

  async putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<PutResult> {
    const path = `${this.#root}/${name}`
    const exists = await this.#exists(path)
    if (exists) return 'exists'
    const draft = await this.#begin(`${name}.draft`, { replace: true })
    try {
      await draft.append(parts)
      await draft.finish()
    } catch (error) {
      await draft.abort()
      throw error
    }
    try {
      await this.#disk.renameDurably(`${path}.draft`, path)
    } catch (error) {
      if (error instanceof DiskError && error.code === 'full') await draft.abort()
      throw error
    }
    return 'ok'
  }

  create(name: string, { steadily = false }: CreateOptions = {}): Promise<BlobWriter> {
    return this.#begin(name, { steadily })
  }

  async grow(name: string): Promise<GrowingBlob> {
    const path = `${this.#root}/${name}`
    await this.#makeDirectory(directoryOf(path))
    await this.#disk.remove(path).catch(() => {}) // Left by an attempt that found no room.
    const file = await this.#disk.open(path, 'create', { dsync: this.#dsync })
    try {
      await this.#disk.syncDirectory(directoryOf(path))
    } catch (error) {
      await file.close()
      throw error
    }
    const early = this.#dsync ? undefined : new EarlySync(file)
    return {
      write: async (parts, position) => {
        await file.write(parts, position)
        early?.note(parts.reduce((sum, part) => sum + part.length, 0))
      },
      finish: async () => {
        await early?.settle()
        await file.sync()
        await file.close()
      },
      close: async () => {
        await early?.settle().catch(() => {})
        await file.close()
      },
    }
  }

  async settle(name: string): Promise<void> {
    const file = await this.#disk.open(`${this.#root}/${name}`, 'write')
    await file.sync()
    await file.close()
  }

  async read(name: string, position: number, target: Buffer): Promise<number | null> {
    for (let left = this.#clock ? descriptorTries : 0; ; left--) {
      try {
        return await this.#read(name, position, target)
      } catch (error) {
        if (!(error instanceof DiskError && error.code === 'full') || left === 0 || this.#isClosed) throw error
      }
      // There are no descriptors, which passes.
      await new Promise<void>(resolve => this.#clock?.after(descriptorRetryMs, resolve))
    }
  }

  async #read(name: string, position: number, target: Buffer): Promise<number | null> {
    const open = this.#reader(name)
    open.reads++
    try {
      return await (await open.file).read(target, position)
    } catch (error) {
      if (error instanceof DiskError && error.code === 'not-found') return null
      throw error
    } finally {
      open.reads--
      if (open.forgotten && open.reads === 0) await closeFile(open)
    }
  }

  async list(prefix: string): Promise<{ name: string; bytes: number }[]> {
    const directory = directoryOf(`${this.#root}/${prefix}`)
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1)
    const found: { name: string; bytes: number }[] = []
    for (const entry of await this.#entries(directory)) {
      const name = folder + entry
      if (!name.startsWith(prefix)) continue
      const file = await this.#disk.open(`${this.#root}/${name}`, 'read')
      found.push({ name, bytes: await file.size() })
      await file.close()
    }
    return found
  }

  async drop(names: readonly string[]): Promise<void> {
    let rests = restsMax
    for (const name of names) {
      await this.#forget(name)
      // What cannot be made smaller is removed as it is, or that fails, too.
      if (this.#clock) rests -= await this.#shrink(`${this.#root}/${name}`, rests).catch(() => 0)
      await this.#disk.remove(`${this.#root}/${name}`).catch((error: unknown) => {
        if (!(error instanceof DiskError && error.code === 'not-found')) throw error
      })
    }
  }

  /**
   * Gives the room of a large file back piece by piece: a file system that frees all of it at once holds up what others write meanwhile. Returns how
   * often it has rested.
   */
  async #shrink(path: string, restsLeft: number): Promise<number> {
    const file = await this.#disk.open(path, 'write')
    let rests = 0
    try {
      for (let bytes = (await file.size()) - pieceBytes; bytes > 0; bytes -= pieceBytes) {
        await file.truncate(bytes)
        if (rests >= restsLeft || this.#isClosed) continue
        rests++
        await new Promise<void>(resolve => this.#clock?.after(restMs, resolve))
      }
    } finally {
      await file.close()
    }
    return rests
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const name of this.#open.keys()) await this.#forget(name)
  }

  async #begin(name: string, { replace = false, steadily = false }): Promise<BlobWriter> {
    const path = `${this.#root}/${name}`
    await this.#makeDirectory(directoryOf(path))
    if (replace) await this.#disk.remove(path).catch(() => {})
    const file = await this.#disk.open(path, 'create')
    let end = 0
    let isOpen = true
    const early = new EarlySync(file)
    // Once only: the system gives a closed descriptor's number to the next file.
    const close = async (): Promise<void> => {
      if (!isOpen) return
      isOpen = false
      await file.close()
    }
    return {
      append: async parts => {
        const bytes = parts.reduce((sum, part) => sum + part.length, 0)
        const at = end
        end += bytes
        await file.write(parts, at)
        if (steadily) await file.sync()
        else early.note(bytes)
      },
      finish: async () => {
        await early.settle()
        await file.sync()
        await close()
        await this.#disk.syncDirectory(directoryOf(path))
        return 'ok'
      },
      abort: async () => {
        await early.settle().catch(() => {})
        await close().catch(() => {})
        await this.#disk.remove(path).catch(() => {})
      },
    }
  }

  #reader(name: string): OpenFile {
    let open = this.#open.get(name)
    if (open) this.#open.delete(name)
    else {
      open = { file: this.#disk.open(`${this.#root}/${name}`, 'read'), reads: 0, forgotten: false }
      open.file.catch(() => this.#open.delete(name))
    }
    this.#open.set(name, open)
    if (this.#open.size > openFilesMax) void this.#forget(this.#open.keys().next().value!)
    return open
  }

  async #forget(name: string): Promise<void> {
    const open = this.#open.get(name)
    if (!open) return
    this.#open.delete(name)
    open.forgotten = true
    if (open.reads === 0) await closeFile(open)
  }

  async #makeDirectory(path: string): Promise<void> {
    if (this.#directories.has(path)) return
    await this.#disk.makeDirectory(path)
    this.#directories.add(path)
  }

  async #exists(path: string): Promise<boolean> {
    const entries = await this.#entries(directoryOf(path))
    return entries.includes(path.slice(path.lastIndexOf('/') + 1))
  }

  async #entries(directory: string): Promise<string[]> {
    try {
      return await this.#disk.list(directory)
    } catch (error) {
      if (error instanceof DiskError && error.code === 'not-found') return []
      throw error
    }
  }
}

/** A large file is brought to the disk while it grows, so that the sync at its end has little left to do. */
const earlySyncBytes = 8 * 1024 * 1024

class EarlySync {
  readonly #file: DiskFile
  #unsynced = 0
  #running: Promise<void> | undefined
  #error: Error | undefined

  constructor(file: DiskFile) {
    this.#file = file
  }

  note(bytes: number): void {
    this.#unsynced += bytes
    if (this.#unsynced < earlySyncBytes || this.#running) return
    this.#unsynced = 0
    this.#running = this.#file.sync().then(
      () => void (this.#running = undefined),
      (error: unknown) => void (this.#error = error instanceof Error ? error : new Error(String(error))),
    )
  }

  /** A failed sync is told only once by the system, so it is remembered. */
  async settle(): Promise<void> {
    await this.#running
    if (this.#error) throw this.#error
  }
}

async function closeFile({ file }: OpenFile): Promise<void> {
  await file.then(opened => opened.close()).catch(() => {})
}

const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))
