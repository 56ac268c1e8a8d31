import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import {
  Admin,
  Consumer,
  ConfigResourceTypes,
  cooperativeStickyAssigner,
  IncrementalAlterConfigOperationTypes,
  ListOffsetTimestamps,
  Producer,
  stringDeserializers,
  stringSerializers,
  type CompressionAlgorithmValue,
  type Message,
  type MessagesStream,
} from '@platformatic/kafka'
import type { Secure } from '../secure.ts'
import { fresh, runChecks, until, type Capability, type Check, type Client } from '../suite.ts'
import { packageVersion } from './kafkajs.ts'

type Strings = Message<string, string, string, string>
type Sent = { key?: string; value?: string; headers?: Record<string, string>; timestamp?: bigint; partition?: number }
type TextConsumer = Consumer<string, string, string, string>

/** The resource type of a topic in the configuration requests, and the operation that sets a value. */
const topicResource = ConfigResourceTypes.TOPIC
const setOperation = IncrementalAlterConfigOperationTypes.SET

export const platformaticClient: Client = {
  name: '@platformatic/kafka',
  pinned: '2.12.1',
  version: () => packageVersion('@platformatic/kafka'),
  from: 'npm',
  missing: () => undefined,
  wantsSecure: true,
  async run({ address, secure }, report) {
    await runChecks(platformaticChecks(address), report)
    if (secure !== undefined) await runChecks(secureChecks(secure), report)
  },
}

export function platformaticChecks(address: string): Check[] {
  const bus = new Platformatic(address)
  const codec = (compression: CompressionAlgorithmValue) => () => roundTrip(bus, compression)
  const admin = (work: (admin: Admin) => Promise<void>) => () => bus.withAdmin(work)
  return [
    { capability: 'codec none', run: codec('none') },
    { capability: 'codec gzip', run: codec('gzip') },
    { capability: 'codec snappy', run: codec('snappy') },
    { capability: 'codec lz4', run: codec('lz4') },
    { capability: 'codec zstd', run: codec('zstd') },
    { capability: 'headers, keys, timestamps, tombstones', run: () => wholeRecords(bus) },
    { capability: 'acks 0, 1, all', run: () => everyAcks(bus) },
    { capability: 'idempotent producer', run: () => idempotent(bus) },
    { capability: 'long poll', run: () => longPoll(bus) },
    { capability: 'offsets: earliest, latest', run: () => offsets(bus) },
    { capability: 'offsets by time', run: () => offsetsByTime(bus) },
    { capability: 'seek', run: () => seek(bus) },
    { capability: 'group: commit and resume', run: () => resume(bus) },
    { capability: 'group: members come and go', run: () => rebalance(bus, {}) },
    { capability: 'group: static member', run: () => staticMember(bus) },
    { capability: 'group: cooperative rebalance', run: () => cooperative(bus) },
    { capability: 'group: new protocol', run: () => rebalance(bus, { groupProtocol: 'consumer' }) },
    { capability: 'transactions: commit and abort', run: () => transactions(bus) },
    { capability: 'transactions: offsets of a group', run: () => transactionalOffsets(bus) },
    { capability: 'admin: topics', run: admin(topics) },
    { capability: 'admin: partitions', run: () => partitions(bus) },
    { capability: 'admin: configs', run: admin(configs) },
    { capability: 'admin: groups', run: () => groups(bus) },
    { capability: 'admin: offsets of a group', run: () => groupOffsets(bus) },
    { capability: 'admin: delete records', run: () => deleteRecords(bus) },
    { capability: 'errors in its own words', run: admin(refusals) },
  ]
}

/** Short forms of what every check does. */
class Platformatic {
  readonly #base: { clientId: string; bootstrapBrokers: string[]; retries: number }

  constructor(address: string, more: object = {}) {
    const patience = { connectTimeout: 20_000, requestTimeout: 60_000 }
    this.#base = { clientId: 'interop', bootstrapBrokers: [address], retries: 3, ...patience, ...more }
  }

