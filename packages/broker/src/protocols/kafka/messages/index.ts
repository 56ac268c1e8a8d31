import assert from 'node:assert/strict'
import { compile, type Codec } from '@dragoman/wire'
import * as consumerGroupHeartbeat from './68-consumer-group-heartbeat.ts'
import * as consumerGroupDescribe from './69-consumer-group-describe.ts'
import * as produce from './00-produce.ts'
import * as fetch from './01-fetch.ts'
import * as listOffsets from './02-list-offsets.ts'
import * as metadata from './03-metadata.ts'
import * as offsetCommit from './08-offset-commit.ts'
import * as offsetFetch from './09-offset-fetch.ts'
import * as findCoordinator from './10-find-coordinator.ts'
import * as joinGroup from './11-join-group.ts'
import * as heartbeat from './12-heartbeat.ts'
import * as leaveGroup from './13-leave-group.ts'
import * as syncGroup from './14-sync-group.ts'
import * as describeGroups from './15-describe-groups.ts'
import * as listGroups from './16-list-groups.ts'
import * as saslHandshake from './17-sasl-handshake.ts'
import * as apiVersions from './18-api-versions.ts'
import * as createTopics from './19-create-topics.ts'
import * as deleteTopics from './20-delete-topics.ts'
import * as deleteRecords from './21-delete-records.ts'
import * as initProducerId from './22-init-producer-id.ts'
import * as offsetForLeaderEpoch from './23-offset-for-leader-epoch.ts'
import * as addPartitionsToTxn from './24-add-partitions-to-txn.ts'
import * as addOffsetsToTxn from './25-add-offsets-to-txn.ts'
import * as endTxn from './26-end-txn.ts'
import * as writeTxnMarkers from './27-write-txn-markers.ts'
import * as txnOffsetCommit from './28-txn-offset-commit.ts'
import * as describeAcls from './29-describe-acls.ts'
import * as createAcls from './30-create-acls.ts'
import * as deleteAcls from './31-delete-acls.ts'
import * as describeConfigs from './32-describe-configs.ts'
import * as alterConfigs from './33-alter-configs.ts'
import * as describeLogDirs from './35-describe-log-dirs.ts'
import * as saslAuthenticate from './36-sasl-authenticate.ts'
import * as createPartitions from './37-create-partitions.ts'
import * as deleteGroups from './42-delete-groups.ts'
import * as electLeaders from './43-elect-leaders.ts'
import * as incrementalAlterConfigs from './44-incremental-alter-configs.ts'
import * as listPartitionReassignments from './46-list-partition-reassignments.ts'
import * as offsetDelete from './47-offset-delete.ts'
import * as describeClientQuotas from './48-describe-client-quotas.ts'
import * as alterClientQuotas from './49-alter-client-quotas.ts'
import * as describeUserScramCredentials from './50-describe-user-scram-credentials.ts'
import * as alterUserScramCredentials from './51-alter-user-scram-credentials.ts'
import * as describeQuorum from './55-describe-quorum.ts'
import * as describeCluster from './60-describe-cluster.ts'
import * as describeProducers from './61-describe-producers.ts'
import * as describeTransactions from './65-describe-transactions.ts'
import * as listTransactions from './66-list-transactions.ts'
import * as getTelemetrySubscriptions from './71-get-telemetry-subscriptions.ts'
import * as pushTelemetry from './72-push-telemetry.ts'
import * as listConfigResources from './74-list-config-resources.ts'
import * as describeTopicPartitions from './75-describe-topic-partitions.ts'
import * as shareGroupHeartbeat from './76-share-group-heartbeat.ts'
import * as shareGroupDescribe from './77-share-group-describe.ts'
import * as shareFetch from './78-share-fetch.ts'
import * as shareAcknowledge from './79-share-acknowledge.ts'
import * as describeShareGroupOffsets from './90-describe-share-group-offsets.ts'
import * as alterShareGroupOffsets from './91-alter-share-group-offsets.ts'
import * as deleteShareGroupOffsets from './92-delete-share-group-offsets.ts'

/** One kind of request with its answer. */
export interface Api<Q extends Codec<unknown> = Codec<unknown>, A extends Codec<unknown> = Codec<unknown>> {
  readonly key: number
  readonly name: string
  /** First and last version that is declared. */
  readonly versions: readonly [number, number]
  /** From this version on, the headers of request and answer have tagged fields. */
  readonly flexible: number
  readonly request: Q
  readonly response: A
}

function api<Q extends Codec<unknown>, A extends Codec<unknown>>(
  key: number,
  name: string,
  of: { request: Q; response: A },
): Api<Q, A> {
  const { node } = of.request
  assert(node.kind === 'message')
  return { key, name, versions: node.versions, flexible: node.flexible, request: of.request, response: of.response }
}

