import { ProtocolError, Reader } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import type { ConnectionInfo } from '../../core/connections.ts'
import { BrokerError } from '../../core/errors.ts'
import { Traffic } from '../live-connection.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import { Client } from './client.ts'
import { malformed, PacketError, reasonOfFault, reasonOfRefusal, violation } from './errors.ts'
import type { Packet } from './framing.ts'
import { KeepAlive } from './keep-alive.ts'
import { MqttConnection } from './live.ts'
import { Login, type Known } from './login.ts'
import {
  auth,
  connack,
  connect,
  disconnect,
  pingreq,
  pingresp,
  protocolNames,
  puback,
  pubcomp,
  pubrec,
  pubrel,
  readLevel,
  types,
  versions,
  type Connect,
} from './messages.ts'
import { expiryMsOf, open, type Opened } from './opening.ts'
import { failureFrom, reasons, returnCode, type Reason } from './reasons.ts'
import { Registry, type Holder } from './registry.ts'
import { Statistics } from './statistics.ts'
import { Status } from './status.ts'

/** Of CONNECT: larger ones come from nobody who has something to say. */
const connectBytesMax = 512 * 1024
/** Packets that came before it was known who they are from; a client that sends more waits. */
const laterBytesMax = 1024 * 1024

/** Packets of one client that wait for their answers, which wait for the disk; more are not read. */
const unacknowledgedMax = 0x10000

type State =
  /** CONNECT must come. */
  | { kind: 'new' }
  /** It is looked at who it is from. */
  | { kind: 'opening'; fields: Connect; login: Login }
  | { kind: 'open'; fields: Connect; login: Login; known: Known; client: Client; opened: Opened }
  | { kind: 'closed' }

/**
 * One connection.
 *
 *   new --CONNECT--> opening --(AUTH)--> open --DISCONNECT, an error, the end of the network--> closed
 *
 * Invariant: the registry leads here exactly as long as the state is `open`.
 */
export class MqttSession implements Session<Packet>, Holder {
  readonly #broker: Broker
  readonly #outbox: Outbox
  readonly #context: SessionContext
  readonly #statistics: Statistics
  readonly #registry: Registry
  readonly #frameBytesMax: number
  #state: State = { kind: 'new' }
  #keepAlive: KeepAlive | undefined
  #live: ConnectionInfo | undefined
  #later: { first: number; bytes: Buffer }[] = []
  #laterBytes = 0
  #pending = 0
  #isOver = false
  #cancelExpiry: (() => void) | undefined
  feeds = false
  readonly traffic = new Traffic()

  constructor(broker: Broker, outbox: Outbox, context: SessionContext) {
    this.#broker = broker
    this.#outbox = outbox
    this.#context = context
    this.#statistics = Statistics.of(broker)
    this.#statistics.opened()
    this.#registry = Registry.of(broker)
    Status.of(broker).use(context.clock)
    this.#frameBytesMax = context.limits.frameBytesMax
    context.limits.frameBytesMax = Math.min(this.#frameBytesMax, connectBytesMax)
  }

  get user(): string {
    return this.#state.kind === 'open' ? this.#state.known.user : ''
  }

  get inFlight(): number {
    const waiting = this.#isOpening ? 1 : 0
    const unacknowledged = this.#state.kind === 'open' && this.#state.client.unacknowledgedCount > 0 ? 1 : 0
    return this.#pending + waiting + unacknowledged
  }

  /** CONNECT has come, and CONNACK has not left. */
  get #isOpening(): boolean {
    return this.#state.kind === 'opening' || (this.#state.kind === 'open' && !this.#isAccepted)
  }

