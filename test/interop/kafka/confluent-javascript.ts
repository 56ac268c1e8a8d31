import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { cacheDirectory, fill, isThere, nodeFirst, type Step } from '../fetched.ts'
import { fresh, runChecks, until, type Check, type Client } from '../suite.ts'
import { versions } from '../versions.ts'

const name = '@confluentinc/kafka-javascript'
const directory = cacheDirectory(join('npm', `confluent-kafka-javascript-${versions.confluentJavascript}`))
const packageDirectory = join(directory, 'node_modules', name)

/** The sources of librdkafka that the package brings, with its tests; built by `fetchPackage`. */
export const librdkafkaDirectory = join(packageDirectory, 'deps', 'librdkafka')

export const confluentJavascriptClient: Client = {
  name,
  pinned: `${versions.confluentJavascript}, librdkafka ${versions.librdkafka}`,
  from: 'npm, built from the sources in its package',
  missing: fetchPackage,
  version: () => `${versions.confluentJavascript}, librdkafka ${load().librdkafkaVersion}`,
  run: (place, report) => runChecks(checks(place.address), report),
}

/**
 * Installs the package and compiles it: its makers' binaries are not in the package, but on a server of their own.
 * Without the development files of libcurl and libzstd it is built without OIDC and zstd.
 */
export function fetchPackage(): string | undefined {
  for (const tool of ['make', 'g++']) if (!isThere(tool, '--version')) return `no ${tool} to build it with`
  const prefix = join(packageDirectory, 'build', 'deps')
  const env = {
    ...nodeFirst(),
    CKJS_LINKING: 'dynamic',
    MAKEFLAGS: `-j${availableParallelism()}`,
    // The headers that came with the Node that runs this.
    npm_config_nodedir: dirname(dirname(process.execPath)),
  }
  const configure = [
    '--disable-lz4-ext',
    '--disable-gssapi',
    '--disable-curl',
    `--prefix=${prefix}`,
    `--libdir=${prefix}`,
  ]
  const npm = (...args: string[]): Step => ({ command: 'npm', args, env })
  return fill(directory, () => [
    npm('init', '--yes'),
    npm('install', '--ignore-scripts', `${name}@${versions.confluentJavascript}`),
    { command: './configure', args: configure, cwd: librdkafkaDirectory },
    npm('rebuild', name, '--build-from-source'),
  ])
}

interface KafkaMessage {
  key: Buffer | null
  value: Buffer | null
  timestamp: string
  offset: string
  headers?: Record<string, Buffer | Buffer[]>
}

interface Sent {
  key?: string | null
  value: string | null
  headers?: Record<string, string | string[]>
  timestamp?: string
  partition?: number
}

interface Transaction {
  send(batch: { topic: string; messages: Sent[] }): Promise<unknown>
  sendOffsets(offsets: object): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
}

interface Producer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(batch: { topic: string; messages: Sent[] }): Promise<unknown>
  transaction(): Promise<Transaction>
}

interface Consumer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  subscribe(what: { topics: (string | RegExp)[] }): Promise<void>
  run(how: { eachMessage: (given: { message: KafkaMessage }) => Promise<void> }): Promise<void>
  assignment(): { topic: string; partition: number }[]
  seek(place: { topic: string; partition: number; offset: string }): void
}

interface Admin {
  connect(): Promise<void>
  disconnect(): Promise<void>
  createTopics(what: object): Promise<boolean>
  deleteTopics(what: { topics: string[] }): Promise<void>
  listTopics(): Promise<string[]>
  fetchTopicMetadata(what: { topics: string[] }): Promise<{ partitions: unknown[] }[]>
  fetchTopicOffsets(topic: string): Promise<{ partition: number; low: string; high: string }[]>
  fetchTopicOffsetsByTimestamp(topic: string, timestamp: number): Promise<{ offset: string }[]>
  fetchOffsets(what: { groupId: string; topics: string[] }): Promise<{ partitions: { offset: string }[] }[]>
  deleteTopicRecords(what: object): Promise<unknown>
  listGroups(): Promise<{ groups: { groupId: string }[] }>
  describeGroups(groups: string[]): Promise<{ groups: { members: unknown[]; state: number }[] }>
  deleteGroups(groups: string[]): Promise<unknown>
}

interface Kafka {
  producer(options: object): Producer
  consumer(options: object): Consumer
  admin(): Admin
}

interface Library {
  librdkafkaVersion: string
  KafkaJS: {
    Kafka: new (options: object) => Kafka
    logLevel: { NOTHING: number }
    ConsumerGroupStates: { STABLE: number; EMPTY: number }
  }
}

