import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { startBroker } from '@dragoman/broker'
import { Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import kafkajs from 'kafkajs'

// Transactions with the clients that npm brings. Both speak the older protocol.

let broker: Awaited<ReturnType<typeof startBroker>>
let address: string

before(async () => {
  broker = await startBroker({ data: 'memory', kafka: 0 })
  address = `127.0.0.1:${broker.port('kafka')}`
})
after(() => broker.close())

describe('kafkajs', () => {
  const client = (): kafkajs.Kafka =>
    new kafkajs.Kafka({ brokers: [address], logLevel: kafkajs.logLevel.NOTHING, retry: { initialRetryTime: 20 } })

  /** The values of a topic up to the offset at which it ended for a reader of that isolation. */
  async function valuesOf(topic: string, count: number, readUncommitted: boolean): Promise<string[]> {
    const consumer = client().consumer({ groupId: `${topic}-${readUncommitted}-${count}`, readUncommitted })
    const values: string[] = []
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ message }) => {
            values.push(String(message.value))
            if (values.length === count) resolve()
          },
        })
        .catch(reject)
    })
    await consumer.disconnect()
    return values.toSorted()
  }

  test('what is committed is read, what is aborted is not, and what is open holds back what is behind it', async () => {
    const topic = 'kafkajs-commit'
    await broker.core.topics.create('/', topic, { partitions: 1 })
    const producer = client().producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    for (const [index, outcome] of ['commit', 'abort', 'commit'].entries()) {
      const transaction = await producer.transaction()
      for (const part of [1, 2]) {
        await transaction.send({ topic, messages: [{ key: 'k', value: `${outcome}-${index}-${part}` }] })
      }
      if (outcome === 'commit') await transaction.commit()
      else await transaction.abort()
    }
    const committed = ['commit-0-1', 'commit-0-2', 'commit-2-1', 'commit-2-2']
    assert.deepEqual(await valuesOf(topic, 4, false), committed)
    assert.deepEqual(await valuesOf(topic, 6, true), ['abort-1-1', 'abort-1-2', ...committed])
    await producer.disconnect()
  })

  test('offsets count when the transaction is committed, and a producer that was replaced is shut out', async () => {
    const topic = 'kafkajs-offsets'
    await broker.core.topics.create('/', topic, { partitions: 1 })
    const kafka = client()
    const zombie = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
    await zombie.connect()
    const admin = kafka.admin()
    await admin.connect()
    const committed = async (): Promise<string | undefined> =>
      (await admin.fetchOffsets({ groupId: topic, topics: [topic] }))[0]?.partitions[0]?.offset
    const offsets = (offset: string) => ({
      consumerGroupId: topic,
      topics: [{ topic, partitions: [{ partition: 0, offset }] }],
    })

    const first = await zombie.transaction()
    await first.sendOffsets(offsets('5'))
    assert.equal(await committed(), '-1')
    await first.commit()
    assert.equal(await committed(), '5')
    const second = await zombie.transaction()
    await second.sendOffsets(offsets('9'))
    await second.abort()
    assert.equal(await committed(), '5')

    const left = await zombie.transaction()
    await left.send({ topic, messages: [{ value: 'zombie' }] })
    const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    const own = await producer.transaction()
    await own.send({ topic, messages: [{ value: 'own' }] })
    await assert.rejects(left.commit())
    await own.commit()
    assert.deepEqual(await valuesOf(topic, 1, false), ['own'])
    await Promise.all([zombie.disconnect(), producer.disconnect(), admin.disconnect()])
  })
})

describe('@platformatic/kafka', () => {
  test('what is committed is read, what is aborted is not; offsets count when the transaction is committed', async () => {
    const topic = 'platformatic'
    await broker.core.topics.create('/', topic, { partitions: 1 })
    const producer = new Producer({
      clientId: 'p',
      bootstrapBrokers: [address],
      idempotent: true,
      transactionalId: topic,
      serializers: stringSerializers,
    })
    for (const outcome of ['commit', 'abort', 'commit']) {
      const transaction = await producer.beginTransaction()
      await transaction.send({ messages: [{ topic, key: 'k', value: outcome }] })
      if (outcome === 'commit') await transaction.commit()
      else await transaction.abort()
    }
    const consumer = new Consumer({
      clientId: 'c',
      groupId: topic,
      bootstrapBrokers: [address],
      deserializers: stringDeserializers,
      isolationLevel: 1,
      autocommit: false,
    })
    const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
    const values: string[] = []
    for await (const message of stream) {
      values.push(message.value)
      if (values.length < 2) continue
      const transaction = await producer.beginTransaction()
      await transaction.addConsumer(consumer)
      await transaction.addOffset(message)
      assert.equal(broker.core.groups.offsets('/', topic)?.size, 0)
      await transaction.commit()
      break
    }
    assert.deepEqual(values, ['commit', 'commit'])
    const { id } = broker.core.topics.get('/', topic) ?? assert.fail()
    assert.ok((broker.core.groups.offsets('/', topic)?.get(id)?.get(0)?.offset ?? 0) > 0)
    await stream.close()
    await consumer.close(true)
    await producer.close()
  })
})
