import { parseArgs } from 'node:util'
import { buildTool } from '../../bench/harness/tools.ts'
import { campaign } from './campaign.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() >>> 0) },
    durability: { type: 'string', default: 'fsync' },
  },
})
const missing = buildTool('kafka-load')
if (missing !== undefined) console.error(`skipped librdkafka: ${missing}`)
const durability = values.durability === 'os' ? 'os' : 'fsync'
console.log(`node test/crash/main.ts --rounds ${values.rounds} --seed ${values.seed} --durability ${durability}`)
const startedAt = performance.now()
try {
  const summary = await campaign({
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    durability,
    librdkafka: missing === undefined,
    log: text => console.log(text),
  })
  console.log(JSON.stringify({ ...summary, seconds: Math.round((performance.now() - startedAt) / 1000) }))
  process.exit(0)
} catch (error) {
  console.error(error)
  process.exit(1)
}
