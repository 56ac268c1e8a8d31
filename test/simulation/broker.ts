import { AssignedGroups } from './assigned-groups.ts'
import { memberSessionMs, runWorld, type WorkloadMaker } from './broker-world.ts'
import { Compacted } from './compacted.ts'
import type { Report } from './report.ts'
import { ShareGroups } from './share-groups.ts'
import { Transactions } from './transactions.ts'

const workloads: readonly WorkloadMaker[] = [
  shared => (shared.simulator.random.chance(0.6) ? new Transactions(shared) : undefined),
  shared => (shared.simulator.random.chance(0.6) ? new Compacted(shared) : undefined),
  shared => (shared.simulator.random.chance(0.6) ? new ShareGroups(shared, memberSessionMs) : undefined),
  shared => (shared.simulator.random.chance(0.6) ? new AssignedGroups(shared, memberSessionMs) : undefined),
]

/** Topics, groups of all kinds and transactions. */
export function run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report> {
  return runWorld(seed, onTrace, workloads)
}
