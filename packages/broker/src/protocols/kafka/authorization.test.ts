import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import type { Codec } from '@dragoman/wire'
import { clusterName, type Operation, type ResourceKind, type Rule } from '../../core/identity/permissions.ts'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { KafkaConnection } from './client.ts'
import { codes } from './errors.ts'
import { handlers } from './handlers/index.ts'
import { apis, type Api, type ApiName } from './messages/index.ts'

type Need = readonly [operation: Operation, kind: ResourceKind, name: string]

interface Row {
  readonly request: (broker: Ids) => object
  /** All of these, and the request is not refused; without any one of them, it is. */
  readonly needs: readonly Need[]
  /** What is answered without the rights, wherever it is in the answer; undefined: something is left out. */
  readonly refusal: number | undefined
  readonly versions?: readonly number[]
}

interface Ids {
  readonly topicId: string
}

const { topicAuthorizationFailed, groupAuthorizationFailed, clusterAuthorizationFailed } = codes
const { transactionalIdAuthorizationFailed } = codes
const onTopic = (operation: Operation): Need => [operation, 'topic', 't']
const onGroup = (operation: Operation): Need => [operation, 'group', 'g']
const onShared = (operation: Operation): Need => [operation, 'group', 's']
const onId = (operation: Operation): Need => [operation, 'transactional-id', 'x']
const onCluster = (operation: Operation): Need => [operation, 'cluster', clusterName]
const partitions = [{ partitionIndex: 0 }]
const producer = { transactionalId: 'x', producerId: 1, producerEpoch: 0 }
const aclFilter = {
  resourceTypeFilter: 1,
  resourceNameFilter: null,
  patternTypeFilter: 1,
  principalFilter: null,
  hostFilter: null,
  operation: 1,
  permissionType: 1,
}

