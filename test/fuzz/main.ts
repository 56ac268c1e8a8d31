import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startDragoman } from '../support/dragoman.ts'
import { fuzz } from './campaign.ts'
import { askVersions, storeAndRead } from './sanity.ts'

const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: String(Date.now() >>> 0) },
    connections: { type: 'string', default: '8' },
    'rss-max': { type: 'string', default: '500' },
  },
})
const rssMbMax = Number(values['rss-max'])
console.log(`node test/fuzz/main.ts --frames ${values.frames} --seed ${values.seed}`)
const directory = mkdtempSync(join(tmpdir(), 'dragoman-fuzz-'))
// Hostile requests that are well formed do make topics and groups: their number is limited, as an operator would.
const limits = ['--topics-max', '2000', '--partitions-max', '20000', '--groups-max', '2000', '--log-level', 'error']
const broker = await startDragoman({ data: join(directory, 'data'), durability: 'os', args: limits })
const startedAt = performance.now()
let printed = 0
try {
  const summary = await fuzz({
    port: broker.port,
    frames: Number(values.frames),
    seed: Number(values.seed),
    connections: Number(values.connections),
    async watch(done) {
      if (!broker.process.running) throw new Error(`The broker died:\n${broker.process.tail()}`)
      await askVersions(broker.port)
      const { rssMb, cpuSeconds } = broker.process.usage()
      if (rssMb > rssMbMax) throw new Error(`The broker takes ${Math.round(rssMb)} MB`)
      if (performance.now() - printed < 10_000) return
      printed = performance.now()
      const rate = Math.round(done / ((performance.now() - startedAt) / 1000))
      console.log(`${done} frames, ${rate} a second; broker ${Math.round(rssMb)} MB, ${Math.round(cpuSeconds)} s CPU`)
    },
  })
  await storeAndRead(broker.address)
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
