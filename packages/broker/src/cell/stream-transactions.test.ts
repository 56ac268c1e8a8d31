import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { attributeBits, makeBatch } from '../storage/record-batch.ts'
import type { FetchResult } from './client.ts'
import { makeMarker, readMarker } from './marker.ts'
import { StreamTransactions } from './stream-transactions.ts'
import { Stream } from './stream.ts'
import { append, closeStores, fileStores, memoryStores, openCell, temporary, turns } from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'
import { readCommitted } from './testing/committed.ts'

const seed = Number(process.env.SEED ?? 20_260)

const batch = (producerId: number, text: string, baseSequence: number, producerEpoch = 0): Buffer =>
  makeBatch([{ key: null, value: Buffer.from(text), timestampMs: 1000 }], {
    ...{ producerId, producerEpoch, baseSequence },
    attributes: attributeBits.transactional,
  })

const end = (
  { cell, client }: TestCell,
  stream: number,
  producerId: number,
  isCommitted: boolean,
  producerEpoch = 0,
): Promise<void> =>
  cell.durable(cell.atomic(() => client.endTransaction(stream, { producerId, producerEpoch, isCommitted })))

const texts = async ({ client }: TestCell, stream: number): Promise<string[]> =>
  (await readCommitted(client, stream)).map(({ text }) => text)

const ends = (client: TestCell['client'], stream: number): (number | undefined)[] => {
  const bounds = client.bounds(stream)
  return [bounds?.startOffset, bounds?.stableOffset, bounds?.endOffset]
}

test('makeMarker gives the bytes that clients read', () => {
  for (const isCommitted of [true, false]) {
    const marker = { isCommitted, coordinatorEpoch: 7 }
    const bytes = makeMarker(marker, { producerId: 5, producerEpoch: 3, timeMs: 9 })
    // Attributes: transactional and control; one record with version and kind as key, version and epoch as value.
    assert.equal(bytes.readInt16BE(21), 0x30)
    assert.equal(bytes.subarray(61).toString('hex'), `20000000080000000${isCommitted ? 1 : 0}0c00000000000700`)
    assert.deepEqual(readMarker(bytes), marker)
  }
})

test('the stable end moves when a marker is durable, not when it is decided', async () => {
  const test = await openCell(memoryStores())
  const { cell, client } = test
  const stream = cell.define('stream')
  await append(client, stream, batch(1, 'a', 0))
  assert.equal(client.bounds(stream)?.stableOffset, 0)
  const ended = end(test, stream, 1, true)
  // Decided, and another transaction begun, but not on the disk.
  void append(client, stream, batch(1, 'b', 1))
  assert.equal(client.openTransaction(stream, 1), 2)
  assert.deepEqual(await texts(test, stream), [])
  assert.equal(client.bounds(stream)?.stableOffset, 0)
  await ended
  await cell.durable(cell.journal.lastSeq)
  assert.deepEqual(ends(client, stream), [0, 2, 3])
  assert.deepEqual(await texts(test, stream), ['a'])
  await cell.close()
})

test('who waits for what is committed is woken by the stable end, not by the visible one', async () => {
  const test = await openCell(memoryStores())
  const { cell, client } = test
  const stream = cell.define('stream')
  const answers: FetchResult[] = []
  const wait = (committed: boolean, offset: number): void => {
    const streams = [{ stream, offset, maxBytes: 1e6 }]
    client.fetch({ streams, minBytes: 1, maxBytes: 1e6, maxWaitMs: 1e6, committed }, result => answers.push(result))
  }
  wait(true, 0)
  await append(client, stream, batch(1, 'a', 0))
  await append(client, stream, batch(2, 'b', 0))
  await turns()
  assert.equal(answers.length, 0)
  wait(false, 2)
  await end(test, stream, 2, true)
  await turns()
  assert.equal(answers.length, 1, 'another transaction keeps the stable end where it is')
  // Also when the records have left the tail meanwhile.
  await cell.checkpointer.flush()
  await end(test, stream, 1, false)
  await turns()
  assert.equal(answers.length, 2)
  assert.deepEqual(answers[1]?.streams[0]?.aborted, [{ producerId: 1, firstOffset: 0, lastOffset: 3 }])
  await cell.close()
})

test('a marker of a newer epoch shuts out the older, and sequence numbers begin anew', async () => {
  const test = await openCell(memoryStores())
  const { cell, client } = test
  const stream = cell.define('stream')
  await append(client, stream, batch(1, 'a', 0))
  await end(test, stream, 1, true, 1)
  assert.equal((await append(client, stream, batch(1, 'late', 1))).error, 'producer-fenced')
  assert.equal((await append(client, stream, batch(1, 'gap', 1, 1))).error, 'sequence-out-of-order')
  assert.equal((await append(client, stream, batch(1, 'b', 0, 1))).error, undefined)
  const plain = makeBatch([{ value: Buffer.from('x'), timestampMs: 1 }], {
    ...{ producerId: 1, producerEpoch: 1, baseSequence: 1 },
  })
  assert.equal((await append(client, stream, plain)).error, 'transaction-state-invalid')
  await end(test, stream, 1, true, 1)
  assert.equal((await append(client, stream, batch(1, 'c', 1, 1))).error, undefined, 'the older protocol goes on')
  assert.deepEqual(client.producers(stream), [
    {
      producerId: 1,
      epoch: 1,
      lastSequence: 1,
      lastTimeMs: client.producers(stream)![0]!.lastTimeMs,
      coordinatorEpoch: 1,
      transactionOffset: 4,
    },
  ])
  await cell.close()
})

