import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { saltPasswordNow } from '../../core/identity/scram.ts'
import { IdentityBench } from '../../core/identity/test-bench.ts'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { Connection, ConnectionTls } from '../../runtime/runtime.ts'
import type { SessionContext } from '../protocol.ts'
import { Authentication } from './authentication.ts'
import { encodeRequest, KafkaConnection, type Login } from './client.ts'
import { codes } from './errors.ts'
import { apis } from './messages/index.ts'

const { network } = realRuntime()
const users = 'ann:secret,bob:b'
const plain: Login = { mechanism: 'PLAIN', user: 'ann', password: 'secret' }

async function withBroker(
  options: BrokerOptions,
  run: (broker: RunningBroker, lines: readonly string[]) => Promise<void>,
): Promise<void> {
  const lines: string[] = []
  const surroundings = { writeLog: (line: string) => void lines.push(line) }
  const broker = await startBroker({ data: 'memory', kafka: 0, logLevel: 'debug', ...options }, surroundings)
  try {
    await run(broker, lines)
  } finally {
    for (const connection of opened.splice(0)) connection.destroy()
    await broker.close()
  }
  const log = lines.join('')
  for (const word of ['secret', 'sesame']) assert.equal(log.includes(word), false, 'a password is in the log')
}

/** Closed at the end of the test. */
const opened: Connection[] = []

async function connect(broker: RunningBroker): Promise<Connection> {
  const connection = await network.connect({ host: '127.0.0.1', port: broker.port('kafka') })
  opened.push(connection)
  return connection
}

const open = async (broker: RunningBroker, login?: Login): Promise<KafkaConnection> =>
  KafkaConnection.open(await connect(broker), { login })

/** What comes until the other side closes. */
function received(connection: Connection): Promise<Buffer> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    connection.handle({
      data: chunk => void chunks.push(Buffer.from(chunk)),
      ended: () => connection.end(),
      drained: () => {},
      closed: () => resolve(Buffer.concat(chunks)),
    })
  })
}

const framed = (bytes: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const) {
  test(`a client logs in by ${mechanism}, and is refused with another password`, () =>
    withBroker({ users }, async broker => {
      const login = { mechanism, user: 'ann', password: 'secret', nonce: 'abcdef' }
      const connection = await open(broker, login)
      assert.deepEqual((await connection.request(apis.metadata, { topics: null })).topics, [])
      connection.close()
      await assert.rejects(open(broker, { ...login, password: 'sesame' }), /the user or the password is wrong/)
      await assert.rejects(open(broker, { ...login, user: 'nobody' }), /the user or the password is wrong/)
    }))
}

test('before the login nothing but versions is answered, and the connection is closed', () =>
  withBroker({ users }, async (broker, lines) => {
    for (const name of ['metadata', 'listGroups', 'createAcls', 'initProducerId'] as const) {
      const stranger = await open(broker)
      await assert.rejects(stranger.request(apis[name] as typeof apis.listGroups, {}), /closed/)
    }
    assert.match(lines.join(''), /The client has not said who it is/)
  }))

test('a way to log in that is not offered is refused with those that are', () =>
  withBroker({ users, saslMechanisms: 'SCRAM-SHA-512' }, async broker => {
    const connection = await open(broker)
    const answer = await connection.request(apis.saslHandshake, { mechanism: 'PLAIN' })
    assert.deepEqual(answer, { errorCode: codes.unsupportedSaslMechanism, mechanisms: ['SCRAM-SHA-512'] })
    await assert.rejects(connection.request(apis.saslHandshake, { mechanism: 'SCRAM-SHA-512' }))
  }))

test('where nobody can log in, a client is told so and may go on', () =>
  withBroker({}, async broker => {
    const connection = await open(broker)
    const answer = await connection.request(apis.saslHandshake, { mechanism: 'PLAIN' })
    assert.deepEqual(answer, { errorCode: codes.illegalSaslState, mechanisms: [] })
    assert.equal((await connection.request(apis.listGroups, {})).errorCode, codes.none)
    connection.close()
  }))

