import assert from 'node:assert/strict'
import test from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Random } from '@dragoman/wire'
import { recordsIn } from '../../cell/testing/cells.ts'
import { bodyOf } from '../../storage/batch-builder.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import { VolatileStreams } from './volatile-streams.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const record = (text: string) => ({ value: Buffer.from(text), timestampMs: 1000 })

function readAll(streams: VolatileStreams, stream: number, from: number, maxBytes: number): [number, string][] {
  const found: [number, string][] = []
  const end = streams.bounds(stream)?.endOffset ?? 0
  for (let offset = from; offset < end;) {
    let records: [number, string][] = []
    const position = { stream, offset, maxBytes }
    streams.fetch({ streams: [position], minBytes: 0, maxBytes, maxWaitMs: 0 }, ({ streams: [read] }) => {
      assert.equal(read?.error, undefined)
      records = recordsIn(read?.batches ?? [], offset)
    })
    if (records.length === 0) break
    found.push(...records)
    offset = (records.at(-1)?.[0] ?? 0) + 1
  }
  return found
}

test(`what is appended is there at once, until it is trimmed or swept (SEED=${seed})`, () => {
  const random = new Random(seed)
  const later: (() => void)[] = []
  const streams = new VolatileStreams({ soon: run => void later.push(run) })
  const ids = [7, 8, 9]
  const expected = new Map(ids.map(id => [id, { texts: [] as string[], start: 0, gone: new Set<number>() }]))
  for (const id of ids) streams.add(id)
  for (let step = 0; step < 3000; step++) {
    const id = random.pick(ids)
    const model = expected.get(id)!
    const text = `${step}${'x'.repeat(random.below(8) === 0 ? 3000 : 20)}`
    switch (random.below(9)) {
      case 0:
        streams.append(id, makeBatch([record(text), record(`${text}!`)]), ({ error, baseOffset }) => {
          assert.deepEqual([error, baseOffset], [undefined, model.texts.length])
        })
        model.texts.push(text, `${text}!`)
        break
      case 1:
        model.start = Math.max(model.start, random.below(model.texts.length + 1))
        void streams.trim(id, model.start)
        break
      case 2:
        if (random.below(10) > 0) break
        // Whole batches go in which nothing is needed.
        streams.sweep((stream, offset) => stream !== id || offset % 50 < 10)
        for (const at of model.texts.keys()) if (at % 50 >= 10) model.gone.add(at)
        break
      default:
        assert.equal(streams.gather(id, bodyOf(record(text))), -1)
        model.texts.push(text)
    }
    assert.equal(streams.bounds(id)?.endOffset, model.texts.length)
    assert.equal(streams.bounds(id)?.startOffset, model.start)
    if (step % 20 > 0) continue
    const found = new Map(readAll(streams, id, model.start, random.pick([1, 500, 100_000])))
    for (const [at, wanted] of model.texts.entries()) {
      if (at >= model.start && !model.gone.has(at)) assert.equal(found.get(at), wanted)
      else if (found.has(at)) assert.equal(found.get(at), wanted)
    }
    assert.equal(
      streams.bytes,
      ids.reduce((sum, each) => sum + streams.sizeBytes(each), 0),
    )
  }
  for (const id of ids) void streams.trim(id, Infinity)
  assert.equal(streams.bytes, 0)
})

test('who watches is told once for all that came in a turn, and when the stream goes', () => {
  const later: (() => void)[] = []
  const streams = new VolatileStreams({ soon: run => void later.push(run) })
  const run = (): void => later.splice(0).forEach(each => each())
  streams.add(7)
  let told = 0
  const unwatch = streams.watch(7, false, () => told++)
  for (let count = 0; count < 5; count++) streams.gather(7, bodyOf(record('x')))
  assert.equal(told, 0)
  run()
  assert.equal(told, 1)
  streams.remove(7)
  run()
  assert.equal(told, 2)
  assert.deepEqual(
    [streams.bytes, streams.bounds(7), streams.gather(7, bodyOf(record('x')))],
    [0, undefined, 'stream-not-found'],
  )
  unwatch()
  streams.add(8)
  streams.gather(8, bodyOf(record('x')))
  streams.fetch(
    { streams: [{ stream: 8, offset: 2, maxBytes: 9 }], minBytes: 0, maxBytes: 9, maxWaitMs: 0 },
    ({ streams: [read] }) => assert.equal(read?.error, 'offset-out-of-range'),
  )
})

test('what waits takes as much memory as is counted', () => {
  const streams = new VolatileStreams({ soon: () => {} })
  streams.add(7)
  for (let count = 0; count < 10; count++) {
    streams.append(7, makeBatch([record('appended')]), () => {})
    streams.gather(7, bodyOf(record('gathered')))
    streams.fetch(
      { streams: [{ stream: 7, offset: 2 * count, maxBytes: 1e6 }], minBytes: 0, maxBytes: 1e6, maxWaitMs: 0 },
      ({ streams: [read] }) => {
        for (const batch of read?.batches ?? []) assert.equal(batch.buffer.byteLength, batch.length)
      },
    )
  }
})

test('large messages that are gone leave no memory behind', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as NodeJS.GCFunction
  const streams = new VolatileStreams({ soon: () => {} })
  const large = bodyOf({ value: Buffer.alloc(4 * 1024 * 1024), timestampMs: 1000 })
  collect()
  const before = process.memoryUsage().arrayBuffers
  for (let id = 1; id <= 16; id++) {
    streams.add(id)
    streams.gather(id, bodyOf(record('small')))
  }
  for (let id = 1; id <= 16; id++) assert.equal(streams.gather(id, large), -1)
  for (let id = 1; id <= 16; id++) streams.remove(id)
  assert.equal(streams.bytes, 0)
  let left = Infinity
  // What is collected is given back a bit later.
  for (const deadline = Date.now() + 5000; left > 16 * 1024 * 1024 && Date.now() < deadline;) {
    collect()
    await new Promise(resolve => setTimeout(resolve, 10))
    left = process.memoryUsage().arrayBuffers - before
  }
  assert(left <= 16 * 1024 * 1024, `${left} bytes are left`)
})
