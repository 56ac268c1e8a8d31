import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import test from 'node:test'
import { temporary } from '../cell/testing/cells.ts'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import { DiskError } from '../runtime/runtime.ts'
import { FileBlobStore } from './file-store.ts'
import { FaultyDisk } from './testing/faulty-disk.ts'

const isFull = (error: unknown): boolean => error instanceof DiskError && error.code === 'full'

/** A store whose disk has no descriptors left for what `isStarved` names. */
function open(t: { after(run: () => void): void }) {
  const directory = temporary(t)
  const { disk } = realRuntime()
  const faulty = new FaultyDisk(disk)
  const clock = { after: (_ms: number, run: () => void) => (setImmediate(run), () => {}) }
  const store = new FileBlobStore(directory, faulty, true, clock)
  const starve = (isStarved: (operation: string) => boolean): void => {
    faulty.fault = operation => (isStarved(operation) ? 'full' : undefined)
  }
  return { directory, store, starve, names: () => readdirSync(`${directory}/c`) }
}

test('a name that cannot be made durable for want of descriptors is not there, and can be tried again', async t => {
  const { store, starve, names } = open(t)
  await store.putIfAbsent('c/0', [Buffer.from('first')])
  let syncs = 0
  // The draft's own sync of the directory is the first.
  starve(operation => operation === 'sync directory' && ++syncs === 2)
  await assert.rejects(store.putIfAbsent('c/1', [Buffer.from('x')]), isFull)
  assert.deepEqual(names(), ['0'])
  assert.equal(await store.putIfAbsent('c/1', [Buffer.from('x')]), 'ok')
  assert.deepEqual(names(), ['0', '1'])
  await store.close()
})

test('a read waits for descriptors, and fails when there are none for long', async t => {
  const { store, starve } = open(t)
  await store.putIfAbsent('c/0', [Buffer.from('first')])
  let left = 5
  starve(operation => operation === 'open' && left-- > 0)
  const target = Buffer.alloc(5)
  assert.equal(await store.read('c/0', 0, target), 5)
  assert.deepEqual([target.toString(), left], ['first', -1])
  await store.drop(['c/0'])
  starve(operation => operation === 'open')
  await assert.rejects(store.read('c/0', 0, target), isFull)
  await store.close()
})

test('a blob that could not begin to grow holds no descriptor', { skip: process.platform !== 'linux' }, async t => {
  const { store, starve } = open(t)
  await store.putIfAbsent('c/0', [])
  const before = readdirSync('/proc/self/fd').length
  starve(operation => operation === 'sync directory')
  for (let count = 0; count < 20; count++) await assert.rejects(store.grow('c/large'), isFull)
  assert(readdirSync('/proc/self/fd').length < before + 10)
  await store.close()
})

test('a large blob is given back in pieces, and is gone also when that fails', async t => {
  const { store, starve, names } = open(t)
  const megabytes = (count: number): Buffer => Buffer.alloc(count * 1024 * 1024)
  let pieces = 0
  for (const fails of [false, true]) {
    await store.putIfAbsent('c/large', [megabytes(9)])
    await store.putIfAbsent('c/small', [megabytes(3)])
    assert.deepEqual(names(), ['large', 'small'])
    starve(operation => {
      if (operation === 'truncate') pieces++
      return fails && operation === 'truncate'
    })
    await store.drop(['c/large', 'c/small', 'c/absent'])
    starve(() => false)
    assert.deepEqual(names(), [])
  }
  assert.equal(pieces, 2 + 1)
  await store.close()
})
