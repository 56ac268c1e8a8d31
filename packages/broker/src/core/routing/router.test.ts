import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { machineKinds } from '../../cell/machine.ts'
import { DirectoryMachine } from '../directory.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import type { Header, HeaderValue } from '../message.ts'
import { predeclared } from './exchange.ts'
import type { BindingDefinition } from './router.ts'
import { publish, startRouter, type RouterNode } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const refusal =
  (code: ErrorCode, text = '') =>
  (error: unknown) =>
    error instanceof BrokerError && error.code === code && error.message.includes(text)

const toQueue = (source: string, destination: string, key = ''): BindingDefinition => {
  return { source, kind: 'queue', destination, key }
}
const toExchange = (source: string, destination: string, key = ''): BindingDefinition => {
  return { source, kind: 'exchange', destination, key }
}
const config = (settings: Record<string, string>): ReadonlyMap<string, string> => new Map(Object.entries(settings))

const routed = (node: RouterNode, exchange: string, key: string, namespace = '/'): string[] | undefined =>
  node.router.route(namespace, exchange, key)?.map(({ kind, name }) => `${kind} ${name}`)

const declared = (node: RouterNode, namespace = '/'): string[] =>
  node.router
    .list(namespace)
    .map(({ name }) => name)
    .filter(name => !predeclared.has(name))

/** Every type of value. */
const everyArgument: Header[] = Object.entries<HeaderValue>({
  null: null,
  true: true,
  false: false,
  integer: -(2n ** 63n),
  double: 0.5,
  text: 'ä\0',
  bytes: Buffer.from([0, 255]),
  time: { timeMs: 5 },
  list: [1n, [null, 'x']],
  map: new Map<string, HeaderValue>([['k', new Map([['l', 2n]])]]),
}).map(([name, value]) => ({ name, value }))

for (const how of ['kill', 'close'] as const) {
  test(`after ${how}, durable exchanges and bindings are there in their order, and no others`, async () => {
    const stores = memoryStores()
    let node = await startRouter(stores)
    const { router } = node
    await node.queues.declare('/', 'q')
    await node.queues.declare('tenant', 'q')
    await node.topics.create('/', 'log')
    await router.declare('/', 'z', { kind: 'topic', autoDelete: true })
    await router.declare('/', 'a', { kind: 'headers', internal: true, config: config({ 'alternate.exchange': 'z' }) })
    await router.declare('/', 'h', { kind: 'hash', config: config({ 'hash.header': 'id' }) })
    await router.declare('/', 'brief', { kind: 'fanout', isDurable: false })
    await router.declare('tenant', 'a')
    await router.declare('/', 'gone')
    await router.bind('/', toQueue('gone', 'q'))
    await router.remove('/', 'gone')
    await router.bind('/', { source: 'a', kind: 'topic', destination: 'log', key: '', arguments: everyArgument })
    await router.bind('/', toQueue('z', 'q', 'a.#'))
    await router.bind('/', toExchange('z', 'brief', '#'))
    await router.bind('/', toQueue('brief', 'q'))
    await router.bind('/', toExchange('a', 'z'))
    await router.bind('/', toQueue('amq.direct', 'q', 'k'))
    await router.unbind('/', toQueue('amq.direct', 'q', 'none'))
    await router.bind('tenant', toQueue('amq.topic', 'q', '*'))
    const kept = (name: string): boolean => name !== 'brief'
    const before = router.list().filter(({ name }) => kept(name))
    const bindings = router.bindings('/').filter(({ source, destination }) => kept(source) && kept(destination))
    await node[how]()

    node = await startRouter(stores, {}, node.clock)
    assert.deepEqual(node.router.list(), before)
    assert.deepEqual(node.router.bindings('/'), bindings)
    assert.equal(bindings.length, 4)
    const told = node.router.bindings('/', 'a')[0]?.arguments
    assert.deepEqual(
      told,
      everyArgument.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    )
    assert.deepEqual(routed(node, 'amq.topic', 'x', 'tenant'), ['queue q'])
    assert.deepEqual(routed(node, 'amq.topic', 'x'), [])
    assert.deepEqual(routed(node, 'z', 'a.b'), ['queue q'])
    await node.router.bind('/', toQueue('z', 'q', 'b.#'))
    await node.close()
  })
}