/** What Kafka 4.2 asks for. Every request that is answered is here, or among those that anybody may make. */
const rows: Partial<Record<ApiName, Row>> = {
  produce: {
    request: ({ topicId }) => ({
      transactionalId: null,
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: 't', topicId, partitionData: [{ index: 0, records: Buffer.alloc(0) }] }],
    }),
    needs: [onTopic('write')],
    refusal: topicAuthorizationFailed,
    versions: [12, 13],
  },
  fetch: {
    request: ({ topicId }) => ({
      replicaId: -1,
      maxWaitMs: 0,
      minBytes: 0,
      sessionId: 0,
      sessionEpoch: -1,
      topics: [{ topic: 't', topicId, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }] }],
    }),
    needs: [onTopic('read')],
    refusal: topicAuthorizationFailed,
    versions: [12, 13],
  },
  listOffsets: {
    request: () => ({ replicaId: -1, topics: [{ name: 't', partitions: [{ partitionIndex: 0, timestamp: -1 }] }] }),
    needs: [onTopic('describe')],
    refusal: topicAuthorizationFailed,
  },
  metadata: {
    request: () => ({ topics: [{ name: 't' }], allowAutoTopicCreation: false }),
    needs: [onTopic('describe')],
    refusal: topicAuthorizationFailed,
  },
  offsetCommit: {
    request: ({ topicId }) => ({
      groupId: 'g',
      generationIdOrMemberEpoch: -1,
      memberId: '',
      topics: [{ name: 't', topicId, partitions: [{ partitionIndex: 0, committedOffset: 0 }] }],
    }),
    needs: [onGroup('read'), onTopic('read')],
    refusal: undefined,
    versions: [9, 10],
  },
  offsetFetch: {
    request: ({ topicId }) => ({
      groupId: 'g',
      topics: [{ name: 't', partitionIndexes: [0] }],
      groups: [{ groupId: 'g', memberEpoch: -1, topics: [{ name: 't', topicId, partitionIndexes: [0] }] }],
    }),
    needs: [onGroup('describe'), onTopic('describe')],
    refusal: undefined,
    versions: [1, 7, 8, 10],
  },
  findCoordinator: {
    request: () => ({ key: 'g', keyType: 0, coordinatorKeys: ['g'] }),
    needs: [onGroup('describe')],
    refusal: groupAuthorizationFailed,
    versions: [3, 4],
  },
  joinGroup: {
    request: () => ({ groupId: 'g', sessionTimeoutMs: 10_000, memberId: 'no-such', protocolType: 'consumer' }),
    needs: [onGroup('read')],
    refusal: groupAuthorizationFailed,
    versions: [2, 9],
  },
  heartbeat: { request: () => ({ groupId: 'g' }), needs: [onGroup('read')], refusal: groupAuthorizationFailed },
  leaveGroup: { request: () => ({ groupId: 'g' }), needs: [onGroup('read')], refusal: groupAuthorizationFailed },
  syncGroup: {
    request: () => ({ groupId: 'g', protocolType: 'consumer', protocolName: 'range' }),
    needs: [onGroup('read')],
    refusal: groupAuthorizationFailed,
  },
  describeGroups: {
    request: () => ({ groups: ['g'] }),
    needs: [onGroup('describe')],
    refusal: groupAuthorizationFailed,
  },
  createTopics: {
    request: () => ({ topics: [{ name: 'new', numPartitions: 1, replicationFactor: 1 }], validateOnly: true }),
    needs: [
      ['create', 'topic', 'new'],
      ['describe-configs', 'topic', 'new'],
    ],
    refusal: topicAuthorizationFailed,
  },
  deleteTopics: {
    request: () => ({ topics: [{ name: 'no-such', topicId: '0'.repeat(32) }] }),
    needs: [['delete', 'topic', 'no-such']],
    refusal: topicAuthorizationFailed,
  },
  deleteRecords: {
    request: () => ({ topics: [{ name: 't', partitions: [{ partitionIndex: 0, offset: 0 }] }] }),
    needs: [onTopic('delete')],
    refusal: topicAuthorizationFailed,
  },
  initProducerId: {
    request: () => ({ transactionalId: 'x', transactionTimeoutMs: 1000, producerId: -1, producerEpoch: -1 }),
    needs: [onId('write')],
    refusal: transactionalIdAuthorizationFailed,
  },
  offsetForLeaderEpoch: {
    request: () => ({ replicaId: -1, topics: [{ topic: 't', partitions: [{ partition: 0, leaderEpoch: 0 }] }] }),
    needs: [onTopic('describe')],
    refusal: topicAuthorizationFailed,
  },
  addPartitionsToTxn: {
    request: () => ({
      v3AndBelowTransactionalId: 'x',
      v3AndBelowProducerId: 1,
      v3AndBelowTopics: [{ name: 't', partitions: [0] }],
    }),
    needs: [onId('write'), onTopic('write')],
    refusal: undefined,
    versions: [3],
  },
  addOffsetsToTxn: {
    request: () => ({ ...producer, groupId: 'g' }),
    needs: [onId('write'), onGroup('read')],
    refusal: undefined,
  },
  endTxn: {
    request: () => ({ ...producer, committed: false }),
    needs: [onId('write')],
    refusal: transactionalIdAuthorizationFailed,
  },
  writeTxnMarkers: {
    request: () => ({ markers: [{ producerId: 1, topics: [{ name: 't', partitionIndexes: [0] }] }] }),
    needs: [onCluster('alter')],
    refusal: clusterAuthorizationFailed,
  },
  txnOffsetCommit: {
    request: () => ({
      ...producer,
      groupId: 'g',
      topics: [{ name: 't', partitions: [{ partitionIndex: 0, committedOffset: 1 }] }],
    }),
    needs: [onId('write'), onGroup('read'), onTopic('read')],
    refusal: undefined,
  },
  describeAcls: { request: () => aclFilter, needs: [onCluster('describe')], refusal: clusterAuthorizationFailed },
  createAcls: {
    request: () => ({ creations: [{}] }),
    needs: [onCluster('alter')],
    refusal: clusterAuthorizationFailed,
  },
  deleteAcls: {
    request: () => ({ filters: [{ ...aclFilter, resourceNameFilter: 'no-such' }] }),
    needs: [onCluster('alter')],
    refusal: clusterAuthorizationFailed,
  },
  describeConfigs: {
    request: () => ({ resources: [{ resourceType: 2, resourceName: 't', configurationKeys: null }] }),
    needs: [onTopic('describe-configs')],
    refusal: topicAuthorizationFailed,
  },
  alterConfigs: {
    request: () => ({ resources: [{ resourceType: 2, resourceName: 't' }], validateOnly: true }),
    needs: [onTopic('alter-configs')],
    refusal: topicAuthorizationFailed,
  },
  incrementalAlterConfigs: {
    request: () => ({ resources: [{ resourceType: 4, resourceName: '1' }], validateOnly: true }),
    needs: [onCluster('alter-configs')],
    refusal: clusterAuthorizationFailed,
  },
  describeLogDirs: {
    request: () => ({ topics: null }),
    needs: [onCluster('describe')],
    refusal: clusterAuthorizationFailed,
  },
  createPartitions: {
    request: () => ({ topics: [{ name: 't', count: 2, assignments: null }], validateOnly: true }),
    needs: [onTopic('alter')],
    refusal: topicAuthorizationFailed,
  },
  deleteGroups: {
    request: () => ({ groupsNames: ['g'] }),
    needs: [onGroup('delete')],
    refusal: groupAuthorizationFailed,
  },
  electLeaders: {
    request: () => ({ topicPartitions: [{ topic: 't', partitions: [0] }] }),
    needs: [onCluster('alter')],
    refusal: clusterAuthorizationFailed,
  },
  listPartitionReassignments: {
    request: () => ({ topics: null }),
    needs: [onCluster('describe')],
    refusal: clusterAuthorizationFailed,
  },
  offsetDelete: {
    request: () => ({ groupId: 'g', topics: [] }),
    needs: [onGroup('delete')],
    refusal: groupAuthorizationFailed,
  },
  describeClientQuotas: {
    request: () => ({ components: [], strict: false }),
    needs: [onCluster('describe-configs')],
    refusal: clusterAuthorizationFailed,
  },
  alterClientQuotas: {
    request: () => ({ entries: [{ entity: [{ entityType: 'user', entityName: 'u' }], ops: [] }], validateOnly: true }),
    needs: [onCluster('alter-configs')],
    refusal: clusterAuthorizationFailed,
  },
  describeUserScramCredentials: {
    request: () => ({ users: null }),
    needs: [onCluster('describe')],
    refusal: clusterAuthorizationFailed,
  },
  alterUserScramCredentials: {
    request: () => ({ deletions: [{ name: 'nobody', mechanism: 1 }] }),
    needs: [onCluster('alter')],
    refusal: clusterAuthorizationFailed,
  },
  describeQuorum: {
    request: () => ({ topics: [{ topicName: '__cluster_metadata', partitions }] }),
    needs: [onCluster('describe')],
    refusal: clusterAuthorizationFailed,
  },
  describeProducers: {
    request: () => ({ topics: [{ name: 't', partitionIndexes: [0] }] }),
    needs: [onTopic('read')],
    refusal: topicAuthorizationFailed,
  },
  describeTransactions: {
    request: () => ({ transactionalIds: ['x'] }),
    needs: [onId('describe')],
    refusal: transactionalIdAuthorizationFailed,
  },
  consumerGroupHeartbeat: {
    request: () => ({ groupId: 'g', memberId: 'm', memberEpoch: 0, subscribedTopicNames: ['t'], topicPartitions: [] }),
    needs: [onGroup('read'), onTopic('describe')],
    refusal: undefined,
    versions: [0],
  },
  /** A member that was seen above subscribes to the topic. */
  consumerGroupDescribe: {
    request: () => ({ groupIds: ['g'] }),
    needs: [onGroup('describe'), onTopic('describe')],
    refusal: undefined,
  },
  listConfigResources: {
    request: () => ({}),
    needs: [onCluster('describe-configs')],
    refusal: clusterAuthorizationFailed,
  },
  describeTopicPartitions: {
    request: () => ({ topics: [{ name: 't' }], responsePartitionLimit: 10 }),
    needs: [onTopic('describe')],
    refusal: topicAuthorizationFailed,
  },
  shareGroupHeartbeat: {
    request: () => ({ groupId: 's', memberId: 'm', memberEpoch: 0, subscribedTopicNames: ['t'] }),
    needs: [onShared('read'), onTopic('describe')],
    refusal: undefined,
  },
  shareGroupDescribe: {
    request: () => ({ groupIds: ['s'] }),
    needs: [onShared('describe'), onTopic('describe')],
    refusal: undefined,
  },
  shareFetch: {
    request: ({ topicId }) => ({
      groupId: 's',
      memberId: 'no-such',
      topics: [{ topicId, partitions: [{ partitionIndex: 0 }] }],
    }),
    needs: [onShared('read'), onTopic('read')],
    refusal: undefined,
  },
  shareAcknowledge: {
    request: () => ({ groupId: 's', memberId: 'no-such', shareSessionEpoch: 1 }),
    needs: [onShared('read')],
    refusal: groupAuthorizationFailed,
  },
  describeShareGroupOffsets: {
    request: () => ({ groups: [{ groupId: 's', topics: [{ topicName: 't', partitions: [0] }] }] }),
    needs: [onShared('describe'), onTopic('describe')],
    refusal: undefined,
  },
  alterShareGroupOffsets: {
    request: () => ({ groupId: 'empty', topics: [{ topicName: 't', partitions }] }),
    needs: [['read', 'group', 'empty'], onTopic('read')],
    refusal: undefined,
  },
  deleteShareGroupOffsets: {
    request: () => ({ groupId: 'empty', topics: [{ topicName: 't' }] }),
    needs: [['delete', 'group', 'empty'], onTopic('read')],
    refusal: undefined,
  },
}

