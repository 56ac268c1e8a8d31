import { runWorld, type WorkloadMaker } from './broker-world.ts'
import type { Report } from './report.ts'
import { Subjects } from './subjects.ts'

const workloads: readonly WorkloadMaker[] = [shared => new Subjects(shared)]

/** Subscriptions that outlive connections, and the last messages of topics. */
export function run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report> {
  return runWorld(seed, onTrace, workloads)
}
