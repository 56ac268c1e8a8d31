import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import type { ConnectionOptions } from 'node:tls'
import kafkajs, {
  type Admin,
  type Consumer,
  type Kafka as KafkaClient,
  type KafkaMessage,
  type Producer,
  type SASLOptions,
} from 'kafkajs'
import type { Secure } from '../secure.ts'
import { fresh, runChecks, until, type Capability, type Check, type Client } from '../suite.ts'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs

// The library has gzip; others are plugged in. Zstandard is in Node.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder: { buffer: Buffer }) => zstdCompressSync(encoder.buffer),
  decompress: async (bytes: Buffer) => zstdDecompressSync(bytes),
})

export const kafkajsClient: Client = {
  name: 'kafkajs',
  pinned: '2.2.4',
  version: () => packageVersion('kafkajs'),
  from: 'npm',
  missing: () => undefined,
  wantsSecure: true,
  async run({ address, secure }, report) {
    await runChecks(kafkajsChecks(address), report)
    if (secure !== undefined) await runChecks(secureChecks(secure), report)
  },
}

export function packageVersion(name: string): string {
  const path = createRequire(import.meta.url)
    .resolve(name)
    .replace(/(.*node_modules\/(?:@[^/]+\/)?[^/]+)\/.*/, '$1')
  return (JSON.parse(readFileSync(`${path}/package.json`, 'utf8')) as { version: string }).version
}

export function kafkajsChecks(address: string): Check[] {
  // Its own times are short for a machine that has much to do: a check has a limit of its own.
  const patience = { connectionTimeout: 20_000, authenticationTimeout: 20_000, enforceRequestTimeout: false }
  const kafka = new Kafka({ brokers: [address], clientId: 'interop', logLevel: logLevel.NOTHING, ...patience })
  const codec = (type: number) => () => roundTrip(kafka, type)
  const admin = (work: (client: Admin) => Promise<void>) => () => withAdmin(kafka, work)
  return [
    { capability: 'codec none', run: codec(CompressionTypes.None) },
    { capability: 'codec gzip', run: codec(CompressionTypes.GZIP) },
    { capability: 'codec zstd', run: codec(CompressionTypes.ZSTD) },
    { capability: 'headers, keys, timestamps, tombstones', run: () => wholeRecords(kafka) },
    { capability: 'acks 0, 1, all', run: () => everyAcks(kafka) },
    { capability: 'idempotent producer', run: () => idempotent(kafka) },
    { capability: 'long poll', run: () => longPoll(kafka) },
    { capability: 'offsets: earliest, latest', run: admin(client => offsets(kafka, client)) },
    { capability: 'offsets by time', run: admin(client => offsetsByTime(kafka, client)) },
    { capability: 'seek', run: () => seek(kafka) },
    { capability: 'group: commit and resume', run: () => resume(kafka) },
    { capability: 'group: members come and go', run: () => rebalance(kafka) },
    { capability: 'transactions: commit and abort', run: () => transactions(kafka) },
    { capability: 'transactions: offsets of a group', run: admin(client => transactionalOffsets(kafka, client)) },
    { capability: 'transactions: a zombie is fenced', run: () => zombie(kafka) },
    { capability: 'admin: topics', run: admin(topics) },
    { capability: 'admin: partitions', run: admin(partitions) },
    { capability: 'admin: configs', run: admin(configs) },
    { capability: 'admin: groups', run: admin(client => groups(kafka, client)) },
    { capability: 'admin: offsets of a group', run: admin(client => groupOffsets(kafka, client)) },
    { capability: 'admin: delete records', run: admin(client => deleteRecords(kafka, client)) },
    { capability: 'admin: cluster', run: admin(cluster) },
    { capability: 'topic made by first use', run: () => firstUse(kafka) },
    { capability: 'errors in its own words', run: admin(refusals) },
  ]
}

async function withAdmin(kafka: KafkaClient, work: (admin: Admin) => Promise<void>): Promise<void> {
  const admin = kafka.admin({ retry: { retries: 3 } })
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.disconnect()
  }
}

async function createTopic(kafka: KafkaClient, numPartitions = 1): Promise<string> {
  const topic = fresh('kafkajs')
  await withAdmin(kafka, async admin => {
    await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true })
  })
  return topic
}