/** Whoever logs in may make these; the first three are how one does, and lists leave out what may not be seen. */
const free: ReadonlySet<string> = new Set<ApiName>([
  'saslHandshake',
  'apiVersions',
  'saslAuthenticate',
  'listGroups',
  'listTransactions',
  'describeCluster',
  'getTelemetrySubscriptions',
  'pushTelemetry',
])

let broker: RunningBroker
let bob: KafkaConnection
let ids: Ids

before(async () => {
  broker = await startBroker({ data: 'memory', kafka: 0, users: 'admin:a,bob:b', superUsers: 'admin' })
  const topic = await broker.core.topics.create('/', 't')
  ids = { topicId: topic.id }
  const address = { host: '127.0.0.1', port: broker.port('kafka') }
  const connect = async (user: string, password: string): Promise<KafkaConnection> => {
    const socket = await realRuntime().network.connect(address)
    return KafkaConnection.open(socket, { login: { mechanism: 'PLAIN', user, password } })
  }
  bob = await connect('bob', 'b')
  const admin = await connect('admin', 'a')
  for (const memberEpoch of [0, -1]) {
    const member = { groupId: 'empty', memberId: 'm', memberEpoch, subscribedTopicNames: ['t'] }
    await admin.request(apis.shareGroupHeartbeat, { ...member, rackId: null })
  }
  admin.close()
})

