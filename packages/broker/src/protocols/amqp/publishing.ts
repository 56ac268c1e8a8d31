import { addNewcomer, keptCopy, type Keeper } from '@dragoman/wire'
import type { Destination } from '../../core/routing/place.ts'
import type { PublishError } from '../../core/routing/publisher.ts'
import type { QueueMessage } from '../../core/queues/queue.ts'
import { envelopeHeader, type Header } from '../../core/message.ts'
import type { ChannelHost } from './channel-host.ts'
import { Confirms } from './confirms.ts'
import { isReplyQueue, replyQueue, ReplyQueues } from './direct-reply.ts'
import { AmqpException, replies } from './errors.ts'
import { decodeProperties, envelopeHeadBytes, envelopeOf, headerOf } from './mapping.ts'
import { basicAck, basicNack, basicReturn, type Properties } from './messages/basic.ts'
import { checkShort } from './names.ts'
import { contentOf, type Published, type ReplyConsumer } from './published.ts'
import { demand, demandKey, resource } from './rights.ts'
import { changed } from './rewriting.ts'
import { PropertyScan, propertyBits } from './scan.ts'
import type { Sending } from './sending.ts'
import { fieldOf, type Field, type Table } from './table.ts'
import { turnsOf } from './turns.ts'

/** A body gets its buffer in steps, so that an announcement alone costs nothing. */
const firstBodyBytesMax = 256 * 1024
/** Messages of one channel are put into so many queues before others have their turn. */
const copiesPerTurnMax = 4096
/** The longest time to live: as many milliseconds as 32 bits count. */
const ttlMsMax = 0xffff_ffff
const noRouteText = 'NO_ROUTE'

/** Headers that name further routing keys; consumers do not see the second. */
const [carbonCopy, blindCopy] = ['CC', 'BCC']
const carbonCopyName = Buffer.from(carbonCopy)
const blindCopyName = Buffer.from(blindCopy)
const delayName = 'x-delay'
const delayNameBytes = Buffer.from(delayName)

/** What was published in one block, and perhaps others between that were not. */
interface PublishBlock {
  readonly seq: number
  readonly first: number
  last: number
}

const noBlock: PublishBlock = { seq: -1, first: 0, last: 0 }

/** Takes the messages that are published in one channel, and confirms them. */
export class Publishing implements Keeper {
  readonly confirms = new Confirms()
  isConfirming = false
  /** When the channel is transactional: takes what is published until the commit. */
  hold: ((published: Published) => void) | undefined
  /** Who answers are sent to; set while the channel has a consumer of its reply queue. */
  replyConsumer: ReplyConsumer | undefined
  readonly #channel: ChannelHost
  readonly #sending: Sending
  readonly #scan = new PropertyScan()
  #tellsSoon = false
  #isPosting = false
  /** Of messages that went to several places, since others had their turn. */
  #copies = 0
  #isOver = false
  /** The newest block that anything published in this channel is part of. */
  lastSeq = -1
  /** The newest one whose messages are to be confirmed. */
  #block: PublishBlock = noBlock

  // The message that is on its way.
  #exchange = ''
  #key = ''
  #isMandatory = false
  #envelope: Buffer = noBytes
  #body: Buffer = noBytes
  #bodyBytes = 0
  #filled = 0

  /** The key of the last message, alone and as bytes: many have the same. */
  #onlyKey: readonly string[] = ['']
  #keyBytes: Buffer | null = null
  /** Of the newest copies that are kept for the next message. */
  #copyNumber = 0

  constructor(channel: ChannelHost, sending: Sending) {
    this.#channel = channel
    this.#sending = sending
  }

  begin(exchange: string, key: string, { mandatory, immediate }: { mandatory: boolean; immediate: boolean }): void {
    if (immediate) throw new AmqpException('notImplemented', 'immediate=true')
    for (const name of [exchange, key]) checkShort(name)
    this.#channel.connection.feeds = true
    this.#exchange = exchange
    this.#key = key
    this.#isMandatory = mandatory
  }

