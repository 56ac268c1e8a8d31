import assert from 'node:assert/strict'
import test from 'node:test'
import { startBroker } from '@dragoman/broker'
import { fuzzStreams, targets } from './streams.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 10_000)

for (const target of Object.values(targets)) {
  test(`${frames} frames of ${target.name} end in answers or closed connections (SEED=${seed})`, async t => {
    const lines: string[] = []
    const limits = { queuesMax: 200, exchangesMax: 100, bindingsMax: 1000, logLevel: 'error' as const }
    const options = { data: 'memory', [target.name]: 0, ...limits }
    const broker = await startBroker(options, { writeLog: line => lines.push(line) })
    t.after(() => broker.close())
    const port = broker.port(target.name)
    const watch = (): Promise<void> => target.askSane(port)
    const summary = await fuzzStreams({ target, port, frames, seed, connections: 4, watch })
    assert.deepEqual(lines, [])
    assert(summary.answers > frames / 10, JSON.stringify(summary))
    await target.askSane(port)
    t.diagnostic(JSON.stringify(summary))
  })
}
