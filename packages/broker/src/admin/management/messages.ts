import { isUtf8 } from 'node:buffer'
import type { Header } from '../../core/message.ts'
import { confirmSelect } from '../../protocols/amqp/messages/confirm.ts'
import {
  basicAck,
  basicGet,
  basicGetOk,
  basicNack,
  basicPublish,
  basicReject,
  basicReturn,
  type Properties,
} from '../../protocols/amqp/messages/basic.ts'
import { decodeProperties, encodeProperties } from '../../protocols/amqp/mapping.ts'
import { integerOf, isFields, required, textOf, type Call, type Fields } from './call.ts'
import { directly, type DirectChannel, type Reply } from './direct.ts'
import { badRequest, Refusal } from './errors.ts'
import { exchangeOf } from './exchanges.ts'
import type { Item } from './listing.ts'
import { placeOf } from './queues.ts'
import type { Route } from './route.ts'
import { headersOf, jsonOfField, tableOf } from './values.ts'

/** Messages that one request may ask for, and their bytes together. */
const gotMax = 10_000
const gotBytesMax = 64 * 1024 * 1024

export const messageRoutes: readonly Route[] = [
  { path: '/api/exchanges/:vhost/:exchange/publish', need: 'vhost', on: { POST: publish } },
  { path: '/api/queues/:vhost/:queue/get', need: 'vhost', on: { POST: get } },
]

async function publish(call: Call): Promise<unknown> {
  const { name, namespace } = exchangeOf(call)
  const { fields } = call
  required(fields, 'routing_key', 'properties', 'payload', 'payload_encoding')
  if (typeof fields.payload !== 'string') throw badRequest('payload_not_string')
  const body = bodyOf(fields.payload, textOf(fields, 'payload_encoding', ''))
  const properties = encodeProperties(propertiesOf(fields.properties))
  return directly(
    call,
    namespace,
    async channel => {
      await channel.run(confirmSelect, { flags: { noWait: true } })
      const flags = { mandatory: true, immediate: false }
      const routingKey = textOf(fields, 'routing_key', '')
      await channel.run(basicPublish, { reserved1: 0, exchange: name, routingKey, flags }, { properties, body })
      let routed = true
      for (;;) {
        const { method } = await channel.reply()
        if (method === basicReturn) routed = false
        if (method === basicAck) return { routed }
        if (method === basicNack) throw badRequest('rejected')
      }
    },
    true,
  )
}

export function bodyOf(payload: string, encoding: string): Buffer {
  if (encoding === 'string') return Buffer.from(payload)
  if (encoding !== 'base64') throw badRequest('unsupported_encoding')
  if (!/^[\w+/\s-]*={0,2}\s*$/.test(payload)) throw badRequest('the payload is not written in base64')
  return Buffer.from(payload, 'base64')
}

const texts = {
  content_type: 'contentType',
  content_encoding: 'contentEncoding',
  correlation_id: 'correlationId',
  reply_to: 'replyTo',
  expiration: 'expiration',
  message_id: 'messageId',
  type: 'type',
  user_id: 'userId',
  app_id: 'appId',
  cluster_id: 'clusterId',
} as const satisfies Record<string, keyof Properties>
const numbers = { delivery_mode: 'deliveryMode', priority: 'priority', timestamp: 'timestamp' } as const

const shortTextBytesMax = 255
const byteMax = 255

/** Throws `Refusal`. */
export function propertiesOf(given: unknown): Properties {
  const found: Properties = {}
  if (Array.isArray(given) && given.length === 0) return found
  if (!isFields(given)) throw badRequest('properties must be an object')
  for (const [word, name] of Object.entries(texts)) {
    if (given[word] === undefined || given[word] === null) continue
    const text = textOf(given, word, '')
    if (Buffer.byteLength(text) > shortTextBytesMax)
      throw badRequest(`${word} has more than ${shortTextBytesMax} bytes`)
    found[name] = text
  }
  for (const [word, name] of Object.entries(numbers)) {
    if (given[word] === undefined || given[word] === null) continue
    const number = integerOf(given, word)
    if (number < 0 || (word !== 'timestamp' && number > byteMax)) throw badRequest(`${word} cannot be ${number}`)
    found[name] = number
  }
  if (given.headers !== undefined) found.headers = tableOf(given.headers, 'headers')
  return found
}

