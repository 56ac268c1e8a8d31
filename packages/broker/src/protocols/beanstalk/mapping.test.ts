import assert from 'node:assert/strict'
import test from 'node:test'
import { newMessage } from '../../core/message.ts'
import { fromMessage, jobRecord, numbersOf, ordinary, toMessage } from './mapping.ts'

const stored = (body: string, numbers: typeof ordinary) => {
  const { value, headers = [] } = jobRecord(Buffer.from(body), numbers)
  return {
    key: null,
    value: Buffer.from(value ?? ''),
    timestampMs: 5000,
    headers: headers.map(({ key, value: bytes }) => ({ key, value: Buffer.from(bytes ?? '') })),
  }
}

test('a job comes back with its numbers, also through the message between protocols', () => {
  const numbers = { priority: 4_294_967_295, delaySeconds: 7, ttrSeconds: 120 }
  const record = stored('body', numbers)
  assert.deepEqual(numbersOf(record.headers[0]?.value), numbers)
  const message = toMessage(record)
  assert.equal(message.priority, 0)
  assert.equal(message.delayUntilMs, 12_000)
  assert.deepEqual(fromMessage(message, 5000), { ...numbers, body: record.value })
})

test('what is more urgent than ordinary is so to others, and theirs is here', () => {
  assert.equal(toMessage(stored('', { ...ordinary, priority: 1020 })).priority, 4)
  const message = { ...newMessage(Buffer.from('x'), 0), priority: 9, delayUntilMs: 1500 }
  assert.deepEqual(fromMessage(message, 0), { body: message.body, priority: 1015, delaySeconds: 2, ttrSeconds: 60 })
})

test('an envelope of another protocol is not read as numbers', () => {
  assert.deepEqual(numbersOf(Buffer.from([1, 3, 0, 0])), ordinary)
  assert.deepEqual(numbersOf(undefined), ordinary)
  assert.equal(
    toMessage({ key: null, value: null, timestampMs: 0, headers: [{ key: '~', value: null }] }).origin,
    undefined,
  )
})
