import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { NewRecord } from '../../storage/record-batch.ts'
import { KafkaDriver } from './driver.ts'
import { codes } from './errors.ts'
import { ShareMember } from './share-member.ts'

const { network } = realRuntime()
const record = (text: string): NewRecord => ({ value: Buffer.from(text), timestampMs: 1_700_000_000_000 })

test('after a restart, what was accepted stays so, and what was acquired comes back', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-share-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const options = { data: directory, kafka: 0 }
  const open = async (running: RunningBroker): Promise<KafkaDriver> =>
    KafkaDriver.connect(network, { host: '127.0.0.1', port: running.port('kafka') })
  let running = await startBroker(options)
  let asking = await open(running)
  await asking.declare('work')
  const topicId = running.core.topics.get('/', 'work')?.id ?? assert.fail()
  let one = new ShareMember(asking.connection, 'group', 'one')
  await one.join(['work'])
  await asking.publish('work', ['a', 'b', 'c'].map(record))
  await one.take()
  assert.deepEqual(await one.acknowledge([{ topicId, partition: 0, first: 1, as: 'accept' }]), [0, 0])
  const { epoch, assignment } = one
  asking.close()
  await running.close()
  running = await startBroker(options)
  asking = await open(running)
  one = new ShareMember(asking.connection, 'group', 'one')
  Object.assign(one, { epoch, assignment })
  assert.equal(await one.heartbeat(), codes.none)
  one.sessionEpoch = 1
  assert.equal((await one.fetch()).errorCode, codes.shareSessionNotFound)
  one.sessionEpoch = 0
  assert.deepEqual(
    (await one.take()).map(({ offset, deliveryCount }) => [offset, deliveryCount]),
    [
      [0, 2],
      [2, 2],
    ],
  )
  asking.close()
  await running.close()
})

test('a broker that closes sends home who waits for records', async () => {
  const running = await startBroker({ data: 'memory', kafka: 0 })
  const asking = await KafkaDriver.connect(network, { host: '127.0.0.1', port: running.port('kafka') })
  await asking.declare('work')
  const one = new ShareMember(asking.connection, 'group', 'one')
  await one.join(['work'])
  const waiting = one.fetch({ maxWaitMs: 2 ** 31 - 1 })
  // It has arrived when a later connection is answered.
  const later = await KafkaDriver.connect(network, { host: '127.0.0.1', port: running.port('kafka') })
  later.close()
  await running.close()
  assert.deepEqual([(await waiting).errorCode, (await waiting).responses], [codes.none, []])
  asking.close()
})
