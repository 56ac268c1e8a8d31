import * as metadata from './03-metadata.ts'
import * as apiVersions from './18-api-versions.ts'
import * as createTopics from './19-create-topics.ts'
import * as deleteTopics from './20-delete-topics.ts'
import * as describeConfigs from './32-describe-configs.ts'
import * as alterConfigs from './33-alter-configs.ts'
import * as createPartitions from './37-create-partitions.ts'
import * as incrementalAlterConfigs from './44-incremental-alter-configs.ts'
import * as describeCluster from './60-describe-cluster.ts'
import type { Handler } from './handler.ts'

const all = [
  metadata,
  apiVersions,
  createTopics,
  deleteTopics,
  describeConfigs,
  alterConfigs,
  createPartitions,
  incrementalAlterConfigs,
  describeCluster,
]

/** All requests that are answered, by api key. What ApiVersions offers comes from here. */
export const handlers: ReadonlyMap<number, Handler> = new Map(all.map(({ handler }) => [handler.key, handler]))
