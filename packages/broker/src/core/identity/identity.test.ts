import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { BrokerError } from '../errors.ts'
import { identityFacts } from './facts.ts'
import type { UserChange } from './identity.ts'
import { IdentityMachine } from './machine.ts'
import { anonymous, effects, operations, patterns, resourceKinds, type Rule } from './permissions.ts'
import { makeCredential, scramMechanisms, type Credential } from './scram.ts'
import { IdentityBench } from './test-bench.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Not worth the time of a real one. */
function credential(random: Random, mechanism: Credential['mechanism'] = 'SCRAM-SHA-256'): Credential {
  return {
    mechanism,
    iterations: 4096,
    salt: random.bytes(8),
    storedKey: random.bytes(32),
    serverKey: random.bytes(32),
  }
}

const random = new Random(seed)
const add = (name: string): UserChange => ({ kind: 'set', name, credential: credential(random) })
const remove = (name: string): UserChange => ({ kind: 'remove', name, mechanism: 'SCRAM-SHA-256' })
const rule: Rule = {
  namespace: '/',
  kind: 'topic',
  pattern: 'literal',
  name: 't',
  principal: 'ann',
  host: '*',
  operation: 'read',
  effect: 'allow',
}

test('the first user is a super user, further ones are not', async () => {
  const { identity } = new IdentityBench({ isRequired: true })
  assert.equal(identity.isEnforced, false)
  await identity.changeUsers([add('ann')])
  await identity.changeUsers([add('bob')])
  assert.equal(identity.isEnforced, true)
  assert.equal(identity.access('ann', 'password', 'h').may('alter', 'cluster', 'cluster'), true)
  assert.equal(identity.access('bob', 'password', 'h').may('read', 'topic', 't'), false)
  // The name alone is worth nothing: it must have been proved with the password.
  for (const proof of ['none', 'token', 'certificate'] as const) {
    assert.equal(identity.access('ann', proof, 'h').may('read', 'topic', 't'), false)
  }
})

test('super users of the options are all there are', async () => {
  const { identity } = new IdentityBench({ isRequired: true, superUsers: ['CN=app'] })
  await identity.changeUsers([add('ann')])
  assert.equal(identity.access('ann', 'password', 'h').may('read', 'topic', 't'), false)
  assert.equal(identity.access('CN=app', 'certificate', 'h').may('read', 'topic', 't'), true)
})

test('the last super user stays as long as clients must log in', async () => {
  const { identity } = new IdentityBench({ isRequired: true })
  await identity.changeUsers([add('ann'), add('bob')])
  await assert.rejects(identity.changeUsers([remove('ann')]), /last super user/)
  await identity.changeUsers([remove('bob')])
  const open = new IdentityBench().identity
  await open.changeUsers([add('ann')])
  await open.changeUsers([remove('ann')])
  assert.deepEqual(open.users, [])
})

test('whoever is removed may do nothing more, on connections that are open, too', async () => {
  const { identity } = new IdentityBench({ isRequired: true })
  await identity.changeUsers([add('root')])
  await identity.changeUsers([add('ann')])
  await identity.addRules([rule])
  const access = identity.access('ann', 'password', 'h')
  assert.equal(access.may('read', 'topic', 't'), true)
  await identity.changeUsers([remove('ann')])
  assert.equal(access.may('read', 'topic', 't'), false)
})

test('users of the configuration may do everything and cannot be changed', async () => {
  const { identity, machine } = new IdentityBench({ isRequired: true, users: [{ name: 'ann', password: 'a:b' }] })
  assert.equal(identity.access('ann', 'password', 'h').may('alter', 'cluster', 'cluster'), true)
  await assert.rejects(identity.changeUsers([add('ann')]), /set by the configuration/)
  assert.equal(machine.users.size, 0)
  const plain = (password: string) => identity.exchange('PLAIN', 'h').next(Buffer.from(`\0ann\0${password}`))
  assert.equal((await plain('a:b')).kind, 'success')
  assert.equal((await plain('a:c')).kind, 'failure')
  assert.equal((await plain('a:b')).kind, 'success')
})

test('PLAIN takes messages of its form only, and strangers as little as wrong passwords', async () => {
  const { identity } = new IdentityBench({ users: [{ name: 'ann', password: 'a' }] })
  const say = async (message: string) => identity.exchange('PLAIN', 'h').next(Buffer.from(message))
  const words = async (message: string): Promise<string> => {
    const step = await say(message)
    assert(step.kind === 'failure')
    return step.reason
  }
  assert.equal((await say('ann\0ann\0a')).kind, 'success')
  assert.match(await words('bob\0ann\0a'), /act for another/)
  for (const wrong of ['', 'ann', '\0ann\0', '\0\0a', '\0ann\0a\0', 'ann\0a']) {
    assert.match(await words(wrong), /needs a user and a password/)
  }
  assert.match(await words(`\0ann\0${'a'.repeat(5000)}`), /too long/)
  assert.equal(await words('\0nobody\0a'), await words('\0ann\0b'))
})

