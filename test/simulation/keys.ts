import { runWorld, type WorkloadMaker } from './broker-world.ts'
import { Channels } from './channels.ts'
import { EntryStreams } from './entry-streams.ts'
import { Expiring } from './expiring.ts'
import { Lists } from './lists.ts'
import { Locks } from './locks.ts'
import type { Report } from './report.ts'
import { Values } from './values.ts'
import { Wanderers } from './wanderers.ts'

const workloads: readonly WorkloadMaker[] = [
  shared => (shared.simulator.random.chance(0.7) ? new Lists(shared) : undefined),
  shared => (shared.simulator.random.chance(0.7) ? new EntryStreams(shared) : undefined),
  shared => (shared.simulator.random.chance(0.5) ? new Values(shared) : undefined),
  shared => (shared.simulator.random.chance(0.5) ? new Expiring(shared) : undefined),
  shared => (shared.simulator.random.chance(0.5) ? new Channels(shared) : undefined),
  shared => (shared.simulator.random.chance(0.4) ? new Wanderers(shared) : undefined),
  shared => (shared.simulator.random.chance(0.4) ? new Locks(shared) : undefined),
]

/** Values by their keys: lists, streams of entries, single values, those that last for some time or get other names, locks; and channels. */
export function run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report> {
  return runWorld(seed, onTrace, workloads)
}
