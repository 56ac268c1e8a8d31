import { crc32 } from 'node:zlib'
import type { Random } from '@dragoman/wire'
import type { Address, Connection, Listener, Network } from '../runtime.ts'
import { NetworkError } from '../runtime.ts'
import type { Owner, World } from './world.ts'

export interface NetworkFaults {
  delayMsMin: number
  delayMsMax: number
  /** Bytes on their way or not yet taken by the receiver, for each direction. */
  windowBytes: number
  /** Chance that a piece is cut at a random byte before it is handed over. */
  splitChance: number
  /** Chance that a connection breaks when something is sent. */
  resetChance: number
}

export const healthyNetwork: NetworkFaults = {
  delayMsMin: 0.02,
  delayMsMax: 0.2,
  windowBytes: 256 * 1024,
  splitChance: 0.2,
  resetChance: 0,
}

/** How long a connection attempt over a cut link waits. */
const connectMsMax = 3_000
const drainedAboveBytes = 64 * 1024
const lingerMs = 1_000

/** All links between simulated processes. Streams keep their order; different streams do not keep any. */
export class SimNetwork {
  faults: NetworkFaults = { ...healthyNetwork }
  readonly #world: World
  readonly #random: Random
  readonly #listeners = new Map<string, SimListener>()
  readonly #connections = new Set<SimConnection>()
  /** `from>to` by process names: nothing passes in that direction. */
  readonly #cuts = new Set<string>()
  #nextPort = 20_000

  constructor(world: World) {
    this.#world = world
    this.#random = world.random.fork('network')
  }

  get random(): Random {
    return this.#random
  }

  get world(): World {
    return this.#world
  }

  port(process: Owner): Network {
    const { incarnation } = process
    return {
      listen: (address, accept, tls) =>
        tls ? Promise.reject(notSimulated('TLS')) : this.#listen(process, incarnation, address, accept),
      connect: (address, tls) =>
        tls ? Promise.reject(notSimulated('TLS')) : this.#connect(process, incarnation, address),
      download: () => Promise.reject(notSimulated('the web')),
    }
  }

  /** Nothing arrives from `source` at `target` until `heal`; what is sent meanwhile arrives then. */
  cut(source: Owner, target: Owner): void {
    this.#world.note(`cut ${source.name}>${target.name}`)
    this.#cuts.add(`${source.name}>${target.name}`)
  }

