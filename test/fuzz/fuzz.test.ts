import assert from 'node:assert/strict'
import test from 'node:test'
import { startBroker } from '@dragoman/broker'
import { fuzz } from './campaign.ts'
import { askVersions, storeAndRead } from './sanity.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 20_000)

test(`${frames} frames that are nearly right end in answers or closed connections (SEED=${seed})`, async t => {
  const lines: string[] = []
  const limits = { topicsMax: 200, partitionsMax: 2000, groupsMax: 200, logLevel: 'error' as const }
  const broker = await startBroker({ data: 'memory', kafka: 0, ...limits }, { writeLog: line => lines.push(line) })
  t.after(() => broker.close())
  const port = broker.port('kafka')
  const summary = await fuzz({ port, frames, seed, connections: 4, watch: () => askVersions(port) })
  assert.deepEqual(lines, [])
  assert.ok(summary.answers > 0 && summary.closed > 0)
  await storeAndRead(`127.0.0.1:${port}`)
  t.diagnostic(JSON.stringify(summary))
})
