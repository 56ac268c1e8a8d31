import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import type { Header, HeaderValue } from '../message.ts'
import { publish, startRouter } from '../routing/test-bench.ts'
import { PoliciesMachine, policyRanks, policyTargets, type Policy } from './machine.ts'
import { mergedSettings } from './policy-settings.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const refusal =
  (code: ErrorCode, text = '') =>
  (error: unknown) =>
    error instanceof BrokerError && error.code === code && error.message.includes(text)

const saying = (definition: Record<string, HeaderValue>): Header[] =>
  Object.entries(definition).map(([name, value]) => ({ name, value }))

const policyOf = (
  name: string,
  pattern: string,
  definition: Record<string, HeaderValue>,
  more: Partial<Policy> = {},
): Policy => ({
  rank: 'user',
  namespace: '/',
  name,
  pattern,
  target: 'all',
  priority: 0,
  definition: saying(definition),
  ...more,
})

const settings = (config: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(config))

test('a policy takes effect on queues that are there and on those that come, and goes again', async () => {
  const node = await startRouter(memoryStores())
  const { queues, policies } = node
  const queue = await queues.declare('/', 'orders.new')
  for (const text of ['a', 'b', 'c']) await publish(node, '', 'orders.new', text)
  await policies.set(policyOf('short', '^orders\\.', { 'max-length': 1n, 'dead-letter-exchange': '' }))
  await turns()
  assert.deepEqual([queue.config.lengthMax, queue.config.deadLetterExchange, queue.readyCount], [1, '', 1])
  const other = await queues.declare('/', 'orders.old', settings({ 'length.max': '5' }))
  const foreign = await queues.declare('tenant', 'orders.old')
  assert.deepEqual([other.config.lengthMax, foreign.config.lengthMax], [1, -1])
  await policies.set(policyOf('short', 'old$', { 'max-length': 7n }))
  assert.deepEqual([queue.config.lengthMax, other.config.lengthMax], [-1, 5])
  assert.equal(await policies.remove('user', '/', 'short'), true)
  assert.equal(await policies.remove('user', '/', 'short'), false)
  assert.deepEqual([queue.config.lengthMax, other.config.lengthMax], [-1, 5])
  // What it was declared with is compared, not what it has become.
  await policies.set(policyOf('any', '', { 'max-length': 1n }))
  assert.equal(await queues.declare('/', 'orders.new'), queue)
  await node.close()
})

test('one policy of each rank applies: the one with the highest priority', async () => {
  const node = await startRouter(memoryStores())
  const { policies, queues } = node
  const queue = await queues.declare('/', 'q', settings({ 'message.ttl.ms': '500', overflow: 'reject-publish' }))
  await policies.set(policyOf('low', 'q', { 'max-length': 10n, expires: 5n }, { priority: 1 }))
  await policies.set(
    policyOf('high', 'q', { 'max-length': 20n, 'message-ttl': 900n, overflow: 'drop-head' }, { priority: 2 }),
  )
  assert.deepEqual(
    [queue.config.lengthMax, queue.config.expiresMs, queue.config.messageTtlMs, queue.config.overflow],
    [20, -1, 500, 'reject-publish'],
  )
  await policies.set(policyOf('op', '.*', { 'max-length': 15n, 'message-ttl': 100n }, { rank: 'operator' }))
  assert.deepEqual([queue.config.lengthMax, queue.config.messageTtlMs], [15, 100])
  await policies.set(policyOf('op', '.*', { 'max-length': 99n }, { rank: 'operator' }))
  assert.deepEqual([queue.config.lengthMax, queue.config.messageTtlMs], [20, 500])
  const { policy, operatorPolicy, definition } = policies.governing({ kind: 'queue', namespace: '/', name: 'q' })
  assert.deepEqual([policy?.name, operatorPolicy?.name], ['high', 'op'])
  assert.deepEqual(definition, saying({ 'max-length': 20n, 'message-ttl': 900n, overflow: 'drop-head' }))
  // Of equal priorities, the name decides.
  await policies.set(policyOf('a', 'q', { 'max-length': 3n }, { priority: 2 }))
  assert.equal(queue.config.lengthMax, 3)
  await node.close()
})

