import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { RunningBroker } from '../../main.ts'
import { connect, refused, start } from './testing/bench.ts'

const options = { timeout: 120_000 }

interface Grant {
  configure?: string
  write?: string
  read?: string
}

/** A broker with a user `ann` who may do this. */
async function prepare(t: TestContext, grant: Grant): Promise<RunningBroker> {
  const broker = await start(t, { users: 'root:root', authorization: 'on' })
  const { governance } = broker.core.identity
  await governance.setUser('ann', { tags: [], secret: { kind: 'password', password: 'secret' } })
  await governance.setPermission({ user: 'ann', namespace: '/', configure: '', write: '', read: '', ...grant })
  await broker.core.queues.declare('/', 'mine')
  await broker.core.router.declare('/', 'mine-x', { kind: 'fanout' })
  return broker
}

type Frame = [command: string, headers: Record<string, string>]
const subscribe = (destination: string, more: Record<string, string> = {}): Frame => [
  'SUBSCRIBE',
  { id: '1', destination, ...more },
]

/** What each frame needs, and what is said without. */
const table: [what: string, grant: Grant, frame: Frame, refusedWithout: string][] = [
  [
    'send to a queue',
    { write: 'amq.default' },
    ['SEND', { destination: '/queue/mine' }],
    "write access to exchange 'amq.default'",
  ],
  [
    'make a queue by sending',
    { write: 'amq.default', configure: 'new' },
    ['SEND', { destination: '/queue/new' }],
    "configure access to queue 'new'",
  ],
  [
    'make a queue whose dead letters go to an exchange',
    { configure: 'new', read: 'new', write: 'mine-x' },
    subscribe('/queue/new', { 'x-dead-letter-exchange': 'mine-x' }),
    "write access to exchange 'mine-x'",
  ],
  [
    'send to a subject',
    { write: 'amq.topic' },
    ['SEND', { destination: '/topic/a' }],
    "write access to exchange 'amq.topic'",
  ],
  [
    'send to an exchange',
    { write: 'mine-x' },
    ['SEND', { destination: '/exchange/mine-x' }],
    "write access to exchange 'mine-x'",
  ],
  ['read a queue', { read: 'mine' }, subscribe('/queue/mine'), "read access to queue 'mine'"],
  [
    'make a queue by subscribing',
    { read: 'new', configure: 'new' },
    subscribe('/queue/new'),
    "configure access to queue 'new'",
  ],
  ['subscribe to a subject', { read: 'amq.topic' }, subscribe('/topic/a'), "read access to exchange 'amq.topic'"],
  [
    'subscribe to a subject for good',
    { read: '.*', configure: 'stomp-subscription', write: 'stomp-subscription' },
    subscribe('/topic/a', { durable: 'true' }),
    "write access to queue 'stomp-subscription:1:amq.topic/a'",
  ],
]

for (const [what, grant, [command, headers], refusedWithout] of table) {
  test(`to ${what} takes permission`, options, async t => {
    const login = { login: 'ann', passcode: 'secret' }
    const allowed = await connect(t, await prepare(t, grant), login)
    await allowed.ask(command, headers)
    const last = Object.keys(grant).at(-1) ?? ''
    const broker = await prepare(t, { ...grant, [last]: '' })
    const driver = await connect(t, broker, login)
    driver.send(command, headers)
    await refused(driver, 'access_refused', new RegExp(refusedWithout.replaceAll('.', '\\.')))
    assert.equal(broker.core.connections.list().length, 0)
  })
}

test('who has no permission at all in the namespace cannot connect', options, async t => {
  const broker = await prepare(t, {})
  await broker.core.namespaces.set('other')
  await assert.rejects(
    connect(t, broker, { login: 'ann', passcode: 'secret', host: 'other' }),
    /access denied for user/,
  )
})
