import { spawn } from 'node:child_process'
import { once } from 'node:events'
import kafkajs from 'kafkajs'
import { keyOf } from './paragraphs.ts'

const recordsPerRequest = 100

/** Paragraphs have lines and colons of their own: the control characters that separate records and units do not occur. */
const [recordSeparator, unitSeparator] = ['\x1e', '\x1f']

function client(address: string): kafkajs.Kafka {
  return new kafkajs.Kafka({ brokers: [address], clientId: 'packages', logLevel: kafkajs.logLevel.ERROR })
}

export async function createTopic(address: string, topic: string, numPartitions: number): Promise<void> {
  const admin = client(address).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions }] })
  await admin.disconnect()
}

/** The end of each partition, in order. */
export async function endOffsets(address: string, topic: string): Promise<number[]> {
  const admin = client(address).admin()
  await admin.connect()
  const offsets = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  return offsets.toSorted((a, b) => a.partition - b.partition).map(({ high }) => Number(high))
}

export async function publishWithKafkajs(
  address: string,
  topic: string,
  paragraphs: string[],
  round: number,
): Promise<void> {
  const producer = client(address).producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  for (let from = 0; from < paragraphs.length; from += recordsPerRequest) {
    const messages = paragraphs.slice(from, from + recordsPerRequest).map(paragraph => ({
      key: keyOf(paragraph),
      value: paragraph,
      headers: { round: String(round) },
    }))
    await producer.send({ topic, messages, acks: -1 })
  }
  await producer.disconnect()
}

export async function publishWithKcat(
  address: string,
  topic: string,
  paragraphs: string[],
  round: number,
): Promise<void> {
  const separators = ['-D', '\\x1e', '-K', '\\x1f']
  const settings = [
    '-X',
    'partitioner=murmur2_random',
    '-X',
    'acks=all',
    '-X',
    'enable.idempotence=true',
    '-H',
    `round=${round}`,
  ]
  const child = spawn('kcat', ['-b', address, '-P', '-t', topic, ...separators, ...settings], {
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  const closed = once(child, 'close')
  for (const paragraph of paragraphs) {
    const record = `${keyOf(paragraph)}${unitSeparator}${paragraph}${recordSeparator}`
    if (!child.stdin.write(record)) await once(child.stdin, 'drain')
  }
  child.stdin.end()
  const [code] = (await closed) as [number]
  if (code !== 0) throw new Error(`kcat ended with ${code}`)
}