test('a policy is for what it says: queues of a type, exchanges, topics', async () => {
  const node = await startRouter(memoryStores())
  const { policies, queues } = node
  await node.topics.create('/', 'stream', { partitions: 1 })
  const classic = await queues.declare('/', 'classic')
  const quorum = await queues.declare('/', 'quorum', settings({ 'hint.x-queue-type': 'squorum' }))
  const found = (target: Policy['target']): string =>
    [
      ...[classic, quorum].map(({ definition: { name, config } }) => ({ kind: 'queue' as const, name, config })),
      { kind: 'topic' as const, name: 'stream' },
      { kind: 'exchange' as const, name: 'amq.direct' },
    ]
      .filter(of => policies.governing({ namespace: '/', ...of }).policy?.name === target)
      .map(({ name }) => name)
      .join(' ')
  for (const [target, expected] of Object.entries({
    all: 'classic quorum stream amq.direct',
    queues: 'classic quorum stream',
    exchanges: 'amq.direct',
    classic_queues: 'classic',
    quorum_queues: 'quorum',
    streams: 'stream',
  } satisfies Record<Policy['target'], string>)) {
    await policies.set(policyOf(target, '.', { 'max-length': 1n }, { target: target as Policy['target'] }))
    assert.equal(found(target as Policy['target']), expected)
    await policies.remove('user', '/', target)
  }
  await node.close()
})

test('a policy for streams bounds what topics keep, and no other does', async () => {
  const node = await startRouter(memoryStores())
  const { policies, topics } = node
  topics.policies = policies
  const config = settings({ retentionMs: '5000', retentionBytes: '-1' })
  const topic = await topics.create('/', 'stream', { partitions: 1, config })
  const compacted = await topics.create('/', 'stream-c', {
    partitions: 1,
    config: settings({ cleanupPolicy: 'compact' }),
  })
  const kept = (of = topic): [number | undefined, number | undefined] => {
    const { ms, bytes } = topics.retentionOf(of.partitions[0] ?? -1) ?? {}
    return [ms, bytes]
  }
  const definition = { 'max-age': '2s', 'max-length-bytes': 1000n }
  await policies.set(policyOf('p', '^stream', definition))
  assert.deepEqual(kept(), [5000, -1])
  await policies.set(policyOf('p', '^stream', definition, { target: 'streams' }))
  assert.deepEqual(
    [kept(), kept(compacted)],
    [
      [2000, 1000],
      [-1, -1],
    ],
  )
  const operator = { rank: 'operator', target: 'streams' } as const
  await policies.set(policyOf('p', '^stream', { 'max-length-bytes': 10n }, operator))
  assert.deepEqual(kept(), [2000, 10])
  await policies.set(policyOf('p', '^stream', { 'max-age': '1h' }, { target: 'streams' }))
  assert.deepEqual(kept(), [5000, 10])
  await node.close()
})

test('the alternate exchange of a policy is taken when the exchange has none of its own', async () => {
  const node = await startRouter(memoryStores())
  const { policies, queues, router } = node
  await queues.declare('/', 'rest')
  await router.declare('/', 'in')
  await router.declare('/', 'own', { config: settings({ 'alternate.exchange': 'nowhere' }) })
  await router.declare('/', 'out', { kind: 'fanout' })
  await router.bind('/', { source: 'out', kind: 'queue', destination: 'rest', key: '' })
  const routes = (): (number | undefined)[] =>
    ['in', 'own', 'amq.topic', 'later', ''].map(name => router.route('/', name, 'unknown')?.length)
  assert.deepEqual(routes(), [0, 0, 0, undefined, 0])
  await policies.set(policyOf('ae', '', { 'alternate-exchange': 'out' }))
  await router.declare('/', 'later')
  assert.deepEqual(routes(), [1, 0, 1, 1, 0])
  await router.unbind('/', { source: 'out', kind: 'queue', destination: 'rest', key: '' })
  assert.deepEqual(routes(), [0, 0, 0, 0, 0])
  await router.bind('/', { source: 'out', kind: 'queue', destination: 'rest', key: '' })
  assert.deepEqual(routes(), [1, 0, 1, 1, 0])
  await policies.set(policyOf('ae', '^in$', { 'alternate-exchange': 'out' }))
  assert.deepEqual(routes(), [1, 0, 0, 0, 0])
  await policies.remove('user', '/', 'ae')
  assert.deepEqual(routes(), [0, 0, 0, 0, 0])
  await node.close()
})