  header(bodyBytes: number, properties: Buffer): void {
    const { messageBytesMax } = this.#channel.connection.broker.limits
    if (bodyBytes > messageBytesMax) {
      const explanation = `message size ${bodyBytes} is larger than configured max size ${messageBytesMax}`
      throw new AmqpException('preconditionFailed', explanation)
    }
    // Mostly they are those of the message before.
    if (!isSame(this.#envelope, properties)) {
      this.#envelope = noBytes
      const envelope = envelopeOf(properties, 0, properties.length)
      this.#scan.read(envelope, envelopeHeadBytes, envelope.length)
      this.#envelope = envelope
      addNewcomer(this, ++this.#copyNumber)
    }
    this.#bodyBytes = bodyBytes
    this.#filled = 0
    if (bodyBytes === 0) this.#whole(noBytes)
  }

  body(part: Buffer, left: number): void {
    if (this.#filled === 0 && left === 0) return this.#whole(part)
    const needed = this.#filled + part.length
    if (needed > this.#body.length) {
      const size = Math.min(this.#bodyBytes, Math.max(firstBodyBytesMax, needed * 4))
      this.#channel.connection.bodies.take(size - this.#body.length)
      const grown = Buffer.allocUnsafeSlow(size)
      this.#body.copy(grown, 0, 0, this.#filled)
      this.#body = grown
    }
    part.copy(this.#body, this.#filled)
    this.#filled = needed
    if (left > 0) return
    const body = this.#body.subarray(0, needed)
    this.#forgetBody()
    this.#whole(body)
  }

  /** What to wait for before the next message is taken; undefined: nothing. */
  rest(): Promise<void> | undefined {
    if (this.#copies < copiesPerTurnMax) return undefined
    this.#copies = 0
    const { broker, context } = this.#channel.connection
    return turnsOf(broker, context.clock).next()
  }

  /** The channel is over: nobody is told any more. */
  end(): void {
    this.#isOver = true
    this.#forgetBody()
  }

  own(number: number): void {
    if (number !== this.#copyNumber) return
    this.#keyBytes = this.#keyBytes && keptCopy(this.#keyBytes)
    if (this.#envelope.length === 0) return
    const envelope = keptCopy(this.#envelope)
    this.#scan.read(envelope, envelopeHeadBytes, envelope.length)
    this.#envelope = envelope
  }

  #forgetBody(): void {
    this.#channel.connection.bodies.give(this.#body.length)
    this.#body = noBytes
  }

  /** Sends a message of a transaction: its time begins now. */
  sendHeld(published: Published): number | PublishError | 'limit-reached' {
    if (published.ttlMs < 0) return this.send(published)
    const expiresMs = this.#expiryOf(published.ttlMs)
    return this.send({ ...published, message: { ...published.message, expiresMs } })
  }

  /** Sends a message where it belongs. Returns the block that makes it safe (-1: it is), or why it was refused. */
  send(published: Published): number | PublishError | 'limit-reached' {
    const { broker } = this.#channel.connection
    const { destinations, key, message, replyTo } = published
    if (published.delayMs > 0) return this.#sendLater(published)
    if (replyTo) {
      replyTo.deliver(published)
      return -1
    }
    if (destinations.length > 1) this.#copies += destinations.length
    const { seq, error } = broker.router.postTo(destinations, key, message)
    if (seq > this.lastSeq) this.lastSeq = seq
    if (published.isMandatory && destinations.length === 0) {
      // That it leads nowhere may build on what is not durable yet. Its confirm is another one than that of messages before it, as it comes behind.
      this.#block = noBlock
      // Planned before the return is written: so they leave together, for clients that expect to be told of both at once.
      if (this.isConfirming) this.#tellSoon()
      broker.router.whenDurable(seq, this.#return, ownBytes(published))
    }
    return error ?? seq
  }

  /** Where it leads is decided when its time has come: it cannot be returned. */
  #sendLater({ exchange, key, headers, message, delayMs }: Published): number | PublishError | 'limit-reached' {
    const { broker, namespace } = this.#channel.connection
    const { seq, error } = broker.delayed.post({ namespace, exchange, key, headers, message }, delayMs)
    return error ?? seq
  }

  #whole(body: Buffer): void {
    const published = this.#decide(body)
    if (this.hold) return this.hold(ownBytes(published))
    const result = this.send(published)
    if (this.isConfirming) this.#confirm(this.confirms.begin(), result)
  }

  #confirm(sequence: number, result: number | PublishError | 'limit-reached'): void {
    // The broker ends: nobody can say what becomes of it.
    if (result === 'shutting-down') return
    if (typeof result !== 'number' || result < 0) {
      // A queue that is gone has all that it ever will.
      this.confirms.settle(sequence, typeof result === 'number' || result === 'stream-not-found')
      return this.#tellSoon()
    }
    if (this.#block.seq === result) {
      this.#block.last = sequence
      return
    }
    this.#block = { seq: result, first: sequence, last: sequence }
    this.#isPosting = true
    this.#channel.connection.broker.router.whenDurable(result, this.#isDurable, this.#block)
    this.#isPosting = false
  }

  /** Those of one block are told with one confirm, where nothing else lies between. */
  readonly #isDurable = (block: PublishBlock): void => {
    // What leads nowhere names a block that may only begin later.
    if (this.#block === block) this.#block = noBlock
    this.confirms.accept(block.first, block.last)
    if (this.#isPosting) this.#tellSoon()
    else this.#tell()
  }

  /** Throws what there is to say against the message. */
  #decide(body: Buffer): Published {
    const { connection } = this.#channel
    const { namespace } = connection
    const scan = this.#scan
    const [exchange, key] = [this.#exchange, this.#key]
    demand(connection, 'write', 'exchange', exchange)
    const definition = connection.broker.router.get(namespace, exchange)
    if (!definition) throw new AmqpException('notFound', `no ${resource('exchange', exchange, namespace)}`)
    if (definition.internal) {
      throw new AmqpException(
        'accessRefused',
        `cannot publish to internal ${resource('exchange', exchange, namespace)}`,
      )
    }
    demandKey(connection, 'write', exchange, key)
    const keys: string[] = []
    let hiddenKeyCount = 0
    let delayMs = 0
    let envelope = this.#envelope
    if (scan.flags & (propertyBits.replyTo | propertyBits.userId | propertyBits.headers)) {
      this.#checkUser(scan.userId)
      const hasBlindCopies = scan.has(blindCopyName)
      if (hasBlindCopies || scan.has(carbonCopyName)) hiddenKeyCount = this.#furtherKeys(keys)
      if (definition.kind === 'delayed' && scan.has(delayNameBytes)) delayMs = delayOf(this.#properties().headers ?? [])
      envelope = this.#rewritten(hasBlindCopies, delayMs > 0)
    }
    const ttlMs = scan.flags & propertyBits.expiration ? ttlOf(scan.expiration) : -1
    const message: QueueMessage = {
      key: this.#keyOf(key),
      value: body,
      headers: [{ key: envelopeHeader, value: envelope }],
      exchange,
      keys,
      hiddenKeyCount,
      expiresMs: this.#expiryOf(ttlMs),
      priority: scan.priority,
    }
    const replyTo = exchange === '' && isReplyQueue(key) ? ReplyQueues.of(connection.broker).find(key) : undefined
    const isLater = delayMs > 0
    const { router } = connection.broker
    const allKeys = keys.length === 0 ? this.#onlyKey : [key, ...keys]
    const destinations =
      replyTo || isLater ? nowhere : router.lookUp(namespace, exchange, allKeys, this.#routingHeaders)
    const headers = isLater ? this.#routingHeaders() : noHeaders
    return { exchange, key, isMandatory: this.#isMandatory, message, destinations, replyTo, ttlMs, delayMs, headers }
  }

  #keyOf(key: string): Buffer | null {
    if (key !== this.#onlyKey[0]) {
      this.#onlyKey = [key]
      this.#keyBytes = key === '' ? null : Buffer.from(key)
      addNewcomer(this, ++this.#copyNumber)
    }
    return this.#keyBytes
  }

  #checkUser(userId: string): void {
    const { user, broker } = this.#channel.connection
    if (userId === '' || userId === user) return
    if (broker.identity.hasUsers && broker.identity.tagsOf(user).includes('impersonator')) return
    const explanation = `user_id property set to '${userId}' but authenticated user was '${user}'`
    throw new AmqpException('preconditionFailed', explanation)
  }

  /** Adds the keys that the headers name; returns how many of them, the last ones, nobody is told of. */
  #furtherKeys(keys: string[]): number {
    const headers = this.#properties().headers ?? []
    keys.push(...keysOf(headers, carbonCopy))
    const visibleCount = keys.length
    keys.push(...keysOf(headers, blindCopy))
    return keys.length - visibleCount
  }

  /** The envelope, without what consumers are not to see, and with where answers really go. */
  #rewritten(hasBlindCopies: boolean, isLater: boolean): Buffer {
    const answersHere = this.#scan.replyTo === replyQueue
    if (!answersHere && !hasBlindCopies && !isLater) return this.#envelope
    if (answersHere && !this.replyConsumer) {
      throw new AmqpException('preconditionFailed', 'fast reply consumer does not exist')
    }
    const delay = isLater ? fieldOf(this.#properties().headers ?? [], delayName) : undefined
    const bytes = changed(this.#envelope.subarray(envelopeHeadBytes), {
      ...(delay ? { headers: [delayed(delay)] } : {}),
      ...(hasBlindCopies ? { without: [blindCopy] } : {}),
      ...(answersHere && this.replyConsumer ? { replyTo: this.replyConsumer.address } : {}),
    })
    return envelopeOf(bytes, 0, bytes.length)
  }

  #properties(): Properties {
    return decodeProperties(this.#envelope.subarray(envelopeHeadBytes))
  }

  #expiryOf(ttlMs: number): number {
    return ttlMs < 0 ? -1 : this.#channel.connection.context.clock.nowMs() + ttlMs
  }

  readonly #routingHeaders = (): readonly Header[] =>
    this.#scan.headersAt < 0 ? noHeaders : (this.#properties().headers ?? []).map(headerOf)

  readonly #return = ({ exchange, key, message }: Published): void => {
    if (this.#isOver) return
    const fields = { replyCode: replies.noRoute.code, replyText: noRouteText, exchange, routingKey: key }
    this.#channel.send(basicReturn, fields)
    this.#sending.content(contentOf(message))
  }

  /** All that has become safe together is told together. */
  #tellSoon(): void {
    if (this.#tellsSoon) return
    this.#tellsSoon = true
    this.#channel.connection.context.clock.soon(() => {
      this.#tellsSoon = false
      this.#tell()
    })
  }

  #tell(): void {
    if (this.#isOver) return
    this.confirms.tell((isAccepted, deliveryTag, multiple) => {
      if (isAccepted) this.#channel.send(basicAck, { deliveryTag, flags: { multiple } })
      else this.#channel.send(basicNack, { deliveryTag, flags: { multiple, requeue: false } })
    })
  }
}

const noBytes = Buffer.alloc(0)
const nowhere: readonly Destination[] = []
const noHeaders: readonly Header[] = []

/** Whether an envelope holds these properties. */
function isSame(envelope: Buffer, properties: Buffer): boolean {
  if (envelope.length !== envelopeHeadBytes + properties.length) return false
  return envelope.compare(properties, 0, properties.length, envelopeHeadBytes) === 0
}

/** How long a delayed exchange is to hold the message back; 0: it says nothing of that. */
function delayOf(headers: Table): number {
  const field = fieldOf(headers, delayName)
  if (!field || !'bBsuIilL'.includes(field.type)) return 0
  return Math.max(0, Number(field.value))
}

/** Consumers see that the time is over by its sign, as RabbitMQ's plugin has it. */
function delayed(field: Field): Field {
  const delayMs = Number(field.value)
  if (field.type === 'I') return { name: delayName, type: 'I', value: -delayMs }
  return { name: delayName, type: 'l', value: -BigInt(Math.trunc(delayMs)) }
}

/** The time to live in milliseconds. Throws `AmqpException` when it is none. */
function ttlOf(expiration: string): number {
  const [, digits, rest = ''] = /^([+-]?\d+)?(.*)$/s.exec(expiration) ?? []
  const ttlMs = Number(digits)
  const problem =
    digits === undefined
      ? 'no_integer'
      : rest !== ''
        ? `{leftover_string,${JSON.stringify(rest)}}`
        : ttlMs < 0
          ? `{value_negative,${ttlMs}}`
          : ttlMs > ttlMsMax
            ? `{value_too_large,${digits}}`
            : undefined
  if (problem !== undefined) {
    throw new AmqpException('preconditionFailed', `invalid expiration '${expiration}': ${problem}`)
  }
  return ttlMs
}

function keysOf(headers: Table, name: string): string[] {
  const field = fieldOf(headers, name)
  if (!field) return []
  if (field.type !== 'A') {
    const explanation = `invalid message: header '${name}' must be an array of routing keys`
    throw new AmqpException('preconditionFailed', explanation)
  }
  return field.value.flatMap(each => (each.type === 'S' ? [each.value.toString()] : []))
}

/** What is kept for later cannot lie in the bytes that are read next. */
function ownBytes(published: Published): Published {
  const { message } = published
  return { ...published, message: { ...message, value: Buffer.from(message.value ?? noBytes) } }
}
