import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { Confirms } from './confirms.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const newsOf = (confirms: Confirms): [boolean, number, boolean][] => {
  const found: [boolean, number, boolean][] = []
  confirms.tell((...news) => found.push(news))
  return found
}

test('what was taken in a row is told with one confirm', () => {
  const confirms = new Confirms()
  for (let count = 0; count < 5; count++) confirms.begin()
  for (const sequence of [1, 2, 3]) confirms.settle(sequence, true)
  assert.equal(confirms.pendingCount, 2)
  assert.deepEqual(newsOf(confirms), [[true, 3, true]])
  confirms.settle(4, true)
  assert.deepEqual(newsOf(confirms), [[true, 4, false]])
  assert.deepEqual(newsOf(confirms), [])
})

test('a refusal is told by itself, and does not pass for taken', () => {
  const confirms = new Confirms()
  for (let count = 0; count < 6; count++) confirms.begin()
  for (const sequence of [1, 2, 5, 6]) confirms.settle(sequence, true)
  for (const sequence of [3, 4]) confirms.settle(sequence, false)
  assert.deepEqual(newsOf(confirms), [
    [true, 2, true],
    [false, 4, true],
    [true, 6, true],
  ])
})

test('behind one that is pending each is told alone, and once', () => {
  const confirms = new Confirms()
  for (let count = 0; count < 4; count++) confirms.begin()
  confirms.settle(2, false)
  confirms.settle(4, true)
  assert.deepEqual(newsOf(confirms), [
    [false, 2, false],
    [true, 4, false],
  ])
  confirms.settle(1, true)
  assert.deepEqual(newsOf(confirms), [[true, 1, false]])
  confirms.settle(3, true)
  assert.deepEqual(newsOf(confirms), [[true, 3, false]])
})

test(`a publisher learns the fate of each publish exactly once (SEED=${seed})`, () => {
  const random = new Random(seed)
  const confirms = new Confirms()
  const fates: (boolean | undefined)[] = [undefined]
  const open = new Map<number, undefined>()
  const learnt: (boolean | undefined)[] = [undefined]
  const learn = (isAccepted: boolean, sequence: number, multiple: boolean): void => {
    for (let each = multiple ? 1 : sequence; each <= sequence; each++) {
      if (multiple && learnt[each] !== undefined) continue
      assert.equal(learnt[each], undefined)
      learnt[each] = isAccepted
    }
  }
  for (let step = 0; step < 20_000; step++) {
    const dice = random.below(10)
    if (dice < 5) open.set(confirms.begin(), undefined)
    else if (dice < 9) {
      const [sequence] = dice < 8 ? open.keys() : [...open.keys()].slice(-1)
      if (sequence === undefined) continue
      open.delete(sequence)
      fates[sequence] = random.below(8) > 0
      confirms.settle(sequence, fates[sequence])
    } else confirms.tell(learn)
  }
  confirms.tell(learn)
  for (let sequence = 1; sequence < fates.length; sequence++) assert.equal(learnt[sequence], fates[sequence])
  assert.equal(confirms.pendingCount, open.size)
})
