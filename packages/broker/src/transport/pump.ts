import { ProtocolError } from '@dragoman/wire'
import type { Waiting } from '../core/turns.ts'
import type { Decoder, Outbox, Session, SessionContext } from '../protocols/protocol.ts'
import type { Connection } from '../runtime/runtime.ts'
import { Fenced } from '../storage/errors.ts'
import { muchBytes, type ReadingTurns } from './reading-turns.ts'

/** What the connections of one listener have in common. */
export interface PumpHost {
  readonly limits: PumpLimits
  readonly turns: ReadingTurns
  /** Whether the broker has more to make durable than it wants. Then nothing is read until `reconsider` is called again. */
  saturated(): boolean
  log: SessionContext['log']
  /** Asks for `flush` to be called once in this turn, after all that waits has been handled. */
  flushSoon(pump: Flushable): void
  gone(pump: Flushable): void
}

export interface Flushable {
  flush(): void
}

export interface PumpLimits {
  requestsInFlightMax: number
  outboxBytesMax: number
  firstRequestTimeoutMs: number
  frameTimeoutMs: number
  writeTimeoutMs: number
}

/** An unfinished packet must grow by this much in each `frameTimeoutMs`, or end. */
const frameProgressBytes = 1024

type State =
  | 'open'
  /** The peer sends no more; what it asked for is still answered. */
  | 'ended'
  /** What is queued still leaves; nothing more is taken from either side. */
  | 'closing'
  | 'closed'

/**
 * Moves bytes between one connection and its session:
 *
 *   connection -> decoder -> session -> outbox (this) -> connection
 *
 * All that a session writes in one turn leaves in one write. While the session has too much in flight, the peer does not take
 * its answers, or it brings data and the broker is saturated, the connection is not read, and the peer feels it. Nor is it while others have
 * their turn.
 *
 * Invariant: the connection is paused exactly while `#reading` is false.
 */
export class Pump<P> implements Outbox, Flushable, Waiting {
  readonly #host: PumpHost
  readonly #connection: Connection
  readonly #decoder: Decoder<P>
  #session!: Session<P>
  #state: State = 'open'
  #reading = true
  #held = false
  /** Others have their turn. */
  #rests = false

  #parts: Uint8Array[] = []
  #written: (() => void)[] = []
  /** Bytes of `#parts`. */
  #gatheredBytes = 0
  #flushing = false

  #packets = 0
  #receivedBytes = 0
  #sentBytes = 0
  readonly #frameMark: Mark
  readonly #writeMark: Mark
  #openedMs: number

  /** `start` follows at once: the session needs its outbox first. */
  constructor(host: PumpHost, connection: Connection, decoder: Decoder<P>, nowMs: number) {
    this.#host = host
    this.#connection = connection
    this.#decoder = decoder
    this.#openedMs = nowMs
    this.#frameMark = { atMs: nowMs, count: 0, bytes: 0 }
    this.#writeMark = { atMs: nowMs, count: 0, bytes: 0 }
  }

