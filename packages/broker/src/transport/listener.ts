import type { Random } from '@dragoman/wire'
import type { Broker } from '../core/broker.ts'
import type { Protocol, ProtocolLimits, SessionContext } from '../protocols/protocol.ts'
import type { Address, Cancel, Clock, Connection, Listener, ListenerTls, Network } from '../runtime/runtime.ts'
import { WebSocketConnection } from './websocket/connection.ts'
import { Pump, type Flushable, type PumpHost, type PumpLimits } from './pump.ts'
import type { ReadingTurns } from './reading-turns.ts'

export interface ListenerOptions<P> {
  protocol: Protocol<P>
  network: Network
  clock: Clock
  random: Random
  limits: TransportLimits
  // Shared by all listeners of a broker.
  admission: Admission
  turns: ReadingTurns
  pressure: Pressure
  /** Connections are protected. */
  tls?: Omit<ListenerTls, 'failed'> | undefined
  log: SessionContext['log']
}

export interface TransportLimits extends PumpLimits {
  frameBytesMax: number
  jobBytesMax?: number | undefined
  /** Pages of these origins may connect by WebSocket, besides those of this machine and of the listener's own host. */
  webSocketOrigins?: readonly string[] | undefined
}

/** Tells when the broker cannot take more for the moment. */
export interface Pressure {
  readonly saturated: boolean
  /** Calls `run` once, when that is over. */
  onRelief(run: () => void): void
}

/** Counts connections against their limit. */
export class Admission {
  readonly #max: () => number
  /** So many the system lets in at most. */
  readonly #ceiling: number
  #count = 0
  #entered = 0

  /** `max` is asked each time: it can change. */
  constructor(max: () => number, ceiling = Infinity) {
    this.#max = max
    this.#ceiling = ceiling
  }

  /** No more come in because the system would not let the broker have the files that it needs. */
  get isAtCeiling(): boolean {
    return this.#count >= this.#ceiling
  }

  get count(): number {
    return this.#count
  }

  /** How many have ever come in. */
  get entered(): number {
    return this.#entered
  }

  enter(): boolean {
    if (this.#count >= this.#max() || this.isAtCeiling) return false
    this.#count++
    this.#entered++
    return true
  }

  leave(): void {
    this.#count--
  }
}

/** At most one line in this time tells of connections that were turned away. */
const refusalLogMs = 1000

/**
 * Accepts the connections of one protocol and pumps each one's bytes through a session of its own.
 *
 *   bound --serve--> serving --close--> closed
 *
 * Until `serve` connections wait: the broker tells its addresses to clients, so all listeners are bound before any serves.
 */
export class ProtocolListener<P> implements PumpHost {
  readonly limits: TransportLimits
  readonly turns: ReadingTurns
  readonly log: SessionContext['log']
  readonly #options: ListenerOptions<P>
  readonly #pumps = new Set<Pump<P>>()
  #listener: Listener | undefined
  #serving: { broker: Broker; local: Address } | undefined
  #waiting: Connection[] = []
  #closed = false
  #refusedAtMs = -refusalLogMs
  #awaitsRelief = false
  readonly #awaitIdle: (() => void)[] = []

  #toFlush: Flushable[] = []
  readonly #flushAll = (): void => {
    const pumps = this.#toFlush
    this.#toFlush = []
    for (const pump of pumps) pump.flush()
  }

  #cancelSweep: Cancel | undefined
  readonly #sweepMs: number

  private constructor(options: ListenerOptions<P>) {
    this.#options = options
    this.limits = options.limits
    this.turns = options.turns
    this.log = options.log
    const { firstRequestTimeoutMs, frameTimeoutMs, writeTimeoutMs } = options.limits
    this.#sweepMs = Math.max(25, Math.min(firstRequestTimeoutMs, frameTimeoutMs, writeTimeoutMs) / 4)
  }

