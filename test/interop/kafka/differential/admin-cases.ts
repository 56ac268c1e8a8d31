import { asks, asksInAll, type Case } from './cases.ts'

const nilId = '0'.repeat(32)
const otherId = 'f'.repeat(31) + '1'
const types = { topic: 2, broker: 4, logger: 8, metrics: 16, group: 32 } as const
const topic = { numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }
const timeoutMs = 10_000

/** Requests of tools that administer, in an order in which later ones see what earlier ones did. */
export function adminCases(): Case[] {
  return [
    ...creations(),
    ...metadata(),
    ...offsets(),
    ...topicConfigs(),
    ...brokerConfigs(),
    ...otherConfigs(),
    ...quotas(),
    ...cluster(),
    ...removals(),
  ]
}

function creations(): Case[] {
  const create = (name: string, more: object, validateOnly = false): Case =>
    asks(name, 'createTopics', { topics: [{ ...topic, name: 'x', ...more }], timeoutMs, validateOnly })
  const version = (number: number): Case =>
    asks('one', 'createTopics', { topics: [{ ...topic, name: `v${number}`, numPartitions: 2 }], timeoutMs }, number)
  const assigned = (...brokers: number[][]) =>
    brokers.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds }))
  return [
    create('with defaults', { name: 'a' }),
    create('with three partitions', { name: 'b.c', numPartitions: 3, replicationFactor: 1 }),
    create('with configs', { name: 'd', configs: [{ name: 'retention.ms', value: '1234' }] }),
    create('with a plan for one broker', { name: 'e', assignments: assigned([1], [1]) }),
    ...[2, 3, 4, 5, 6].map(version),
    create('there already', { name: 'a' }),
    create('a check only', { name: 'f', numPartitions: 2, replicationFactor: 1 }, true),
    create('a check of one that is there', { name: 'a' }, true),
    create('. collides with _', { name: 'b_c' }),
    create('no name', { name: '' }),
    create('one dot', { name: '.' }),
    create('bad character', { name: 'a b' }),
    create('249 characters', { name: 'l'.repeat(249) }, true),
    create('250 characters', { name: 'l'.repeat(250) }),
    create('an internal name', { name: '__consumer_offsets' }, true),
    create('no partitions', { numPartitions: 0 }),
    create('minus two partitions', { numPartitions: -2 }),
    create('replication factor 0', { replicationFactor: 0 }),
    create('replication factor 3', { numPartitions: 1, replicationFactor: 3 }),
    create('replication factor -2', { replicationFactor: -2 }),
    create('unknown config', { configs: [{ name: 'no.such', value: '1' }] }),
    create('bad config value', { configs: [{ name: 'retention.ms', value: 'long' }] }),
    create('null config value', { configs: [{ name: 'retention.ms', value: null }] }),
    create('config out of range', { configs: [{ name: 'retention.ms', value: '-2' }] }),
    create('plan and partitions', { numPartitions: 1, assignments: assigned([1]) }),
    create('plan and replication factor', { replicationFactor: 1, assignments: assigned([1]) }),
    create('plan with another broker', { assignments: assigned([7]) }),
    create('plan with a repeated broker', { assignments: assigned([1, 1]) }),
    create('plan with no broker', { assignments: assigned([]) }),
    create('plan with uneven replicas', { assignments: assigned([1], []) }),
    create('plan with a gap', { assignments: [{ partitionIndex: 1, brokerIds: [1] }] }),
    create('plan with a repeated partition', {
      assignments: [
        { partitionIndex: 0, brokerIds: [1] },
        { partitionIndex: 0, brokerIds: [1] },
      ],
    }),
    asks('the same twice', 'createTopics', {
      topics: [
        { ...topic, name: 'x' },
        { ...topic, name: 'x' },
        { ...topic, name: 'y' },
      ],
      timeoutMs,
      validateOnly: true,
    }),
    ...[0, 1, 2, 3].map(number =>
      asks('one more', 'createPartitions', { topics: [{ name: 'b.c', count: 4 + number }], timeoutMs }, number),
    ),
    ...(
      [
        ['as many as there are', { name: 'b.c', count: 7 }],
        ['fewer', { name: 'b.c', count: 1 }],
        ['none', { name: 'b.c', count: 0 }],
        ['negative', { name: 'b.c', count: -1 }],
        ['unknown topic', { name: 'none', count: 2 }],
        ['with a plan', { name: 'b.c', count: 8, assignments: [{ brokerIds: [1] }] }],
        ['with a short plan', { name: 'b.c', count: 10, assignments: [{ brokerIds: [1] }] }],
        ['with an empty plan', { name: 'b.c', count: 10, assignments: [] }],
        ['plan with another broker', { name: 'b.c', count: 9, assignments: [{ brokerIds: [9] }] }],
        ['plan with two brokers', { name: 'b.c', count: 9, assignments: [{ brokerIds: [1, 1] }] }],
      ] as const
    ).map(([name, one]) => asks(name, 'createPartitions', { topics: [{ assignments: null, ...one }], timeoutMs })),
    asks('a check only', 'createPartitions', { topics: [{ name: 'b.c', count: 20 }], timeoutMs, validateOnly: true }),
    asks('the same twice', 'createPartitions', {
      topics: [
        { name: 'b.c', count: 20 },
        { name: 'b.c', count: 21 },
      ],
      timeoutMs,
    }),
  ]
}

