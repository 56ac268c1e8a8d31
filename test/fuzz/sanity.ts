import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import kafkajs from 'kafkajs'
import { request } from './frames.ts'

/** A new connection is accepted and answered. */
export async function askVersions(port: number): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(request(18, 0, 99, Buffer.alloc(0)))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.equal(answer.readInt32BE(4), 99)
  socket.destroy()
}

/** A client that behaves stores a record and reads it. */
export async function storeAndRead(address: string): Promise<void> {
  const kafka = new kafkajs.Kafka({ brokers: [address], logLevel: kafkajs.logLevel.NOTHING })
  const topic = `sane-${Date.now()}`
  const admin = kafka.admin()
  await admin.connect()
  // Others may have used up the number of topics, and of groups: some of them make room.
  const names = await admin.listTopics()
  if (names[0] !== undefined) await admin.deleteTopics({ topics: [names[0]] })
  const { groups } = await admin.listGroups()
  // Those that have members stay.
  if (groups.length > 0) await admin.deleteGroups(groups.slice(0, 20).map(({ groupId }) => groupId)).catch(() => {})
  await admin.createTopics({ topics: [{ topic }] })
  await admin.disconnect()
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages: [{ value: 'sane' }] })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: topic })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const seen = await new Promise<string>((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    void consumer.run({ eachMessage: async ({ message }) => resolve(String(message.value)) })
  })
  assert.equal(seen, 'sane')
  await consumer.disconnect()
}