interface Sent {
  key?: string | null
  value: string | null
  headers?: Record<string, string | string[]>
  timestamp?: string
  partition?: number
}

async function send(kafka: KafkaClient, topic: string, messages: Sent[], acks = -1, compression = 0): Promise<void> {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages, acks, compression })
  await producer.disconnect()
}

function consumer(kafka: KafkaClient, groupId: string, options: object = {}): Consumer {
  // Quick sessions, so that the checks do not wait for what a group does at leisure.
  return kafka.consumer({
    groupId,
    sessionTimeout: 10_000,
    rebalanceTimeout: 5_000,
    heartbeatInterval: 200,
    maxWaitTimeInMs: 200,
    ...options,
  })
}

/** Reads from the beginning with a group of its own until `count` records are there. */
async function read(kafka: KafkaClient, topic: string, count: number): Promise<KafkaMessage[]> {
  const messages: KafkaMessage[] = []
  const reader = consumer(kafka, fresh('kafkajs-reader'))
  await reader.connect()
  await reader.subscribe({ topic, fromBeginning: true })
  await reader.run({ eachMessage: async ({ message }) => void messages.push(message) })
  await until(() => messages.length >= count)
  await reader.disconnect()
  return messages
}

const numbered = (count: number, from = 0): Sent[] =>
  Array.from({ length: count }, (_, index) => ({ key: `k${index % 7}`, value: `value ${from + index}` }))

const values = (messages: { value: Buffer | null }[]): (string | null)[] =>
  messages.map(message => message.value?.toString() ?? null)

async function roundTrip(kafka: KafkaClient, compression: number): Promise<void> {
  const topic = await createTopic(kafka)
  const sent = [...numbered(300), { key: 'large', value: 'x'.repeat(200_000) }]
  await send(kafka, topic, sent, -1, compression)
  assert.deepEqual(
    values(await read(kafka, topic, sent.length)),
    sent.map(message => message.value),
  )
}

async function wholeRecords(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  const timestamp = '1700000000123'
  await send(kafka, topic, [
    { key: 'a', value: 'one', headers: { trace: 'x', many: ['1', '2'] }, timestamp },
    { key: null, value: '', timestamp },
    { key: 'a', value: null, timestamp },
  ])
  const [one, empty, tombstone] = await read(kafka, topic, 3)
  assert.equal(one?.key?.toString(), 'a')
  assert.equal(one.timestamp, timestamp)
  assert.equal(one.headers?.['trace']?.toString(), 'x')
  assert.deepEqual([one.headers?.['many'] ?? []].flat().map(String), ['1', '2'])
  assert.equal(empty?.key, null)
  assert.equal(empty.value?.length, 0)
  assert.equal(tombstone?.value, null)
}

async function everyAcks(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  for (const acks of [0, 1, -1]) await send(kafka, topic, [{ value: `acks ${acks}` }], acks)
  assert.deepEqual(values(await read(kafka, topic, 3)), ['acks 0', 'acks 1', 'acks -1'])
}

async function idempotent(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka, 2)
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (let batch = 0; batch < 5; batch++) await producer.send({ topic, messages: numbered(20, batch * 20) })
  await producer.disconnect()
  const seen = values(await read(kafka, topic, 100))
  assert.equal(new Set(seen).size, 100)
}

async function longPoll(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  // The wait is longer than a check may take: only a fetch that the record itself wakes can pass.
  const reader = consumer(kafka, fresh('kafkajs-poll'), { maxWaitTimeInMs: 120_000 })
  const seen: string[] = []
  let fetching = false
  reader.on(reader.events.FETCH_START, () => (fetching = true))
  await reader.connect()
  await reader.subscribe({ topic, fromBeginning: true })
  await reader.run({ eachMessage: async ({ message }) => void seen.push(String(message.value)) })
  await until(() => fetching)
  await new Promise(resolve => setTimeout(resolve, 300))
  await send(kafka, topic, [{ value: 'wake' }])
  await until(() => seen.length === 1)
  // A second one, so that the client's stop does not meet a fetch that waits.
  void reader.disconnect().catch(() => undefined)
  await send(kafka, topic, [{ value: 'done' }])
}