test('an exchange is declared again only as it is, and the refusal names what differs', async () => {
  const node = await startRouter(memoryStores(), { exchangesMax: 3 })
  const { router } = node
  const options = { kind: 'topic', autoDelete: true, config: config({ 'alternate.exchange': 'x' }) } as const
  const made = await router.declare('/', 'e', options)
  assert.deepEqual(await router.declare('/', 'e', options), made)
  const differences = [
    [{ ...options, kind: 'fanout' }, 'kind topic, not fanout'],
    [{ ...options, isDurable: false }, 'durable true, not false'],
    [{ ...options, autoDelete: false }, 'auto.delete true, not false'],
    [{ ...options, internal: true }, 'internal false, not true'],
    [{ ...options, config: config({}) }, 'alternate.exchange x, not nothing'],
  ] as const
  for (const [other, text] of differences) {
    await assert.rejects(router.declare('/', 'e', other), refusal('exchange-exists', `"e" has ${text}`))
  }
  await router.declare('/', 'amq.topic', { kind: 'topic' })
  await assert.rejects(router.declare('/', 'amq.topic'), refusal('exchange-exists', 'kind'))
  await router.declare('/', '')
  await assert.rejects(router.declare('/', 'x'.repeat(256)), refusal('name-invalid', 'an exchange'))
  await assert.rejects(router.declare('/', 'a\n'), refusal('name-invalid'))
  const hashed = config({ 'hash.header': 'h' })
  await assert.rejects(router.declare('/', 'b', { config: hashed }), refusal('config-invalid', 'hash.header'))
  await assert.rejects(router.declare('/', 'b', { config: config({ x: '' }) }), refusal('config-invalid', '"x"'))
  await router.declare('/', 'b')
  await router.declare('other', 'b')
  await assert.rejects(router.declare('/', 'c'), refusal('limit-reached', '3 exchanges'))
  await node.close()
})

test('an exchange goes with its bindings, unless it is to be unused and is not', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues } = node
  await queues.declare('/', 'q')
  await router.declare('/', 'e')
  await router.bind('/', toQueue('e', 'q', 'k'))
  await router.bind('/', toExchange('amq.fanout', 'e'))
  await assert.rejects(router.remove('/', 'e', { ifUnused: true }), refusal('exchange-in-use', '1 bindings'))
  assert.deepEqual(routed(node, 'amq.fanout', 'k'), ['queue q'])
  await router.remove('/', 'e')
  assert.deepEqual(routed(node, 'amq.fanout', 'k'), [])
  assert.equal(routed(node, 'e', 'k'), undefined)
  assert.deepEqual(router.bindings('/'), [])
  assert.deepEqual(router.bindingsTo('/', 'queue', 'q'), [])
  await router.declare('/', 'e')
  await router.remove('/', 'e', { ifUnused: true })
  await assert.rejects(router.remove('/', 'e'), refusal('exchange-not-found'))
  for (const name of ['', 'amq.topic']) await assert.rejects(router.remove('/', name), refusal('access-denied'))
  await node.close()
})

test('a queue or topic that goes takes its bindings along, and exchanges that are to go with their last one', async () => {
  const stores = memoryStores()
  let node = await startRouter(stores)
  const { router, queues, topics } = node
  for (const name of ['q', 'p']) await queues.declare('/', name)
  await topics.create('/', 'log')
  for (const name of ['first', 'second', 'third']) await router.declare('/', name, { kind: 'fanout', autoDelete: true })
  await router.declare('/', 'brief', { kind: 'fanout', autoDelete: true, isDurable: false })
  await router.bind('/', toQueue('first', 'q'))
  await router.bind('/', toExchange('second', 'first'))
  await router.bind('/', toExchange('first', 'second'))
  await router.bind('/', toQueue('third', 'q', 'a'))
  await router.bind('/', toQueue('third', 'q', 'b'))
  await router.bind('/', toQueue('third', 'p'))
  await router.bind('/', toQueue('brief', 'q'))
  await router.bind('/', { source: 'amq.fanout', kind: 'topic', destination: 'log', key: '' })
  assert.deepEqual(routed(node, 'second', ''), ['queue q'])
  await queues.remove('/', 'q')
  // The two that lead to each other keep each other.
  assert.deepEqual(declared(node), ['first', 'second', 'third'])
  assert.deepEqual(routed(node, 'third', ''), ['queue p'])
  await router.unbind('/', toExchange('second', 'first'))
  assert.deepEqual(declared(node), ['third'])
  await queues.remove('/', 'p')
  assert.deepEqual(declared(node), [])
  await topics.remove('/', 'log')
  assert.deepEqual(router.bindings('/'), [])
  await queues.declare('/', 'log')
  assert.deepEqual(routed(node, 'amq.fanout', ''), [])
  await node.kill()
  node = await startRouter(stores, {}, node.clock)
  assert.deepEqual(declared(node), [])
  assert.deepEqual(node.router.bindings('/'), [])
  await node.close()
})

