import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { ProtocolError, Random, Reader, Writer, type Codec, type Infer, type Write } from '@dragoman/wire'
import type { Broker } from '../../../core/broker.ts'
import { defaultLimits } from '../../../core/limits.ts'
import { QuotasBench } from '../../../core/quotas/test-bench.ts'
import { TestLedger } from '../../../core/test-ledger.ts'
import { topicConfig } from '../../../core/topic-config.ts'
import { Topics } from '../../../core/topics.ts'
import { startBroker } from '../../../main.ts'
import type { SessionContext } from '../../protocol.ts'
import { configTypes, topicConfigKeys } from '../configs.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import type { Exchange, Handler } from './handler.ts'
import { handlers } from './index.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const nilId = '0'.repeat(32)
const brokerId = 7

interface Fixture {
  topics: Topics
  ask: <N extends AdministrationName>(
    name: N,
    version: number,
    request: Write<(typeof apis)[N]['request']>,
  ) => Promise<Infer<(typeof apis)[N]['response']>>
}

const administration = [
  'metadata',
  'createTopics',
  'deleteTopics',
  'createPartitions',
  'describeConfigs',
  'alterConfigs',
  'incrementalAlterConfigs',
  'describeCluster',
  'describeLogDirs',
  'electLeaders',
  'listPartitionReassignments',
  'describeClientQuotas',
  'alterClientQuotas',
  'describeQuorum',
  'getTelemetrySubscriptions',
  'pushTelemetry',
  'listConfigResources',
  'describeTopicPartitions',
] as const
type AdministrationName = (typeof administration)[number]

/** A whole broker in memory, asked without a connection. */
async function fixture(t: TestContext, options: { topicAutoCreate?: 'on' | 'off' } = {}): Promise<Fixture> {
  const broker = await startBroker({
    data: 'memory',
    kafka: 0,
    kafkaAdvertised: 'broker.example:1234',
    brokerId,
    ...options,
  })
  t.after(() => broker.close())
  return { topics: broker.core.topics, ask: asker(broker.core) }
}

/** Only the topics, in a ledger whose blocks become durable when the test says so. */
async function heldFixture(): Promise<Fixture & { ledger: TestLedger; overdue: (() => void)[] }> {
  const ledger = new TestLedger()
  const topics = await Topics.open(ledger, { limits: defaultLimits, random: new Random(seed) })
  const { clusterId } = topics
  const { quotas } = new QuotasBench()
  const addresses = new Map([['kafka', { host: 'broker.example', port: 1234 }]])
  const broker = { brokerId, clusterId, topics, limits: defaultLimits, addresses, cell: { epoch: 1 }, quotas }
  const overdue: (() => void)[] = []
  return { topics, ledger, overdue, ask: asker(broker as unknown as Broker, run => void overdue.push(run)) }
}

/** `late` is given what is to be done when the time of a request is over. */
function asker(broker: Broker, late: (run: () => void) => void = () => {}): Fixture['ask'] {
  const clock = { after: (_: number, run: () => void) => void setImmediate(run), nowMs: () => 1, monotonicMs: () => 1 }
  const random = new Random(seed)
  const connection = { local: { host: '127.0.0.1', port: 1 }, clock, random } as unknown as SessionContext
  return async (name, version, request) => {
    const { key, request: asked, response } = apis[name]
    const out = new Writer()
    ;(asked as Codec<unknown>).write(out, request, version)
    const answer = await serve(handlers.get(key)!, broker, connection, version, out.take(), (_, run) => late(run))
    ;(response as Codec<unknown>).write(out, answer, version)
    const reader = new Reader(out.take())
    const read = (response as Codec<unknown>).read(reader, version)
    reader.expectEnd()
    return read as never
  }
}

function serve(
  handler: Handler,
  broker: Broker,
  connection: SessionContext,
  version: number,
  body: Buffer,
  answerWithin: Exchange<unknown>['answerWithin'],
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const caller = { clientId: 'test', principal: 'ANONYMOUS', may: () => true, mayAny: () => true }
    const answers = { cancel: undefined, reply: resolve, fail: reject, answerWithin, holdBack() {} }
    const exchange = { broker, connection, version, ...caller, ...answers }
    handler.serve(exchange as unknown as Exchange<unknown>, new Reader(body))
  })
}

