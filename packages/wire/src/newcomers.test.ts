import assert from 'node:assert/strict'
import test from 'node:test'
import { addNewcomer, newcomersMax } from './newcomers.ts'

test('a copy is given memory of its own when so many others have come, and not before', () => {
  const owned: number[] = []
  const keeper = { own: (number: number) => void owned.push(number) }
  const others = { own: () => {} }
  for (const number of [7, 8]) addNewcomer(keeper, number)
  for (let count = 2; count < newcomersMax; count++) addNewcomer(others, count)
  assert.deepEqual(owned, [])
  addNewcomer(others, 0)
  assert.deepEqual(owned, [7])
  addNewcomer(others, 0)
  assert.deepEqual(owned, [7, 8])
})
