import { ProtocolError, Reader } from '@dragoman/wire'
import { Ring } from '../../core/cursor/ring.ts'
import type { ChannelInfo } from '../../core/connections.ts'
import type { Connection } from './connection.ts'
import { AmqpException, asException } from './errors.ts'
import { frameTypes } from './framing.ts'
import { basicClassId, basicPublish, contentHeaderHeadBytes } from './messages/basic.ts'
import { channelClose, channelCloseOk } from './messages/channel.ts'
import { methodsById } from './messages/index.ts'
import type { Method } from './messages/method.ts'
import { Basic } from './basic.ts'
import { handlers } from './handlers/index.ts'

/** A frame that waits for a request before it to end: its bytes are its own. */
interface Later {
  readonly type: number
  readonly payload: Buffer
}

/** Of each, besides its payload. */
const laterOverhead = 128

type State =
  | 'open'
  /** We have closed it; only the peer's close-ok is listened to. */
  | 'closing'
  | 'closed'

/**
 * One channel, from its open on.
 *
 *   open --channel exception--> closing --close-ok--> closed
 *   open --close--> closed
 *
 * Methods are carried out in their order. One that has to become durable, or to read from the disk, holds up those behind it: answers leave in the
 * order of the methods, and what comes behind a refusal is not looked at. Messages and acknowledgements wait for nothing.
 *
 * Invariant: `#later` is empty unless `#isBlocked`.
 */
export class Channel {
  readonly number: number
  readonly connection: Connection
  /** What the channel has of the classes basic, confirm and tx. */
  readonly basic: Basic
  /** Named by methods that leave the name of the queue empty. */
  lastQueue: string | undefined
  #state: State = 'open'
  #isBlocked = false
  readonly #later = new Ring<Later>()
  /** A method is being carried out; with `#isBlocked`, until it is durable. */
  #isBusy = false
  #behind: (() => void)[] = []
  /** What must come next: a method, or the rest of a message. */
  #expects: 'method' | 'header' | 'body' = 'method'
  /** Of a message's body. */
  #bodyBytesLeft = 0

