import { bool, compile, custom, flags, i64, ProtocolError, string8, struct, u16, u32, u8 } from '@dragoman/wire'
import type { Codec, Random, Reader, Writer } from '@dragoman/wire'
import { table, type Table } from '../table.ts'
import { method } from './method.ts'

/** Class 60: messages, to the server and from it. [AMQP 0-9-1 reference, 1.5] */
export const basicClassId = 60
const classId = basicClassId
const withContent = { hasContent: true }

export const basicQos = method(
  'basic.qos',
  classId,
  10,
  struct({ prefetchSize: u32, prefetchCount: u16, flags: flags({ global: 0 }, u8) }),
)
export const basicQosOk = method('basic.qos-ok', classId, 11, struct({}))

export const basicConsume = method(
  'basic.consume',
  classId,
  20,
  struct({
    reserved1: u16,
    queue: string8,
    consumerTag: string8,
    flags: flags({ noLocal: 0, noAck: 1, exclusive: 2, noWait: 3 }, u8),
    arguments: table,
  }),
)
export const basicConsumeOk = method('basic.consume-ok', classId, 21, struct({ consumerTag: string8 }))

/** From the server, too: the queue is gone. */
export const basicCancel = method(
  'basic.cancel',
  classId,
  30,
  struct({ consumerTag: string8, flags: flags({ noWait: 0 }, u8) }),
)
export const basicCancelOk = method('basic.cancel-ok', classId, 31, struct({ consumerTag: string8 }))

export const basicPublish = method(
  'basic.publish',
  classId,
  40,
  compile(
    struct({
      reserved1: u16,
      exchange: string8,
      routingKey: string8,
      flags: flags({ mandatory: 0, immediate: 1 }, u8),
    }),
  ),
  withContent,
)
export const basicReturn = method(
  'basic.return',
  classId,
  50,
  struct({ replyCode: u16, replyText: string8, exchange: string8, routingKey: string8 }),
  withContent,
)
export const basicDeliver = method(
  'basic.deliver',
  classId,
  60,
  compile(
    struct({ consumerTag: string8, deliveryTag: i64, redelivered: bool, exchange: string8, routingKey: string8 }),
  ),
  withContent,
)
export const basicGet = method(
  'basic.get',
  classId,
  70,
  struct({ reserved1: u16, queue: string8, flags: flags({ noAck: 0 }, u8) }),
)
export const basicGetOk = method(
  'basic.get-ok',
  classId,
  71,
  struct({ deliveryTag: i64, redelivered: bool, exchange: string8, routingKey: string8, messageCount: u32 }),
  withContent,
)
export const basicGetEmpty = method('basic.get-empty', classId, 72, struct({ reserved1: string8 }))

/** From the server, too: what was published is safe. */
export const basicAck = method(
  'basic.ack',
  classId,
  80,
  compile(struct({ deliveryTag: i64, flags: flags({ multiple: 0 }, u8) })),
)
export const basicReject = method(
  'basic.reject',
  classId,
  90,
  struct({ deliveryTag: i64, flags: flags({ requeue: 0 }, u8) }),
)
const recover = struct({ flags: flags({ requeue: 0 }, u8) })
export const basicRecoverAsync = method('basic.recover-async', classId, 100, recover)
export const basicRecover = method('basic.recover', classId, 110, recover)
export const basicRecoverOk = method('basic.recover-ok', classId, 111, struct({}))
/** An extension: rejects many at once. From the server: what was published could not be taken. */
export const basicNack = method(
  'basic.nack',
  classId,
  120,
  struct({ deliveryTag: i64, flags: flags({ multiple: 0, requeue: 1 }, u8) }),
)

/** Properties of a message, in the order of the wire: the first has the highest of the sixteen bits. */
const propertyCodecs = {
  contentType: string8,
  contentEncoding: string8,
  headers: table,
  deliveryMode: u8,
  priority: u8,
  correlationId: string8,
  replyTo: string8,
  expiration: string8,
  messageId: string8,
  /** Seconds since 1970. */
  timestamp: i64,
  type: string8,
  userId: string8,
  appId: string8,
  clusterId: string8,
} as const

export interface Properties {
  contentType?: string
  contentEncoding?: string
  headers?: Table
  deliveryMode?: number
  priority?: number
  correlationId?: string
  replyTo?: string
  expiration?: string
  messageId?: string
  timestamp?: number
  type?: string
  userId?: string
  appId?: string
  clusterId?: string
}

const propertyList = Object.entries(propertyCodecs) as [keyof Properties, Codec<unknown, never>][]
const highestBit = 15

/** Sixteen bits that tell which properties are there, and those. Bits beyond the last property are refused. */
export const properties: Codec<Properties> = custom<Properties>({
  name: 'properties',
  bytesMin: 2,
  zero: () => ({}),
  read: readProperties,
  write: writeProperties,
  sample: sampleProperties,
})

function readProperties(reader: Reader): Properties {
  const bits = reader.u16()
  if ((bits & 3) !== 0) throw new ProtocolError(`Cannot take properties with flags ${bits}: there are fourteen`)
  const found: Record<string, unknown> = {}
  propertyList.forEach(([name, codec], index) => {
    if ((bits >>> (highestBit - index)) & 1) found[name] = codec.read(reader)
  })
  return found
}

function writeProperties(writer: Writer, value: Properties): void {
  const bits = propertyList.reduce((sum, [name], index) => {
    return value[name] === undefined ? sum : sum | (1 << (highestBit - index))
  }, 0)
  writer.u16(bits)
  for (const [name, codec] of propertyList) if (value[name] !== undefined) codec.write(writer, value[name] as never)
}

function sampleProperties(random: Random): Properties {
  const chosen = propertyList.filter(() => random.chance(0.4))
  return Object.fromEntries(chosen.map(([name, codec]) => [name, codec.sample(random)]))
}

/** What a header frame holds. The second field was never used. */
export const contentHeader = struct({ classId: u16, weight: u16, bodySize: i64, properties })
/** Before the properties. */
export const contentHeaderHeadBytes = 12