function load(): Library {
  return createRequire(join(directory, 'package.json'))(name) as Library
}

function checks(address: string): Check[] {
  const bus = new Bus(address)
  const codec = (compression: string) => () => roundTrip(bus, compression)
  const admin = (work: (admin: Admin) => Promise<void>) => () => bus.withAdmin(work)
  const newProtocol = { 'group.protocol': 'consumer' }
  return [
    ...['none', 'gzip', 'snappy', 'lz4'].map(one => ({ capability: `codec ${one}`, run: codec(one) }) as Check),
    { capability: 'headers, keys, timestamps, tombstones', run: () => wholeRecords(bus) },
    { capability: 'acks 0, 1, all', run: () => everyAcks(bus) },
    { capability: 'idempotent producer', run: () => idempotent(bus) },
    { capability: 'offsets: earliest, latest', run: admin(one => offsets(bus, one)) },
    { capability: 'offsets by time', run: admin(one => offsetsByTime(bus, one)) },
    { capability: 'seek', run: () => seek(bus) },
    { capability: 'group: commit and resume', run: () => resume(bus) },
    { capability: 'group: members come and go', run: () => rebalance(bus, {}) },
    { capability: 'group: new protocol', run: () => rebalance(bus, newProtocol) },
    { capability: 'group: new protocol, subscription by pattern', run: () => byPattern(bus, newProtocol) },
    { capability: 'transactions: commit and abort', run: () => transactions(bus) },
    { capability: 'transactions: offsets of a group', run: () => transactionalOffsets(bus) },
    { capability: 'transactions: a zombie is fenced', run: () => zombie(bus) },
    { capability: 'admin: topics', run: admin(topics) },
    { capability: 'admin: groups', run: admin(one => groups(bus, one)) },
    { capability: 'admin: delete records', run: admin(one => deleteRecords(bus, one)) },
    { capability: 'errors in its own words', run: admin(refusals) },
  ]
}

/** Short forms of what every check does. */
class Bus {
  readonly #kafka: Kafka

  constructor(address: string) {
    const { Kafka, logLevel } = load().KafkaJS
    this.#kafka = new Kafka({ kafkaJS: { brokers: [address], clientId: 'interop', logLevel: logLevel.NOTHING } })
  }

  async withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.#kafka.admin()
    await admin.connect()
    try {
      return await work(admin)
    } finally {
      await admin.disconnect()
    }
  }

  async createTopic(numPartitions = 1, topic = fresh('confluent-js')): Promise<string> {
    await this.withAdmin(admin => admin.createTopics({ topics: [{ topic, numPartitions }] }))
    return topic
  }

  async producer(settings: object = {}, more: object = {}): Promise<Producer> {
    const producer = this.#kafka.producer({ kafkaJS: settings, 'linger.ms': 5, ...more })
    await producer.connect()
    return producer
  }

  async send(topic: string, messages: Sent[], settings: object = {}): Promise<void> {
    const producer = await this.producer(settings)
    await producer.send({ topic, messages })
    await producer.disconnect()
  }

  async consumer(topics: (string | RegExp)[], groupId: string, more: object, seen: KafkaMessage[]): Promise<Consumer> {
    const settings = { groupId, fromBeginning: true, autoCommit: true, readUncommitted: false, maxWaitTimeInMs: 200 }
    const consumer = this.#kafka.consumer({ kafkaJS: settings, ...more })
    await consumer.connect()
    await consumer.subscribe({ topics })
    await consumer.run({ eachMessage: async ({ message }) => void seen.push(message) })
    return consumer
  }

  /** Reads with a group until `count` records are there; leaving commits. */
  async take(topic: string, count: number, groupId = fresh('confluent-js-reader')): Promise<KafkaMessage[]> {
    const seen: KafkaMessage[] = []
    const consumer = await this.consumer([topic], groupId, {}, seen)
    await until(() => seen.length >= count)
    await consumer.disconnect()
    return seen
  }
}

const numbered = (count: number, from = 0): Sent[] =>
  Array.from({ length: count }, (_, index) => ({ key: `k${index % 7}`, value: `value ${from + index}` }))

const values = (messages: { value: Buffer | string | null }[]): (string | undefined)[] =>
  messages.map(message => message.value?.toString())

async function roundTrip(bus: Bus, compression: string): Promise<void> {
  const topic = await bus.createTopic()
  const sent = [...numbered(300), { key: 'large', value: 'x'.repeat(200_000) }]
  await bus.send(topic, sent, { compression })
  assert.deepEqual(values(await bus.take(topic, sent.length)), values(sent))
}

