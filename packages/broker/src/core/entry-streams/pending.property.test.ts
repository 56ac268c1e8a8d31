import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { PendingList, type PendingRow } from './pending.ts'
import { RemovedOffsets } from './removed.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test(`a list of pending entries does what a sorted table does (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 20; round++) {
    const model = new Map<number, PendingRow>()
    const list = new PendingList()
    const span = [20, 1000, 20_000][random.below(3)]!
    let next = 0
    for (let step = 0; step < 4000; step++) {
      const isNew = random.below(3) > 0
      const offset = isNew ? (next += 1 + random.below(3)) : random.below(Math.min(span, next + 1))
      const row = { offset, ms: offset >> 3, seq: offset & 7, holder: 1 + random.below(3), timeMs: step, count: step }
      if (isNew || random.below(4) === 0) {
        list.set(row)
        model.set(offset, row)
      } else if (list.find(offset)) {
        assert(model.delete(offset))
        list.remove()
      } else assert(!model.has(offset))
      assert.equal(list.size, model.size)
      // Bursts of acknowledgements, as they are usual.
      if (random.below(500) === 0)
        for (const each of model.keys()) if (list.findId(model.get(each)!) && model.delete(each)) list.remove()
    }
    const sorted = [...model.values()].sort((a, b) => a.offset - b.offset)
    assert.deepEqual([...list.from(undefined)], sorted)
    assert.deepEqual(list.first, sorted[0])
    assert.deepEqual(list.last, sorted.at(-1))
    const from = { ms: span >> 4, seq: 3 }
    const behind = sorted.filter(({ ms, seq }) => ms > from.ms || (ms === from.ms && seq >= from.seq))
    assert.deepEqual([...list.from(from)], behind)
    assert.deepEqual(
      [...list.from(from, 2)],
      behind.filter(({ holder }) => holder === 2),
    )
    const out = new Writer()
    list.save(out)
    const copy = new PendingList()
    copy.load(new Reader(out.take()))
    assert.deepEqual([...copy.from(undefined)], sorted)
  }
})

test(`offsets that were removed are counted and passed over (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 30; round++) {
    const model = new Set<number>()
    const removed = new RemovedOffsets()
    const span = 1 + random.below(20_000)
    for (let count = random.below(4000); count > 0; count--) {
      const offset = random.below(span)
      removed.add(offset)
      model.add(offset)
    }
    const below = random.below(span)
    removed.dropBelow(below)
    for (const offset of model) if (offset < below) model.delete(offset)
    assert.equal(removed.size, model.size)
    for (let tries = 0; tries < 20; tries++) {
      const first = random.below(span)
      const last = first + random.below(span)
      assert.equal(removed.count(first, last), [...model].filter(each => each >= first && each <= last).length)
      assert.equal(removed.has(first), model.has(first))
      let left = random.below(3000)
      const behind = removed.after(below, left)
      let at = below
      for (; left > 0; at++) if (!model.has(at)) left--
      // What follows and is removed may be passed over, too.
      for (let each = at; each < behind; each++) assert(model.has(each))
      assert(behind >= at)
    }
    const out = new Writer()
    removed.save(out)
    const copy = new RemovedOffsets()
    copy.load(new Reader(out.take()))
    assert.equal(copy.size, model.size)
    for (const offset of model) assert(copy.has(offset))
  }
})
