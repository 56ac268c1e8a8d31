import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import type { Retained } from './retained.ts'

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  process.once('exit', () => rmSync(path, { recursive: true, force: true }))
  return path
}

const message = (text: string, expiresMs = -1) => ({ value: Buffer.from(text), expiresMs })

async function textsOf(retained: Retained, pattern: string): Promise<string[]> {
  const reader = retained.reader()
  const texts: string[] = []
  for (const entry of retained.find('/', pattern)) {
    const record = await reader.read(entry)
    if (record) texts.push(`${entry.key} ${String(record.value)}`)
  }
  reader.close()
  return texts
}

const restarted = async (broker: RunningBroker, data: string): Promise<RunningBroker> => {
  await broker.close()
  return startBroker({ data })
}

test('the last message of each subject is there, and after a restart', async () => {
  const data = directory()
  let broker = await startBroker({ data })
  let { retained } = broker.core
  for (const text of ['1', '2', '3']) retained.keep('/', 'a.b', message(text))
  retained.keep('/', 'a.c', message('4'))
  retained.keep('/', 'd', message('5'))
  retained.keep('/', 'd.e', message('6'))
  assert(retained.remove('/', 'd') >= 0)
  assert.equal(retained.remove('/', 'none'), -1)
  assert.deepEqual(await textsOf(retained, 'a.*'), ['a.b 3', 'a.c 4'])
  broker = await restarted(broker, data)
  retained = broker.core.retained
  assert.deepEqual(await textsOf(retained, '#'), ['a.b 3', 'a.c 4', 'd.e 6'])
  const [first] = retained.find('/', 'a.b')
  retained.keep('/', 'a.b', message('7'))
  assert.equal(first && retained.isCurrent(first), false)
  assert.deepEqual(await textsOf(retained, 'a.#'), ['a.c 4', 'a.b 7'])
  assert.equal(retained.count, 3)
  await broker.close()
})

test('what has expired is not found, and a limit holds', async () => {
  const broker = await startBroker({ data: 'memory', retainedMax: 2 })
  const { retained } = broker.core
  assert.equal(typeof retained.keep('/', 'a', message('1', Date.now() - 1)), 'number')
  assert.equal(typeof retained.keep('/', 'b', message('2', Date.now() + 60_000)), 'number')
  assert.equal(retained.keep('/', 'c', message('3')), 'limit-reached')
  assert.deepEqual(await textsOf(retained, '#'), ['b 2'])
  await broker.close()
})

test('what was replaced needs no room for ever', async () => {
  const data = directory()
  const options = { data, flushBytes: 64 * 1024, flushIntervalMs: 100, retentionCheckIntervalMs: 100 }
  const broker = await startBroker(options)
  const { retained, cell } = broker.core
  const body = 'x'.repeat(4000)
  retained.keep('/', 'old', message('stays'))
  for (let turn = 0; turn < 40; turn++) {
    for (let key = 0; key < 10; key++) retained.keep('/', `k${key}`, message(`${turn}${body}`))
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  const [entry] = retained.find('/', 'old')
  assert(entry)
  const stream = [...Array(2000).keys()].find(id => retained.retentionOf(id) !== undefined)
  assert(stream !== undefined)
  const isSmall = (): boolean => cell.sizeBytes(stream) < 600_000
  for (let left = 100; left > 0 && !isSmall(); left--) await new Promise(resolve => setTimeout(resolve, 50))
  assert.deepEqual(await textsOf(retained, 'old'), ['old stays'])
  assert.equal((await textsOf(retained, '#')).length, 11)
  assert(isSmall(), `${cell.sizeBytes(stream)} bytes`)
  await broker.close()
})
