import assert from 'node:assert/strict'
import test from 'node:test'
import { bodyOf } from '../storage/batch-builder.ts'
import { Fenced } from '../storage/errors.ts'
import { abandon, memoryStores, openCell, readAll, record, turns, type Stores, type TestCell } from './testing/cells.ts'

const sizes = { blockBytesMax: 4096, blockFactsMax: 40 }

async function open(stores: Stores = memoryStores()): Promise<TestCell> {
  return openCell(stores, { sizes })
}

function gather({ client }: TestCell, stream: number, text: string): number {
  const result = client.gather(stream, bodyOf(record(text)))
  assert(typeof result === 'number', String(result))
  return result
}

const textsOf = async ({ client }: TestCell, stream: number): Promise<string[]> =>
  (await readAll(client, stream)).map(([, text]) => text)

/** Each step adds a record; returns also how many steps were made. */
function adding(node: TestCell, stream: number, prefix: string, count: number): { step(): boolean; made: number } {
  const work = {
    made: 0,
    step() {
      gather(node, stream, `${prefix} ${work.made++}`)
      return work.made < count
    },
  }
  return work
}

const texts = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${prefix} ${at}`)

test('what takes several turns is in one block, in order, with what others add between them', async () => {
  const node = await open()
  const [own, others] = [node.cell.define('stream'), node.cell.define('stream')]
  await node.cell.durable(node.cell.openSeq)
  const before = node.cell.journal.durableSeq
  const work = adding(node, own, 'm', 500)
  const seqs = new Set<number>()
  const block = node.cell.longBlocks.add(work.step)
  assert(work.made > 0 && work.made < 500, 'some of it is added within the call')
  let count = 0
  for (; work.made < 500; count++) {
    seqs.add(gather(node, others, `o ${count}`))
    seqs.add(node.cell.atomic(() => void gather(node, others, `o ${++count}`)))
    assert.equal(node.cell.journal.durableSeq, before, 'nothing of it is durable before it is whole')
    const made = work.made
    await turns(1)
    assert(work.made > made && work.made - made <= 64, 'each turn adds a bit')
  }
  const seq = await block.added
  assert.deepEqual([...seqs], [seq])
  await node.cell.durable(seq)
  assert.deepEqual(await textsOf(node, own), texts('m', 500))
  assert.deepEqual(await textsOf(node, others), texts('o', count))
  await node.cell.close()
})

test('after a kill, what takes several turns is there as a whole or not at all', async () => {
  const stores = memoryStores()
  let node = await open(stores)
  const stream = node.cell.define('stream')
  gather(node, stream, 'before')
  await node.cell.durable(node.cell.openSeq)
  const half = node.cell.longBlocks.add(adding(node, stream, 'half', 200).step)
  void half.added.catch(() => {})
  await turns(2)
  node.cell.journal.abandon()
  await node.cell.checkpointer.abandon()
  node = await open(stores)
  assert.deepEqual(await textsOf(node, stream), ['before'])
  await node.cell.durable(await node.cell.longBlocks.add(adding(node, stream, 'whole', 200).step).added)
  await abandon(node)
  node = await open(stores)
  assert.deepEqual(await textsOf(node, stream), ['before', ...texts('whole', 200)])
  await node.cell.close()
})

test('several that take turns have a block each, in their order, and one that has to end does at once', async () => {
  const node = await open()
  const streams = ['a', 'b', 'c'].map(() => node.cell.define('stream'))
  const works = streams.map((stream, at) => adding(node, stream, 'abc'[at] ?? '', 150))
  const blocks = works.map(({ step }) => node.cell.longBlocks.add(step))
  assert.deepEqual(
    works.map(({ made }) => made > 0),
    [true, false, false],
  )
  blocks[2]?.finish()
  assert.equal(works[2]?.made, 150)
  const [first, second, third] = await Promise.all(blocks.map(({ added }) => added))
  assert(first !== undefined && second !== undefined && second > first)
  assert.equal(third, first, 'it joined the block that was open')
  const one = adding(node, streams[0]!, 'd', 150)
  const last = node.cell.longBlocks.add(one.step)
  last.finish()
  assert.equal(one.made, 150)
  last.finish()
  assert.equal(one.made, 150)
  await node.cell.durable(await last.added)
  assert.deepEqual(await textsOf(node, streams[1]!), texts('b', 150))
  await node.cell.close()
})

test('a checkpoint waits for the block, and a cell that closes adds the rest', async () => {
  const stores = memoryStores()
  let node = await open(stores)
  const stream = node.cell.define('stream')
  const cut = adding(node, stream, 'cut', 100)
  void node.cell.longBlocks.add(cut.step)
  assert(cut.made < 100)
  node.cell.journal.cut()
  assert.equal(cut.made, 100)
  await turns()
  const [one, two] = [adding(node, stream, 'one', 300), adding(node, stream, 'two', 300)]
  const blocks = [one, two].map(({ step }) => node.cell.longBlocks.add(step))
  const ending = node.cell.journal.ending()
  let isEnded = false
  void ending?.then(() => (isEnded = true))
  await turns(1)
  assert.deepEqual([ending !== undefined, isEnded], [true, false])
  const closed = node.cell.close()
  assert.deepEqual([one.made, two.made], [300, 300])
  await Promise.all(blocks.map(({ added }) => added))
  await closed
  assert(isEnded)
  node = await open(stores)
  assert.deepEqual(await textsOf(node, stream), [...texts('cut', 100), ...texts('one', 300), ...texts('two', 300)])
  await node.cell.close()
})

test('a disk that fills up meanwhile refuses what is new, not the rest', async t => {
  const node = await open()
  const stream = node.cell.define('stream')
  const work = adding(node, stream, 'm', 200)
  const block = node.cell.longBlocks.add(work.step)
  t.mock.getter(node.cell.journal, 'full', () => true)
  assert.equal(node.client.gather(stream, bodyOf(record('refused'))), 'storage-full')
  await node.cell.durable(await block.added)
  const late = node.cell.longBlocks.add(adding(node, stream, 'late', 1).step)
  await assert.rejects(late.added, /storage-full/)
  t.mock.restoreAll()
  assert.deepEqual(await textsOf(node, stream), texts('m', 200))
  await node.cell.close()
})

test('what a step throws is told, and the next one goes on', async () => {
  const node = await open()
  const stream = node.cell.define('stream')
  let steps = 0
  const failing = node.cell.longBlocks.add(() => {
    if (++steps > 40) throw new Error('no')
    return true
  })
  const next = node.cell.longBlocks.add(adding(node, stream, 'm', 100).step)
  await assert.rejects(failing.added, /no/)
  await node.cell.durable(await next.added)
  assert.equal((await textsOf(node, stream)).length, 100)
  const ended = node.cell.longBlocks.add(adding(node, stream, 'late', 200).step)
  node.cell.journal.abandon()
  await assert.rejects(ended.added, Fenced)
})
