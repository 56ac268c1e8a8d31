import * as fs from 'node:fs'
import { dirname, resolve as resolvePath } from 'node:path'
import { DiskError, type Disk, type DiskFile, type DiskLock } from '../runtime.ts'
import { afterBytes } from './after-bytes.ts'
import { diskError } from './disk-error.ts'
import { lockDirectory } from './lock.ts'

/** Most buffers that one call of the system takes (IOV_MAX). */
const partsPerCallMax = 1024

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants
/** Absent on systems without it: there each write is followed by a sync. */
const O_DSYNC: number | undefined = fs.constants.O_DSYNC

const openFlags = { read: O_RDONLY, write: O_RDWR, create: O_RDWR | O_CREAT | O_EXCL } as const

/** Files of this machine, by the callback functions of `node:fs`: one hop through the thread pool for each operation. */
export class RealDisk implements Disk {
  open(path: string, mode: 'read' | 'write' | 'create', options?: { dsync?: boolean }): Promise<DiskFile> {
    const dsync = options?.dsync === true
    const flags = openFlags[mode] | (dsync ? (O_DSYNC ?? 0) : 0)
    return new Promise((resolve, reject) => {
      fs.open(path, flags, 0o640, (error, descriptor) => {
        if (error) reject(diskError(error, `Cannot open ${path}`))
        else resolve(new RealFile(path, descriptor, dsync && O_DSYNC === undefined))
      })
    })
  }

  list(path: string): Promise<string[]> {
    return new Promise((resolve, reject) => {
      fs.readdir(path, (error, names) => (error ? reject(diskError(error, `Cannot list ${path}`)) : resolve(names)))
    })
  }

  async makeDirectory(path: string): Promise<void> {
    const missing: string[] = []
    for (let at = resolvePath(path); ; at = dirname(at)) {
      const error = await mkdir(at)
      if (error?.code === 'ENOENT' && dirname(at) !== at) missing.push(at)
      else if (error && !(await isDirectory(at))) throw await notMade(error, path, at)
      else {
        if (!error) await this.syncDirectory(dirname(at))
        break
      }
    }
    // Once each: on some file systems what was just refused for want of a parent is refused for ever (/proc).
    for (const at of missing.reverse()) {
      const error = await mkdir(at)
      if (error && !(await isDirectory(at))) throw await notMade(error, path, at)
      await this.syncDirectory(dirname(at))
    }
  }

  rename(source: string, target: string): Promise<void> {
    return done(`Cannot rename ${source} to ${target}`, callback => fs.rename(source, target, callback))
  }

  remove(path: string): Promise<void> {
    return done(`Cannot remove ${path}`, callback =>
      fs.unlink(path, error => (error?.code === 'EISDIR' ? fs.rmdir(path, callback) : callback(error))),
    )
  }

  /** The directory is opened before anything is done: when there is no descriptor for it, that is known in time. */
  async renameDurably(source: string, target: string): Promise<void> {
    const path = dirname(target)
    const descriptor = await openDirectory(path)
    try {
      await this.rename(source, target)
      await done(`Cannot sync the directory ${path}`, callback => fs.fsync(descriptor, callback)).catch(uncertain)
    } finally {
      await closeDirectory(descriptor, path)
    }
  }

  async syncDirectory(path: string): Promise<void> {
    const descriptor = await openDirectory(path)
    try {
      await done(`Cannot sync the directory ${path}`, callback => fs.fsync(descriptor, callback))
    } finally {
      await closeDirectory(descriptor, path)
    }
  }

  freeBytes(path: string): Promise<number> {
    return fileSystem(path).then(({ bavail, bsize }) => bavail * bsize)
  }

  totalBytes(path: string): Promise<number> {
    return fileSystem(path).then(({ blocks, bsize }) => blocks * bsize)
  }

  lock(directory: string): Promise<DiskLock> {
    return lockDirectory(directory)
  }
}

/** Why it was not made, if it was not. */
function mkdir(path: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise(resolve => fs.mkdir(path, 0o750, error => resolve(error ?? undefined)))
}