test('where nobody must log in, whoever wants to can', () =>
  withBroker({ users, authentication: 'off', authorization: 'on' }, async broker => {
    const stranger = await open(broker)
    const denied = await stranger.request(apis.describeUserScramCredentials, { users: null })
    assert.equal(denied.errorCode, codes.clusterAuthorizationFailed)
    await stranger.logIn(plain)
    const known = await stranger.request(apis.describeUserScramCredentials, { users: null })
    assert.deepEqual(
      known.results.map(({ user }) => user),
      ['ann', 'bob'],
    )
    stranger.close()
  }))

test('a message of SASL needs a handshake, and two must not be sent at once', () =>
  withBroker({ users }, async broker => {
    const early = await open(broker)
    const answer = await early.request(apis.saslAuthenticate, { authBytes: Buffer.from('\0ann\0secret') })
    assert.equal(answer.errorCode, codes.saslAuthenticationFailed)
    const hasty = await open(broker)
    await hasty.request(apis.saslHandshake, { mechanism: 'PLAIN' })
    const guesses = ['a', 'b', 'secret'].map(password =>
      hasty.request(apis.saslAuthenticate, { authBytes: Buffer.from(`\0ann\0${password}`) }).then(
        ({ errorCode }) => errorCode,
        () => 'closed',
      ),
    )
    assert.equal((await Promise.all(guesses)).includes(codes.none), false)
  }))

test('messages without a header follow a handshake of version 0', () =>
  withBroker({ users }, async broker => {
    const handshake = Buffer.concat(encodeRequest(apis.saslHandshake, 0, 7, 'c', { mechanism: 'PLAIN' }))
    const ask = Buffer.concat(encodeRequest(apis.listGroups, 0, 8, 'c', {}))
    for (const [user, password, isRight] of [
      ['ann', 'secret', true],
      ['b', 'b', false],
      // A message that is shorter than any header of a request.
      ['x', 'y', false],
    ] as const) {
      const wire = new Wire(await connect(broker))
      wire.connection.write([handshake])
      assert.equal((await wire.frame())?.readInt32BE(0), 7)
      wire.connection.write([framed(Buffer.from(`\0${user}\0${password}`))])
      assert.equal((await wire.frame())?.length, isRight ? 0 : undefined)
      if (!isRight) continue
      wire.connection.write([ask])
      assert.equal((await wire.frame())?.readInt32BE(0), 8)
    }
  }))

/** Takes frames out of what comes, one after the other. */
class Wire {
  readonly connection: Connection
  #bytes = Buffer.alloc(0)
  #isClosed = false
  #wake = (): void => {}

  constructor(connection: Connection) {
    this.connection = connection
    connection.handle({
      data: chunk => {
        this.#bytes = Buffer.concat([this.#bytes, chunk])
        this.#wake()
      },
      ended: () => connection.end(),
      drained: () => {},
      closed: () => {
        this.#isClosed = true
        this.#wake()
      },
    })
  }

