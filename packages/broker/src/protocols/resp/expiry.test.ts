import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { RespDriver } from './driver.ts'

const { network } = realRuntime()

/** Sends commands, one after the other, over one connection. */
async function send(broker: RunningBroker, ...lines: string[]): Promise<unknown[]> {
  const driver = await RespDriver.connect(network, { host: '127.0.0.1', port: broker.port('resp') })
  const answers: unknown[] = []
  for (const line of lines) answers.push(await driver.text(...line.split(' ')))
  driver.close()
  return answers
}

async function opened(t: TestContext, options: BrokerOptions): Promise<RunningBroker> {
  const broker = await startBroker({ ...options, resp: 0, logLevel: 'error' })
  t.after(() => broker.close())
  return broker
}

const passing = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

test('keys of all kinds end while no client is there, also after a restart', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-expiry-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let broker = await opened(t, { data })
  await send(broker, 'SET text v', 'RPUSH list a b', 'XADD stream * f v')
  await send(broker, 'PEXPIRE text 500', 'PEXPIRE list 500', 'PEXPIRE stream 500')
  await broker.close()
  broker = await opened(t, { data })
  await passing(600)
  assert.deepEqual(await send(broker, 'EXISTS text', 'EXISTS list', 'EXISTS stream'), [0, 0, 0])
})

test('what others have made since of the name of a key does not end with it', async t => {
  const broker = await opened(t, { data: 'memory' })
  const { queues, router, topics } = broker.core
  await send(broker, 'SET orders v PX 50', 'SET events v PX 50')
  await queues.declare('/', 'orders', new Map())
  const message = { namespace: '/', exchange: '', key: 'orders', message: { value: Buffer.from('w') } }
  await new Promise<unknown>(resolve => router.publish(message, resolve))
  await topics.create('/', 'events')
  await passing(100)
  assert.deepEqual(await send(broker, 'LLEN orders'), [1])
  assert(topics.get('/', 'events'))
})

test('what is made anew does not end with what had its name', async t => {
  const broker = await opened(t, { data: 'memory' })
  const { queues, topics } = broker.core
  await send(broker, 'RPUSH orders v', 'XADD events * f v', 'PEXPIRE orders 2000', 'PEXPIRE events 2000')
  await queues.remove('/', 'orders')
  await topics.remove('/', 'events')
  await queues.declare('/', 'orders', new Map())
  await topics.create('/', 'events')
  await send(broker, 'RPUSH orders w')
  await passing(2200)
  assert.deepEqual(await send(broker, 'LLEN orders'), [1])
  assert(topics.get('/', 'events'))
})