export function propertiesItem(properties: Properties): Item {
  const shown: Record<string, unknown> = {}
  for (const [word, name] of Object.entries({ ...texts, ...numbers })) {
    if (properties[name] !== undefined) shown[word] = properties[name]
  }
  const { headers } = properties
  if (headers) shown.headers = Object.fromEntries(headers.map(({ name, ...field }) => [name, jsonOfField(field)]))
  return shown
}

const ackModes = ['ack_requeue_true', 'ack_requeue_false', 'reject_requeue_true', 'reject_requeue_false'] as const
type AckMode = (typeof ackModes)[number]

interface GetRequest {
  readonly ackMode: AckMode
  readonly count: number
  readonly isBase64: boolean
  /** Payloads are cut behind so many bytes. */
  readonly bytesMax: number
}

/** Throws `Refusal`. */
function getRequestOf(fields: Fields): GetRequest {
  // Former clients say only whether messages go back.
  const given = fields.ackmode ?? (fields.requeue === undefined ? undefined : `ack_requeue_${String(fields.requeue)}`)
  required({ ...fields, ackmode: given }, 'ackmode', 'count', 'encoding')
  const ackMode = ackModes.find(mode => mode === given)
  if (!ackMode) throw badRequest(`Invalid ackmode value: ${String(given)}. Valid values are: ${ackModes.join(', ')}.`)
  const encoding = textOf(fields, 'encoding', '')
  if (encoding !== 'auto' && encoding !== 'base64') {
    throw badRequest('Unsupported encoding. Please use auto or base64.')
  }
  const count = integerOf(fields, 'count')
  if (count < 0 || count > gotMax) throw badRequest(`count must be 0 to ${gotMax}`)
  const bytesMax = fields.truncate === undefined ? Infinity : integerOf(fields, 'truncate')
  return { ackMode, count, isBase64: encoding === 'base64', bytesMax }
}

async function get(call: Call): Promise<unknown> {
  placeOf(call)
  const request = getRequestOf(call.fields)
  const queue = call.param('queue')
  return directly(
    call,
    call.vhost,
    async channel => {
      const found: Item[] = []
      const tags: number[] = []
      let bytes = 0
      while (found.length < request.count && bytes < gotBytesMax) {
        const flags = { noAck: request.ackMode === 'ack_requeue_false' }
        await channel.run(basicGet, { reserved1: 0, queue, flags })
        const reply = await channel.reply()
        if (reply.method !== basicGetOk) break
        bytes += reply.content?.body.length ?? 0
        tags.push(Number(reply.fields.deliveryTag))
        found.push(messageItem(reply, request))
      }
      await settle(channel, tags, request.ackMode)
      return found
    },
    true,
  )
}

/** Only when all are taken: the next would be the same ones again. */
async function settle(channel: DirectChannel, tags: readonly number[], mode: AckMode): Promise<void> {
  if (mode === 'ack_requeue_false') return
  const requeue = mode !== 'reject_requeue_false'
  for (const deliveryTag of tags) await channel.run(basicReject, { deliveryTag, flags: { requeue } })
  await channel.settled()
}

function messageItem({ fields, content }: Reply, request: GetRequest): Item {
  if (!content) throw new Refusal(500, 'internal_server_error', 'a message came without its content')
  const { body, properties } = content
  return {
    redelivered: fields.redelivered,
    exchange: fields.exchange,
    routing_key: fields.routingKey,
    message_count: fields.messageCount,
    properties: propertiesItem(decodeProperties(properties)),
    ...payloadItem(body, request),
  }
}

/** A body as text if it is some, else in base64. */
export function payloadItem(body: Buffer, { isBase64, bytesMax }: Pick<GetRequest, 'isBase64' | 'bytesMax'>): Item {
  const shown = body.subarray(0, bytesMax)
  const isText = !isBase64 && isUtf8(shown)
  return {
    payload_bytes: body.length,
    payload: shown.toString(isText ? 'utf8' : 'base64'),
    payload_encoding: isText ? 'string' : 'base64',
  }
}

/** Headers by which a message is routed. */
export const headerTexts = (fields: Fields): Header[] => {
  const { properties } = fields
  return isFields(properties) ? headersOf(properties.headers, 'headers') : []
}