test('a stranger gets the same salt each time, and another one than the next stranger', async () => {
  const { identity } = new IdentityBench({ users: [{ name: 'ann', password: 'a' }] })
  const salt = async (user: string): Promise<string> => {
    const step = await identity.exchange('SCRAM-SHA-512', 'h').next(Buffer.from(`n,,n=${user},r=abc`))
    assert(step.kind === 'challenge')
    return /s=([^,]*)/.exec(step.data.toString())?.[1] ?? ''
  }
  assert.equal(await salt('x'), await salt('x'))
  assert.notEqual(await salt('x'), await salt('y'))
  assert.equal((await salt('x')).length, (await salt('ann')).length)
})

test('names of users are refused that could be taken for others', async () => {
  const { identity } = new IdentityBench()
  for (const name of ['', '*', anonymous, 'a\nb', 'x'.repeat(257)]) {
    await assert.rejects(identity.changeUsers([add(name)]), ({ code }: BrokerError) => code === 'credential-invalid')
  }
  await assert.rejects(identity.changeUsers([remove('nobody')]), ({ code }: BrokerError) => code === 'user-not-found')
})

test('users and rules are bounded, and changes are made wholly or not at all', async () => {
  const bench = new IdentityBench({}, { limits: { usersMax: 2, rulesMax: 2 } })
  const { identity, facts } = bench
  await identity.changeUsers([add('a'), add('b')])
  const before = facts.length
  await assert.rejects(identity.changeUsers([remove('a'), add('c'), add('d')]), /at most 2 users/)
  await identity.addRules([rule, { ...rule, name: 'u' }, rule])
  await assert.rejects(identity.addRules([{ ...rule, name: 'v' }]), /at most 2 rules/)
  await identity.addRules([rule])
  await assert.rejects(identity.addRules([{ ...rule, name: 'x'.repeat(1025) }]), /at most 1024 characters/)
  assert.equal(facts.length, before + 1)
  await identity.removeRules([rule, { ...rule, name: 'none' }])
  assert.deepEqual([...identity.rules], [{ ...rule, name: 'u' }])
})

test('wrong guesses of a host are answered later and later, and forgotten after a while', () => {
  const bench = new IdentityBench()
  const { guesses } = bench.identity
  const delays = Array.from({ length: 10 }, () => guesses.wrong('h'))
  assert.deepEqual(delays.slice(0, 4), [200, 400, 800, 1600])
  assert.equal(delays.at(-1), 10_000)
  assert.equal(guesses.wrong('other'), 200)
  bench.nowMs += 60_000
  assert.equal(guesses.wrong('h'), 200)
})

test(`a checkpoint and the facts after it are all facts (SEED=${seed})`, async () => {
  const bench = new IdentityBench()
  const { identity, machine, facts } = bench
  const half = new IdentityMachine()
  for (let round = 0; round < 60; round++) {
    const name = `user-${random.below(5)}`
    const mechanism = random.pick(scramMechanisms)
    const change: UserChange = random.chance(0.6)
      ? { kind: 'set', name, credential: credential(random, mechanism) }
      : { kind: 'remove', name, mechanism }
    await identity.changeUsers([change]).catch((error: unknown) => assert(error instanceof BrokerError))
    const rules = Array.from({ length: random.below(3) }, (): Rule => ({
      namespace: random.pick(['/', 'other']),
      kind: random.pick(resourceKinds),
      pattern: random.pick(patterns),
      name: `n${random.below(3)}`,
      principal: name,
      host: '*',
      operation: random.pick(['all', ...operations] as const),
      effect: random.pick(effects),
    }))
    if (random.chance(0.7)) await identity.addRules(rules)
    else await identity.removeRules(rules)
    if (round === 30) half.load(new Reader(saved(machine)))
    if (round === 30) facts.length = 0
  }
  for (const { type, payload } of facts) half.apply(type, Buffer.from(payload))
  assert(saved(half).equals(saved(machine)))
  assert.deepEqual([...half.users], [...machine.users])
  assert.deepEqual([...half.rules], [...machine.rules])
})

test('facts of a newer version and of unknown kinds are refused', () => {
  const machine = new IdentityMachine()
  assert.throws(() => machine.apply(99, Buffer.from([1])), /written by a newer broker/)
  assert.throws(() => machine.apply(identityFacts.userRemoved, Buffer.from([99, 0, 0])), /newer broker/)
  assert.throws(() => machine.load(new Reader(Buffer.from([99]))), /newer broker/)
})

test('what is kept of a password does not hold it', async () => {
  const { identity, machine, facts } = new IdentityBench()
  const made = makeCredential('SCRAM-SHA-256', 'open sesame', Buffer.from('salt'), 4096)
  await identity.changeUsers([{ kind: 'set', name: 'ann', credential: made }])
  for (const bytes of [saved(machine), ...facts.map(({ payload }) => payload)]) {
    assert.equal(bytes.includes('open sesame'), false)
  }
})

function saved(machine: IdentityMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}
