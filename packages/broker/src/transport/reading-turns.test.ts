import assert from 'node:assert/strict'
import test from 'node:test'
import { ReadingTurns } from './reading-turns.ts'

test('ReadingTurns lets those who rest go on a few at a time, in their order', () => {
  let nowMs = 0
  const soon: (() => void)[] = []
  const turn = (): void => soon.splice(0).forEach(run => run())
  const turns = new ReadingTurns({ monotonicMs: () => nowMs, soon: run => void soon.push(run) })
  const gone: number[] = []
  const reading = (number: number) => ({ goOn: () => void gone.push(number) })
  turns.begin()
  assert.equal(turns.rests(reading(0)), false, 'the turn has just begun')
  nowMs += 25
  for (let number = 1; number <= 5; number++) assert.equal(turns.rests(reading(number)), true)
  turn()
  assert.deepEqual(gone, [1, 2])
  turns.begin()
  assert.equal(turns.rests(reading(0)), false, 'another turn has begun')
  nowMs += 25
  assert.equal(turns.rests(reading(1)), true)
  turn()
  turn()
  assert.deepEqual(gone, [1, 2, 3, 4, 5, 1])
  turn()
  assert.deepEqual(soon, [], 'nothing is planned when nobody rests')
  nowMs += 1000
  turns.begin()
  assert.equal(turns.rests(reading(0)), false)
})
