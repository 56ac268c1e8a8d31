import assert from 'node:assert/strict'
import { compile, type Codec } from '@dragoman/wire'
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
import * as apiVersions from './18-api-versions.ts'
import * as createTopics from './19-create-topics.ts'
import * as deleteTopics from './20-delete-topics.ts'
import * as deleteRecords from './21-delete-records.ts'
import * as initProducerId from './22-init-producer-id.ts'
import * as offsetForLeaderEpoch from './23-offset-for-leader-epoch.ts'
import * as describeConfigs from './32-describe-configs.ts'
import * as alterConfigs from './33-alter-configs.ts'
import * as createPartitions from './37-create-partitions.ts'
import * as deleteGroups from './42-delete-groups.ts'
import * as incrementalAlterConfigs from './44-incremental-alter-configs.ts'
import * as offsetDelete from './47-offset-delete.ts'
import * as describeCluster from './60-describe-cluster.ts'

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
  apiVersions: api(18, 'ApiVersions', apiVersions),
  createTopics: api(19, 'CreateTopics', createTopics),
  deleteTopics: api(20, 'DeleteTopics', deleteTopics),
  deleteRecords: api(21, 'DeleteRecords', deleteRecords),
  initProducerId: api(22, 'InitProducerId', initProducerId),
  offsetForLeaderEpoch: api(23, 'OffsetForLeaderEpoch', offsetForLeaderEpoch),
  describeConfigs: api(32, 'DescribeConfigs', describeConfigs),
  alterConfigs: api(33, 'AlterConfigs', alterConfigs),
  createPartitions: api(37, 'CreatePartitions', createPartitions),
  deleteGroups: api(42, 'DeleteGroups', deleteGroups),
  incrementalAlterConfigs: api(44, 'IncrementalAlterConfigs', incrementalAlterConfigs),
  offsetDelete: api(47, 'OffsetDelete', offsetDelete),
  describeCluster: api(60, 'DescribeCluster', describeCluster),
} as const

export type ApiName = keyof typeof apis
