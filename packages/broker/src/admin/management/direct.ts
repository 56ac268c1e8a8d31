import { Reader } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import { BodyBudget } from '../../protocols/amqp/body-budget.ts'
import { Channel } from '../../protocols/amqp/channel.ts'
import { capabilitiesOf, type Connection } from '../../protocols/amqp/connection.ts'
import { AmqpException, asException } from '../../protocols/amqp/errors.ts'
import { frameTypes } from '../../protocols/amqp/framing.ts'
import { handlers } from '../../protocols/amqp/handlers/index.ts'
import { contentHeaderHeadBytes } from '../../protocols/amqp/messages/basic.ts'
import { channelClose } from '../../protocols/amqp/messages/channel.ts'
import { methodsById } from '../../protocols/amqp/messages/index.ts'
import type { Method } from '../../protocols/amqp/messages/method.ts'
import type { SessionContext } from '../../protocols/protocol.ts'
import type { Call } from './call.ts'
import { badRequest, notAuthorised, Refusal } from './errors.ts'

/** What a channel has answered: a method, and a message if one belongs to it. */
export interface Reply {
  readonly method: Method
  readonly fields: Record<string, unknown>
  readonly content: { readonly properties: Buffer; readonly body: Buffer } | undefined
}

const frameHeadBytes = 7
const frameMax = 1024 * 1024

/**
 * A channel without a connection of the network: what a client of AMQP could ask for is carried out by the same code, with the same checks and
 * the same words, for somebody who asks by HTTP.
 */
export class DirectChannel implements Connection {
  readonly broker: Broker
  readonly context: SessionContext
  readonly name: string
  readonly namespace: string
  readonly user: string
  readonly access: Access
  readonly rights: NamespaceAccess
  readonly capabilities = capabilitiesOf([])
  readonly frameMax = frameMax
  readonly queuedBytes = 0
  readonly owner = this
  readonly bodies: BodyBudget
  feeds = false
  readonly #channel: Channel
  #replies: Reply[] = []
  #failure: AmqpException | undefined
  #bug: Error | undefined
  #told: (() => void) | undefined
  /** Frames of a message that has not come whole. */
  #begun: { method: Method; fields: Record<string, unknown>; header: Buffer; parts: Buffer[] } | undefined

  /** Refusals begin with their reply code, as those of whoever asks through a channel. */
  readonly #saysCode: boolean

  constructor({ core, context, visitor }: Call, namespace: string, saysCode: boolean) {
    this.#saysCode = saysCode
    this.broker = core
    this.context = context
    this.namespace = namespace
    this.user = visitor.name
    this.access = visitor.access
    this.rights = core.identity.inNamespace(visitor.access, namespace)
    this.name = `${context.remote.host}:${context.remote.port} by HTTP`
    this.bodies = new BodyBudget(core.limits.messageBytesMax)
    this.#channel = new Channel(this, 1)
  }

  /** Carries a method out, with a message if it brings one. Resolves when it is decided and durable. Rejects with `Refusal`. */
  async run<T>(
    method: Method<T, never>,
    fields: T,
    content?: { readonly properties: Buffer; readonly body: Buffer },
  ): Promise<void> {
    try {
      await handlers.get(method.id)?.(this.#channel, fields as never)
      if (content) {
        this.#channel.basic.header(content.body.length, content.properties)
        if (content.body.length > 0) this.#channel.basic.body(content.body, 0)
      }
    } catch (error) {
      const exception = asException(error)
      if (!exception) throw error
      throw this.#refusal(exception)
    }
    this.#check()
  }

  /** The next thing that the channel answers. Rejects with `Refusal`. */
  async reply(): Promise<Reply> {
    for (;;) {
      this.#check()
      const reply = this.#replies.shift()
      if (reply) return reply
      await new Promise<void>(resolve => (this.#told = resolve))
    }
  }

  end(): void {
    this.#channel.end()
    this.broker.queues.release(this.owner)
  }

  send<W>(_channel: number, method: Method<unknown, W>, fields: W): void {
    if (method.id === channelClose.id) {
      const { replyText } = fields as { replyText?: string }
      this.#failure ??= new AmqpException('preconditionFailed', replyText ?? '')
    } else this.#begin(method, fields as Record<string, unknown>)
    this.#tell()
  }

  write(parts: readonly Uint8Array[], written?: () => void): void {
    const bytes = Buffer.concat(parts)
    for (let at = 0; at + frameHeadBytes < bytes.length;) {
      const size = bytes.readUInt32BE(at + 3)
      const payload = bytes.subarray(at + frameHeadBytes, at + frameHeadBytes + size)
      this.#frame(bytes.readUInt8(at), payload)
      at += frameHeadBytes + size + 1
    }
    written?.()
    this.#tell()
  }

  settled(): Promise<void> {
    return new Promise(resolve => this.broker.work.whenDurable(resolve))
  }

  fail(exception: AmqpException): void {
    this.#failure ??= exception
    this.#tell()
  }

  broken(error: unknown): void {
    this.#bug ??= error instanceof Error ? error : new Error(String(error))
    this.#tell()
  }

  channelClosed(): void {}
  waiting(): void {}

  #frame(type: number, payload: Buffer): void {
    if (type === frameTypes.method) {
      const method = methodsById.get(payload.readUInt32BE(0))
      if (!method) return
      return this.#begin(method, method.codec.read(new Reader(payload, 4)) as Record<string, unknown>)
    }
    const begun = this.#begun
    if (!begun) return
    if (type === frameTypes.header) begun.header = payload
    else begun.parts.push(payload)
    const { method, fields, header, parts } = begun
    const missing = header.readUInt32BE(8) - parts.reduce((sum, part) => sum + part.length, 0)
    if (missing > 0) return
    this.#begun = undefined
    const properties = header.subarray(contentHeaderHeadBytes)
    this.#replies.push({ method, fields, content: { properties, body: Buffer.concat(parts) } })
  }

  #begin(method: Method, fields: Record<string, unknown>): void {
    if (method.hasContent) this.#begun = { method, fields, header: Buffer.alloc(0), parts: [] }
    else this.#replies.push({ method, fields, content: undefined })
  }

  #tell(): void {
    this.#told?.()
    this.#told = undefined
  }

  #check(): void {
    if (this.#bug) throw this.#bug
    if (this.#failure) throw this.#refusal(this.#failure)
  }

  #refusal(exception: AmqpException): Refusal {
    return refusalOf(exception, this.#saysCode ? `${exception.code} ${exception.text}` : exception.message)
  }
}

/** In the words of this API. */
function refusalOf({ reply }: AmqpException, reason: string): Refusal {
  switch (reply) {
    case 'notFound':
      return new Refusal(404, 'not_found', reason)
    case 'accessRefused':
    case 'notAllowed':
      return notAuthorised('Access refused.')
    case 'connectionForced':
    case 'resourceError':
      return new Refusal(503, 'service_unavailable', reason)
    default:
      return badRequest(reason)
  }
}

/** Calls `run` with a channel that ends with it. */
export async function directly<T>(
  call: Call,
  vhost: string,
  run: (channel: DirectChannel) => Promise<T>,
  saysCode = false,
): Promise<T> {
  const channel = new DirectChannel(call, vhost, saysCode)
  if (!channel.rights.mayEnter()) throw notAuthorised('Access refused.')
  try {
    return await run(channel)
  } finally {
    channel.end()
  }
}