  constructor(connection: Connection, number: number) {
    this.connection = connection
    this.number = number
    this.basic = new Basic(this)
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Methods wait for one before them. */
  get isBlocked(): boolean {
    return this.#isBlocked
  }

  /** For who looks after the broker. */
  get info(): ChannelInfo {
    const { consumers: _count, ...statistics } = this.basic.statistics
    const state = this.#state === 'open' ? 'running' : 'closing'
    return { number: this.number, state, ...statistics, consumers: () => this.basic.consumers }
  }

  /** A method to the peer, unless the channel is over. */
  send<W>(method: Method<unknown, W>, fields: W): void {
    if (this.#state === 'open') this.connection.send(this.number, method, fields)
  }

  /** Runs `then` behind the answer to the method that is being carried out; at once when there is none. */
  behindAnswer(then: () => void): void {
    if (this.#isBusy) this.#behind.push(then)
    else then()
  }

  /** Takes a frame. `payload` is valid only during the call. */
  receive(type: number, payload: Buffer): void {
    if (this.#state !== 'open') return this.#afterClose(type, payload)
    if (!this.#isBlocked) return this.#take(type, payload)
    this.#later.push({ type, payload: Buffer.from(payload) })
    this.connection.waiting(0, laterBytes(payload))
  }

  /** Ends the channel, or the connection, as the error demands. */
  fail(error: unknown, failed: Method | undefined): void {
    if (this.#state !== 'open') return
    const exception = asException(error)
    if (!exception) return this.connection.broken(error)
    if (exception.closes === 'connection') return this.connection.fail(exception, failed)
    this.send(channelClose, {
      replyCode: exception.code,
      replyText: exception.text,
      classId: failed?.classId ?? 0,
      methodId: failed?.methodId ?? 0,
    })
    this.#end('closing')
  }

  /** Releases all that the channel holds. Of no effect when it has ended. */
  end(): void {
    if (this.#state === 'open') this.#end('closed')
    else this.#state = 'closed'
  }

  #end(state: State): void {
    this.#state = state
    this.basic.end()
    // The peer may have closed it before it knew.
    for (let next = this.#shift(); next; next = this.#shift())
      if (state === 'closing') this.#afterClose(next.type, next.payload)
  }

  #afterClose(type: number, payload: Buffer): void {
    if (type !== frameTypes.method || payload.length < 4) return
    const id = payload.readUInt32BE(0)
    // Both sides have closed at the same time.
    if (id === channelClose.id) return this.connection.send(this.number, channelCloseOk, {})
    if (id !== channelCloseOk.id) return
    this.#state = 'closed'
    this.connection.channelClosed(this.number)
  }

  #take(type: number, payload: Buffer): void {
    // Whatever comes in the middle of a message, it is that message which fails.
    const inMessage = this.#expects === 'method' ? undefined : basicPublish
    try {
      if (type === frameTypes.method) this.#method(payload)
      else if (type === frameTypes.header) this.#header(payload)
      else this.#body(payload)
    } catch (error) {
      this.fail(inWords(error, type), inMessage ?? (type === frameTypes.method ? methodOf(payload) : undefined))
    }
  }

  #method(payload: Buffer): void {
    if (this.#expects !== 'method') throw unexpected(this.#expects)
    const method = methodOf(payload)
    const handle = method && handlers.get(method.id)
    if (!method || !handle) throw unknownMethod(payload, method)
    const reader = new Reader(payload, 4)
    const fields: unknown = method.codec.read(reader)
    reader.expectEnd()
    if (method.hasContent) this.#expects = 'header'
    this.#isBusy = true
    try {
      const pending = handle(this, fields as never)
      if (pending) this.#block(pending, method)
    } finally {
      if (!this.#isBlocked) this.#answered()
    }
  }

  #answered(): void {
    this.#isBusy = false
    if (this.#behind.length === 0) return
    for (const then of this.#behind.splice(0)) then()
  }

  #header(payload: Buffer): void {
    if (this.#expects !== 'header') throw unexpected(this.#expects)
    if (payload.length < contentHeaderHeadBytes) throw new ProtocolError('the header of the message is cut off')
    const classId = payload.readUInt16BE(0)
    if (classId !== basicClassId) {
      throw new AmqpException(
        'unexpectedFrame',
        `expected content header for class ${basicClassId}, got one for class ${classId} instead`,
      )
    }
    const high = payload.readUInt32BE(4)
    const bodyBytes = high * 2 ** 32 + payload.readUInt32BE(8)
    this.#bodyBytesLeft = bodyBytes
    this.#expects = bodyBytes === 0 ? 'method' : 'body'
    this.basic.header(bodyBytes, payload.subarray(contentHeaderHeadBytes))
    if (bodyBytes === 0) this.#published()
  }

  #body(payload: Buffer): void {
    if (this.#expects !== 'body') throw unexpected(this.#expects)
    const left = this.#bodyBytesLeft - payload.length
    if (left < 0)
      throw new AmqpException('frameError', `the body of the message has ${-left} bytes more than its header says`)
    this.#bodyBytesLeft = left
    if (left === 0) this.#expects = 'method'
    this.basic.body(payload, left)
    if (left === 0) this.#published()
  }

  /** Others have their turn when messages of this one have gone to many places. */
  #published(): void {
    const rest = this.basic.publishing.rest()
    if (rest && this.#state === 'open') this.#block(rest, basicPublish)
  }

  /** Holds up what is behind until `pending` settles. */
  #block(pending: Promise<void>, method: Method): void {
    this.#isBlocked = true
    this.connection.waiting(1, 0)
    pending.then(
      () => this.#unblock(),
      (error: unknown) => {
        this.fail(error, method)
        this.#unblock()
      },
    )
  }

  #unblock(): void {
    this.#isBlocked = false
    this.#answered()
    for (let next = this.#shift(); next; next = this.#isBlocked ? undefined : this.#shift()) {
      if (this.#state === 'open') this.#take(next.type, next.payload)
      else this.#afterClose(next.type, next.payload)
    }
    this.connection.waiting(-1, 0)
  }

  /** The next one that waits. */
  #shift(): Later | undefined {
    const next = this.#later.shift()
    if (next) this.connection.waiting(0, -laterBytes(next.payload))
    return next
  }
}

/** What a frame that waits takes in memory. */
const laterBytes = (payload: Buffer): number => laterOverhead + payload.length

const methodOf = (payload: Buffer): Method | undefined =>
  payload.length < 4 ? undefined : methodsById.get(payload.readUInt32BE(0))

/** What is malformed ends the connection. */
function inWords(error: unknown, type: number): unknown {
  if (!(error instanceof ProtocolError)) return error
  return new AmqpException(type === frameTypes.method ? 'frameError' : 'syntaxError', error.message)
}

const expected = {
  method: 'expected method frame, got non method frame instead',
  header: `expected content header for class ${basicClassId}, got non content header frame instead`,
  body: 'expected content body, got non content body frame instead',
} as const

const unexpected = (expects: keyof typeof expected): AmqpException =>
  new AmqpException('unexpectedFrame', expected[expects])

function unknownMethod(payload: Buffer, method: Method | undefined): AmqpException {
  if (payload.length < 4) return new AmqpException('frameError', 'a method frame has at least four bytes')
  if (method) return new AmqpException('commandInvalid', `${method.name} is not for a client to send on a channel`)
  const [classId, methodId] = [payload.readUInt16BE(0), payload.readUInt16BE(2)]
  return new AmqpException('notImplemented', `there is no method ${methodId} of class ${classId}`)
}