  start(session: Session<P>): void {
    this.#session = session
    this.#connection.handle({
      data: chunk => this.#data(chunk),
      ended: () => this.#ended(),
      drained: () => this.reconsider(),
      closed: error => this.#closed(error),
    })
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    for (const part of parts) {
      this.#parts.push(part)
      this.#gatheredBytes += part.length
    }
    if (written) this.#written.push(written)
    if (this.#flushing) return
    this.#flushing = true
    this.#host.flushSoon(this)
  }

  get queuedBytes(): number {
    return this.#gatheredBytes + this.#connection.queuedBytes
  }

  get isReading(): boolean {
    return this.#reading
  }

  progress(): void {
    this.reconsider()
  }

  close(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.flush()
    this.#state = 'closing'
    this.#connection.end()
  }

  destroy(): void {
    this.#connection.destroy()
  }

  /** The broker stops. */
  leave(): void {
    if (this.#state === 'open') this.#session.leave?.()
  }

  /** Takes no more from the peer, and closes once all that it asked for is answered. */
  drain(): void {
    if (this.#state === 'open') this.#ended()
  }

  flush(): void {
    this.#flushing = false
    if (this.#parts.length === 0 && this.#written.length === 0) return
    const parts = this.#parts
    const written = this.#written
    this.#parts = []
    this.#written = []
    this.#sentBytes += this.#gatheredBytes
    this.#gatheredBytes = 0
    this.#connection.write(parts, written.length === 0 ? undefined : () => runAll(written))
    this.reconsider()
  }

  /** Reads nothing until `release`, in `holdMs`: the peer opens connections faster than it may. */
  hold(holdMs: number): void {
    this.#held = true
    this.#openedMs += holdMs
    this.reconsider()
  }

  release(): void {
    this.#held = false
    this.reconsider()
  }

  goOn(): void {
    this.#rests = false
    this.reconsider()
  }

  /** Reads or does not read, as things are now; closes when a peer that has ended is answered. */
  reconsider(): void {
    if (this.#state === 'ended' && this.#session.inFlight === 0) return this.close()
    const reading =
      this.#state === 'open' &&
      this.#session.inFlight < this.#host.limits.requestsInFlightMax &&
      !this.#session.muted &&
      !this.#held &&
      !this.#rests &&
      this.queuedBytes <= this.#host.limits.outboxBytesMax &&
      !(this.#session.feeds && this.#host.saturated())
    if (reading === this.#reading || this.#state === 'closing' || this.#state === 'closed') return
    this.#reading = reading
    if (reading) this.#connection.resume()
    else this.#connection.pause()
  }

  /** Closes a connection that makes no progress. Called every now and then. */
  sweep(nowMs: number): void {
    if (this.#state === 'closed') return
    const { firstRequestTimeoutMs, frameTimeoutMs, writeTimeoutMs } = this.#host.limits
    const queued = this.queuedBytes
    const taken = this.#sentBytes + this.#gatheredBytes - queued
    if (stalled(this.#writeMark, queued > 0, 0, taken, 1, nowMs, writeTimeoutMs)) {
      this.#host.log('info', 'Connection closed: the peer takes no bytes', this.#fields({ queued }))
      return this.#connection.destroy()
    }
    if (this.#state === 'closing') return
    const ended = this.#state === 'ended'
    const waiting = ended || (this.#reading && this.#decoder.pendingBytes > 0)
    const mark = this.#frameMark
    if (stalled(mark, waiting, this.#packets, this.#receivedBytes, frameProgressBytes, nowMs, frameTimeoutMs)) {
      const reason = ended ? 'the peer left before it was answered' : 'a request was not finished'
      this.#host.log('info', `Connection closed: ${reason}`, this.#fields({ pending: this.#decoder.pendingBytes }))
      return this.close()
    }
    if (this.#receivedBytes === 0 && nowMs - this.#openedMs >= firstRequestTimeoutMs) {
      this.#host.log('info', 'Connection closed: no request came', this.#fields({}))
      this.close()
    }
  }

  #data(chunk: Buffer): void {
    if (this.#state !== 'open') return
    if (this.#receivedBytes === 0 && this.#connection.tls === undefined && isHandshake(chunk)) {
      this.#host.log('info', 'Connection closed: the peer speaks TLS, but this port does not', this.#fields({}))
      return this.close()
    }
    this.#receivedBytes += chunk.length
    const { turns } = this.#host
    const isMuch = chunk.length >= muchBytes
    if (isMuch) turns.begin()
    try {
      this.#decoder.push(chunk, this.#receive)
    } catch (error) {
      this.#fault(error)
    }
    if (isMuch && !this.#rests) this.#rests = turns.rests(this)
    this.reconsider()
  }

  readonly #receive = (packet: P): void => {
    if (this.#state !== 'open') return // The session has closed while it took an earlier packet of the same chunk.
    this.#packets++
    this.#session.receive(packet)
  }

  #fault(error: unknown): void {
    if (error instanceof ProtocolError) {
      this.#host.log('info', 'Connection closed: the peer broke the protocol', this.#fields({ reason: error.message }))
    } else {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#host.log('error', 'Connection closed: a session failed', this.#fields({ stack }))
    }
    this.close()
  }

  #ended(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.reconsider()
  }

  #closed(error?: Error): void {
    this.#state = 'closed'
    this.flush() // Nothing leaves any more, but buffers lent to us are given back.
    if (error) this.#host.log('debug', 'Connection lost', this.#fields({ reason: error.message }))
    this.#host.gone(this)
    try {
      this.#session.closed()
    } catch (end) {
      // The cell is closed already: what a session held is given back by the next start.
      if (!(end instanceof Fenced)) throw end
    }
  }

  #fields(more: Record<string, unknown>): Record<string, unknown> {
    return { remote: this.#connection.remote, ...more }
  }
}

/** How a client of TLS begins: a record of a handshake that holds its hello (RFC 8446, 4 and 5.1). No protocol of ours does. */
function isHandshake(chunk: Buffer): boolean {
  return chunk.length > 5 && chunk[0] === 0x16 && chunk[1] === 3 && chunk[5] === 1
}

function runAll(callbacks: readonly (() => void)[]): void {
  for (const run of callbacks) run()
}

/** What had been done when progress was last seen. */
interface Mark {
  atMs: number
  count: number
  bytes: number
}

/** Whether what is `waiting` has made no progress (another `count`, or `bytesMin` more bytes) for `timeoutMs`. */
function stalled(
  mark: Mark,
  waiting: boolean,
  count: number,
  bytes: number,
  bytesMin: number,
  nowMs: number,
  timeoutMs: number,
): boolean {
  if (waiting && count === mark.count && bytes - mark.bytes < bytesMin) return nowMs - mark.atMs >= timeoutMs
  mark.atMs = nowMs
  mark.count = count
  mark.bytes = bytes
  return false
}