function metadata(): Case[] {
  const byName = { topics: [{ name: 'a' }], allowAutoTopicCreation: false }
  const all = { includeTopicAuthorizedOperations: true, includeClusterAuthorizedOperations: true }
  return [
    ...asksInAll('one topic', 'metadata', { ...byName, ...all }),
    asks('unknown topic', 'metadata', { topics: [{ name: 'none' }], allowAutoTopicCreation: false }),
    asks('unknown topic, old', 'metadata', { topics: [{ name: 'none' }], allowAutoTopicCreation: false }, 4),
    asks('bad name', 'metadata', { topics: [{ name: 'a b' }], allowAutoTopicCreation: true }),
    asks('empty name', 'metadata', { topics: [{ name: '' }], allowAutoTopicCreation: true }),
    asks('none', 'metadata', { topics: [], allowAutoTopicCreation: true }),
    asks('by id', 'metadata', ({ topicIds }) => ({ topics: [{ name: null, topicId: topicIds.get('a') ?? nilId }] })),
    asks('by unknown id', 'metadata', { topics: [{ name: null, topicId: otherId }] }),
    asks('by nil id and no name', 'metadata', { topics: [{ name: null, topicId: nilId }] }),
    asks('by id and name', 'metadata', ({ topicIds }) => ({
      topics: [{ name: 'a', topicId: topicIds.get('a') ?? '' }],
    })),
    asks(
      'by id, old',
      'metadata',
      ({ topicIds }) => ({ topics: [{ name: null, topicId: topicIds.get('a') ?? '' }] }),
      11,
    ),
    asks('made by asking', 'metadata', { topics: [{ name: 'made' }], allowAutoTopicCreation: true }),
    asks('paged', 'describeTopicPartitions', { topics: [{ name: 'b.c' }, { name: 'a' }], responsePartitionLimit: 3 }),
    asks('paged, onwards', 'describeTopicPartitions', {
      topics: [{ name: 'b.c' }, { name: 'a' }],
      responsePartitionLimit: 3,
      cursor: { topicName: 'b.c', partitionIndex: 2 },
    }),
    asks('cursor on the last', 'describeTopicPartitions', {
      topics: [{ name: 'b.c' }, { name: 'd' }],
      responsePartitionLimit: 100,
      cursor: { topicName: 'b.c', partitionIndex: 99 },
    }),
    asks('cursor on an unknown topic', 'describeTopicPartitions', {
      topics: [{ name: 'a' }, { name: 'd' }],
      cursor: { topicName: 'c', partitionIndex: 0 },
    }),
    asks('cursor negative', 'describeTopicPartitions', {
      topics: [{ name: 'a' }],
      cursor: { topicName: 'a', partitionIndex: -1 },
    }),
    asks('cursor without topics', 'describeTopicPartitions', {
      topics: [],
      cursor: { topicName: 'e', partitionIndex: 1 },
    }),
    asks('all', 'describeTopicPartitions', { topics: [] }),
    asks('limit 0', 'describeTopicPartitions', { topics: [{ name: 'a' }], responsePartitionLimit: 0 }),
    asks('limit -1', 'describeTopicPartitions', { topics: [{ name: 'a' }], responsePartitionLimit: -1 }),
    asks('unknown', 'describeTopicPartitions', { topics: [{ name: 'none' }, { name: 'a b' }, { name: '' }] }),
    asks('the same twice', 'describeTopicPartitions', { topics: [{ name: 'a' }, { name: 'a' }] }),
  ]
}

