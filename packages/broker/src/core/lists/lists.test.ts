import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import { newcomersMax } from '@dragoman/wire'
import { startBroker, type RunningBroker } from '../../main.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { Queue } from '../queues/queue.ts'
import { BrokerError } from '../errors.ts'
import type { List } from './list.ts'

async function open(t: TestContext): Promise<RunningBroker['core']> {
  const broker = await startBroker({ data: 'memory' })
  t.after(() => broker.close())
  return broker.core
}

const push = (list: List, side: 'left' | 'right', ...values: string[]): void =>
  list.push(
    side,
    values.map(value => Buffer.from(value)),
  )
const all = (list: List): string[] => list.valuesOf(list.offsets('left', list.length)).map(String)
const durable = (core: RunningBroker['core']): Promise<void> =>
  new Promise(resolve => core.ledger.whenDurable(core.ledger.lastSeq, resolve, undefined))

/** A consumer that is given up to `prefetch` messages. */
function consumer(
  queue: Queue,
  prefetch: number,
): { bodies: string[]; offsets: number[]; end(): void; ack(at: number): void } {
  const bodies: string[] = []
  const offsets: number[] = []
  const subscription = queue.subscribe(
    { name: 'c', prefetch },
    {
      deliver: (record: RecordView) => {
        bodies.push(String(record.value))
        offsets.push(record.offset)
      },
    },
  )
  return { bodies, offsets, end: () => subscription.cancel(), ack: at => void subscription.ack(offsets[at]!) }
}

test('what others publish is added where the newest element is', async t => {
  const core = await open(t)
  const list = core.lists.use('/', 'l')
  const publish = (text: string): void => {
    core.router.post({ namespace: '/', exchange: '', key: 'l', message: { value: Buffer.from(text) } })
  }
  publish('a')
  push(list, 'right', 'b')
  await durable(core)
  list.elements.clear()
  assert.equal(list.length, 2)
  push(list, 'left', 'c')
  publish('d')
  assert.equal(list.length, 4)
  await durable(core)
  await new Promise<void>(resolve => list.elements.load(0, 3, resolve))
  assert.deepEqual(all(list), ['d', 'c', 'a', 'b'])
})

test('a list is not there when it is empty, and its queue goes some time after it', async t => {
  const core = await open(t)
  const list = core.lists.use('/', 'l')
  push(list, 'right', 'a')
  assert.deepEqual([...core.lists.names('/')], ['l'])
  assert.equal(String(list.pop('left')), 'a')
  assert.deepEqual([...core.lists.names('/')], [])
  assert.equal(core.lists.discard(list), true)
  assert.equal(core.queues.get('/', 'l'), undefined)
  await core.queues.declare('/', 'kept')
  const kept = core.lists.get('/', 'kept')
  assert(kept)
  assert.equal(core.lists.discard(kept), false)
})

test('queues whose messages have priorities are no lists', async t => {
  const core = await open(t)
  await core.queues.declare('/', 'p', new Map([['priority.max', '5']]))
  assert.throws(() => core.lists.get('/', 'p'), BrokerError)
  assert.equal(core.lists.find('/', 'p'), undefined)
})

test('what a consumer holds is in no list, and is back in its place when it is given back', async t => {
  const core = await open(t)
  const list = core.lists.use('/', 'l')
  push(list, 'right', 'b', 'c')
  push(list, 'left', 'a', 'z')
  await durable(core)
  const taker = consumer(list.queue, 2)
  while (taker.bodies.length < 2) await new Promise(resolve => setImmediate(resolve))
  // The oldest first, at whichever end they were pushed.
  assert.deepEqual(taker.bodies, ['b', 'c'])
  assert.deepEqual(all(list), ['z', 'a'])
  assert.deepEqual(list.between(1, 1).length, 1)
  taker.ack(0)
  taker.end()
  await durable(core)
  await new Promise<void>(resolve => list.elements.load(0, 3, resolve))
  assert.deepEqual(all(list), ['z', 'a', 'c'])
  assert.equal(String(list.pop('right')), 'c')
})

test('who asks for elements when others have been read is called once', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-lists-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const first = await startBroker({ data })
  const list = first.core.lists.use('/', 'l')
  // Too much to be read at once.
  for (const value of ['a', 'b']) {
    push(list, 'right', value.repeat(600_000))
    await durable(first.core)
  }
  await first.close()
  const second = await startBroker({ data })
  t.after(() => second.close())
  const { elements } = second.core.lists.use('/', 'l')
  let count = 0
  await new Promise<void>(resolve => {
    elements.load(0, 0, () => {
      assert.equal(elements.get(0)?.[0], 97)
      elements.load(1, 1, () => {
        count++
        // What was to be read twice would be read by then.
        setTimeout(resolve, 50)
      })
    })
  })
  assert.equal(count, 1)
  assert.equal(elements.get(1)?.[0], 98)
})

test('elements that stay lie with others that do, and not in what they came with', async t => {
  const core = await open(t)
  const [list, other] = [core.lists.use('/', 'l'), core.lists.use('/', 'other')]
  push(list, 'right', 'one', 'two')
  const [first] = list.offsets('left', 1)
  for (let count = 0; count < newcomersMax; count++) push(other, 'right', String(count))
  const kept = list.elements.get(first!)
  assert.equal(String(kept), 'one')
  assert.ok(kept!.buffer.byteLength <= 16 * 1024)
  assert.deepEqual(all(list), ['one', 'two'])
})
