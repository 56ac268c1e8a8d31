import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { startBroker } from '@dragoman/broker'
import { Admin, Consumer, Producer, stringDeserializers, stringSerializers } from '@platformatic/kafka'
import kafkajs from 'kafkajs'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import { KafkaConnection } from '../../packages/broker/src/protocols/kafka/client.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { until } from '../interop/suite.ts'

// Groups to which the broker assigns, with the clients that npm brings and by hand.

let broker: Awaited<ReturnType<typeof startBroker>>
let address: string
let connection: KafkaConnection

before(async () => {
  const fast = { groupHeartbeatIntervalMs: 50, groupHeartbeatIntervalMinMs: 50, groupJoinDelayMs: 0 }
  broker = await startBroker({ data: 'memory', kafka: 0, ...fast })
  const port = broker.port('kafka')
  address = `127.0.0.1:${port}`
  connection = await KafkaConnection.open(await realRuntime().network.connect({ host: '127.0.0.1', port }))
})
after(async () => {
  connection.close()
  await broker.close()
})

const software = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }
const none = { instanceId: null, rackId: null, subscribedTopicRegex: null, serverAssignor: null }
const joining = { ...none, memberEpoch: 0, rebalanceTimeoutMs: 60_000, topicPartitions: [] }
const living = { ...none, rebalanceTimeoutMs: -1, subscribedTopicNames: null, topicPartitions: null }

async function topicId(name: string, partitions: number): Promise<string> {
  return (await broker.core.topics.create('/', name, { partitions })).id
}

test('the features say that the broker assigns', async () => {
  const { apiKeys, finalizedFeatures, supportedFeatures } = await connection.request(apis.apiVersions, software, 4)
  const versionsOf = (key: number): unknown => apiKeys.find(({ apiKey }) => apiKey === key)
  assert.deepEqual(versionsOf(68), { apiKey: 68, minVersion: 0, maxVersion: 1 })
  assert.deepEqual(versionsOf(69), { apiKey: 69, minVersion: 0, maxVersion: 1 })
  const group = { name: 'group.version' }
  assert(finalizedFeatures.some(each => each.name === group.name && each.maxVersionLevel === 1))
  assert(supportedFeatures.some(each => each.name === group.name && each.maxVersion === 1))
})

test('a member joins, is described, commits in its epoch, leaves, and the group is removed', async () => {
  const id = await topicId('orders', 2)
  const groupId = 'by-hand'
  const join = { ...joining, groupId, memberId: '', subscribedTopicNames: ['orders'] }
  const joined = await connection.request(apis.consumerGroupHeartbeat, join, 0)
  const { memberId, memberEpoch } = joined
  assert(memberId !== null && memberId !== '')
  assert.deepEqual([joined.errorCode, memberEpoch, joined.heartbeatIntervalMs], [0, 1, 50])
  assert.deepEqual(joined.assignment, { topicPartitions: [{ topicId: id, partitions: [0, 1] }] })
  const needsId = await connection.request(apis.consumerGroupHeartbeat, join, 1)
  assert.equal(needsId.errorCode, 42)

  const alive = await connection.request(apis.consumerGroupHeartbeat, { ...living, groupId, memberId, memberEpoch }, 1)
  assert.deepEqual([alive.errorCode, alive.assignment], [0, null])
  const stale = await connection.request(
    apis.consumerGroupHeartbeat,
    { ...living, groupId, memberId, memberEpoch: 9 },
    1,
  )
  assert.equal(stale.errorCode, 110)

  const described = await connection.request(apis.consumerGroupDescribe, { groupIds: [groupId, 'none'] }, 1)
  const [group, absent] = described.groups
  assert.deepEqual([group?.groupState, group?.groupEpoch, group?.assignorName], ['Stable', 1, 'uniform'])
  const [member] = group?.members ?? []
  assert.deepEqual([member?.memberEpoch, member?.clientHost, member?.memberType], [1, '/127.0.0.1', 1])
  assert.deepEqual(member?.assignment, { topicPartitions: [{ topicId: id, topicName: 'orders', partitions: [0, 1] }] })
  assert.deepEqual(member.targetAssignment, member.assignment)
  assert.equal(absent?.errorCode, 69)

  const classic = async (version: number): Promise<unknown> => {
    const { groups } = await connection.request(apis.describeGroups, { groups: [groupId] }, version)
    return groups.map(({ errorCode, groupState }) => [errorCode, groupState])
  }
  assert.deepEqual(await classic(5), [[0, 'Dead']])
  assert.deepEqual(await classic(6), [[69, 'Dead']])
  const list = async (typesFilter: string[]): Promise<unknown> =>
    (await connection.request(apis.listGroups, { statesFilter: ['stable'], typesFilter }, 5)).groups
  assert.deepEqual(await list(['Consumer']), [
    { groupId, protocolType: 'consumer', groupState: 'Stable', groupType: 'consumer' },
  ])
  assert.deepEqual(await list(['classic']), [])

  await commits(groupId, memberId, id)
  assert.deepEqual((await connection.request(apis.deleteGroups, { groupsNames: [groupId] }, 2)).results, [
    { groupId, errorCode: 68 },
  ])
  const removal = { groupId, topics: [{ name: 'orders', partitions: [{ partitionIndex: 0 }] }] }
  const spared = await connection.request(apis.offsetDelete, removal, 0)
  assert.equal(spared.topics[0]?.partitions[0]?.errorCode, 86)

  const left = await connection.request(
    apis.consumerGroupHeartbeat,
    { ...living, groupId, memberId, memberEpoch: -1 },
    1,
  )
  assert.deepEqual([left.errorCode, left.memberEpoch], [0, -1])
  const gone = await connection.request(apis.deleteGroups, { groupsNames: [groupId] }, 2)
  assert.deepEqual(gone.results, [{ groupId, errorCode: 0 }])
})

