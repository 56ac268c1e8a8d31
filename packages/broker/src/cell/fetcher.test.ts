import assert from 'node:assert/strict'
import test from 'node:test'
import type { FetchResult } from './client.ts'
import { ManualClock, memoryStores, openCell, publish, turns } from './testing/cells.ts'

async function setUp(count = 3) {
  const clock = new ManualClock()
  const { cell, client } = await openCell(memoryStores(), { clock })
  const streams = Array.from({ length: count }, () => cell.define('stream'))
  await cell.durable(cell.openSeq)
  const results: FetchResult[] = []
  const fetch = (minBytes: number, maxWaitMs: number, offsets: number[] = streams.map(() => 0)): (() => void) => {
    const positions = streams.map((stream, index) => ({ stream, offset: offsets[index]!, maxBytes: 1e6 }))
    return client.fetch({ streams: positions, minBytes, maxBytes: 1e6, maxWaitMs }, result => void results.push(result))
  }
  return { clock, cell, client, streams, results, fetch }
}

test('a fetch waits until its streams have enough together', async () => {
  const { cell, client, streams, results, fetch } = await setUp()
  fetch(2000, 60_000)
  await publish(client, streams[0]!, 'x'.repeat(900))
  await publish(client, streams[1]!, 'x'.repeat(900))
  assert.equal(results.length, 0)
  await publish(client, streams[2]!, 'x'.repeat(100))
  assert.deepEqual(
    results[0]!.streams.map(({ endOffset }) => endOffset),
    [1, 1, 1],
  )
  await cell.close()
})

test('what is there already counts', async () => {
  const { cell, client, streams, results, fetch } = await setUp()
  await publish(client, streams[0]!, 'x'.repeat(900))
  await cell.checkpointer.flush()
  await publish(client, streams[1]!, 'x'.repeat(900))
  fetch(1800, 60_000)
  await turns()
  assert.equal(results.length, 1)
  fetch(1e5, 60_000)
  fetch(1e5, 0)
  await turns()
  assert.equal(results.length, 2, 'no wait is no wait')
  await cell.close()
})

test('a fetch that waits in vain is answered with what there is', async () => {
  const { clock, cell, client, streams, results, fetch } = await setUp()
  fetch(1e6, 500)
  await publish(client, streams[1]!, 'few')
  await clock.advance(499)
  assert.equal(results.length, 0)
  await clock.advance(2)
  assert.deepEqual(
    results[0]!.streams.map(({ bytes }) => bytes > 0),
    [false, true, false],
  )
  await cell.close()
})

test('a cancelled fetch is never answered', async () => {
  const { clock, cell, client, streams, results, fetch } = await setUp()
  const cancel = fetch(1, 500)
  cancel()
  cancel()
  await publish(client, streams[0]!, 'x')
  await cell.checkpointer.flush()
  fetch(1, 500)()
  await clock.advance(1000)
  assert.equal(results.length, 0)
  for (const stream of streams) assert.equal(cell.state.streams.get(stream)!.waiters?.length ?? 0, 0)
  await cell.close()
})

test('an error is answered at once, however much was asked for', async () => {
  const { cell, streams, results, fetch, client } = await setUp()
  fetch(1e6, 60_000, [0, 5, 0])
  assert.deepEqual(
    results[0]!.streams.map(({ error }) => error),
    [undefined, 'offset-out-of-range', undefined],
  )
  client.fetch(
    { streams: [{ stream: 4, offset: 0, maxBytes: 1 }], minBytes: 1, maxBytes: 1, maxWaitMs: 60_000 },
    result => results.push(result),
  )
  assert.equal(results[1]!.streams[0]!.error, 'stream-not-found')
  fetch(1, 60_000)
  cell.drop(streams[1]!)
  await turns()
  assert.deepEqual(
    results[2]!.streams.map(({ error }) => error),
    [undefined, 'stream-not-found', undefined],
  )
  await cell.close()
})

test('nothing that is not durable is seen, or wakes', async () => {
  const { cell, client, streams, results, fetch } = await setUp()
  fetch(1, 60_000)
  const done = publish(client, streams[0]!, 'x')
  assert.deepEqual(client.bounds(streams[0]!)!.endOffset, 0)
  assert.equal(results.length, 0)
  await done
  assert.equal(results.length, 1)
  await cell.close()
})

test('waiting fetches are answered when the cell closes', async () => {
  const { cell, results, fetch } = await setUp()
  fetch(1, 60_000)
  await cell.close()
  assert.deepEqual(
    results[0]!.streams.map(({ bytes }) => bytes),
    [0, 0, 0],
  )
  fetch(1, 60_000)
  assert.equal(results.length, 2)
})
