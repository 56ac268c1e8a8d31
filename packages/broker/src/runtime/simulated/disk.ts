import type { Random } from '@dragoman/wire'
import type { Disk, DiskFile, DiskLock } from '../runtime.ts'
import { DiskError } from '../runtime.ts'
import { DirectoryTree } from './directory-tree.ts'
import { pageBytes, type FileNode } from './file-node.ts'
import type { Owner, World } from './world.ts'

/** What can go wrong, and how often (probabilities of one operation). May be changed while the world runs. */
export interface DiskFaults {
  ioErrorChance: number
  slowChance: number
  slowMsMax: number
  /** Of a page that was not synced when the power went: some sectors old, some new. */
  tornChance: number
  /** Acknowledges syncs and synced writes that it has not made durable: a broken disk, for tests of the checkers. */
  liesAboutSync: boolean
}

export const healthyDisk: DiskFaults = {
  ioErrorChance: 0,
  slowChance: 0.01,
  slowMsMax: 30,
  tornChance: 0.3,
  liesAboutSync: false,
}

/** What the medium must decide when its process or the machine ends in the middle of an operation. */
interface InFlight {
  process: Owner
  incarnation: number
  onCrash: () => void
}

/** One simulated disk with its file system: survives the processes that use it through `port`. */
export class SimDisk {
  readonly tree = new DirectoryTree()
  faults: DiskFaults = { ...healthyDisk }
  capacityBytes = Infinity
  /** Called when an operation has happened and nobody was told yet: the moment at which a crash hurts most. */
  applied: (label: string) => void = () => {}
  /** Operations that were asked for, by any process. */
  operationCount = 0
  readonly #world: World
  readonly #random: Random
  readonly #inFlight = new Set<InFlight>()
  readonly #locks = new Map<string, { process: Owner; incarnation: number }>()

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.fork('disk')
  }

  port(process: Owner): Disk {
    return new DiskPort(this, process)
  }

  get usedBytes(): number {
    return this.tree.pageCount() * pageBytes
  }

  /**
   * Runs one operation: `apply` at a random moment, its result handed over a little later. Nothing of it is heard when the
   * process has ended by then; whether it was applied is then decided by the seed.
   */
  operate<T>(process: Owner, incarnation: number, label: string, bytes: number, operation: Operation<T>): Promise<T> {
    if (!process.isRunning(incarnation)) return new Promise(() => {})
    this.operationCount++
    const random = this.#random
    const half = this.#latencyMs(bytes) / 2
    return new Promise((resolve, reject) => {
      let isApplied = false
      let result: T
      const flight: InFlight = {
        process,
        incarnation,
        onCrash: () => {
          if (!isApplied && random.chance(0.5)) operation.breakOff?.()
        },
      }
      this.#inFlight.add(flight)
      const settle = (run: () => void): void => {
        this.#inFlight.delete(flight)
        run()
      }
      const apply = (): void => {
        try {
          if (random.chance(this.faults.ioErrorChance)) throw this.#ioError(label, operation)
          result = operation.apply()
          isApplied = true
          this.applied(label)
        } catch (error) {
          return settle(() => reject(error instanceof Error ? error : new Error(String(error))))
        }
        this.#world.at(half * random.float() * 2, label, complete, process)
      }
      const complete = (): void => {
        settle(() => {
          operation.complete?.()
          resolve(result)
        })
      }
      this.#world.at(half * random.float() * 2, label, apply, process)
    })
  }

  #latencyMs(bytes: number): number {
    const random = this.#random
    const usual = 0.02 + random.float() * 0.1 + bytes / 1e6
    return random.chance(this.faults.slowChance) ? usual + random.float() * this.faults.slowMsMax : usual
  }

  #ioError<T>(label: string, operation: Operation<T>): DiskError {
    operation.breakOff?.()
    operation.failed?.(this.#random)
    return new DiskError('io', `Cannot ${label}: simulated input/output error`)
  }

  /** Which pages of a write that broke off were written. */
  someOf(): (page: number) => boolean {
    const keepChance = this.#random.float()
    return () => this.#random.chance(keepChance)
  }

  /** Throws `full` after a part of the write when there is no room for all of it. */
  admit(node: FileNode, bytes: Uint8Array, position: number, path: string): void {
    if (this.capacityBytes === Infinity) return
    const room = Math.floor((this.capacityBytes - this.usedBytes) / pageBytes)
    if (node.newPages(position, bytes.length) <= room) return
    let left = room
    node.write(
      bytes,
      position,
      page => left > 0 && node.newPages(page * pageBytes, 1) <= left-- && this.#random.chance(0.9),
    )
    throw new DiskError('full', `Cannot write ${path}: no space left`)
  }

  /** Leaves out the durable part, as a broken disk would. */
  get isHonest(): boolean {
    return !this.faults.liesAboutSync
  }

  shuffled<T>(list: T[]): T[] {
    return this.#random.shuffle(list)
  }

  lock(process: Owner, incarnation: number, directory: string): DiskLock {
    const holder = this.#locks.get(directory)
    if (holder?.process.isRunning(holder.incarnation)) {
      throw new DiskError('locked', `${directory} is in use by process ${holder.process.id}`)
    }
    const mine = { process, incarnation }
    this.#locks.set(directory, mine)
    return {
      release: async () => {
        if (this.#locks.get(directory) === mine) this.#locks.delete(directory)
      },
    }
  }

  processEnded(process: Owner, how: { power: boolean }): void {
    for (const flight of this.#inFlight) {
      if (flight.process !== process) continue
      this.#inFlight.delete(flight)
      flight.onCrash()
    }
    if (how.power) this.tree.losePower(this.#random, this.faults.tornChance)
  }

  /** A rule of the port was broken by the code above it. */
  misused(message: string): void {
    this.#world.fail(message)
  }

  /** The file at `path` as it is now, for tests and damage. */
  file(path: string): FileNode {
    return this.tree.file(path)
  }
}

export interface Operation<T> {
  /** Changes what programs see, and gives the answer. Throws `DiskError`. */
  apply(): T
  /** Makes it durable where that belongs to it. */
  complete?(): void
  /** Some part of it happened, and nobody was told. */
  breakOff?(): void
  /** It failed with an input/output error. */
  failed?(random: Random): void
}

/** A disk as one incarnation of a process uses it. */
class DiskPort implements Disk {
  readonly #disk: SimDisk
  readonly #process: Owner
  readonly #incarnation: number

  constructor(disk: SimDisk, process: Owner) {
    this.#disk = disk
    this.#process = process
    this.#incarnation = process.incarnation
  }

  #do<T>(label: string, apply: () => T): Promise<T> {
    return this.#disk.operate(this.#process, this.#incarnation, label, 0, { apply })
  }

  open(path: string, mode: 'read' | 'write' | 'create', options?: { dsync?: boolean }): Promise<DiskFile> {
    const { tree } = this.#disk
    return this.#do(`${mode === 'create' ? 'create' : 'open'} ${path}`, () => {
      const node = mode === 'create' ? tree.create(path) : tree.file(path)
      return new SimFile(this.#disk, this.#process, path, node, {
        writable: mode !== 'read',
        dsync: options?.dsync === true,
      })
    })
  }

  list(path: string): Promise<string[]> {
    return this.#do(`list ${path}`, () => this.#disk.shuffled(this.#disk.tree.list(path)))
  }

  makeDirectory(path: string): Promise<void> {
    const { tree, isHonest } = this.#disk
    let changed: string[] = []
    return this.#disk.operate(this.#process, this.#incarnation, `mkdir ${path}`, 0, {
      apply: () => void (changed = tree.makeDirectory(path)),
      complete: () => {
        if (isHonest) for (const parent of changed) tree.sync(parent)
      },
      // A process that is killed may have made it and not yet synced where it lies.
      breakOff: () => void tree.makeDirectory(path),
    })
  }

  rename(source: string, target: string): Promise<void> {
    return this.#do(`rename ${source} ${target}`, () => this.#disk.tree.rename(source, target))
  }

  async renameDurably(source: string, target: string): Promise<void> {
    await this.rename(source, target)
    await this.syncDirectory(target.slice(0, target.lastIndexOf('/'))).catch((error: unknown) => {
      throw new DiskError('io', String(error), { cause: error })
    })
  }

  remove(path: string): Promise<void> {
    return this.#do(`remove ${path}`, () => this.#disk.tree.remove(path))
  }

  syncDirectory(path: string): Promise<void> {
    return this.#do(`sync directory ${path}`, () => {
      if (this.#disk.isHonest) this.#disk.tree.sync(path)
    })
  }

  freeBytes(_path: string): Promise<number> {
    return this.#do('statfs', () => Math.max(0, Math.min(2 ** 40, this.#disk.capacityBytes - this.#disk.usedBytes)))
  }

  totalBytes(_path: string): Promise<number> {
    return this.#do('statfs', () => Math.min(2 ** 40, this.#disk.capacityBytes))
  }

  lock(directory: string): Promise<DiskLock> {
    return this.#do('lock', () => this.#disk.lock(this.#process, this.#incarnation, directory))
  }
}