function offsets(): Case[] {
  const one = (timestamp: number, more: object = {}) => ({
    replicaId: -1,
    topics: [{ name: 'a', partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp, ...more }] }],
  })
  return [
    ...asksInAll('latest', 'listOffsets', one(-1)),
    ...asksInAll('earliest', 'listOffsets', one(-2)),
    ...asksInAll('highest timestamp', 'listOffsets', one(-3)),
    ...asksInAll('earliest local', 'listOffsets', one(-4)),
    ...asksInAll('latest tiered', 'listOffsets', one(-5)),
    ...asksInAll('earliest pending upload', 'listOffsets', one(-6)),
    asks('unknown place', 'listOffsets', one(-7)),
    asks('by time', 'listOffsets', one(0)),
    asks('committed only', 'listOffsets', { ...one(-1), isolationLevel: 1 }),
    asks('older epoch', 'listOffsets', one(-1, { currentLeaderEpoch: 0 })),
    asks('newer epoch', 'listOffsets', one(-1, { currentLeaderEpoch: 1_000_000 })),
    asks('unknown partition', 'listOffsets', {
      replicaId: -1,
      topics: [{ name: 'a', partitions: [{ partitionIndex: 9, timestamp: -1 }] }],
    }),
    asks('unknown topic', 'listOffsets', {
      replicaId: -1,
      topics: [{ name: 'none', partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
    }),
    asks('the same twice', 'listOffsets', {
      replicaId: -1,
      topics: [
        {
          name: 'a',
          partitions: [
            { partitionIndex: 0, timestamp: -1 },
            { partitionIndex: 0, timestamp: -2 },
          ],
        },
      ],
    }),
    ...[0, 1, -1, -2, 5].map(offset =>
      asks(`to ${offset}`, 'deleteRecords', {
        topics: [{ name: 'a', partitions: [{ partitionIndex: 0, offset }] }],
        timeoutMs,
      }),
    ),
    asks('unknown topic', 'deleteRecords', {
      topics: [{ name: 'none', partitions: [{ partitionIndex: 0, offset: 0 }] }],
      timeoutMs,
    }),
    asks('unknown partition', 'deleteRecords', {
      topics: [{ name: 'a', partitions: [{ partitionIndex: 4, offset: 0 }] }],
      timeoutMs,
    }),
    ...[2, 3, 4].map(version =>
      asks(
        'of nothing',
        'offsetForLeaderEpoch',
        { topics: [{ topic: 'a', partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 1_000_000 }] }] },
        version,
      ),
    ),
    asks('unknown topic', 'offsetForLeaderEpoch', {
      topics: [{ topic: 'none', partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }] }],
    }),
    asks('newer epoch', 'offsetForLeaderEpoch', {
      topics: [{ topic: 'a', partitions: [{ partition: 0, currentLeaderEpoch: 1_000_000, leaderEpoch: 0 }] }],
    }),
  ]
}

/** Every configuration of topics, with a value that is taken, one at each edge and some beyond. */
const topicValues: Record<string, readonly (string | null)[]> = {
  'cleanup.policy': ['delete', 'compact', 'compact,delete', 'delete,compact', '', 'none', 'DELETE', 'delete,none'],
  'compression.type': ['producer', 'gzip', 'zstd', 'uncompressed', 'none', 'Gzip'],
  'compression.gzip.level': ['-1', '1', '9', '0', '10'],
  'compression.lz4.level': ['1', '17', '0', '18'],
  'compression.zstd.level': ['1', '22', '-131072', '23', '-131073'],
  'delete.retention.ms': ['0', '5', '-1'],
  'file.delete.delay.ms': ['0', '-1'],
  'flush.messages': ['1', '0'],
  'flush.ms': ['0', '-1'],
  'follower.replication.throttled.replicas': ['', '*', '0:1', 'none', 'x'],
  'leader.replication.throttled.replicas': ['', '*', '0:1', 'none', 'x'],
  'index.interval.bytes': ['0', '-1'],
  'local.retention.bytes': ['-2', '-3'],
  'local.retention.ms': ['-2', '-3'],
  'max.compaction.lag.ms': ['1', '0'],
  'max.message.bytes': ['0', '2147483647', '2147483648', '-1', ' 12 ', '+12', '0012', '1e3'],
  'message.timestamp.after.max.ms': ['0', '-1'],
  'message.timestamp.before.max.ms': ['0', '-1'],
  'message.timestamp.type': ['CreateTime', 'LogAppendTime', 'createtime'],
  'message.format.version': ['3.0-IV1'],
  'message.downconversion.enable': ['true'],
  'min.cleanable.dirty.ratio': ['0', '1', '0.25', '1.1', '-0.1', 'x'],
  'min.compaction.lag.ms': ['0', '-1'],
  'min.insync.replicas': ['1', '0'],
  preallocate: ['true', 'TRUE', 'false', 'yes'],
  'remote.log.copy.disable': ['false', 'true'],
  'remote.log.delete.on.disable': ['false', 'true'],
  'remote.storage.enable': ['false', 'true'],
  'retention.bytes': ['-1', '0', '-2', '9223372036854775807', '9223372036854775808'],
  'retention.ms': ['-1', '0', '-2', '1', '', null],
  'segment.bytes': ['1048576', '14', '13', '1048575'],
  'segment.index.bytes': ['4', '3', '0'],
  'segment.jitter.ms': ['0', '-1'],
  'segment.ms': ['1', '0'],
  'unclean.leader.election.enable': ['false', 'true', 'x'],
  'internal.segment.bytes': ['1000'],
  'no.such.key': ['1'],
}