  /** Rejects with `NetworkError`. */
  static async bind<P>(options: ListenerOptions<P>, address: Address): Promise<ProtocolListener<P>> {
    const listener = new ProtocolListener(options)
    const tls = options.tls && { ...options.tls, failed: listener.#handshakeFailed }
    listener.#listener = await options.network.listen(address, connection => listener.#accept(connection), tls)
    return listener
  }

  /** New connections get this certificate. Throws `NetworkError` when it cannot be used. Nothing happens without TLS. */
  renew({ identity, settings }: Omit<ListenerTls, 'failed'>): void {
    if (this.#options.tls !== undefined) this.#listener?.renew?.(identity, settings.ca)
  }

  get isSecure(): boolean {
    return this.#options.tls !== undefined
  }

  get name(): string {
    return this.#options.protocol.name
  }

  get address(): Address {
    return this.#listener?.address ?? { host: '', port: 0 }
  }

  get connectionCount(): number {
    return this.#pumps.size
  }

  /** `local` is the address that clients are told. */
  serve(broker: Broker, local: Address): void {
    this.#serving = { broker, local }
    for (const connection of this.#waiting.splice(0)) this.#accept(connection)
  }

  /** The broker stops: sessions are told, before anything that they use is closed. */
  leave(): void {
    for (const pump of this.#pumps) pump.leave()
  }

  /** Stops accepting, and closes each connection once all that it asked for is answered. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#listener?.close()
    for (const connection of this.#waiting.splice(0)) connection.destroy()
    for (const pump of this.#pumps) pump.drain()
  }

  /** Resolves when there is no connection. */
  idle(): Promise<void> {
    if (this.#pumps.size === 0) return Promise.resolve()
    return new Promise(resolve => this.#awaitIdle.push(resolve))
  }

  /** Closes what is still open. */
  destroy(): void {
    for (const pump of this.#pumps) pump.destroy()
  }

  saturated(): boolean {
    const { pressure } = this.#options
    if (!pressure.saturated) return false
    if (!this.#awaitsRelief) pressure.onRelief(this.#relieved)
    this.#awaitsRelief = true
    return true
  }

  flushSoon(pump: Flushable): void {
    if (this.#toFlush.push(pump) === 1) this.#options.clock.soon(this.#flushAll)
  }

  gone(pump: Flushable): void {
    this.#pumps.delete(pump as Pump<P>)
    this.#options.admission.leave()
    if (this.#pumps.size > 0) return
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
    for (const tell of this.#awaitIdle.splice(0)) tell()
  }

  #accept(connection: Connection): void {
    if (this.#closed) return connection.destroy()
    if (!this.#serving) return this.#wait(connection)
    const { protocol, admission, clock, limits } = this.#options
    if (!admission.enter()) return this.#refuse(connection)
    const { frameBytesMax, requestsInFlightMax, jobBytesMax } = limits
    const own = { frameBytesMax, requestsInFlightMax, jobBytesMax }
    const pump = new Pump(this, this.#carried(connection), protocol.decoder(own), clock.monotonicMs())
    this.#pumps.add(pump)
    const { broker, local } = this.#serving
    pump.start(protocol.session(broker, pump, this.#context(connection, local, own)))
    const holdMs = broker.quotas.connected(connection.remote.host)
    if (holdMs > 0) {
      pump.hold(holdMs)
      clock.after(holdMs, () => pump.release())
    }
    this.#cancelSweep ??= clock.after(this.#sweepMs, this.#sweep)
  }

  /** The protocol's own bytes, whatever carries them. */
  #carried(connection: Connection): Connection {
    const { protocol, limits } = this.#options
    const { webSocket, title } = protocol
    if (!webSocket) return connection
    const { remote } = connection
    const rules = { ...webSocket, title, origins: limits.webSocketOrigins ?? [] }
    return new WebSocketConnection(connection, rules, reason => {
      this.#logSeldom('info', 'Connection closed: WebSocket could not be agreed upon', { remote, reason })
    })
  }

  #wait(connection: Connection): void {
    if (this.#waiting.length >= waitingMax) connection.destroy()
    else this.#waiting.push(connection)
  }

  #refuse(connection: Connection): void {
    connection.destroy()
    const { remote } = connection
    const { count: connections, isAtCeiling } = this.#options.admission
    const reason = isAtCeiling ? 'no file descriptors are left for more ("ulimit -n")' : 'connections-max is reached'
    this.#logSeldom('warn', `Connection refused: ${reason}`, { remote, connections })
  }

  readonly #handshakeFailed = (remote: Address, reason: string): void => {
    this.#logSeldom('info', 'Connection closed: TLS could not be agreed upon', { remote, reason })
  }

  #logSeldom(level: 'info' | 'warn', message: string, fields: Record<string, unknown>): void {
    const now = this.#options.clock.monotonicMs()
    if (now - this.#refusedAtMs < refusalLogMs) return
    this.#refusedAtMs = now
    this.log(level, message, fields)
  }

  #context(connection: Connection, local: Address, limits: ProtocolLimits): SessionContext {
    const { clock, random, log } = this.#options
    const { remote, tls } = connection
    return { ordinal: this.#options.admission.entered, remote, local, tls, clock, random, limits, log }
  }

  readonly #relieved = (): void => {
    this.#awaitsRelief = false
    for (const pump of this.#pumps) pump.reconsider()
  }

  readonly #sweep = (): void => {
    const { clock } = this.#options
    const now = clock.monotonicMs()
    for (const pump of this.#pumps) pump.sweep(now)
    this.#cancelSweep = this.#pumps.size > 0 ? clock.after(this.#sweepMs, this.#sweep) : undefined
  }
}

/** Connections that may wait for the broker to become ready; the system holds further ones. */
const waitingMax = 1024
