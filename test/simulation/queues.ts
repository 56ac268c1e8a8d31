import { runWorld, type WorkloadMaker } from './broker-world.ts'
import type { Report } from './report.ts'
import { Tubes } from './tubes.ts'

const workloads: readonly WorkloadMaker[] = [
  shared => (shared.simulator.random.chance(0.7) ? new Tubes(shared) : undefined),
]

/** Queues of all kinds, and what leads to them. */
export function run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report> {
  return runWorld(seed, onTrace, workloads)
}