  heal(): void {
    this.#world.note('heal')
    this.#cuts.clear()
    for (const connection of this.#connections) connection.kick()
  }

  isCut(source: Owner, target: Owner): boolean {
    return this.#cuts.has(`${source.name}>${target.name}`)
  }

  delayMs(): number {
    const { delayMsMin, delayMsMax } = this.faults
    return delayMsMin + this.#random.float() * (delayMsMax - delayMsMin)
  }

  forget(connection: SimConnection): void {
    this.#connections.delete(connection)
  }

  unlisten(listener: SimListener): void {
    const key = String(listener.address.port)
    if (this.#listeners.get(key) === listener) this.#listeners.delete(key)
  }

  /** Its listeners are gone, and its peers hear of it: soon, or when the machine is down, late. */
  processEnded(process: Owner): void {
    for (const listener of this.#listeners.values()) if (listener.process === process) this.unlisten(listener)
    for (const connection of this.#connections) if (connection.process === process) connection.vanish()
  }

  #listen(
    process: Owner,
    incarnation: number,
    wanted: Address,
    accept: (connection: Connection) => void,
  ): Promise<Listener> {
    return new Promise((resolve, reject) => {
      if (!process.isRunning(incarnation)) return
      const begin = (): void => {
        const port = wanted.port === 0 ? this.#nextPort++ : wanted.port
        if (this.#listeners.has(String(port))) return reject(new NetworkError('in-use', `Port ${port} is taken`))
        const listener = new SimListener(this, process, { host: wanted.host, port }, accept)
        this.#listeners.set(String(port), listener)
        resolve(listener)
      }
      this.#world.at(0.01, 'listen', begin, process)
    })
  }

  #connect(process: Owner, incarnation: number, address: Address): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (!process.isRunning(incarnation)) return
      const { port } = address
      const refuse = (): void => reject(new NetworkError('refused', `Nobody listens on port ${port}`))
      const arrive = (): void => {
        const listener = this.#listeners.get(String(port))
        if (!listener) return void this.#world.at(this.delayMs(), 'refused', refuse, process)
        if (this.isCut(process, listener.process) || this.isCut(listener.process, process)) {
          const giveUp = (): void => reject(new NetworkError('unavailable', `No answer from port ${port}`))
          return void this.#world.at(connectMsMax, 'connect timeout', giveUp, process)
        }
        const [near, far] = this.#pair(process, listener)
        this.#world.at(0, 'accept', () => listener.accept(far), listener.process)
        this.#world.at(this.delayMs(), 'connected', () => resolve(near), process)
      }
      // The request itself is the world's: it is under way even if its sender ends.
      this.#world.at(this.delayMs(), 'connect', () => process.isRunning(incarnation) && arrive())
    })
  }

  #pair(client: Owner, listener: SimListener): [SimConnection, SimConnection] {
    const near = new SimConnection(this, client, listener.address)
    const far = new SimConnection(this, listener.process, { host: client.name, port: this.#nextPort++ })
    near.join(far)
    far.join(near)
    this.#connections.add(near)
    this.#connections.add(far)
    return [near, far]
  }
}

class SimListener implements Listener {
  readonly address: Address
  readonly process: Owner
  readonly accept: (connection: Connection) => void
  readonly #network: SimNetwork

  constructor(network: SimNetwork, process: Owner, address: Address, accept: (connection: Connection) => void) {
    this.#network = network
    this.process = process
    this.address = address
    this.accept = accept
  }

  async close(): Promise<void> {
    this.#network.unlisten(this)
  }
}

type Handlers = Parameters<Connection['handle']>[0]

interface Queued {
  parts: readonly Uint8Array[]
  bytes: number
  checksum: number
  written: (() => void) | undefined
}

/**
 * One end of a stream.
 *
 * `#queue` is what the program wrote; `#inTransit` counts what the network took and the peer's program did not; `#received` is
 * what arrived and was not handed over because the program paused.
 */
export class SimConnection implements Connection {
  readonly remote: Address
  readonly process: Owner
  readonly #incarnation: number
  readonly #network: SimNetwork
  #peer!: SimConnection
  #handlers: Handlers | undefined
  #state: 'open' | 'ending' | 'closed' = 'open'
  #queue: Queued[] = []
  #queuedBytes = 0
  #wasFull = false
  #isTaking = false
  #inTransit = 0
  #lastArrivalMs = 0
  #received: Buffer[] = []
  #isPaused = false
  #endSent = false
  #peerEnded = false
  #endTold = false

  constructor(network: SimNetwork, process: Owner, remote: Address) {
    this.#network = network
    this.process = process
    this.#incarnation = process.incarnation
    this.remote = remote
  }

  join(peer: SimConnection): void {
    this.#peer = peer
  }

  handle(handlers: Handlers): void {
    this.#handlers = handlers
    this.#mine('handle', () => this.#deliver())
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    if (this.#state !== 'open') {
      if (written) this.#mine('written', written)
      return
    }
    let bytes = 0
    for (const part of parts) bytes += part.length
    this.#queue.push({ parts: [...parts], bytes, checksum: checksumOf(parts), written })
    this.#queuedBytes += bytes
    if (this.#queuedBytes > drainedAboveBytes) this.#wasFull = true
    this.#take()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#mine('resume', () => this.#deliver())
  }

  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#received = []
    this.#take()
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#sendMark(() => this.#peer.#reset())
    this.#close()
  }

  /** The link may be open again. */
  kick(): void {
    this.#take()
  }

  /** The process has ended: nothing of this end happens any more, and the peer hears of it. */
  vanish(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#network.forget(this)
    this.#sendMark(() => this.#peer.#reset())
  }

  #mine(label: string, run: () => void): void {
    if (this.process.isRunning(this.#incarnation))
      this.#network.world.at(this.#network.random.float() * 0.01, label, run, this.process)
  }

  #take(): void {
    if (this.#isTaking) return
    this.#isTaking = true
    this.#mine('take', () => {
      this.#isTaking = false
      this.#takeNow()
    })
  }

  #takeNow(): void {
    const network = this.#network
    while (this.#queue.length > 0 && this.#inTransit < network.faults.windowBytes) {
      if (network.isCut(this.process, this.#peer.process)) return
      const { parts, bytes, checksum, written } = this.#queue.shift()!
      if (checksumOf(parts) !== checksum)
        network.world.fail('The bytes of a write to a connection were changed before it was done')
      this.#queuedBytes -= bytes
      this.#send(Buffer.concat(parts))
      written?.()
      if (this.#state === 'closed') return
      if (network.random.chance(network.faults.resetChance)) return this.#break()
    }
    if (this.#queue.length > 0) return
    if (this.#wasFull && this.#state === 'open') {
      this.#wasFull = false
      this.#handlers?.drained()
    }
    if (this.#state === 'ending' && !this.#endSent) this.#sendEnd()
  }

  #break(): void {
    this.#network.world.note('connection breaks')
    this.#sendMark(() => this.#peer.#reset())
    this.#reset()
  }

  #send(bytes: Buffer): void {
    const { random, faults } = this.#network
    this.#inTransit += bytes.length
    let at = 0
    while (at < bytes.length) {
      const left = bytes.length - at
      const size = random.chance(faults.splitChance) ? 1 + random.below(left) : Math.min(left, 64 * 1024)
      const chunk = bytes.subarray(at, at + size)
      this.#sendMark(() => this.#peer.#arrive(chunk))
      at += size
    }
  }

  /** Runs `arrive` at the other end after all that was sent before. */
  #sendMark(arrive: () => void): void {
    const { world } = this.#network
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs + 1e-6, world.nowMs + this.#network.delayMs())
    world.at(this.#lastArrivalMs - world.nowMs, 'arrive', arrive)
  }

  #sendEnd(): void {
    this.#endSent = true
    this.#sendMark(() => this.#peer.#end())
    if (this.#peerEnded) this.#close()
    else this.#network.world.at(lingerMs, 'linger', () => this.#close(), this.process)
  }

  #arrive(chunk: Buffer): void {
    if (this.#state === 'closed') return this.#sendMark(() => this.#peer.#reset())
    if (this.#state === 'ending') return this.#peer.#arrived(chunk.length)
    this.#received.push(chunk)
    this.#mine('data', () => this.#deliver())
  }

  #arrived(bytes: number): void {
    this.#inTransit -= bytes
    if (this.#queue.length > 0) this.#take()
  }

  #end(): void {
    this.#peerEnded = true
    if (this.#state === 'ending' && this.#endSent) this.#mine('close', () => this.#close())
    else this.#mine('end', () => this.#deliver())
  }

  #reset(): void {
    if (this.#state === 'closed') return
    this.#mine('reset', () => this.#close(new NetworkError('unavailable', 'The connection was reset')))
  }

  #deliver(): void {
    const handlers = this.#handlers
    while (handlers && !this.#isPaused && this.#state === 'open') {
      const chunk = this.#received.shift()
      if (!chunk) break
      this.#network.world.note('bytes', crc32(chunk))
      const lent = Buffer.from(chunk)
      handlers.data(lent)
      lent.fill(0xdb) // Valid only during the call: who kept it reads this.
      this.#peer.#arrived(chunk.length)
    }
    if (!handlers || this.#isPaused || this.#state !== 'open' || this.#received.length > 0) return
    if (this.#peerEnded && !this.#endTold) {
      this.#endTold = true
      handlers.ended()
    }
  }

  #close(error?: Error): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#network.forget(this)
    const queue = this.#queue
    this.#queue = []
    this.#queuedBytes = 0
    this.#mine('closed', () => {
      for (const { written } of queue) written?.()
      this.#handlers?.closed(error)
    })
  }
}

function checksumOf(parts: readonly Uint8Array[]): number {
  let checksum = 0
  for (const part of parts) checksum = crc32(part, checksum)
  return checksum
}

const notSimulated = (what: string): NetworkError =>
  new NetworkError('unavailable', `There is no ${what} in the simulation`)