  async withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin(this.#base)
    try {
      return await work(admin)
    } finally {
      await admin.close()
    }
  }

  async createTopic(partitionCount = 1): Promise<string> {
    const topic = fresh('platformatic')
    await this.withAdmin(admin => admin.createTopics({ topics: [topic], partitions: partitionCount, replicas: 1 }))
    return topic
  }

  producer(options: object = {}): Producer<string, string, string, string> {
    return new Producer({ ...this.#base, serializers: stringSerializers, ...options })
  }

  async send(topic: string, messages: Sent[], options: object = {}): Promise<void> {
    const producer = this.producer()
    await producer.send({ messages: messages.map(message => ({ topic, ...message })), ...options })
    await producer.close()
  }

  consumer(groupId: string, options: object = {}): TextConsumer {
    const quick = { sessionTimeout: 10_000, rebalanceTimeout: 10_000, heartbeatInterval: 200, maxWaitTime: 200 }
    return new Consumer({ ...this.#base, groupId, deserializers: stringDeserializers, ...quick, ...options })
  }

  /** Reads with a group until `count` records are there; commits each when `commit` is set. */
  async take(topic: string, count: number, groupId = fresh('platformatic-reader'), commit = false): Promise<Strings[]> {
    const consumer = this.consumer(groupId)
    const mode = commit ? 'committed' : 'earliest'
    const stream = await consumer.consume({ topics: [topic], mode, fallbackMode: 'earliest', autocommit: false })
    const messages: Strings[] = []
    for await (const message of stream) {
      messages.push(message)
      if (commit) await message.commit()
      if (messages.length >= count) break
    }
    await consumer.close(true)
    return messages
  }
}

const numbered = (count: number, from = 0): Sent[] =>
  Array.from({ length: count }, (_, index) => ({ key: `k${index % 7}`, value: `value ${from + index}` }))

const values = (messages: Strings[]): string[] => messages.map(message => message.value)

async function roundTrip(bus: Platformatic, compression: CompressionAlgorithmValue): Promise<void> {
  const topic = await bus.createTopic()
  const sent = [...numbered(300), { key: 'large', value: 'x'.repeat(200_000) }]
  await bus.send(topic, sent, { compression })
  assert.deepEqual(
    values(await bus.take(topic, sent.length)),
    sent.map(message => message.value),
  )
}

async function wholeRecords(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const timestamp = 1_700_000_000_123n
  await bus.send(topic, [
    { key: 'a', value: 'one', headers: { trace: 'x', more: 'y' }, timestamp },
    { value: '', timestamp },
    { key: 'a', timestamp },
  ])
  const [one, empty, tombstone] = await bus.take(topic, 3)
  assert.equal(one?.key, 'a')
  assert.equal(one.timestamp, timestamp)
  assert.deepEqual(
    [...one.headers],
    [
      ['trace', 'x'],
      ['more', 'y'],
    ],
  )
  assert.equal(empty?.value, '')
  assert.equal(tombstone?.key, 'a')
}

async function everyAcks(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const producer = bus.producer()
  for (const acks of [0, 1, -1]) await producer.send({ messages: [{ topic, value: `acks ${acks}` }], acks })
  await producer.close()
  assert.deepEqual(values(await bus.take(topic, 3)), ['acks 0', 'acks 1', 'acks -1'])
}

async function idempotent(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic(2)
  const producer = bus.producer({ idempotent: true })
  for (let batch = 0; batch < 5; batch++) {
    await producer.send({ messages: numbered(20, batch * 20).map(message => ({ topic, ...message })) })
  }
  await producer.close()
  assert.equal(new Set(values(await bus.take(topic, 100))).size, 100)
}

async function longPoll(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  // The wait is longer than a check may take: only a fetch that the record itself wakes can pass.
  const consumer = bus.consumer(fresh('platformatic-poll'), { maxWaitTime: 120_000 })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false, maxWaitTime: 120_000 })
  const seen: string[] = []
  stream.on('data', message => void seen.push(message.value))
  await new Promise(resolve => setTimeout(resolve, 300))
  await bus.send(topic, [{ value: 'wake' }])
  await until(() => seen.length === 1)
  const closed = consumer.close(true)
  await bus.send(topic, [{ value: 'done' }]) // So that closing does not meet a fetch that waits.
  await closed
}

async function offsets(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic(2)
  await bus.send(
    topic,
    numbered(10).map(message => ({ ...message, partition: 1 })),
  )
  const at = async (timestamp: bigint): Promise<bigint[]> => {
    const partitionList = [0, 1].map(partitionIndex => ({ partitionIndex, timestamp }))
    const found = await bus.withAdmin(admin =>
      admin.listOffsets({ topics: [{ name: topic, partitions: partitionList }] }),
    )
    return (found[0]?.partitions ?? []).toSorted((a, b) => a.partitionIndex - b.partitionIndex).map(one => one.offset)
  }
  assert.deepEqual(await at(ListOffsetTimestamps.EARLIEST), [0n, 0n])
  assert.deepEqual(await at(ListOffsetTimestamps.LATEST), [0n, 10n])
}

async function offsetsByTime(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const base = 1_700_000_000_000n
  for (let i = 0n; i < 5n; i++)
    await bus.send(topic, [{ value: `${i}`, timestamp: base + (i === 3n ? 9000n : i * 1000n) }])
  const at = async (timestamp: bigint): Promise<bigint | undefined> => {
    const request = [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }]
    return (await bus.withAdmin(admin => admin.listOffsets({ topics: request })))[0]?.partitions[0]?.offset
  }
  assert.equal(await at(base), 0n)
  assert.equal(await at(base + 1500n), 2n)
  assert.equal(await at(base + 3500n), 3n)
  assert.equal(await at(base + 10_000n), -1n)
  assert.equal(await at(ListOffsetTimestamps.MAX), 3n)
}

async function seek(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  await bus.send(topic, numbered(20))
  const consumer = bus.consumer(fresh('platformatic-seek'))
  const places = [{ topic, partition: 0, offset: 15n }]
  const stream = await consumer.consume({ topics: [topic], mode: 'manual', offsets: places, autocommit: false })
  const seen: bigint[] = []
  for await (const message of stream) if (seen.push(message.offset) >= 5) break
  await consumer.close(true)
  assert.deepEqual(seen, [15n, 16n, 17n, 18n, 19n])
}

async function resume(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const groupId = fresh('platformatic-resume')
  await bus.send(topic, numbered(10))
  assert.equal((await bus.take(topic, 10, groupId, true)).length, 10)
  await bus.send(topic, numbered(10, 10))
  assert.deepEqual(
    values(await bus.take(topic, 10, groupId, true)),
    numbered(10, 10).map(message => message.value),
  )
}

interface Member {
  consumer: TextConsumer
  stream: MessagesStream<string, string, string, string>
}

async function join(bus: Platformatic, topic: string, groupId: string, options: object = {}): Promise<Member> {
  const consumer = bus.consumer(groupId, options)
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false })
  stream.on('data', () => undefined)
  return { consumer, stream }
}

