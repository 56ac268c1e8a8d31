import { pipeline, workerKinds, type WorkerKind } from '../../crash/exactly-once/pipeline.ts'
import type { Client, Report } from '../suite.ts'
import { packageVersion } from './kafkajs.ts'

const kills = 100

/**
 * The pipeline that consumes, transforms and produces with its offsets in the transaction, on brokers of its own: `kill -9` of the
 * broker and of the worker a hundred times each. The small form of it is among the tests.
 */
export const exactlyOnceClient: Client = {
  name: 'exactly-once pipeline',
  pinned: '2.2.4',
  from: 'npm (kafkajs), and our own client',
  missing: () => undefined,
  version: () => packageVersion('kafkajs'),
  run: async (_place, report) => {
    for (const worker of workerKinds) await runPipeline(worker, report)
  },
}

async function runPipeline(worker: WorkerKind, report: Report): Promise<void> {
  const name = `program: exactly once, ${worker} worker, ${kills} kills of each` as const
  const seed = Date.now() >>> 0
  try {
    const { records, zombies } = await pipeline({ worker, kills, seed, log: () => undefined })
    report(name, { kind: 'passed', detail: `${records} records, ${zombies} zombies, seed ${seed}` })
  } catch (error) {
    report(name, { kind: 'failed', reason: `seed ${seed}: ${String(error)}` })
  }
}
