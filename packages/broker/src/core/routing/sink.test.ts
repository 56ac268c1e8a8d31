import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memoryStores } from '../../cell/testing/cells.ts'
import { BrokerError } from '../errors.ts'
import { subjectExchange } from './exchange.ts'
import { Glob } from './glob.ts'
import type { Form, Passing, Sink } from './sink.ts'
import { publish, startRouter, type RouterNode } from './test-bench.ts'

class Heard implements Sink {
  readonly texts: string[] = []

  take({ key, message }: Passing): void {
    this.texts.push(`${key} ${String(message.value)}`)
  }
}

async function withRouter(run: (node: RouterNode) => Promise<void>, bindingsMax = 100): Promise<void> {
  const node = await startRouter(memoryStores(), { bindingsMax })
  try {
    await run(node)
  } finally {
    await node.close()
  }
}

test('a sink takes what its patterns match, once, and stores nothing', () =>
  withRouter(async node => {
    const { router } = node
    const heard = new Heard()
    const attachment = router.attach('/', heard)
    attachment.bind(subjectExchange, 'a.*')
    attachment.bind(subjectExchange, '*.b')
    attachment.bind(subjectExchange, 'a.*')
    const seq = node.cell.lastSeq
    assert.deepEqual(await publish(node, subjectExchange, 'a.b', 'one'), { isRouted: true, error: undefined })
    assert.equal((await publish(node, subjectExchange, 'b.c', 'two')).isRouted, false)
    assert.deepEqual(heard.texts, ['a.b one'])
    assert.equal(node.cell.lastSeq, seq)
    assert.deepEqual([router.reach('/', subjectExchange, 'a.b'), router.reach('/', subjectExchange, 'b.c')], [1, 0])
    assert.deepEqual(router.bindings('/', subjectExchange), [])
    attachment.unbind(subjectExchange, 'a.*')
    await publish(node, subjectExchange, 'a.x', 'three')
    await publish(node, subjectExchange, 'x.b', 'four')
    attachment.detach()
    assert.equal((await publish(node, subjectExchange, 'x.b', 'five')).isRouted, false)
    assert.deepEqual(heard.texts, ['a.b one', 'x.b four'])
  }))

test('a key can be meant as it stands, or as a glob', () =>
  withRouter(async node => {
    const [literal, glob] = [new Heard(), new Heard()]
    const attached = node.router.attach('/', literal)
    attached.bind(subjectExchange, 'a.*', 'literal')
    node.router.attach('/', glob).bind(subjectExchange, 'n?ws*', 'glob')
    for (const key of ['a.b', 'a.*', 'news.a.b', 'nws']) await publish(node, subjectExchange, key)
    assert.deepEqual([literal.texts, glob.texts], [['a.* '], ['news.a.b ']])
    // The same key in another meaning is another binding.
    attached.unbind(subjectExchange, 'a.*')
    await publish(node, subjectExchange, 'a.*')
    assert.equal(literal.texts.length, 2)
  }))

test('what is stored, too, is shown when it is durable; what has gone is shown nothing', () =>
  withRouter(async node => {
    const { router, queues } = node
    await queues.declare('/', 'q')
    await router.bind('/', { source: subjectExchange, kind: 'queue', destination: 'q', key: '#' })
    const [stays, goes] = [new Heard(), new Heard()]
    router.attach('/', stays).bind(subjectExchange, 'a')
    const attachment = router.attach('/', goes)
    attachment.bind(subjectExchange, 'a')
    const value = Buffer.from('text')
    const { seq } = router.post({ namespace: '/', exchange: subjectExchange, key: 'a', message: { value } })
    assert.deepEqual(stays.texts, [])
    // The publisher's bytes were lent.
    value.fill('x')
    attachment.detach()
    await node.cell.durable(seq)
    assert.deepEqual([stays.texts, goes.texts], [['a text'], []])
    assert.equal(queues.get('/', 'q')?.readyCount, 1)
  }))

test('a form is made once for all sinks, and a sink may publish', () =>
  withRouter(async ({ router }) => {
    let made = 0
    const form: Form<string> = { make: ({ key }) => `${key}${String(++made)}` }
    const taken: string[] = []
    const post = (key: string): void => {
      router.post({ namespace: '/', exchange: subjectExchange, key, message: { value: null } })
    }
    const relay: Sink = {
      take(passing) {
        if (passing.key === 'a') post('b')
        taken.push(passing.as(form))
      },
    }
    const plain: Sink = { take: passing => void taken.push(passing.as(form)) }
    for (const sink of [relay, plain]) router.attach('/', sink).bind(subjectExchange, '#')
    post('a')
    assert.deepEqual(taken, ['b1', 'b1', 'a2', 'a2'])
  }))