const assigned = (member: Member): number[] => member.consumer.assignments?.flatMap(one => one.partitions) ?? []

async function rebalance(bus: Platformatic, options: object): Promise<void> {
  const topic = await bus.createTopic(4)
  const groupId = fresh('platformatic-group')
  const first = await join(bus, topic, groupId, options)
  await until(() => assigned(first).length === 4)
  const second = await join(bus, topic, groupId, options)
  const all = (): number[] => [...assigned(first), ...assigned(second)].toSorted((a, b) => a - b)
  // One of them may still have what it had before.
  await until(() => assigned(first).length === 2 && all().join() === '0,1,2,3')
  await first.consumer.close(true)
  await until(() => assigned(second).length === 4)
  await second.consumer.close(true)
}

async function cooperative(bus: Platformatic): Promise<void> {
  const protocols = [{ name: 'cooperative-sticky', version: 1 }]
  await rebalance(bus, { protocols, partitionAssigner: cooperativeStickyAssigner })
}

async function staticMember(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic(2)
  const groupId = fresh('platformatic-static')
  const member = await join(bus, topic, groupId, { groupInstanceId: 'one' })
  await until(() => assigned(member).length === 2)
  const described = await bus.withAdmin(admin => admin.describeGroups({ groups: [groupId] }))
  const members = [...(described.get(groupId)?.members.values() ?? [])]
  assert.deepEqual(
    members.map(one => one.groupInstanceId),
    ['one'],
  )
  await member.consumer.close(true)
}

