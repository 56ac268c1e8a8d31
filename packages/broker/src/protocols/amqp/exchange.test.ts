import assert from 'node:assert/strict'
import test from 'node:test'
import type { DriverChannel } from './driver.ts'
import { exchangeArguments } from './handlers/exchange.ts'
import {
  exchangeBind,
  exchangeBindOk,
  exchangeDelete,
  exchangeDeleteOk,
  exchangeUnbind,
  exchangeUnbindOk,
} from './messages/exchange.ts'
import type { Table } from './table.ts'
import { channelOf, connect, refusal, start } from './testing/bench.ts'

const alternate = (value: string): Table => [{ name: 'alternate-exchange', type: 'S', value }]
const delayed = (value: string): Table => [{ name: 'x-delayed-type', type: 'S', value }]

test('declare: every type may be declared again', async t => {
  const channel = await channelOf(t)
  for (const type of ['direct', 'fanout', 'topic', 'headers', 'x-consistent-hash']) {
    await channel.declareExchange(`e-${type}`, type)
    await channel.declareExchange(`e-${type}`, type, { arguments: [{ name: 'x-strange', type: 't', value: true }] })
  }
  await channel.declareExchange('d', 'x-delayed-message', { arguments: delayed('topic') })
  await channel.declareExchange('d', 'x-delayed-message', { arguments: delayed('topic') })
  await channel.declareExchange('a', 'direct', { arguments: alternate('amq.fanout') })
  await channel.declareExchange('a', 'direct', { arguments: alternate('amq.fanout') })
  await channel.declareExchange('amq.topic', 'topic')
  await channel.declareExchange('amq.topic', '', { passive: true })
})

for (const [what, run, told] of [
  [
    'another type',
    channel => channel.declareExchange('e', 'fanout'),
    "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e' in vhost '/': received 'fanout' but current is 'direct'",
  ],
  [
    'another life',
    channel => channel.declareExchange('e', 'direct', { durable: false }),
    "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'e' in vhost '/': received 'false' but current is 'true'",
  ],
  [
    'another end',
    channel => channel.declareExchange('e', 'direct', { autoDelete: true }),
    "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
  ],
  [
    'another use',
    channel => channel.declareExchange('e', 'direct', { internal: true }),
    "PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'e' in vhost '/': received 'true' but current is 'false'",
  ],
  [
    'an alternate that was not there',
    channel => channel.declareExchange('e', 'direct', { arguments: alternate('x') }),
    "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'e' in vhost '/': received the value 'x' of type 'longstr' but current is none",
  ],
  [
    'an alternate that is no text',
    channel =>
      channel.declareExchange('f', 'direct', { arguments: [{ name: 'alternate-exchange', type: 'I', value: 1 }] }),
    "PRECONDITION_FAILED - invalid type of arg 'alternate-exchange' in exchange 'f' in vhost '/': it must be a string",
  ],
  [
    'an unknown type',
    channel => channel.declareExchange('f', 'fast'),
    "PRECONDITION_FAILED - unknown exchange type 'fast'",
  ],
  [
    'a type that every object has',
    channel => channel.declareExchange('f', 'constructor'),
    "PRECONDITION_FAILED - unknown exchange type 'constructor'",
  ],
  [
    'a delayed exchange that routes by nothing',
    channel => channel.declareExchange('f', 'x-delayed-message'),
    "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type",
  ],
  [
    'a delayed exchange that routes by an unknown type',
    channel => channel.declareExchange('f', 'x-delayed-message', { arguments: delayed('fast') }),
    "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type",
  ],
  [
    'a reserved name',
    channel => channel.declareExchange('amq.mine', 'direct'),
    "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
  ],
  [
    'the default exchange',
    channel => channel.declareExchange('', 'direct'),
    'ACCESS_REFUSED - operation not permitted on the default exchange',
  ],
  [
    'one that is not there, passively',
    channel => channel.declareExchange('f', '', { passive: true }),
    "NOT_FOUND - no exchange 'f' in vhost '/'",
  ],
  [
    'deletion of a system exchange',
    channel => channel.call(exchangeDelete, { exchange: 'amq.direct' }, exchangeDeleteOk),
    "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
  ],
  [
    'deletion of one that is in use',
    channel => channel.call(exchangeDelete, { exchange: 'used', flags: { ifUnused: true } }, exchangeDeleteOk),
    "PRECONDITION_FAILED - exchange 'used' in vhost '/' in use",
  ],
  [
    'a binding from one that is not there',
    channel => channel.call(exchangeBind, { source: 'x', destination: 'e' }, exchangeBindOk),
    "NOT_FOUND - no exchange 'x' in vhost '/'",
  ],
  [
    'a binding to one that is not there',
    channel => channel.call(exchangeBind, { source: 'e', destination: 'x' }, exchangeBindOk),
    "NOT_FOUND - no exchange 'x' in vhost '/'",
  ],
  [
    'a weight that is none',
    channel => channel.call(exchangeBind, { source: 'hash', destination: 'e', routingKey: 'k' }, exchangeBindOk),
    'PRECONDITION_FAILED - The request is not allowed: the key of the binding is a weight from 1 to 4096, not "k"',
  ],
] as [string, (channel: DriverChannel) => Promise<unknown>, string][]) {
  test(`${what} is refused`, async t => {
    const broker = await start(t)
    const channel = await (await connect(t, broker)).channel()
    await channel.declareExchange('e', 'direct')
    await channel.declareExchange('used', 'fanout')
    await channel.declareExchange('hash', 'x-consistent-hash')
    await channel.call(exchangeBind, { source: 'used', destination: 'e' }, exchangeBindOk)
    assert.equal(await refusal(t, broker, run), told)
    // Only the other channel is gone.
    await channel.settled()
  })
}