async function offsets(kafka: KafkaClient, admin: Admin): Promise<void> {
  const topic = await createTopic(kafka, 2)
  await send(
    kafka,
    topic,
    numbered(10).map(message => ({ ...message, partition: 1 })),
  )
  const found = (await admin.fetchTopicOffsets(topic)).toSorted((a, b) => a.partition - b.partition)
  assert.deepEqual(
    found.map(({ low, high }) => [low, high]),
    [
      ['0', '0'],
      ['0', '10'],
    ],
  )
}

async function offsetsByTime(kafka: KafkaClient, admin: Admin): Promise<void> {
  const topic = await createTopic(kafka)
  const base = 1_700_000_000_000
  for (let i = 0; i < 5; i++) await send(kafka, topic, [{ value: `${i}`, timestamp: String(base + i * 1000) }])
  const at = async (timestamp: number): Promise<string | undefined> =>
    (await admin.fetchTopicOffsetsByTimestamp(topic, timestamp))[0]?.offset
  assert.equal(await at(base), '0')
  assert.equal(await at(base + 1500), '2')
  assert.equal(await at(base + 4000), '4')
  assert.equal(await at(base + 9000), '5')
}

async function seek(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  await send(kafka, topic, numbered(20))
  const reader = consumer(kafka, fresh('kafkajs-seek'))
  const seen: string[] = []
  await reader.connect()
  await reader.subscribe({ topic, fromBeginning: false })
  const running = reader.run({ eachMessage: async ({ message }) => void seen.push(message.offset) })
  reader.seek({ topic, partition: 0, offset: '15' })
  await running
  await until(() => seen.length >= 5)
  await reader.disconnect()
  assert.deepEqual(seen, ['15', '16', '17', '18', '19'])
}

async function resume(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  const groupId = fresh('kafkajs-resume')
  const take = async (count: number): Promise<string[]> => {
    const seen: string[] = []
    const reader = consumer(kafka, groupId)
    await reader.connect()
    await reader.subscribe({ topic, fromBeginning: true })
    await reader.run({ eachMessage: async ({ message }) => void seen.push(String(message.value)) })
    await until(() => seen.length >= count)
    await reader.stop() // Commits what was taken.
    await reader.disconnect()
    return seen
  }
  await send(kafka, topic, numbered(10))
  assert.equal((await take(10)).length, 10)
  await send(kafka, topic, numbered(10, 10))
  assert.deepEqual(
    await take(10),
    numbered(10, 10).map(message => message.value),
  )
}

async function rebalance(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka, 4)
  const groupId = fresh('kafkajs-group')
  const assigned = new Map<number, number[]>()
  const join = async (member: number): Promise<Consumer> => {
    const reader = consumer(kafka, groupId)
    reader.on(reader.events.GROUP_JOIN, ({ payload }) => {
      assigned.set(member, payload.memberAssignment[topic] ?? [])
    })
    await reader.connect()
    await reader.subscribe({ topic, fromBeginning: true })
    await reader.run({ eachMessage: async () => undefined })
    return reader
  }
  const all = (): number[] => [...assigned.values()].flat().toSorted((a, b) => a - b)
  const first = await join(1)
  await until(() => assigned.get(1)?.length === 4)
  const second = await join(2)
  // One of them may still have what it had before.
  await until(() => assigned.get(1)?.length === 2 && all().join() === '0,1,2,3')
  await first.disconnect()
  assigned.delete(1)
  await until(() => assigned.get(2)?.length === 4)
  await second.disconnect()
}

async function transactionalProducer(kafka: KafkaClient, transactionalId: string): Promise<Producer> {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  return producer
}

async function transactions(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  const producer = await transactionalProducer(kafka, fresh('kafkajs-tx'))
  for (const [value, end] of [
    ['one', 'commit'],
    ['no', 'abort'],
    ['two', 'commit'],
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value }, { value }] })
    await transaction[end]()
  }
  await producer.disconnect()
  assert.deepEqual(values(await read(kafka, topic, 4)), ['one', 'one', 'two', 'two'])
}

