import kafkajs from 'kafkajs'

// One worker of the pipeline, on kafkajs: the older protocol of transactions, and a group that hands it the partitions. It gives up
// at the first thing that goes wrong: whoever runs it starts another.

const [address = '', input = '', output = '', name = '', recordsMax = '10'] = process.argv.slice(2)

const kafka = new kafkajs.Kafka({
  brokers: [address],
  logLevel: kafkajs.logLevel.NOTHING,
  connectionTimeout: 2_000,
  requestTimeout: 5_000,
  retry: { initialRetryTime: 20, maxRetryTime: 100, retries: 3 },
})
const producer = kafka.producer({
  transactionalId: name,
  idempotent: true,
  maxInFlightRequests: 1,
  transactionTimeout: 10_000,
})
const consumer = kafka.consumer({
  groupId: name,
  sessionTimeout: 1_000,
  rebalanceTimeout: 2_000,
  heartbeatInterval: 100,
  maxWaitTimeInMs: 50,
  retry: { retries: 0 },
})

consumer.on(consumer.events.CRASH, () => process.exit(1))
process.on('unhandledRejection', () => process.exit(1))

// First the producer, which ends what its predecessor left open, then the offsets.
await producer.connect()
await consumer.connect()
await consumer.subscribe({ topic: input, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachBatchAutoResolve: false,
  eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
    for (let at = 0; at < batch.messages.length; at += Number(recordsMax)) {
      const taken = batch.messages.slice(at, at + Number(recordsMax))
      const last = taken.at(-1)
      if (last === undefined) return
      const transaction = await producer.transaction()
      for (const { value } of taken) {
        const number = Number(value?.toString())
        await transaction.send({ topic: output, messages: [{ value: String(number), partition: number % 2 }] })
      }
      const partitions = [{ partition: batch.partition, offset: String(Number(last.offset) + 1) }]
      await transaction.sendOffsets({ consumerGroupId: name, topics: [{ topic: input, partitions }] })
      // Now and then it changes its mind, and does the same again.
      if (Math.random() < 0.1) {
        await transaction.abort()
        at -= Number(recordsMax)
        continue
      }
      await transaction.commit()
      resolveOffset(last.offset)
      process.stdout.write(`committed ${taken.length}\n`)
      await heartbeat()
    }
  },
})
