import assert from 'node:assert/strict'
import test from 'node:test'
import type { ConsumerId, Cursor, DropReason, LeaseSink } from './cursor.ts'
import { CursorLedger } from './test-bench.ts'

const noSink: LeaseSink = { run: () => {} }

/** A cursor with a consumer that holds [0, 9], and an heir for what expires or is delivered too often. */
function bequeathing(): {
  ledger: CursorLedger
  cursor: Cursor
  consumer: ConsumerId
  heir: ConsumerId
  log: unknown[]
} {
  const ledger = new CursorLedger()
  const cursor = ledger.open().create(7, 0)
  const consumer = cursor.join('consumer', 'session')
  const heir = cursor.join('heir', 'lasting')
  const log: unknown[] = []
  cursor.heir = reason => (reason === 'expired' || reason === 'delivery-limit' ? heir : undefined)
  cursor.watch({
    inherited: (first, last, reason) => log.push(['inherited', first, last, reason]),
    dropped: (first, last, reason) => log.push(['dropped', first, last, reason]),
  })
  cursor.acquire(consumer, { max: 10, to: 1000 }, noSink)
  return { ledger, cursor, consumer, heir, log }
}

const holders = (cursor: Cursor, first: number, last: number): unknown[] =>
  Array.from({ length: last - first + 1 }, (_, at) => cursor.holder(first + at))

test('an heir is given what would be dropped for its reason, from wherever it is, and settles it', () => {
  const { cursor, consumer, heir, log } = bequeathing()
  cursor.release(consumer, 1)
  // Returned, held by another, never delivered.
  assert.equal(cursor.drop(1, 2, 'expired'), 2)
  assert.equal(cursor.drop(10, 12, 'expired'), 3)
  assert.deepEqual(holders(cursor, 0, 3), [consumer, heir, heir, consumer])
  assert.deepEqual(holders(cursor, 10, 13), [heir, heir, heir, undefined])
  assert.deepEqual([cursor.next, cursor.inFlightCount, cursor.returnedCount, cursor.droppedCount], [13, 13, 0, 0])
  assert.equal(cursor.drop(1, 2, 'expired'), 0, 'what it has stays with it')
  assert.equal(cursor.drop(0, 0, 'over-length'), 1, 'for other reasons there is none')
  assert.equal(cursor.discard(consumer, 1, 2, 'expired'), 0, 'only the heir may')
  assert.equal(cursor.discard(heir, 0, 12, 'expired'), 5)
  assert.deepEqual([cursor.inFlightCount, cursor.droppedCount], [7, 6])
  assert.deepEqual(log, [
    ['inherited', 1, 2, 'expired'],
    ['inherited', 10, 12, 'expired'],
    ['dropped', 0, 0, 'over-length'],
    ['dropped', 1, 2, 'expired'],
    ['dropped', 10, 12, 'expired'],
  ])
})

test('beyond the delivery limit messages are inherited: given back, left behind, or out of time', () => {
  const { ledger, cursor, consumer, heir } = bequeathing()
  cursor.deliveryLimit = 1
  cursor.release(consumer, 0, 1)
  cursor.release(consumer, 2, 2, 'uncounted')
  cursor.extend(consumer, 3, 3, 50)
  ledger.clock.pass(200)
  assert.deepEqual(holders(cursor, 0, 4), [heir, heir, undefined, heir, consumer])
  cursor.leave(consumer)
  assert.deepEqual(new Set(holders(cursor, 4, 9)), new Set([heir]))
  assert.equal(cursor.returnedCount, 1)
})

test('what an heir holds is there after a restart, and who was given the rest is told that it is not the first', () => {
  const { ledger, cursor, consumer, heir } = bequeathing()
  cursor.drop(0, 0, 'expired')
  cursor.drop(0, 4, 'expired')
  cursor.ack(consumer, 9)
  const again = ledger.restart().open(cursor.id)
  assert(again)
  assert.deepEqual(holders(again, 0, 5), [heir, heir, heir, heir, heir, undefined])
  assert.equal(again.consumerNamed('heir'), heir)
  const counts: number[] = []
  const next = again.join('next', 'session')
  again.acquire(next, { max: 10, to: 12 }, { run: (first, last, count) => counts.push(first, last, count) })
  assert.deepEqual(counts, [5, 8, 2, 10, 11, 1])
  assert.equal(again.discard(heir, 0, 9, 'expired'), 5)
  assert.equal(again.floor, 5)
})

test('an heir may join when it is first needed', () => {
  const ledger = new CursorLedger()
  const cursor = ledger.open().create(7, 0)
  const asked: DropReason[] = []
  let heir: ConsumerId | undefined
  cursor.heir = reason => {
    asked.push(reason)
    return (heir ??= cursor.join('heir', 'lasting'))
  }
  assert.equal(cursor.drop(0, 9, 'over-length'), 10)
  assert.equal(cursor.consumer(heir!)?.inFlightCount, 10)
  assert.equal(new Set(asked).size, 1)
  cursor.heir = undefined
  assert.equal(cursor.drop(0, 9, 'purged'), 10)
  assert.equal(cursor.floor, 10)
})

test('the weight of messages goes with them', () => {
  const { cursor, consumer, heir } = bequeathing()
  const back: [number, number][] = []
  cursor.givenBack = (offset, bytes) => void back.push([offset, bytes])
  for (let offset = 0; offset < 10; offset++) cursor.weigh(offset, 100 + offset)
  cursor.weigh(50, 1)
  assert.equal(cursor.heldBytes, 1045)
  cursor.weigh(0, 90)
  cursor.release(consumer, 0, 1)
  assert.deepEqual(back, [
    [0, 90],
    [1, 101],
  ])
  assert.equal(cursor.heldBytes, 844)
  cursor.acquire(consumer, { max: 2, to: 10 }, noSink)
  cursor.weigh(0, 90)
  cursor.weigh(1, 101)
  assert.equal(cursor.heldBytes, 1035)
  cursor.drop(3, 3, 'expired')
  assert.deepEqual([cursor.holder(3), cursor.heldBytes], [heir, 1035])
  cursor.ack(consumer, 0, 2)
  cursor.discard(heir, 3, 3, 'expired')
  assert.equal(cursor.heldBytes, 1035 - 90 - 101 - 102 - 103)
  cursor.leave(consumer)
  assert.deepEqual([cursor.heldBytes, back.length], [0, 8])
})