async function transactionalOffsets(kafka: KafkaClient, admin: Admin): Promise<void> {
  const topic = await createTopic(kafka)
  const groupId = fresh('kafkajs-tx-group')
  const producer = await transactionalProducer(kafka, fresh('kafkajs-tx'))
  for (const [offset, end] of [
    ['7', 'commit'],
    ['9', 'abort'],
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.sendOffsets({
      consumerGroupId: groupId,
      topics: [{ topic, partitions: [{ partition: 0, offset }] }],
    })
    await transaction[end]()
    await until(async () => (await admin.fetchOffsets({ groupId, topics: [topic] }))[0]?.partitions[0]?.offset === '7')
  }
  await producer.disconnect()
}

async function zombie(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  const transactionalId = fresh('kafkajs-zombie')
  const old = await transactionalProducer(kafka, transactionalId)
  const left = await old.transaction()
  await left.send({ topic, messages: [{ value: 'old' }] })
  const producer = await transactionalProducer(kafka, transactionalId)
  const own = await producer.transaction()
  await own.send({ topic, messages: [{ value: 'new' }] })
  await own.commit()
  await assert.rejects(left.commit())
  await Promise.all([old.disconnect(), producer.disconnect()])
  assert.deepEqual(values(await read(kafka, topic, 1)), ['new'])
}

function secureChecks(secure: Secure): Check[] {
  const { user: username, password, token } = secure
  const sasl = (mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'): SASLOptions =>
    ({ mechanism, username, password }) as SASLOptions
  const bearer: SASLOptions = { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: token }) }
  const check = (capability: Capability, isTls: boolean, login?: SASLOptions): Check => {
    const config = { brokers: [isTls ? secure.tls : secure.plain], logLevel: logLevel.NOTHING }
    const run = () =>
      secretly(new Kafka({ ...config, ...(isTls && { ssl: trust(secure, login) }), ...(login && { sasl: login }) }))
    return { capability, run }
  }
  return [
    check('TLS', true, sasl('plain')),
    check('TLS with client certificate', true),
    check('SASL PLAIN', false, sasl('plain')),
    check('SASL SCRAM-SHA-256', false, sasl('scram-sha-256')),
    check('SASL SCRAM-SHA-512', false, sasl('scram-sha-512')),
    check('SASL OAUTHBEARER', false, bearer),
  ]
}

/** Whom it trusts, and who it is when it does not log in. */
function trust({ authority, certificate, key }: Secure, login: SASLOptions | undefined): ConnectionOptions {
  const text = (file: string): string => readFileSync(file, 'utf8')
  const own = login === undefined ? { cert: text(certificate), key: text(key) } : {}
  return { ca: [text(authority)], servername: 'localhost', ...own }
}

async function secretly(kafka: KafkaClient): Promise<void> {
  const topic = await createTopic(kafka)
  await send(kafka, topic, [{ value: 'secret' }])
  assert.deepEqual(values(await read(kafka, topic, 1)), ['secret'])
}

async function topics(admin: Admin): Promise<void> {
  const topic = fresh('kafkajs')
  const configEntries = [{ name: 'retention.ms', value: '60000' }]
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 3, configEntries }] }), true)
  assert.equal(await admin.createTopics({ topics: [{ topic }] }), false) // It exists.
  assert.ok((await admin.listTopics()).includes(topic))
  const { topics: found } = await admin.fetchTopicMetadata({ topics: [topic] })
  assert.equal(found[0]?.partitions.length, 3)
  await admin.deleteTopics({ topics: [topic] })
  assert.ok(!(await admin.listTopics()).includes(topic))
}

async function partitions(admin: Admin): Promise<void> {
  const topic = fresh('kafkajs')
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  await until(async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions.length === 4)
  await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic, count: 2 }] }))
}

async function configs(admin: Admin): Promise<void> {
  const topic = fresh('kafkajs')
  await admin.createTopics({ topics: [{ topic, configEntries: [{ name: 'retention.ms', value: '60000' }] }] })
  const read = async (name: string): Promise<string | undefined> => {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }]
    const answer = await admin.describeConfigs({ resources, includeSynonyms: false })
    return answer.resources[0]?.configEntries.find(entry => entry.configName === name)?.configValue
  }
  assert.equal(await read('retention.ms'), '60000')
  const configEntries = [{ name: 'max.message.bytes', value: '4096' }]
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }],
  })
  await until(async () => (await read('max.message.bytes')) === '4096')
  // AlterConfigs replaces: what is not named goes back to its default.
  assert.notEqual(await read('retention.ms'), '60000')
}

