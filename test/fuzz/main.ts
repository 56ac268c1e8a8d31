import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startDragoman } from '../support/dragoman.ts'
import { fuzz } from './campaign.ts'
import { askVersions, storeAndRead } from './sanity.ts'
import { fuzzStreams, targets } from './streams.ts'

const { values } = parseArgs({
  options: {
    protocol: { type: 'string', default: 'kafka' },
    frames: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: String(Date.now() >>> 0) },
    connections: { type: 'string', default: '8' },
    'rss-max': { type: 'string', default: '500' },
  },
})
const rssMbMax = Number(values['rss-max'])
const { protocol } = values
if (
  protocol !== 'kafka' &&
  protocol !== 'amqp' &&
  protocol !== 'beanstalk' &&
  protocol !== 'stomp' &&
  protocol !== 'mqtt' &&
  protocol !== 'resp'
)
  throw new Error(`--protocol takes kafka, amqp, beanstalk, stomp, mqtt or resp, not ${protocol}`)
console.log(`node test/fuzz/main.ts --protocol ${protocol} --frames ${values.frames} --seed ${values.seed}`)
const directory = mkdtempSync(join(tmpdir(), 'dragoman-fuzz-'))
// Hostile requests that are well formed do make topics, groups and queues: their number is limited, as an operator would.
const limits = {
  ...{ topics: 2000, partitions: 20_000, groups: 2000, queues: 1000, exchanges: 2000, bindings: 20_000 },
  'queue-delayed': 10_000,
  'transient-bytes': 32 * 1024 * 1024,
}
const args = Object.entries(limits).flatMap(([name, most]) => [`--${name}-max`, String(most)])
const broker = await startDragoman({
  data: join(directory, 'data'),
  durability: 'os',
  protocol,
  args: [...args, '--log-level', 'error'],
})
const startedAt = performance.now()
const target = targets[protocol]
let printed = 0
const options = {
  port: broker.port,
  frames: Number(values.frames),
  seed: Number(values.seed),
  connections: Number(values.connections),
  async watch(done: number) {
    if (!broker.process.running) throw new Error(`The broker died:\n${broker.process.tail()}`)
    await (target ? target.askSane(broker.port) : askVersions(broker.port))
    const { rssMb, cpuSeconds } = broker.process.usage()
    if (rssMb > rssMbMax) throw new Error(`The broker takes ${Math.round(rssMb)} MB`)
    if (performance.now() - printed < 10_000) return
    printed = performance.now()
    const rate = Math.round(done / ((performance.now() - startedAt) / 1000))
    console.log(`${done} frames, ${rate} a second; broker ${Math.round(rssMb)} MB, ${Math.round(cpuSeconds)} s CPU`)
  },
}
try {
  const summary = target ? await fuzzStreams({ ...options, target }) : await fuzz(options)
  await (target ? target.askSane(broker.port) : storeAndRead(broker.address))
  const { rssMb, rssPeakMb } = broker.process.usage()
  const errors = broker.process.errorLines
  if (errors.length > 0) throw new Error(`The broker logged errors:\n${errors.slice(0, 5).join('\n')}`)
  const code = await broker.process.stop()
  if (code !== 0) throw new Error(`The broker ended with ${code}:\n${broker.process.tail()}`)
  const seconds = Math.round((performance.now() - startedAt) / 1000)
  console.log(JSON.stringify({ ...summary, seconds, rssMb: Math.round(rssMb), rssPeakMb: Math.round(rssPeakMb) }))
} catch (error) {
  console.error(error)
  console.error(broker.process.tail())
  process.exitCode = 1
} finally {
  await broker.process.kill()
  rmSync(directory, { recursive: true, force: true })
}
process.exit()