class SimFile implements DiskFile {
  readonly #disk: SimDisk
  readonly #process: Owner
  readonly #incarnation: number
  readonly #path: string
  readonly #node: FileNode
  readonly #mode: { writable: boolean; dsync: boolean }
  #isOpen = true

  constructor(
    disk: SimDisk,
    process: Owner,
    path: string,
    node: FileNode,
    mode: { writable: boolean; dsync: boolean },
  ) {
    this.#disk = disk
    this.#process = process
    this.#incarnation = process.incarnation
    this.#path = path
    this.#node = node
    this.#mode = mode
  }

  #operate<T>(label: string, bytes: number, operation: Operation<T>): Promise<T> {
    if (!this.#isOpen) return Promise.reject(new DiskError('io', `Cannot ${label}: it is closed`))
    return this.#disk.operate(this.#process, this.#incarnation, label, bytes, operation)
  }

  write(parts: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = Buffer.concat(parts)
    const node = this.#node
    const disk = this.#disk
    return this.#operate(`write ${this.#path}`, bytes.length, {
      apply: () => {
        if (!this.#mode.writable) throw new DiskError('denied', `Cannot write ${this.#path}: opened for reading`)
        if (!sameBytes(parts, bytes))
          disk.misused(`The bytes of a write to ${this.#path} were changed before it was done`)
        disk.admit(node, bytes, position, this.#path)
        node.write(bytes, position)
      },
      complete: () => {
        if (this.#mode.dsync && disk.isHonest) node.syncRange(position, bytes.length)
      },
      breakOff: () => node.write(bytes, position, disk.someOf()),
    })
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#operate(`read ${this.#path}`, target.length, { apply: () => this.#node.read(target, position) })
  }

  sync(): Promise<void> {
    let finish: (() => void) | undefined
    return this.#operate(`sync ${this.#path}`, 0, {
      apply: () => {
        finish = this.#node.beginSync()
      },
      complete: () => {
        if (this.#disk.isHonest) finish?.()
      },
      failed: random => this.#node.failSync(random),
    })
  }

  truncate(size: number): Promise<void> {
    return this.#operate(`truncate ${this.#path}`, 0, { apply: () => this.#node.truncate(size) })
  }

  size(): Promise<number> {
    return this.#operate(`stat ${this.#path}`, 0, { apply: () => this.#node.size })
  }

  async close(): Promise<void> {
    await this.#operate(`close ${this.#path}`, 0, { apply: () => {} })
    this.#isOpen = false
  }
}

function sameBytes(parts: readonly Uint8Array[], whole: Buffer): boolean {
  let at = 0
  for (const part of parts) {
    if (whole.compare(part, 0, part.length, at, at + part.length) !== 0) return false
    at += part.length
  }
  return true
}
