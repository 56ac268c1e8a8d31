import type { Codec, Random } from '@dragoman/wire'
import type { Broker } from '../core/broker.ts'
import type { GroupBridge } from '../core/groups/assigned/requests.ts'
import type { Address, Clock, ConnectionTls } from '../runtime/runtime.ts'

/** What each protocol folder exports, and all that the rest of the broker knows of it. */
export interface Protocol<P = unknown> {
  /** The folder's name; also the listener's option, the metrics label and the word in the CLI. */
  readonly name: string
  /** For people: `Apache Kafka`. */
  readonly title: string
  readonly ports: { plain: number; tls: number }
  /** Every message by name: docs, fuzz and `dragoman decode` come from here. */
  readonly messages: Record<string, Codec<any>>
  /** Bytes of one direction in, packets out; see `Decoder`. */
  decoder(limits: ProtocolLimits): Decoder<P>
  session(broker: Broker, outbox: Outbox, context: SessionContext): Session<P>
  /** Present when clients may use WebSocket, on the same port. */
  readonly webSocket?: WebSocketCarriage
  /** How members of its groups that assign among themselves put what they subscribe to and are assigned. */
  readonly groupBridge?: GroupBridge
  /** What `dragoman decode NAME HEX` prints: fields against bytes, whole frames, either direction. Throws `ProtocolError`. */
  explain(bytes: Buffer): string
}

/** A protocol as what WebSocket carries (RFC 6455). Frames' bounds mean nothing: their payloads are the protocol's stream of bytes. */
export interface WebSocketCarriage {
  /** Its names as a subprotocol. */
  readonly subprotocols: readonly string[]
  /** What it is sent in. `text`: in text frames where the bytes are UTF-8, else in binary ones. */
  readonly frames: 'binary' | 'text'
  /** Whether a client may send it in text frames. */
  readonly takesText: boolean
}

export interface ProtocolLimits {
  frameBytesMax: number
  /** Where a session waits for smaller ones, or larger ones, than its protocol has as a rule. */
  frameBytesMin?: number
  /** The largest job, where a protocol has them. */
  jobBytesMax?: number | undefined
  /** Requests taken from one connection and not yet answered; at the limit its socket is not read. */
  requestsInFlightMax: number
}

/**
 * Cuts a byte stream into packets. `push` calls `packet` for each whole one and keeps the rest.
 * A packet's bytes are valid only until `packet` returns: what is kept longer is copied.
 * Throws `ProtocolError` as soon as the bytes cannot become a packet (bad magic, oversize); the connection is then closed.
 */
export interface Decoder<P> {
  push(chunk: Buffer, packet: (packet: P) => void): void
  /** Bytes kept of a packet that is not whole yet. */
  readonly pendingBytes: number
}

/** One connection's state machine without a socket. */
export interface Session<P> {
  /** May throw `ProtocolError` (the peer's fault: the connection is closed after what is queued went out). Anything else thrown is our bug: closed and logged. */
  receive(packet: P): void
  /** Requests taken and not yet answered: the pump stops reading at `requestsInFlightMax`. */
  readonly inFlight: number
  /** The peer brings data: it is not read while the broker has more than the disk can take. Those who only consume go on. */
  readonly feeds: boolean
  /** The peer is held back: it is not read until `Outbox.progress` tells that this is over. */
  readonly muted: boolean
  /** The broker stops: the session may end what it has begun (see `inFlight`) and tell its peer. */
  leave?(): void
  /** The peer is gone or was sent away: release all. Called exactly once, nothing after it. */
  closed(): void
}

/** Where a session puts its bytes. Writes of one turn leave in one system call. */
export interface Outbox {
  /** Queues bytes in order; they must not change until `written` is called. */
  write(parts: readonly Uint8Array[], written?: () => void): void
  /** Bytes not yet taken by the peer: a session that streams stops above its own limit and goes on at `drained`. */
  readonly queuedBytes: number
  /** Whether the peer is read now: if it is not, its silence says nothing. */
  readonly isReading: boolean
  /** Tells that `inFlight` has fallen, so that reading may go on. */
  progress(): void
  /** Sends what is queued, then closes. */
  close(): void
  /** Closes at once: what is queued is dropped. */
  destroy(): void
}

export interface SessionContext {
  /** Connections of this process in the order of their acceptance: a later one has a greater number. */
  readonly ordinal: number
  readonly remote: Address
  /** What the peer has shown of itself; undefined when the connection is not protected. */
  readonly tls?: ConnectionTls | undefined
  /** Address under which this listener is reached, for protocols that tell clients where to go. */
  readonly local: Address
  readonly clock: Clock
  readonly random: Random
  /** This connection's own, shared with its decoder: a session may lower them while it does not know its peer. */
  readonly limits: ProtocolLimits
  /** Our bug, or something an operator should know. Never a payload. */
  log(level: 'debug' | 'info' | 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}
