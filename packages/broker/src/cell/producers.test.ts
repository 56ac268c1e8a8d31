import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import { ProducerTable } from './producers.ts'

test('the last five batches are recognised, the one after them is taken, anything else is refused', () => {
  const table = new ProducerTable()
  for (let index = 0; index < 7; index++) table.append(1, 0, index * 10, 10, index * 100, 0)
  assert.deepEqual(table.check(1, 0, 60, 10), { offset: 600 })
  assert.deepEqual(table.check(1, 0, 20, 10), { offset: 200 })
  assert.equal(table.check(1, 0, 10, 10), 'sequence-out-of-order', 'older than what is remembered')
  assert.equal(table.check(1, 0, 60, 5), 'sequence-out-of-order', 'a part of a batch is not that batch')
  assert.equal(table.check(1, 0, 80, 1), 'sequence-out-of-order')
  assert.equal(table.check(1, 0, 70, 1), 'fresh')
})

test('sequence numbers begin again at 0 behind 2^31 - 1', () => {
  const table = new ProducerTable()
  const newest = 2 ** 31 - 1
  table.append(1, 0, newest - 4, 5, 10, 0)
  assert.equal(table.check(1, 0, 0, 3), 'fresh')
  assert.equal(table.check(1, 0, 1, 1), 'sequence-out-of-order')
  const other = new ProducerTable()
  other.append(1, 0, newest - 1, 5, 10, 0)
  assert.deepEqual(other.check(1, 0, newest - 1, 5), { offset: 10 }, 'a batch may lie across')
  assert.equal(other.check(1, 0, 3, 1), 'fresh')
})

test('a new epoch begins at 0 and fences the old one', () => {
  const table = new ProducerTable()
  table.append(1, 3, 100, 10, 0, 0)
  assert.equal(table.check(1, 2, 110, 1), 'producer-fenced')
  assert.equal(table.check(1, 4, 5, 1), 'sequence-out-of-order')
  assert.equal(table.check(1, 4, 0, 1), 'fresh')
  table.append(1, 4, 0, 1, 10, 0)
  assert.equal(table.check(1, 3, 110, 1), 'producer-fenced')
})

test('a producer that was forgotten, or never known, may begin anywhere', () => {
  const table = new ProducerTable()
  table.append(1, 0, 0, 1, 0, 1000)
  table.append(2, 0, 0, 1, 1, 2000)
  assert.deepEqual(table.silentSince(1500), [1])
  table.forget(1)
  assert.equal(table.size, 1)
  assert.equal(table.check(1, 0, 77, 1), 'fresh')
})

test('the table is the same after saving and loading', () => {
  const table = new ProducerTable()
  for (let producer = 0; producer < 50; producer++) {
    for (let index = 0; index < producer % 8; index++)
      table.append(producer * 1e10, producer, 2 ** 31 - 5 + index, 1, index, 2e12)
  }
  const out = new Writer()
  table.save(out)
  const bytes = out.take()
  const loaded = new ProducerTable()
  loaded.load(new Reader(bytes), 2)
  const again = new Writer()
  loaded.save(again)
  assert(again.take().equals(bytes))
  assert.deepEqual(loaded.check(7e10, 7, 2 ** 31 - 3, 1), { offset: 2 })
})
