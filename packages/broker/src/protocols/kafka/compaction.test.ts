import assert from 'node:assert/strict'
import test from 'node:test'
import { gzipSync } from 'node:zlib'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { batchHeaderBytes, makeBatch, sealBatch, type NewRecord } from '../../storage/record-batch.ts'
import { KafkaDriver } from './driver.ts'
import { codes } from './errors.ts'

const { network, clock } = realRuntime()

/** Flushes and looks for what is to be compacted all the time. */
const start = (): Promise<RunningBroker> =>
  startBroker({ data: 'memory', kafka: 0 }, { sizes: { flushIntervalMs: 20, retentionCheckMs: 20 } })

const record = (key: string | null, value: string | null): NewRecord => ({
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  timestampMs: clock.nowMs(),
})

test('records without a key are refused in compacted topics, and named', async t => {
  const broker = await start()
  const driver = await KafkaDriver.connect(network, { host: '127.0.0.1', port: broker.port('kafka') })
  t.after(async () => {
    driver.close()
    await broker.close()
  })
  await driver.declare('plain', 1, {})
  await driver.declare('compacted', 1, { 'cleanup.policy': 'compact,delete' })
  const mixed = () => makeBatch([record('a', '1'), record(null, '2'), record('', '3'), record(null, '4')])
  const compressed = (): Buffer => {
    const plain = mixed()
    const batch = Buffer.concat([plain.subarray(0, batchHeaderBytes), gzipSync(plain.subarray(batchHeaderBytes))])
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt16BE(1, 21)
    sealBatch(batch)
    return batch
  }
  for (const batch of [mixed(), compressed()]) {
    assert.equal((await driver.produce('plain', Buffer.from(batch))).errorCode, codes.none)
    const answer = await driver.produce('compacted', Buffer.from(batch))
    assert.equal(answer.errorCode, codes.invalidRecord)
    assert.deepEqual(
      answer.recordErrors.map(({ batchIndex }) => batchIndex),
      [1, 3],
    )
  }
  const damaged = compressed()
  damaged.fill(0x55, batchHeaderBytes + 12, batchHeaderBytes + 30)
  sealBatch(damaged)
  assert.equal((await driver.produce('compacted', damaged)).errorCode, codes.corruptMessage)
  assert.equal((await driver.produce('compacted', makeBatch([record('', null)]))).baseOffset, 0)
})

test('kafkajs reads from a compacted topic the newest of each key', async () => {
  const broker = await start()
  const brokers = [`127.0.0.1:${broker.port('kafka')}`]
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  const producer = kafka.producer()
  await admin.connect()
  await producer.connect()
  const configEntries = [
    { name: 'cleanup.policy', value: 'delete' },
    { name: 'min.cleanable.dirty.ratio', value: '0.01' },
  ]
  await admin.createTopics({ topics: [{ topic: 'states', numPartitions: 1, configEntries }] })
  const expected = new Map<string, string>()
  for (let round = 0; round < 20; round++) {
    const messages = Array.from({ length: 30 }, (_, index) => ({
      key: `key ${(index * round) % 37}`,
      value: `${round}`,
    }))
    for (const { key, value } of messages) expected.set(key, value)
    await producer.send({
      topic: 'states',
      messages,
      compression: round % 2 ? CompressionTypes.GZIP : CompressionTypes.None,
    })
  }
  const compact = [{ name: 'cleanup.policy', value: 'compact' }]
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: 2, name: 'states', configEntries: [...configEntries.slice(1), ...compact] }],
  })
  const stream = broker.core.topics.get('/', 'states')!.partitions[0]!
  while (broker.core.cell.sizeBytes(stream) > 5000) await new Promise<void>(resolve => clock.after(5, resolve))
  await producer.send({ topic: 'states', messages: [{ key: 'end', value: 'end' }] })
  expected.set('end', 'end')

  const found: [string, string][] = []
  const consumer = kafka.consumer({ groupId: 'readers' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'states', fromBeginning: true })
  await new Promise<void>((resolve, reject) => {
    void consumer
      .run({
        eachMessage: ({ message }) => {
          found.push([String(message.key), String(message.value)])
          if (String(message.key) === 'end') resolve()
          return Promise.resolve()
        },
      })
      .catch(reject)
  })
  assert.deepEqual(new Map(found), expected)
  assert(found.length < expected.size + 31, `${found.length} records of ${expected.size} keys`)
  await consumer.disconnect()
  await producer.disconnect()
  await admin.disconnect()
  await broker.close()
})
