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
import * as consumerGroupHeartbeat from './68-consumer-group-heartbeat.ts'
import * as consumerGroupDescribe from './69-consumer-group-describe.ts'
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
import type { Handler } from './handler.ts'

const all = [
  produce,
  fetch,
  listOffsets,
  metadata,
  offsetCommit,
  offsetFetch,
  findCoordinator,
  joinGroup,
  heartbeat,
  leaveGroup,
  syncGroup,
  describeGroups,
  listGroups,
  saslHandshake,
  apiVersions,
  createTopics,
  deleteTopics,
  deleteRecords,
  initProducerId,
  offsetForLeaderEpoch,
  addPartitionsToTxn,
  addOffsetsToTxn,
  endTxn,
  writeTxnMarkers,
  txnOffsetCommit,
  describeAcls,
  createAcls,
  deleteAcls,
  describeConfigs,
  alterConfigs,
  describeLogDirs,
  saslAuthenticate,
  createPartitions,
  deleteGroups,
  electLeaders,
  incrementalAlterConfigs,
  listPartitionReassignments,
  offsetDelete,
  describeClientQuotas,
  alterClientQuotas,
  describeUserScramCredentials,
  alterUserScramCredentials,
  describeQuorum,
  describeCluster,
  describeProducers,
  describeTransactions,
  listTransactions,
  consumerGroupHeartbeat,
  consumerGroupDescribe,
  getTelemetrySubscriptions,
  pushTelemetry,
  listConfigResources,
  describeTopicPartitions,
  shareGroupHeartbeat,
  shareGroupDescribe,
  shareFetch,
  shareAcknowledge,
  describeShareGroupOffsets,
  alterShareGroupOffsets,
  deleteShareGroupOffsets,
]

/** All requests that are answered, by api key. What ApiVersions offers comes from here. */
export const handlers: ReadonlyMap<number, Handler> = new Map(all.map(({ handler }) => [handler.key, handler]))