const operations = { set: 0, delete: 1, append: 2, subtract: 3 } as const

function topicConfigs(): Case[] {
  const alter = (name: string, configs: object[], more: object = {}, validateOnly = false): Case =>
    asks(name, 'incrementalAlterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs, ...more }],
      validateOnly,
    })
  const one = (name: string, configOperation: number, value: string | null) => ({ name, configOperation, value })
  const values = Object.entries(topicValues).flatMap(([key, list]) =>
    list.map(value => alter(`${key}=${value}`, [one(key, operations.set, value)], {}, true)),
  )
  const list = 'cleanup.policy'
  return [
    ...values,
    alter('set', [one('retention.ms', operations.set, '99'), one('max.message.bytes', operations.set, '1000')]),
    alter('delete', [one('retention.ms', operations.delete, null)]),
    alter('delete what is not set', [one('retention.ms', operations.delete, null)]),
    alter('delete an unknown key', [one('no.such', operations.delete, null)]),
    alter('append to what is no list', [one('retention.ms', operations.append, '1')]),
    alter('append', [one(list, operations.append, 'compact')], {}, true),
    alter('append what is there', [one(list, operations.append, 'delete')], {}, true),
    alter('append what is not taken', [one(list, operations.append, 'none')], {}, true),
    alter('subtract', [one(list, operations.subtract, 'delete')], {}, true),
    alter('subtract what is not there', [one(list, operations.subtract, 'compact')], {}, true),
    alter('append null', [one(list, operations.append, null)], {}, true),
    alter('subtract null', [one(list, operations.subtract, null)], {}, true),
    alter('no such operation', [one(list, 9, 'delete')]),
    alter('the same key twice', [one(list, operations.set, 'delete'), one(list, operations.set, 'compact')]),
    alter('no keys', []),
    alter('unknown topic', [one('retention.ms', operations.set, '1')], { resourceName: 'none' }),
    alter('bad topic', [one('retention.ms', operations.set, '1')], { resourceName: 'a b' }),
    alter('no topic', [one('retention.ms', operations.set, '1')], { resourceName: '' }),
    asks('the same resource twice', 'incrementalAlterConfigs', {
      resources: [
        { resourceType: types.topic, resourceName: 'd', configs: [one('retention.ms', operations.set, '1')] },
        { resourceType: types.topic, resourceName: 'd', configs: [one('retention.ms', operations.set, '2')] },
      ],
    }),
    ...asksInAll('replaced', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs: [{ name: 'retention.ms', value: '77' }] }],
    }),
    asks('replaced by bad', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs: [{ name: 'no.such', value: '77' }] }],
    }),
    asks('replaced by null', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs: [{ name: 'retention.ms', value: null }] }],
    }),
    asks('key twice', 'alterConfigs', {
      resources: [
        {
          resourceType: types.topic,
          resourceName: 'd',
          configs: [
            { name: 'retention.ms', value: '1' },
            { name: 'retention.ms', value: '2' },
          ],
        },
      ],
    }),
    asks('unknown topic', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'none', configs: [] }],
    }),
    ...asksInAll('topic', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: null }],
      includeSynonyms: true,
      includeDocumentation: true,
    }),
    asks('without synonyms', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: null }],
    }),
    asks('some keys', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: ['retention.ms', 'no.such'] }],
    }),
    asks('no keys', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: [] }],
    }),
    asks('unknown topic', 'describeConfigs', { resources: [{ resourceType: types.topic, resourceName: 'none' }] }),
    asks('bad topic', 'describeConfigs', { resources: [{ resourceType: types.topic, resourceName: 'a b' }] }),
    asks('the same twice', 'describeConfigs', {
      resources: [
        { resourceType: types.topic, resourceName: 'd', configurationKeys: ['retention.ms'] },
        { resourceType: types.topic, resourceName: 'd', configurationKeys: ['retention.ms'] },
      ],
    }),
  ]
}

