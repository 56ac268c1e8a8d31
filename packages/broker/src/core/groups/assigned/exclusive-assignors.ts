import type { Assignor } from './assignor.ts'
import { assignRanges } from './range-assignor.ts'
import { assignUniformly } from './uniform-assignor.ts'

/** For groups whose partitions are read by one member each. The first one is used when members do not choose. */
export const exclusiveAssignors: ReadonlyMap<string, Assignor> = new Map([
  ['uniform', assignUniformly],
  ['range', assignRanges],
])