test('metadata creates a topic that is asked for by name and answers when it is durable', async () => {
  const { ask, topics, ledger } = await heldFixture()
  ledger.automatic = false
  let answered = false
  const asking = ask('metadata', 9, { topics: [{ name: 'a' }], includeTopicAuthorizedOperations: true })
  void asking.then(() => (answered = true))
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(answered, false)
  // Another one who sees the topic waits for it, too.
  const other = ask('metadata', 9, { topics: [{ name: 'a' }], allowAutoTopicCreation: false })
  ledger.flush()
  const answer = await asking
  assert.deepEqual((await other).topics[0]?.partitions.length, 1)
  assert.deepEqual(answer.brokers, [{ nodeId: brokerId, host: 'broker.example', port: 1234, rack: null }])
  assert.equal(answer.controllerId, brokerId)
  assert.equal(answer.clusterId, topics.clusterId.toString('base64url'))
  assert.equal(answer.clusterId?.length, 22)
  const [topic] = answer.topics
  assert.deepEqual(topic?.partitions, [
    {
      errorCode: 0,
      partitionIndex: 0,
      leaderId: brokerId,
      leaderEpoch: 1,
      replicaNodes: [brokerId],
      isrNodes: [brokerId],
      offlineReplicas: [],
    },
  ])
  assert.equal(topic?.topicAuthorizedOperations, 0b1101_1111_1000)
})

test('a change that is not durable in its time is answered so, and may yet be made', async () => {
  const { ask, topics, ledger, overdue } = await heldFixture()
  await topics.create('/', 'b')
  ledger.automatic = false
  const created = ask('createTopics', 7, {
    topics: [{ name: 'a', numPartitions: 1, replicationFactor: 1 }],
    timeoutMs: 5,
  })
  const grown = ask('createPartitions', 3, { topics: [{ name: 'b', count: 2 }], timeoutMs: 5 })
  const removed = ask('deleteTopics', 5, { topicNames: ['b'], timeoutMs: 5 })
  assert.equal(overdue.length, 3)
  for (const run of overdue) run()
  assert.equal((await created).topics[0]?.errorCode, codes.requestTimedOut)
  assert.equal((await grown).results[0]?.errorCode, codes.requestTimedOut)
  assert.equal((await removed).responses[0]?.errorCode, codes.requestTimedOut)
  ledger.flush()
  assert.deepEqual(
    topics.list().map(({ name }) => name),
    ['a'],
  )
})

test('metadata lists all topics as each version asks for them, and none when none are wanted', async t => {
  const { ask, topics } = await fixture(t)
  await topics.create('/', 'a')
  await topics.create('/', 'b', { partitions: 3 })
  await topics.create('tenant', 'c')
  const names = async (version: number, asked: { name: string }[] | null) => {
    return (await ask('metadata', version, { topics: asked })).topics.map(({ name }) => name)
  }
  assert.deepEqual(await names(0, []), ['a', 'b'])
  assert.deepEqual(await names(1, null), ['a', 'b'])
  assert.deepEqual(await names(1, []), [])
  assert.deepEqual(await names(13, null), ['a', 'b'])
  assert.deepEqual(await names(13, []), [])
  assert.deepEqual(await names(5, [{ name: 'b' }, { name: 'b' }]), ['b'])
})

