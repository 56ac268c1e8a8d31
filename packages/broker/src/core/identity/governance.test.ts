import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { readHash } from './hashes.ts'
import { IdentityMachine } from './machine.ts'
import { makeCredential, scramMechanisms } from './scram.ts'
import { IdentityBench } from './test-bench.ts'

const none = { kind: 'none' } as const
const refusal = (code: ErrorCode) => (error: unknown) => error instanceof BrokerError && error.code === code
const everything = { namespace: '/', configure: '.*', write: '.*', read: '.*' }

test('a user with tags may do in a namespace what a permission says, also while nobody must log in', async () => {
  const { identity } = new IdentityBench()
  await identity.governance.setUser('ann', { tags: [], secret: none })
  const access = identity.access('ann', 'password', 'h')
  assert.equal(identity.inNamespace(access, '/').mayEnter(), false)
  assert.equal(identity.mayInNamespace(access, '/', 'read', 'orders'), false)
  await identity.governance.setPermission({ user: 'ann', ...everything, configure: '', write: '^orders' })
  assert.equal(identity.inNamespace(access, '/').mayEnter(), true)
  assert.equal(identity.inNamespace(access, 'other').mayEnter(), false)
  assert.equal(identity.mayInNamespace(access, '/', 'read', 'x'), true)
  assert.equal(identity.mayInNamespace(access, '/', 'configure', 'orders'), false)
  assert.equal(identity.mayInNamespace(access, '/', 'configure', ''), true)
  assert.equal(identity.mayInNamespace(access, '/', 'write', 'orders.1'), true)
  assert.equal(identity.mayInNamespace(access, '/', 'write', 'my.orders'), false)
  // What others may do is not touched by that.
  assert.equal(identity.access('ann', 'password', 'h').may('read', 'topic', 't'), true)
  assert.equal(identity.mayInNamespace(identity.access('guest', 'none', 'h'), '/', 'read', 'x'), true)
})

test('where clients must log in, everybody but super users needs a permission', async () => {
  const { identity } = new IdentityBench({ isRequired: true, users: [{ name: 'root', password: 'secret' }] })
  const credential = makeCredential('SCRAM-SHA-256', 'x', Buffer.alloc(8), 4096)
  await identity.changeUsers([{ kind: 'set', name: 'bob', credential }])
  const may = (name: string): boolean =>
    identity.mayInNamespace(identity.access(name, 'password', 'h'), '/', 'read', 'q')
  assert.deepEqual(['root', 'bob', 'nobody'].map(may), [true, false, false])
  await identity.governance.setPermission({ user: 'bob', ...everything })
  assert.equal(may('bob'), true)
  await identity.governance.removeUsers(['bob'])
  assert.equal(may('bob'), false)
  assert.deepEqual(identity.governance.permissions, [])
})

test('an administrator may do everything but in namespaces without a permission', async () => {
  const { identity } = new IdentityBench({ isRequired: true })
  await identity.governance.setUser('ann', { tags: ['administrator'], secret: none })
  const access = identity.access('ann', 'password', 'h')
  assert.equal(access.may('alter', 'cluster', 'cluster'), true)
  assert.equal(identity.mayInNamespace(access, '/', 'read', 'q'), false)
  await assert.rejects(identity.governance.removeUsers(['ann']), refusal('credential-invalid'))
  await assert.rejects(identity.governance.setUser('ann', { tags: [], secret: none }), refusal('credential-invalid'))
})

test('a rule that denies a topic holds for permissions, too', async () => {
  const { identity } = new IdentityBench({ isRequired: true, users: [{ name: 'root', password: 'secret' }] })
  await identity.governance.setUser('ann', { tags: [], secret: none })
  await identity.governance.setPermission({ user: 'ann', ...everything })
  await identity.addRules([
    {
      ...{ namespace: '/', kind: 'topic', pattern: 'literal', name: 't', principal: 'ann', host: '*' },
      ...{ operation: 'read', effect: 'deny' },
    },
  ])
  const within = identity.inNamespace(identity.access('ann', 'password', 'h'), '/')
  assert.equal(within.may('read', 't'), true)
  assert.equal(within.may('read', 't', 'topic'), false)
  assert.equal(within.may('write', 't', 'topic'), true)
})

