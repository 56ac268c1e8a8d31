import assert from 'node:assert/strict'
import test from 'node:test'
import { envelopeHeader, newMessage } from '../../core/message.ts'
import { Origins, type Origin } from '../../core/origins.ts'
import * as batches from '../../storage/record-batch.ts'
import { recompressBatch } from '../../storage/rebuild-batch.ts'
import { readable } from './foreign.ts'
import { origin as plain } from './mapping.ts'

/** Its envelope holds a content type. */
const other: Origin = {
  protocol: 'other',
  number: 99,
  toMessage: ({ key, value, timestampMs, headers }) => ({
    ...newMessage(value, timestampMs),
    key,
    headers: [{ name: 'count', value: 7n }],
    contentType: headers[0]?.value?.subarray(2).toString(),
  }),
}
const origins = new Origins([plain, other])

const own = (text: string) => ({
  key: Buffer.from('k'),
  value: Buffer.from(text),
  headers: [{ key: 'h', value: Buffer.from('v') }],
  timestampMs: 1000,
})
const foreign = (text: string, timestampMs = 2000) => ({
  key: Buffer.from('route'),
  value: Buffer.from(text),
  headers: [{ key: envelopeHeader, value: Buffer.from([1, 99, ...Buffer.from('text/plain')]) }],
  timestampMs,
})

function placed(batch: Buffer, offset: number): Buffer {
  batches.placeBatch(batch, 0, offset, 5)
  return batch
}

function recordsOf(slices: readonly Buffer[]): (string | number | null)[][] {
  const bytes = Buffer.concat(slices)
  const found: (string | number | null)[][] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + batches.batchBytes(bytes, at)
    const batch = Buffer.from(bytes.subarray(at, end))
    assert.equal(batches.checkBatch(batch, batch.length), undefined)
    assert.equal(batches.leaderEpoch(batch), 5)
    for (const { offset, timestampMs, value, headers } of batches.readRecords(
      batch,
      batch.subarray(batches.batchHeaderBytes),
    )) {
      found.push([offset, timestampMs, String(value), headers.map(of => `${of.key}=${String(of.value)}`).join(' ')])
    }
    at = end
  }
  return found
}

test('what clients of this protocol wrote is not touched', () => {
  const slices = [placed(batches.makeBatch([own('a'), own('b')]), 0), placed(batches.makeBatch([own('c')]), 2)]
  assert.equal(readable(slices, origins), slices)
})

test('records of other protocols get their properties as headers, at their offsets', () => {
  const first = placed(batches.makeBatch([own('a')]), 10)
  const middle = placed(batches.makeBatch([foreign('b'), own('c'), foreign('d', 2500)]), 11)
  const last = placed(batches.makeBatch([own('e')]), 14)
  const read = readable([Buffer.concat([first, middle]), last], origins)
  assert.deepEqual(recordsOf(read), [
    [10, 1000, 'a', 'h=v'],
    [11, 2000, 'b', 'count=7 content-type=text/plain'],
    [12, 1000, 'c', 'h=v'],
    [13, 2500, 'd', 'count=7 content-type=text/plain'],
    [14, 1000, 'e', 'h=v'],
  ])
  assert.equal(read[2], last, 'what needs nothing is not copied')
})

test('batches that were compressed or stamped by the broker are translated, too', () => {
  const compressed = recompressBatch(batches.makeBatch([foreign('a'), foreign('b')]), 'gzip')
  assert(compressed)
  const stamped = batches.makeBatch([foreign('c')])
  batches.stampBatch(stamped, 0, 9000)
  assert.deepEqual(recordsOf(readable([placed(compressed, 0), placed(stamped, 2)], origins)), [
    [0, 2000, 'a', 'count=7 content-type=text/plain'],
    [1, 2000, 'b', 'count=7 content-type=text/plain'],
    [2, 9000, 'c', 'count=7 content-type=text/plain'],
  ])
})

test('a mark without an envelope, and bytes that are no records, go out as they are', () => {
  const marked = placed(batches.makeBatch([own('a')], { attributes: batches.attributeBits.ownHeaders }), 0)
  assert.deepEqual(recordsOf(readable([marked], origins)), [[0, 1000, 'a', 'h=v']])
  const broken = placed(batches.makeBatch([foreign('a')]), 0)
  broken.fill(0xff, batches.batchHeaderBytes)
  assert.deepEqual(readable([broken], origins), [broken])
})
