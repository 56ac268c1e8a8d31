import type { Clock, Disk, DiskLock } from './runtime/runtime.ts'
import { DiskError } from './runtime/runtime.ts'
import type { BlobStore } from './storage/blob-store.ts'
import type { ChainStore } from './storage/chain-store.ts'
import { FileBlobStore, FileChainStore } from './storage/file-store.ts'
import type { RoomWatch } from './storage/room-watch.ts'
import { MemoryBlobStore, MemoryChainStore } from './storage/memory-store.ts'
import { StartError } from './start-error.ts'

/** Where a broker's cells live. */
export interface Stores {
  chain: ChainStore
  blobs: BlobStore
  close(): Promise<void>
}

export interface DirectoryOptions {
  path: string
  disk: Disk
  clock: Clock
  /** False: what is written counts when the operating system has it. */
  dsync: boolean
  reserveBytes: number
  /** Told when there is no room, and why. */
  room?: RoomWatch
  /** Told what a power cut took of what was not synced. */
  warn?(message: string): void
  journalFileBytes?: number | undefined
}

/**
 * Raised when an older release could not read what this one writes. 2: large batches lie in segments only, transactions, groups of the
 * newer kind, share groups, compaction, users. A directory of an older format is taken over, and then belongs to this one.
 */
export const dataFormat = 2

const formatFile = 'format.json'
const journalFileBytesDefault = 64 * 1024 * 1024
/** What may be in a directory that is not ours yet: traces of a first start that was cut off, and of the file system. */
const harmless = /^(lock|format\.json(\.draft)?|lost\+found|\..*)$/

export function memoryStores(): Stores {
  return { chain: new MemoryChainStore(), blobs: new MemoryBlobStore(), close: async () => {} }
}

export const emptied =
  'belongs to a broker, but holds no data: nothing is below "cell". If it has run here before, restore the directory from a copy while it is stopped.'

/** Claims a data directory for this process; makes it if it is absent. Rejects with `StartError` when it cannot be used. */
export async function openDirectory(options: DirectoryOptions): Promise<Stores> {
  const {
    path,
    disk,
    clock,
    dsync,
    reserveBytes,
    room,
    journalFileBytes: fileBytes = journalFileBytesDefault,
  } = options
  const warn = (message: string): void => options.warn?.(message)
  const lock = await claim(disk, path)
  try {
    const isNew = await checkFormat(disk, path)
    await settleNames(disk, path)
    if (!isNew && (await isEmptied(disk, path))) warn(`${path} ${emptied} The broker starts empty.`)
  } catch (error) {
    await lock.release()
    throw error
  }
  const chain = new FileChainStore(path, { disk, clock, fileBytes, dsync, reserveBytes, ...(room && { room }), warn })
  const blobs = new FileBlobStore(path, disk, dsync, clock)
  return {
    chain,
    blobs,
    async close() {
      room?.close()
      await chain.close()
      await blobs.close()
      await lock.release()
    },
  }
}

