import type { PartitionMap } from './partitions.ts'
import { assignRanges } from './range-assignor.ts'
import { assignUniformly } from './uniform-assignor.ts'

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

/** For groups whose partitions are read by one member each. The first one is used when members do not choose. */
export const exclusiveAssignors: ReadonlyMap<string, Assignor> = new Map([
  ['uniform', assignUniformly],
  ['range', assignRanges],
])