async function transactions(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const producer = bus.producer({ idempotent: true, transactionalId: fresh('platformatic-tx') })
  for (const [value, end] of [
    ['one', 'commit'],
    ['no', 'abort'],
    ['two', 'commit'],
  ] as const) {
    const transaction = await producer.beginTransaction()
    await transaction.send({ messages: [{ topic, value }] })
    await transaction[end]()
  }
  await producer.close()
  assert.deepEqual(values(await bus.take(topic, 2)), ['one', 'two'])
}

async function transactionalOffsets(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const groupId = fresh('platformatic-tx-group')
  await bus.send(topic, numbered(3))
  const producer = bus.producer({ idempotent: true, transactionalId: fresh('platformatic-tx') })
  const consumer = bus.consumer(groupId)
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false })
  for await (const message of stream) {
    if (message.offset < 2n) continue
    const transaction = await producer.beginTransaction()
    await transaction.addConsumer(consumer)
    await transaction.addOffset(message)
    await transaction.commit()
    break
  }
  const found = await bus.withAdmin(admin => admin.listConsumerGroupOffsets({ groups: [groupId] }))
  assert.ok((found[0]?.topics[0]?.partitions[0]?.committedOffset ?? 0n) >= 2n)
  await consumer.close(true)
  await producer.close()
}

function secureChecks(secure: Secure): Check[] {
  const { user: username, password, token } = secure
  const tls = { ca: [readFileSync(secure.authority, 'utf8')], servername: 'localhost' }
  const own = { cert: readFileSync(secure.certificate, 'utf8'), key: readFileSync(secure.key, 'utf8') }
  const check = (capability: Capability, address: string, options: object): Check => ({
    capability,
    run: () => secretly(new Platformatic(address, options)),
  })
  const login = (mechanism: string): Check =>
    check(`SASL ${mechanism}` as Capability, secure.plain, { sasl: { mechanism, username, password } })
  return [
    check('TLS', secure.tls, { tls, sasl: { mechanism: 'PLAIN', username, password } }),
    check('TLS with client certificate', secure.tls, { tls: { ...tls, ...own } }),
    ...['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'].map(login),
    check('SASL OAUTHBEARER', secure.plain, { sasl: { mechanism: 'OAUTHBEARER', token } }),
  ]
}

async function secretly(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  await bus.send(topic, [{ value: 'secret' }])
  assert.deepEqual(values(await bus.take(topic, 1)), ['secret'])
}

async function topics(admin: Admin): Promise<void> {
  const topic = fresh('platformatic')
  const settings = [{ name: 'retention.ms', value: '60000' }]
  const [created] = await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1, configs: settings })
  assert.equal(created?.partitions, 3)
  await assert.rejects(admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 }))
  assert.ok((await admin.listTopics()).includes(topic))
  await admin.deleteTopics({ topics: [topic] })
  assert.ok(!(await admin.listTopics()).includes(topic))
}

