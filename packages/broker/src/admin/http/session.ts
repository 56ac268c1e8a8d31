import type { Outbox, Session, SessionContext } from '../../protocols/protocol.ts'
import type { Packet } from './framing.ts'
import { jsonAnswer, reasons, type Answer, type Request } from './message.ts'

/** Who serves requests. One for each broker. */
export interface Site<Visitor> {
  /** Decides who asks, before the body is taken. A refusal is an answer, which may be held back to make guessing slow. */
  admit(request: Request, context: SessionContext): Promise<{ visitor: Visitor } | { answer: Answer; holdMs: number }>
  /** Never rejects for what the client asks; what it rejects with is our bug. */
  serve(request: Request, body: Buffer, visitor: Visitor, context: SessionContext): Promise<Answer>
}

/** A body may be so large before it is known who sends it. */
const strangerBodyBytesMax = 256 * 1024
/** A connection on which nothing is asked for is closed. */
const idleMs = 60_000

interface Exchange {
  readonly request: Request
  body: Buffer | undefined
}

/**
 * One connection. Requests are served one after the other, in their order.
 *
 * Invariant: `#exchanges[0]` is being served; of the others, at most the heads and bodies that had arrived with it are kept.
 */
export class HttpSession<Visitor> implements Session<Packet> {
  readonly #site: Site<Visitor>
  readonly #outbox: Outbox
  readonly #context: SessionContext
  readonly #bodyBytesMax: number
  readonly #exchanges: Exchange[] = []
  #arrived: (() => void) | undefined
  #isServing = false
  /** Nothing that comes is taken any more: the connection closes behind the last answer. */
  #isEnding = false
  #isClosed = false
  #broken: Answer | undefined
  #cancelIdle: (() => void) | undefined
  /** Whoever sends a body is not read until it is known who it is. */
  muted = false
  readonly feeds = false

  constructor(site: Site<Visitor>, outbox: Outbox, context: SessionContext) {
    this.#site = site
    this.#outbox = outbox
    this.#context = context
    this.#bodyBytesMax = context.limits.frameBytesMax
    context.limits.frameBytesMax = Math.min(strangerBodyBytesMax, this.#bodyBytesMax)
  }

  get inFlight(): number {
    return this.#exchanges.length
  }

  receive(packet: Packet): void {
    if (this.#isClosed || this.#isEnding) return
    switch (packet.kind) {
      case 'head':
        this.#cancelIdle?.()
        this.#exchanges.push({ request: packet.request, body: undefined })
        this.muted = packet.request.bodyBytes !== 0
        this.#context.limits.frameBytesMax = Math.min(strangerBodyBytesMax, this.#bodyBytesMax)
        if (!this.#isServing) this.#serveAll()
        return
      case 'body': {
        const last = this.#exchanges.at(-1)
        if (last) last.body = packet.body
        this.muted = false
        this.#arrived?.()
        return
      }
      case 'broken':
        this.#isEnding = true
        this.#broken = errorAnswer(packet.status, packet.reason)
        this.#arrived?.()
        if (!this.#isServing) this.#finish()
        return
    }
  }

  closed(): void {
    this.#isClosed = true
    this.#cancelIdle?.()
    this.#arrived?.()
  }

  #serveAll(): void {
    this.#isServing = true
    this.#run().catch((error: unknown) => {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
      this.#context.log('error', 'A request failed', { stack })
      if (this.#isClosed) return
      this.#write(errorAnswer(500, 'the broker has failed to answer; its log tells more'), 'GET', false)
      this.#outbox.close()
    })
  }

  async #run(): Promise<void> {
    for (let [exchange] = this.#exchanges; exchange && !this.#isClosed; [exchange] = this.#exchanges) {
      const answer = await this.#answer(exchange)
      if (this.#isClosed) return
      if (!answer) break
      const { request } = exchange
      // Whoever was refused before all of the body came would have the rest of it taken for a request.
      const keepsAlive = request.keepsAlive && exchange.body !== undefined
      this.#write(answer, request.method, keepsAlive)
      this.#exchanges.shift()
      if (!keepsAlive) return this.#end()
      this.#outbox.progress()
    }
    this.#isServing = false
    if (this.#isEnding) return this.#finish()
    this.#cancelIdle = this.#context.clock.after(idleMs, () => this.#end())
  }

  /** Undefined when the request has turned out to be broken. */
  async #answer(exchange: Exchange): Promise<Answer | undefined> {
    const { request } = exchange
    const admitted = await this.#site.admit(request, this.#context)
    if (this.#isClosed) return undefined
    if ('answer' in admitted) {
      if (admitted.holdMs > 0) await this.#wait(admitted.holdMs)
      return admitted.answer
    }
    if (request.bodyBytes !== undefined && request.bodyBytes > this.#bodyBytesMax) {
      return errorAnswer(413, `the body of a request has at most ${this.#bodyBytesMax} bytes`)
    }
    if (exchange.body === undefined && !this.#isEnding) await this.#body(exchange)
    return exchange.body && (await this.#site.serve(request, exchange.body, admitted.visitor, this.#context))
  }

  async #body(exchange: Exchange): Promise<void> {
    this.#context.limits.frameBytesMax = this.#bodyBytesMax
    if (exchange.request.expectsContinue) this.#outbox.write([Buffer.from('HTTP/1.1 100 Continue\r\n\r\n')])
    this.muted = false
    this.#outbox.progress()
    await new Promise<void>(resolve => (this.#arrived = resolve))
    this.#arrived = undefined
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise(resolve => void this.#context.clock.after(delayMs, resolve))
  }

  #finish(): void {
    if (this.#broken) this.#write(this.#broken, 'GET', false)
    this.#end()
  }

  #end(): void {
    this.#isEnding = true
    this.#exchanges.length = 0
    this.#outbox.close()
  }

  #write({ status, headers = {}, body = '' }: Answer, method: string, keepsAlive: boolean): void {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const hasLength = status !== 204 && status >= 200
    const lines = [
      `HTTP/1.1 ${status} ${reasons[status] ?? 'Unknown'}`,
      `date: ${new Date(this.#context.clock.nowMs()).toUTCString()}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      ...(hasLength ? [`content-length: ${bytes.length}`] : []),
      ...(keepsAlive ? [] : ['connection: close']),
    ]
    const parts: Buffer[] = [Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')]
    if (hasLength && method !== 'HEAD' && bytes.length > 0) parts.push(bytes)
    this.#outbox.write(parts)
  }
}

function errorAnswer(status: number, reason: string): Answer {
  return jsonAnswer(status, { error: (reasons[status] ?? 'error').toLowerCase().replaceAll(' ', '_'), reason })
}