test('metadata refuses bad names, unknown names without creation, and unknown ids', async t => {
  const { ask, topics } = await fixture(t)
  const a = await topics.create('/', 'a')
  const elsewhere = await topics.create('tenant', 'c')
  const answer = await ask('metadata', 12, {
    topics: [
      { name: 'a b' },
      { name: null, topicId: a.id },
      { name: null, topicId: 'f'.repeat(32) },
      { name: null, topicId: elsewhere.id },
      { name: null, topicId: nilId },
    ],
  })
  assert.deepEqual(
    answer.topics.map(({ errorCode, name }) => [errorCode, name]),
    [
      [codes.invalidTopic, 'a b'],
      [0, 'a'],
      [codes.unknownTopicId, null],
      [codes.unknownTopicId, null],
      [codes.invalidRequest, null],
    ],
  )
  const absent = await ask('metadata', 4, { topics: [{ name: 'b' }, { name: '..' }], allowAutoTopicCreation: false })
  assert.deepEqual(
    absent.topics.map(topic => topic.errorCode),
    [codes.unknownTopicOrPartition, codes.invalidTopic],
  )
  const closed = await fixture(t, { topicAutoCreate: 'off' })
  const refused = await closed.ask('metadata', 4, { topics: [{ name: 'b' }], allowAutoTopicCreation: true })
  assert.deepEqual(
    refused.topics.map(topic => topic.errorCode),
    [codes.unknownTopicOrPartition],
  )
  const named = await ask('metadata', 13, { topics: [{ name: '', topicId: a.id }] })
  assert.equal(named.topics[0]?.name, 'a')
  const early = await ask('metadata', 10, { topics: [{ name: null, topicId: a.id }] })
  assert.deepEqual(
    early.topics.map(topic => topic.errorCode),
    [codes.invalidRequest],
  )
})

const newTopic = { numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }

test('createTopics makes what can be made and says why the rest cannot', async t => {
  const { ask, topics } = await fixture(t)
  const wanted = [
    { ...newTopic, name: 'default' },
    {
      ...newTopic,
      name: 'six',
      numPartitions: 6,
      replicationFactor: 1,
      configs: [{ name: 'retention.ms', value: ' +0100 ' }],
    },
    {
      ...newTopic,
      name: 'assigned',
      assignments: [
        { partitionIndex: 1, brokerIds: [7] },
        { partitionIndex: 0, brokerIds: [7] },
      ],
    },
    { ...newTopic, name: 'replicated', numPartitions: 1, replicationFactor: 3 },
    { ...newTopic, name: 'none', numPartitions: 0 },
    { ...newTopic, name: 'elsewhere', assignments: [{ partitionIndex: 0, brokerIds: [8] }] },
    { ...newTopic, name: 'gap', assignments: [{ partitionIndex: 1, brokerIds: [7] }] },
    { ...newTopic, name: 'both', numPartitions: 1, assignments: [{ partitionIndex: 0, brokerIds: [7] }] },
    { ...newTopic, name: 'twice' },
    { ...newTopic, name: 'twice' },
    { ...newTopic, name: 'no/name' },
    { ...newTopic, name: 'compacted', configs: [{ name: 'cleanup.policy', value: 'compress' }] },
    { ...newTopic, name: 'typo', configs: [{ name: 'retention.msec', value: '1' }] },
    { ...newTopic, name: 'null', configs: [{ name: 'retention.ms', value: null }] },
  ]
  const answer = await ask('createTopics', 7, { topics: wanted, timeoutMs: 1000, validateOnly: false })
  const outcomes = answer.topics.map(({ name, errorCode, numPartitions }) => [name, errorCode, numPartitions])
  assert.deepEqual(outcomes, [
    ['default', 0, 1],
    ['six', 0, 6],
    ['assigned', 0, 2],
    ['replicated', codes.invalidReplicationFactor, -1],
    ['none', codes.invalidPartitions, -1],
    ['elsewhere', codes.invalidReplicaAssignment, -1],
    ['gap', codes.invalidReplicaAssignment, -1],
    ['both', codes.invalidRequest, -1],
    ['twice', codes.invalidRequest, -1],
    ['no/name', codes.invalidTopic, -1],
    ['compacted', codes.invalidConfig, -1],
    ['typo', codes.invalidConfig, -1],
    ['null', codes.invalidConfig, -1],
  ])
  assert.deepEqual(
    topics.list().map(topic => topic.name),
    ['default', 'six', 'assigned'],
  )
  const [, six] = answer.topics
  assert.equal(six?.topicId, topics.get('/', 'six')?.id)
  assert.deepEqual(
    six?.configs?.find(({ name }) => name === 'retention.ms'),
    {
      name: 'retention.ms',
      value: '100',
      readOnly: false,
      configSource: 1,
      isSensitive: false,
    },
  )
  assert.match(answer.topics[10]?.errorMessage ?? '', /cleanup.policy takes "delete" or "compact"/)
  const again = await ask('createTopics', 2, {
    topics: [{ ...newTopic, name: 'six' }],
    timeoutMs: 0,
    validateOnly: true,
  })
  assert.equal(again.topics[0]?.errorCode, codes.topicAlreadyExists)
  const checked = await ask('createTopics', 5, {
    topics: [{ ...newTopic, name: 'new' }],
    timeoutMs: 0,
    validateOnly: true,
  })
  assert.equal(checked.topics[0]?.errorCode, 0)
  assert.equal(topics.get('/', 'new'), undefined)
})