/** Settings of brokers that can be changed at run time in one way or another, and some that cannot. */
const brokerValues: Record<string, readonly (string | null)[]> = {
  'log.retention.ms': ['1000', '-2', 'x'],
  'log.retention.bytes': ['1000', '-1', '-2'],
  'message.max.bytes': ['2000000', '-1'],
  'log.cleanup.policy': ['delete', 'compact', 'none'],
  'log.message.timestamp.type': ['LogAppendTime', 'x'],
  'log.message.timestamp.before.max.ms': ['5'],
  'log.message.timestamp.after.max.ms': ['5'],
  'compression.type': ['gzip', 'producer'],
  'min.insync.replicas': ['1', '2', '0'],
  'log.segment.bytes': ['1048576', '3'],
  'num.io.threads': ['9', '0'],
  'num.network.threads': ['4'],
  'log.cleaner.threads': ['2'],
  'max.connections': ['500', '-1'],
  'max.connections.per.ip': ['50', '-1'],
  'max.connection.creation.rate': ['100'],
  'unclean.leader.election.enable': ['true'],
  'num.partitions': ['3'],
  'auto.create.topics.enable': ['false'],
  'log.retention.hours': ['5'],
  'node.id': ['4'],
  listeners: ['PLAINTEXT://127.0.0.1:1'],
  'no.such.key': ['1'],
  'follower.replication.throttled.rate': ['100', '-1'],
  'leader.replication.throttled.rate': ['100'],
  'ssl.keystore.password': ['x'],
  'sasl.jaas.config': ['x'],
  'metric.reporters': [''],
  'producer.id.expiration.ms': ['1000'],
  'transaction.partition.verification.enable': ['false'],
  'group.coordinator.cached.buffer.max.bytes': ['1048576'],
}

function brokerConfigs(): Case[] {
  const alter = (name: string, configs: object[], resourceName: string, validateOnly = true): Case =>
    asks(`${name} of broker "${resourceName}"`, 'incrementalAlterConfigs', {
      resources: [{ resourceType: types.broker, resourceName, configs }],
      validateOnly,
    })
  const one = (name: string, configOperation: number, value: string | null) => ({ name, configOperation, value })
  const describe = (name: string, resourceName: string, keys: string[] | null = null): Case =>
    asks(name, 'describeConfigs', {
      resources: [{ resourceType: types.broker, resourceName, configurationKeys: keys }],
      includeSynonyms: true,
    })
  return [
    ...Object.entries(brokerValues).flatMap(([key, list]) =>
      list.flatMap(value => ['1', ''].map(name => alter(`${key}=${value}`, [one(key, operations.set, value)], name))),
    ),
    describe('broker', '1'),
    describe('all brokers', ''),
    describe('some keys of a broker', '1', ['log.retention.ms', 'no.such']),
    describe('another broker', '7'),
    describe('no broker', 'x'),
    alter('set for all', [one('log.retention.ms', operations.set, '500000')], '', false),
    describe('all brokers after', ''),
    describe('a broker after', '1', ['log.retention.ms', 'log.retention.hours']),
    asks('topic after', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'a', configurationKeys: ['retention.ms'] }],
      includeSynonyms: true,
    }),
    alter('set for one', [one('log.retention.ms', operations.set, '600000')], '1', false),
    describe('a broker after both', '1', ['log.retention.ms']),
    alter('delete for one', [one('log.retention.ms', operations.delete, null)], '1', false),
    alter('delete for all', [one('log.retention.ms', operations.delete, null)], '', false),
    alter('of another broker', [one('log.retention.ms', operations.set, '1')], '7'),
    alter('of no broker', [one('log.retention.ms', operations.set, '1')], 'x'),
    asks('of a broker', 'alterConfigs', {
      resources: [
        { resourceType: types.broker, resourceName: '', configs: [{ name: 'log.retention.ms', value: '9' }] },
      ],
      validateOnly: true,
    }),
    asks('of a broker, bad', 'alterConfigs', {
      resources: [{ resourceType: types.broker, resourceName: '', configs: [{ name: 'node.id', value: '9' }] }],
      validateOnly: true,
    }),
  ]
}

