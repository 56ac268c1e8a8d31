import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { envelopeHeader, newMessage, type HeaderValue, type Message } from '../../core/message.ts'
import { noStamp, type Death } from '../../core/queues/stamp.ts'
import { fieldValue, fromMessage, hubValue, encodeProperties, envelopeOf, toMessage, deathFields } from './mapping.ts'
import { properties as propertiesCodec, type Properties } from './messages/basic.ts'
import type { Field } from './table.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const now = 1_700_000_000_000

function stored(properties: Properties): Message {
  const bytes = encodeProperties(properties)
  const envelope = envelopeOf(bytes, 0, bytes.length)
  const headers = [{ key: envelopeHeader, value: envelope }]
  return toMessage({ key: Buffer.from('key'), value: Buffer.from('body'), timestampMs: now, headers })
}

test('properties are those of the message between protocols', () => {
  const message = stored({
    contentType: 'text/plain',
    contentEncoding: 'gzip',
    headers: [
      { name: 'n', type: 'I', value: 5 },
      { name: 'x-delay', type: 'I', value: 1000 },
      { name: 'group-id', type: 'S', value: 'g' },
      { name: 'timestamp_in_ms', type: 'l', value: 1_600_000_000_123n },
    ],
    deliveryMode: 2,
    priority: 7,
    correlationId: 'c',
    replyTo: 'r',
    expiration: '500',
    messageId: 'm',
    timestamp: 1_600_000_000,
    type: 't',
    userId: 'u',
    appId: 'a',
    clusterId: 'z',
  })
  assert.equal(message.origin?.protocol, 'amqp')
  assert.deepEqual({ ...message, origin: undefined }, {
    ...newMessage(Buffer.from('body'), 1_600_000_000_123),
    key: Buffer.from('key'),
    headers: [
      { name: 'n', value: 5n },
      { name: 'x-basic-type', value: 't' },
      { name: 'x-basic-user-id', value: 'u' },
      { name: 'x-basic-app-id', value: 'a' },
      { name: 'x-basic-cluster-id', value: 'z' },
    ],
    contentType: 'text/plain',
    contentEncoding: 'gzip',
    correlationId: 'c',
    replyTo: 'r',
    priority: 7,
    expirationMs: now + 500,
    delayUntilMs: now + 1000,
    messageId: 'm',
    groupId: 'g',
    persistent: true,
    origin: undefined,
  } satisfies Message)
})

test('a message of another protocol has the properties that there are here', () => {
  const message: Message = {
    ...newMessage(null, now - 1),
    key: Buffer.from('key'),
    headers: [
      { name: 'twice', value: 'first' },
      { name: 'bytes', value: Buffer.from('ff', 'hex') },
      { name: 'twice', value: 'last' },
      { name: 'n'.repeat(256), value: 'left out' },
    ],
    contentType: 'c'.repeat(256),
    correlationId: Buffer.from('text'),
    messageId: Buffer.from('ff', 'hex'),
    priority: 1000,
    expirationMs: now + 10.5,
    delayUntilMs: now + 3000,
    groupId: 'g',
    persistent: false,
  }
  const { body, properties } = fromMessage(message, now)
  assert.equal(body.length, 0)
  assert.deepEqual(properties, {
    headers: [
      { name: 'bytes', type: 'x', value: Buffer.from('ff', 'hex') },
      { name: 'twice', type: 'S', value: 'last' },
      { name: 'x-delay', type: 'l', value: 3000n },
      { name: 'group-id', type: 'S', value: 'g' },
      { name: 'timestamp_in_ms', type: 'l', value: BigInt(now - 1) },
    ],
    deliveryMode: 1,
    priority: 255,
    expiration: '11',
    timestamp: now / 1000 - 1,
    correlationId: 'text',
  })
})

test('every type of value has one of the other side', () => {
  const values: [HeaderValue, Omit<Field, 'name'>][] = [
    [null, { type: 'V', value: null }],
    [true, { type: 't', value: true }],
    [-5n, { type: 'l', value: -5n }],
    [2n ** 63n, { type: 'S', value: '9223372036854775808' }],
    [0.5, { type: 'd', value: 0.5 }],
    ['text', { type: 'S', value: 'text' }],
    [{ timeMs: 1_600_000_000_999 }, { type: 'T', value: 1_600_000_000n }],
    [
      [1n, 'a'],
      {
        type: 'A',
        value: [
          { type: 'l', value: 1n },
          { type: 'S', value: 'a' },
        ],
      },
    ],
    [new Map([['k', 1n]]), { type: 'F', value: [{ name: 'k', type: 'l', value: 1n }] }],
  ]
  for (const [value, field] of values) assert.deepEqual(fieldValue(value), field)
  assert.equal(hubValue({ type: 'D', value: { scale: 2, unscaled: 314 } }), 3.14)
  assert.deepEqual(hubValue({ type: 'T', value: 5n }), { timeMs: 5000 })
  for (const type of ['b', 'B', 's', 'u', 'I', 'i'] as const) assert.equal(hubValue({ type, value: 7 }), 7n)
})

test(`bytes that are no envelope of ours are headers like any other (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 2000; round++) {
    const bytes = encodeProperties(propertiesCodec.sample(random))
    const envelope = envelopeOf(bytes, 0, bytes.length)
    envelope[random.below(envelope.length)] = random.below(256)
    const value = envelope.subarray(0, random.below(envelope.length + 1))
    const headers = [{ key: envelopeHeader, value: random.chance(0.1) ? null : value }]
    const message = toMessage({ key: null, value: null, timestampMs: 0, headers })
    assert(message.origin !== undefined || message.headers.length === 1)
  }
})

test('the newest death is the last, and the first stays the first', () => {
  const death = (queue: string, isFirst: boolean): Death => {
    const times = { firstMs: now, lastMs: now, count: 2, ttlMs: -1 }
    return { queue, reason: 'expired', exchange: 'x', keys: ['k'], isFirst, isPast: false, ...times }
  }
  const deaths = [death('c', false), death('a', true), death('b', false)]
  const fields = deathFields({ ...noStamp, deaths }, '')
  const named = new Map(fields.map(({ name, value }) => [name, value]))
  assert.equal(fields.length, 7)
  assert.equal(named.get('x-first-death-queue'), 'a')
  assert.equal(named.get('x-last-death-queue'), 'c')
  assert.deepEqual(deathFields(noStamp, ''), [])
})