  /** Undefined when the connection is closed before. */
  async frame(): Promise<Buffer | undefined> {
    for (;;) {
      const end = this.#bytes.length < 4 ? Infinity : 4 + this.#bytes.readInt32BE(0)
      if (this.#bytes.length >= end) {
        const frame = this.#bytes.subarray(4, end)
        this.#bytes = this.#bytes.subarray(end)
        return frame
      }
      if (this.#isClosed) return undefined
      await new Promise<void>(resolve => (this.#wake = resolve))
    }
  }
}

test('a client that does not say who it is, or sends too much before, is sent away', () =>
  withBroker({ users, authenticationTimeoutMs: 150 }, async (broker, lines) => {
    const idle = await connect(broker)
    idle.write(encodeRequest(apis.apiVersions, 0, 1, null, {}))
    assert((await received(idle)).length > 0)
    assert.match(lines.join(''), /did not say who it is in time/)
    const large = await connect(broker)
    const gone = received(large)
    large.write([Buffer.from([0, 10, 0, 0])])
    assert.equal((await gone).length, 0)
    assert.match(lines.join(''), /Cannot take a frame of 655360 bytes/)
  }))

test('who is known may send more, and is told when to log in again', () =>
  withBroker({ users, sessionLifetimeMs: '1h' }, async broker => {
    const known = await open(broker)
    await known.request(apis.saslHandshake, { mechanism: 'PLAIN' })
    const answer = await known.request(apis.saslAuthenticate, { authBytes: Buffer.from('\0ann\0secret') })
    assert.deepEqual([answer.errorCode, answer.sessionLifetimeMs], [codes.none, 3_600_000])
    const topics = Array.from({ length: 50 }, () => ({ name: 'x'.repeat(20_000) }))
    const metadata = await known.request(apis.metadata, { topics })
    assert.equal(metadata.topics[0]?.errorCode, codes.invalidTopic)
    await known.logIn(plain)
    await assert.rejects(known.logIn({ ...plain, user: 'bob', password: 'b' }), /stays with its user/)
    const again = await open(broker, plain)
    await assert.rejects(again.logIn({ ...plain, mechanism: 'SCRAM-SHA-256', nonce: 'abc' }), /does not take/)
  }))

/** An authentication whose clock the test turns. */
class Bench {
  readonly identity = new IdentityBench({ isRequired: true, users: [{ name: 'ann', password: 'a' }], sessionMs: 400 })
  readonly limits = { frameBytesMax: 10_000_000, requestsInFlightMax: 1 }
  readonly timers: { delayMs: number; run: () => void; isCancelled: boolean }[] = []
  gaveUp = 0
  readonly authentication: Authentication

  constructor(tls?: ConnectionTls) {
    const context: SessionContext = {
      ordinal: 1,
      remote: { host: 'h', port: 1 },
      local: { host: 'h', port: 2 },
      tls,
      clock: {
        nowMs: () => this.identity.nowMs,
        monotonicMs: () => this.identity.nowMs,
        soon: run => run(),
        after: (delayMs, run) => {
          const timer = { delayMs, run, isCancelled: false }
          this.timers.push(timer)
          return () => (timer.isCancelled = true)
        },
      },
      random: new Random(1),
      limits: this.limits,
      log: () => {},
    }
    this.authentication = new Authentication(this.identity.identity, context, () => this.gaveUp++)
  }

  async logIn(): Promise<void> {
    this.authentication.handshake('PLAIN', 1)
    const { step } = await this.authentication.next(Buffer.from('\0ann\0a'))
    assert.equal(step.kind, 'success')
  }
}

test('a login that is over must be renewed before anything else', async () => {
  const bench = new Bench()
  const { authentication, identity } = bench
  await bench.logIn()
  assert.equal(authentication.objection(apis.metadata.key), undefined)
  identity.nowMs += 399
  await bench.logIn()
  identity.nowMs += 399
  assert.equal(authentication.objection(apis.metadata.key), undefined)
  identity.nowMs += 1
  assert.equal(authentication.objection(apis.metadata.key), 'The time of the login is over')
  assert.equal(authentication.objection(apis.saslHandshake.key), undefined)
  await bench.logIn()
  assert.equal(authentication.objection(apis.metadata.key), undefined)
})

test('a stranger has small frames and a deadline, who is known has neither', async () => {
  const bench = new Bench()
  assert.equal(bench.limits.frameBytesMax, 512 * 1024)
  assert.equal(bench.timers[0]?.delayMs, 30_000)
  bench.timers[0]?.run()
  assert.equal(bench.gaveUp, 1)
  await bench.logIn()
  assert.equal(bench.limits.frameBytesMax, 10_000_000)
  assert.equal(bench.timers[0]?.isCancelled, true)
})

test('a certificate of the client says who it is, and a login can say that it is somebody else', async () => {
  const bench = new Bench({ version: 'TLSv1.3', subject: 'CN=app,O=Example\\, Inc' })
  assert.equal(bench.authentication.access.principal, 'CN=app,O=Example\\, Inc')
  assert.equal(bench.authentication.objection(apis.metadata.key), undefined)
  await bench.logIn()
  assert.equal(bench.authentication.access.principal, 'ann')
  const { identity } = new IdentityBench({ certificateName: 'cn' })
  assert.equal(identity.certificateName('OU=x,CN=a\\,b,O=Example'), 'a,b')
  assert.equal(identity.certificateName('O=Example'), 'O=Example')
})

test('users and rules are there again after a restart', async () => {
  const data = await mkdtemp(join(tmpdir(), 'dragoman-'))
  try {
    await withBroker({ data, authentication: 'off' }, async broker => {
      const connection = await open(broker)
      const upsertions = (['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const).flatMap((mechanism, index) =>
        ['root', 'ann'].map(name => {
          const salt = Buffer.from(`salt of ${name}`)
          const saltedPassword = saltPasswordNow(mechanism, `secret of ${name}`, salt, 4096)
          return { name, mechanism: index + 1, iterations: 4096, salt, saltedPassword }
        }),
      )
      const of = (name: string) => upsertions.filter(upsertion => upsertion.name === name)
      for (const name of ['root', 'ann']) {
        const altered = await connection.request(apis.alterUserScramCredentials, { upsertions: of(name) })
        assert.deepEqual(altered.results, [{ user: name, errorCode: 0, errorMessage: null }])
      }
      const creation = { resourceName: 't', principal: 'User:ann', host: '*', permissionType: 3, resourceType: 2 }
      const creations = [{ ...creation, resourcePatternType: 3, operation: 5 }]
      assert.equal((await connection.request(apis.createAcls, { creations })).results[0]?.errorCode, codes.none)
      connection.close()
    })
    for (let start = 0; start < 2; start++) {
      await withBroker({ data, authentication: 'on' }, async broker => {
        const login = { mechanism: 'SCRAM-SHA-512', user: 'ann', password: 'secret of ann', nonce: 'abc' } as const
        const ann = await open(broker, login)
        const topics = ['t', 'u'].map(name => ({ name, numPartitions: 1, replicationFactor: 1 }))
        const made = await ann.request(apis.createTopics, { topics, validateOnly: true })
        assert.deepEqual(
          made.topics.map(({ errorCode }) => errorCode),
          [codes.none, codes.topicAuthorizationFailed],
        )
        const root = await open(broker, { mechanism: 'PLAIN', user: 'root', password: 'secret of root' })
        const described = await root.request(apis.describeUserScramCredentials, { users: [{ name: 'ann' }] })
        assert.deepEqual(described.results[0]?.credentialInfos, [
          { mechanism: 1, iterations: 4096 },
          { mechanism: 2, iterations: 4096 },
        ])
        ann.close()
        root.close()
      })
    }
  } finally {
    await rm(data, { recursive: true, force: true })
  }
})

test('a broker that others can reach needs somebody who can log in, unless it is told that none is needed', async () => {
  const kafka = '0.0.0.0:0'
  await assert.rejects(startBroker({ data: 'memory', kafka }), /no users are configured/)
  await assert.rejects(startBroker({ data: 'memory', kafka, users, authentication: 'off' }), /--authentication off/)
  await assert.rejects(startBroker({ data: 'memory', users: '*:a' }), /cannot be the name of a user/)
  await withBroker({ kafka, users, kafkaAdvertised: '127.0.0.1:1' }, async broker => {
    const stranger = await open(broker)
    await assert.rejects(stranger.request(apis.listGroups, {}), /closed/)
  })
})