test('bindings of sinks are bounded, and an exchange takes them with it', () =>
  withRouter(async node => {
    const { router } = node
    const heard = new Heard()
    const attachment = router.attach('/', heard)
    await router.declare('/', 'e', { kind: 'fanout' })
    for (const exchange of ['none', '']) assert.throws(() => attachment.bind(exchange, 'k'), BrokerError)
    attachment.bind('e', 'k')
    attachment.bind(subjectExchange, 'k')
    assert.throws(() => attachment.bind(subjectExchange, 'l'), { code: 'limit-reached' })
    await router.remove('/', 'e', { ifUnused: true })
    await router.declare('/', 'e', { kind: 'fanout' })
    assert.equal((await publish(node, 'e', 'k')).isRouted, false)
    attachment.bind('e', 'k')
    await publish(node, 'e', 'k')
    assert.equal(heard.texts.length, 1)
    attachment.detach()
    attachment.detach()
    router.attach('/', heard).bind(subjectExchange, 'l')
  }, 2))

test('globs match as shells do', () => {
  const rows: [string, string, boolean][] = [
    ['h?llo', 'hello', true],
    ['h?llo', 'hllo', false],
    ['h*llo', 'heeeello', true],
    ['h*llo', 'hllo', true],
    ['h[ae]llo', 'hallo', true],
    ['h[ae]llo', 'hillo', false],
    ['h[^e]llo', 'hallo', true],
    ['h[^e]llo', 'hello', false],
    ['h[a-c]llo', 'hbllo', true],
    ['h[c-a]llo', 'hbllo', true],
    ['h[a-c]llo', 'hdllo', false],
    ['h\\*llo', 'h*llo', true],
    ['h\\*llo', 'hello', false],
    ['[\\]]', ']', true],
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['a*b*c', 'aXbXbXc', true],
    ['a*b*c', 'aXbXbX', false],
    ['?', '😀', true],
    ['[ab', 'b', true],
    ['a\\', 'a\\', true],
  ]
  for (const [pattern, key, expected] of rows)
    assert.equal(new Glob(pattern).matches(key), expected, `${pattern} ${key}`)
  // It is there to keep somebody busy.
  for (const [count, end, expected] of [
    [1000, '', true],
    [1000, '*', true],
    [1001, '', false],
  ] as const)
    assert.equal(new Glob('*?'.repeat(count) + end).matches('a'.repeat(2000)), expected, `${count} ${end}`)
  // Would take for ever if it tried all ways.
  assert.equal(new Glob('*a'.repeat(40) + 'b').matches('a'.repeat(10_000)), false)
})

test('on a full disk, what one of several places would store goes to none of them, but for what is lost with the process anyway', async () => {
  const stores = memoryStores()
  const node = await startRouter(stores)
  const { router, queues } = node
  await queues.declare('/', 'stored')
  await queues.declare('/', 'in-memory', new Map(), { isDurable: false })
  const live = new Heard()
  for (const destination of ['stored', 'in-memory'])
    await router.bind('/', { source: subjectExchange, kind: 'queue', destination, key: 'a' })
  const attachment = router.attach('/', live)
  for (const key of ['a', 'b']) attachment.bind(subjectExchange, key)
  Object.assign(stores.chain, { full: true })
  const send = (key: string, isTransient: boolean) =>
    router.post({ namespace: '/', exchange: subjectExchange, key, message: { value: Buffer.from('x'), isTransient } })
      .error
  const inMemory = queues.get('/', 'in-memory')
  assert(inMemory)
  assert.equal(send('a', false), 'storage-full')
  assert.deepEqual([live.texts, inMemory.readyCount], [[], 0])
  assert.equal(send('a', true), 'storage-full')
  assert.deepEqual([live.texts, inMemory.readyCount], [['a x'], 1])
  assert.equal(send('b', false), undefined)
  Object.assign(stores.chain, { full: false })
  assert.equal(send('a', false), undefined)
  await node.cell.durable(node.cell.lastSeq)
  assert.deepEqual([live.texts, inMemory.readyCount], [['a x', 'b x', 'a x'], 2])
  await node.close()
})