async function notMade(error: NodeJS.ErrnoException, path: string, at: string): Promise<DiskError> {
  const failure = `Cannot make the directory ${path}`
  if (error.code !== 'EEXIST') return diskError(error, failure)
  const isLink = await new Promise<boolean>(resolve =>
    fs.lstat(at, (failed, stats) => resolve(!failed && stats.isSymbolicLink())),
  )
  const what = isLink ? 'is a link that leads nowhere' : 'is not a directory'
  return new DiskError('exists', `${failure}: ${at} ${what}`, { cause: error })
}

function isDirectory(path: string): Promise<boolean> {
  return new Promise(resolve => fs.stat(path, (error, stats) => resolve(!error && stats.isDirectory())))
}

function openDirectory(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, O_RDONLY, (error, opened) =>
      error ? reject(diskError(error, `Cannot open the directory ${path}`)) : resolve(opened),
    )
  })
}

function closeDirectory(descriptor: number, path: string): Promise<void> {
  return done(`Cannot close the directory ${path}`, callback => fs.close(descriptor, callback))
}

/** Whatever it was: no retry can make sure. */
function uncertain(error: Error): never {
  throw new DiskError('io', error.message, { cause: error })
}

class RealFile implements DiskFile {
  readonly #path: string
  readonly #descriptor: number
  readonly #syncsAfterWrite: boolean

  constructor(path: string, descriptor: number, syncsAfterWrite: boolean) {
    this.#path = path
    this.#descriptor = descriptor
    this.#syncsAfterWrite = syncsAfterWrite
  }

  write(parts: readonly Uint8Array[], position: number): Promise<void> {
    if (parts.length === 0) return Promise.resolve()
    const written = parts.length === 1 ? this.#writeOne(parts[0]!, position) : this.#writeMany(parts, position)
    return this.#syncsAfterWrite ? written.then(() => this.sync()) : written
  }

  #writeOne(part: Uint8Array, position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let at = 0
      const next = (error: NodeJS.ErrnoException | null, written: number): void => {
        if (error) return reject(diskError(error, `Cannot write ${this.#path}`))
        at += written
        if (at === part.length) return resolve()
        fs.write(this.#descriptor, part, at, part.length - at, position + at, next)
      }
      fs.write(this.#descriptor, part, 0, part.length, position, next)
    })
  }

  /** The system may take them in several calls. */
  #writeMany(parts: readonly Uint8Array[], position: number): Promise<void> {
    return new Promise((resolve, reject) => {
      let at = position
      let left = parts
      const next = (error: NodeJS.ErrnoException | null, written: number): void => {
        if (error) return reject(diskError(error, `Cannot write ${this.#path}`))
        at += written
        left = afterBytes(left, written)
        if (left.length === 0) return resolve()
        fs.writev(this.#descriptor, left.slice(0, partsPerCallMax), at, next)
      }
      fs.writev(this.#descriptor, left.length > partsPerCallMax ? left.slice(0, partsPerCallMax) : left, at, next)
    })
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      let at = 0
      const next = (error: NodeJS.ErrnoException | null, count: number): void => {
        if (error) return reject(diskError(error, `Cannot read ${this.#path}`))
        at += count
        if (count === 0 || at === target.length) return resolve(at)
        fs.read(this.#descriptor, target, at, target.length - at, position + at, next)
      }
      fs.read(this.#descriptor, target, 0, target.length, position, next)
    })
  }

  sync(): Promise<void> {
    return done(`Cannot sync ${this.#path}`, callback => fs.fdatasync(this.#descriptor, callback))
  }

  truncate(size: number): Promise<void> {
    return done(`Cannot set the size of ${this.#path}`, callback => fs.ftruncate(this.#descriptor, size, callback))
  }

  size(): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.#descriptor, (error, stats) =>
        error ? reject(diskError(error, `Cannot ask for the size of ${this.#path}`)) : resolve(stats.size),
      )
    })
  }

  close(): Promise<void> {
    return done(`Cannot close ${this.#path}`, callback => fs.close(this.#descriptor, callback))
  }
}

function done(failure: string, run: (callback: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run(error => (error ? reject(diskError(error, failure)) : resolve()))
  })
}

function fileSystem(path: string): Promise<fs.StatsFs> {
  return new Promise((resolve, reject) => {
    fs.statfs(path, (error, stats) =>
      error ? reject(diskError(error, `Cannot ask for the space of ${path}`)) : resolve(stats),
    )
  })
}