test('a request that names many topics is worked off in slices, all of it', async t => {
  const { ask, topics } = await fixture(t)
  const names = Array.from({ length: 450 }, (_, index) => `t${index}`)
  const made = await ask('metadata', 9, { topics: names.map(name => ({ name })) })
  assert.deepEqual(
    made.topics.map(({ name, errorCode }) => [name, errorCode]),
    names.map(name => [name, 0]),
  )
  const resources = [...names, ...names].map(resourceName => {
    return { resourceType: 2, resourceName, configurationKeys: ['retention.ms'] }
  })
  const asked = { resources, includeSynonyms: false, includeDocumentation: false }
  const described = await ask('describeConfigs', 1, asked)
  assert.deepEqual(
    described.results.map(({ resourceName, configs }) => [resourceName, configs.length]),
    [...names, ...names].map(name => [name, 1]),
  )
  const removed = await ask('deleteTopics', 4, { topicNames: names, timeoutMs: 0 })
  assert.equal(removed.responses.filter(({ errorCode }) => errorCode === 0).length, names.length)
  assert.equal(topics.list().length, 0)
})

test('deleteTopics removes by name and by id', async t => {
  const { ask, topics } = await fixture(t)
  for (const name of ['a', 'b', 'c', 'd']) await topics.create('/', name)
  const b = topics.get('/', 'b')
  const early = await ask('deleteTopics', 3, { topicNames: ['a', 'x', 'c', 'c'], timeoutMs: 0 })
  assert.deepEqual(
    early.responses.map(({ errorCode }) => errorCode),
    [0, 3, codes.invalidRequest, codes.invalidRequest],
  )
  const late = await ask('deleteTopics', 6, {
    topics: [
      { name: null, topicId: b?.id ?? '' },
      { name: 'c' },
      { name: null, topicId: 'e'.repeat(32) },
      { name: null },
      { name: 'd', topicId: topics.get('/', 'd')?.id ?? '' },
    ],
    timeoutMs: 0,
  })
  assert.deepEqual(
    late.responses.map(({ name, errorCode }) => [name, errorCode]),
    [
      ['b', 0],
      ['c', 0],
      [null, codes.unknownTopicId],
      [null, codes.invalidRequest],
      ['d', codes.invalidRequest],
    ],
  )
  assert.deepEqual(
    topics.list().map(topic => topic.name),
    ['d'],
  )
})

test('createPartitions grows topics and checks assignments', async t => {
  const { ask, topics } = await fixture(t)
  for (const name of ['a', 'b', 'c']) await topics.create('/', name)
  const answer = await ask('createPartitions', 3, {
    topics: [
      { name: 'a', count: 3, assignments: [{ brokerIds: [7] }, { brokerIds: [7] }] },
      { name: 'b', count: 1, assignments: null },
      { name: 'c', count: 3, assignments: [{ brokerIds: [7] }] },
      { name: 'x', count: 3, assignments: null },
    ],
    timeoutMs: 0,
    validateOnly: false,
  })
  const expected = [0, codes.invalidPartitions, codes.invalidReplicaAssignment, codes.unknownTopicOrPartition]
  assert.deepEqual(
    answer.results.map(({ errorCode }) => errorCode),
    expected,
  )
  assert.deepEqual(
    topics.list().map(topic => topic.partitions.length),
    [3, 1, 1],
  )
})

