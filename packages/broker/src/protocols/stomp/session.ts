import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import type { ChannelInfo, ConnectionInfo } from '../../core/connections.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import { Traffic } from '../live-connection.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import type { Connection } from './connection.ts'
import { Consuming } from './consuming.ts'
import { asStompError, StompError } from './errors.ts'
import { headBytesMax, type Packet } from './framing.ts'
import { escaped, Headers, readHeaders, shown, type Version } from './headers.ts'
import { agreedBeats, Heartbeat } from './heartbeat.ts'
import { agreedVersion, enter, login, namespaceOf, type Known } from './login.ts'
import { isCommand, type CommandName } from './messages.ts'
import { Publishing, type Outgoing } from './publishing.ts'
import { flagOf } from './queue-options.ts'
import { Receipts } from './receipts.ts'
import { owned } from './scheduling.ts'
import { StompConnection } from './stomp-connection.ts'
import type { Outcome } from './subscription.ts'
import { Transactions } from './transaction.ts'

/** A client has so long to connect. */
const connectMs = 10_000
/** Bytes that may wait behind a frame that is not done yet. */
const laterBytesMax = 1024 * 1024
/** Receipts that wait for the disk: who asks for more of them is not read. */
const receiptBytesMax = 4 * 1024 * 1024
const sessionIdBytes = 9
/** Timers look again after this. */
const waitMsMax = 24 * 3_600_000
/** Of the frame that was wrong, so much is told. */
const shownHeadMax = 1024

type State = 'new' | 'connecting' | 'open' | 'closed'

interface Frame {
  readonly head: Buffer
  readonly body: Buffer
}

/**
 * One connection.
 *
 *   new --CONNECT--> connecting --CONNECTED--> open --DISCONNECT, ERROR, end of the socket--> closed
 *
 * Frames are carried out in their order. One that has to become durable first, or to wait for something else, holds up those behind it; messages and
 * acknowledgements wait for nothing. Whatever goes wrong is told by an ERROR frame, and ends the connection.
 *
 * Invariant: `#later` is empty unless `#isBlocked`.
 */
export class StompSession implements Session<Packet>, Connection {
  readonly broker: Broker
  readonly context: SessionContext
  readonly owner = {}
  readonly sessionId: string
  readonly traffic = new Traffic()
  version: Version = '1.2'
  namespace = homeNamespace
  clientId: string | undefined
  heartbeatMs = 0
  feeds = false
  readonly #outbox: Outbox
  readonly #publishing: Publishing
  readonly #consuming: Consuming
  readonly #transactions: Transactions
  readonly #receipts: Receipts
  readonly #bodyBytesMax: number
  #state: State = 'new'
  #known: Known = { user: anonymous, proof: 'none', expiresMs: undefined }
  #access: Access
  #heartbeat: Heartbeat | undefined
  #live: ConnectionInfo | undefined
  #cancelTimeout: (() => void) | undefined
  #isBlocked = false
  #later: Frame[] = []
  #laterBytes = 0