async function wholeRecords(bus: Bus): Promise<void> {
  const topic = await bus.createTopic()
  const timestamp = '1700000000123'
  await bus.send(topic, [
    { key: 'a', value: 'one', headers: { trace: 'x', many: ['1', '2'] }, timestamp },
    { key: null, value: '', timestamp },
    { key: 'a', value: null, timestamp },
  ])
  const [one, empty, tombstone] = await bus.take(topic, 3)
  assert.equal(one?.key?.toString(), 'a')
  assert.equal(one.timestamp, timestamp)
  assert.equal(one.headers?.['trace']?.toString(), 'x')
  assert.deepEqual([one.headers?.['many'] ?? []].flat().map(String), ['1', '2'])
  assert.equal(empty?.key, null)
  assert.equal(empty.value?.length, 0)
  assert.equal(tombstone?.value, null)
}

async function everyAcks(bus: Bus): Promise<void> {
  const topic = await bus.createTopic()
  for (const acks of [0, 1, -1]) await bus.send(topic, [{ value: `acks ${acks}` }], { acks })
  assert.deepEqual(values(await bus.take(topic, 3)), ['acks 0', 'acks 1', 'acks -1'])
}

async function idempotent(bus: Bus): Promise<void> {
  const topic = await bus.createTopic(2)
  await bus.send(topic, numbered(1000), { idempotent: true })
  assert.equal(new Set(values(await bus.take(topic, 1000))).size, 1000)
}

async function offsets(bus: Bus, admin: Admin): Promise<void> {
  const topic = await bus.createTopic(2)
  const messages = numbered(10).map(message => ({ ...message, partition: 1 }))
  await bus.send(topic, messages)
  const found = (await admin.fetchTopicOffsets(topic)).toSorted((a, b) => a.partition - b.partition)
  assert.deepEqual(
    found.map(({ low, high }) => `${low}-${high}`),
    ['0-0', '0-10'],
  )
}

async function offsetsByTime(bus: Bus, admin: Admin): Promise<void> {
  const topic = await bus.createTopic()
  const base = 1_700_000_000_000
  for (let i = 0; i < 3; i++) await bus.send(topic, [{ value: `${i}`, timestamp: String(base + i * 1000) }])
  const found = await admin.fetchTopicOffsetsByTimestamp(topic, base + 1500)
  assert.equal(found[0]?.offset, '2')
}

async function seek(bus: Bus): Promise<void> {
  const topic = await bus.createTopic()
  await bus.send(topic, numbered(20))
  const seen: KafkaMessage[] = []
  const consumer = await bus.consumer([topic], fresh('confluent-js-seek'), {}, seen)
  await until(() => seen.length === 20)
  consumer.seek({ topic, partition: 0, offset: '15' })
  await until(() => seen.length === 25)
  await consumer.disconnect()
  assert.deepEqual(
    seen.slice(20).map(message => message.offset),
    ['15', '16', '17', '18', '19'],
  )
}

async function resume(bus: Bus): Promise<void> {
  const topic = await bus.createTopic()
  const group = fresh('confluent-js-resume')
  await bus.send(topic, numbered(10))
  assert.equal((await bus.take(topic, 10, group)).length, 10)
  await bus.send(topic, numbered(10, 10))
  assert.deepEqual(values(await bus.take(topic, 10, group)), values(numbered(10, 10)))
}

async function rebalance(bus: Bus, more: object): Promise<void> {
  const topic = await bus.createTopic(4)
  const group = fresh('confluent-js-group')
  const share = (member: Consumer): number => member.assignment().length
  const first = await bus.consumer([topic], group, more, [])
  await until(() => share(first) === 4)
  const second = await bus.consumer([topic], group, more, [])
  await until(() => share(first) === 2 && share(second) === 2)
  await first.disconnect()
  await until(() => share(second) === 4)
  await second.disconnect()
}

async function byPattern(bus: Bus, more: object): Promise<void> {
  const prefix = fresh('confluent-js-pattern')
  await bus.createTopic(2, `${prefix}-a`)
  const member = await bus.consumer([new RegExp(`^${prefix}-.*`)], fresh('confluent-js-group'), more, [])
  await until(() => member.assignment().length === 2)
  await bus.createTopic(3, `${prefix}-b`)
  await until(() => member.assignment().length === 5)
  await member.disconnect()
}

