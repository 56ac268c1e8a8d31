import assert from 'node:assert/strict'
import { ByteQueue, Reader, Writer } from '@dragoman/wire'
import type { Address, Connection, Network } from '../../runtime/runtime.ts'
import { emptyFrameBytes, frameEnd, frameHeadBytes, frameTypes, protocolHeader } from './framing.ts'
import * as basic from './messages/basic.ts'
import * as channelClass from './messages/channel.ts'
import { confirmSelect, confirmSelectOk } from './messages/confirm.ts'
import * as connectionClass from './messages/connection.ts'
import * as exchangeClass from './messages/exchange.ts'
import { methodsById } from './messages/index.ts'
import type { Answer, Arguments, Method } from './messages/method.ts'
import * as queueClass from './messages/queue.ts'
import * as tx from './messages/tx.ts'
import type { Table } from './table.ts'
import { DriverConsumer, type Received } from './driver-consumer.ts'

export { DriverConsumer, type Received }

/** Why the broker has closed a channel or the connection. */
export class Refusal extends Error {
  override name = 'Refusal'
  readonly code: number

  constructor(code: number, text: string) {
    super(text)
    this.code = code
  }
}

export interface DriverOptions {
  user?: string
  password?: string
  virtualHost?: string
  /** What the client tells of itself. */
  clientProperties?: Table
  /** Of the frames that it sends and takes; the broker's own limit when that is smaller. */
  frameMax?: number
}

export interface Returned {
  readonly replyCode: number
  readonly replyText: string
  readonly exchange: string
  readonly routingKey: string
  readonly properties: basic.Properties
  readonly body: Buffer
  /** Publishes of the channel that were not confirmed when it came, from 1 on. */
  readonly unconfirmed: readonly number[]
}

interface Call {
  answers: readonly Method[]
  resolve(answer: { method: Method; given: unknown; content: Content | undefined }): void
  reject(error: Error): void
}

interface Content {
  properties: basic.Properties
  body: Buffer
}

const ownProperties: Table = [
  {
    name: 'capabilities',
    type: 'F',
    value: [
      { name: 'consumer_cancel_notify', type: 't', value: true },
      { name: 'publisher_confirms', type: 't', value: true },
      { name: 'basic.nack', type: 't', value: true },
      { name: 'connection.blocked', type: 't', value: true },
      { name: 'authentication_failure_close', type: 't', value: true },
    ],
  },
]

/** A client for tests: each method does one thing and fails when the broker refuses it. */
export class AmqpDriver {
  readonly #connection: Connection
  readonly #bytes = new ByteQueue()
  readonly #writer = new Writer()
  readonly #channels = new Map<number, DriverChannel>()
  #calls: Call[] = []
  /** Of a frame whose rest has not come yet. */
  #head: Buffer | undefined
  #frameMax = 8192
  #nextChannel = 1
  #gone: Error | undefined
  /** Reasons for which the broker takes no messages; those that were told last are last. Undefined: it takes them again. */
  readonly blocked: (string | undefined)[] = []
  /** Is told each of them. */
  onBlocked: ((reason: string | undefined) => void) | undefined

  static async connect(network: Network, address: Address, options: DriverOptions = {}): Promise<AmqpDriver> {
    return AmqpDriver.open(await network.connect(address), options)
  }

  /** Over a connection that there is. */
  static async open(connection: Connection, options: DriverOptions = {}): Promise<AmqpDriver> {
    const driver = new AmqpDriver(connection)
    await driver.#open(options)
    return driver
  }

