import assert from 'node:assert/strict'
import test from 'node:test'
import { attributeBits, makeBatch } from '../storage/record-batch.ts'
import { append, closeStores, memoryStores, openCell, publish, record } from './testing/cells.ts'

test('who watches a stream is told when more can be read, of what it wants to read, until it has had enough', async () => {
  const stores = memoryStores()
  const { cell, client } = await openCell(stores)
  const stream = cell.define('stream')
  const told = { all: 0, committed: 0 }
  const enough = client.watch(stream, false, () => told.all++)
  client.watch(stream, true, () => told.committed++)
  await publish(client, stream, 'a')
  assert.deepEqual(told, { all: 1, committed: 1 })
  const inTransaction = { producerId: 7, producerEpoch: 0, baseSequence: 0, attributes: attributeBits.transactional }
  assert.equal((await append(client, stream, makeBatch([record('b')], inTransaction))).error, undefined)
  assert.deepEqual(told, { all: 2, committed: 1 })
  const bytes = client.readableBytes({ stream, offset: 0, maxBytes: 1e6 }, false)
  assert(bytes > client.readableBytes({ stream, offset: 0, maxBytes: 1e6 }, true))
  assert.equal(client.readableBytes({ stream, offset: 1, maxBytes: 1e6 }, true), 0)
  assert.equal(client.readableBytes({ stream, offset: 0, maxBytes: 10 }, false), 10)
  assert.equal(client.readableBytes({ stream, offset: 9, maxBytes: 10 }, false), Infinity)
  enough()
  cell.atomic(() => client.endTransaction(stream, { producerId: 7, producerEpoch: 0, isCommitted: true }))
  await cell.durable(cell.openSeq)
  assert.deepEqual(told, { all: 2, committed: 2 })
  cell.drop(stream)
  await cell.durable(cell.openSeq)
  assert.deepEqual(told, { all: 2, committed: 3 })
  client.watch(stream, false, () => assert.fail('there is no such stream'))()
  await cell.close()
  await closeStores(stores)
})

test('who watches and takes what there is does not keep a cell that has failed from telling so', async () => {
  const stores = memoryStores()
  const { cell, client, fatal } = await openCell(stores)
  const [stream, other] = [cell.define('stream'), cell.define('stream')]
  await publish(client, stream, 'a')
  let told = 0
  client.watch(stream, false, () => void cell.define('stream'))
  client.watch(other, false, () => told++)
  cell.fail(new Error('the disk is broken'))
  assert.deepEqual([fatal.map(({ message }) => message), told], [['the disk is broken'], 1])
  await closeStores(stores)
})
