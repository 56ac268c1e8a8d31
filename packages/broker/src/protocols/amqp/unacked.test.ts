import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { inRuns, Unacked, type Delivery } from './unacked.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

interface Taker {
  name: string
  isOver: boolean
}
const taker = (name: string): Taker => ({ name, isOver: false })

test('a tag is settled once', () => {
  const unacked = new Unacked<Taker>()
  const holder = taker('a')
  assert.equal(unacked.add(holder, 70), 1)
  assert.equal(unacked.skip(), 2)
  assert.equal(unacked.add(holder, 72), 3)
  assert.equal(unacked.size, 2)
  assert.deepEqual(unacked.take(3), { tag: 3, holder, offset: 72 })
  for (const tag of [0, 2, 3, 4, 1e15, -1]) assert.equal(unacked.take(tag), undefined)
  assert.equal(unacked.size, 1)
  unacked.restore({ tag: 3, holder, offset: 72 })
  assert.deepEqual(
    unacked.takeUpTo(3).map(({ tag }) => tag),
    [1, 3],
  )
  assert.equal(unacked.size, 0)
})

test(`all that is delivered is there until it is taken (SEED=${seed})`, () => {
  const random = new Random(seed)
  const holders = [taker('a'), taker('b')]
  const unacked = new Unacked<Taker>()
  const expected = new Map<number, Delivery<Taker>>()
  for (let step = 0; step < 30_000; step++) {
    const dice = random.below(100)
    if (dice < 50) {
      const holder = holders[random.below(2)]!
      const tag = unacked.add(holder, step)
      expected.set(tag, { tag, holder, offset: step })
    } else if (dice < 95) {
      const tags = [...expected.keys()].slice(0, 20)
      const tag = tags[random.below(Math.max(1, tags.length))] ?? 0
      assert.deepEqual(unacked.take(tag), expected.get(tag))
      const delivery = expected.get(tag)
      expected.delete(tag)
      if (delivery && random.below(10) === 0) {
        unacked.restore(delivery)
        expected.set(tag, delivery)
      }
    } else if (dice === 99 && random.below(40) === 0) {
      const tags = [...expected.keys()].toSorted((a, b) => a - b)
      const last = tags[random.below(Math.max(1, tags.length))] ?? 0
      const wanted = tags.filter(tag => tag <= last).map(tag => expected.get(tag))
      for (const tag of tags) if (tag <= last) expected.delete(tag)
      assert.deepEqual(unacked.takeUpTo(last), wanted)
    } else unacked.skip()
    assert.equal(unacked.size, expected.size)
  }
})

test('what is settled soon leaves nothing behind, and what is not no more than itself', () => {
  const unacked = new Unacked<Taker>()
  const holder = taker('a')
  // Each second one has not to be settled, the last of each chunk among them.
  for (let count = 0; count < 5000; count++) {
    const tag = unacked.add(holder, count)
    assert.equal(unacked.skip(), tag + 1)
    if (tag % 1001 !== 0) assert(unacked.take(tag))
  }
  assert.deepEqual([unacked.size, unacked.chunkCount], [5, 1])
  const left = unacked.takeUpTo(Infinity)
  assert.deepEqual(
    left.map(({ tag }) => tag),
    [1001, 3003, 5005, 7007, 9009],
  )
  for (const delivery of left) unacked.restore(delivery)
  assert.deepEqual([unacked.size, unacked.chunkCount <= 1], [5, true])
  assert.deepEqual(unacked.take(3003), left[1])
  assert.deepEqual(unacked.takeUpTo(7007), [left[0], left[2], left[3]])
})

test('messages that follow each other are one run for each holder', () => {
  const [a, b, gone] = [taker('a'), taker('b'), { ...taker('gone'), isOver: true }]
  const deliveries = [
    { tag: 1, holder: a, offset: 10 },
    { tag: 2, holder: b, offset: 50 },
    { tag: 3, holder: a, offset: 11 },
    { tag: 4, holder: gone, offset: 12 },
    { tag: 5, holder: a, offset: 13 },
    { tag: 6, holder: b, offset: 51 },
  ]
  const runs: unknown[] = []
  inRuns(deliveries, ({ name }, first, last) => runs.push([name, first, last]))
  assert.deepEqual(runs, [
    ['a', 10, 11],
    ['a', 13, 13],
    ['b', 50, 51],
  ])
})
