import assert from 'node:assert/strict'
import test from 'node:test'
import { AmqpException } from './errors.ts'
import { groupOf, readFrom, streamFilter } from './streams.ts'
import type { FieldValue, Table } from './table.ts'

const args = (name: string, field: FieldValue): Table => [{ name, ...field }]
const text = (value: string): FieldValue => ({ type: 'S', value })
const refused = (run: () => unknown, name: string): void => {
  assert.throws(run, error => error instanceof AmqpException && error.text.includes(`invalid arg '${name}'`))
}

test('a consumer begins where it says', () => {
  const nowMs = 10_000_000
  const from = (field: FieldValue) => readFrom(args('x-stream-offset', field), nowMs)
  assert.equal(readFrom([], nowMs), 'next')
  assert.equal(from(text('first')), 'first')
  assert.equal(from(text('last')), 'last')
  assert.deepEqual(from({ type: 'l', value: 7n }), { offset: 7 })
  assert.deepEqual(from({ type: 'I', value: 0 }), { offset: 0 })
  assert.deepEqual(from({ type: 'T', value: 9000n }), { timeMs: 9_000_000 })
  assert.deepEqual(from(text('1h')), { timeMs: nowMs - 3_600_000 })
  assert.deepEqual(from(text('1Y')), { timeMs: 0 })
  for (const bad of [text('soon'), text('1w'), { type: 'l', value: -1n }, { type: 't', value: true }] as const)
    refused(() => from(bad), 'x-stream-offset')
})

test('a filter wants the values that it names, and what has none when it says so', () => {
  assert.equal(streamFilter([]), undefined)
  const one = streamFilter(args('x-stream-filter', text('a')))
  assert.deepEqual([one?.('a'), one?.('b'), one?.(undefined)], [true, false, false])
  const list: FieldValue = { type: 'A', value: [text('a'), text('b')] }
  const loose = streamFilter([
    { name: 'x-stream-filter', ...list },
    { name: 'x-stream-match-unfiltered', type: 't', value: true },
  ])
  assert.deepEqual([loose?.('b'), loose?.('c'), loose?.(undefined)], [true, false, true])
  refused(() => streamFilter(args('x-stream-filter', { type: 'I', value: 1 })), 'x-stream-filter')
})

test('a group needs a name', () => {
  assert.equal(groupOf([]), undefined)
  assert.equal(groupOf(args('x-group', text('workers'))), 'workers')
  refused(() => groupOf(args('x-group', text(''))), 'x-group')
})