test('open and aborted transactions are there again after a restart, from the checkpoint or the journal', async t => {
  const directory = temporary(t)
  for (let life = 0; life < 6; life++) {
    const stores = fileStores(directory)
    const test = await openCell(stores)
    const { cell, client } = test
    const stream = life === 0 ? cell.define('stream') : 1024
    const expected = Array.from(
      { length: Math.max(0, Math.floor((life - 1) / 2)) },
      (_, index) => `keep${index * 2 + 1}`,
    )
    assert.deepEqual(await texts(test, stream), expected)
    if (life > 0) {
      assert.notEqual(client.openTransaction(stream, 1), undefined)
      await end(test, stream, 1, life % 2 === 0, life)
    }
    const text = life % 2 === 1 ? `keep${life}` : `drop${life}`
    assert.equal((await append(client, stream, batch(1, text, 0, life))).error, undefined)
    if (life % 3 === 1) await cell.checkpointer.flush()
    if (life % 2 === 0) await cell.close()
    else {
      cell.journal.abandon()
      await cell.checkpointer.abandon()
    }
    await closeStores(stores)
  }
})

test('trimming forgets what was aborted below the new start; an open transaction that it meets stays open', async () => {
  const test = await openCell(memoryStores())
  const { cell, client } = test
  const stream = cell.define('stream')
  await append(client, stream, batch(1, 'a', 0))
  await append(client, stream, batch(2, 'open', 0))
  await end(test, stream, 1, false)
  await append(client, stream, batch(1, 'b', 1))
  await end(test, stream, 1, false)
  const found = cell.state.streams.get(stream)
  assert.equal(found?.abortedIn(0, 99).length, 2)
  await client.trim(stream, 3)
  assert.deepEqual(found?.abortedIn(0, 99), [{ producerId: 1, firstOffset: 3, lastOffset: 4 }])
  assert.deepEqual(ends(client, stream), [3, 3, 5])
  await append(client, stream, batch(3, 'c', 0))
  await end(test, stream, 3, true)
  await end(test, stream, 2, true)
  assert.equal(client.bounds(stream)?.stableOffset, 8)
  assert.deepEqual(await texts(test, stream), ['c'])
  await cell.close()
})

test('a stream saved by version 1 is read, and knows of no transactions', () => {
  const out = new Writer()
  out.u8(1)
  out.i64(3)
  out.i64(9)
  out.u32(0)
  out.u32(1)
  for (const number of [77]) out.i64(number)
  out.i16(2)
  out.i64(1234)
  out.u8(0)
  const stream = new Stream(1024)
  stream.load(new Reader(out.take()))
  assert.deepEqual([stream.startOffset, stream.endOffset, stream.stableEnd], [3, 9, 9])
  assert.deepEqual(
    [...stream.producers.list()],
    [{ producerId: 77, epoch: 2, lastSequence: -1, lastTimeMs: 1234, coordinatorEpoch: -1 }],
  )
})

test(`StreamTransactions finds what a search through everything finds (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 60; round++) {
    const transactions = new StreamTransactions()
    const open = new Map<number, number>()
    const aborted: { producerId: number; firstOffset: number; lastOffset: number }[] = []
    let start = 0
    let offset = 0
    for (let step = 0; step < 120; step++, offset++) {
      const producer = random.below(6)
      const first = open.get(producer)
      if (first === undefined || random.below(3) > 0) {
        transactions.begin(producer, offset)
        if (first === undefined) open.set(producer, offset)
        continue
      }
      const isCommitted = random.chance(0.5)
      transactions.end(producer, isCommitted, offset)
      open.delete(producer)
      if (!isCommitted) aborted.push({ producerId: producer, firstOffset: first, lastOffset: offset })
      if (random.chance(0.1)) transactions.trim((start = random.between(start, offset)))
      const stable = Math.min(offset + 1, ...open.values())
      assert.equal(transactions.settle(offset + 1), stable)
      const from = random.between(start, offset)
      const to = Math.min(stable, from + random.between(1, 30))
      const expected = aborted.filter(({ firstOffset, lastOffset }) => firstOffset < to && lastOffset >= from)
      assert.deepEqual(transactions.abortedIn(from, to), expected)
      const saved = new Writer()
      transactions.save(saved)
      const bytes = saved.take()
      const again = new StreamTransactions()
      again.load(new Reader(bytes))
      assert.deepEqual(again.abortedIn(from, to), expected)
      assert.equal(again.settle(offset + 1), stable)
    }
  }
})
