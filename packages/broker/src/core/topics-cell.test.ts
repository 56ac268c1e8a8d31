import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { Cell } from '../cell/cell.ts'
import { defaultCellSizes } from '../cell/options.ts'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import type { ChainStore } from '../storage/chain-store.ts'
import { MemoryBlobStore, MemoryChainStore } from '../storage/memory-store.ts'
import { DirectoryMachine } from './directory.ts'
import { BrokerError } from './errors.ts'
import { defaultLimits } from './limits.ts'
import { Topics } from './topics.ts'

/** A store in memory whose disk can be said to be full. */
class Chain extends (MemoryChainStore as new () => ChainStore) {
  override full = false
}

let opened = 0

interface Stores {
  chain: Chain
  blobs: MemoryBlobStore
}

async function open({ chain, blobs }: Stores): Promise<{ cell: Cell; topics: Topics }> {
  const { clock } = realRuntime()
  const random = new Random(++opened)
  const fail = (error: Error) => assert.fail(error)
  const cell = await Cell.open({
    cell: 0,
    chain,
    blobs,
    clock,
    random,
    machines: { directory: () => new DirectoryMachine() },
    sizes: defaultCellSizes,
    exclusive: true,
    retentionOf: () => undefined,
    onFatal: fail,
    onFenced: () => assert.fail('fenced'),
    log: () => {},
  })
  return { cell, topics: await Topics.open(cell, { limits: defaultLimits, random }) }
}

const refused = (code: string) => (error: unknown) => error instanceof BrokerError && error.code === code

test('topics and their streams are there again after a restart, and the removed ones are not', async () => {
  const stores = { chain: new Chain(), blobs: new MemoryBlobStore() }
  const before = await open(stores)
  const kept = await before.topics.create('/', 'kept', { partitions: 3, config: new Map([['retentionMs', '5']]) })
  const gone = await before.topics.create('/', 'gone', { partitions: 2 })
  await before.topics.remove('/', 'gone')
  assert.equal(await before.topics.nextProducerId(), 0)
  await before.cell.close()

  const after = await open(stores)
  assert.deepEqual(after.topics.list(), [kept])
  assert.deepEqual(after.topics.clusterId, before.topics.clusterId)
  for (const stream of kept.partitions) assert(after.cell.state.streams.has(stream))
  for (const stream of gone.partitions) assert(!after.cell.state.streams.has(stream))
  assert.equal(await after.topics.nextProducerId(), 1000)
  await after.cell.close()
})

test('a full disk refuses new topics and partitions, and lets topics be removed', async () => {
  const stores = { chain: new Chain(), blobs: new MemoryBlobStore() }
  const { cell, topics } = await open(stores)
  await topics.create('/', 'a', { partitions: 2 })
  stores.chain.full = true
  await assert.rejects(topics.create('/', 'b', { partitions: 3 }), refused('storage-full'))
  await assert.rejects(topics.addPartitions('/', 'a', 3), refused('storage-full'))
  assert.equal(topics.list().length, 1)
  assert.equal(cell.state.streams.size, 2)
  await topics.remove('/', 'a')
  stores.chain.full = false
  await topics.create('/', 'b')
  await cell.close()
})

test('a cell that closes refuses what it cannot promise', async () => {
  const { cell, topics } = await open({ chain: new Chain(), blobs: new MemoryBlobStore() })
  const creation = topics.create('/', 'a')
  await cell.close()
  await creation
  await assert.rejects(topics.create('/', 'b'), refused('shutting-down'))
  await assert.rejects(topics.remove('/', 'a'), refused('shutting-down'))
})
