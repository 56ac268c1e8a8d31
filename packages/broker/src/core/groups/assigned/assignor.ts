import type { PartitionMap } from './partitions.ts'

export interface AssignorMember {
  readonly memberId: string
  readonly instanceId: string | null
  /** Ids of the topics that it subscribes to and that exist. */
  readonly topics: ReadonlySet<string>
  /** What it was to have so far. */
  readonly target: PartitionMap
}

export interface AssignorInput {
  /** In the order in which they came. */
  readonly members: readonly AssignorMember[]
  /** Of all topics that any member subscribes to. */
  readonly partitionCounts: ReadonlyMap<string, number>
}

/** Decides who is to have which partition, by member id. The same input gives the same result. */
export type Assignor = (input: AssignorInput) => ReadonlyMap<string, PartitionMap>