after(async () => {
  bob.close()
  await broker.close()
})

test('every request that is answered has a rule, or anybody may make it', () => {
  const ruled = new Set([...Object.keys(rows), ...free].map(name => apis[name as ApiName].key))
  const unruled = [...handlers.values()].filter(({ key }) => !ruled.has(key)).map(({ name }) => name)
  assert.deepEqual(unruled, [])
})

for (const [name, row] of Object.entries(rows)) {
  test(`${name} needs ${row.needs.map(need => need.join(' ')).join(' and ')}`, async () => {
    const api: Api = apis[name as ApiName]
    for (const version of row.versions ?? [api.versions[1]]) {
      const ask = async (): Promise<Set<number>> => {
        return refusals(await bob.request(api as Api<Codec<object>>, row.request(ids), version))
      }
      const denied = await ask()
      if (row.refusal === undefined) assert(denied.size > 0, `version ${version} without any right`)
      else assert.deepEqual([...denied], [row.refusal], `version ${version} without any right`)
      for (const missing of row.needs) {
        await granted(
          row.needs.filter(need => need !== missing),
          async () => {
            assert((await ask()).size > 0, `version ${version} without ${missing.join(' ')}`)
          },
        )
      }
      await granted(row.needs, async () =>
        assert.deepEqual([...(await ask())], [], `version ${version} with all rights`),
      )
    }
  })
}

