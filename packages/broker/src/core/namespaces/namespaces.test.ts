import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import { temporary } from '../../cell/testing/cells.ts'
import { startBroker } from '../../main.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { namespaceFacts, factOf, namespaceNamed, namespaceSet, parameterSet } from './facts.ts'
import { NamespacesMachine, storeNamespace } from './machine.ts'

const refusal = (code: ErrorCode) => (error: unknown) => error instanceof BrokerError && error.code === code

test('the home namespace is always there; others come and go', async t => {
  const broker = await startBroker({ data: 'memory', namespacesMax: 3 })
  t.after(() => broker.close())
  const { namespaces } = broker.core
  assert.equal(namespaces.has('/'), true)
  assert.equal(await namespaces.set('orders', { description: 'all orders', tags: ['a'] }), true)
  assert.equal(await namespaces.set('orders', { tags: ['b'] }), false)
  assert.deepEqual(namespaces.get('orders'), {
    ...{ name: 'orders', description: 'all orders', tags: ['b'], defaultQueueType: '', limits: new Map() },
  })
  await namespaces.setLimit('orders', 'queues', 5)
  await namespaces.set('orders', { description: 'x' })
  assert.equal(namespaces.limitOf('orders', 'queues'), 5)
  await namespaces.setLimit('orders', 'queues', undefined)
  assert.equal(namespaces.limitOf('orders', 'queues'), undefined)
  await namespaces.set('more')
  await assert.rejects(namespaces.set('one too many'), refusal('limit-reached'))
  await assert.rejects(namespaces.set('x'.repeat(256)), refusal('name-invalid'))
  await assert.rejects(namespaces.set('orders', { description: 'x'.repeat(5000) }), refusal('request-invalid'))
  await assert.rejects(namespaces.remove('/'), refusal('access-denied'))
  await assert.rejects(namespaces.remove('none'), refusal('namespace-not-found'))
  await assert.rejects(namespaces.setLimit('none', 'queues', 1), refusal('namespace-not-found'))
  assert.deepEqual(
    namespaces.list().map(({ name }) => name),
    ['/', 'orders', 'more'],
  )
})

test('with a namespace goes all that is in it, and nothing else', async t => {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  const { namespaces, queues, topics, router, identity } = broker.core
  for (const name of ['gone', 'stays']) {
    await namespaces.set(name)
    await Promise.all(Array.from({ length: 300 }, (_, index) => queues.declare(name, `q${index}`)))
    await topics.create(name, 'topic')
    await router.declare(name, 'events')
    await router.bind(name, { source: 'events', kind: 'queue', destination: 'q1', key: 'k' })
    await router.bind(name, { source: 'amq.topic', kind: 'exchange', destination: 'amq.fanout', key: '#' })
    await identity.governance.setUser('ann', { tags: [], secret: { kind: 'none' } })
    await identity.governance.setPermission({ user: 'ann', namespace: name, configure: '', write: '', read: '' })
    await namespaces.setParameter({ namespace: name, component: 'c', name: 'n', value: '1' })
  }
  const removal = namespaces.remove('gone')
  assert.equal(namespaces.has('gone'), false)
  await assert.rejects(namespaces.set('gone'), refusal('request-invalid'))
  await removal
  const countsOf = (name: string): number[] => [
    queues.list(name).length,
    topics.list(name).length,
    router.list(name).length,
    router.bindings(name).length,
    identity.governance.permissions.filter(({ namespace }) => namespace === name).length,
    namespaces.parameters(name).length,
  ]
  const predeclared = router.list('/').length
  assert.deepEqual(countsOf('gone'), [0, 0, predeclared, 0, 0, 0])
  assert.deepEqual(countsOf('stays'), [300, 1, predeclared + 1, 2, 1, 1])
  assert.equal(await namespaces.set('gone'), true)
})

test('a removal goes on after a restart', async t => {
  const data = temporary(t)
  const first = await startBroker({ data })
  await first.core.namespaces.set('gone', { description: 'd' })
  await first.core.namespaces.set('kept', { defaultQueueType: 'quorum' })
  await first.core.namespaces.setLimit('kept', 'connections', 7)
  await first.core.namespaces.setParameter({ namespace: '', component: '', name: 'n', value: '{"a":1}' })
  await Promise.all(Array.from({ length: 600 }, (_, index) => first.core.queues.declare('gone', `q${index}`)))
  const removal = first.core.namespaces.remove('gone')
  removal.catch(() => {})
  await first.close()
  const second = await startBroker({ data })
  t.after(() => second.close())
  const { namespaces, queues } = second.core
  assert.equal(namespaces.has('gone'), false)
  while (true) {
    try {
      await namespaces.set('gone')
      break
    } catch (error) {
      assert(refusal('request-invalid')(error))
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  assert.equal(queues.list('gone').length, 0)
  assert.equal(namespaces.get('kept')?.defaultQueueType, 'quorum')
  assert.equal(namespaces.limitOf('kept', 'connections'), 7)
  assert.deepEqual(namespaces.parameter('', '', 'n')?.value, '{"a":1}')
})

test('what a machine saves is what its facts say', () => {
  const machine = new NamespacesMachine()
  const set = (name: string): void => {
    const limits = new Map([['queues' as const, 3]])
    const definition = { name, description: 'd', tags: ['t'], defaultQueueType: '', limits }
    machine.apply(namespaceFacts.namespaceSet, factOf(namespaceSet, storeNamespace(definition)))
  }
  const end = (type: number, name: string): void => machine.apply(type, factOf(namespaceNamed, { name }))
  for (const name of ['a', 'b', 'c', '/']) set(name)
  for (const namespace of ['', 'a', 'b']) {
    const parameter = { namespace, component: 'c', name: 'n', value: '1' }
    machine.apply(namespaceFacts.parameterSet, factOf(parameterSet, parameter))
  }
  end(namespaceFacts.namespaceEnded, 'a')
  end(namespaceFacts.namespaceEnded, 'c')
  end(namespaceFacts.namespaceRemoved, 'c')
  const saved = new Writer()
  machine.save(saved)
  const other = new NamespacesMachine()
  other.load(new Reader(saved.take()))
  assert.deepEqual(other, machine)
  assert.deepEqual([...other.ended], ['a'])
  assert.deepEqual([...other.namespaces.keys()], ['/', 'b'])
  assert.equal(other.parameters.size, 2)
})

test('parameters are bounded', async t => {
  const broker = await startBroker({ data: 'memory', parametersMax: 1 })
  t.after(() => broker.close())
  const { namespaces } = broker.core
  const parameter = { namespace: '', component: 'c', name: 'n', value: '1' }
  await namespaces.setParameter(parameter)
  await namespaces.setParameter({ ...parameter, value: '2' })
  await assert.rejects(namespaces.setParameter({ ...parameter, name: 'm' }), refusal('limit-reached'))
  await assert.rejects(namespaces.setParameter({ ...parameter, value: 'x'.repeat(1e5) }), refusal('request-invalid'))
  await assert.rejects(namespaces.setParameter({ ...parameter, namespace: 'no' }), refusal('namespace-not-found'))
  assert.equal(await namespaces.removeParameter('', 'c', 'n'), true)
  assert.equal(await namespaces.removeParameter('', 'c', 'n'), false)
})