  private constructor(connection: Connection) {
    this.#connection = connection
    connection.handle({
      data: chunk => (this.#isIgnoring ? undefined : this.#bytes.feed(chunk, () => this.#cut())),
      ended: () => {
        this.#over(new Error('The broker has closed the connection'))
        connection.destroy()
      },
      drained: () => {},
      closed: error => this.#over(error ?? new Error('The connection is closed')),
    })
  }

  /** Why it is over; undefined while it is not. */
  get gone(): Error | undefined {
    return this.#gone
  }

  get frameMax(): number {
    return this.#frameMax
  }

  async channel(): Promise<DriverChannel> {
    const number = this.#nextChannel++
    const channel = new DriverChannel(this, number)
    this.#channels.set(number, channel)
    await channel.call(channelClass.channelOpen, {}, channelClass.channelOpenOk)
    return channel
  }

  /** What comes from now on is not looked at: for who sends what has no answer. */
  ignoreAnswers(): void {
    this.#isIgnoring = true
  }
  #isIgnoring = false

  /** Sends any bytes. */
  send(...parts: Buffer[]): void {
    if (this.#gone) throw this.#gone
    this.#connection.write(parts)
  }

  /** One method frame. */
  frame<T, W>({ id, codec }: Method<T, W>, channel: number, given: W): Buffer {
    const writer = this.#writer
    writer.u8(frameTypes.method)
    writer.u16(channel)
    writer.u32(0)
    writer.u32(id)
    codec.write(writer, given)
    writer.patchI32(3, writer.length - frameHeadBytes)
    writer.u8(frameEnd)
    return writer.take()
  }

  /** The frames of a message behind its method. */
  content(channel: number, properties: basic.Properties, body: Uint8Array): Buffer[] {
    const writer = this.#writer
    writer.u8(frameTypes.header)
    writer.u16(channel)
    writer.u32(0)
    basic.contentHeader.write(writer, { classId: basic.basicClassId, bodySize: body.length, properties })
    writer.patchI32(3, writer.length - frameHeadBytes)
    writer.u8(frameEnd)
    const parts = [writer.take()]
    const most = this.#frameMax - emptyFrameBytes
    for (let at = 0; at < body.length; at += most) {
      const part = body.subarray(at, at + most)
      writer.u8(frameTypes.body)
      writer.u16(channel)
      writer.bytes32(part)
      writer.u8(frameEnd)
      parts.push(writer.take())
    }
    return parts
  }

  /** Asks on channel 0. */
  call<W, T>(method: Method<unknown, W>, given: W, answer: Method<T, never>): Promise<T> {
    this.send(this.frame(method, 0, given))
    return this.#expect(answer)
  }

  async close(): Promise<void> {
    if (this.#gone) return
    await this.call(connectionClass.connectionClose, { replyCode: 200 }, connectionClass.connectionCloseOk)
    this.#connection.destroy()
  }

  /** Without a word. */
  destroy(): void {
    this.#connection.destroy()
  }

  async #open({
    user,
    password,
    virtualHost = '/',
    clientProperties,
    frameMax = 131_072,
  }: DriverOptions): Promise<void> {
    const { connectionStart, connectionStartOk, connectionTune, connectionTuneOk } = connectionClass
    this.send(protocolHeader)
    await this.#expect(connectionStart)
    const response = Buffer.from(`\0${user ?? 'guest'}\0${password ?? 'guest'}`)
    const given = { clientProperties: clientProperties ?? ownProperties, mechanism: 'PLAIN', response, locale: 'en_US' }
    const tuned = await this.call(connectionStartOk, given, connectionTune)
    this.#frameMax = tuned.frameMax === 0 ? frameMax : Math.min(frameMax, tuned.frameMax)
    this.send(this.frame(connectionTuneOk, 0, { channelMax: tuned.channelMax, frameMax: this.#frameMax, heartbeat: 0 }))
    await this.call(connectionClass.connectionOpen, { virtualHost }, connectionClass.connectionOpenOk)
  }

  #expect<T>(answer: Method<T, never>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(this.#gone)
      this.#calls.push({ answers: [answer], resolve: ({ given }) => resolve(given as T), reject })
    })
  }

  #cut(): void {
    for (;;) {
      if (!this.#head) {
        const head = this.#bytes.take(frameHeadBytes)
        if (!head) return
        this.#head = Buffer.from(head)
      }
      const head = this.#head
      const rest = this.#bytes.take(head.readUInt32BE(3) + emptyFrameBytes - frameHeadBytes)
      if (!rest) return
      this.#head = undefined
      assert.equal(rest.at(-1), frameEnd)
      assert(frameHeadBytes + rest.length <= this.#frameMax, 'a frame is larger than agreed')
      const [type = 0] = head
      const channel = head.readUInt16BE(1)
      const payload = Buffer.from(rest.subarray(0, -1))
      if (type === frameTypes.heartbeat) continue
      if (channel === 0) this.#receive(payload)
      else this.#channels.get(channel)?.receive(type, payload)
    }
  }

  #receive(payload: Buffer): void {
    const { method, given } = readMethod(payload)
    if (method === connectionClass.connectionClose) {
      const { replyCode, replyText } = given as Arguments<typeof connectionClass.connectionClose>
      this.send(this.frame(connectionClass.connectionCloseOk, 0, {}))
      return this.#over(new Refusal(replyCode, replyText))
    }
    if (method === connectionClass.connectionBlocked) {
      return this.#blocked((given as Arguments<typeof connectionClass.connectionBlocked>).reason)
    }
    if (method === connectionClass.connectionUnblocked) return this.#blocked(undefined)
    const call = this.#calls.shift()
    assert(call && call.answers.includes(method), `${method.name} was not asked for`)
    call.resolve({ method, given, content: undefined })
  }

