import { runWorld, type WorkloadMaker } from './broker-world.ts'
import type { Report } from './report.ts'
import { Delays } from './delays.ts'
import { Feeding } from './feeding.ts'
import { Fleeting } from './fleeting.ts'
import { Moves } from './moves.ts'
import { Routes } from './routes.ts'
import { Tubes } from './tubes.ts'

const workloads: readonly WorkloadMaker[] = [
  shared => (shared.simulator.random.chance(0.6) ? new Tubes(shared) : undefined),
  shared => (shared.simulator.random.chance(0.8) ? new Routes(shared) : undefined),
  shared => (shared.simulator.random.chance(0.5) ? new Delays(shared) : undefined),
  shared => (shared.simulator.random.chance(0.4) ? new Moves(shared) : undefined),
  shared => (shared.simulator.random.chance(0.4) ? new Fleeting(shared) : undefined),
  shared => (shared.simulator.random.chance(0.4) ? new Feeding(shared) : undefined),
]

/** Queues of all kinds, what leads to them, and transactions between them. */
export function run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report> {
  return runWorld(seed, onTrace, workloads)
}