test('bind and unbind may be repeated; bindings differ by their arguments and are bounded', async () => {
  const node = await startRouter(memoryStores(), { bindingsMax: 3, bindingBytesMax: 300 })
  const { router, queues } = node
  await queues.declare('/', 'q')
  const given = (value: HeaderValue): Header[] => [
    { name: 'x-match', value: 'any' },
    { name: 'n', value },
  ]
  const binding = toQueue('amq.headers', 'q')
  for (const value of [1n, 1, 1n]) await router.bind('/', { ...binding, arguments: given(value) })
  await router.bind('/', { ...binding, arguments: given(1n).toReversed() })
  assert.equal(router.bindings('/', 'amq.headers').length, 2)
  assert.equal(router.bindingsTo('/', 'queue', 'q').length, 2)
  const route = (value: HeaderValue): number | undefined =>
    router.route('/', 'amq.headers', '', [{ name: 'n', value }])?.length
  assert.deepEqual([route(1n), route(1), route('1')], [1, 1, 0])
  await router.unbind('/', { ...binding, arguments: given(1n) })
  await router.unbind('/', { ...binding, arguments: given(1n) })
  assert.deepEqual([route(1n), route(1)], [0, 1])

  await assert.rejects(router.bind('/', toQueue('amq.direct', 'q', 'k'.repeat(301))), refusal('limit-reached', '300'))
  await router.bind('/', toQueue('amq.direct', 'q', 'a'))
  await router.bind('/', toQueue('amq.direct', 'q', 'b'))
  await assert.rejects(router.bind('/', toQueue('amq.direct', 'q', 'c')), refusal('limit-reached', '3 bindings'))
  await router.bind('/', toQueue('amq.direct', 'q', 'b'))
  await router.unbind('/', toQueue('amq.direct', 'q', 'b'))
  await node.close()
})

test('a binding that cannot be is refused', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues } = node
  await queues.declare('/', 'q')
  await router.declare('/', 'ring', { kind: 'hash' })
  const deep = Array.from({ length: 5000 }).reduce<HeaderValue>(value => [value], 1n)
  const cases: [BindingDefinition, ErrorCode, string][] = [
    [toQueue('none', 'q'), 'exchange-not-found', '"none"'],
    [toQueue('amq.direct', 'none'), 'queue-not-found', '"none"'],
    [{ source: 'amq.direct', kind: 'topic', destination: 'q', key: '' }, 'topic-not-found', '"q"'],
    [toExchange('amq.direct', 'none'), 'exchange-not-found', '"none"'],
    [toQueue('', 'q', 'q'), 'access-denied', 'default'],
    [toExchange('amq.direct', ''), 'access-denied', 'default'],
    [
      { ...toQueue('amq.match', 'q'), arguments: [{ name: 'x-match', value: 'some' }] },
      'request-invalid',
      'any-with-x',
    ],
    [{ ...toQueue('amq.match', 'q'), arguments: [{ name: 'x-match', value: 1n }] }, 'request-invalid', 'any-with-x'],
    [{ ...toQueue('amq.match', 'q'), arguments: [{ name: 'n', value: deep }] }, 'request-invalid', 'nested'],
    ...['', '0', '-1', '1.5', 'x', '5000'].map(
      key => [toQueue('ring', 'q', key), 'request-invalid', 'weight'] as [BindingDefinition, ErrorCode, string],
    ),
  ]
  for (const [binding, code, text] of cases) {
    await assert.rejects(router.bind('/', binding), refusal(code, text), JSON.stringify([binding.source, binding.key]))
  }
  await router.bind('/', toQueue('ring', 'q', '4000'))
  await assert.rejects(router.bind('/', toQueue('ring', 'q', '97')), refusal('limit-reached', '4096'))
  await router.bind('/', toQueue('ring', 'q', '96'))
  assert.deepEqual(routed(node, 'ring', 'any'), ['queue q'])
  await node.close()
})

