import assert from 'node:assert/strict'
import test from 'node:test'
import { dragomanIsThere } from '../../support/dragoman.ts'
import { pipeline, workerKinds } from './pipeline.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const kills = 3

for (const worker of workerKinds) {
  test(
    `${worker}: kill -9 of broker and worker leaves every record in the output once (SEED=${seed})`,
    { skip: !dragomanIsThere },
    async () => {
      const summary = await pipeline({ worker, kills, seed, log: () => undefined })
      assert.deepEqual([summary.brokerKills, summary.workerKills, summary.zombies], [kills, kills, 1])
    },
  )
}
