import type { AmqpDriver, DriverChannel } from '../../../packages/broker/src/protocols/amqp/driver.ts'
import {
  exchangeBind,
  exchangeBindOk,
  exchangeDelete,
  exchangeDeleteOk,
} from '../../../packages/broker/src/protocols/amqp/messages/exchange.ts'
import {
  queueDelete,
  queueDeleteOk,
  queueUnbind,
  queueUnbindOk,
} from '../../../packages/broker/src/protocols/amqp/messages/queue.ts'
import type { Field, FieldValue, Table } from '../../../packages/broker/src/protocols/amqp/table.ts'

export type Step = (channel: DriverChannel, driver: AmqpDriver) => Promise<unknown>
export type Case = readonly Step[]

const field = (name: string, value: FieldValue): Field => ({ name, ...value })
const text = (name: string, value: string): Field => field(name, { type: 'S', value })
const whole = (name: string, value: number): Field => field(name, { type: 'I', value })

const declare =
  (queue: string, given: Table = [], flags = {}): Step =>
  channel =>
    channel.declare(queue, { ...flags, arguments: given })
const exchange =
  (name: string, type: string, given: Table = [], flags = {}): Step =>
  channel =>
    channel.declareExchange(name, type, { ...flags, arguments: given })
const bind =
  (queue: string, from: string, key = '', given: Table = []): Step =>
  channel =>
    channel.bind(queue, from, key, given)
const publish =
  (to: string, key: string, properties = {}, flags = {}): Step =>
  channel =>
    channel.publish(to, key, 'body', properties, flags)
const ask =
  (act: (channel: DriverChannel) => Promise<unknown>): Step =>
  channel =>
    act(channel)
const tell =
  (act: (channel: DriverChannel) => void): Step =>
  async channel =>
    act(channel)

const invalid = (name: string, ...given: Field[]): [string, Case] => [
  `queue.declare: ${name}`,
  [declare(`invalid ${name}`, given)],
]

/** Two declarations of one queue that differ in an argument. */
const unequal = (name: string, first: Field[], second: Field[]): [string, Case] => [
  `queue.declare again: ${name}`,
  [declare(`unequal ${name}`, first), declare(`unequal ${name}`, second)],
]

/** Whatever is declared twice in the same way is the same. */
const equal = (name: string, first: Field[], second: Field[]): [string, Case] => [
  `queue.declare again, the same: ${name}`,
  [declare(`equal ${name}`, first), declare(`equal ${name}`, second)],
]

