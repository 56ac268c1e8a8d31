import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { Infer, Write } from '@dragoman/wire'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import { KafkaConnection } from './client.ts'
import { KafkaDriver, recordsOf } from './driver.ts'
import { codes } from './errors.ts'
import { apis } from './messages/index.ts'

async function fixture(t: TestContext, options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', kafka: 0, logLevel: 'error', ...options })
  t.after(async () => {
    for (const connection of connections.splice(0)) connection.close()
    await broker.close()
  })
  return broker
}

const connections: KafkaConnection[] = []

async function connect(broker: RunningBroker, clientId: string): Promise<KafkaConnection> {
  const address = { host: '127.0.0.1', port: broker.port('kafka') }
  const connection = await KafkaConnection.open(await realRuntime().network.connect(address), { clientId })
  connections.push(connection)
  return connection
}

type Page = Infer<typeof apis.describeTopicPartitions.response>
type Ops = { key: string; value: number }

async function setQuota(connection: KafkaConnection, entityType: string, entityName: string | null, op: Ops) {
  const entries = [{ entity: [{ entityType, entityName }], ops: [{ ...op, remove: false }] }]
  const answer = await connection.request(apis.alterClientQuotas, { entries })
  assert.equal(answer.entries[0]?.errorCode, codes.none, answer.entries[0]?.errorMessage ?? undefined)
}

async function createTopic(connection: KafkaConnection, name: string, partitions = 1, version = 7) {
  const wanted = { name, numPartitions: partitions, replicationFactor: -1 }
  return connection.request(apis.createTopics, { topics: [wanted], timeoutMs: 1000 }, version)
}

function produce(connection: KafkaConnection, topic: string, bytes: number) {
  const records = makeBatch([{ key: null, value: Buffer.alloc(bytes), headers: [], timestampMs: -1 }])
  const topicData = [{ name: topic, partitionData: [{ index: 0, records }] }]
  return connection.request(apis.produce, { acks: -1, timeoutMs: 5000, topicData }, 9)
}

test('who produces more than the quota is answered at once, told to wait, and not read until then', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  const fast = await connect(broker, 'fast')
  const other = await connect(broker, 'other')
  await createTopic(admin, 'a')
  await setQuota(admin, 'client-id', 'fast', { key: 'producer_byte_rate', value: 200_000 })
  // Ten seconds' worth go at once.
  for (let round = 0; round < 7; round++) assert.equal((await produce(fast, 'a', 250_000)).throttleTimeMs, 0)
  let sentMs = performance.now()
  let over = await produce(fast, 'a', 250_000)
  while (over.throttleTimeMs === 0) {
    sentMs = performance.now()
    over = await produce(fast, 'a', 250_000)
  }
  assert.equal(over.responses[0]?.partitionResponses[0]?.errorCode, codes.none, 'nothing is dropped')
  assert(over.throttleTimeMs <= 1260, String(over.throttleTimeMs))
  // It begins with the answer, which the client may see later than it was given.
  const waited = fast.request(apis.metadata, { topics: [] }).then(() => performance.now() - sentMs)
  assert.equal((await produce(other, 'a', 500_000)).throttleTimeMs, 0, 'who has no quota goes on')
  assert((await waited) >= over.throttleTimeMs - 5)
})

test('who fetches more than the quota gets no more than ten seconds of it at once, and is held back for more', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  const reader = await connect(broker, 'reader')
  await createTopic(admin, 'a')
  for (let round = 0; round < 8; round++) await produce(admin, 'a', 50_000)
  await setQuota(admin, 'user', null, { key: 'consumer_byte_rate', value: 20_000 })
  const fetch = async (fetchOffset: number) => {
    const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 10_000_000 }]
    const asked = { maxWaitMs: 100, minBytes: 1, maxBytes: 10_000_000, topics: [{ topic: 'a', partitions }] }
    const { throttleTimeMs, responses } = await reader.request(apis.fetch, asked, 12)
    const records = responses[0]?.partitions[0]?.records ?? Buffer.alloc(0)
    return { throttleTimeMs, count: [...recordsOf(records)].length }
  }
  assert.deepEqual(await fetch(0), { throttleTimeMs: 0, count: 3 }, 'ten seconds of it, in whole batches')
  const second = await fetch(3)
  assert.equal(second.count, 3)
  assert(second.throttleTimeMs > 0 && second.throttleTimeMs < 6000, String(second.throttleTimeMs))
  const other = await connect(broker, 'other')
  assert((await other.request(apis.metadata, { topics: [] })).throttleTimeMs === 0, 'nothing else is limited')
})

