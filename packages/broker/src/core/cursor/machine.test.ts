import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader } from '@dragoman/wire'
import { cursorFacts } from './facts.ts'
import { CursorMachine } from './machine.ts'
import { bytesOf } from './test-bench.ts'

/** Facts as they are in journals: what a release has written, later ones read. */
const story: [number, string][] = [
  [cursorFacts.opened, '8008' + '05'], // stream 1024, from offset 5
  [cursorFacts.joined, '00' + '61'], // session "a"
  [cursorFacts.joined, '01' + '6262'], // lasting "bb"
  [cursorFacts.acquired, '01' + '00' + '0108'], // a takes 5-14
  [cursorFacts.acquired, '02' + 'e807' + '1502'], // bb takes 15-18 until 1000
  [cursorFacts.acked, '00' + '0300'], // 5, 7-8
  [cursorFacts.returned, '01' + '06'], // 9, uncounted
  [cursorFacts.returned, '00' + '0900'], // 10-11
  [cursorFacts.acquired, '02' + '00' + '08'], // bb takes 10 again
  [cursorFacts.extended, 'd00f' + '14'], // 16 until 2000
  [cursorFacts.dropped, '01' + '16'], // 17 rejected
]

function told(facts: readonly [number, string][]): CursorMachine {
  const machine = new CursorMachine()
  for (const [type, hex] of facts) machine.apply(type, Buffer.from(hex, 'hex'))
  return machine
}

const runsOf = (machine: CursorMachine): string[] =>
  [...machine.runs()].map(
    ({ first, last, state, deliveryCount, consumer, deadlineMs }) =>
      `${first}-${last} ${state} ×${deliveryCount} ${consumer} ${deadlineMs}`,
  )

/** Behind the version: stream, floor, next, counts, next consumer; consumers; runs; an end. */
const storedState =
  '80100c26060206000000020000000100000000016100000002010000000262620200020200020400000200040400' +
  '02000200060002020002000204d00f02000204a01f02020204d00f00'

const expected = [
  '6-6 in-flight ×1 1 Infinity',
  '9-9 returned ×0 -1 Infinity',
  '10-10 in-flight ×2 2 Infinity',
  '11-11 returned ×1 -1 Infinity',
  '12-14 in-flight ×1 1 Infinity',
  '15-15 in-flight ×1 2 1000',
  '16-16 in-flight ×1 2 2000',
  '18-18 in-flight ×1 2 1000',
]

test('facts in the bytes of the first release with cursors lead where they led then', () => {
  const machine = told(story)
  assert.deepEqual(runsOf(machine), expected)
  assert.deepEqual([machine.stream, machine.floor, machine.next], [1024, 6, 19])
  assert.deepEqual([machine.ackedCount, machine.droppedCount], [3, 1])
  assert.deepEqual(runsOf(told([...story, [cursorFacts.restarted, '']])).slice(0, 3), [
    '6-6 returned ×1 -1 Infinity',
    '9-9 returned ×0 -1 Infinity',
    '10-10 in-flight ×2 2 Infinity',
  ])
  assert.deepEqual(runsOf(told([...story, [cursorFacts.left, '0201']])).slice(2, 4), [
    '10-11 returned ×1 -1 Infinity',
    '12-14 in-flight ×1 1 Infinity',
  ])
  const moved = told([...story, [cursorFacts.moved, 'e807']])
  assert.deepEqual([moved.floor, moved.next, runsOf(moved)], [1000, 1000, []])
})

test('a state in the bytes of the first release with cursors is read', () => {
  const stored = '01' + storedState
  const machine = new CursorMachine()
  const from = new Reader(Buffer.from(stored, 'hex'))
  machine.load(from)
  from.expectEnd()
  assert.deepEqual(runsOf(machine), expected)
  assert.deepEqual(
    [...machine.leases.holders.values()].map(({ id, name, kind, inFlightCount }) => [id, name, kind, inFlightCount]),
    [
      [1, 'a', 'session', 4],
      [2, 'bb', 'lasting', 4],
    ],
  )
  assert.equal(bytesOf(machine).toString('hex'), stored)
  assert.equal(bytesOf(told(story)).toString('hex'), stored)
})

test('what a newer release wrote is refused', () => {
  assert.throws(() => told([[99, '']]), /newer broker/)
  assert.throws(() => told([[cursorFacts.joined, '0761']]), /does not know/)
  assert.throws(() => new CursorMachine().load(new Reader(Buffer.from([2]))), /version 2/)
})