async function granted(needs: readonly Need[], run: () => Promise<void>): Promise<void> {
  const rules = needs.map(([operation, kind, name]): Rule => {
    const to = { namespace: '/', principal: 'bob', host: '*', pattern: 'literal', effect: 'allow' } as const
    return { ...to, kind, name, operation }
  })
  await broker.core.identity.addRules(rules)
  try {
    await run()
  } finally {
    await broker.core.identity.removeRules(rules)
  }
}

const refusalCodes = new Set<unknown>([
  topicAuthorizationFailed,
  groupAuthorizationFailed,
  clusterAuthorizationFailed,
  transactionalIdAuthorizationFailed,
])

/** All codes of refused rights in an answer. */
function refusals(value: unknown, key = ''): Set<number> {
  if (/error/i.test(key) && refusalCodes.has(value)) return new Set([value as number])
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return new Set()
  const found = Object.entries(value).map(([name, part]) => refusals(part, name))
  return new Set(found.flatMap(codesOfPart => [...codesOfPart]))
}

test('lists and bit fields of operations say what holds for who asks', async () => {
  const { groups } = broker.core
  for (const group of ['seen', 'hidden']) {
    await new Promise<void>(done => {
      const topics = [{ topicId: ids.topicId, partitions: [{ partition: 0, offset: 0, leaderEpoch: 0, metadata: '' }] }]
      const member = { memberId: '', instanceId: null, generation: -1, expiresMs: -1 }
      groups.commit({ namespace: '/', group, ...member, topics }, () => done())
    })
  }
  const needs: Need[] = [
    ['describe', 'group', 'seen'],
    ['delete', 'group', 'seen'],
    ['write', 'topic', 't'],
  ]
  await granted(needs, async () => {
    const listed = await bob.request(apis.listGroups, {})
    assert.deepEqual(
      listed.groups.map(({ groupId }) => groupId),
      ['seen'],
    )
    const described = await bob.request(apis.describeGroups, { groups: ['seen'], includeAuthorizedOperations: true })
    assert.equal(described.groups[0]?.authorizedOperations, bit.delete | bit.describe)
    const metadata = { topics: null, includeTopicAuthorizedOperations: true, includeClusterAuthorizedOperations: true }
    const answer = await bob.request(apis.metadata, metadata, 8)
    assert.equal(answer.topics[0]?.topicAuthorizedOperations, bit.write | bit.describe)
    assert.equal(answer.clusterAuthorizedOperations, 0)
  })
  assert.deepEqual((await bob.request(apis.metadata, { topics: null })).topics, [])
  await granted([['alter', 'cluster', clusterName]], async () => {
    const cluster = await bob.request(apis.describeCluster, {
      includeClusterAuthorizedOperations: true,
      endpointType: 1,
    })
    assert.equal(cluster.clusterAuthorizedOperations, bit.alter | bit.describe)
  })
})

/** By Kafka's numbers of operations. */
const bit = { write: 1 << 4, delete: 1 << 6, alter: 1 << 7, describe: 1 << 8 }
