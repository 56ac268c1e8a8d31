import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBroker, type RunningBroker } from '../../packages/broker/src/index.ts'

const rounds = 3

/** Runs a broker until it has confirmed something, for a while, and kills it. */
async function live(directory: string, label: string, told: (line: string) => void): Promise<void> {
  const program = join(import.meta.dirname, 'delayed-process.ts')
  const child = spawn(process.execPath, [program, directory, label], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  lines.on('line', told)
  const closed = once(lines, 'close')
  await once(lines, 'line')
  await sleep(400 + Math.random() * 800)
  child.kill('SIGKILL')
  await closed
}

const texts = async ({ core }: RunningBroker, name: string): Promise<string[]> =>
  ((await core.queues.get('/', name)?.browse(0, 1_000_000)) ?? []).map(({ value }) => String(value))

test('kill -9: what was confirmed is published once, by all bindings; what was cancelled, not; a schedule, once for each time', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-delayed-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const confirmed = new Set<string>()
  const cancelled = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    await live(directory, String(round), line => (line[0] === '+' ? confirmed : cancelled).add(line.slice(1)))
  }
  const broker = await startBroker({ data: directory })
  t.after(() => broker.close())
  await broker.core.schedules.remove('/', 's')
  for (let left = 300; broker.core.delayed.count > 0 && left > 0; left--) await sleep(50)
  assert.equal(broker.core.delayed.count, 0)
  // What was decided last becomes durable.
  await broker.core.delayed.cancel('')
  const found = await texts(broker, 'q')
  assert.deepEqual(found, await texts(broker, 'r'))
  assert.equal(new Set(found).size, found.length, 'none twice')
  const published = new Set(found)
  for (const text of confirmed) {
    // Whether one was cancelled that nobody was told of, nobody knows.
    if (published.has(text) ? cancelled.has(text) : !text.endsWith('7')) assert.fail(`${text} is lost or came back`)
  }
  const ticks = (await broker.core.queues.get('/', 'ticks')?.browse(0, 1000)) ?? []
  const seconds = ticks.map(({ timestampMs }) => Math.floor(timestampMs / 1000))
  assert.equal(new Set(seconds).size, seconds.length, 'no time twice')
  assert(confirmed.size > 100 && cancelled.size > 0 && published.size > 100)
})
