import assert from 'node:assert/strict'
import test from 'node:test'
import { newMessage, type Message } from '../../core/message.ts'
import {
  batchHeaderBytes,
  makeBatch,
  readRecords,
  type NewRecord,
  type StoredRecord,
} from '../../storage/record-batch.ts'
import { fromMessage, toMessage } from './mapping.ts'

/** As a consumer of another protocol would find the record in the log. */
function stored(record: NewRecord): StoredRecord {
  const batch = makeBatch([record])
  const [found] = readRecords(batch, batch.subarray(batchHeaderBytes))
  assert(found)
  return found
}

const properties: Partial<Message> = {
  key: Buffer.from('k'),
  contentType: 'text/plain',
  contentEncoding: 'gzip',
  correlationId: 'c1',
  replyTo: '/queue/answers',
  priority: 7,
  expirationMs: 1_800_000_000_000,
  delayUntilMs: 1_700_000_000_000,
  messageId: 'm1',
  groupId: 'g1',
}

test('a message keeps its properties through a record', () => {
  const message = { ...newMessage(Buffer.from('body'), 1000), ...properties }
  assert.deepEqual(toMessage(stored(fromMessage(message))), message)
})

test('a record keeps body, key, time and the order and repeats of its headers', () => {
  const headers = [
    { key: 'a', value: Buffer.from([0, 255]) },
    { key: 'b', value: null },
    { key: 'a', value: Buffer.from('2') },
  ]
  const record = stored({ key: null, value: null, headers, timestampMs: 5 })
  const { key, value, headers: back, timestampMs } = stored(fromMessage(toMessage(record)))
  assert.deepEqual({ key, value, headers: back, timestampMs }, { key: null, value: null, headers, timestampMs: 5 })
})

test('headers of other types become text', () => {
  const message = newMessage(null, 0)
  message.headers = [
    { name: 'n', value: 42n },
    { name: 'd', value: 1.5 },
    { name: 't', value: true },
    { name: 'when', value: { timeMs: 12 } },
    { name: 'list', value: [1n, 'x', new Map([['y', null]])] },
  ]
  const texts = fromMessage(message).headers?.map(({ value }) => Buffer.from(value ?? []).toString())
  assert.deepEqual(texts, ['42', '1.5', 'true', '12', '[1,"x",{"y":null}]'])
})

test('a header is taken for a property only if it can be one, and never sets one from another protocol', () => {
  const odd = stored({ value: null, headers: [{ key: 'priority', value: Buffer.from('high') }], timestampMs: 0 })
  assert.equal(toMessage(odd).priority, 0)
  assert.equal(toMessage(odd).headers.length, 1)
  const message = newMessage(null, 0)
  message.headers = [
    { name: 'reply-to', value: 'mine' },
    { name: '~', value: 'no envelope' },
  ]
  assert.deepEqual(
    fromMessage(message).headers?.map(({ key }) => key),
    ['x-reply-to', 'x-~'],
  )
})
