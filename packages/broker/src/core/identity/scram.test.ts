import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { logIn } from './sasl/client.ts'
import type { SaslStep } from './sasl/mechanism.ts'
import { ScramExchange } from './sasl/scram.ts'
import { checkPassword, makeCredential, prove, saltPasswordNow, scramMechanisms, type Credential } from './scram.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** The example of RFC 7677, 3. */
const example = {
  user: 'user',
  password: 'pencil',
  clientNonce: 'rOprNGfwEbeRWgbNEkqO',
  serverNonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
  salt: Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'),
  clientFirst: 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO',
  serverFirst: 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  clientFinal:
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  serverFinal: 'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
}
const credential = makeCredential('SCRAM-SHA-256', example.password, example.salt, 4096)

function exchange(isKnown = true): ScramExchange {
  return new ScramExchange({ credentialFor: () => ({ credential, isKnown }), nonce: () => example.serverNonce })
}

const textOf = (step: SaslStep): string => (step.kind === 'failure' ? step.reason : step.data.toString())

test('ScramExchange says what the example of RFC 7677 says', () => {
  const scram = exchange()
  const first = scram.next(Buffer.from(example.clientFirst))
  assert.equal(first.kind, 'challenge')
  assert.equal(textOf(first), example.serverFirst)
  const final = scram.next(Buffer.from(example.clientFinal))
  assert.deepEqual(final, { kind: 'success', principal: 'user', data: Buffer.from(example.serverFinal) })
})

test('checkPassword takes the password and no other, with both hashes', async () => {
  for (const mechanism of scramMechanisms) {
    const made = makeCredential(mechanism, 'päss', Buffer.from('salt'), 4096)
    assert.equal(await checkPassword(made, 'päss'), true)
    assert.equal(await checkPassword(made, 'pass'), false)
    assert.equal(await checkPassword({ ...made, storedKey: Buffer.alloc(4) }, 'päss'), false)
  }
})

test('logIn and ScramExchange agree, whatever the name and the password', async () => {
  const random = new Random(7)
  for (const mechanism of scramMechanisms) {
    for (const user of ['a', 'a,b=c', '=2C', 'käse', 'x'.repeat(200)]) {
      const made = makeCredential(mechanism, `of ${user}`, random.bytes(16), 4096)
      const steps = await converse(made, { mechanism, user, password: `of ${user}`, nonce: 'abc' })
      assert.deepEqual(steps.at(-1)?.kind, 'success')
      assert.equal((steps.at(-1) as SaslStep & { kind: 'success' }).principal, user)
    }
  }
})

test('logIn notices a broker that does not know the password', async () => {
  const made = makeCredential('SCRAM-SHA-256', 'secret', Buffer.from('salt'), 4096)
  const forged: Credential = { ...made, serverKey: Buffer.alloc(32) }
  const login = { mechanism: 'SCRAM-SHA-256', user: 'a', password: 'secret', nonce: 'abc' } as const
  await assert.rejects(converse(forged, login), /does not know the password/)
  for (const answer of ['', 'r=xyz,s=c2FsdA==,i=4096', 'r=abc,s=c2FsdA==,i=4096', 'r=abcd,s=c2FsdA==,i=1', 'e=other']) {
    await assert.rejects(logIn(login, async () => Buffer.from(answer)))
  }
})

async function converse(
  of: Credential,
  login: { mechanism: Credential['mechanism']; user: string; password: string; nonce: string },
): Promise<SaslStep[]> {
  const scram = new ScramExchange({ credentialFor: () => ({ credential: of, isKnown: true }), nonce: () => 'server' })
  const steps: SaslStep[] = []
  await logIn(login, async message => {
    const step = scram.next(message)
    steps.push(step)
    assert(step.kind !== 'failure', textOf(step))
    return step.data
  })
  return steps
}

const firstMessages: [string, string, RegExp][] = [
  ['nothing', '', /no first message/],
  ['no header', 'n=user,r=abc', /no first message/],
  ['demanded channel binding', 'p=tls-unique,,n=user,r=abc', /channel binding/],
  ['a mandatory extension', 'n,,m=x,n=user,r=abc', /mandatory extension/],
  ['another user to act for', 'n,a=root,n=user,r=abc', /act for another/],
  ['no name', 'n,,n=,r=abc', /no first message/],
  ['no nonce', 'n,,n=user,r=', /no first message/],
  ['a nonce with control characters', 'n,,n=user,r=a\0b', /no first message/],
  ['a name with a bare =', 'n,,n=us=er,r=abc', /not written/],
  ['a name with a comma', 'n,,n=us,er,r=abc', /no first message/],
  ['too much', `n,,n=user,r=${'a'.repeat(9000)}`, /too long/],
  ['the final message', example.clientFinal, /no first message/],
]
for (const [name, message, reason] of firstMessages) {
  test(`ScramExchange refuses a first message with ${name}`, () => {
    const scram = exchange()
    const step = scram.next(Buffer.from(message))
    assert.equal(step.kind, 'failure')
    assert.match(textOf(step), reason)
    // Nothing can be said after that.
    assert.equal(scram.next(Buffer.from(example.clientFirst)).kind, 'failure')
  })
}

