import { parseArgs } from 'node:util'
import { buildTool } from '../../bench/harness/tools.ts'
import { campaign } from './campaign.ts'
import { diskErrorCampaign, missingForDiskErrors } from './disk-errors.ts'
import { messageCampaign } from './messages.ts'

const { values } = parseArgs({
  options: {
    what: { type: 'string', default: 'records' },
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() >>> 0) },
    durability: { type: 'string', default: 'fsync' },
  },
})
const { what } = values
if (what !== 'records' && what !== 'messages' && what !== 'disk')
  throw new Error(`--what takes records, messages or disk, not ${what}`)
const durability = values.durability === 'os' ? 'os' : 'fsync'
const options = {
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  durability,
  log: (text: string): void => console.log(text),
} as const
const { rounds, seed } = values
console.log(`node test/crash/main.ts --what ${what} --rounds ${rounds} --seed ${seed} --durability ${durability}`)
const startedAt = performance.now()
try {
  const campaigns = { messages: () => messageCampaign(options), disk: diskErrors, records }
  const summary = await campaigns[what]()
  console.log(JSON.stringify({ ...summary, seconds: Math.round((performance.now() - startedAt) / 1000) }))
  process.exit(0)
} catch (error) {
  console.error(error)
  process.exit(1)
}

function diskErrors(): ReturnType<typeof diskErrorCampaign> {
  const missing = missingForDiskErrors()
  if (missing !== undefined) throw new Error(missing)
  return diskErrorCampaign(options)
}

function records(): ReturnType<typeof campaign> {
  const missing = buildTool('kafka-load')
  if (missing !== undefined) console.error(`skipped librdkafka: ${missing}`)
  return campaign({ ...options, librdkafka: missing === undefined })
}