test('keys of an exchange are free until a permission for it says otherwise', async () => {
  const { identity } = new IdentityBench()
  await identity.governance.setUser('a.b', { tags: [], secret: none })
  const within = identity.inNamespace(identity.access('a.b', 'password', 'h'), '/')
  assert.equal(within.mayUseKey('write', 'amq.topic', 'any'), true)
  const permission = { user: 'a.b', namespace: '/', exchange: 'amq.topic' }
  await identity.governance.setKeyPermission({ ...permission, write: '^{username}\\.', read: '' })
  assert.equal(within.mayUseKey('write', 'amq.topic', 'a.b.c'), true)
  assert.equal(within.mayUseKey('write', 'amq.topic', 'aXb.c'), false)
  assert.equal(within.mayUseKey('read', 'amq.topic', 'a.b.c'), false)
  assert.equal(within.mayUseKey('read', 'other', 'a.b.c'), true)
  assert.equal(await identity.governance.removeKeyPermissions('a.b', '/'), true)
  assert.equal(within.mayUseKey('read', 'amq.topic', 'a.b.c'), true)
})

test('a password, its hash from elsewhere, and a new one', async () => {
  const { identity } = new IdentityBench()
  const { governance } = identity
  await governance.setUser('ann', { tags: [], secret: { kind: 'password', password: 'keep' } })
  assert.equal(await identity.checkPassword('ann', 'keep'), true)
  assert.equal(await identity.checkPassword('ann', 'other'), false)
  // Whoever says so by SCRAM has it, too.
  assert.deepEqual([...(identity.user('ann')?.credentials.keys() ?? [])], [...scramMechanisms])
  for (const algorithm of ['sha256', 'sha512', 'md5'] as const) {
    const salt = Buffer.from('01020304', 'hex')
    const digest = createHash(algorithm).update(salt).update('imported').digest()
    const hash = readHash(algorithm, Buffer.concat([salt, digest]))
    assert(hash)
    await governance.setUser('ann', { tags: [], secret: { kind: 'hash', hash } })
    assert.equal(await identity.checkPassword('ann', 'imported'), true)
    assert.equal(await identity.checkPassword('ann', 'keep'), false)
  }
  const credential = makeCredential('SCRAM-SHA-256', 'new', Buffer.alloc(8), 4096)
  await identity.changeUsers([{ kind: 'set', name: 'ann', credential }])
  assert.equal(await identity.checkPassword('ann', 'imported'), false)
  assert.equal(await identity.checkPassword('ann', 'new'), true)
  await governance.setUser('ann', { tags: [], secret: none })
  assert.equal(await identity.checkPassword('ann', 'new'), false)
  assert.equal(await identity.checkPassword('ann', ''), false)
})

test('what cannot be granted is refused', async () => {
  const { identity } = new IdentityBench({ users: [{ name: 'root', password: 'secret' }] })
  const { governance } = identity
  await assert.rejects(governance.setPermission({ user: 'ann', ...everything }), refusal('user-not-found'))
  await assert.rejects(governance.setUser('root', { tags: [], secret: none }), refusal('credential-invalid'))
  await assert.rejects(governance.setUser('', { tags: [], secret: none }), refusal('credential-invalid'))
  await assert.rejects(governance.setUser('ann', { tags: ['x'.repeat(300)], secret: none }), refusal('request-invalid'))
  await governance.setPermission({ user: 'root', ...everything })
  await assert.rejects(governance.setPermission({ user: 'root', ...everything, read: '(' }), refusal('pattern-invalid'))
  await assert.rejects(governance.setLimit('ann', 'connections', 3), refusal('user-not-found'))
})

test('users and permissions survive a restart', async () => {
  const { identity, machine, facts } = new IdentityBench()
  const { governance } = identity
  await governance.setUser('ann', { tags: ['a', 'b'], secret: { kind: 'password', password: 'p' } })
  await governance.setUser('bob', { tags: [], secret: none })
  await governance.setLimit('ann', 'connections', 3)
  for (const namespace of ['/', 'x', 'y']) {
    await governance.setPermission({ user: 'ann', ...everything, namespace })
    await governance.setPermission({ user: 'bob', ...everything, namespace })
    await governance.setKeyPermission({ user: 'bob', namespace, exchange: 'e', write: 'w', read: 'r' })
  }
  await governance.removePermission('ann', '/')
  await governance.forgetNamespace('x')
  await governance.removeKeyPermissions('bob', 'y', 'e')
  const saved = new Writer()
  machine.save(saved)
  const loaded = new IdentityMachine()
  loaded.load(new Reader(saved.take()))
  const replayed = new IdentityMachine()
  for (const { type, payload } of facts) replayed.apply(type, payload)
  for (const other of [loaded, replayed]) {
    assert.deepEqual([...other.users], [...machine.users])
    assert.deepEqual([...other.grants.list()], [...machine.grants.list()])
    assert.deepEqual([...other.grants.listKeys()], [...machine.grants.listKeys()])
    assert.equal(other.grants.count, 4)
  }
  assert.deepEqual(
    governance.permissions.map(({ user, namespace }) => `${user} ${namespace}`),
    ['ann y', 'bob /', 'bob y'],
  )
})
