import { asks, asksInAll, nilId, otherId, timeoutMs, type Case } from './cases.ts'

/** The broker itself, its log, its leaders, its clients. */
export function cluster(): Case[] {
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