for (const how of ['kill', 'close'] as const) {
  test(`policies are there after ${how}, and apply to what is`, async () => {
    const stores = memoryStores()
    let node = await startRouter(stores)
    await node.queues.declare('/', 'q')
    await node.router.declare('/', 'x')
    await node.policies.set(policyOf('gone', '.', { 'max-length': 1n }))
    await node.policies.remove('user', '/', 'gone')
    await node.policies.set(
      policyOf('p', '^q', { 'message-ttl': 1000n, 'ha-params': [1n, 'two'] }, { target: 'queues' }),
    )
    await node.policies.set(policyOf('ae', '^x', { 'alternate-exchange': 'amq.fanout' }, { priority: -3 }))
    await node.policies.set(policyOf('op', '', { 'max-length': 9n }, { rank: 'operator', namespace: 'tenant' }))
    const told = policyRanks.flatMap(rank => node.policies.list(rank))
    assert.equal(told.length, 3)
    if (how === 'close') await node.cell.checkpointer.flush()
    await node[how]()
    node = await startRouter(stores, {}, node.clock)
    assert.deepEqual(
      policyRanks.flatMap(rank => node.policies.list(rank)),
      told,
    )
    const queue = node.queues.get('/', 'q')!
    assert.equal(queue.config.messageTtlMs, 1000)
    await node.queues.declare('/', 'behind')
    await node.router.bind('/', { source: 'amq.fanout', kind: 'queue', destination: 'behind', key: '' })
    assert.equal(node.router.route('/', 'x', 'k')?.length, 1)
    await publish(node, '', 'q', 'x')
    await node.policies.set(policyOf('p', '^q', { 'message-ttl': 100n }))
    await node.clock.advance(200)
    assert.equal(queue.readyCount, 0, 'a shorter time to live is for what waits already')
    await node.policies.forgetNamespace('tenant')
    assert.deepEqual(node.policies.list('operator'), [])
    await node.close()
  })
}

test('a policy decides how long messages and queues live that are there already, and lets go of them again', async () => {
  const node = await startRouter(memoryStores())
  const { policies, queues, clock } = node
  const queue = await queues.declare('/', 'q', settings({ 'message.ttl.ms': '60000', 'expires.ms': '60000' }))
  await publish(node, '', 'q', 'x')
  await clock.advance(1000)
  await policies.set(policyOf('p', 'q', { 'message-ttl': 3000n, expires: 5000n }))
  await clock.advance(1500)
  assert.equal(queue.readyCount, 1)
  await clock.advance(1000)
  assert.equal(queue.readyCount, 0)
  await publish(node, '', 'q', 'y')
  await policies.remove('user', '/', 'p')
  await clock.advance(20_000)
  assert.deepEqual([queues.get('/', 'q'), queue.readyCount], [queue, 1])
  await policies.set(policyOf('p', 'q', { expires: 1000n }))
  await clock.advance(1500)
  assert.equal(queues.get('/', 'q'), undefined)
  await node.close()
})

