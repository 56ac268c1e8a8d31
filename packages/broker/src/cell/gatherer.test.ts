import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { bodyOf } from '../storage/batch-builder.ts'
import { makeBatch } from '../storage/record-batch.ts'
import { abandon, memoryStores, openCell, readAll, record, turns, type TestCell } from './testing/cells.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const body = (text: string) => bodyOf(record(text))

function gather({ client }: TestCell, stream: number, text: string): number {
  const result = client.gather(stream, body(text))
  assert(typeof result === 'number', String(result))
  return result
}

const textsOf = async ({ client }: TestCell, stream: number): Promise<string[]> =>
  (await readAll(client, stream)).map(([, text]) => text)

test('records of one turn become one batch, in one block with those of other streams', async () => {
  const node = await openCell(memoryStores())
  const [one, two] = [node.cell.define('stream'), node.cell.define('stream')]
  await node.cell.durable(node.cell.openSeq)
  const seqs = new Set<number>()
  for (let index = 0; index < 50; index++) {
    seqs.add(gather(node, one, `one ${index}`))
    seqs.add(gather(node, two, `two ${index}`))
  }
  assert.deepEqual([...seqs], [node.cell.openSeq])
  assert.deepEqual([node.client.unsettled(one), node.client.bounds(one)?.endOffset], [50, 0])
  await node.cell.durable(node.cell.openSeq)
  assert.deepEqual([node.client.unsettled(one), node.client.bounds(one)?.endOffset], [0, 50])
  for (const stream of [one, two]) assert.equal(node.cell.state.streams.get(stream)?.tail.count, 1)
  assert.deepEqual((await textsOf(node, two))[49], 'two 49')
  await node.cell.close()
})

test('a stream that is gone, a cell that closes: refused at once', async () => {
  const node = await openCell(memoryStores())
  const stream = node.cell.define('stream')
  assert.equal(node.client.gather(4711, body('x')), 'stream-not-found')
  gather(node, stream, 'x')
  node.cell.drop(stream)
  assert.equal(node.client.gather(stream, body('x')), 'stream-not-found')
  const other = node.cell.define('stream')
  const seq = gather(node, other, 'y')
  const closed = node.cell.close()
  assert.equal(node.client.gather(other, body('z')), 'shutting-down')
  await closed
  assert(node.cell.journal.durableSeq >= seq)
})

test(`what is gathered is in its block, in order with all else, whatever the block meets (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await openCell(stores, { sizes: { blockBytesMax: 4096, blockFactsMax: 40, slabBytes: 16 * 1024 } })
  let streams = Array.from({ length: 5 }, () => node.cell.define('stream'))
  const expected = new Map<number, string[]>(streams.map(stream => [stream, []]))
  let serial = 0
  const steps: (() => void)[] = [
    () => {
      const stream = random.pick(streams)
      const text = `${serial++} ${'x'.repeat(random.pick([0, 20, 200, 3000, 6000]))}`
      expected.get(stream)!.push(text)
      const count = expected.get(stream)!.length
      const { cell, client } = node
      const seq = gather(node, stream, text)
      assert(seq >= cell.openSeq - 1 && seq <= cell.openSeq)
      cell.whenDurable(seq, () => client.bounds(stream) && assert(client.bounds(stream)!.endOffset >= count), undefined)
    },
    () => {
      const stream = random.pick(streams)
      const text = String(serial++)
      expected.get(stream)!.push(text)
      const base = expected.get(stream)!.length - 1
      node.client.append(stream, makeBatch([record(text)]), ({ baseOffset }) => assert.equal(baseOffset, base))
    },
    () => {
      const before = node.cell.openSeq
      let [first, last] = [0, 0]
      const seq = node.cell.atomic(() => {
        for (const [at, stream] of streams.entries()) {
          const text = String(serial++)
          expected.get(stream)!.push(text)
          last = gather(node, stream, text)
          if (at === 0) first = last
        }
      })
      assert(first === last && last === seq && seq >= before)
    },
    () => {
      const stream = node.cell.define('stream')
      streams.push(stream)
      expected.set(stream, [])
    },
    () => {
      if (streams.length < 4) return
      const stream = random.pick(streams)
      streams = streams.filter(other => other !== stream)
      expected.delete(stream)
      node.cell.drop(stream)
    },
  ]
  for (let round = 0; round < 6; round++) {
    for (let step = 0; step < 400; step++) {
      steps[Math.min(random.below(12), random.below(30)) % steps.length]!()
      if (random.below(40) === 0) await turns(1)
      if (random.below(200) === 0) void node.cell.checkpointer.flush()
    }
    for (const stream of streams) {
      assert.equal(
        node.client.unsettled(stream) + (node.client.bounds(stream)?.endOffset ?? 0),
        expected.get(stream)!.length,
      )
    }
    assert.deepEqual(node.fatal, [])
    if (round % 2 === 0) await abandon(node)
    else await node.cell.close()
    node = await openCell(stores, { sizes: { blockBytesMax: 4096, blockFactsMax: 40, slabBytes: 16 * 1024 } })
    for (const stream of streams) assert.deepEqual(await textsOf(node, stream), expected.get(stream))
  }
  await node.cell.close()
})