test('configurations are set, deleted, replaced and described as they were written', async t => {
  const { ask, topics } = await fixture(t)
  await topics.create('/', 'a')
  const alter = async (
    configs: { name: string; configOperation: number; value: string | null }[],
    validateOnly = false,
  ) => {
    const resources = [{ resourceType: 2, resourceName: 'a', configs }]
    return (await ask('incrementalAlterConfigs', 1, { resources, validateOnly })).responses[0]
  }
  const set = (name: string, value: string | null) => ({ name, configOperation: 0, value })
  const changes = [
    set('message.timestamp.type', 'LogAppendTime'),
    set('segment.bytes', '2000000'),
    set('unclean.leader.election.enable', 'TRUE'),
    { name: 'cleanup.policy', configOperation: 2, value: 'compact' },
    set('min.cleanable.dirty.ratio', '.25'),
  ]
  assert.equal((await alter(changes, true))?.errorCode, 0)
  assert.equal(topics.get('/', 'a')?.config.size, 0)
  assert.equal((await alter(changes))?.errorCode, 0)
  const config = topics.get('/', 'a')?.config
  assert.equal(config?.get('timestampType'), 'append')
  assert.equal(config?.get('hint.segment.bytes'), '2000000')

  const described = await ask('describeConfigs', 4, {
    resources: [{ resourceType: 2, resourceName: 'a', configurationKeys: null }],
    includeSynonyms: true,
    includeDocumentation: true,
  })
  const rows = new Map(described.results[0]?.configs.map(row => [row.name, row]))
  assert.deepEqual([...rows.keys()], Object.keys(topicConfigKeys))
  assert.equal(rows.get('message.timestamp.type')?.value, 'LogAppendTime')
  assert.equal(rows.get('unclean.leader.election.enable')?.value, 'true')
  assert.equal(rows.get('cleanup.policy')?.value, 'delete,compact')
  assert.deepEqual(topicConfig({ config: config ?? new Map() }).cleanupPolicy, { deletes: true, compacts: true })
  assert.deepEqual(rows.get('segment.bytes')?.synonyms, [
    { name: 'segment.bytes', value: '2000000', source: 1 },
    { name: 'log.segment.bytes', value: '1073741824', source: 5 },
  ])
  assert.equal(rows.get('segment.bytes')?.configType, configTypes.int)
  assert.match(rows.get('segment.bytes')?.documentation ?? '', /no effect/)
  assert.equal(rows.get('retention.ms')?.configSource, 5)

  assert.equal((await alter([{ name: 'segment.bytes', configOperation: 1, value: null }]))?.errorCode, 0)
  assert.equal(topics.get('/', 'a')?.config.has('hint.segment.bytes'), false)
  const resources = [{ resourceType: 2, resourceName: 'a', configs: [{ name: 'retention.bytes', value: '5' }] }]
  assert.equal((await ask('alterConfigs', 2, { resources, validateOnly: false })).responses[0]?.errorCode, 0)
  assert.deepEqual([...(topics.get('/', 'a')?.config ?? [])], [['retentionBytes', '5']])
})

test('configurations that would have no effect or contradict what is true are refused by name', async t => {
  const { ask, topics } = await fixture(t)
  await topics.create('/', 'a')
  const refused: [name: string, operation: number, value: string | null, code: number][] = [
    ['cleanup.policy', 0, 'compact,remove', codes.invalidConfig],
    ['cleanup.policy', 2, 'remove', codes.invalidConfig],
    ['min.insync.replicas', 0, '2', codes.invalidConfig],
    ['compression.type', 0, 'brotli', codes.invalidConfig],
    ['remote.storage.enable', 0, 'true', codes.invalidConfig],
    ['retention.ms', 0, 'week', codes.invalidConfig],
    ['retention.ms', 2, '5', codes.invalidConfig],
    ['no.such.key', 0, '1', codes.invalidConfig],
    ['no.such.key', 1, null, codes.invalidConfig],
    ['constructor', 0, '1', codes.invalidConfig],
    ['retention.ms', 0, null, codes.invalidRequest],
    ['retention.ms', 4, '1', codes.invalidRequest],
  ]
  for (const [name, configOperation, value, code] of refused) {
    const resources = [{ resourceType: 2, resourceName: 'a', configs: [{ name, configOperation, value }] }]
    const [response] = (await ask('incrementalAlterConfigs', 1, { resources, validateOnly: false })).responses
    assert.equal(response?.errorCode, code, name)
    assert(response?.errorMessage?.includes(name), response?.errorMessage ?? '')
  }
  const configs = [{ name: 'retention.ms', configOperation: 0, value: '1' }]
  const others = await ask('incrementalAlterConfigs', 0, {
    resources: [
      { resourceType: 2, resourceName: 'x', configs },
      { resourceType: 4, resourceName: '7', configs },
      { resourceType: 4, resourceName: '8', configs },
      { resourceType: 8, resourceName: '7', configs },
      { resourceType: 16, resourceName: 'm', configs },
      { resourceType: 32, resourceName: 'group', configs },
      { resourceType: 99, resourceName: '7', configs },
      { resourceType: 2, resourceName: 'a', configs: [...configs, ...configs] },
    ],
    validateOnly: false,
  })
  const { unknownTopicOrPartition, invalidRequest, invalidConfig } = codes
  const expected = [
    unknownTopicOrPartition,
    invalidConfig,
    invalidRequest,
    invalidConfig,
    invalidRequest,
    invalidConfig,
    invalidRequest,
    invalidRequest,
  ]
  assert.deepEqual(
    others.responses.map(({ errorCode }) => errorCode),
    expected,
  )
  assert.equal(topics.get('/', 'a')?.config.size, 0)
})