test('what cannot be a policy is refused, and says why', async () => {
  const node = await startRouter(memoryStores(), { policiesMax: 1 })
  const { policies } = node
  const bad = (policy: Policy, code: ErrorCode, text: string): Promise<void> =>
    assert.rejects(policies.set(policy), refusal(code, text))
  await bad(policyOf('p', '(', { expires: 1n }), 'pattern-invalid', '')
  await bad(policyOf('p', '(a)\\1', { expires: 1n }), 'pattern-invalid', '')
  await bad(policyOf('p', 'x'.repeat(2000), { expires: 1n }), 'pattern-invalid', '1024 bytes')
  await bad(policyOf('', '', { expires: 1n }), 'name-invalid', '1 to 255 bytes')
  await bad(policyOf('a\nb', '', { expires: 1n }), 'name-invalid', 'control')
  await bad(policyOf('p', '', {}), 'config-invalid', 'says something')
  await bad(policyOf('p', '', { expires: 0n }), 'config-invalid', 'expires')
  await bad(policyOf('p', '', { 'max-length': 'ten' }), 'config-invalid', 'max-length')
  await bad(policyOf('p', '', { 'alternate-exchange': 1n }), 'config-invalid', 'alternate-exchange')
  await bad(policyOf('p', '', { 'max-age': '1 fortnight' }), 'config-invalid', 'max-age')
  await bad(policyOf('p', '', { 'x-max-length': 1n }), 'config-invalid', 'not recognised policy settings')
  await bad(policyOf('p', '', { toString: 1n }), 'config-invalid', 'not recognised policy settings')
  const operator = { rank: 'operator' } as const
  await bad(policyOf('p', '', { 'dead-letter-exchange': 'x' }, operator), 'config-invalid', 'operator policy')
  await bad(policyOf('p', '', { expires: 1n }, { ...operator, target: 'exchanges' }), 'request-invalid', 'for queues')
  await bad(policyOf('p', '', { expires: 1n }, { priority: 1.5 }), 'request-invalid', 'priority')
  await bad(policyOf('p', '', { 'dead-letter-exchange': 'x'.repeat(300) }), 'config-invalid', '')
  await policies.set(policyOf('p', '', { 'dead-letter-routing-key': 'k' }))
  await bad(policyOf('q', '', { expires: 1n }), 'limit-reached', '1 policies')
  await policies.set(policyOf('p', '', { expires: 7n }))
  await node.close()
})

test('a pattern that is built to be costly is decided in time', async () => {
  const node = await startRouter(memoryStores())
  const name = 'a'.repeat(200)
  const queue = await node.queues.declare('/', name)
  await node.policies.set(policyOf('evil', '^(a+)+$', { 'max-length': 4n }))
  assert.equal(queue.config.lengthMax, 4)
  await node.policies.set(policyOf('evil', '^(([a-z])+.)+[A-Z]([a-z])+$', { 'max-length': 4n }))
  assert.equal(queue.config.lengthMax, -1)
  await node.close()
})

test(`of bounds the smallest applies, of all else what was said first (SEED=${seed})`, () => {
  const random = new Random(seed)
  const bounds = ['message.ttl.ms', 'expires.ms', 'length.max', 'bytes.max', 'delivery.limit']
  for (let round = 0; round < 500; round++) {
    const sources = Array.from({ length: 3 }, () => {
      const source = new Map<string, string>()
      for (const name of bounds) if (random.below(2) === 0) source.set(name, String(random.below(6)))
      if (random.below(2) === 0) source.set('overflow', random.pick(['drop-head', 'reject-publish']))
      return source
    })
    const merged = mergedSettings(sources)
    for (const name of bounds) {
      const given = sources.flatMap(source => (source.has(name) ? [Number(source.get(name))] : []))
      const bounding = name === 'delivery.limit' ? given.filter(count => count > 0) : given
      const expected = given.length === 0 ? undefined : bounding.length === 0 ? 0 : Math.min(...bounding)
      assert.equal(merged.get(name), expected?.toString())
    }
    const first = sources.find(source => source.has('overflow'))
    assert.equal(merged.get('overflow'), first?.get('overflow'))
  }
})

test(`facts and checkpoints arrive at the same policies (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const node = await startRouter(memoryStores())
  for (let step = 0; step < 200; step++) {
    const rank = random.pick([...policyRanks])
    const [namespace, name] = [random.pick(['/', 'b']), random.pick(['p', 'q', 'r'])]
    if (random.below(3) === 0) await node.policies.remove(rank, namespace, name)
    else {
      const target = rank === 'operator' ? 'queues' : random.pick([...policyTargets])
      const priority = random.below(9) - 4
      await node.policies.set(
        policyOf(name, '^a', { expires: BigInt(1 + step) }, { rank, namespace, target, priority }),
      )
    }
  }
  const machine = node.cell.machine(9)
  assert(machine instanceof PoliciesMachine)
  const out = new Writer()
  machine.save(out)
  const loaded = new PoliciesMachine()
  const from = new Reader(out.take())
  loaded.load(from)
  from.expectEnd()
  assert.deepEqual(loaded.policies, machine.policies)
  assert.equal(loaded.count, machine.count)
  await node.close()
})