export const cases: Readonly<Record<string, Case>> = Object.fromEntries<Case>([
  ['queue.declare: passive, not there', [declare('nowhere', [], { passive: true })]],
  ['queue.declare: reserved name', [declare('amq.own')]],
  ['queue.declare: name of a line end', [declare('a\nb')]],
  ['queue.declare: durable or not', [declare('d1'), declare('d1', [], { durable: false })]],
  ['queue.declare: auto-delete or not', [declare('d2'), declare('d2', [], { autoDelete: true })]],
  ['queue.declare: exclusive after shared', [declare('d3'), declare('d3', [], { exclusive: true })]],
  invalid('x-message-ttl, text', text('x-message-ttl', 'soon')),
  invalid('x-message-ttl, negative', whole('x-message-ttl', -1)),
  invalid('x-message-ttl, double', field('x-message-ttl', { type: 'd', value: 1.5 })),
  invalid('x-expires, zero', whole('x-expires', 0)),
  invalid('x-expires, text', text('x-expires', '1')),
  invalid('x-max-length, negative', whole('x-max-length', -1)),
  invalid('x-max-length, text', text('x-max-length', 'many')),
  invalid('x-max-length-bytes, negative', whole('x-max-length-bytes', -5)),
  invalid('x-max-priority, negative', whole('x-max-priority', -1)),
  invalid('x-max-priority, too large', whole('x-max-priority', 256)),
  invalid('x-overflow, unknown', text('x-overflow', 'drop-all')),
  invalid('x-overflow, number', whole('x-overflow', 1)),
  invalid('x-dead-letter-exchange, number', whole('x-dead-letter-exchange', 1)),
  invalid('x-dead-letter-routing-key, alone', text('x-dead-letter-routing-key', 'k')),
  invalid('x-queue-type, unknown', text('x-queue-type', 'fast')),
  invalid('x-queue-type, number', whole('x-queue-type', 1)),
  invalid('x-queue-mode, unknown', text('x-queue-mode', 'eager')),
  invalid('x-single-active-consumer, text', text('x-single-active-consumer', 'yes')),
  invalid('unknown argument', text('x-own', 'fine')),
  unequal('x-message-ttl', [whole('x-message-ttl', 1000)], [whole('x-message-ttl', 2000)]),
  unequal('x-message-ttl, none', [whole('x-message-ttl', 1000)], []),
  unequal('x-max-length', [], [whole('x-max-length', 5)]),
  unequal('x-expires', [whole('x-expires', 60_000)], [whole('x-expires', 70_000)]),
  unequal('x-dead-letter-exchange', [text('x-dead-letter-exchange', 'a')], [text('x-dead-letter-exchange', 'b')]),
  unequal('x-max-priority', [whole('x-max-priority', 5)], [whole('x-max-priority', 6)]),
  unequal('x-queue-type', [text('x-queue-type', 'classic')], [text('x-queue-type', 'quorum')]),
  equal(
    'numbers of other types',
    [whole('x-message-ttl', 1000)],
    [field('x-message-ttl', { type: 'l', value: 1000n })],
  ),
  ['queue.delete: not there', [ask(ch => ch.deleteQueue('nowhere'))]],
  [
    'queue.delete: not empty',
    [
      declare('full'),
      ask(ch => ch.confirm()),
      publish('', 'full'),
      ask(ch =>
        ch.call(
          queueDelete,
          { queue: 'full', flags: { ifUnused: false, ifEmpty: true, noWait: false } },
          queueDeleteOk,
        ),
      ),
    ],
  ],
  [
    'queue.delete: in use',
    [
      declare('used'),
      ask(async ch => void (await ch.consume('used', { tag: 'c' }))),
      ask(ch =>
        ch.call(
          queueDelete,
          { queue: 'used', flags: { ifUnused: true, ifEmpty: false, noWait: false } },
          queueDeleteOk,
        ),
      ),
    ],
  ],
  ['queue.purge: not there', [ask(ch => ch.purge('nowhere'))]],
  [
    'queue.purge: how many',
    [declare('p'), ask(ch => ch.confirm()), publish('', 'p'), publish('', 'p'), ask(ch => ch.purge('p'))],
  ],
  ['queue.bind: no queue', [bind('nowhere', 'amq.direct', 'k')]],
  ['queue.bind: no exchange', [declare('b1'), bind('b1', 'nowhere', 'k')]],
  ['queue.bind: the default exchange', [declare('b2'), bind('b2', '', 'k')]],
  ['queue.bind: headers, unknown match', [declare('b3'), bind('b3', 'amq.headers', '', [text('x-match', 'some')])]],
  ['queue.bind: headers, match of another type', [declare('b4'), bind('b4', 'amq.headers', '', [whole('x-match', 1)])]],
  [
    'queue.unbind: not bound',
    [
      declare('b5'),
      ask(ch =>
        ch.call(queueUnbind, { queue: 'b5', exchange: 'amq.direct', routingKey: 'x', arguments: [] }, queueUnbindOk),
      ),
    ],
  ],
  ['exchange.declare: a kind that there is not', [exchange('x1', 'sideways')]],
  ['exchange.declare: reserved name', [exchange('amq.own', 'direct')]],
  ['exchange.declare: the default exchange', [exchange('', 'direct')]],
  ['exchange.declare: passive, not there', [exchange('nowhere', 'direct', [], { passive: true })]],
  ['exchange.declare: passive, of another kind', [exchange('amq.direct', 'fanout', [], { passive: true })]],
  ['exchange.declare: another kind', [exchange('x2', 'direct'), exchange('x2', 'fanout')]],
  ['exchange.declare: durable or not', [exchange('x3', 'direct'), exchange('x3', 'direct', [], { durable: false })]],
  [
    'exchange.declare: auto-delete or not',
    [exchange('x4', 'direct'), exchange('x4', 'direct', [], { autoDelete: true })],
  ],
  ['exchange.declare: internal or not', [exchange('x5', 'direct'), exchange('x5', 'direct', [], { internal: true })]],
  [
    'exchange.declare: another alternate',
    [
      exchange('x6', 'direct', [text('alternate-exchange', 'a')]),
      exchange('x6', 'direct', [text('alternate-exchange', 'b')]),
    ],
  ],
  ['exchange.declare: an alternate that is a number', [exchange('x7', 'direct', [whole('alternate-exchange', 1)])]],
  [
    'exchange.delete: not there',
    [
      ask(ch =>
        ch.call(exchangeDelete, { exchange: 'nowhere', flags: { ifUnused: false, noWait: false } }, exchangeDeleteOk),
      ),
    ],
  ],
  [
    'exchange.delete: predeclared',
    [
      ask(ch =>
        ch.call(
          exchangeDelete,
          { exchange: 'amq.direct', flags: { ifUnused: false, noWait: false } },
          exchangeDeleteOk,
        ),
      ),
    ],
  ],
  [
    'exchange.delete: the default exchange',
    [ask(ch => ch.call(exchangeDelete, { exchange: '', flags: { ifUnused: false, noWait: false } }, exchangeDeleteOk))],
  ],
  [
    'exchange.delete: in use',
    [
      exchange('x8', 'direct'),
      declare('x8'),
      bind('x8', 'x8', 'k'),
      ask(ch =>
        ch.call(exchangeDelete, { exchange: 'x8', flags: { ifUnused: true, noWait: false } }, exchangeDeleteOk),
      ),
    ],
  ],
  [
    'exchange.bind: no source',
    [
      ask(ch =>
        ch.call(
          exchangeBind,
          { destination: 'amq.direct', source: 'nowhere', routingKey: '', flags: { noWait: false }, arguments: [] },
          exchangeBindOk,
        ),
      ),
    ],
  ],
  ['basic.publish: no exchange', [publish('nowhere', 'k')]],
  ['basic.publish: internal exchange', [exchange('inner', 'fanout', [], { internal: true }), publish('inner', 'k')]],
  ['basic.publish: immediate', [publish('', 'k', {}, { immediate: true })]],
  ['basic.publish: expiration of letters', [publish('', 'k', { expiration: 'soon' })]],
  ['basic.publish: negative expiration', [publish('', 'k', { expiration: '-1' })]],
  ['basic.publish: another user', [publish('', 'k', { userId: 'nobody' })]],
  ['basic.publish: own user', [publish('', 'k', { userId: 'guest' })]],
  [
    'basic.publish: mandatory',
    [
      ask(ch => ch.confirm()),
      publish('', 'nowhere', { messageId: 'm' }, { mandatory: true }),
      ask(async ch => ch.returned),
    ],
  ],
  ['basic.publish: CC that is no list', [publish('', 'k', { headers: [text('CC', 'q')] })]],
  [
    'basic.publish: BCC of numbers',
    [publish('', 'k', { headers: [field('BCC', { type: 'A', value: [{ type: 'I', value: 1 }] })] })],
  ],
  ['basic.get: no queue', [ask(ch => ch.get('nowhere'))]],
  ['basic.get: empty', [declare('g1'), ask(async ch => (await ch.get('g1')) ?? 'empty')]],
  [
    'basic.get: a message',
    [
      declare('g2'),
      ask(ch => ch.confirm()),
      publish('', 'g2', { contentType: 'a/b', priority: 3 }),
      ask(ch => ch.get('g2')),
    ],
  ],
  ['basic.ack: unknown tag', [tell(ch => ch.ack(7))]],
  ['basic.ack: zero, not multiple', [tell(ch => ch.ack(0))]],
  ['basic.ack: zero, multiple, nothing held', [tell(ch => ch.ack(0, true))]],
  ['basic.nack: unknown tag', [tell(ch => ch.nack(7))]],
  ['basic.reject: unknown tag', [tell(ch => ch.reject(7))]],
  [
    'basic.ack: twice',
    [
      declare('a1'),
      ask(ch => ch.confirm()),
      publish('', 'a1'),
      ask(async ch => void (await ch.get('a1'))),
      tell(ch => ch.ack(1)),
      tell(ch => ch.ack(1)),
    ],
  ],
  ['basic.consume: no queue', [ask(async ch => void (await ch.consume('nowhere')))]],
  [
    'basic.consume: tag in use',
    [
      declare('c1'),
      ask(async ch => void (await ch.consume('c1', { tag: 't' }))),
      ask(async ch => void (await ch.consume('c1', { tag: 't' }))),
    ],
  ],
  [
    'basic.consume: exclusive after shared',
    [
      declare('c2'),
      ask(async ch => void (await ch.consume('c2', { tag: 'a' }))),
      ask(async ch => void (await ch.consume('c2', { tag: 'b', exclusive: true }))),
    ],
  ],
  [
    'basic.consume: shared after exclusive',
    [
      declare('c3'),
      ask(async ch => void (await ch.consume('c3', { tag: 'a', exclusive: true }))),
      ask(async ch => void (await ch.consume('c3', { tag: 'b' }))),
    ],
  ],
  [
    'basic.consume: priority of text',
    [
      declare('c4'),
      ask(async ch => void (await ch.consume('c4', { tag: 'a', arguments: [text('x-priority', 'high')] }))),
    ],
  ],
  [
    'basic.consume: direct reply with acks',
    [ask(async ch => void (await ch.consume('amq.rabbitmq.reply-to', { tag: 'r' })))],
  ],
  ['basic.publish: direct reply without a consumer', [publish('', 'q', { replyTo: 'amq.rabbitmq.reply-to' })]],
  ['basic.cancel: unknown tag', [ask(ch => ch.cancel('nobody'))]],
  ['basic.qos: size', [ask(ch => ch.qos(1, { prefetchSize: 10 }))]],
  ['basic.recover: without requeue', [ask(ch => ch.recover(false))]],
  ['tx.commit: no transaction', [ask(ch => ch.txCommit())]],
  ['tx.rollback: no transaction', [ask(ch => ch.txRollback())]],
  ['tx.select: after confirms', [ask(ch => ch.confirm()), ask(ch => ch.txSelect())]],
  ['confirm.select: after a transaction', [ask(ch => ch.txSelect()), ask(ch => ch.confirm())]],
])
