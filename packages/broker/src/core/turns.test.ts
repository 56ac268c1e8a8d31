import assert from 'node:assert/strict'
import test from 'node:test'
import { Turns } from './turns.ts'

test('Turns lets a few of those who wait go on in each turn, in their order', async () => {
  const soon: (() => void)[] = []
  const turns = new Turns({ soon: run => void soon.push(run) }, 4)
  const served: number[] = []
  for (let number = 0; number < 9; number++) turns.wait({ goOn: () => void served.push(number) })
  void turns.next().then(() => served.push(9))
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

test('Turns serves who waits again behind the others', () => {
  const soon: (() => void)[] = []
  const turns = new Turns({ soon: run => void soon.push(run) }, 1)
  const served: string[] = []
  const again = { goOn: () => served.push('again') < 4 && turns.wait(again) }
  turns.wait(again)
  turns.wait({ goOn: () => void served.push('other') })
  while (soon.length > 0) soon.shift()?.()
  assert.deepEqual(served, ['again', 'other', 'again', 'again'])
})