test('arguments that nobody knows are told again, and make no difference', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  const strange: Table = [
    { name: 'team', type: 'S', value: 'orders' },
    { name: 'n', type: 'I', value: 5 },
  ]
  await channel.declareExchange('e', 'direct', { arguments: [...strange, ...alternate('amq.fanout')] })
  await channel.declareExchange('e', 'direct', { arguments: alternate('amq.fanout') })
  assert.deepEqual(exchangeArguments(broker.core.router.get('/', 'e')?.config ?? new Map()), [
    { name: 'alternate-exchange', value: 'amq.fanout' },
    { name: 'team', value: 'orders' },
    { name: 'n', value: 5n },
  ])
  const many = Array.from(
    { length: 50 },
    (_, index) => ({ name: `n${index}`, type: 'S', value: 'x'.repeat(300) }) as const,
  )
  await channel.declareExchange('f', 'direct', { arguments: many })
})

test('bind and unbind: messages go from exchange to exchange while they are bound', async t => {
  const channel = await channelOf(t)
  await channel.declareExchange('from', 'topic')
  await channel.declareExchange('to', 'fanout')
  await channel.declare('q')
  await channel.bind('q', 'to')
  await channel.confirm()
  const binding = { source: 'from', destination: 'to', routingKey: 'a.*' }
  await channel.call(exchangeBind, binding, exchangeBindOk)
  await channel.publish('from', 'a.b', '1')
  assert.equal(await channel.purge('q'), 1)
  await channel.call(exchangeUnbind, binding, exchangeUnbindOk)
  await channel.publish('from', 'a.b', '2')
  assert.equal(await channel.purge('q'), 0)
  // Neither needs to be there to be unbound.
  await channel.call(exchangeUnbind, { source: 'x', destination: 'y' }, exchangeUnbindOk)
})

test('delete: what was bound is unbound, and one that is not there is as good as deleted', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declareExchange('e', 'direct')
  await channel.declare('q')
  await channel.bind('q', 'e', 'k')
  await channel.call(exchangeDelete, { exchange: 'e' }, exchangeDeleteOk)
  assert.equal(broker.core.router.bindingsTo('/', 'queue', 'q').length, 0)
  await channel.call(exchangeDelete, { exchange: 'e' }, exchangeDeleteOk)
})

test('an exchange that is to go with its last binding goes', async t => {
  const broker = await start(t)
  const channel = await (await connect(t, broker)).channel()
  await channel.declareExchange('e', 'fanout', { autoDelete: true, durable: false })
  await channel.declare('q')
  await channel.bind('q', 'e')
  assert(broker.core.router.get('/', 'e'))
  await channel.deleteQueue('q')
  assert.equal(broker.core.router.get('/', 'e'), undefined)
})
