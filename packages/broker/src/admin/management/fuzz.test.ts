import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { routes } from './routes.ts'
import { TestClient } from './testing/client.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const rounds = Number(process.env.ROUNDS ?? 500)

/** Fields that some route reads. */
const fieldNames = [
  ...[
    'durable',
    'auto_delete',
    'internal',
    'type',
    'arguments',
    'routing_key',
    'properties',
    'payload',
    'payload_encoding',
  ],
  ...['count', 'ackmode', 'encoding', 'truncate', 'value', 'pattern', 'definition', 'apply-to', 'priority', 'password'],
  ...['password_hash', 'hashing_algorithm', 'tags', 'limits', 'permissions', 'configure', 'write', 'read', 'exchange'],
  ...[
    'description',
    'default_queue_type',
    'users',
    'vhosts',
    'queues',
    'exchanges',
    'bindings',
    'policies',
    'parameters',
  ],
  ...[
    'name',
    'vhost',
    'source',
    'destination',
    'destination_type',
    'component',
    'action',
    'to',
    'max',
    'reason',
    'delay_ms',
  ],
  ...['due_ms', 'expression', 'time_zone', 'missed', 'enabled', 'metadata', 'topic_permissions', 'global_parameters'],
]
const texts = [
  ...[
    '',
    '/',
    'q',
    'e',
    'x',
    'guest',
    'amq.topic',
    'amq.default',
    'true',
    '5',
    '-1',
    '.*',
    '(',
    '^a',
    'string',
    'auto',
    'base64',
  ],
  ...[
    'ack_requeue_true',
    'ack_requeue_false',
    'reject_requeue_false',
    'quorum',
    'stream',
    'classic',
    'topic',
    'x-delayed-message',
  ],
  ...[
    'queues',
    'all',
    'administrator',
    '* * * * *',
    'UTC',
    '\u0000',
    '\ud800',
    'ä'.repeat(200),
    '__proto__',
    'limits',
    'vhost-limits',
  ],
]
const argumentNames = [
  'x-queue-type',
  'x-max-length',
  'x-message-ttl',
  'x-max-priority',
  'x-match',
  'max-length',
  'queue',
  'a',
]

function value(random: Random, depth: number): unknown {
  switch (random.below(depth > 3 ? 6 : 9)) {
    case 0:
      return random.pick([null, true, false])
    case 1:
      return random.pick([0, 1, -1, 3, 1.5, 1e300, 2 ** 53, 255, 256])
    case 2:
    case 3:
    case 4:
    case 5:
      return random.pick(texts)
    case 6:
      return Array.from({ length: random.below(3) }, () => value(random, depth + 1))
    case 7:
      return object(random, argumentNames, depth + 1)
    default:
      return object(random, fieldNames, depth + 1)
  }
}

function object(random: Random, names: readonly string[], depth: number): Record<string, unknown> {
  const entries = Array.from({ length: random.below(8) }, () => [random.pick(names), value(random, depth)])
  return Object.fromEntries(entries) as Record<string, unknown>
}

test(`no request is answered with a failure of the broker (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const client = await TestClient.start(t, { logLevel: 'off', queuesMax: 100, exchangesMax: 100 })
  for (const [path, body] of [
    ['queues/%2F/q', {}],
    ['exchanges/%2F/e', { type: 'topic' }],
  ] as const) {
    await client.ask('PUT', `/api/${path}`, body)
  }
  for (let round = 0; round < rounds; round++) {
    const route = random.pick(routes)
    const method = random.pick(Object.keys(route.on))
    const path = route.path.replaceAll(/:\w+/g, () => encodeURIComponent(random.pick(texts).toWellFormed()))
    const query =
      random.below(3) === 0
        ? `?${random.pick(['page', 'columns', 'sort', 'max', 'name', 'if-unused'])}=${encodeURIComponent(random.pick(texts).toWellFormed())}`
        : ''
    // Whoever is removed or gets another password could not ask any more.
    if (method !== 'GET' && path.includes('/guest')) continue
    const body = method === 'GET' ? undefined : JSON.stringify(object(random, fieldNames, 0))
    const { status, text } = await client.ask(method, path + query, body)
    const isFine = (status >= 200 && status < 500) || status === 501 || text.includes('"failed"')
    assert(isFine, `${method} ${path}${query} ${body}: ${status} ${text}`)
  }
  assert.equal(await client.status('GET', '/health'), 200)
})
