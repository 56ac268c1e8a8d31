import { parseArgs } from 'node:util'
import { pipeline, workerKinds } from './pipeline.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() >>> 0) },
    worker: { type: 'string' },
  },
})
for (const worker of workerKinds) {
  if (values.worker !== undefined && values.worker !== worker) continue
  console.log(`node test/crash/exactly-once/main.ts --worker ${worker} --kills ${values.kills} --seed ${values.seed}`)
  const startedAt = performance.now()
  const options = { worker, kills: Number(values.kills), seed: Number(values.seed) }
  const summary = await pipeline({ ...options, log: text => console.log(text) })
  console.log(JSON.stringify({ ...summary, seconds: Math.round((performance.now() - startedAt) / 1000) }))
}
process.exit(0)
