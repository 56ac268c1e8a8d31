import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { startBroker } from '@dragoman/broker'
import { Consumer, Producer, stringDeserializers, stringSerializers, Admin } from '@platformatic/kafka'
import kafkajsModule, { Kafka, logLevel, type KafkaConfig, type SASLOptions } from 'kafkajs'

// The module names only some of its exports in a way that can be imported by name.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajsModule

// Clients log in and speak TLS as their users configure them.

const certificates = new URL('../support/certificates/', import.meta.url).pathname
const pem = (name: string): Promise<string> => readFile(join(certificates, name), 'utf8')

const issuer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
let directory: string
let broker: Awaited<ReturnType<typeof startBroker>>
let ca: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dragoman-'))
  const tokenKeys = join(directory, 'keys.json')
  const key = { ...issuer.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }
  await writeFile(tokenKeys, JSON.stringify({ keys: [key] }))
  ca = await pem('authority.crt')
  broker = await startBroker({
    data: 'memory',
    kafka: 0,
    kafkaTls: 0,
    tlsCert: join(certificates, 'server.crt'),
    tlsKey: join(certificates, 'server.key'),
    tlsCa: join(certificates, 'authority.crt'),
    tlsClientAuth: 'want',
    tlsPrincipal: 'cn',
    users: 'admin:secret,ann:a',
    superUsers: 'admin;app;machine',
    tokenKeys,
    tokenIssuer: 'test',
    groupJoinDelayMs: 0,
    logLevel: 'error',
  })
})

after(async () => {
  await broker.close()
  await rm(directory, { recursive: true })
})

function token(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { sub: 'machine', iss: 'test', exp: Math.floor(Date.now() / 1000) + 600 }
  const signed = `${part({ alg: 'ES256', kid: 'one' })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(signed), { key: issuer.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

const admin = { username: 'admin', password: 'secret' }
const ways: [string, SASLOptions | undefined][] = [
  ['plain', { mechanism: 'plain', ...admin }],
  ['scram-sha-256', { mechanism: 'scram-sha-256', ...admin }],
  ['scram-sha-512', { mechanism: 'scram-sha-512', ...admin }],
  ['oauthbearer', { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: token() }) }],
  ['client certificate', undefined],
]

async function kafkajs(isTls: boolean, sasl: SASLOptions | undefined): Promise<Kafka> {
  const identity = sasl === undefined ? { cert: await pem('client.crt'), key: await pem('client.key') } : {}
  const config: KafkaConfig = {
    brokers: [`127.0.0.1:${broker.port(isTls ? 'kafka-tls' : 'kafka')}`],
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
    ...(isTls ? { ssl: { ca: [ca], servername: 'localhost', ...identity } } : {}),
    ...(sasl === undefined ? {} : { sasl }),
  }
  return new Kafka(config)
}

for (const isTls of [false, true]) {
  for (const [name, sasl] of ways) {
    if (!isTls && sasl === undefined) continue
    test(`kafkajs publishes and consumes ${isTls ? 'over TLS ' : ''}with ${name}`, async () => {
      const kafka = await kafkajs(isTls, sasl)
      const topic = `${name.replaceAll(' ', '-')}-${isTls ? 'tls' : 'plain'}`
      const values = ['one', 'two', 'x'.repeat(300_000)]
      const producer = kafka.producer()
      await producer.connect()
      await producer.send({ topic, messages: values.map(value => ({ value })) })
      await producer.disconnect()
      const consumer = kafka.consumer({ groupId: topic })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      const got: string[] = []
      await new Promise<void>((resolve, reject) => {
        const eachMessage = async ({ message }: { message: { value: Buffer | null } }): Promise<void> => {
          got.push(String(message.value))
          if (got.length === values.length) resolve()
        }
        consumer.run({ eachMessage }).catch(reject)
      })
      await consumer.disconnect()
      assert.deepEqual(got, values)
    })
  }
}

test('kafkajs is refused with a wrong password, a bad token, and without rights', async () => {
  for (const sasl of [
    { mechanism: 'plain', username: 'admin', password: 'wrong' },
    { mechanism: 'scram-sha-512', username: 'nobody', password: 'secret' },
  ] as const) {
    await assert.rejects((await kafkajs(false, sasl)).admin().connect(), /the user or the password is wrong/)
  }
  const forged = `${token().slice(0, -4)}AAAA`
  const bearer = (
    await kafkajs(false, { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: forged }) })
  ).admin()
  await assert.rejects(bearer.connect().then(() => bearer.listTopics()))
  await bearer.disconnect()
  const ann = (await kafkajs(true, { mechanism: 'plain', username: 'ann', password: 'a' })).admin()
  await ann.connect()
  assert.deepEqual(await ann.listTopics(), [])
  await assert.rejects(ann.createTopics({ topics: [{ topic: 'of-ann' }] }))
  await ann.disconnect()
})

test('kafkajs administers rules, and they hold at once', async () => {
  const root = (await kafkajs(false, { mechanism: 'plain', ...admin })).admin()
  const ann = (await kafkajs(false, { mechanism: 'scram-sha-256', username: 'ann', password: 'a' })).admin()
  await root.connect()
  await ann.connect()
  await root.createTopics({ topics: [{ topic: 'ruled-1' }] })
  const acl = {
    resourceType: AclResourceTypes.TOPIC,
    resourceName: 'ruled-',
    resourcePatternType: ResourcePatternTypes.PREFIXED,
    principal: 'User:ann',
    host: '*',
    operation: AclOperationTypes.DESCRIBE,
    permissionType: AclPermissionTypes.ALLOW,
  }
  await root.createAcls({ acl: [acl] })
  assert.deepEqual(await ann.listTopics(), ['ruled-1'])
  const { resources } = await root.describeAcls({
    ...acl,
    resourceName: 'ruled-1',
    resourcePatternType: ResourcePatternTypes.MATCH,
  })
  assert.equal(resources[0]?.resourceName, 'ruled-')
  assert.equal(resources[0]?.acls[0]?.principal, 'User:ann')
  const { filterResponses } = await root.deleteAcls({ filters: [acl] })
  assert.equal(filterResponses[0]?.matchingAcls.length, 1)
  assert.deepEqual(await ann.listTopics(), [])
  await ann.disconnect()
  await root.disconnect()
})

for (const mechanism of ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'] as const) {
  test(`@platformatic/kafka publishes and consumes over TLS with ${mechanism}`, async () => {
    const login = mechanism === 'OAUTHBEARER' ? { mechanism, token: token() } : { mechanism, ...admin }
    const options = {
      clientId: 'test',
      bootstrapBrokers: [`localhost:${broker.port('kafka-tls')}`],
      tls: { ca: [ca], servername: 'localhost' },
      sasl: login,
      retries: 0,
    }
    const topic = `platformatic-${mechanism}`
    const make = new Admin(options)
    await make.createTopics({ topics: [topic] })
    await make.close()
    const producer = new Producer({ ...options, serializers: stringSerializers })
    await producer.send({ messages: [{ topic, key: 'k', value: 'v' }] })
    await producer.close()
    const consumer = new Consumer({ ...options, groupId: topic, deserializers: stringDeserializers })
    const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false })
    for await (const message of stream) {
      assert.deepEqual([message.key, message.value], ['k', 'v'])
      break
    }
    await stream.close()
    await consumer.close()
  })
}