function otherConfigs(): Case[] {
  const alter = (name: string, resourceType: number, resourceName: string, configs: object[], validateOnly = true) =>
    asks(name, 'incrementalAlterConfigs', { resources: [{ resourceType, resourceName, configs }], validateOnly })
  const one = (name: string, value: string | null, configOperation: number = operations.set) => ({
    name,
    configOperation,
    value,
  })
  const describe = (
    name: string,
    resourceType: number,
    resourceName: string,
    configurationKeys: string[] | null = null,
  ) =>
    asks(name, 'describeConfigs', {
      resources: [{ resourceType, resourceName, configurationKeys }],
      includeSynonyms: true,
    })
  return [
    describe('group', types.group, 'g'),
    describe('no group', types.group, ''),
    alter('group', types.group, 'g', [one('consumer.session.timeout.ms', '46000')]),
    alter('group, too short', types.group, 'g', [one('consumer.session.timeout.ms', '1')]),
    alter('group, bad key', types.group, 'g', [one('no.such', '1')]),
    alter('no group', types.group, '', [one('consumer.session.timeout.ms', '46000')]),
    describe('metrics', types.metrics, 'm'),
    describe('no metrics', types.metrics, ''),
    alter('metrics, bad key', types.metrics, 'm', [one('no.such', '1')]),
    alter('metrics, bad interval', types.metrics, 'm', [one('interval.ms', '1')]),
    alter('no metrics', types.metrics, '', [one('interval.ms', '1000')]),
    describe('loggers', types.logger, '1', ['none']),
    describe('loggers of another', types.logger, '9', ['none']),
    describe('loggers of no broker', types.logger, 'x', ['none']),
    alter('logger that is unknown', types.logger, '1', [one('no.such.logger', 'INFO')]),
    describe('unknown type', 99, 'x'),
    alter('unknown type', 99, 'x', [one('a', 'b')]),
    describe('type 0', 0, 'x'),
    ...asksInAll('all', 'listConfigResources', {}),
    asks('topics', 'listConfigResources', { resourceTypes: [types.topic] }),
    asks('brokers', 'listConfigResources', { resourceTypes: [types.broker] }),
    asks('loggers', 'listConfigResources', { resourceTypes: [types.logger] }),
    asks('groups and metrics', 'listConfigResources', { resourceTypes: [types.group, types.metrics] }),
    asks('an unknown type', 'listConfigResources', { resourceTypes: [99] }),
    asks('the same type twice', 'listConfigResources', { resourceTypes: [types.topic, types.topic] }),
  ]
}