/** All declared requests. What is answered is another list: `handlers/index.ts`. */
export const apis = {
  produce: api(0, 'Produce', { request: compile(produce.request), response: compile(produce.response) }),
  fetch: api(1, 'Fetch', { request: compile(fetch.request), response: compile(fetch.response) }),
  listOffsets: api(2, 'ListOffsets', listOffsets),
  metadata: api(3, 'Metadata', metadata),
  offsetCommit: api(8, 'OffsetCommit', offsetCommit),
  offsetFetch: api(9, 'OffsetFetch', offsetFetch),
  findCoordinator: api(10, 'FindCoordinator', findCoordinator),
  joinGroup: api(11, 'JoinGroup', joinGroup),
  heartbeat: api(12, 'Heartbeat', heartbeat),
  leaveGroup: api(13, 'LeaveGroup', leaveGroup),
  syncGroup: api(14, 'SyncGroup', syncGroup),
  describeGroups: api(15, 'DescribeGroups', describeGroups),
  listGroups: api(16, 'ListGroups', listGroups),
  saslHandshake: api(17, 'SaslHandshake', saslHandshake),
  apiVersions: api(18, 'ApiVersions', apiVersions),
  createTopics: api(19, 'CreateTopics', createTopics),
  deleteTopics: api(20, 'DeleteTopics', deleteTopics),
  deleteRecords: api(21, 'DeleteRecords', deleteRecords),
  initProducerId: api(22, 'InitProducerId', initProducerId),
  offsetForLeaderEpoch: api(23, 'OffsetForLeaderEpoch', offsetForLeaderEpoch),
  addPartitionsToTxn: api(24, 'AddPartitionsToTxn', addPartitionsToTxn),
  addOffsetsToTxn: api(25, 'AddOffsetsToTxn', addOffsetsToTxn),
  endTxn: api(26, 'EndTxn', endTxn),
  writeTxnMarkers: api(27, 'WriteTxnMarkers', writeTxnMarkers),
  txnOffsetCommit: api(28, 'TxnOffsetCommit', txnOffsetCommit),
  describeAcls: api(29, 'DescribeAcls', describeAcls),
  createAcls: api(30, 'CreateAcls', createAcls),
  deleteAcls: api(31, 'DeleteAcls', deleteAcls),
  describeConfigs: api(32, 'DescribeConfigs', describeConfigs),
  alterConfigs: api(33, 'AlterConfigs', alterConfigs),
  describeLogDirs: api(35, 'DescribeLogDirs', describeLogDirs),
  saslAuthenticate: api(36, 'SaslAuthenticate', saslAuthenticate),
  createPartitions: api(37, 'CreatePartitions', createPartitions),
  deleteGroups: api(42, 'DeleteGroups', deleteGroups),
  electLeaders: api(43, 'ElectLeaders', electLeaders),
  incrementalAlterConfigs: api(44, 'IncrementalAlterConfigs', incrementalAlterConfigs),
  listPartitionReassignments: api(46, 'ListPartitionReassignments', listPartitionReassignments),
  offsetDelete: api(47, 'OffsetDelete', offsetDelete),
  describeClientQuotas: api(48, 'DescribeClientQuotas', describeClientQuotas),
  alterClientQuotas: api(49, 'AlterClientQuotas', alterClientQuotas),
  describeUserScramCredentials: api(50, 'DescribeUserScramCredentials', describeUserScramCredentials),
  alterUserScramCredentials: api(51, 'AlterUserScramCredentials', alterUserScramCredentials),
  describeQuorum: api(55, 'DescribeQuorum', describeQuorum),
  describeCluster: api(60, 'DescribeCluster', describeCluster),
  describeProducers: api(61, 'DescribeProducers', describeProducers),
  describeTransactions: api(65, 'DescribeTransactions', describeTransactions),
  listTransactions: api(66, 'ListTransactions', listTransactions),
  getTelemetrySubscriptions: api(71, 'GetTelemetrySubscriptions', getTelemetrySubscriptions),
  pushTelemetry: api(72, 'PushTelemetry', pushTelemetry),
  listConfigResources: api(74, 'ListConfigResources', listConfigResources),
  describeTopicPartitions: api(75, 'DescribeTopicPartitions', describeTopicPartitions),
  shareGroupHeartbeat: api(76, 'ShareGroupHeartbeat', shareGroupHeartbeat),
  shareGroupDescribe: api(77, 'ShareGroupDescribe', shareGroupDescribe),
  shareFetch: api(78, 'ShareFetch', { request: compile(shareFetch.request), response: compile(shareFetch.response) }),
  shareAcknowledge: api(79, 'ShareAcknowledge', {
    request: compile(shareAcknowledge.request),
    response: compile(shareAcknowledge.response),
  }),
  describeShareGroupOffsets: api(90, 'DescribeShareGroupOffsets', describeShareGroupOffsets),
  alterShareGroupOffsets: api(91, 'AlterShareGroupOffsets', alterShareGroupOffsets),
  deleteShareGroupOffsets: api(92, 'DeleteShareGroupOffsets', deleteShareGroupOffsets),
  consumerGroupHeartbeat: api(68, 'ConsumerGroupHeartbeat', consumerGroupHeartbeat),
  consumerGroupDescribe: api(69, 'ConsumerGroupDescribe', consumerGroupDescribe),
} as const

export type ApiName = keyof typeof apis