test('what is published goes to all destinations in one block, and its publisher hears whether there were any', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues, topics } = node
  for (const name of ['p', 'q']) await queues.declare('/', name)
  const topic = await topics.create('/', 'log', { partitions: 4 })
  await router.declare('/', 'inner', { kind: 'fanout', internal: true })
  await router.bind('/', toExchange('amq.topic', 'inner', 'a.#'))
  await router.bind('/', toQueue('amq.topic', 'p', 'a.*'))
  for (const name of ['p', 'q']) await router.bind('/', toQueue('inner', name))
  await router.bind('/', { source: 'inner', kind: 'topic', destination: 'log', key: '' })
  const seq = node.cell.openSeq
  assert.deepEqual(await publish(node, 'amq.topic', 'a.b', 'text'), { isRouted: true, error: undefined })
  assert.equal(node.client.position, seq)
  assert.deepEqual(
    ['p', 'q'].map(name => queues.get('/', name)?.readyCount),
    [1, 1],
  )
  const ends = (): (number | undefined)[] => topic.partitions.map(stream => node.client.bounds(stream)?.endOffset)
  assert.deepEqual(
    ends().toSorted((a, b) => (a ?? 0) - (b ?? 0)),
    [0, 0, 0, 1],
  )
  await publish(node, 'amq.topic', 'a.b')
  assert.ok(ends().includes(2), 'one key, one partition')

  assert.deepEqual(await publish(node, 'amq.topic', 'b'), { isRouted: false })
  assert.deepEqual(await publish(node, 'none', 'b'), { isRouted: false, error: 'exchange-not-found' })
  assert.deepEqual(await publish(node, 'inner', 'b'), { isRouted: false, error: 'access-denied' })
  assert.deepEqual(await publish(node, '', 'q'), { isRouted: true, error: undefined })
  assert.deepEqual(await publish(node, '', 'log'), { isRouted: true, error: undefined })
  assert.deepEqual(await publish(node, '', 'none'), { isRouted: false })
  assert.equal(queues.get('/', 'q')?.readyCount, 3)
  await node.close()
})

test('who is told that a message leads nowhere waits for no block that others are still to begin', async () => {
  const node = await startRouter(memoryStores())
  await node.queues.declare('/', 'q')
  const post = (key: string): number =>
    node.router.post({ namespace: '/', exchange: '', key, message: { value: Buffer.from('x') } }).seq
  const nowhere = post('nobody')
  // One who confirms all messages of a block together must not take this one to be of the same.
  assert(post('q') > nowhere)
  assert.equal(post('nobody'), post('q'))
  await node.close()
})

test('a destination that refuses is told of, and the others have the message', async () => {
  const node = await startRouter(memoryStores())
  const { router, queues, topics } = node
  await queues.declare('/', 'open')
  await queues.declare('/', 'full', config({ 'length.max': '1', overflow: 'reject-publish' }))
  for (const name of ['full', 'open']) await router.bind('/', toQueue('amq.fanout', name))
  assert.equal((await publish(node, 'amq.fanout', '')).error, undefined)
  assert.deepEqual(await publish(node, 'amq.fanout', ''), { isRouted: true, error: 'queue-full' })
  await turns()
  assert.deepEqual(
    ['full', 'open'].map(name => queues.get('/', name)?.readyCount),
    [1, 2],
  )
  await topics.create('/', 'small', { config: config({ messageBytesMax: '100' }) })
  await topics.create('/', 'keyed', { config: config({ cleanupPolicy: 'compact' }) })
  assert.equal((await publish(node, '', 'small', 'x'.repeat(100))).error, 'message-too-large')
  assert.equal((await publish(node, '', 'small', 'x')).error, undefined)
  assert.equal((await publish(node, '', 'keyed', 'x')).error, 'message-invalid')
  await node.close()
})

test('a message whose copies would be too large together goes nowhere', async () => {
  const node = await startRouter(memoryStores(), { fanOutBytesMax: 10_000 })
  const queues = await Promise.all(['a', 'b', 'c'].map(name => node.queues.declare('/', name)))
  for (const destination of ['a', 'b', 'c']) {
    await node.router.bind('/', { source: 'amq.fanout', kind: 'queue', destination, key: '' })
  }
  const text = 'x'.repeat(4000)
  assert.deepEqual(await publish(node, 'amq.fanout', '', text), { isRouted: true, error: 'message-too-large' })
  assert.deepEqual(await publish(node, '', 'a', text.repeat(4)), { isRouted: true, error: undefined })
  assert.deepEqual(await publish(node, 'amq.fanout', '', 'x'), { isRouted: true, error: undefined })
  assert.deepEqual(
    queues.map(({ readyCount }) => readyCount),
    [2, 1, 1],
  )
  await node.close()
})

