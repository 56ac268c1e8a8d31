import { DiskError } from '../../runtime/runtime.ts'
import type { Disk, DiskErrorCode, DiskFile, DiskLock } from '../../runtime/runtime.ts'

type Operation =
  | 'open'
  | 'write'
  | 'read'
  | 'sync'
  | 'truncate'
  | 'close'
  | 'list'
  | 'rename'
  | 'remove'
  | 'sync directory'

/** A disk that fails where a test wants it to: what `fault` answers to an operation is what it rejects with; nothing is done then. */
export class FaultyDisk implements Disk {
  readonly #disk: Disk
  fault: (operation: Operation, path: string) => DiskErrorCode | undefined = () => undefined

  constructor(disk: Disk) {
    this.#disk = disk
  }

  #ask(operation: Operation, path: string): void {
    const code = this.fault(operation, path)
    if (code) throw new DiskError(code, `Cannot ${operation} ${path}: the test wants it`)
  }

  async open(path: string, mode: 'read' | 'write' | 'create', options?: { dsync?: boolean }): Promise<DiskFile> {
    this.#ask('open', path)
    const file = await this.#disk.open(path, mode, options)
    const asked = async <T>(operation: Operation, run: () => Promise<T>): Promise<T> => {
      this.#ask(operation, path)
      return run()
    }
    return {
      write: (parts, position) => asked('write', () => file.write(parts, position)),
      read: (target, position) => asked('read', () => file.read(target, position)),
      sync: () => asked('sync', () => file.sync()),
      truncate: size => asked('truncate', () => file.truncate(size)),
      size: () => file.size(),
      close: () => asked('close', () => file.close()),
    }
  }

  async list(path: string): Promise<string[]> {
    this.#ask('list', path)
    return this.#disk.list(path)
  }

  async rename(source: string, target: string): Promise<void> {
    this.#ask('rename', target)
    await this.#disk.rename(source, target)
  }

  async renameDurably(source: string, target: string): Promise<void> {
    this.#ask('rename', target)
    this.#ask('sync directory', target.slice(0, target.lastIndexOf('/')))
    await this.#disk.renameDurably(source, target)
  }

  async remove(path: string): Promise<void> {
    this.#ask('remove', path)
    await this.#disk.remove(path)
  }

  async syncDirectory(path: string): Promise<void> {
    this.#ask('sync directory', path)
    await this.#disk.syncDirectory(path)
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path)
  }
  freeBytes(path: string): Promise<number> {
    return this.#disk.freeBytes(path)
  }
  totalBytes(path: string): Promise<number> {
    return this.#disk.totalBytes(path)
  }
  lock(directory: string): Promise<DiskLock> {
    return this.#disk.lock(directory)
  }
}
