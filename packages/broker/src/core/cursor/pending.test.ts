import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { chunkOffsets, inFlight, PendingSet, returned, settled } from './pending.ts'

const seed = Number(process.env['SEED'] ?? 5)

/** The lowest offset of `states` at or above `from` that is in one of `wanted`. */
function lowest(states: Map<number, number>, from: number, ...wanted: number[]): number {
  let found = Infinity
  for (const [offset, state] of states) if (offset >= from && offset < found && wanted.includes(state)) found = offset
  return found
}

test(`PendingSet finds what a map of all offsets would find, over many sparse chunks (SEED=${seed})`, () => {
  const random = new Random(seed)
  const set = new PendingSet()
  const states = new Map<number, number>()
  let end = 0
  for (let step = 0; step < 4_000; step++) {
    const offsets = [...states.keys()]
    const some = (): number =>
      offsets.length === 0 || random.chance(0.1) ? random.below(end + 10) : random.pick(offsets)
    const action = random.below(10)
    if (action < 3 && states.size < 400) {
      const first = end + random.pick([0, 1, chunkOffsets, 20 * chunkOffsets])
      const last = first + random.pick([0, 3, 40])
      set.open(first, last)
      for (let offset = first; offset <= last; offset++) states.set(offset, inFlight)
      end = last + 1
    } else if (action < 6) {
      const offset = some()
      assert.equal(set.settle(offset), states.get(offset) ?? settled)
      states.delete(offset)
    } else if (action < 8) {
      const offset = some()
      set.giveBack(offset)
      if (states.has(offset)) states.set(offset, returned)
    } else {
      const offset = some()
      set.takeAgain(offset)
      if (states.has(offset)) states.set(offset, inFlight)
    }
    const from = random.chance(0.5) ? 0 : random.below(end + 10)
    assert.equal(set.nextPending(from), lowest(states, from, inFlight, returned))
    assert.equal(set.nextReturned(from), lowest(states, from, returned))
    assert.equal(set.stateOf(from), states.get(from) ?? settled)
    assert.equal(set.pendingCount, states.size)
    if (random.chance(0.002)) {
      set.clear()
      states.clear()
    }
    if (random.chance(0.01)) set.compact()
  }
})

test('PendingSet opens whole chunks at once', () => {
  const set = new PendingSet()
  set.open(10, 3 * chunkOffsets + 5)
  assert.equal(set.pendingCount, 3 * chunkOffsets - 4)
  assert.equal(set.nextPending(0), 10)
  assert.equal(set.stateOf(9), settled)
  for (const offset of [10, 31, 32, chunkOffsets - 1, chunkOffsets, 3 * chunkOffsets + 5]) {
    assert.equal(set.stateOf(offset), inFlight, `offset ${offset}`)
  }
  assert.equal(set.stateOf(3 * chunkOffsets + 6), settled)
})