function quotas(): Case[] {
  const who = (...parts: [string, string | null][]) =>
    parts.map(([entityType, entityName]) => ({ entityType, entityName }))
  const set = (name: string, entity: object[], ops: object[], validateOnly = false): Case =>
    asks(name, 'alterClientQuotas', { entries: [{ entity, ops }], validateOnly })
  const op = (key: string, value: number, remove = false) => ({ key, value, remove })
  const find = (name: string, components: object[], strict = false, version?: number): Case =>
    asks(name, 'describeClientQuotas', { components, strict }, version)
  const match = (entityType: string, matchType: number, text: string | null = null) => ({
    entityType,
    matchType,
    match: text,
  })
  const rate = (value: number) => [op('producer_byte_rate', value)]
  return [
    find('nothing set', []),
    set('user', who(['user', 'u']), rate(1000)),
    set('default user', who(['user', null]), [op('consumer_byte_rate', 2000), op('request_percentage', 150)]),
    set('client', who(['client-id', 'c']), rate(3000)),
    set('user and client', who(['user', 'u'], ['client-id', 'c']), rate(4000)),
    set('client and user', who(['client-id', null], ['user', null]), rate(5000)),
    set('ip', who(['ip', '127.0.0.2']), [op('connection_creation_rate', 10)]),
    set('default ip', who(['ip', null]), [op('connection_creation_rate', 20)]),
    set('ip by name', who(['ip', 'localhost']), [op('connection_creation_rate', 10)], true),
    set('ip that is none', who(['ip', 'no such host.']), [op('connection_creation_rate', 10)], true),
    set('mutations', who(['user', 'u']), [op('controller_mutation_rate', 1.5)]),
    set('ip and user', who(['ip', '127.0.0.1'], ['user', 'u']), [op('connection_creation_rate', 10)], true),
    set('key of another type', who(['user', 'u']), [op('connection_creation_rate', 10)], true),
    set('rate of an ip', who(['ip', '127.0.0.1']), rate(1), true),
    set('unknown key', who(['user', 'u']), [op('no_such', 10)], true),
    set('unknown type', who(['group', 'u']), rate(1), true),
    set('nobody', [], rate(1), true),
    set('empty name', who(['user', '']), rate(1), true),
    set('twice the same type', who(['user', 'u'], ['user', 'v']), rate(1), true),
    set('zero', who(['user', 'u']), rate(0), true),
    set('negative', who(['user', 'u']), rate(-1), true),
    set('fraction', who(['user', 'u']), rate(1.5), true),
    set('nearly whole', who(['user', 'u']), rate(1.0000000001), true),
    set('not a number', who(['user', 'u']), rate(Number.NaN), true),
    set('infinite', who(['user', 'u']), rate(Number.POSITIVE_INFINITY), true),
    set('huge', who(['user', 'u']), rate(1e19), true),
    set('fraction of a percentage', who(['user', 'u']), [op('request_percentage', 0.5)], true),
    set('fraction of connections', who(['ip', '127.0.0.1']), [op('connection_creation_rate', 0.5)], true),
    set('remove what is not set', who(['user', 'w']), [op('producer_byte_rate', 0, true)]),
    set('remove an unknown key', who(['user', 'w']), [op('no_such', 0, true)]),
    set('no operation', who(['user', 'w']), []),
    set('same key twice', who(['user', 'u']), [op('producer_byte_rate', 1), op('producer_byte_rate', 2)], true),
    asks('same entity twice', 'alterClientQuotas', {
      entries: [
        { entity: who(['user', 'u']), ops: rate(1) },
        { entity: who(['user', 'u']), ops: rate(2) },
      ],
      validateOnly: true,
    }),
    find('all', []),
    find('all, strictly', [], true),
    find('all, old', [], false, 0),
    find('users', [match('user', 2)]),
    find('users only', [match('user', 2)], true),
    find('one user', [match('user', 0, 'u')]),
    find('one user only', [match('user', 0, 'u')], true),
    find('default user', [match('user', 1)]),
    find('user and client', [match('user', 0, 'u'), match('client-id', 0, 'c')]),
    find('any user and client', [match('user', 2), match('client-id', 2)], true),
    find('ips', [match('ip', 2)]),
    find('one ip', [match('ip', 0, '127.0.0.2')]),
    find('ip and user', [match('ip', 2), match('user', 2)]),
    find('unknown type', [match('group', 2)]),
    find('empty type', [match('', 2)]),
    find('unknown match', [match('user', 3)]),
    find('exact without a name', [match('user', 0)]),
    find('default with a name', [match('user', 1, 'x')]),
    find('any with a name', [match('user', 2, 'x')]),
    find('same type twice', [match('user', 2), match('user', 0, 'u')]),
    set('user again', who(['user', 'u']), [op('producer_byte_rate', 0, true), op('controller_mutation_rate', 0, true)]),
    set('default user again', who(['user', null]), [
      op('consumer_byte_rate', 0, true),
      op('request_percentage', 0, true),
    ]),
    set('client again', who(['client-id', 'c']), [op('producer_byte_rate', 0, true)]),
    set('both again', who(['user', 'u'], ['client-id', 'c']), [op('producer_byte_rate', 0, true)]),
    set('defaults again', who(['client-id', null], ['user', null]), [op('producer_byte_rate', 0, true)]),
    set('ip again', who(['ip', '127.0.0.2']), [op('connection_creation_rate', 0, true)]),
    set('default ip again', who(['ip', null]), [op('connection_creation_rate', 0, true)]),
    find('nothing left', []),
  ]
}

