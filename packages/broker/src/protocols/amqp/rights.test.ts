import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { RunningBroker } from '../../main.ts'
import type { DriverChannel } from './driver.ts'
import { exchangeBind, exchangeBindOk, exchangeDelete, exchangeDeleteOk } from './messages/exchange.ts'
import type { Table } from './table.ts'
import { connect, start } from './testing/bench.ts'

interface Grant {
  configure?: string
  write?: string
  read?: string
}

/** A broker with a user `ann` who may do this, and one who may do everything and has made a few things. */
async function prepare(t: TestContext, grant: Grant): Promise<RunningBroker> {
  const broker = await start(t, { users: 'root:root', authorization: 'on' })
  const { governance } = broker.core.identity
  await governance.setUser('ann', { tags: [], secret: { kind: 'password', password: 'secret' } })
  await governance.setPermission({ user: 'ann', namespace: '/', configure: '', write: '', read: '', ...grant })
  const channel = await (await connect(t, broker, { user: 'root', password: 'root' })).channel()
  await channel.declare('mine')
  await channel.declare('yours')
  await channel.declareExchange('mine-x', 'topic')
  await channel.declareExchange('yours-x', 'fanout')
  return broker
}

const text = (name: string, value: string): Table => [{ name, type: 'S', value }]

type Run = (channel: DriverChannel) => Promise<unknown>

/** What each operation needs, as RabbitMQ has it in its table of access control. */
const table: [what: string, grant: Grant, run: Run, refusedWithout: string][] = [
  ['declare a queue', { configure: 'new' }, c => c.declare('new'), "configure access to queue 'new'"],
  ['declare one that is there', { configure: 'mine' }, c => c.declare('mine'), "configure access to queue 'mine'"],
  ['look at a queue', { read: 'mine' }, c => c.declare('mine', { passive: true }), "configure access to queue 'mine'"],
  ['delete a queue', { configure: 'mine' }, c => c.deleteQueue('mine'), "configure access to queue 'mine'"],
  ['purge a queue', { read: 'mine' }, c => c.purge('mine'), "read access to queue 'mine'"],
  [
    'bind a queue',
    { write: '^mine$', read: 'mine-x' },
    c => c.bind('mine', 'mine-x', 'k'),
    "write access to queue 'mine'",
  ],
  [
    'declare an exchange',
    { configure: 'new' },
    c => c.declareExchange('new', 'fanout'),
    "configure access to exchange 'new'",
  ],
  [
    'delete an exchange',
    { configure: 'mine-x' },
    c => c.call(exchangeDelete, { exchange: 'mine-x' }, exchangeDeleteOk),
    "configure access to exchange 'mine-x'",
  ],
  [
    'bind an exchange',
    { write: 'mine-x', read: 'yours-x' },
    c => c.call(exchangeBind, { source: 'yours-x', destination: 'mine-x' }, exchangeBindOk),
    "write access to exchange 'mine-x'",
  ],
  [
    'have messages dead-lettered',
    { configure: 'new', read: 'new', write: 'mine-x' },
    c => c.declare('new', { arguments: text('x-dead-letter-exchange', 'mine-x') }),
    "configure access to queue 'new'",
  ],
  [
    'have an alternate exchange',
    { configure: 'new', read: 'new', write: 'mine-x' },
    c => c.declareExchange('new', 'fanout', { arguments: text('alternate-exchange', 'mine-x') }),
    "configure access to exchange 'new'",
  ],
  ['consume', { read: 'mine' }, c => c.consume('mine'), "read access to queue 'mine'"],
  ['get', { read: 'mine' }, c => c.get('mine'), "read access to queue 'mine'"],
  [
    'publish',
    { write: 'mine-x' },
    async c => {
      await c.confirm()
      await c.publish('mine-x', 'k', 'a')
    },
    "write access to exchange 'mine-x'",
  ],
  [
    'publish to the default exchange',
    { write: 'amq\\.default' },
    async c => {
      await c.confirm()
      await c.publish('', 'mine', 'a')
    },
    "write access to exchange 'amq.default'",
  ],
]

