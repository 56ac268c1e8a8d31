import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import { Client } from './client.ts'
import { PartitionHistory } from './history.ts'
import { batchOf } from './records.ts'
import { fetchOnce, type Partition, type Shared } from './workload.ts'

const noId = '0'.repeat(32)

/** Makes a topic; an attempt whose answer was lost may have made it. Returns its id. */
export async function createTopic(
  client: Client,
  name: string,
  partitions: number,
  configs: { name: string; value: string }[],
): Promise<string> {
  for (;;) {
    const answer = await client.request(apis.createTopics, {
      topics: [{ name, numPartitions: partitions, replicationFactor: 1, assignments: [], configs }],
      timeoutMs: 5000,
      validateOnly: false,
    })
    const code = answer?.topics[0]?.errorCode
    if (code === codes.none || code === codes.topicAlreadyExists) {
      const id = await topicId(client, name)
      if (id === null) client.simulator.fail(`topic ${name} was created and is not there`)
      return id ?? noId
    }
    if (code !== undefined && code !== codes.kafkaStorageError)
      client.simulator.fail(`creating ${name} was refused with ${code}`)
    await client.simulator.sleep(100)
  }
}

/** Null: there is no such topic. */
async function topicId(client: Client, name: string): Promise<string | null> {
  for (;;) {
    const answer = await client.request(apis.metadata, {
      topics: [{ topicId: noId, name }],
      allowAutoTopicCreation: false,
    })
    const topic = answer?.topics[0]
    if (topic?.errorCode === codes.none) return topic.topicId
    if (topic?.errorCode === codes.unknownTopicOrPartition) return null
  }
}

/** Makes a topic, uses it, removes it, under a few names again and again: nothing of an old one may show in the next. */
export async function churnTopics(shared: Shared, number: number): Promise<void> {
  const { simulator } = shared
  const { random } = simulator
  const client = new Client(simulator, `admin-${number}`)
  const producer = 900 + number
  shared.traits.set(producer, { idempotent: false })
  for (let round = 0; !shared.isEnding; round++) {
    const topic = `churn-${number}-${random.below(3)}`
    const id = await createTopic(client, topic, random.between(1, 3), [])
    const history = new PartitionHistory(simulator, `${topic} (${round})`)
    const partition: Partition = { topic, topicId: id, index: 0, history }
    await use(client, partition, producer, round)
    shared.operations += 3
    await remove(shared, client, topic)
    await simulator.sleep(random.float() * 500)
  }
  client.drop()
}

async function use(client: Client, partition: Partition, producer: number, round: number): Promise<void> {
  const { simulator } = client
  const { topic, topicId, index, history } = partition
  const records = batchOf([{ producer, index: round }], 1_767_225_600_000 + Math.floor(simulator.nowMs))
  const answer = await client.request(apis.produce, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 5000,
    topicData: [{ name: topic, topicId, partitionData: [{ index, records }] }],
  })
  const result = answer?.responses[0]?.partitionResponses[0]
  if (result?.errorCode !== codes.none) return
  if (result.baseOffset !== 0)
    simulator.fail(`${history.name}: the first record of a new topic is at ${result.baseOffset}`)
  const fetched = await fetchOnce(client, partition, 0, { maxWaitMs: 0, maxBytes: 10_000 })
  if (!fetched) return
  const [found] = fetched.records
  if (found?.offset !== 0 || found.id.producer !== producer || found.id.index !== round) {
    simulator.fail(`${history.name}: the acknowledged record is not there: ${JSON.stringify(fetched)}`)
  }
}

async function remove({ mayBeFull }: Shared, client: Client, topic: string): Promise<void> {
  const { simulator } = client
  for (;;) {
    const answer = await client.request(apis.deleteTopics, {
      topics: [{ name: topic, topicId: noId }],
      topicNames: [topic],
      timeoutMs: 5000,
    })
    const code = answer?.responses[0]?.errorCode
    if (code === undefined) continue
    if (code === codes.none || code === codes.unknownTopicOrPartition) break
    // On a full disk even this waits for room, longer than it may.
    const isLate = code === codes.requestTimedOut && mayBeFull()
    if (code !== codes.kafkaStorageError && !isLate) simulator.fail(`deleting ${topic} was refused with ${code}`)
    await simulator.sleep(100)
  }
  if ((await topicId(client, topic)) !== null) simulator.fail(`topic ${topic} was deleted and is there`)
}
