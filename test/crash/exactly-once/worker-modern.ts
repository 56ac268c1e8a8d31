import assert from 'node:assert/strict'
import type { KafkaConnection } from '../../../packages/broker/src/protocols/kafka/client.ts'
import { apis } from '../../../packages/broker/src/protocols/kafka/messages/index.ts'
import { attributeBits } from '../../../packages/broker/src/storage/record-batch.ts'
import { batchOf, connect, readCommitted } from './records.ts'

// One worker of the pipeline, in the newer protocol of transactions: what is written and committed takes part by itself, and each end
// gives a new epoch. It reads all partitions. It gives up at the first thing that goes wrong: whoever runs it starts another.

const [address = '', input = '', output = '', name = '', recordsMax = '10'] = process.argv.slice(2)
const partitionCount = 2

process.on('unhandledRejection', () => process.exit(1))

const connection = await connect(address)
let identity = await register(connection)
const positions = await committedOffsets(connection)
/** Next sequence number for each partition of the output: from 0 in each epoch. */
let sequences = new Map<number, number>()

for (let partition = 0; ; partition = (partition + 1) % partitionCount) {
  const from = positions[partition] ?? 0
  const { records, next } = await readCommitted(connection, input, partition, from, { maxWaitMs: 50 })
  const taken = records.slice(0, Number(recordsMax))
  const last = taken.at(-1)
  if (last === undefined) {
    positions[partition] = next
    continue
  }
  for (const { number } of taken) await produce(number)
  await commitOffset(partition, last.offset + 1)
  // Now and then it changes its mind, and does the same again.
  const isCommitted = Math.random() >= 0.1
  await end(isCommitted)
  if (!isCommitted) continue
  positions[partition] = last.offset + 1
  process.stdout.write(`committed ${taken.length}\n`)
}

async function register(to: KafkaConnection): Promise<{ producerId: number; producerEpoch: number }> {
  const asked = { transactionalId: name, transactionTimeoutMs: 10_000 }
  const { errorCode, producerId, producerEpoch } = await to.request(apis.initProducerId, asked, 5)
  assert.equal(errorCode, 0)
  return { producerId, producerEpoch }
}

async function committedOffsets(from: KafkaConnection): Promise<number[]> {
  const partitionIndexes = Array.from({ length: partitionCount }, (_, index) => index)
  const groups = [{ groupId: name, topics: [{ name: input, partitionIndexes }] }]
  const answer = await from.request(apis.offsetFetch, { groups, requireStable: true }, 8)
  return (answer.groups[0]?.topics?.[0]?.partitions ?? []).map(({ errorCode, committedOffset }) => {
    assert.equal(errorCode, 0)
    return Math.max(0, committedOffset)
  })
}

async function produce(number: number): Promise<void> {
  const index = number % 2
  const baseSequence = sequences.get(index) ?? 0
  sequences.set(index, baseSequence + 1)
  const records = batchOf([number], { ...identity, baseSequence, attributes: attributeBits.transactional })
  const topicData = [{ name: output, partitionData: [{ index, records }] }]
  const asked = { transactionalId: name, acks: -1, timeoutMs: 5_000, topicData }
  const { responses } = await connection.request(apis.produce, asked, 12)
  assert.equal(responses[0]?.partitionResponses[0]?.errorCode, 0)
}

async function commitOffset(partitionIndex: number, committedOffset: number): Promise<void> {
  const topics = [{ name: input, partitions: [{ partitionIndex, committedOffset, committedMetadata: null }] }]
  const asked = { transactionalId: name, groupId: name, ...identity, topics }
  const answer = await connection.request(apis.txnOffsetCommit, asked, 5)
  assert.equal(answer.topics[0]?.partitions[0]?.errorCode, 0)
}

async function end(committed: boolean): Promise<void> {
  const asked = { transactionalId: name, ...identity, committed }
  const { errorCode, producerId, producerEpoch } = await connection.request(apis.endTxn, asked, 5)
  assert.equal(errorCode, 0)
  identity = { producerId, producerEpoch }
  sequences = new Map()
}
