import { createHash } from 'node:crypto'
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'

/*
 * One member of the group: consumes until it is killed. What it did is in its own file, one line for each record and for
 * each commit that the broker confirmed, with the time of the machine's monotonic clock:
 *
 *   record TIME PARTITION OFFSET KEY ROUND CHECKSUM
 *   commit TIME PARTITION OFFSET
 *   assigned TIME PARTITION...
 */

const [address = '', topic = '', name = '', file = '', biteBytes = '', restMs = ''] = process.argv.slice(2)
const log = openSync(file, 'a')
const now = (): string => process.hrtime.bigint().toString()

const kafka = new kafkajs.Kafka({ brokers: [address], clientId: name, logLevel: kafkajs.logLevel.NOTHING })
const consumer = kafka.consumer({
  groupId: `${topic}-readers`,
  sessionTimeout: 6_000,
  rebalanceTimeout: 8_000,
  heartbeatInterval: 300,
  maxBytesPerPartition: Number(biteBytes),
  maxWaitTimeInMs: 200,
})
consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  writeSync(log, `assigned ${now()} ${(payload.memberAssignment[topic] ?? []).join(' ')}\n`)
})
await consumer.connect()
await consumer.subscribe({ topic, fromBeginning: true })
await consumer.run({
  autoCommit: false,
  eachBatch: async ({ batch, heartbeat, isRunning, isStale }) => {
    if (!isRunning() || isStale()) return
    let lines = ''
    for (const { key, value, headers, offset } of batch.messages) {
      const checksum = createHash('sha1')
        .update(value ?? '')
        .digest('hex')
      lines += `record ${now()} ${batch.partition} ${offset} ${key?.toString()} ${String(headers?.['round'])} ${checksum}\n`
    }
    writeSync(log, lines)
    await sleep(Number(restMs))
    const next = String(BigInt(batch.lastOffset()) + 1n)
    await consumer.commitOffsets([{ topic, partition: batch.partition, offset: next }])
    writeSync(log, `commit ${now()} ${batch.partition} ${next}\n`)
    await heartbeat()
  },
})
