import { writeSync, writevSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { Address, Connection, ConnectionTls } from '../runtime.ts'
import { afterBytes } from './after-bytes.ts'
import { Backlog } from './backlog.ts'
import { gather, keepLent } from './gather.ts'

/** `drained` is worth telling only to one that had filled this much. */
const drainedAboveBytes = 64 * 1024
/** Parts that one call of the system takes at the least, wherever it is (IOV_MAX). */
const partsPerCallMax = 16
/** So many writes are left to Node, which keeps their bytes as they are; those of a peer that is slower than that wait together. */
const directMax = 16
/** Writes that wait together are given back together, up to so many bytes. */
const mergedBytesMax = 64 * 1024
/** After `end`, what is queued has this long to leave. */
const flushMsMax = 5_000
/**
 * After the last byte has left, the peer has this long to close, while what it still sends is thrown away: closing at once
 * with bytes unread would make the kernel reset the connection and the peer lose our last answer.
 */
const lingerMs = 1_000

type Handlers = Parameters<Connection['handle']>[0]

/**
 * One socket of Node. A write leaves in one system call where the kernel has room.
 *
 * Invariant: `#sizes` and `#callbacks` hold, oldest first, the writes that the system has not yet taken, and
 * `queuedBytes` is the sum of `#sizes`. The first `#direct` of them were given to Node as they are; the others lie in the backlog, but for the
 * block that Node has (`#blockBytes`). So much of the oldest one is taken: `#takenBytes`.
 */
export class RealConnection implements Connection {
  readonly remote: Address
  readonly tls: ConnectionTls | undefined
  readonly #socket: Socket
  #handlers: Handlers | undefined
  #error: Error | undefined
  #endTimer: NodeJS.Timeout | undefined
  #state: 'open' | 'ending' | 'closed' = 'open'
  #queuedBytes = 0
  #wasFull = false
  #direct = 0
  #backlog: Backlog | undefined
  #blockBytes = 0
  #takenBytes = 0
  readonly #sizes: number[] = []
  readonly #callbacks: ((() => void) | undefined)[] = []
  readonly #taken = (): void => this.#oldestTaken()

  constructor(socket: Socket, tls?: ConnectionTls) {
    this.#socket = socket
    this.tls = tls
    // An IPv4 address that reaches a listener of IPv6 is still that address.
    const host = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '')
    this.remote = { host, port: socket.remotePort ?? 0 }
    socket.on('error', error => (this.#error = error))
    socket.on('close', () => this.#closed())
  }

  handle(handlers: Handlers): void {
    this.#handlers = handlers
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => {
      if (this.#state === 'open') handlers.data(chunk)
    })
    socket.on('end', () => {
      if (this.#state === 'open') handlers.ended()
    })
    // The peer may have been gone before anybody listened.
    if (this.#state === 'closed') setImmediate(() => handlers.closed(this.#error))
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    if (this.#state !== 'open') {
      if (written) setImmediate(written)
      return
    }
    const isIdle = this.#direct === 0 && this.#backlog === undefined
    const left = isIdle ? this.#writeNow(parts) : parts
    if (isIdle && left.length === 0) {
      if (written) process.nextTick(written)
      return
    }
    let bytes = 0
    for (const part of left) bytes += part.length
    this.#queuedBytes += bytes
    if (this.#queuedBytes > drainedAboveBytes) this.#wasFull = true
    if (this.#backlog || this.#direct >= directMax) return this.#wait(left, bytes, written)
    this.#direct++
    this.#sizes.push(bytes)
    this.#callbacks.push(written)
    this.#send(left)
  }

  /** Writes what the system has room for past Node's queue, which is empty: that is half the work. Returns what is left. */
  #writeNow(parts: readonly Uint8Array[]): readonly Uint8Array[] {
    // What is encrypted is never taken at once.
    const descriptor = this.tls ? -1 : descriptorOf(this.#socket)
    if (descriptor < 0) return parts
    const gathered = parts.length < 2 ? parts : gather(parts, true)
    let left = gathered
    try {
      if (gathered.length === 1) left = afterBytes(gathered, writeSync(descriptor, gathered[0]!))
      else if (gathered.length <= partsPerCallMax) left = afterBytes(gathered, writevSync(descriptor, gathered))
    } catch {
      // There is no room, or nobody reads any more: Node will notice, and tell.
    }
    // What is left stays where it is until it is taken.
    if (left.length > 0) keepLent()
    return left
  }

  #wait(parts: readonly Uint8Array[], bytes: number, written: (() => void) | undefined): void {
    const last = this.#sizes.length - 1
    const isMerged = written === undefined && last >= this.#direct && this.#callbacks[last] === undefined
    if (isMerged && this.#sizes[last]! < mergedBytesMax) this.#sizes[last]! += bytes
    else {
      this.#sizes.push(bytes)
      this.#callbacks.push(written)
    }
    this.#backlog ??= new Backlog()
    this.#backlog.add(parts)
    this.#sendBlock()
  }

  /** Gives Node the next block of the backlog, when it has nothing else. */
  #sendBlock(): void {
    if (!this.#backlog || this.#direct > 0 || this.#blockBytes > 0 || this.#socket.destroyed) return
    const block = this.#backlog.take()
    if (!block) return void (this.#backlog = undefined)
    this.#blockBytes = block.length
    this.#socket.write(block, this.#taken)
  }

  #send(parts: readonly Uint8Array[]): void {
    const socket = this.#socket
    if (parts.length < 2) {
      socket.write(parts[0] ?? nothing, this.#taken)
      return
    }
    const gathered = gather(parts, false)
    const last = gathered.pop()!
    if (gathered.length === 0) return void socket.write(last, this.#taken)
    socket.cork()
    for (const part of gathered) socket.write(part)
    socket.write(last, this.#taken)
    socket.uncork()
  }

  pause(): void {
    if (this.#state === 'open') this.#socket.pause()
  }

  resume(): void {
    if (this.#state === 'open') this.#socket.resume()
  }

  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    const socket = this.#socket
    this.#destroyAfter(flushMsMax)
    for (let block = this.#backlog?.take(); block; block = this.#backlog?.take()) socket.write(block)
    this.#backlog = undefined
    socket.end(() => this.#destroyAfter(lingerMs))
    // Until the peer closes, its bytes are read and thrown away; a paused socket would never see the end.
    socket.resume()
  }

  #destroyAfter(delayMs: number): void {
    if (this.#state === 'closed') return
    clearTimeout(this.#endTimer)
    this.#endTimer = setTimeout(() => this.#socket.destroy(), delayMs).unref()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #oldestTaken(): void {
    if (this.#sizes.length === 0) return // The connection was closed, and all was given back then.
    if (this.#direct > 0) {
      this.#direct--
      this.#giveBack()
    } else {
      this.#takenBytes += this.#blockBytes
      this.#blockBytes = 0
    }
    while (this.#direct === 0 && this.#sizes.length > 0 && this.#sizes[0]! <= this.#takenBytes) {
      this.#takenBytes -= this.#sizes[0]!
      this.#giveBack()
    }
    this.#sendBlock()
    if (this.#queuedBytes === 0 && this.#wasFull) {
      this.#wasFull = false
      if (this.#state === 'open') this.#handlers?.drained()
    }
  }

  #giveBack(): void {
    this.#queuedBytes -= this.#sizes.shift() ?? 0
    this.#callbacks.shift()?.()
  }

  #closed(): void {
    this.#state = 'closed'
    clearTimeout(this.#endTimer)
    this.#sizes.length = 0
    this.#queuedBytes = this.#direct = this.#blockBytes = this.#takenBytes = 0
    this.#backlog = undefined
    for (const written of this.#callbacks.splice(0)) written?.()
    this.#handlers?.closed(this.#error)
  }
}

const nothing = Buffer.alloc(0)

interface HandleOwner {
  readonly _handle?: { readonly fd?: number } | null
}

/** -1: it has none any more, or this Node keeps it elsewhere. */
const descriptorOf = (socket: Socket): number => (socket as HandleOwner)._handle?.fd ?? -1