  get muted(): boolean {
    if (this.#isOpening) return this.#laterBytes > 0
    return this.#state.kind === 'open' && this.#state.client.unacknowledgedCount > unacknowledgedMax
  }

  receive(packet: Packet): void {
    if (this.#state.kind === 'closed') return
    const { traffic } = this
    traffic.receivedPackets++
    traffic.receivedBytes += packet.end - packet.at
    this.#statistics.receivedPackets++
    try {
      this.#receive(packet)
    } catch (error) {
      if (error instanceof BrokerError) return this.fail(reasonOfRefusal(error))
      if (!(error instanceof ProtocolError)) throw error
      this.#fault(error)
    }
  }

  #receive(packet: Packet): void {
    const state = this.#state
    if (packet.fault !== undefined) throw new PacketError(packet.fault, 'The bytes are no packet')
    if (this.#keepAlive) this.#keepAlive.heard = true
    const type = packet.first >> 4
    switch (state.kind) {
      case 'new':
        if (type !== types.connect) throw violation('The first packet must be CONNECT')
        return this.#connect(packet)
      case 'opening':
        if (type === types.auth) return this.#authenticate(state, packet)
        return this.#keep(packet)
      case 'open':
        return this.#isAccepted ? this.#handle(state, type, packet) : this.#keep(packet)
      case 'closed':
        return
    }
  }

  /** A client need not wait for CONNACK. */
  #keep({ first, bytes, at, end }: Packet): void {
    this.#laterBytes += end - at + 1
    if (this.#laterBytes > laterBytesMax) throw new PacketError(reasons.quotaExceeded, 'Too much came before CONNACK')
    this.#later.push({ first, bytes: Buffer.from(bytes.subarray(at, end)) })
  }

  #handle(state: State & { kind: 'open' }, type: number, packet: Packet): void {
    const { client } = state
    switch (type) {
      case types.publish:
        this.feeds = true
        return client.incoming.publish(packet)
      case types.puback: {
        const id = this.#ack(state, packet, puback)
        return void client.outgoing.acknowledged(id.packetId)
      }
      case types.pubrec: {
        const { packetId, reason } = this.#ack(state, packet, pubrec)
        return client.outgoing.received(packetId, reason)
      }
      case types.pubrel:
        return client.incoming.release(this.#ack(state, packet, pubrel).packetId)
      case types.pubcomp:
        return client.outgoing.completed(this.#ack(state, packet, pubcomp).packetId)
      case types.subscribe:
        return client.subscribe(bodyOf(packet), packet.first & 0xf)
      case types.unsubscribe:
        return client.unsubscribe(bodyOf(packet), packet.first & 0xf)
      case types.pingreq:
        pingreq.readBody(bodyOf(packet), state.fields.version, packet.first & 0xf)
        return this.send(pingresp.encode({}, state.fields.version))
      case types.disconnect:
        return this.#disconnected(state, packet)
      case types.auth:
        return this.#authenticateAgain(state, packet)
      default:
        throw violation(`A client cannot send a packet of type ${type}`)
    }
  }

  #ack(
    { fields }: State & { kind: 'open' },
    { first, bytes, at, end }: Packet,
    form: typeof puback,
  ): { packetId: number; reason: number } {
    // Mostly there is nothing but the identifier.
    if (end - at === 2 && (first & 0xf) === form.flags) {
      const packetId = (bytes[at]! << 8) | bytes[at + 1]!
      if (packetId === 0) throw violation('A packet identifier cannot be 0')
      return { packetId, reason: 0 }
    }
    const { packetId, rest } = form.readBody(new Reader(bytes, at, end), fields.version, first & 0xf)
    if (packetId === 0) throw violation('A packet identifier cannot be 0')
    return { packetId, reason: rest.reason }
  }

  // Opening

  #connect(packet: Packet): void {
    const { protocolName, version } = readLevel(bodyOf(packet))
    const isKnown = protocolNames[version] === protocolName
    if (!isKnown) {
      if (protocolName !== 'MQTT' && protocolName !== 'MQIsdp') throw malformed('It is another protocol')
      // In the words of the version that is asked for, as far as they are known.
      const reason = version > versions.mqtt5 ? reasons.versionUnsupported : 1
      const bytes = connack.encode({ flags: 0, reason, properties: {} }, version > versions.mqtt5 ? 5 : 4)
      this.send(bytes)
      return this.#close()
    }
    const fields = kept(connect.readBody(bodyOf(packet), version, packet.first & 0xf))
    const login = new Login(this.#broker, this.#context)
    this.#state = { kind: 'opening', fields, login }
    const { authMethod, authData } = fields.properties
    if (authMethod === undefined) {
      if (authData !== undefined) throw violation('There are data of an authentication without a method')
      this.#when(login.byPassword(fields), known => this.#known(fields, login, known, undefined))
    } else {
      login.begin(authMethod)
      this.#nextStep(login, authData ?? Buffer.alloc(0))
    }
  }

  #authenticate({ login, fields }: State & { kind: 'opening' }, packet: Packet): void {
    const { rest } = auth.readBody(bodyOf(packet), fields.version, packet.first & 0xf)
    if (rest.reason !== reasons.continueAuthentication || rest.properties.authMethod !== login.method)
      throw violation('AUTH does not go on with the authentication')
    this.#nextStep(login, Buffer.from(rest.properties.authData ?? Buffer.alloc(0)))
  }

  #nextStep(login: Login, data: Buffer): void {
    this.#when(login.next(data), ({ data: answer, known }) => {
      if (known) {
        const state = this.#state
        if (state.kind === 'opening') return this.#known(state.fields, login, known, answer)
        if (state.kind !== 'open' || known.user !== state.known.user)
          throw new PacketError(reasons.notAuthorized, 'It is another user')
        this.#state = { ...state, known }
        this.#limitTime(known)
        return this.#sendAuth(login, reasons.success, answer)
      }
      this.#sendAuth(login, reasons.continueAuthentication, answer)
    })
  }

  /** A client proves once more who it is. [MQTT 5.0, 4.12.1] */
  #authenticateAgain({ login, fields }: State & { kind: 'open' }, packet: Packet): void {
    if (fields.version < versions.mqtt5) throw violation('There is no AUTH in this version')
    const { rest } = auth.readBody(bodyOf(packet), fields.version, packet.first & 0xf)
    const { authMethod, authData } = rest.properties
    const method = fields.properties.authMethod
    if (method === undefined || authMethod !== method) throw violation('It is another authentication method')
    if (rest.reason === reasons.reauthenticate) login.begin(method)
    else if (rest.reason !== reasons.continueAuthentication) throw violation('AUTH has another reason')
    this.#nextStep(login, Buffer.from(authData ?? Buffer.alloc(0)))
  }

  #sendAuth(login: Login, reason: Reason, authData: Buffer): void {
    const properties = { authMethod: login.method, authData: authData.length > 0 ? authData : undefined }
    this.send(auth.encode({ rest: { reason, properties } }, versions.mqtt5))
  }

  #known(fields: Connect, login: Login, known: Known, authData: Buffer | undefined): void {
    const { namespace } = known
    const held = this.#registry.get(namespace, fields.clientId)
    if (held && fields.clientId !== '') {
      if (held.user !== known.user) throw new PacketError(reasons.clientIdInvalid, 'Another user has this identifier')
      held.takenOver()
    }
    const opened = open(this.#broker, this.#context, known, fields)
    const client = new Client(this.#clientHost(), opened.agreed)
    this.#registry.set(namespace, opened.agreed.clientId, this)
    this.#state = { kind: 'open', fields, login, known, client, opened }
    const accept = (): void => {
      if (this.#state.kind !== 'open' || this.#isOver) return
      this.#accepted(this.#state, authData)
    }
    if (opened.waits) this.#broker.sessions.whenSettled(accept)
    else accept()
  }

  /** Until CONNACK has left, what comes waits. */
  #isAccepted = false

  #accepted(state: State & { kind: 'open' }, authData: Buffer | undefined): void {
    const { opened, fields, known, login, client } = state
    const properties = {
      ...opened.properties,
      authMethod: login.method,
      authData: authData && authData.length > 0 ? authData : undefined,
    }
    this.#isAccepted = true
    this.#context.limits.frameBytesMax = this.#frameBytesMax
    const flags = opened.isPresent && fields.version > versions.mqtt31 ? 1 : 0
    this.send(connack.encode({ flags, reason: reasons.success, properties }, fields.version))
    if (opened.keepAliveSeconds > 0)
      this.#keepAlive = new KeepAlive(this.#context.clock, this.#outbox, opened.keepAliveSeconds, () => {
        this.fail(reasons.keepAliveTimeout)
      })
    this.#limitTime(known)
    this.#live = new MqttConnection({
      context: this.#context,
      traffic: this.traffic,
      outbox: this.#outbox,
      client,
      mechanism: known.proof,
      keepAliveSeconds: opened.keepAliveSeconds,
      close: reason => {
        this.#context.log('info', 'Connection closed by who looks after the broker', { reason })
        this.fail(reasons.administrative)
      },
    })
    this.#broker.connections.add(this.#live)
    client.begin()
    this.#catchUp()
  }

  #catchUp(): void {
    const later = this.#later
    this.#later = []
    this.#laterBytes = 0
    for (const { first, bytes } of later) this.receive({ first, bytes, at: 0, end: bytes.length, fault: undefined })
    this.#outbox.progress()
  }

  #clientHost(): ConstructorParameters<typeof Client>[0] {
    return {
      broker: this.#broker,
      outbox: this.#outbox,
      context: this.#context,
      send: bytes => this.send(bytes),
      fail: reason => this.fail(reason),
      pending: change => {
        this.#pending += change
        if (change < 0) this.#outbox.progress()
      },
    }
  }

  /** What a proof is worth ends with it. */
  #limitTime({ expiresMs, proof }: Known): void {
    this.#cancelExpiry?.()
    const { clock } = this.#context
    const { sessionMs } = this.#broker.identity.settings
    const left = expiresMs === undefined ? Infinity : Math.max(0, expiresMs - clock.nowMs())
    const lifetimeMs = Math.min(left, sessionMs === 0 || proof === 'none' ? Infinity : sessionMs)
    if (lifetimeMs === Infinity) return
    const endMs = clock.monotonicMs() + lifetimeMs
    const look = (): void => {
      const leftMs = endMs - clock.monotonicMs()
      if (leftMs <= 0) this.fail(reasons.connectTime)
      else this.#cancelExpiry = clock.after(Math.min(leftMs, waitMsMax), look)
    }
    look()
  }

  /** What is refused on the way is answered; anything else is a bug of ours. */
  #when<T>(promise: Promise<T>, then: (value: T) => void): void {
    promise
      .then(value => {
        if (!this.#isOver) then(value)
      })
      .catch((error: unknown) => {
        if (this.#isOver) return
        if (error instanceof BrokerError) return this.fail(reasonOfRefusal(error))
        if (error instanceof ProtocolError) return this.#fault(error)
        const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
        this.#context.log('error', 'Connection closed: a session failed', { stack })
        this.#close()
      })
  }

  // Closing

  #disconnected({ fields, client }: State & { kind: 'open' }, packet: Packet): void {
    const { rest } = disconnect.readBody(bodyOf(packet), fields.version, packet.first & 0xf)
    const { sessionExpiry } = rest.properties
    let { expiryMs } = client.agreed.state ?? { expiryMs: 0 }
    if (sessionExpiry !== undefined) {
      if ((fields.properties.sessionExpiry ?? 0) === 0 && sessionExpiry !== 0)
        throw violation('A session that was to end with its connection cannot be kept')
      expiryMs = expiryMsOf(this.#broker, sessionExpiry)
    }
    this.#leave(rest.reason !== reasons.success, expiryMs)
    this.#isOver = true
    // Who sees the connection end relies on it, whatever happens to the broker then: its will is not published.
    this.#broker.sessions.whenSettled(() => this.#outbox.close())
  }

  /** Tells the peer why, where its version can say so, and ends the connection. */
  fail(reason: Reason): void {
    if (this.#isOver) return
    const { remote } = this.#context
    this.#context.log('info', 'Connection closed', { remote, reason: `0x${reason.toString(16)}` })
    this.#tell(reason, undefined)
    this.#close()
  }

  #fault(error: ProtocolError): void {
    if (this.#isOver) return
    const { remote } = this.#context
    this.#context.log('info', 'Connection closed: the peer broke the protocol', { remote, reason: error.message })
    this.#tell(reasonOfFault(error), error.message)
    this.#close()
  }

  #tell(reason: Reason, text: string | undefined): void {
    const state = this.#state
    if (state.kind !== 'opening' && state.kind !== 'open') return
    const { version, properties } = state.fields
    const reasonString = properties.requestProblem === 0 ? undefined : text
    const is5 = version >= versions.mqtt5
    if (!this.#isAccepted) {
      const code = is5 ? reason : returnCode(reason)
      // A packet that is wrong in itself has no return code. [MQTT 3.1.1, 3.1.4]
      if (!is5 && (reason === reasons.malformed || reason === reasons.protocolError)) return
      this.send(connack.encode({ flags: 0, reason: code, properties: { reasonString } }, version))
    } else if (is5 && reason >= failureFrom) {
      this.send(disconnect.encode({ rest: { reason, properties: { reasonString } } }, version))
    }
  }

  takenOver(): void {
    if (this.#isOver) return
    this.#tell(reasons.takenOver, undefined)
    this.#leave(true, undefined)
    this.#close()
  }

  /** The broker stops. */
  leave(): void {
    if (this.#state.kind !== 'open' || this.#isOver) return
    this.#tell(reasons.shuttingDown, undefined)
    const { client } = this.#state
    // It is lost at the next start: its will and its time begin then.
    this.#isGone = client.agreed.state !== undefined
  }

  closed(): void {
    this.#statistics.closed()
    this.#isOver = true
    this.#leave(true, undefined)
    this.#state = { kind: 'closed' }
  }

  /** The session has been left, or must not be. */
  #isGone = false

  /** Once, whatever ends the connection. */
  #leave(isLost: boolean, expiryMs: number | undefined): void {
    const state = this.#state
    this.#cancelExpiry?.()
    this.#keepAlive?.stop()
    if (this.#live) this.#broker.connections.delete(this.#live)
    this.#live = undefined
    if (state.kind !== 'open') return
    const { client, opened } = state
    const { agreed } = client
    this.#state = { kind: 'closed' }
    this.#registry.delete(agreed.namespace, agreed.clientId, this)
    client.end()
    const session = agreed.state ?? opened.willKeeper
    try {
      if (session && !this.#isGone)
        this.#broker.sessions.leave(session, { expiryMs: expiryMs ?? session.expiryMs, isLost })
    } catch (error) {
      // On a full disk the session stays as it is until its client, or the next start, comes.
      if (!(error instanceof BrokerError)) throw error
      this.#context.log('warn', 'A session could not be left', { reason: error.message })
    }
  }

  #close(): void {
    this.#leave(true, undefined)
    this.#isOver = true
    this.#outbox.close()
  }

  send(bytes: Buffer): void {
    if (this.#isOver) return
    this.traffic.sentPackets++
    this.traffic.sentBytes += bytes.length
    this.#statistics.sentPackets++
    this.#outbox.write([bytes])
  }
}

const waitMsMax = 24 * 3_600_000

const bodyOf = ({ bytes, at, end }: Packet): Reader => new Reader(bytes, at, end)

/** A packet's bytes are only lent. */
function kept(fields: Connect): Connect {
  const { password, will, properties } = fields
  const { authData } = properties
  return {
    ...fields,
    password: password && Buffer.from(password),
    properties: { ...properties, authData: authData && Buffer.from(authData) },
    will: will && {
      ...will,
      payload: Buffer.from(will.payload),
      properties: {
        ...will.properties,
        correlationData: will.properties.correlationData && Buffer.from(will.properties.correlationData),
      },
    },
  }
}