const finalMessages: [string, string, RegExp][] = [
  ['another proof', example.clientFinal.replace('p=d', 'p=e'), /user or the password is wrong/],
  ['a short proof', example.clientFinal.replace(/p=.*/, 'p=dHzb'), /user or the password is wrong/],
  ['no proof', example.clientFinal.replace(/,p=.*/, ''), /no final message/],
  ['the nonce of another exchange', example.clientFinal.replace('hvYD', 'xxxx'), /nonce/],
  ['the nonce of the client alone', example.clientFinal.replace(/r=[^,]*/, `r=${example.clientNonce}`), /nonce/],
  ['another header', example.clientFinal.replace('c=biws', 'c=eSws'), /channel binding/],
  ['a header that binds', example.clientFinal.replace('c=biws', 'c=cD10bHMtdW5pcXVlLCw='), /channel binding/],
]
for (const [name, message, reason] of finalMessages) {
  test(`ScramExchange refuses a final message with ${name}`, () => {
    const scram = exchange()
    scram.next(Buffer.from(example.clientFirst))
    const step = scram.next(Buffer.from(message))
    assert.equal(step.kind, 'failure')
    assert.match(textOf(step), reason)
  })
}

test('ScramExchange takes a final message that names the nonce of the client twice', () => {
  const doubled = example.clientNonce + example.clientNonce + example.serverNonce
  const withoutProof = `c=biws,r=${doubled}`
  const said = `${example.clientFirst.slice(3)},${example.serverFirst},${withoutProof}`
  const salted = saltPasswordNow('SCRAM-SHA-256', example.password, example.salt, 4096)
  const { proof } = prove('SCRAM-SHA-256', salted, said)
  const scram = exchange()
  scram.next(Buffer.from(example.clientFirst))
  assert.equal(scram.next(Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)).kind, 'success')
})

test('ScramExchange takes no message twice: what was overheard is worth nothing in another exchange', () => {
  const scram = exchange()
  scram.next(Buffer.from(example.clientFirst))
  assert.equal(scram.next(Buffer.from(example.clientFinal)).kind, 'success')
  assert.equal(scram.next(Buffer.from(example.clientFinal)).kind, 'failure')
  const other = new ScramExchange({ credentialFor: () => ({ credential, isKnown: true }), nonce: () => 'fresh' })
  other.next(Buffer.from(example.clientFirst))
  assert.equal(other.next(Buffer.from(example.clientFinal)).kind, 'failure')
})

test(`mutilated messages are answered, never thrown (SEED=${seed})`, () => {
  const random = new Random(seed)
  const mutilate = (text: string): Buffer => {
    const bytes = Buffer.from(text)
    for (let times = random.between(1, 4); times > 0 && bytes.length > 0; times--) {
      bytes[random.below(bytes.length)] = random.chance(0.5)
        ? random.below(256)
        : random.pick([...Buffer.from(',=nrcpa\0')])
    }
    return bytes.subarray(0, random.chance(0.3) ? random.below(bytes.length + 1) : bytes.length)
  }
  for (let round = 0; round < 3000; round++) {
    const scram = exchange()
    const isFirst = random.chance(0.5)
    const step = scram.next(isFirst ? mutilate(example.clientFirst) : Buffer.from(example.clientFirst))
    if (step.kind !== 'challenge') continue
    const final = scram.next(mutilate(example.clientFinal))
    // What is left whole by chance is still right.
    if (final.kind === 'success') assert.equal(final.data.toString(), example.serverFinal)
  }
})

test('ScramExchange treats a stranger like a user until the end, and then refuses even the right proof', () => {
  const scram = exchange(false)
  assert.equal(scram.next(Buffer.from(example.clientFirst)).kind, 'challenge')
  assert.match(textOf(scram.next(Buffer.from(example.clientFinal))), /user or the password is wrong/)
})