test('newer versions refuse too many changes until later; older ones are made and held back for', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  await setQuota(admin, 'user', 'ANONYMOUS', { key: 'controller_mutation_rate', value: 10 })
  const first = await createTopic(admin, 'a', 101)
  assert.equal(first.topics[0]?.errorCode, codes.none)
  assert(first.throttleTimeMs > 0 && first.throttleTimeMs <= 100)
  const credit = await createTopic(admin, 'b', 200)
  assert.equal(credit.topics[0]?.errorCode, codes.none)
  const other = await connect(broker, 'other')
  const strict = await createTopic(other, 'c', 1)
  assert.equal(strict.topics[0]?.errorCode, codes.throttlingQuotaExceeded)
  assert(strict.throttleTimeMs > 0)
  assert.equal(broker.core.topics.get('/', 'c'), undefined)
  const third = await connect(broker, 'third')
  const lenient = await createTopic(third, 'c', 1, 5)
  assert.equal(lenient.topics[0]?.errorCode, codes.none)
  assert(lenient.throttleTimeMs > 0)
})

test('work is measured, and who takes more than the quota is held back', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  const busy = await connect(broker, 'busy')
  await setQuota(admin, 'client-id', 'busy', { key: 'request_percentage', value: 0.001 })
  let waitMs = 0
  for (let round = 0; round < 50 && waitMs === 0; round++) {
    const resources = [{ resourceType: 4, resourceName: '1', configurationKeys: null }]
    waitMs = (await busy.request(apis.describeConfigs, { resources, includeSynonyms: true })).throttleTimeMs
  }
  assert(waitMs > 0 && waitMs <= 1000, String(waitMs))
})

test('quotas and overridden settings survive a restart', async () => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-quotas-'))
  try {
    for (const isFirst of [true, false]) {
      const broker = await startBroker({ data, kafka: 0, durability: 'os', logLevel: 'error' })
      const admin = await connect(broker, 'admin')
      if (isFirst) {
        await setQuota(admin, 'user', 'u', { key: 'producer_byte_rate', value: 5 })
        await setQuota(admin, 'ip', '127.0.0.9', { key: 'connection_creation_rate', value: 5 })
        const configs = [
          { name: 'log.retention.ms', configOperation: 0, value: '123' },
          { name: 'max.connections', configOperation: 0, value: '3' },
        ]
        const resources = [{ resourceType: 4, resourceName: '', configs }]
        const { responses } = await admin.request(apis.incrementalAlterConfigs, { resources })
        assert.equal(responses[0]?.errorCode, codes.none, responses[0]?.errorMessage ?? undefined)
        await createTopic(admin, 'a')
      }
      const { entries } = await admin.request(apis.describeClientQuotas, { components: [] })
      assert.deepEqual(entries, [
        { entity: [{ entityType: 'user', entityName: 'u' }], values: [{ key: 'producer_byte_rate', value: 5 }] },
        {
          entity: [{ entityType: 'ip', entityName: '127.0.0.9' }],
          values: [{ key: 'connection_creation_rate', value: 5 }],
        },
      ])
      const resources = [{ resourceType: 2, resourceName: 'a', configurationKeys: ['retention.ms'] }]
      const { results } = await admin.request(apis.describeConfigs, { resources, includeSynonyms: true })
      const [retention] = results[0]?.configs ?? []
      assert.deepEqual([retention?.value, retention?.configSource], ['123', 3])
      await connect(broker, 'second')
      await connect(broker, 'third')
      await assert.rejects(connect(broker, 'one too many'))
      for (const connection of connections.splice(0)) connection.close()
      await broker.close()
    }
  } finally {
    rmSync(data, { recursive: true, force: true })
  }
})