for (const [what, grant, run, refusedWithout] of table) {
  test(`to ${what}, ${Object.keys(grant).join(' and ')} is needed`, async t => {
    const broker = await prepare(t, grant)
    const ann = await connect(t, broker, { user: 'ann', password: 'secret' })
    const allowed = await ann.channel()
    await run(allowed)
    await allowed.settled()
    await broker.core.identity.governance.setPermission({
      user: 'ann',
      namespace: '/',
      configure: '',
      write: '',
      read: '',
    })
    const refused = await ann.channel()
    const [{ message }] = await Promise.all([refused.closed(), run(refused).catch(() => {})])
    assert.equal(message, `ACCESS_REFUSED - ${refusedWithout} in vhost '/' refused for user 'ann'`)
  })
}

test('each of the rights to several things is asked for', async t => {
  const broker = await prepare(t, { configure: 'new', write: 'mine$', read: 'new' })
  const ann = await connect(t, broker, { user: 'ann', password: 'secret' })
  const refused = async (run: Run): Promise<string> => {
    const channel = await ann.channel()
    return (await Promise.all([channel.closed(), run(channel).catch(() => {})]))[0].message
  }
  assert.match(await refused(c => c.bind('mine', 'yours-x')), /read access to exchange 'yours-x'/)
  const deadLetters = { arguments: text('x-dead-letter-exchange', 'yours-x') }
  assert.match(await refused(c => c.declare('new', deadLetters)), /write access to exchange 'yours-x'/)
  const alternate = { arguments: text('alternate-exchange', 'yours-x') }
  assert.match(await refused(c => c.declareExchange('new', 'fanout', alternate)), /write access to exchange 'yours-x'/)
})

test('keys of exchanges that route by patterns may be permitted one by one', async t => {
  const broker = await prepare(t, { configure: '.*', write: '.*', read: '.*' })
  const { governance } = broker.core.identity
  const exchange = 'mine-x'
  await governance.setKeyPermission({ user: 'ann', namespace: '/', exchange, write: '^a\\.', read: '^{username}\\.' })
  const ann = await connect(t, broker, { user: 'ann', password: 'secret' })
  const channel = await ann.channel()
  await channel.bind('mine', exchange, 'ann.x')
  await channel.confirm()
  await channel.publish(exchange, 'a.x', '')
  const other = await ann.channel()
  const [{ message }] = await Promise.all([other.closed(), other.bind('mine', exchange, 'bob.x').catch(() => {})])
  assert.equal(
    message,
    "ACCESS_REFUSED - read access to topic 'bob.x' in exchange 'mine-x' in vhost '/' refused for user 'ann'",
  )
})

test('a rule that denies a topic denies it as a queue, too', async t => {
  const broker = await prepare(t, { configure: '.*', write: '.*', read: '.*' })
  await broker.core.topics.create('/', 'secrets', { partitions: 1 })
  const ann = await connect(t, broker, { user: 'ann', password: 'secret' })
  await (await ann.channel()).consume('secrets')
  const about = { namespace: '/', kind: 'topic', pattern: 'literal', name: 'secrets' } as const
  const rule = { ...about, principal: 'ann', host: '*', operation: 'read', effect: 'deny' } as const
  await broker.core.identity.addRules([rule])
  const refused = await ann.channel()
  const [{ message }] = await Promise.all([refused.closed(), refused.consume('secrets').catch(() => {})])
  assert.equal(message, "ACCESS_REFUSED - read access to queue 'secrets' in vhost '/' refused for user 'ann'")
})

test('a virtual host without any permission cannot be entered', async t => {
  const broker = await prepare(t, {})
  await broker.core.namespaces.set('other')
  await assert.rejects(
    connect(t, broker, { user: 'ann', password: 'secret', virtualHost: 'other' }),
    /NOT_ALLOWED - access to vhost 'other' refused for user 'ann'/,
  )
})
