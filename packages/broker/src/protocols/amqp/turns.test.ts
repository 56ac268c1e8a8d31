import assert from 'node:assert/strict'
import test from 'node:test'
import { Turns } from './turns.ts'

test('Turns serves four who wait in each turn, in their order', async () => {
  const soon: (() => void)[] = []
  const clock = { soon: (run: () => void): void => void soon.push(run) }
  const turns = new Turns()
  const served: number[] = []
  for (let number = 0; number < 10; number++) void turns.next(clock).then(() => served.push(number))
  for (const expected of [4, 8, 10]) {
    assert.equal(soon.length, 1)
    soon.shift()?.()
    await Promise.resolve()
    assert.deepEqual(
      served,
      Array.from({ length: expected }, (_, at) => at),
    )
  }
  assert.equal(soon.length, 0)
})
