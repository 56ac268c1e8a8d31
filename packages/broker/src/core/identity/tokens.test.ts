import assert from 'node:assert/strict'
import { constants, createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import test from 'node:test'
import { BearerExchange } from './sasl/bearer.ts'
import { Tokens, type TokensOptions } from './tokens.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ec384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const ed = generateKeyPairSync('ed25519')

const nowMs = 1_700_000_000_000
const claims = { sub: 'ann', exp: nowMs / 1000 + 300, iss: 'https://issuer', aud: ['broker', 'other'], scope: 'a b' }
const parts = (...values: object[]): string =>
  values.map(value => Buffer.from(JSON.stringify(value)).toString('base64url')).join('.')

interface Signing {
  alg: string
  kid?: string
  key: KeyObject
  hash: string | null
  options?: object
}

const signings = {
  RS256: { alg: 'RS256', kid: 'rsa', key: rsa.privateKey, hash: 'sha256' },
  RS512: { alg: 'RS512', kid: 'rsa', key: rsa.privateKey, hash: 'sha512' },
  PS256: {
    alg: 'PS256',
    kid: 'rsa',
    key: rsa.privateKey,
    hash: 'sha256',
    options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  },
  ES256: { alg: 'ES256', kid: 'ec', key: ec.privateKey, hash: 'sha256', options: { dsaEncoding: 'ieee-p1363' } },
  ES384: { alg: 'ES384', kid: 'ec384', key: ec384.privateKey, hash: 'sha384', options: { dsaEncoding: 'ieee-p1363' } },
  EdDSA: { alg: 'EdDSA', kid: 'ed', key: ed.privateKey, hash: null },
} satisfies Record<string, Signing>

function token(of: object = claims, signing: Signing = signings.RS256): string {
  const { alg, kid, key, hash, options } = signing
  const signed = parts({ alg, ...(kid === undefined ? {} : { kid }) }, of)
  return `${signed}.${sign(hash, Buffer.from(signed), { key, ...options }).toString('base64url')}`
}

const jwk = (key: KeyObject, more: object): object => ({ ...key.export({ format: 'jwk' }), ...more })
const keySet = (...keys: object[]): string => JSON.stringify({ keys })
const allKeys = keySet(
  jwk(rsa.publicKey, { kid: 'rsa', use: 'sig' }),
  jwk(weak.publicKey, { kid: 'weak' }),
  jwk(ec.publicKey, { kid: 'ec' }),
  jwk(ec384.publicKey, { kid: 'ec384' }),
  jwk(ed.publicKey, { kid: 'ed' }),
  { kty: 'oct', k: 'c2VjcmV0', kid: 'shared' },
  { kty: 'XX', kid: 'unknown' },
)

class Bench {
  keys = allKeys
  fetches = 0
  monotonicMs = 0
  readonly logged: string[] = []
  readonly tokens: Tokens

  constructor(options: Partial<TokensOptions> = {}) {
    this.tokens = new Tokens({
      fetchKeys: async () => {
        this.fetches++
        return this.keys
      },
      clock: { nowMs: () => nowMs, monotonicMs: () => this.monotonicMs },
      wallMs: () => nowMs,
      log: (level, message, fields) => this.logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
      issuer: 'https://issuer',
      audiences: ['broker'],
      scopes: ['a'],
      principalClaim: 'sub',
      clockSkewMs: 30_000,
      ...options,
    })
  }

  static async open(options: Partial<TokensOptions> = {}): Promise<Bench> {
    const bench = new Bench(options)
    await bench.tokens.open()
    return bench
  }

  async problem(of: string): Promise<string> {
    const checked = await this.tokens.check(of)
    return 'problem' in checked ? checked.problem : `taken for ${checked.principal}`
  }
}

for (const [name, signing] of Object.entries(signings)) {
  test(`a token signed with ${name} is taken, and no other bytes with its signature`, async () => {
    const { tokens } = await Bench.open()
    const good = token(claims, signing)
    assert.deepEqual(await tokens.check(good), { principal: 'ann', expiresMs: claims.exp * 1000 })
    const [head = '', , signature = ''] = good.split('.')
    const forged = [head, parts({ ...claims, sub: 'root' }), signature].join('.')
    assert.deepEqual(await tokens.check(forged), { problem: 'its signature is not one of the known keys' })
  })
}

test('tokens are checked by the time of those who issue them, and last as long by that of the broker', async () => {
  const hour = 3_600_000
  const { tokens } = await Bench.open({ wallMs: () => nowMs + hour })
  const dated = { ...claims, nbf: nowMs / 1000 + 3600, exp: claims.exp + 3600 }
  const early = await Bench.open()
  assert.match(await early.problem(token(dated)), /time has not come/)
  assert.deepEqual(await tokens.check(token(dated)), { principal: 'ann', expiresMs: claims.exp * 1000 })
})

test('a token without a signature, or with a shared secret, is not taken', async () => {
  const bench = await Bench.open()
  for (const alg of ['none', 'None', 'NONE', 'HS256', '__proto__', 'constructor', '']) {
    assert.equal(await bench.problem(`${parts({ alg, kid: 'rsa' }, claims)}.`), 'its algorithm is not taken')
  }
  // The public key of the set, taken for a secret.
  const secret = rsa.publicKey.export({ type: 'spki', format: 'pem' })
  for (const alg of ['HS256', 'RS256']) {
    const signed = parts({ alg, kid: 'rsa' }, claims)
    const signature = createHmac('sha256', secret).update(signed).digest('base64url')
    assert.match(await bench.problem(`${signed}.${signature}`), /algorithm|signature/)
  }
})

test('a key is used for its own algorithm only', async () => {
  const bench = await Bench.open()
  const confused: Signing[] = [
    { ...signings.ES256, kid: 'rsa' },
    { ...signings.RS256, kid: 'ec' },
    { ...signings.ES384, alg: 'ES256' },
    { ...signings.PS256, alg: 'RS256' },
    { ...signings.RS256, alg: 'PS256' },
    { alg: 'RS256', kid: 'weak', key: weak.privateKey, hash: 'sha256' },
  ]
  for (const signing of confused) assert.match(await bench.problem(token(claims, signing)), /signature/, signing.alg)
  bench.keys = keySet(jwk(rsa.publicKey, { kid: 'rsa', alg: 'RS512' }))
  const narrow = await Bench.open({ fetchKeys: async () => bench.keys })
  assert.match(await narrow.problem(token()), /signature/)
  assert.equal(await narrow.problem(token(claims, signings.RS512)), 'taken for ann')
})

const unfit: [string, object, RegExp][] = [
  ['that has ended', { exp: nowMs / 1000 - 31 }, /time is over/],
  ['without an end', { exp: undefined }, /when it ends/],
  ['whose end is a text', { exp: '9999999999' }, /when it ends/],
  ['that begins later', { nbf: nowMs / 1000 + 31 }, /has not come/],
  ['from the future', { iat: nowMs / 1000 + 31 }, /future/],
  ['of another issuer', { iss: 'https://other' }, /issuer/],
  ['without an issuer', { iss: undefined }, /issuer/],
  ['for another audience', { aud: 'other' }, /audience/],
  ['without an audience', { aud: undefined }, /audience/],
  ['with too small a scope', { scope: 'ab b' }, /scope/],
  ['for nobody', { sub: undefined }, /for whom/],
  ['for somebody without a name', { sub: '' }, /for whom/],
  ['for a list', { sub: ['ann'] }, /for whom/],
]
for (const [name, change, problem] of unfit) {
  test(`a token ${name} is not taken`, async () => {
    assert.match(await (await Bench.open()).problem(token({ ...claims, ...change })), problem)
  })
}

test('a little difference of the clocks is no matter; a list of scopes is one, too', async () => {
  const bench = await Bench.open()
  for (const change of [{ exp: nowMs / 1000 - 29 }, { nbf: nowMs / 1000 + 29 }, { scope: undefined, scp: ['a'] }]) {
    assert.equal(await bench.problem(token({ ...claims, ...change })), 'taken for ann')
  }
})

test('what is no token is not taken', async () => {
  const bench = await Bench.open()
  for (const text of ['', '.', '..', 'a.b', 'a.b.c', 'e30.e30', 'W10.W10.', `${token()}.x`, 'bnVsbA.bnVsbA.']) {
    assert.match(await bench.problem(text), /not a signed token|algorithm/, text)
  }
})

test('keys are brought anew when a token names one that is not there, but not for every such token', async () => {
  const bench = await Bench.open()
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signing: Signing = { ...signings.ES256, kid: 'new', key: privateKey }
  assert.match(await bench.problem(token(claims, signing)), /signature/)
  assert.equal(bench.fetches, 1)
  bench.keys = keySet(jwk(publicKey, { kid: 'new' }))
  bench.monotonicMs += 10_000
  const answers = await Promise.all([1, 2, 3].map(() => bench.problem(token(claims, signing))))
  assert.deepEqual(answers, ['taken for ann', 'taken for ann', 'taken for ann'])
  assert.equal(bench.fetches, 2)
  // What was taken back is no longer good.
  assert.match(await bench.problem(token()), /signature/)
})

test('when keys cannot be brought, those from before are used, and the log says why', async () => {
  const bench = await Bench.open()
  bench.keys = 'no JSON'
  bench.monotonicMs += 3_600_001
  assert.equal(await bench.problem(token()), 'taken for ann')
  assert.match(bench.logged.join(), /could not be brought/)
  assert.equal(bench.logged.join().includes(token().slice(0, 20)), false)
})

test('BearerExchange takes a token, and tells of a bad one in two steps without showing it', async () => {
  const bench = await Bench.open()
  const problems: string[] = []
  const begin = (): BearerExchange =>
    new BearerExchange(
      of => bench.tokens.check(of),
      text => problems.push(text),
    )
  const say = (text: string) => begin().next(Buffer.from(text))
  const good = `auth=Bearer ${token()}`
  assert.equal((await say(`n,,\x01${good}\x01\x01`)).kind, 'success')
  assert.equal((await say(`n,a=ann,\x01${good}\x01ext=1\x01\x01`)).kind, 'success')
  assert.equal((await say(`n,a=root,\x01${good}\x01\x01`)).kind, 'failure')
  for (const wrong of ['', 'n,,', `n,,\x01${good}\x01`, `p=x,,\x01${good}\x01\x01`, 'n,,\x01auth=Basic YTpi\x01\x01']) {
    assert.equal((await say(wrong)).kind, 'failure', wrong)
  }
  assert.equal((await say(`n,,\x01auth=Bearer ${'a'.repeat(200_000)}\x01\x01`)).kind, 'failure')
  const exchange = begin()
  const step = await exchange.next(Buffer.from(`n,,\x01auth=Bearer ${token({ ...claims, exp: 1 })}\x01\x01`))
  assert.deepEqual(step, { kind: 'challenge', data: Buffer.from('{"status":"invalid_token"}') })
  assert.deepEqual(problems, ['its time is over'])
  assert.equal((await exchange.next(Buffer.from([1]))).kind, 'failure')
})
