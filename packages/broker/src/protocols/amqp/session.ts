import { ProtocolError, Reader } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import { Channel } from './channel.ts'
import { capabilitiesOf, type Capabilities, type Connection } from './connection.ts'
import { AmqpException, asException } from './errors.ts'
import { emptyFrameBytes, frameEnd, frameTypes, protocolHeader, type Frame } from './framing.ts'
import { encodeMethod } from './frames.ts'
import { Handshake, type Agreed } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
import {
  connectionClose,
  connectionCloseOk,
  connectionUpdateSecret,
  connectionUpdateSecretOk,
} from './messages/connection.ts'
import { channelCloseOk, channelOpen, channelOpenOk } from './messages/channel.ts'
import { methodsById } from './messages/index.ts'
import type { Method } from './messages/method.ts'

/** Until both sides have agreed upon more. */
const frameMaxBefore = 8192
/** A client has so long to open the connection. */
const handshakeMs = 10_000
/** A peer has so long to answer that it knows of the end. */
const closeMs = 10_000
/** After bytes that are no frame, the answer cannot be recognized: the peer has so long to read why. */
const lostMs = 1000
/** Bytes that may wait behind methods that have not ended. */
const laterBytesMax = 1024 * 1024

type State =
  /** The protocol header must come. */
  | 'new'
  | 'handshake'
  | 'open'
  /** We have closed it; only close-ok is listened to. */
  | 'closing'
  | 'closed'

/**
 * One connection.
 *
 *   new --protocol header--> handshake --connection.open--> open --close--> closed
 *   open, handshake --connection exception--> closing --close-ok--> closed
 *
 * Invariant: `#channels` holds those that are open, or that we have closed and whose close-ok has not come.
 */
export class AmqpSession implements Session<Frame>, Connection {
  readonly broker: Broker
  readonly context: SessionContext
  readonly name: string
  readonly owner = {}
  feeds = false
  readonly #outbox: Outbox
  readonly #handshake: Handshake
  readonly #channels = new Map<number, Channel>()
  #state: State = 'new'
  #agreed: Agreed | undefined
  #heartbeat: Heartbeat | undefined
  #cancelTimeout: (() => void) | undefined
  #requests = 0
  #laterBytes = 0
  #frameMax = frameMaxBefore

