import assert from 'node:assert/strict'
import { ProtocolError, Reader, Writer } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import type { Operation, ResourceKind } from '../../core/identity/permissions.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import { Authentication } from './authentication.ts'
import { codes } from './errors.ts'
import { bareMessage, beginFrame, endFrame, noHeader, skipTaggedFields, type RequestFrame } from './framing.ts'
import type { Exchange, Handler } from './handlers/handler.ts'
import { versionRanges } from './handlers/18-api-versions.ts'
import { handlers as allHandlers } from './handlers/index.ts'
import { apis } from './messages/index.ts'
import { Usage } from './usage.ts'

/** A peer that does not read its answers gets no further ones while this many bytes wait for it. */
const outboxBytesMax = 4 * 1024 * 1024

/** Topics, partitions and the like that one request may name: each takes far more memory than the bytes that stand for it. */
const requestItemsMax = 500_000

/**
 * One connection of a Kafka client.
 *
 * Requests are begun as they come and answered strictly in their order; an answer that is ready early waits for those before it.
 * A request is put off, and with it all behind it, while too many are under way, while the peer does not read its answers, or
 * while an earlier bulky one (a fetch) is not yet written: so one connection holds the bytes of one large answer at most.
 *
 * Invariants: `#first` to `#last` are the requests begun and not yet written out, in order of arrival; nothing is put off
 * while nothing is under way.
 */
export class KafkaSession implements Session<RequestFrame> {
  readonly broker: Broker
  readonly context: SessionContext
  readonly authentication: Authentication
  readonly #outbox: Outbox
  readonly handlers: ReadonlyMap<number, Handler>
  #state: 'open' | 'closing' | 'closed' = 'open'
  #first: Pending | undefined
  #last: Pending | undefined
  #pending = 0
  /** Answers handed to the outbox whose bytes the system has not taken yet. */
  #unwritten = 0
  #bulky = 0
  feeds = false
  readonly #putOff: RequestFrame[] = []
  #goingOn = false
  #cancelWatch: (() => void) | undefined
  #mutedUntilMs = 0
  #cancelMute: (() => void) | undefined
  readonly #clientIds = new ClientIds()
  #atClose: Set<() => void> | undefined

  constructor(
    broker: Broker,
    outbox: Outbox,
    context: SessionContext,
    handlers: ReadonlyMap<number, Handler> = allHandlers,
  ) {
    this.broker = broker
    this.#outbox = outbox
    this.context = context
    this.handlers = handlers
    this.authentication = new Authentication(broker.identity, context, () => {
      this.disconnect('The client did not say who it is in time')
    })
  }

  get inFlight(): number {
    return this.#pending + this.#putOff.length + this.#unwritten
  }

  get muted(): boolean {
    return this.#cancelMute !== undefined
  }

