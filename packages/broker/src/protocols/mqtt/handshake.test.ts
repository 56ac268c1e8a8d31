import assert from 'node:assert/strict'
import test from 'node:test'
import { homeNamespace } from '../../core/broker.ts'
import { scramMechanisms } from '../../core/identity/scram.ts'
import { logIn } from '../../core/identity/sasl/client.ts'
import { startBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { types, versions } from './messages.ts'
import type { Properties } from './properties.ts'
import { reasons } from './reasons.ts'
import { connect, dial, later, start } from './testing/bench.ts'

const users = { users: 'ann:secret', authentication: 'on' } as const

test('CONNECT is answered in the words of its version', async t => {
  const broker = await start(t)
  const old = await connect(t, broker, { version: versions.mqtt31 })
  assert.deepEqual([old.connack.flags, old.connack.reason], [0, 0])
  const anonymous = await connect(t, broker, { clientId: '', version: versions.mqtt5 })
  assert.match(anonymous.connack.properties.assignedClientId ?? '', /^auto-/)
  await connect(t, broker, { clientId: '', version: versions.mqtt311 })
  const lasting = await dial(t, broker, { version: versions.mqtt311 })
  lasting.hello({ clientId: '', cleanStart: false })
  assert.equal(await lasting.refusal(), 2)
})

test('another version is refused, another protocol and another packet are not answered', async t => {
  const broker = await start(t)
  const rows: [string, number][] = [
    ['100c00044d5154540602003c0000', reasons.versionUnsupported],
    ['100c00044d5154540202003c0000', 1],
    ['100c000448545450040200000000', -1],
    ['c000', -1],
    ['100c00044d5154540403003c0000', -1],
    ['20020000', -1],
  ]
  for (const [hex, expected] of rows) {
    const client = await dial(t, broker, { version: expected === 1 ? 4 : 5 })
    client.send(Buffer.from(hex, 'hex'))
    assert.equal(await client.refusal(), expected, hex)
  }
})

test('what breaks the protocol ends the connection with its reason', async t => {
  const broker = await start(t, { frameBytesMax: 64 * 1024 })
  const rows: [string, number][] = [
    // PUBLISH of quality 3; a reserved type; wrong flags; a second CONNECT.
    ['360400017400', reasons.malformed],
    ['0000', reasons.protocolError],
    ['800700010000016100', reasons.malformed],
    ['100d00044d5154540502003c000000', reasons.protocolError],
    // No topics; an identifier of 0; bytes left over; an unknown property; one that is not for PUBLISH.
    ['8203000100', reasons.protocolError],
    ['820700000000016100', reasons.protocolError],
    ['c00100', reasons.malformed],
    ['3006000161020102', reasons.protocolError],
    ['300600016102fe00', reasons.malformed],
    ['300900016105110000000a', reasons.protocolError],
    // Twice the same property; text that is no text; an alias of 0; more than is allowed.
    ['3008000161040100' + '0100', reasons.protocolError],
    ['30040001c000', reasons.malformed],
    ['30070001610323' + '0000', reasons.aliasInvalid],
    ['30ffff7f', reasons.packetTooLarge],
    ['e00181', -1],
  ]
  for (const [hex, expected] of rows) {
    const client = await connect(t, broker)
    client.send(Buffer.from(hex, 'hex'))
    assert.equal(await client.refusal(), expected, hex)
  }
  const old = await connect(t, broker, { version: versions.mqtt311 })
  old.send(Buffer.from('0000', 'hex'))
  assert.equal(await old.refusal(), -1)
})

test('who is silent for too long is sent away', async t => {
  const broker = await start(t, { keepAliveMaxSeconds: 1 })
  const client = await connect(t, broker, { keepAliveSeconds: 60 })
  assert.equal(client.connack.properties.serverKeepAlive, 1)
  const begun = Date.now()
  for (let count = 0; count < 4; count++) {
    await later(400)
    client.send(Buffer.of(types.pingreq << 4, 0))
    await client.expect(types.pingresp)
  }
  assert.equal(await client.refusal(), reasons.keepAliveTimeout)
  assert(Date.now() - begun >= 2900)
})

test('names and passwords are checked, and namespaces found', async t => {
  const broker = await start(t, users)
  await broker.core.namespaces.set('other')
  const login = async (version: number, username?: string, password?: string): Promise<number> => {
    const client = await dial(t, broker, { version })
    client.hello({ username, password: password === undefined ? undefined : Buffer.from(password) })
    return client.refusal()
  }
  assert.deepEqual([await login(4), await login(5)], [5, reasons.notAuthorized])
  assert.deepEqual([await login(4, 'ann', 'x'), await login(5, 'ann', 'x')], [4, reasons.badCredentials])
  assert.deepEqual([await login(4, 'ann', 'secret'), await login(5, 'ann', 'secret')], [0, 0])
  const credentials = { username: 'other:ann', password: Buffer.from('secret') }
  const other = await connect(t, broker, { clientId: 'o', ...credentials })
  await other.publish('t', 'x', { isRetained: true, qos: 1 })
  assert.deepEqual([broker.core.retained.countIn('other'), broker.core.retained.countIn(homeNamespace)], [1, 0])
})

test('rights bound what is published and subscribed to', async t => {
  const broker = await start(t, users)
  const { identity } = broker.core
  const { governance } = identity
  await governance.setUser('bob', { tags: [], secret: { kind: 'password', password: 'secret' } })
  await governance.setPermission({ user: 'bob', namespace: '/', configure: '', write: '.*', read: '.*' })
  const keys = { exchange: 'amq.topic', write: '^w', read: '^r' }
  await governance.setKeyPermission({ user: 'bob', namespace: '/', ...keys })
  const credentials = { username: 'bob', password: Buffer.from('secret') }
  const bob = await connect(t, broker, { ...credentials })
  assert.equal(await bob.publish('w/1', 'x', { qos: 1 }), reasons.noMatchingSubscribers)
  assert.equal(await bob.publish('r/1', 'x', { qos: 1 }), reasons.notAuthorized)
  assert.deepEqual([await bob.subscribe('r/#', 1), await bob.subscribe('w/#', 1)], [1, reasons.notAuthorized])
  const refused = await dial(t, broker)
  const will = { qos: 0, isRetained: false, properties: {}, topic: 'r', payload: Buffer.alloc(0) }
  refused.hello({ ...credentials, clientId: 'other', will })
  assert.equal(await refused.refusal(), reasons.notAuthorized)
  // The session of another user is not theirs.
  const ann = await connect(t, broker, { clientId: 'a', username: 'ann', password: Buffer.from('secret') })
  const thief = await dial(t, broker)
  thief.hello({ ...credentials, clientId: 'a' })
  assert.equal(await thief.refusal(), reasons.clientIdInvalid)
  assert.equal(ann.isOver, false)
})

for (const mechanism of scramMechanisms) {
  test(`${mechanism} in AUTH packets, at the beginning and once more`, async t => {
    const broker = await start(t, users)
    const client = await dial(t, broker)
    const prove = (begin: (authData: Buffer) => void, last: number): Promise<void> => {
      let step = 0
      return logIn({ mechanism, user: 'ann', password: 'secret', nonce: `nonce${last}` }, async authData => {
        const isFirst = step++ === 0
        if (isFirst) begin(authData)
        else client.auth(reasons.continueAuthentication, { authMethod: mechanism, authData })
        if (!isFirst && last === types.connack) {
          return ((await client.expect(types.connack)) as Answer).properties?.authData ?? noBytes
        }
        return ((await client.expect(types.auth)) as Answer).rest?.properties.authData ?? noBytes
      })
    }
    await prove(authData => client.hello({ properties: { authMethod: mechanism, authData } }), types.connack)
    const again = { authMethod: mechanism }
    await prove(authData => client.auth(reasons.reauthenticate, { ...again, authData }), types.auth)
    client.send(Buffer.of(types.pingreq << 4, 0))
    await client.expect(types.pingresp)
    const wrong = await dial(t, broker)
    wrong.hello({ properties: { authMethod: 'NONE' } })
    assert.equal(await wrong.refusal(), reasons.badMethod)
  })
}

const noBytes = Buffer.alloc(0)
interface Answer {
  readonly properties?: Properties
  readonly rest?: { readonly properties: Properties }
}

test('a login that is worth something for longer than timers go is', async t => {
  const real = realRuntime()
  let days = 0
  const dayMs = 24 * 3_600_000
  const after = (ms: number, run: () => void): (() => void) => {
    if (ms === dayMs) days++
    return real.clock.after(ms === dayMs ? 1 : ms, run)
  }
  const clock: Clock = {
    after,
    soon: run => real.clock.soon(run),
    nowMs: () => real.clock.nowMs(),
    monotonicMs: () => real.clock.monotonicMs(),
  }
  const options = { data: 'memory', mqtt: 0, logLevel: 'error', sessionLifetimeMs: 7 * dayMs, ...users } as const
  const broker = await startBroker(options, { runtime: { ...real, clock } })
  t.after(() => broker.close())
  const client = await connect(t, broker, { username: 'ann', password: Buffer.from('secret') })
  while (days < 5) await later(1)
  assert.equal(await client.publish('t', 'x', { qos: 1 }), reasons.noMatchingSubscribers)
})
