import assert from 'node:assert/strict'
import test from 'node:test'
import { Gate } from './gate.ts'

test('a gate lets in so many at a time, in the order in which they came', () => {
  const gate = new Gate(2)
  const entered: number[] = []
  for (let count = 0; count < 5; count++) gate.enter(() => void entered.push(count))
  assert.deepEqual(entered, [0, 1])
  gate.leave()
  assert.deepEqual(entered, [0, 1, 2])
  gate.leave()
  gate.leave()
  assert.deepEqual(entered, [0, 1, 2, 3, 4])
  gate.leave()
  gate.leave()
  gate.enter(() => void entered.push(5))
  assert.deepEqual(entered.at(-1), 5)
})