  constructor(broker: Broker, outbox: Outbox, context: SessionContext) {
    this.broker = broker
    this.context = context
    this.#outbox = outbox
    const { clock, limits, remote, random } = context
    this.sessionId = `session-${random.bytes(sessionIdBytes).toString('base64url')}`
    this.#bodyBytesMax = Math.min(limits.frameBytesMax, broker.limits.messageBytesMax)
    // Who has not said who they are has nothing to send that is large.
    limits.frameBytesMax = Math.min(this.#bodyBytesMax, headBytesMax)
    this.#access = broker.identity.access(anonymous, 'none', remote.host)
    this.#consuming = new Consuming(this)
    this.#publishing = new Publishing(this, this.#consuming)
    this.#transactions = new Transactions(this, this.#publishing)
    this.#receipts = new Receipts(broker, frames => this.write([frames]))
    this.#cancelTimeout = clock.after(connectMs, () => {
      this.fail(new StompError('connection_timeout', `No CONNECT frame has come within ${connectMs} ms`))
    })
  }

  get user(): string {
    return this.#known.user
  }
  get mechanism(): string {
    return this.#known.proof
  }
  get rights(): NamespaceAccess {
    return this.broker.identity.inNamespace(this.#access, this.namespace)
  }
  get queuedBytes(): number {
    return this.#outbox.queuedBytes
  }
  get inFlight(): number {
    return this.#isBlocked ? 1 : 0
  }
  get muted(): boolean {
    return this.#laterBytes > laterBytesMax || this.#receipts.pendingBytes > receiptBytesMax
  }
  get state(): ConnectionInfo['state'] {
    return this.#state === 'open' ? 'running' : 'closing'
  }
  get channel(): ChannelInfo {
    const { infos, heldCount: unacked } = this.#consuming
    const unconfirmed = this.#receipts.pendingCount
    const none = { prefetchCount: 0, globalPrefetchCount: 0, uncommitted: 0, confirms: false, transactional: false }
    return { number: 1, state: 'running', ...none, unacked, unconfirmed, consumers: () => infos }
  }

  receive(packet: Packet): void {
    this.traffic.receivedPackets++
    if (this.#state === 'closed' || packet.kind === 'beat') return
    if (packet.kind === 'fault')
      return this.#fail(new StompError('malformed frame received', packet.problem), packet.head)
    this.traffic.receivedBytes += packet.head.length + packet.body.length
    if (!this.#isBlocked) return this.#take(packet)
    this.#later.push({ head: Buffer.from(packet.head), body: Buffer.from(packet.body) })
    this.#laterBytes += packet.head.length + packet.body.length
  }

  /** The broker stops. */
  leave(): void {
    if (this.#state !== 'open') return
    this.#block(
      this.settled().then(() => this.fail(new StompError('shutdown', 'The broker is shutting down'))),
      noFrame,
    )
  }

  closed(): void {
    this.#end()
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    if (this.#state === 'closed') return
    const { traffic } = this
    traffic.sentPackets++
    for (const part of parts) traffic.sentBytes += part.length
    this.#outbox.write(parts, written)
  }

  settled(): Promise<void> {
    return new Promise(resolve => this.broker.work.whenDurable(resolve))
  }

  fail(error: unknown): void {
    this.#fail(error, noBytes)
  }

  #take(frame: Frame): void {
    let headers: Headers | undefined
    try {
      const opens = this.#state === 'new'
      const found = readHeaders(frame.head, this.version, opens)
      headers = found.headers
      const pending = opens ? this.#connect(found.command, headers) : this.#carryOut(found.command, headers, frame.body)
      if (pending) this.#block(pending, frame, headers)
    } catch (error) {
      this.#fail(error, frame.head, headers)
    }
  }

  #carryOut(command: string, headers: Headers, body: Buffer): Promise<unknown> | undefined {
    if (!isCommand(command)) throw new StompError('Bad command', `There is no command ${shown(command)}`)
    if (command === 'SEND') return this.#send(headers, body)
    if (command === 'DISCONNECT') return this.#disconnect(headers)
    const pending = this.#handlers[command](headers)
    const receipt = headers.raw('receipt')
    if (pending) return pending.then(() => this.#acknowledge(receipt))
    this.#acknowledge(receipt)
    return undefined
  }

  /** All that was decided will be durable when the client hears of it. */
  #acknowledge(receipt: string | undefined): void {
    if (receipt !== undefined) this.#receipts.afterAll(receipt)
  }

  readonly #handlers: Readonly<
    Record<Exclude<CommandName, 'SEND' | 'DISCONNECT'>, (headers: Headers) => Promise<unknown> | undefined>
  > = {
    CONNECT: () => {
      throw new StompError('Already connected', 'The connection is open already')
    },
    STOMP: () => {
      throw new StompError('Already connected', 'The connection is open already')
    },
    SUBSCRIBE: headers => this.#consuming.subscribe(headers),
    UNSUBSCRIBE: headers => this.#consuming.unsubscribe(headers),
    ACK: headers => this.#settle(headers, 'ack'),
    NACK: headers => this.#settle(headers, flagOf(headers, 'requeue') === false ? 'drop' : 'requeue'),
    BEGIN: headers => this.#transactions.begin(transactionOf(headers)),
    COMMIT: headers => this.#transactions.commit(transactionOf(headers)),
    ABORT: headers => this.#transactions.abort(transactionOf(headers)),
  }

  #settle(headers: Headers, outcome: Outcome): undefined {
    const message = this.#consuming.named(headers)
    const transaction = headers.get('transaction')
    if (transaction === undefined) this.#consuming.settle(message, outcome)
    else this.#transactions.settle(transaction, () => this.#consuming.settle(message, outcome))
    return undefined
  }

  #send(headers: Headers, body: Buffer): Promise<unknown> | undefined {
    this.feeds = true
    const outgoing = this.#publishing.read(headers, body)
    const making = this.#publishing.prepare(outgoing)
    if (!making) return this.#sendNow(headers, outgoing)
    const kept = { ...outgoing, message: owned(outgoing.message) }
    return making.then(() => this.#sendNow(headers, kept))
  }

  #sendNow(headers: Headers, outgoing: Outgoing): Promise<unknown> | undefined {
    const receipt = headers.raw('receipt')
    const transaction = headers.get('transaction')
    if (transaction !== undefined) {
      this.#transactions.send(transaction, outgoing)
      this.#acknowledge(receipt)
      return undefined
    }
    const result = this.#publishing.send(outgoing)
    if (typeof result !== 'number') return result.then(() => this.#acknowledge(receipt))
    if (receipt !== undefined) this.#receipts.after(result, receipt)
    return undefined
  }

  /** The client goes: what it has sent before is done, and it hears of that. */
  async #disconnect(headers: Headers): Promise<void> {
    const receipt = headers.raw('receipt')
    this.#consuming.end()
    await this.settled()
    if (this.#state !== 'open') return
    if (receipt !== undefined) this.write([Buffer.from(`RECEIPT\nreceipt-id:${receipt}\n\n\0`)])
    this.#close()
  }

  #connect(command: string, given: Headers): Promise<unknown> | undefined {
    if (command !== 'CONNECT' && command !== 'STOMP') {
      throw new StompError('Not connected', `Expected CONNECT or STOMP, got ${shown(command)}`)
    }
    this.#state = 'connecting'
    const version = agreedVersion(given)
    this.version = version
    const headers = new Headers(given.lines, version, false)
    const beats = agreedBeats(version === '1.0' ? undefined : headers.get('heart-beat'))
    this.namespace = namespaceOf(this.broker, headers.get('host'))
    this.clientId = headers.get('client-id')
    return login(this.broker, this.context, headers).then(known => {
      if (this.#state !== 'connecting') return
      this.#known = known
      this.#access = enter(this.broker, known, this.namespace, this.context.remote.host)
      this.#open(headers, beats)
    })
  }

  #open(headers: Headers, beats: ReturnType<typeof agreedBeats>): void {
    this.#state = 'open'
    this.context.limits.frameBytesMax = this.#bodyBytesMax
    this.#cancelTimeout?.()
    this.#expire()
    const { sendMs, expectMs } = beats
    const receipt = headers.get('receipt')
    const lines = [
      `version:${this.version}`,
      `session:${this.sessionId}`,
      'server:Dragoman/1.0',
      ...(this.version === '1.0' ? [] : [`heart-beat:${sendMs},${expectMs}`]),
      ...(receipt === undefined ? [] : [`receipt-id:${receipt}`]),
    ]
    this.write([Buffer.from(`CONNECTED\n${lines.join('\n')}\n\n\0`)])
    this.#live = new StompConnection(this)
    this.broker.connections.add(this.#live)
    this.heartbeatMs = expectMs
    this.#heartbeat = new Heartbeat(beats, this.context.clock, {
      traffic: this.traffic,
      isReading: () => this.#outbox.isReading,
      beat: () => this.write([beat]),
      missed: () => this.fail(new StompError('heart-beat_timeout', `Nothing has come for twice ${expectMs} ms`)),
    })
  }

  /** A proof of who the client is may not be worth anything for ever. */
  #expire(): void {
    const { clock } = this.context
    const { expiresMs, proof } = this.#known
    const { sessionMs } = this.broker.identity.settings
    const left = expiresMs === undefined ? Infinity : Math.max(0, expiresMs - clock.nowMs())
    const lifetimeMs = Math.min(left, sessionMs === 0 || proof === 'none' ? Infinity : sessionMs)
    if (lifetimeMs === Infinity) return
    const endMs = clock.monotonicMs() + lifetimeMs
    const look = (): void => {
      const leftMs = endMs - clock.monotonicMs()
      if (leftMs <= 0) return this.fail(new StompError('access_refused', 'The login has expired'))
      this.#cancelTimeout = clock.after(Math.min(leftMs, waitMsMax), look)
    }
    look()
  }

  /** Holds up what is behind until `pending` settles. */
  #block(pending: Promise<unknown>, { head }: Frame, headers?: Headers): void {
    this.#isBlocked = true
    const kept = Buffer.from(head)
    pending.then(
      () => this.#unblock(),
      (error: unknown) => {
        this.#fail(error, kept, headers)
        this.#unblock()
      },
    )
  }

  #unblock(): void {
    this.#isBlocked = false
    const later = this.#later
    this.#later = []
    this.#laterBytes = 0
    for (const [index, frame] of later.entries()) {
      if (this.#state === 'closed') break
      if (this.#isBlocked) {
        this.#later = later.slice(index)
        for (const { head, body } of this.#later) this.#laterBytes += head.length + body.length
        break
      }
      this.#take(frame)
    }
    this.#outbox.progress()
  }

  #fail(error: unknown, head: Buffer, headers?: Headers): void {
    if (this.#state === 'closed') return
    const { remote } = this.context
    const told = asStompError(error) ?? this.#broken(error)
    this.context.log('info', 'Connection ended by an error', { remote, title: told.title, reason: told.message })
    const isOpen = this.#state === 'open'
    const lines = [
      `message:${escaped(told.title, this.version)}`,
      // With the charset, as one client fails at the bare type.
      'content-type:text/plain;charset=utf-8',
      ...Object.entries(told.headers).map(([name, value]) => `${name}:${value}`),
    ]
    const receipt = isOpen ? headers?.raw('receipt') : undefined
    if (receipt !== undefined) lines.push(`receipt-id:${receipt}`)
    const body = Buffer.from(`${told.message}\n${offending(head)}`)
    lines.push(`content-length:${body.length}`)
    this.write([Buffer.from(`ERROR\n${lines.join('\n')}\n\n`), body, nul])
    this.#close()
  }

  #broken(error: unknown): StompError {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.context.log('error', 'Connection closed: a frame failed', { remote: this.context.remote, stack })
    return new StompError('internal_error', 'The broker failed at this, and has written why to its log')
  }

  #close(): void {
    this.#end()
    this.#outbox.close()
    this.#outbox.progress()
  }

  /** Queues that belong to the connection go with it. */
  #end(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#cancelTimeout?.()
    this.#heartbeat?.stop()
    this.#consuming.end()
    if (this.#live) this.broker.connections.delete(this.#live)
    this.broker.queues.release(this.owner)
    this.#later = []
    this.#laterBytes = 0
  }
}

const noBytes = Buffer.alloc(0)
const noFrame: Frame = { head: noBytes, body: noBytes }
const nul = Buffer.alloc(1)
const beat = Buffer.from('\n')

/** What the client has sent, without what it wants to be secret. */
function offending(head: Buffer): string {
  if (head.length === 0) return ''
  const lines = head.toString('utf8', 0, shownHeadMax).replaceAll('\0', '').split('\n')
  const shownLines = lines.map(line => (line.startsWith('passcode:') ? 'passcode:[hidden]' : line.trimEnd()))
  return `-----\n${shownLines.join('\n')}\n-----\n`
}

function transactionOf(headers: Headers): string {
  const name = headers.get('transaction')
  if (name === undefined) throw new StompError('missing_header', 'The frame needs the header transaction')
  return name
}