  constructor(broker: Broker, outbox: Outbox, context: SessionContext) {
    this.broker = broker
    this.context = context
    this.#outbox = outbox
    const { remote, local, limits, clock } = context
    this.name = `${remote.host}:${remote.port} -> ${local.host}:${local.port}`
    limits.frameBytesMax = Math.min(limits.frameBytesMax, frameMaxBefore)
    this.#cancelTimeout = clock.after(handshakeMs, () => this.#giveUp('Connection closed: it was not opened in time'))
    this.#handshake = new Handshake({
      broker,
      context,
      send: (method, fields) => this.send(0, method, fields),
      refused: (explanation, told) => this.#refused(explanation, told),
      tuned: frameMax => this.#tuned(frameMax),
      done: agreed => this.#opened(agreed),
      fail: (error, failed) => this.#failed(error, failed),
    })
  }

  get namespace(): string {
    return this.#agreed?.namespace ?? homeNamespace
  }
  get user(): string {
    return this.#agreed?.user ?? anonymous
  }
  get access(): Access {
    return this.#agreed?.access ?? this.broker.identity.access(anonymous, 'none', this.context.remote.host)
  }
  get rights(): NamespaceAccess {
    return this.broker.identity.inNamespace(this.access, this.namespace)
  }
  get capabilities(): Capabilities {
    return this.#agreed?.capabilities ?? capabilitiesOf([])
  }
  get frameMax(): number {
    return this.#frameMax
  }
  get queuedBytes(): number {
    return this.#outbox.queuedBytes
  }
  get inFlight(): number {
    return this.#requests
  }
  get muted(): boolean {
    return this.#laterBytes > laterBytesMax
  }

  receive(frame: Frame): void {
    this.#heartbeat?.received()
    if (this.#state === 'new') return this.#begin(frame)
    if (this.#state === 'closed') return
    if (frame.type === frameTypes.fault) return this.#lost(frame)
    if (frame.channel === 0) return this.#control(frame)
    if (this.#state === 'closing') return
    if (this.#state !== 'open') return this.#unexpected(frame)
    const channel = this.#channels.get(frame.channel)
    if (frame.type < frameTypes.method || frame.type > frameTypes.body) this.#unexpected(frame)
    else if (channel) channel.receive(frame.type, frame.payload)
    else this.#openChannel(frame)
  }

  closed(): void {
    this.#end()
  }

  send<W>(channel: number, method: Method<any, W>, fields: W): void {
    this.write(encodeMethod(channel, method, fields))
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    this.#heartbeat?.sent()
    this.#outbox.write(parts, written)
  }

  settled(): Promise<void> {
    return new Promise(resolve => this.broker.work.whenDurable(resolve))
  }

  fail(exception: AmqpException, failed: Method | undefined): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    const { remote } = this.context
    this.context.log('info', 'Connection closed by an exception', {
      remote,
      method: failed?.name,
      reason: exception.text,
    })
    this.send(0, connectionClose, {
      replyCode: exception.code,
      replyText: exception.text,
      classId: failed?.classId ?? 0,
      methodId: failed?.methodId ?? 0,
    })
    this.#endChannels()
    this.#state = 'closing'
    this.#timeout(closeMs, () => this.#close())
  }

  broken(error: unknown): void {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.context.log('error', 'Connection closed: a request failed', { remote: this.context.remote, stack })
    this.fail(
      new AmqpException('internalError', 'the broker failed at this, and has written why to its log'),
      undefined,
    )
  }

  waiting(requests: number, bytes: number): void {
    this.#requests += requests
    this.#laterBytes += bytes
    if (requests < 0 || bytes < 0) this.#outbox.progress()
  }

  #begin({ type, payload }: Frame): void {
    if (type === frameTypes.protocolHeader && isKnownVersion(payload)) {
      this.#state = 'handshake'
      return this.#handshake.begin()
    }
    this.#outbox.write([protocolHeader])
    this.#close()
  }

  /** Channel 0. */
  #control(frame: Frame): void {
    if (frame.type === frameTypes.heartbeat) return
    if (frame.type !== frameTypes.method) return this.#state === 'closing' ? undefined : this.#unexpected(frame)
    const method = frame.payload.length < 4 ? undefined : methodsById.get(frame.payload.readUInt32BE(0))
    try {
      if (!method) throw new AmqpException('notImplemented', 'there is no such method')
      this.#controlMethod(method, new Reader(frame.payload, 4))
    } catch (error) {
      this.#failed(error instanceof ProtocolError ? new AmqpException('syntaxError', error.message) : error, method)
    }
  }

  #controlMethod(method: Method, fields: Reader): void {
    if (method === connectionClose) {
      this.#endChannels()
      this.send(0, connectionCloseOk, {})
      return this.#close()
    }
    if (this.#state === 'closing') return method === connectionCloseOk ? this.#close() : undefined
    if (this.#state === 'handshake') return this.#handshake.receive(method, fields)
    if (method === connectionUpdateSecret) return this.send(0, connectionUpdateSecretOk, {})
    throw new AmqpException('channelError', `unexpected method ${method.name} in connection state running`)
  }

  #openChannel({ type, channel: number, payload }: Frame): void {
    const method =
      type === frameTypes.method && payload.length >= 4 ? methodsById.get(payload.readUInt32BE(0)) : undefined
    // It answers to a close that we have forgotten.
    if (method === channelCloseOk) return
    if (method !== channelOpen) {
      return this.fail(new AmqpException('channelError', "expected 'channel.open'"), method)
    }
    const max = this.#agreed?.channelMax ?? 0
    if (number > max || this.#channels.size >= max) {
      const explanation = `number of channels opened (${this.#channels.size}) has reached the negotiated channel_max (${max})`
      return this.fail(new AmqpException('notAllowed', explanation), method)
    }
    const channel = new Channel(this, number)
    this.#channels.set(number, channel)
    channel.send(channelOpenOk, {})
  }

  channelClosed(number: number): void {
    this.#channels.delete(number)
  }

  #tuned(frameMax: number): void {
    this.#frameMax = frameMax
    this.context.limits.frameBytesMax = frameMax
  }

  #opened(agreed: Agreed): void {
    this.#agreed = agreed
    this.#state = 'open'
    this.#cancelTimeout?.()
    this.#cancelTimeout = undefined
    if (agreed.heartbeat === 0) return
    this.#heartbeat = new Heartbeat(agreed.heartbeat, this.context.clock, {
      beat: () => this.#outbox.write([heartbeatFrame]),
      missed: () => this.#giveUp('Connection closed: heartbeats of the client were missed'),
    })
  }

  #refused(explanation: string, told: boolean): void {
    if (this.#state !== 'handshake') return
    if (told) this.fail(new AmqpException('accessRefused', explanation), undefined)
    else this.#close()
  }

  #failed(error: unknown, failed: Method | undefined): void {
    const exception = asException(error)
    if (exception) this.fail(exception, failed)
    else this.broken(error)
  }

  #unexpected({ type, channel, payload }: Frame): void {
    const known = type === frameTypes.heartbeat || (type >= frameTypes.method && type <= frameTypes.body)
    const explanation = `type ${type} on channel ${channel}, ${payload.length} bytes`
    this.fail(new AmqpException(known ? 'unexpectedFrame' : 'frameError', explanation), undefined)
  }

  #lost({ problem }: Frame): void {
    this.fail(new AmqpException('frameError', problem), undefined)
    this.#timeout(lostMs, () => this.#close())
  }

  #giveUp(reason: string): void {
    if (this.#state === 'closed') return
    this.context.log('info', reason, { remote: this.context.remote })
    this.#close()
  }

  #timeout(delayMs: number, run: () => void): void {
    this.#cancelTimeout?.()
    this.#cancelTimeout = this.context.clock.after(delayMs, run)
  }

  #close(): void {
    this.#end()
    this.#outbox.close()
  }

  #end(): void {
    this.#state = 'closed'
    this.#cancelTimeout?.()
    this.#heartbeat?.stop()
    this.#endChannels()
  }

  /** Queues that belong to the connection go with it, before the peer is told that it has ended. */
  #endChannels(): void {
    for (const channel of this.#channels.values()) channel.end()
    this.#channels.clear()
    this.broker.queues.release(this.owner)
  }
}

const heartbeatFrame = Buffer.alloc(emptyFrameBytes)
heartbeatFrame[0] = frameTypes.heartbeat
heartbeatFrame[emptyFrameBytes - 1] = frameEnd

/** The header of 0-9 is safe to treat as that of 0-9-1, and some clients send it. */
const header09 = Buffer.from('AMQP\x01\x01\0\x09', 'latin1')

const isKnownVersion = (header: Buffer): boolean => header.equals(protocolHeader) || header.equals(header09)