test('describeConfigs tells what is true of the broker, read-only', async t => {
  const { ask } = await fixture(t)
  const answer = await ask('describeConfigs', 3, {
    resources: [
      { resourceType: 4, resourceName: '7', configurationKeys: ['num.partitions', 'advertised.listeners', 'x'] },
      { resourceType: 4, resourceName: '', configurationKeys: null },
      { resourceType: 4, resourceName: '8', configurationKeys: null },
      { resourceType: 2, resourceName: 'x', configurationKeys: null },
      { resourceType: 8, resourceName: '7', configurationKeys: null },
      { resourceType: 99, resourceName: '7', configurationKeys: null },
      { resourceType: 2, resourceName: 'a b', configurationKeys: null },
    ],
    includeSynonyms: false,
    includeDocumentation: false,
  })
  assert.deepEqual(
    answer.results.map(({ errorCode, configs }) => [errorCode, configs.length]),
    [
      [0, 2],
      [0, 0],
      [codes.invalidRequest, 0],
      [codes.unknownTopicOrPartition, 0],
      [0, 0],
      [codes.invalidRequest, 0],
      [codes.invalidTopic, 0],
    ],
  )
  const [listeners, partitions] = answer.results[0]?.configs ?? []
  assert.equal(listeners?.value, 'PLAINTEXT://broker.example:1234')
  assert.deepEqual([partitions?.value, partitions?.readOnly, partitions?.documentation], ['1', true, null])
})

test('describeCluster names this broker as the controller', async t => {
  const { ask, topics } = await fixture(t)
  const answer = await ask('describeCluster', 2, { includeClusterAuthorizedOperations: false, endpointType: 1 })
  assert.deepEqual(answer.brokers, [{ brokerId, host: 'broker.example', port: 1234, rack: null, isFenced: false }])
  assert.equal(answer.controllerId, brokerId)
  assert.equal(answer.clusterId, topics.clusterId.toString('base64url'))
  assert.equal(answer.clusterAuthorizedOperations, -0x8000_0000)
  for (const [endpointType, code] of [
    [2, codes.mismatchedEndpointType],
    [3, codes.unsupportedEndpointType],
  ] as const) {
    const refused = await ask('describeCluster', 1, { includeClusterAuthorizedOperations: true, endpointType })
    assert.equal(refused.errorCode, code)
  }
})

test(`any declared request is answered in every version (SEED=${seed})`, async t => {
  const random = new Random(seed)
  for (const name of administration) {
    const { ask } = await fixture(t)
    const { request, versions } = apis[name]
    for (let version = versions[0]; version <= versions[1]; version++) {
      for (let round = 0; round < 20; round++) {
        const sample = (request as Codec<unknown>).sample(random, version)
        try {
          await ask(name, version, sample as never)
        } catch (error) {
          assert(error instanceof ProtocolError, `${name} ${version}: ${String(error)}`)
        }
      }
    }
  }
})