  #blocked(reason: string | undefined): void {
    this.blocked.push(reason)
    this.onBlocked?.(reason)
  }

  #over(error: Error): void {
    this.#gone ??= error
    const calls = this.#calls
    this.#calls = []
    for (const { reject } of calls) reject(this.#gone)
    for (const channel of this.#channels.values()) channel.over(this.#gone)
  }
}

function readMethod(payload: Buffer): { method: Method; given: unknown } {
  const reader = new Reader(payload)
  const method = methodsById.get(reader.u32())
  assert(method, payload.toString('hex'))
  const given: unknown = method.codec.read(reader)
  reader.expectEnd()
  return { method, given }
}

type ConsumeOptions = Partial<Record<'noAck' | 'exclusive' | 'noLocal' | 'noWait', boolean>> & {
  tag?: string
  arguments?: Table
}

/** One channel. Its promises reject with a `Refusal` when the broker closes it. */
export class DriverChannel {
  readonly number: number
  readonly #driver: AmqpDriver
  #calls: Call[] = []
  readonly #consumers = new Map<string, DriverConsumer>()
  /** Messages that could not be routed, in their order. */
  readonly returned: Returned[] = []
  /** Consumers that the broker has cancelled. */
  readonly cancelled: string[] = []
  #gone: Error | undefined
  #incoming: { method: Method; given: unknown; content: Content | undefined; parts: Buffer[]; left: number } | undefined
  #published = 0
  readonly #unconfirmed = new Map<number, { resolve(isTaken: boolean): void; reject(error: Error): void }>()
  #confirms = false

  constructor(driver: AmqpDriver, number: number) {
    this.#driver = driver
    this.number = number
  }

  get gone(): Error | undefined {
    return this.#gone
  }