  /** Begins no further request for so long: the client was told to wait. */
  mute(ms: number): void {
    const { clock } = this.context
    const untilMs = clock.monotonicMs() + ms
    if (ms === 0 || this.#state !== 'open' || untilMs <= this.#mutedUntilMs) return
    this.#mutedUntilMs = untilMs
    this.#cancelMute?.()
    this.#cancelMute = clock.after(ms, () => {
      this.#cancelMute = undefined
      this.#goOn()
    })
  }

  receive(frame: RequestFrame): void {
    if (this.#state !== 'open' || this.authentication.hasFailed) return // Frames already in flight when we closed.
    if (this.#putOff.length > 0 || !this.#mayBegin(frame)) this.#putOff.push(keep(frame))
    else this.#begin(frame)
  }

  closed(): void {
    this.#state = 'closed'
    this.authentication.closed()
    this.#cancelWatch?.()
    this.#cancelMute?.()
    this.#putOff.length = 0
    for (let pending = this.#first; pending !== undefined; pending = pending.next) pending.abandon()
    this.#first = this.#last = undefined
    this.#pending = 0
    for (const run of this.#atClose ?? []) run()
  }

  atClose(run: () => void): () => void {
    const entry = (): void => run()
    if (this.#state === 'closed') run()
    else (this.#atClose ??= new Set()).add(entry)
    return () => void this.#atClose?.delete(entry)
  }

  #mayBegin(frame: RequestFrame): boolean {
    if (this.#state !== 'open' || this.muted) return false
    if (this.#pending >= this.context.limits.requestsInFlightMax) return false
    if (this.#bulky > 0 && this.handlers.get(frame.apiKey)?.bulky === true) return false
    return this.#outbox.queuedBytes <= outboxBytesMax || this.#unwritten === 0
  }

  #begin(frame: RequestFrame): void {
    const { apiKey, apiVersion, correlationId, rest } = frame
    const { authentication } = this
    if (authentication.takesBare) return this.#proveBare(bareMessage(frame))
    const objection = authentication.objection(apiKey)
    if (objection !== undefined) return this.disconnect(objection)
    if (apiKey === noHeader) throw new ProtocolError('Cannot take a frame without a header')
    const handler = this.handlers.get(apiKey)
    if (handler === undefined) throw new ProtocolError(`Cannot take a request with api key ${apiKey}`)
    if (apiVersion < handler.versions[0] || apiVersion > handler.versions[1]) return this.#refuseVersion(frame, handler)
    const clientId = this.#clientIds.read(rest)
    if (apiVersion >= handler.flexible) skipTaggedFields(rest)
    const pending = new Pending(this, handler, apiVersion, correlationId, clientId)
    pending.usage = Usage.begin(this.broker.quotas, this.context.clock, rest.remaining)
    this.#append(pending)
    rest.itemsLeft = requestItemsMax
    handler.serve(pending, rest)
    pending.usage?.pause()
  }

  /**
   * A client asks for the versions in the newest form that it knows. If we do not know it, the answer in the oldest form lets
   * the client choose. Any other request in a version that was not offered is a breach.
   */
  #refuseVersion(frame: RequestFrame, handler: Handler): void {
    if (handler.key !== apis.apiVersions.key) {
      throw new ProtocolError(`Cannot take ${handler.name} in version ${frame.apiVersion}`)
    }
    const pending = new Pending(this, handler, 0, frame.correlationId, null)
    this.#append(pending)
    pending.reply({ errorCode: codes.unsupportedVersion, apiKeys: versionRanges(this.handlers) })
  }

  #append(pending: Pending): void {
    if (this.#last === undefined) this.#first = pending
    else this.#last.next = pending
    this.#last = pending
    this.#pending++
    if (pending.handler.bulky) this.#bulky++
    if (pending.handler.feeds) this.feeds = true
  }

  /** Writes out the answers at the head of the line. */
  flush(): void {
    if (this.#state !== 'open' || this.#first?.outcome === undefined) return
    for (let head: Pending | undefined = this.#first; head?.outcome !== undefined; head = this.#first) {
      this.#first = head.next
      if (this.#first === undefined) this.#last = undefined
      this.#pending--
      if (head.outcome === 'disconnected') return this.#close()
      this.#write(head)
      if (head.isLast) return this.#close()
    }
    this.watch()
    this.#goOn()
  }

  /** One timer for all deadlines of the connection: it is set for the oldest request, and looks again when it fires. */
  watch(): void {
    if (this.#cancelWatch || this.#first?.overdue === undefined || this.#state !== 'open') return
    const { clock } = this.context
    this.#cancelWatch = clock.after(Math.max(1, this.#first.deadlineMs - clock.monotonicMs()), () => {
      this.#cancelWatch = undefined
      const oldest = this.#first
      if (oldest?.overdue && clock.monotonicMs() >= oldest.deadlineMs) oldest.overdue()
      this.watch()
    })
  }

  #write({ handler, parts, written }: Pending): void {
    if (parts === undefined) {
      if (handler.bulky) this.#bulky--
      return
    }
    this.#unwritten++
    this.#outbox.write(parts, () => {
      written?.()
      this.#unwritten--
      if (handler.bulky) this.#bulky--
      this.#goOn()
    })
  }

  /** Begins what was put off and may now begin. Not from within itself: a request that is answered at once comes here again. */
  #goOn(): void {
    if (this.#goingOn) return
    this.#goingOn = true
    for (let [next] = this.#putOff; next !== undefined && this.#mayBegin(next); [next] = this.#putOff) {
      this.#putOff.shift()
      this.#beginPutOff(next)
    }
    this.#goingOn = false
    if (this.#state === 'open') this.#outbox.progress()
  }

  /** What breaks the protocol here cannot be thrown to the one who brought it. */
  #beginPutOff(frame: RequestFrame): void {
    try {
      this.#begin(frame)
    } catch (error) {
      if (error instanceof ProtocolError) this.disconnect(error.message)
      else this.fail(error)
    }
  }

  /** A message of SASL without headers is answered by one; a refusal can only be told by closing. */
  #proveBare(data: Buffer): void {
    const prove = async (): Promise<void> => {
      const { step, delayMs } = await this.authentication.next(data)
      if (this.#state !== 'open') return
      if (step.kind === 'failure') this.context.clock.after(delayMs, () => this.#close())
      else this.#outbox.write([lengthOf(step.data), step.data])
    }
    prove().catch((error: unknown) => this.fail(error))
  }

  disconnect(reason: string): void {
    this.context.log('info', 'Connection closed', { reason, remote: this.context.remote })
    this.#close()
  }

  fail(error: unknown): void {
    this.context.log('error', 'Request failed', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    this.#close()
  }

  #close(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#outbox.close()
  }
}

type Outcome = 'answered' | 'unanswered' | 'disconnected'

/** A request that was begun, in the line of its connection. */
class Pending implements Exchange<unknown> {
  readonly broker: Broker
  readonly connection: SessionContext
  readonly handlers: ReadonlyMap<number, Handler>
  readonly clientId: string | null
  readonly version: number
  readonly handler: Handler
  readonly #session: KafkaSession
  readonly #correlationId: number
  next: Pending | undefined = undefined
  outcome: Outcome | undefined = undefined
  parts: Buffer[] | undefined = undefined
  written: (() => void) | undefined = undefined
  cancel: (() => void) | undefined = undefined
  overdue: (() => void) | undefined = undefined
  deadlineMs = 0
  /** Undefined while nobody has a quota. */
  usage: Usage | undefined = undefined
  #holdBackMs = 0
  /** The connection closes behind the answer. */
  isLast = false
  #abandoned = false

  constructor(
    session: KafkaSession,
    handler: Handler,
    version: number,
    correlationId: number,
    clientId: string | null,
  ) {
    this.broker = session.broker
    this.connection = session.context
    this.handlers = session.handlers
    this.clientId = clientId
    this.version = version
    this.handler = handler
    this.#session = session
    this.#correlationId = correlationId
  }

  get principal(): string {
    return this.authentication.access.principal
  }

  may(operation: Operation, kind: ResourceKind, name: string): boolean {
    return this.authentication.access.may(operation, kind, name)
  }

  mayAny(operation: Operation, kind: ResourceKind): boolean {
    return this.authentication.access.mayAny(operation, kind)
  }

  get authentication(): Authentication {
    return this.#session.authentication
  }

  replyLast(answer: unknown): void {
    this.isLast = true
    this.reply(answer)
  }

  reply(answer: unknown, written?: () => void): void {
    if (this.#abandoned) return written?.()
    assert(this.outcome === undefined, 'A request is answered once')
    this.written = written
    try {
      this.parts = this.#encode(answer)
    } catch (error) {
      // An answer that cannot be put into this version must not reach the one who called: the cell, say.
      this.fail(error)
      return written?.()
    }
    this.#end('answered')
  }

  answerWithin(delayMs: number, run: () => void): void {
    if (this.outcome !== undefined || this.#abandoned) return
    this.deadlineMs = this.connection.clock.monotonicMs() + delayMs
    this.overdue = run
    this.#session.watch()
  }

  atClose(run: () => void): () => void {
    return this.#session.atClose(run)
  }

  replyNothing(): void {
    if (this.#abandoned) return
    this.#session.mute(this.#countUse(0))
    this.#end('unanswered')
  }

  holdBack(ms: number): void {
    this.#holdBackMs = Math.max(this.#holdBackMs, ms)
  }

  /** Who exceeds a quota is told for how long, and not listened to for that time. */
  #encode(answer: unknown): Buffer[] {
    this.usage?.resume()
    const parts = encodeAnswer(this.handler, this.version, this.#correlationId, answer)
    const throttleTimeMs = this.#countUse(parts.reduce((sum, part) => sum + part.length, 0))
    if (throttleTimeMs === 0) return parts
    this.#session.mute(throttleTimeMs)
    const told = Object.assign({}, answer, { throttleTimeMs })
    return encodeAnswer(this.handler, this.version, this.#correlationId, told)
  }

  /** Whole milliseconds for which the client is to be held back. */
  #countUse(answerBytes: number): number {
    const { principal: user, clientId: client, handler } = this
    const usedMs = this.usage?.end({ user, client }, handler.counts, answerBytes) ?? 0
    return Math.min(0x7fff_ffff, Math.ceil(Math.max(this.#holdBackMs, usedMs)))
  }

  disconnect(reason: string): void {
    if (this.#abandoned) return
    this.connection.log('info', 'Connection closed', { reason, remote: this.connection.remote })
    this.#end('disconnected')
  }

  fail(error: unknown): void {
    if (!this.#abandoned) this.#session.fail(error)
  }

  /** The connection is gone. */
  abandon(): void {
    this.#abandoned = true
    if (this.outcome === undefined) this.cancel?.()
    else this.written?.()
  }

  #end(outcome: Outcome): void {
    assert(this.outcome === undefined, 'A request is answered once')
    this.outcome = outcome
    this.cancel = undefined
    this.overdue = undefined
    this.#session.flush()
  }
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return length
}

function encodeAnswer(handler: Handler, version: number, correlationId: number, answer: unknown): Buffer[] {
  const out = new Writer()
  beginFrame(out)
  out.i32(correlationId)
  if (version >= handler.flexible && handler.key !== apis.apiVersions.key) out.u8(0)
  handler.answer.write(out, answer, version)
  return endFrame(out)
}

/** The client id hardly ever changes on a connection: one string serves for all requests. */
class ClientIds {
  #bytes: Buffer = Buffer.alloc(0)
  #text: string | null = ''

  read(reader: Reader): string | null {
    const length = reader.i16()
    if (length === -1) return null
    const bytes = reader.bytes(length)
    if (!bytes.equals(this.#bytes)) {
      this.#bytes = Buffer.from(bytes)
      this.#text = bytes.toString()
    }
    return this.#text
  }
}

/** A copy that outlives `receive`. */
function keep(frame: RequestFrame): RequestFrame {
  const bytes = Buffer.from(bareMessage(frame))
  return { ...frame, rest: new Reader(bytes, bytes.length - frame.rest.remaining) }
}
