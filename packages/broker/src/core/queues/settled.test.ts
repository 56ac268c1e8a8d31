import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { LiveRecords, Retention } from '../../cell/options.ts'
import { ManualClock, memoryStores, openCell, turns, type Stores, type TestCell } from '../../cell/testing/cells.ts'
import { Cursors } from '../cursor/cursors.ts'
import { CursorMachine } from '../cursor/machine.ts'
import { DirectoryMachine } from '../directory.ts'
import { defaultLimits } from '../limits.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { Topics } from '../topics.ts'
import type { Queue } from './queue.ts'
import { Queues } from './queues.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const MiB = 1024 * 1024

interface Node extends TestCell {
  queues: Queues
  close(): Promise<void>
}

async function start(stores: Stores, flushBytes: number): Promise<Node> {
  let retentionOf = (_stream: number): Retention | undefined => undefined
  let liveOf = (_stream: number): LiveRecords | undefined => undefined
  const clock = new ManualClock()
  const cell = await openCell(stores, {
    clock,
    machines: { directory: () => new DirectoryMachine(), cursor: () => new CursorMachine() },
    sizes: { flushBytes, blockBytesMax: 256 * 1024, slabBytes: MiB },
    retentionOf: stream => retentionOf(stream),
    liveOf: stream => liveOf(stream),
  })
  const random = new Random(seed)
  await Topics.open(cell.cell, { limits: defaultLimits, random })
  const wheel = new TimerWheel(clock)
  const cursors = new Cursors(cell.cell, wheel)
  const queues = new Queues({
    ledger: cell.cell,
    cell: cell.client,
    cursors,
    wheel,
    random,
    limits: defaultLimits,
    soon: run => void setImmediate(run),
    log: (level, message) => assert.fail(`${level} ${message}`),
  })
  retentionOf = stream => queues.retentionOf(stream)
  liveOf = stream => cursors.liveOf(stream)
  const close = async (): Promise<void> => {
    queues.close()
    cursors.close()
    await cell.cell.close()
  }
  return { ...cell, queues, close }
}

const storedBytes = async ({ blobs }: Stores): Promise<number> =>
  (await blobs.list('cell/0/s/')).reduce((sum, { bytes }) => sum + bytes, 0)

const send = (queue: Queue, texts: readonly string[]): Promise<unknown> =>
  new Promise(resolve =>
    queue.publish(
      texts.map(text => ({ value: Buffer.from(text) })),
      resolve,
    ),
  )

test('one old message among a million that are settled pins itself alone', async () => {
  const stores = memoryStores()
  let node = await start(stores, 8 * MiB)
  let queue = await node.queues.declare('/', 'q')
  await send(queue, ['first'])
  const given: number[] = []
  queue.subscribe({ prefetch: 1 }, { deliver: ({ offset }) => void given.push(offset) })
  await turns()
  assert.deepEqual(given, [0])
  const batch = Array.from({ length: 10_000 }, () => 'x'.repeat(10))
  for (let count = 0; count < 100; count++) await send(queue, batch)
  await node.cell.checkpointer.settle()
  const before = await storedBytes(stores)
  assert.ok(before > 15 * MiB, `${before} bytes`)
  assert.equal(queue.purge(), 1_000_000)
  for (let round = 0; round < 4; round++) {
    await send(queue, ['young'])
    await node.cell.checkpointer.settle()
  }
  const after = await storedBytes(stores)
  assert.ok(after < before / 1000, `${after} bytes`)
  assert.deepEqual(
    (await queue.browse(0, 10)).map(({ offset, value }) => [offset, String(value)]),
    [0, 1_000_001, 1_000_002, 1_000_003, 1_000_004].map(at => [at, at === 0 ? 'first' : 'young']),
  )
  await node.close()
  node = await start(stores, 8 * MiB)
  queue = node.queues.get('/', 'q')!
  const texts: string[] = []
  queue.subscribe({}, { deliver: ({ value }) => void texts.push(String(value)) })
  await turns(60)
  assert.deepEqual(texts, ['first', 'young', 'young', 'young', 'young'])
  await node.close()
})

test(`whatever is settled in whatever order, the others stay as they are (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await start(stores, 16 * 1024)
  let queue = await node.queues.declare('/', 'q')
  const left = new Map<number, string>()
  let sent = 0
  for (let round = 0; round < 60; round++) {
    const texts = Array.from({ length: random.between(1, 40) }, () => `${sent++} ${'x'.repeat(random.below(100))}`)
    for (const [index, text] of texts.entries()) left.set(sent - texts.length + index, text)
    await send(queue, texts)
    const subscription = queue.subscribe({}, { deliver: () => {} })
    await turns(8)
    // Old ones stay the longer the older they are.
    for (const offset of left.keys()) {
      if (random.chance(0.4) && offset % 17 !== 0 && subscription.ack(offset) === 1) left.delete(offset)
    }
    subscription.cancel('uncounted')
    await node.cell.durable(queue.cursor.seq)
    if (random.chance(0.4)) await node.cell.checkpointer.settle()
    if (random.chance(0.1)) {
      await node.close()
      node = await start(stores, 16 * 1024)
      queue = node.queues.get('/', 'q')!
    }
    const found = await queue.browse(0, 10_000)
    assert.deepEqual(new Map(found.map(({ offset, value }) => [offset, String(value)])), left)
  }
  const { lastSeq } = node.cell.journal
  for (let round = 0; round < 4; round++) await node.cell.checkpointer.settle()
  const names = (await stores.blobs.list('cell/0/s/')).map(({ name }) => name)
  for (let round = 0; round < 4; round++) await node.cell.checkpointer.settle()
  assert.deepEqual(
    (await stores.blobs.list('cell/0/s/')).map(({ name }) => name),
    names,
    'it comes to rest',
  )
  assert.ok(node.cell.journal.lastSeq <= lastSeq + 8)
  await node.close()
})
