import { ProtocolError, Reader } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import { Alarm } from './alarm.ts'
import { BodyBudget } from './body-budget.ts'
import { Channel } from './channel.ts'
import { capabilitiesOf, type Capabilities, type Connection } from './connection.ts'
import { AmqpException, asException } from './errors.ts'
import { emptyFrameBytes, frameEnd, frameTypes, protocolHeader, type Frame } from './framing.ts'
import { encodeMethod } from './frames.ts'
import { Handshake, type Agreed } from './handshake.ts'
import { Heartbeat } from './heartbeat.ts'
import { AmqpConnection } from './live.ts'
import { Login } from './login.ts'
import { basicCancel, basicPublish } from './messages/basic.ts'
import {
  connectionBlocked,
  connectionClose,
  connectionCloseOk,
  connectionUnblocked,
  connectionUpdateSecret,
  connectionUpdateSecretOk,
} from './messages/connection.ts'
import { channelCloseOk, channelOpen, channelOpenOk } from './messages/channel.ts'
import { methodsById } from './messages/index.ts'
import type { Method } from './messages/method.ts'
import { connectionName, Traffic } from '../live-connection.ts'

/** Until both sides have agreed upon more. */
const frameMaxBefore = 8192
/** A client has so long to open the connection. */
const handshakeMs = 10_000
/** A peer has so long to answer that it knows of the end. */
const closeMs = 10_000
/** After bytes that are no frame, the answer cannot be recognized: the peer has so long to read why. */
const lostMs = 1000
/** What is published has so long to be confirmed before the broker stops; it is looked so often. */
const leaveMs = 400
const leaveLookMs = 10
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
  readonly traffic = new Traffic()
  feeds = false
  readonly bodies: BodyBudget
  readonly #outbox: Outbox
  readonly #handshake: Handshake
  readonly #channels = new Map<number, Channel>()
  #state: State = 'new'
  #agreed: Agreed | undefined
  #heartbeat: Heartbeat | undefined
  #login: Login | undefined
  #live: ConnectionInfo | undefined
  #isLeaving = false
  /** The peer has closed the connection. */
  #isParting = false
  readonly #alarm: Alarm
  #cancelTimeout: (() => void) | undefined
  #requests = 0
  #laterBytes = 0
  #frameMax = frameMaxBefore

  constructor(broker: Broker, outbox: Outbox, context: SessionContext) {
    this.broker = broker
    this.bodies = new BodyBudget(broker.limits.messageBytesMax)
    this.context = context
    this.#outbox = outbox
    const { limits, clock } = context
    this.name = connectionName(context)
    limits.frameBytesMax = Math.min(limits.frameBytesMax, frameMaxBefore)
    this.#cancelTimeout = clock.after(handshakeMs, () => this.#giveUp('Connection closed: it was not opened in time'))
    this.#alarm = new Alarm({
      clock,
      isFull: () => broker.cell.isFull,
      changed: isOn => this.#alarmed(isOn),
      take: frame => this.#dispatch(frame),
    })
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
    return this.#requests + (this.#isLeaving ? 1 : 0)
  }
  get muted(): boolean {
    return this.#alarm.isOn || this.#laterBytes > laterBytesMax
  }
  get state(): ConnectionInfo['state'] {
    if (this.#alarm.isOn) return 'blocked'
    return this.#state === 'open' ? 'running' : 'closing'
  }

  receive(frame: Frame): void {
    this.traffic.receivedPackets++
    this.traffic.receivedBytes += frame.payload.length + emptyFrameBytes
    if (this.#state === 'new') return this.#begin(frame)
    if (this.#state === 'closed') return
    if (frame.type === frameTypes.fault) return this.#lost(frame)
    if (this.#alarm.isOn) return this.#alarm.hold(frame)
    this.#dispatch(frame)
  }

  #dispatch(frame: Frame): void {
    if (this.#state === 'closed') return
    if (this.#isParting) return
    if (frame.channel === 0) return this.#control(frame)
    if (this.#state === 'closing') return
    if (this.#state !== 'open') return this.#unexpected(frame)
    if (frame.type === frameTypes.method && this.broker.cell.isFull && isPublish(frame)) return this.#alarm.hold(frame)
    const channel = this.#channels.get(frame.channel)
    if (frame.type < frameTypes.method || frame.type > frameTypes.body) this.#unexpected(frame)
    else if (channel) channel.receive(frame.type, frame.payload)
    else this.#openChannel(frame)
  }

  closed(): void {
    this.#end()
  }

  /** The broker stops: what was published is confirmed if that is soon done, then the peer is told. */
  leave(): void {
    if (this.#state !== 'open') return
    this.#isLeaving = true
    const { clock } = this.context
    const endMs = clock.monotonicMs() + leaveMs
    const look = (): void => {
      const isWaiting = this.#requests > 0 || this.channelInfos().some(({ unconfirmed }) => unconfirmed > 0)
      if (isWaiting && this.#state === 'open' && clock.monotonicMs() < endMs) return void clock.after(leaveLookMs, look)
      this.#isLeaving = false
      if (this.#state === 'open') this.force("broker forced connection closure with reason 'shutdown'")
      this.#outbox.progress()
    }
    look()
  }

  force(reason: string): void {
    this.fail(new AmqpException('connectionForced', reason), undefined)
  }

  channelInfos(): ChannelInfo[] {
    return Array.from(this.#channels.values(), channel => channel.info)
  }

  send<W>(channel: number, method: Method<unknown, W>, fields: W): void {
    // Queues end with the broker, but they are not gone: that the connection is closed says more.
    if (this.#isLeaving && (method as Method) === basicCancel) return
    this.write(encodeMethod(channel, method, fields))
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    const { traffic } = this
    traffic.sentPackets++
    for (const part of parts) traffic.sentBytes += part.length
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
    this.#isParting = false
    this.#alarm.stop()
    this.#outbox.progress()
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
    if (requests < 0 && this.#isParting) this.#part()
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
      this.#failed(error instanceof ProtocolError ? new AmqpException('frameError', error.message) : error, method)
    }
  }

  #controlMethod(method: Method, fields: Reader): void {
    if (method === connectionClose) {
      this.#isParting = true
      return this.#part()
    }
    if (this.#state === 'closing') return method === connectionCloseOk ? this.#close() : undefined
    if (this.#state === 'handshake') return this.#handshake.receive(method, fields)
    if (method === connectionUpdateSecret)
      return this.#updateSecret(connectionUpdateSecret.codec.read(fields).newSecret)
    throw new AmqpException('channelError', `unexpected method ${method.name} in connection state running`)
  }

  /** The peer goes: what it has sent before is done first. */
  #part(): void {
    if (this.#requests > 0 || this.#state === 'closed') return
    this.#endChannels()
    this.send(0, connectionCloseOk, {})
    this.#end()
    // The peer ends the socket when it has read this: some take an end that comes before for a failure.
    this.#timeout(closeMs, () => this.#outbox.close())
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
    // Which numbers the client uses is its own matter.
    if (this.#channels.size >= max) {
      const explanation = `number of channels opened (${this.#channels.size}) has reached the negotiated channel_max (${max})`
      return this.fail(new AmqpException('notAllowed', explanation), method)
    }
    const { user } = this
    const userMax = this.broker.identity.user(user)?.limits?.get('channels')
    if (userMax !== undefined && this.broker.connections.channelCount({ user }) >= userMax) {
      const explanation = `number of channels opened for user '${user}' has reached the maximum allowed user limit of ${userMax}`
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
    this.#live = new AmqpConnection(this, agreed)
    this.broker.connections.add(this.#live)
    this.#login = new Login(this.broker, this.context, agreed.known, () => this.force('credential expired'))
    if (agreed.heartbeat === 0) return
    this.#heartbeat = new Heartbeat(agreed.heartbeat, this.context.clock, {
      traffic: this.traffic,
      isReading: () => this.#outbox.isReading,
      beat: () => this.write([heartbeatFrame]),
      missed: () => this.#giveUp('Connection closed: heartbeats of the client were missed'),
    })
  }

  #updateSecret(secret: Buffer): void {
    this.#login?.update(Buffer.from(secret)).then(
      () => this.#state === 'open' && this.send(0, connectionUpdateSecretOk, {}),
      (error: unknown) => this.#failed(error, connectionUpdateSecret),
    )
  }

  #alarmed(isOn: boolean): void {
    if (!this.capabilities.connectionBlocked) return this.#outbox.progress()
    if (isOn) this.send(0, connectionBlocked, { reason: 'low on disk' })
    else this.send(0, connectionUnblocked, {})
    this.#outbox.progress()
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
    this.#login?.stop()
    this.#alarm.stop()
    if (this.#live) this.broker.connections.delete(this.#live)
    this.#endChannels()
  }

  /** Queues that belong to the connection go with it, before the peer is told that it has ended. */
  #endChannels(): void {
    for (const channel of this.#channels.values()) channel.end()
    this.#channels.clear()
    this.broker.queues.release(this.owner)
  }
}

const isPublish = ({ payload }: Frame): boolean => payload.length >= 4 && payload.readUInt32BE(0) === basicPublish.id

const heartbeatFrame = Buffer.alloc(emptyFrameBytes)
heartbeatFrame[0] = frameTypes.heartbeat
heartbeatFrame[emptyFrameBytes - 1] = frameEnd

/** The header of 0-9 is safe to treat as that of 0-9-1, and some clients send it. */
const header09 = Buffer.from('AMQP\x01\x01\0\x09', 'latin1')

const isKnownVersion = (header: Buffer): boolean => header.equals(protocolHeader) || header.equals(header09)