function cluster(): Case[] {
  const partitions = (topicName: string, ...indexes: number[]) => [{ topic: topicName, partitions: indexes }]
  const quorum = (topicName: string, partitionIndex: number) => ({
    topics: [{ topicName, partitions: [{ partitionIndex }] }],
  })
  return [
    asks('offers', 'apiVersions', { clientSoftwareName: 'test', clientSoftwareVersion: '1' }),
    asks('offers, before 0 was a level', 'apiVersions', { clientSoftwareName: 'test', clientSoftwareVersion: '1' }, 3),
    asks('bad name of software', 'apiVersions', { clientSoftwareName: '', clientSoftwareVersion: '' }),
    asks('odd name of software', 'apiVersions', { clientSoftwareName: 'a b', clientSoftwareVersion: '1' }),
    ...asksInAll('brokers', 'describeCluster', { includeClusterAuthorizedOperations: true, endpointType: 1 }),
    asks('controllers', 'describeCluster', { endpointType: 2 }),
    asks('no endpoint type', 'describeCluster', { endpointType: 0 }),
    ...asksInAll('of the metadata', 'describeQuorum', quorum('__cluster_metadata', 0)),
    asks('of another partition', 'describeQuorum', quorum('__cluster_metadata', 1)),
    asks('of another topic', 'describeQuorum', quorum('a', 0)),
    asks('of nothing', 'describeQuorum', { topics: [] }),
    ...asksInAll('some', 'describeLogDirs', { topics: partitions('e', 0, 1) }),
    asks('all', 'describeLogDirs', { topics: null }),
    asks('none', 'describeLogDirs', { topics: [] }),
    asks('unknown', 'describeLogDirs', { topics: [...partitions('none', 0), ...partitions('a', 7)] }),
    ...asksInAll('preferred', 'electLeaders', { electionType: 0, topicPartitions: partitions('e', 0, 1), timeoutMs }),
    asks('unclean', 'electLeaders', { electionType: 1, topicPartitions: partitions('e', 0), timeoutMs }),
    asks('no such type', 'electLeaders', { electionType: 5, topicPartitions: partitions('e', 0), timeoutMs }),
    asks('all', 'electLeaders', { electionType: 0, topicPartitions: null, timeoutMs }),
    asks('all, unclean', 'electLeaders', { electionType: 1, topicPartitions: null, timeoutMs }),
    asks('none', 'electLeaders', { electionType: 0, topicPartitions: [], timeoutMs }),
    asks('unknown', 'electLeaders', {
      electionType: 0,
      topicPartitions: [...partitions('none', 0), ...partitions('a', 9)],
      timeoutMs,
    }),
    asks('no partitions', 'electLeaders', { electionType: 0, topicPartitions: partitions('a'), timeoutMs }),
    asks('all', 'listPartitionReassignments', { topics: null }),
    asks('some', 'listPartitionReassignments', { topics: [{ name: 'a', partitionIndexes: [0] }] }),
    asks('unknown', 'listPartitionReassignments', { topics: [{ name: 'none', partitionIndexes: [0] }] }),
    asks('first', 'getTelemetrySubscriptions', { clientInstanceId: nilId }),
    asks('known', 'getTelemetrySubscriptions', { clientInstanceId: otherId }),
    asks('known, again', 'getTelemetrySubscriptions', { clientInstanceId: otherId }),
    asks('without a subscription', 'pushTelemetry', { clientInstanceId: otherId, subscriptionId: 0 }),
    asks('nobody', 'pushTelemetry', { clientInstanceId: nilId, subscriptionId: 0 }),
  ]
}

function removals(): Case[] {
  return [
    ...[1, 2, 3, 4, 5].map(version =>
      asks('one', 'deleteTopics', { topicNames: version === 1 ? ['e'] : [`v${version}`], timeoutMs }, version),
    ),
    asks('unknown', 'deleteTopics', { topicNames: ['none', 'a b', ''], timeoutMs }, 5),
    asks('the same twice', 'deleteTopics', { topicNames: ['d', 'd'], timeoutMs }, 5),
    asks('by id', 'deleteTopics', ({ topicIds }) => ({
      topics: [{ name: null, topicId: topicIds.get('v6') ?? '' }],
      timeoutMs,
    })),
    asks('by name', 'deleteTopics', { topics: [{ name: 'made', topicId: nilId }], timeoutMs }),
    asks('by unknown name', 'deleteTopics', { topics: [{ name: 'none', topicId: nilId }], timeoutMs }),
    asks('by unknown id', 'deleteTopics', { topics: [{ name: null, topicId: otherId }], timeoutMs }),
    asks('by both', 'deleteTopics', ({ topicIds }) => ({
      topics: [{ name: 'a', topicId: topicIds.get('a') ?? '' }],
      timeoutMs,
    })),
    asks('by neither', 'deleteTopics', { topics: [{ name: null, topicId: nilId }], timeoutMs }),
    asks('by id and by name', 'deleteTopics', ({ topicIds }) => ({
      topics: [
        { name: null, topicId: topicIds.get('a') ?? '' },
        { name: 'a', topicId: nilId },
      ],
      timeoutMs,
    })),
  ]
}
