import { constants, promises as fs } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import type { DiskLock } from '../runtime.ts'
import { DiskError } from '../runtime.ts'
import { diskError } from './disk-error.ts'

const lockFileName = 'lock'

/** Who holds a directory. A pid alone could since have gone to another process: boot and start time make it unique. */
interface Holder {
  pid: number
  bootId: string
  /** Ticks since boot; empty where the system does not tell. */
  startTicks: string
}

/**
 * Claims a directory until `release` or the end of the process.
 *
 * On Linux an abstract socket named by the directory's device and inode decides: the kernel frees it when the process ends,
 * however it ends. The file beside it names the holder for people, and decides alone on other systems. Processes in different
 * network namespaces (two containers that share a volume) have only the file, which cannot see the other's pid: that is not
 * supported.
 */
export async function lockDirectory(directory: string): Promise<DiskLock> {
  const path = join(directory, lockFileName)
  const socket =
    process.platform === 'linux' ? await claimSocket(await socketName(directory), path, directory) : undefined
  try {
    const text = `${JSON.stringify(await ownHolder())}\n`
    await claimFile(path, text, directory, socket !== undefined)
    return { release: () => release(socket, path, text) }
  } catch (error) {
    if (socket) await closeServer(socket)
    throw error
  }
}

async function socketName(directory: string): Promise<string> {
  const stats = await fs.stat(directory, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    throw diskError(error, `Cannot lock ${directory}`)
  })
  return `\0dragoman-${stats.dev}-${stats.ino}`
}

/**
 * Who holds the socket and has no file here is just beginning, or has a directory that was removed and whose inode this one has got: that is over
 * soon.
 */
async function claimSocket(name: string, path: string, directory: string): Promise<Server> {
  for (let left = retriesMax; ; left--) {
    const server = await listen(name, directory)
    if (server) return server
    const holder = await readHolder(path)
    if (holder || left === 0) throw locked(directory, holder)
    await new Promise(resolve => setTimeout(resolve, retryMs))
  }
}

const retriesMax = 20
const retryMs = 50

/** Undefined: another process listens. */
function listen(name: string, directory: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.unref()
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(diskError(error, `Cannot lock ${directory}`))
    })
    server.listen({ path: name, exclusive: true }, () => resolve(server))
  })
}

/** Makes the lock file. One that a dead process left behind is replaced. Where a socket decides, a full disk has to do without it. */
async function claimFile(path: string, text: string, directory: string, hasSocket: boolean): Promise<void> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const error = await fs
      .writeFile(path, text, { flag: 'wx', mode: 0o640 })
      .catch((error: unknown) => diskErrorOf(error, directory))
    if (!error) return
    if (error.code === 'full' && hasSocket) return fs.rm(path, { force: true }).catch(() => {})
    if (error.code !== 'exists') throw error
    const holder = await readHolder(path)
    if (holder && (await isAlive(holder))) throw locked(directory, holder)
    await fs.rm(path, { force: true })
  }
  throw new DiskError('locked', `Cannot lock ${directory}: ${path} keeps appearing`)
}

const diskErrorOf = (error: unknown, directory: string): DiskError =>
  diskError(error as NodeJS.ErrnoException, `Cannot lock ${directory}`)

async function release(socket: Server | undefined, path: string, text: string): Promise<void> {
  const present = await fs.readFile(path, 'utf8').catch(() => '')
  if (present === text) await fs.rm(path, { force: true })
  if (socket) await closeServer(socket)
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => server.close(() => resolve()))
}

function locked(directory: string, holder: Holder | undefined): DiskError {
  const who = holder ? `process ${holder.pid}` : 'another process'
  return new DiskError('locked', `${directory} is in use by ${who}; stop that one, or give another directory`)
}

async function ownHolder(): Promise<Holder> {
  return {
    pid: process.pid,
    bootId: await readText('/proc/sys/kernel/random/boot_id'),
    startTicks: await startTicksOf(process.pid),
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const holder: unknown = JSON.parse(await fs.readFile(path, 'utf8'))
    return isHolder(holder) ? holder : undefined
  } catch {
    return undefined // Absent, or torn by the end of its process: it names nobody.
  }
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false
  const { pid, bootId, startTicks } = value as Partial<Record<keyof Holder, unknown>>
  return Number.isSafeInteger(pid) && typeof bootId === 'string' && typeof startTicks === 'string'
}

async function isAlive(holder: Holder): Promise<boolean> {
  if (holder.bootId !== (await readText('/proc/sys/kernel/random/boot_id'))) return false
  if (process.platform === 'linux')
    return holder.startTicks === (await startTicksOf(holder.pid)) && holder.startTicks !== ''
  try {
    return process.kill(holder.pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/**
 * When a living process started, by field 22 of its `stat`; empty for one that is gone or dead and not yet collected.
 * The second field, the name, may hold spaces and brackets: count from its end.
 */
async function startTicksOf(pid: number): Promise<string> {
  const stat = await readText(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? '' : (fields[19] ?? '')
}

async function readText(path: string): Promise<string> {
  const text = await fs.readFile(path, { encoding: 'utf8', flag: constants.O_RDONLY }).catch(() => '')
  return text.trim()
}