async function partitions(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  await bus.withAdmin(async admin => {
    const broker = [...(await admin.metadata({ topics: [topic] })).brokers.keys()].slice(0, 1)
    const assignments = [1, 2, 3].map(() => ({ brokerIds: broker })) // For each new one; the client needs it.
    await admin.createPartitions({ topics: [{ name: topic, count: 4, assignments }] })
    const metadata = await admin.metadata({ topics: [topic], forceUpdate: true })
    assert.equal(metadata.topics.get(topic)?.partitionsCount, 4)
    await assert.rejects(admin.createPartitions({ topics: [{ name: topic, count: 2, assignments: [] }] }))
  })
}

async function configs(admin: Admin): Promise<void> {
  const topic = fresh('platformatic')
  await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
  const resource = { resourceType: topicResource, resourceName: topic }
  const read = async (name: string): Promise<string | null | undefined> => {
    const found = await admin.describeConfigs({ resources: [{ ...resource, configurationKeys: [name] }] })
    return found[0]?.configs.find(config => config.name === name)?.value
  }
  const change = { name: 'retention.ms', configOperation: setOperation, value: '70000' }
  await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [change] }] })
  await until(async () => (await read('retention.ms')) === '70000')
  const another = { name: 'max.message.bytes', configOperation: setOperation, value: '4096' }
  await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs: [another] }] })
  await until(async () => (await read('max.message.bytes')) === '4096')
  assert.equal(await read('retention.ms'), '70000')
}

async function groups(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const groupId = fresh('platformatic-described')
  const member = await join(bus, topic, groupId)
  await until(() => assigned(member).length === 1)
  await bus.withAdmin(async admin => {
    const described = (await admin.describeGroups({ groups: [groupId] })).get(groupId)
    assert.equal(described?.state, 'Stable')
    assert.equal(described.members.size, 1)
    assert.ok((await admin.listGroups()).has(groupId))
    await assert.rejects(admin.deleteGroups({ groups: [groupId] })) // It has a member.
    await member.consumer.close(true)
    await until(async () => (await admin.describeGroups({ groups: [groupId] })).get(groupId)?.state === 'Empty')
    await admin.deleteGroups({ groups: [groupId] })
    assert.ok(!(await admin.listGroups()).has(groupId))
  })
}

async function groupOffsets(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  const groupId = fresh('platformatic-offsets')
  await bus.send(topic, numbered(10))
  await bus.withAdmin(async admin => {
    const partitionOffsets = [{ partition: 0, offset: 7n }]
    await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets }] })
    const committed = async (): Promise<bigint | undefined> => {
      const found = await admin.listConsumerGroupOffsets({ groups: [groupId] })
      return found[0]?.topics.find(one => one.name === topic)?.partitions[0]?.committedOffset
    }
    assert.equal(await committed(), 7n)
    await admin.deleteConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionIndexes: [0] }] })
    assert.equal(await committed(), undefined)
  })
}

async function deleteRecords(bus: Platformatic): Promise<void> {
  const topic = await bus.createTopic()
  await bus.send(topic, numbered(10))
  const request = [{ name: topic, partitions: [{ partition: 0, offset: 6n }] }]
  const deleted = await bus.withAdmin(admin => admin.deleteRecords({ topics: request }))
  assert.equal(deleted[0]?.partitions[0]?.lowWatermark, 6n)
  assert.deepEqual(
    (await bus.take(topic, 4)).map(message => message.offset),
    [6n, 7n, 8n, 9n],
  )
}

async function refusals(admin: Admin): Promise<void> {
  const says = (code: string) => (error: unknown) => JSON.stringify(flat(error)).includes(code)
  await assert.rejects(admin.deleteTopics({ topics: [fresh('absent')] }), says('UNKNOWN_TOPIC_OR_PARTITION'))
  const named = (topic: string) => admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
  await assert.rejects(named('a topic / with spaces'), says('INVALID_TOPIC_EXCEPTION'))
}

function flat(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { errors = [], ...rest } = error as Error & { errors?: unknown[] }
  return { ...rest, message: error.message, cause: flat(error.cause), errors: errors.map(flat) }
}