/** Offsets are taken and told only in the epoch of the member, which older versions know nothing of. */
async function commits(groupId: string, memberId: string, id: string): Promise<void> {
  const commit = async (version: number, epoch: number): Promise<number | undefined> => {
    const partitions = [{ partitionIndex: 0, committedOffset: 5, committedMetadata: '' }]
    const topics = [{ name: 'orders', topicId: id, partitions }]
    const request = { groupId, memberId, generationIdOrMemberEpoch: epoch, groupInstanceId: null, topics }
    const answer = await connection.request(apis.offsetCommit, request, version)
    return answer.topics[0]?.partitions[0]?.errorCode
  }
  assert.deepEqual([await commit(8, 1), await commit(9, 2), await commit(9, 1), await commit(10, 1)], [35, 113, 0, 0])
  const fetch = async (memberEpoch: number, who: string | null = memberId): Promise<unknown> => {
    const topics = [{ topicId: id, partitionIndexes: [0] }]
    const request = { groups: [{ groupId, memberId: who, memberEpoch, topics }], requireStable: true }
    const [group] = (await connection.request(apis.offsetFetch, request, 10)).groups
    return [group?.errorCode, group?.topics[0]?.partitions[0]?.committedOffset]
  }
  assert.deepEqual(await fetch(1), [0, 5])
  assert.deepEqual(await fetch(7), [113, undefined])
  assert.deepEqual(await fetch(1, 'somebody'), [25, undefined])
  assert.deepEqual(await fetch(-1, null), [0, 5])
}

test('requests that make no sense are refused with the codes that clients know', async () => {
  await topicId('codes', 1)
  const error = async (request: object): Promise<number> => {
    const join = { ...joining, groupId: 'codes', memberId: 'a', subscribedTopicNames: ['codes'] }
    return (await connection.request(apis.consumerGroupHeartbeat, { ...join, ...request }, 1)).errorCode
  }
  assert.equal(await error({ groupId: '' }), 24)
  assert.equal(await error({ subscribedTopicNames: null }), 42)
  assert.equal(await error({ serverAssignor: 'none' }), 112)
  assert.equal(await error({ subscribedTopicRegex: '(' }), 128)
  assert.equal(await error({ memberEpoch: 4 }), 69)
  assert.equal(await error({ instanceId: 'i' }), 0)
  assert.equal(await error({ instanceId: 'i', memberId: 'b' }), 111)
  assert.equal(await error({ instanceId: 'i', memberId: 'b', memberEpoch: 1 }), 82)
  assert.equal(await error({ memberId: 'c', memberEpoch: 1 }), 25)
})

test('@platformatic/kafka and kafkajs share a group, in both orders, and each record is read by one of them', async () => {
  await topicId('mixed', 4)
  const seen: string[] = []
  const kafka = new kafkajs.Kafka({
    brokers: [address],
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { initialRetryTime: 20 },
  })
  const classic = kafka.consumer({
    groupId: 'mixed',
    sessionTimeout: 10_000,
    heartbeatInterval: 50,
    maxWaitTimeInMs: 50,
    rebalanceTimeout: 5_000,
  })
  await classic.connect()
  await classic.subscribe({ topic: 'mixed', fromBeginning: true })
  await classic.run({ eachMessage: async ({ message }) => void seen.push(`classic ${String(message.value)}`) })
  const kind = (): string => broker.core.groups.kindOf('/', 'mixed')
  const shares = (): number[] =>
    (broker.core.groups.describeAssigned('/', 'mixed')?.members ?? []).map(member =>
      [...member.assigned.values()].reduce((sum, partitions) => sum + partitions.length, 0),
    )
  await until(() => broker.core.groups.describe('/', 'mixed')?.state === 'stable')

  const assigned = new Consumer({
    clientId: 'assigned',
    groupId: 'mixed',
    bootstrapBrokers: [address],
    groupProtocol: 'consumer',
    deserializers: stringDeserializers,
    autocommit: true,
  })
  const stream = await assigned.consume({ topics: ['mixed'], mode: 'committed', fallbackMode: 'earliest' })
  stream.on('data', message => void seen.push(`assigned ${message.value}`))
  await until(() => kind() === 'exclusive' && shares().join() === '2,2')
  await until(() => broker.core.groups.describeAssigned('/', 'mixed')?.state === 'stable')

  const producer = new Producer({ clientId: 'p', bootstrapBrokers: [address], serializers: stringSerializers })
  const messages = Array.from({ length: 40 }, (_, index) => ({
    topic: 'mixed',
    partition: index % 4,
    value: `${index}`,
  }))
  await producer.send({ messages })
  await until(() => seen.length >= 40)
  const values = seen.map(line => line.split(' ')[1] ?? '')
  assert.deepEqual(
    values.map(Number).sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, index) => index),
  )
  assert.equal(seen.filter(line => line.startsWith('classic')).length, 20)

  const admin = new Admin({ clientId: 'a', bootstrapBrokers: [address] })
  const groups = await admin.listGroups({ types: ['consumer'] })
  assert.equal(groups.get('mixed')?.groupType, 'consumer')
  await admin.close()

  await stream.close()
  await assigned.close(true)
  // The last member of its kind is gone: the other one goes on as before.
  await until(() => kind() === 'classic' && broker.core.groups.describe('/', 'mixed')?.state === 'stable')
  await producer.send({ messages: messages.map(message => ({ ...message, value: `9${message.value}` })) })
  await until(() => new Set(seen.map(line => line.split(' ')[1])).size === 80)
  await producer.close()
  await classic.disconnect()
})