async function groups(kafka: KafkaClient, admin: Admin): Promise<void> {
  const topic = await createTopic(kafka)
  const groupId = fresh('kafkajs-described')
  const reader = consumer(kafka, groupId)
  let joined = false
  reader.on(reader.events.GROUP_JOIN, () => (joined = true))
  await reader.connect()
  await reader.subscribe({ topic, fromBeginning: true })
  await reader.run({ eachMessage: async () => undefined })
  await until(() => joined)
  await until(async () => (await admin.describeGroups([groupId])).groups[0]?.state === 'Stable')
  const described = (await admin.describeGroups([groupId])).groups[0]
  assert.equal(described?.members.length, 1)
  assert.equal(described.members[0]?.clientId, 'interop')
  assert.ok((await admin.listGroups()).groups.some(group => group.groupId === groupId))
  await assert.rejects(admin.deleteGroups([groupId])) // It has a member.
  await reader.disconnect()
  await until(async () => (await admin.describeGroups([groupId])).groups[0]?.state === 'Empty')
  await admin.deleteGroups([groupId])
  assert.ok(!(await admin.listGroups()).groups.some(group => group.groupId === groupId))
}

async function groupOffsets(kafka: KafkaClient, admin: Admin): Promise<void> {
  const topic = await createTopic(kafka, 2)
  const groupId = fresh('kafkajs-offsets')
  await send(
    kafka,
    topic,
    numbered(10).map(message => ({ ...message, partition: 0 })),
  )
  await admin.setOffsets({ groupId, topic, partitions: [{ partition: 0, offset: '7' }] })
  const committed = async (): Promise<string | undefined> =>
    (await admin.fetchOffsets({ groupId, topics: [topic] }))[0]?.partitions.find(part => part.partition === 0)?.offset
  assert.equal(await committed(), '7')
  await admin.resetOffsets({ groupId, topic, earliest: true })
  await admin.fetchOffsets({ groupId, topics: [topic], resolveOffsets: true })
  assert.equal(await committed(), '0')
}

async function deleteRecords(kafka: KafkaClient, admin: Admin): Promise<void> {
  const topic = await createTopic(kafka)
  await send(kafka, topic, numbered(10))
  await admin.fetchTopicOffsets(topic) // The client deletes only in topics whose metadata it has.
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
  await until(async () => (await admin.fetchTopicOffsets(topic))[0]?.low === '6')
  assert.deepEqual(
    (await read(kafka, topic, 4)).map(message => message.offset),
    ['6', '7', '8', '9'],
  )
}

async function cluster(admin: Admin): Promise<void> {
  const found = await admin.describeCluster()
  assert.equal(found.brokers.length, 1)
  assert.equal(found.controller, found.brokers[0]?.nodeId)
  assert.ok(found.clusterId.length > 0)
}

async function firstUse(kafka: KafkaClient): Promise<void> {
  const topic = fresh('kafkajs-auto')
  const producer = kafka.producer({ allowAutoTopicCreation: true })
  await producer.connect()
  await producer.send({ topic, messages: [{ value: 'first' }] })
  await producer.disconnect()
  assert.deepEqual(values(await read(kafka, topic, 1)), ['first'])
}

async function refusals(admin: Admin): Promise<void> {
  const type = (name: string) => (error: unknown) => typesOf(error).includes(name)
  await assert.rejects(admin.deleteTopics({ topics: [fresh('absent')] }), type('UNKNOWN_TOPIC_OR_PARTITION'))
  const named = (topic: string, numPartitions = 1) => admin.createTopics({ topics: [{ topic, numPartitions }] })
  await assert.rejects(named('a topic / with spaces'), type('INVALID_TOPIC_EXCEPTION'))
  await assert.rejects(named(fresh('many'), -5), type('INVALID_PARTITIONS'))
}

/** The names of the broker's errors in what the client throws: itself, its cause when it gave up, or one for each topic. */
function typesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  const { type, errors = [], cause } = error as Error & { type?: string; errors?: unknown[] }
  return [type ?? '', ...errors.flatMap(typesOf), ...typesOf(cause)]
}
