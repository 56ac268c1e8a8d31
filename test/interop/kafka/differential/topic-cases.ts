import { asks, asksInAll, nilId, otherId, timeoutMs, type Case } from './cases.ts'

const topic = { numPartitions: -1, replicationFactor: -1, assignments: [], configs: [] }

function create(name: string, more: object, validateOnly = false): Case {
  return asks(name, 'createTopics', { topics: [{ ...topic, name: 'x', ...more }], timeoutMs, validateOnly })
}

function assigned(...brokers: number[][]) {
  return brokers.map((brokerIds, partitionIndex) => ({ partitionIndex, brokerIds }))
}

/** Topics are made, and partitions added. */
export function creations(): Case[] {
  const version = (number: number): Case =>
    asks('one', 'createTopics', { topics: [{ ...topic, name: `v${number}`, numPartitions: 2 }], timeoutMs }, number)
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
    ...refusedCreations(),
    ...growth(),
  ]
}

function refusedCreations(): Case[] {
  return [
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
  ]
}

function growth(): Case[] {
  return [
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

/** Topics and partitions are asked for. */
export function metadata(): Case[] {
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

/** Offsets are asked for, and records removed. */
export function offsets(): Case[] {
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

/** Topics are removed. */
export function removals(): Case[] {
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