/** Claims a directory that must hold data already. */
export async function claimExisting(disk: Disk, path: string): Promise<DiskLock> {
  const entries = await disk.list(path).catch((error: unknown) => {
    if (error instanceof DiskError) throw new StartError(`Cannot read ${path}: ${error.message}`, { cause: error })
    throw error
  })
  if (!entries.includes(formatFile)) throw new StartError(`${path} holds no data of a broker: it has no ${formatFile}`)
  const lock = await claim(disk, path)
  try {
    checkKnown(await readSmall(disk, `${path}/${formatFile}`), path)
    return lock
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function claim(disk: Disk, path: string): Promise<DiskLock> {
  try {
    await disk.makeDirectory(path)
    return await disk.lock(path)
  } catch (error) {
    if (error instanceof DiskError)
      throw new StartError(`Cannot use ${path} for data: ${error.message}`, { cause: error })
    throw error
  }
}

/** The file is written once, before anything else: a directory with other content and without it is not ours. Whether there was none yet. */
async function checkFormat(disk: Disk, path: string): Promise<boolean> {
  const entries = await disk.list(path)
  if (entries.includes(formatFile)) {
    const format = checkKnown(await readSmall(disk, `${path}/${formatFile}`), path)
    if (format < dataFormat) await writeFormat(disk, path, entries)
    return false
  }
  const foreign = entries.find(entry => !harmless.test(entry))
  if (entries.includes('cell')) {
    throw new StartError(
      `Cannot use ${path} for data: a broker's data is there, but its ${formatFile} is missing. Restore the directory from a copy, or put ` +
        `{"format":${dataFormat}} into ${path}/${formatFile} if no newer release wrote it`,
    )
  }
  if (foreign !== undefined) {
    throw new StartError(`Cannot use ${path} for data: it holds other files ("${foreign}"); give an empty directory`)
  }
  await writeFormat(disk, path, entries)
  return true
}

/**
 * A process that was killed may have left names that only the page cache has. Nothing may be built on them before they are durable: a power
 * cut would take what was acknowledged since together with the directory in which it lies.
 */
async function settleNames(disk: Disk, path: string): Promise<void> {
  // Those above may be none that this process may open: then it has not made what is in them.
  for (const above of parentsOf(path)) await disk.syncDirectory(above).catch(() => {})
  await disk.syncDirectory(path)
  for (const cell of await settleBelow(disk, `${path}/cell`)) {
    for (const part of await settleBelow(disk, `${path}/cell/${cell}`)) {
      await disk.syncDirectory(`${path}/cell/${cell}/${part}`)
    }
  }
}

/** The names in a directory, which are durable then; none if it is absent. */
async function settleBelow(disk: Disk, path: string): Promise<string[]> {
  const names = await namesIn(disk, path)
  if (!names) return []
  await disk.syncDirectory(path)
  return names
}

/** Whether a directory that a broker has taken for its data has not a single file of data. */
export async function isEmptied(disk: Disk, path: string): Promise<boolean> {
  for (const cell of (await namesIn(disk, `${path}/cell`)) ?? []) {
    for (const part of (await namesIn(disk, `${path}/cell/${cell}`)) ?? []) {
      if ((await namesIn(disk, `${path}/cell/${cell}/${part}`))?.length !== 0) return false
    }
  }
  return true
}

/** Undefined when the directory is absent. */
function namesIn(disk: Disk, path: string): Promise<string[] | undefined> {
  return disk.list(path).catch((error: unknown) => {
    if (error instanceof DiskError && error.code === 'not-found') return undefined
    throw error
  })
}

/** The directories above a path, as far as it names them. */
function parentsOf(path: string): string[] {
  const names = path.split('/').filter(name => name !== '')
  const top = path.startsWith('/') ? '/' : ''
  return names.map((_, index) => top + names.slice(0, index).join('/') || '.').reverse()
}

async function writeFormat(disk: Disk, path: string, entries: readonly string[]): Promise<void> {
  const draft = `${path}/${formatFile}.draft`
  if (entries.includes(`${formatFile}.draft`)) await disk.remove(draft)
  const file = await disk.open(draft, 'create')
  await file.write([Buffer.from(`${JSON.stringify({ format: dataFormat })}\n`)], 0)
  await file.sync()
  await file.close()
  await disk.rename(draft, `${path}/${formatFile}`)
  await disk.syncDirectory(path)
}

/** The format, if this release can read it. */
function checkKnown(text: string, path: string): number {
  const format = formatOf(text)
  if (format === undefined)
    throw new StartError(
      `Cannot use ${path} for data: its ${formatFile} is damaged. Restore it from a copy; it holds {"format":${dataFormat}} if this release wrote it`,
    )
  if (format > dataFormat) {
    throw new StartError(
      `Cannot use ${path} for data: a newer release wrote it (format ${format}; this one knows ${dataFormat})`,
    )
  }
  return format
}

function formatOf(text: string): number | undefined {
  try {
    const content: unknown = JSON.parse(text)
    if (typeof content !== 'object' || content === null || !('format' in content)) return undefined
    return typeof content.format === 'number' ? content.format : undefined
  } catch {
    return undefined
  }
}

async function readSmall(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, 'read')
  const target = Buffer.alloc(4096)
  const count = await file.read(target, 0)
  await file.close()
  return target.toString('utf8', 0, count)
}