async function transactions(bus: Bus): Promise<void> {
  const topic = await bus.createTopic()
  const producer = await bus.producer({ transactionalId: fresh('confluent-js-tx') })
  for (const [word, end] of [
    ['one', 'commit'],
    ['no', 'abort'],
    ['two', 'commit'],
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value: word }, { value: word }] })
    await transaction[end]()
  }
  await producer.disconnect()
  assert.deepEqual(values(await bus.take(topic, 4)), ['one', 'one', 'two', 'two'])
}

async function transactionalOffsets(bus: Bus): Promise<void> {
  const source = await bus.createTopic()
  const target = await bus.createTopic()
  const group = fresh('confluent-js-group')
  const producer = await bus.producer({ transactionalId: fresh('confluent-js-tx') })
  const member = await bus.consumer([source], group, { 'enable.auto.commit': false }, [])
  await until(() => member.assignment().length === 1)
  const committed = async (): Promise<string | undefined> =>
    (await bus.withAdmin(admin => admin.fetchOffsets({ groupId: group, topics: [source] })))[0]?.partitions[0]?.offset
  for (const [offset, end] of [
    ['7', 'commit'],
    ['9', 'abort'],
  ] as const) {
    const transaction = await producer.transaction()
    await transaction.send({ topic: target, messages: [{ value: offset }] })
    const offsetsOfTopics = [{ topic: source, partitions: [{ partition: 0, offset }] }]
    await transaction.sendOffsets({ consumer: member, topics: offsetsOfTopics })
    await transaction[end]()
    await until(async () => (await committed()) === '7')
  }
  await member.disconnect()
  await producer.disconnect()
  assert.deepEqual(values(await bus.take(target, 1)), ['7'])
}

async function zombie(bus: Bus): Promise<void> {
  const topic = await bus.createTopic()
  const transactionalId = fresh('confluent-js-zombie')
  const old = await bus.producer({ transactionalId })
  const lost = await old.transaction()
  await lost.send({ topic, messages: [{ value: 'old' }] })
  const producer = await bus.producer({ transactionalId })
  const transaction = await producer.transaction()
  await transaction.send({ topic, messages: [{ value: 'new' }] })
  await transaction.commit()
  await assert.rejects(lost.commit())
  await producer.disconnect()
  await old.disconnect().catch(() => undefined)
  assert.deepEqual(values(await bus.take(topic, 1)), ['new'])
}

async function topics(admin: Admin): Promise<void> {
  const topic = fresh('confluent-js')
  assert.equal(await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] }), true)
  assert.ok((await admin.listTopics()).includes(topic))
  assert.equal((await admin.fetchTopicMetadata({ topics: [topic] }))[0]?.partitions.length, 3)
  await admin.deleteTopics({ topics: [topic] })
  await until(async () => !(await admin.listTopics()).includes(topic))
}

async function groups(bus: Bus, admin: Admin): Promise<void> {
  const { STABLE, EMPTY } = load().KafkaJS.ConsumerGroupStates
  const topic = await bus.createTopic()
  const group = fresh('confluent-js-listed')
  const member = await bus.consumer([topic], group, {}, [])
  await until(() => member.assignment().length === 1)
  const described = async () => (await admin.describeGroups([group])).groups[0]
  await until(async () => (await described())?.state === STABLE)
  assert.equal((await described())?.members.length, 1)
  assert.ok((await admin.listGroups()).groups.some(one => one.groupId === group))
  await member.disconnect()
  await until(async () => (await described())?.state === EMPTY)
  await admin.deleteGroups([group])
  assert.ok(!(await admin.listGroups()).groups.some(one => one.groupId === group))
}

async function deleteRecords(bus: Bus, admin: Admin): Promise<void> {
  const topic = await bus.createTopic()
  await bus.send(topic, numbered(10))
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
  assert.deepEqual(
    (await bus.take(topic, 4)).map(message => message.offset),
    ['6', '7', '8', '9'],
  )
}

async function refusals(admin: Admin): Promise<void> {
  const says = (code: number) => (error: unknown) => codesOf(error).includes(code)
  const named = (topic: string) => admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
  await assert.rejects(admin.deleteTopics({ topics: [fresh('absent')] }), says(3)) // UNKNOWN_TOPIC_OR_PARTITION
  await assert.rejects(named('a topic / with spaces'), says(17)) // INVALID_TOPIC_EXCEPTION
}

function codesOf(error: unknown): (number | undefined)[] {
  if (!(error instanceof Error)) return []
  const { code, errors = [] } = error as Error & { code?: number; errors?: unknown[] }
  return [code, ...errors.flatMap(codesOf)]
}
