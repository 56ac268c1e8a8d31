import assert from 'node:assert/strict'
import test from 'node:test'
import type { Retention } from './options.ts'
import { enforceRetention } from './retention.ts'
import { ManualClock, memoryStores, openCell, publish, readAll, append, record } from './testing/cells.ts'
import * as batches from '../storage/record-batch.ts'

async function filled(retention: Retention) {
  const clock = new ManualClock()
  const { cell, client } = await openCell(memoryStores(), { clock, retentionOf: () => retention })
  const stream = cell.define('stream')
  for (let index = 0; index < 10; index++) {
    await publish(client, stream, 'x'.repeat(1000), clock.nowMs() + index * 1000)
    await cell.checkpointer.flush()
  }
  return { clock, cell, client, stream }
}

test('retention by time drops extents whose newest record is too old, and no others', async () => {
  const { clock, cell, client, stream } = await filled({ ms: 60_000, bytes: -1 })
  enforceRetention(cell)
  assert.equal(client.bounds(stream)!.startOffset, 0)
  await clock.advance(64_500)
  enforceRetention(cell)
  const { startOffset } = client.bounds(stream)!
  assert(startOffset === 0 || startOffset === 5, 'extents that were merged go together')
  await clock.advance(60_000)
  enforceRetention(cell)
  assert.deepEqual(client.bounds(stream), { startOffset: 10, endOffset: 10, stableOffset: 10, epoch: 1, startEpoch: 1 })
  assert.equal(client.sizeBytes(stream), 0)
  await cell.close()
})

test('retention by size keeps at least what it says', async () => {
  const { cell, client, stream } = await filled({ ms: -1, bytes: 3000 })
  enforceRetention(cell)
  assert(client.sizeBytes(stream) >= 3000)
  assert(client.sizeBytes(stream) < 3000 + 1200)
  assert.equal(client.bounds(stream)!.startOffset, 7)
  await cell.close()
})

test('what nobody needs goes at once, in extents and in the tail, but nothing that is not durable', async () => {
  const { cell, client, stream } = await filled({ ms: -1, bytes: -1, neededFrom: 12 })
  for (const text of ['a', 'b', 'c']) await publish(client, stream, text)
  enforceRetention(cell)
  assert.deepEqual(await readAll(client, stream), [[12, 'c']])
  await cell.close()

  const all = await filled({ ms: -1, bytes: -1, neededFrom: 1_000 })
  enforceRetention(all.cell)
  assert.equal(all.client.bounds(all.stream)?.startOffset, 10)
  await all.cell.close()
})

test('what was written lately stays while it is only in the journal', async () => {
  const { cell, client, stream } = await filled({ ms: -1, bytes: 0 })
  await publish(client, stream, 'in the tail')
  enforceRetention(cell)
  assert.deepEqual(await readAll(client, stream), [[10, 'in the tail']])
  await cell.close()
})

test('after all was trimmed and the cell started again, offsets go on', async () => {
  const stores = memoryStores()
  const first = await openCell(stores)
  const stream = first.cell.define('stream')
  await publish(first.client, stream, 'a')
  await publish(first.client, stream, 'b')
  assert.equal(await first.client.trim(stream, 1e9), 2)
  await first.cell.close()
  const second = await openCell(stores)
  assert.deepEqual(second.client.bounds(stream), {
    startOffset: 2,
    endOffset: 2,
    stableOffset: 2,
    epoch: 1,
    startEpoch: 1,
  })
  assert.equal(await publish(second.client, stream, 'c'), 2)
  assert.deepEqual(await readAll(second.client, stream), [[2, 'c']])
  await second.cell.close()
})

test('producers that fell silent are forgotten, also after a restart', async () => {
  const clock = new ManualClock()
  const stores = memoryStores()
  const { cell, client } = await openCell(stores, { clock, sizes: { producerIdleMs: 1000 } })
  const stream = cell.define('stream')
  const batch = (sequence: number, producerId: number) =>
    batches.makeBatch([record('x')], { producerId, producerEpoch: 0, baseSequence: sequence })
  await append(client, stream, batch(0, 1))
  await clock.advance(2000)
  await append(client, stream, batch(0, 2))
  enforceRetention(cell)
  assert.equal(cell.state.streams.get(stream)!.producers.size, 1)
  assert.equal((await append(client, stream, batch(9, 2))).error, 'sequence-out-of-order')
  assert.equal((await append(client, stream, batch(9, 1))).error, undefined)
  await cell.close()
})

test('epochs of many starts are told, and go with what they wrote', async () => {
  const stores = memoryStores()
  let stream = -1
  for (let life = 1; life <= 6; life++) {
    const { cell, client } = await openCell(stores)
    if (life === 1) stream = cell.define('stream')
    assert.equal(cell.epoch, life)
    if (life % 2 === 1) for (let count = 0; count < 2; count++) await publish(client, stream, `life ${life}`)
    assert.deepEqual(client.epochEnd(stream, 1), { epoch: 1, endOffset: 2 })
    if (life >= 4) assert.deepEqual(client.epochEnd(stream, 4), { epoch: 3, endOffset: 4 })
    if (life === 6) {
      assert.deepEqual(client.epochEnd(stream, 99), { epoch: 5, endOffset: 6 })
      await client.trim(stream, 3)
      assert.equal(client.epochEnd(stream, 2), undefined)
      await client.trim(stream, 6)
      assert.equal(client.epochEnd(stream, 4), undefined)
      assert.deepEqual(client.bounds(stream), {
        startOffset: 6,
        endOffset: 6,
        stableOffset: 6,
        epoch: 5,
        startEpoch: 5,
      })
    }
    await cell.close()
  }
})