/** A checkpoint of the directory without what is to go because the start has left it without bindings. */
function afterStart(checkpoint: Buffer): Buffer {
  const machine = new DirectoryMachine()
  machine.load(new Reader(checkpoint))
  const { routing } = machine
  const bound = new Set<string>()
  for (let isOver = false; !isOver;) {
    isOver = true
    for (const { definition, isUsed, outgoing, place } of routing.exchanges()) {
      const { namespace, name, autoDelete } = definition
      if (!autoDelete || outgoing.size > 0 || !(isUsed || bound.has(`${namespace} ${name}`))) continue
      for (const { source } of place.incoming ?? []) bound.add(`${namespace} ${source.definition.name}`)
      routing.remove(namespace, name)
      isOver = false
    }
  }
  const out = new Writer()
  machine.save(out)
  return out.take()
}

test(`facts and checkpoints arrive at the same exchanges and bindings (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startRouter(stores, { bindingsMax: 30 })
  const names = ['a', 'b', 'c']
  const saved = (): Buffer => {
    const out = new Writer()
    const machine = node.cell.machine(machineKinds.directory)
    assert(machine instanceof DirectoryMachine)
    machine.save(out)
    return out.take()
  }
  let refused = 0
  for (let step = 0; step < 600; step++) {
    const { router, queues } = node
    const namespace = random.pick(['/', 'tenant'])
    const name = random.pick(names)
    const kind = random.pick(['queue', 'exchange'] as const)
    const source = random.pick([...names, 'amq.topic'])
    const binding = { source, kind, destination: random.pick(names), key: random.pick(['', 'x', '#']) }
    const options = { autoDelete: random.chance(0.5), isDurable: random.chance(0.7) }
    const doing = random.pick(['declare', 'declare', 'remove', 'queue', 'unqueue', 'bind', 'bind', 'bind', 'unbind'])
    try {
      if (doing === 'declare') await router.declare(namespace, name, options)
      else if (doing === 'remove') await router.remove(namespace, name, { ifUnused: random.chance(0.5) })
      else if (doing === 'queue') await queues.declare(namespace, name, new Map(), { isDurable: random.chance(0.6) })
      else if (doing === 'unqueue') await queues.remove(namespace, name)
      else if (doing === 'bind') await router.bind(namespace, binding)
      else await router.unbind(namespace, binding)
    } catch (error) {
      assert(error instanceof BrokerError, String(error))
      refused++
    }
    if (random.chance(0.02)) await node.cell.checkpointer.flush()
    if (!random.chance(0.03)) continue
    const before = saved()
    await (random.chance(0.5) ? node.kill() : node.close())
    node = await startRouter(stores, { bindingsMax: 30 }, node.clock)
    assert.deepEqual(saved(), afterStart(before))
  }
  assert.ok(refused < 500)
  await node.close()
})

test('a directory that was saved before there were exchanges can be read', () => {
  const bytes = Buffer.from('030007000000000000000000000000' + '00000000', 'hex')
  const out = new Writer()
  out.u8(3)
  out.bool(false)
  out.uvarint(7)
  for (let scope = 0; scope < 2; scope++) out.i32(0)
  out.u32(0)
  out.u32(0)
  assert.deepEqual(out.take(), bytes)
  const machine = new DirectoryMachine()
  const reader = new Reader(bytes)
  machine.load(reader)
  reader.expectEnd()
  assert.equal(machine.producerIdBlocks, 7)
  assert.deepEqual(
    machine.routing.exchanges().map(({ definition }) => definition.name),
    [],
  )
})

test('facts are the known bytes', () => {
  const machine = new DirectoryMachine()
  const text = (value: string): string =>
    `${value.length.toString(16).padStart(4, '0')}${Buffer.from(value).toString('hex')}`
  const facts: [number, string][] = [
    [10, `04${text('/')}${text('e')}0203${'00000001'}${text('alternate.exchange')}${text('x')}`],
    [10, `04${text('/')}${text('f')}0100${'00000000'}`],
    [12, `04${text('/')}${text('e')}02${text('f')}${text('b')}${'00000007'}01000000016101`],
    [13, `04${text('/')}${text('e')}02${text('f')}${text('b')}${'00000007'}01000000016101`],
  ]
  for (const [type, payload] of facts) machine.apply(type, Buffer.from(payload, 'hex'))
  const { definition, outgoing } = machine.routing.exchange('/', 'e')!
  assert.deepEqual(definition, {
    namespace: '/',
    name: 'e',
    kind: 'topic',
    isDurable: true,
    autoDelete: true,
    internal: true,
    config: new Map([['alternate.exchange', 'x']]),
  })
  assert.equal(outgoing.size, 0)
  machine.apply(11, Buffer.from(`04${text('/')}${text('f')}`, 'hex'))
  assert.equal(machine.routing.exchangeCount, 1)
})