test('what is produced without an answer counts, too', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  const quiet = await connect(broker, 'quiet')
  await createTopic(admin, 'a')
  await setQuota(admin, 'client-id', 'quiet', { key: 'producer_byte_rate', value: 1000 })
  const records = makeBatch([{ key: null, value: Buffer.alloc(500_000), headers: [], timestampMs: -1 }])
  const topicData = [{ name: 'a', partitionData: [{ index: 0, records }] }]
  quiet.send(apis.produce, { acks: 0, timeoutMs: 5000, topicData }, 9)
  const [stream = -1] = broker.core.topics.get('/', 'a')?.partitions ?? []
  while (broker.core.cell.bounds(stream)?.endOffset !== 1) await new Promise(resolve => setImmediate(resolve))
  assert(broker.core.quotas.published({ user: 'ANONYMOUS', client: 'quiet' }, 1) > 400_000)
})

test('settings of the broker that are changed while it runs take effect at once', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  await createTopic(admin, 'a')
  const alter = async (resourceName: string, value: string | null) => {
    const configs = [{ name: 'message.max.bytes', configOperation: value === null ? 1 : 0, value }]
    const { responses } = await admin.request(apis.incrementalAlterConfigs, {
      resources: [{ resourceType: 4, resourceName, configs }],
    })
    assert.equal(responses[0]?.errorCode, codes.none, responses[0]?.errorMessage ?? undefined)
  }
  const outcome = async () => (await produce(admin, 'a', 2000)).responses[0]?.partitionResponses[0]?.errorCode
  assert.equal(await outcome(), codes.none)
  await alter('', '1000')
  assert.equal(await outcome(), codes.messageTooLarge)
  await alter('1', '5000')
  assert.equal(await outcome(), codes.none, 'what is set for this broker wins')
  await alter('1', null)
  assert.equal(await outcome(), codes.messageTooLarge)
  await alter('', null)
  assert.equal(await outcome(), codes.none)
})

test('topics and their partitions are told by the page, in the order of their names', async t => {
  const broker = await fixture(t)
  const admin = await connect(broker, 'admin')
  for (const [name, partitions] of [
    ['c', 3],
    ['a', 2],
    ['b', 4],
  ] as const)
    await createTopic(admin, name, partitions)
  const seen: string[] = []
  let cursor: Page['nextCursor'] = null
  let pages = 0
  do {
    const asked: Write<typeof apis.describeTopicPartitions.request> = { topics: [], responsePartitionLimit: 2, cursor }
    const answer: Page = await admin.request(apis.describeTopicPartitions, asked)
    for (const { name, partitions } of answer.topics) {
      for (const { partitionIndex } of partitions) seen.push(`${name}${partitionIndex}`)
    }
    cursor = answer.nextCursor
    pages++
  } while (cursor !== null)
  assert.deepEqual(seen, ['a0', 'a1', 'b0', 'b1', 'b2', 'b3', 'c0', 'c1', 'c2'])
  assert.equal(pages, 5)
})

test('log directories tell the bytes of each partition', async t => {
  const broker = await fixture(t)
  const driver = await KafkaDriver.connect(realRuntime().network, { host: '127.0.0.1', port: broker.port('kafka') })
  connections.push(driver.connection)
  await driver.declare('a', 2)
  await driver.publish('a', [{ key: null, value: Buffer.alloc(1000), headers: [], timestampMs: -1 }], { partition: 1 })
  const { results } = await driver.connection.request(apis.describeLogDirs, {
    topics: [{ topic: 'a', partitions: [1, 0, 1, 9] }],
  })
  const [directory] = results
  assert.equal(directory?.logDir, 'memory')
  assert.deepEqual([directory?.totalBytes, directory?.usableBytes], [-1, -1])
  const sizes = directory?.topics[0]?.partitions.map(({ partitionIndex, partitionSize }) => [
    partitionIndex,
    partitionSize,
  ])
  assert.equal(sizes?.length, 2)
  assert.deepEqual(sizes?.[1], [0, 0])
  assert((sizes?.[0]?.[1] ?? 0) > 1000)
})