  /** Asks, and resolves with the answer. */
  async call<W, T>(method: Method<unknown, W>, given: W, answer: Method<T, never>): Promise<T> {
    this.tell(method, given)
    return (await this.#expect(answer)).given as T
  }

  /** Sends a method that is not answered. */
  tell<W>(method: Method<unknown, W>, given: W): void {
    if (this.#gone) throw this.#gone
    this.#driver.send(this.#driver.frame(method, this.number, given))
  }

  /** Confirms from now on. */
  async confirm(): Promise<void> {
    await this.call(confirmSelect, {}, confirmSelectOk)
    this.#confirms = true
  }

  /** With confirms, resolves with whether the broker has taken the message; else at once. */
  publish(
    exchange: string,
    routingKey: string,
    body: string | Uint8Array,
    properties: basic.Properties = {},
    { mandatory = false, immediate = false } = {},
  ): Promise<boolean> {
    if (this.#gone) return Promise.reject(this.#gone)
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const given = { exchange, routingKey, flags: { mandatory, immediate } }
    this.#driver.send(
      this.#driver.frame(basic.basicPublish, this.number, given),
      ...this.#driver.content(this.number, properties, bytes),
    )
    if (!this.#confirms) return Promise.resolve(true)
    const sequence = ++this.#published
    return new Promise((resolve, reject) => this.#unconfirmed.set(sequence, { resolve, reject }))
  }

  /** Publishes that the broker has neither taken nor refused yet. */
  get unconfirmedCount(): number {
    return this.#unconfirmed.size
  }

  declare(
    queue: string,
    {
      arguments: given = [] as Table,
      ...flags
    }: Partial<Answer<typeof queueClass.queueDeclare>['flags']> & { arguments?: Table } = {},
  ): Promise<Arguments<typeof queueClass.queueDeclareOk>> {
    const asked = { queue, flags: { ...noQueueFlags, durable: true, ...flags }, arguments: given }
    return this.call(queueClass.queueDeclare, asked, queueClass.queueDeclareOk)
  }

  async declareExchange(
    exchange: string,
    type: string,
    {
      arguments: given = [] as Table,
      ...flags
    }: Partial<Answer<typeof exchangeClass.exchangeDeclare>['flags']> & { arguments?: Table } = {},
  ): Promise<void> {
    const asked = { exchange, type, flags: { ...noExchangeFlags, durable: true, ...flags }, arguments: given }
    await this.call(exchangeClass.exchangeDeclare, asked, exchangeClass.exchangeDeclareOk)
  }

  async bind(queue: string, exchange: string, routingKey = '', given: Table = []): Promise<void> {
    await this.call(queueClass.queueBind, { queue, exchange, routingKey, arguments: given }, queueClass.queueBindOk)
  }

  async deleteQueue(queue: string): Promise<number> {
    return (await this.call(queueClass.queueDelete, { queue }, queueClass.queueDeleteOk)).messageCount
  }

  async purge(queue: string): Promise<number> {
    return (await this.call(queueClass.queuePurge, { queue }, queueClass.queuePurgeOk)).messageCount
  }

  async qos(prefetchCount: number, { global = false, prefetchSize = 0 } = {}): Promise<void> {
    await this.call(basic.basicQos, { prefetchSize, prefetchCount, flags: { global } }, basic.basicQosOk)
  }

  async consume(queue: string, options: ConsumeOptions = {}): Promise<DriverConsumer> {
    const {
      tag = '',
      arguments: given = [],
      noAck = false,
      exclusive = false,
      noLocal = false,
      noWait = false,
    } = options
    const flags = { noAck, exclusive, noLocal, noWait }
    const asked = { queue, consumerTag: tag, flags, arguments: given }
    // Messages may follow the answer in the same chunk.
    const consumer = new DriverConsumer(tag)
    if (noWait) {
      this.#consumers.set(tag, consumer)
      this.tell(basic.basicConsume, asked)
      return consumer
    }
    this.tell(basic.basicConsume, asked)
    await this.#expect(basic.basicConsumeOk, answer => {
      consumer.tag = (answer as Arguments<typeof basic.basicConsumeOk>).consumerTag
      this.#consumers.set(consumer.tag, consumer)
    })
    return consumer
  }

  async cancel(tag: string): Promise<void> {
    await this.call(basic.basicCancel, { consumerTag: tag }, basic.basicCancelOk)
  }

  /** The next message of the queue; undefined when there is none. */
  async get(queue: string, { noAck = false } = {}): Promise<(Received & { messageCount: number }) | undefined> {
    this.tell(basic.basicGet, { queue, flags: { noAck } })
    const { method, given, content } = await this.#expectOneOf([basic.basicGetOk, basic.basicGetEmpty])
    if (method === basic.basicGetEmpty) return undefined
    assert(content)
    return { ...(given as Arguments<typeof basic.basicGetOk>), ...content }
  }

  ack(deliveryTag: number, multiple = false): void {
    this.tell(basic.basicAck, { deliveryTag, flags: { multiple } })
  }
  nack(deliveryTag: number, { multiple = false, requeue = true } = {}): void {
    this.tell(basic.basicNack, { deliveryTag, flags: { multiple, requeue } })
  }
  reject(deliveryTag: number, requeue = true): void {
    this.tell(basic.basicReject, { deliveryTag, flags: { requeue } })
  }
  async recover(requeue = true): Promise<void> {
    await this.call(basic.basicRecover, { flags: { requeue } }, basic.basicRecoverOk)
  }

  async txSelect(): Promise<void> {
    await this.call(tx.txSelect, {}, tx.txSelectOk)
  }
  async txCommit(): Promise<void> {
    await this.call(tx.txCommit, {}, tx.txCommitOk)
  }
  async txRollback(): Promise<void> {
    await this.call(tx.txRollback, {}, tx.txRollbackOk)
  }

  /** A question whose answer shows that all that was sent before has been taken. */
  async settled(): Promise<void> {
    await this.call(channelClass.channelFlow, { flow: { active: true } }, channelClass.channelFlowOk)
  }

  async close(): Promise<void> {
    await this.call(channelClass.channelClose, { replyCode: 200 }, channelClass.channelCloseOk)
    this.over(new Error('The channel is closed'))
  }

  /** Resolves with why the broker closes the channel, or the connection. */
  closed(): Promise<Refusal> {
    return new Promise((resolve, reject) => {
      const end = (error: Error): void => (error instanceof Refusal ? resolve(error) : reject(error))
      if (this.#gone) return end(this.#gone)
      this.#ends.push(end)
    })
  }
  readonly #ends: ((error: Error) => void)[] = []

  // For the driver.

  receive(type: number, payload: Buffer): void {
    if (type === frameTypes.method) {
      const { method, given } = readMethod(payload)
      if (method.hasContent) this.#incoming = { method, given, content: undefined, parts: [], left: -1 }
      else this.#handle(method, given, undefined)
      return
    }
    const incoming = this.#incoming
    assert(incoming, 'content comes behind its method')
    if (type === frameTypes.header) {
      const reader = new Reader(payload)
      const header = basic.contentHeader.read(reader)
      reader.expectEnd()
      incoming.content = { properties: header.properties, body: Buffer.alloc(0) }
      incoming.left = header.bodySize
    } else {
      assert(type === frameTypes.body && payload.length <= incoming.left)
      incoming.parts.push(payload)
      incoming.left -= payload.length
    }
    if (incoming.left > 0 || !incoming.content) return
    this.#incoming = undefined
    incoming.content.body = Buffer.concat(incoming.parts)
    this.#handle(incoming.method, incoming.given, incoming.content)
  }

  over(error: Error): void {
    this.#gone ??= error
    const calls = this.#calls
    this.#calls = []
    for (const { reject } of calls) reject(this.#gone)
    for (const { reject } of this.#unconfirmed.values()) reject(this.#gone)
    this.#unconfirmed.clear()
    for (const consumer of this.#consumers.values()) consumer.over(this.#gone)
    for (const end of this.#ends.splice(0)) end(this.#gone)
  }

  #expect(answer: Method, seen?: (given: unknown) => void): Promise<{ given: unknown }> {
    return this.#expectOneOf([answer], seen)
  }

  #expectOneOf(
    answers: readonly Method[],
    seen?: (given: unknown) => void,
  ): Promise<{ method: Method; given: unknown; content: Content | undefined }> {
    return new Promise((resolve, reject) => {
      if (this.#gone) return reject(this.#gone)
      this.#calls.push({
        answers,
        resolve: answer => {
          seen?.(answer.given)
          resolve(answer)
        },
        reject,
      })
    })
  }

  #handle(method: Method, given: unknown, content: Content | undefined): void {
    switch (method) {
      case basic.basicDeliver: {
        const { consumerTag, ...delivery } = given as Arguments<typeof basic.basicDeliver>
        const consumer = this.#consumers.get(consumerTag)
        assert(consumer && content, `a message for the consumer ${consumerTag}, who is not there`)
        return consumer.receive({ ...delivery, ...content })
      }
      case basic.basicAck:
      case basic.basicNack: {
        const { deliveryTag, flags } = given as Arguments<typeof basic.basicNack>
        return this.#confirmed(deliveryTag, flags.multiple, method === basic.basicAck)
      }
      case basic.basicReturn:
        assert(content)
        return void this.returned.push({
          ...(given as Arguments<typeof basic.basicReturn>),
          ...content,
          unconfirmed: [...this.#unconfirmed.keys()],
        })
      case basic.basicCancel:
        return void this.cancelled.push((given as Arguments<typeof basic.basicCancel>).consumerTag)
      case channelClass.channelClose: {
        const { replyCode, replyText } = given as Arguments<typeof channelClass.channelClose>
        this.tell(channelClass.channelCloseOk, {})
        return this.over(new Refusal(replyCode, replyText))
      }
      default: {
        const call = this.#calls.shift()
        assert(call && call.answers.includes(method), `${method.name} was not asked for`)
        call.resolve({ method, given, content })
      }
    }
  }

  #confirmed(last: number, multiple: boolean, isTaken: boolean): void {
    for (const sequence of multiple ? [...this.#unconfirmed.keys()].filter(each => each <= last) : [last]) {
      const waiting = this.#unconfirmed.get(sequence)
      assert(waiting, `a confirm of ${sequence}, which does not wait for one`)
      this.#unconfirmed.delete(sequence)
      waiting.resolve(isTaken)
    }
  }
}

const noQueueFlags = { passive: false, durable: false, exclusive: false, autoDelete: false, noWait: false }
const noExchangeFlags = { passive: false, durable: false, autoDelete: false, internal: false, noWait: false }
