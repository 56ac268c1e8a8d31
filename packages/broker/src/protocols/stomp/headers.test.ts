import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError } from '@dragoman/wire'
import { headerLine, headersOf, readHeaders, rewritten, type Version } from './headers.ts'

const read = (head: string, version: Version, opens = false): [string, string][] =>
  readHeaders(Buffer.from(head), version, opens).headers.entries()

test('headers are read as their version writes them', () => {
  assert.deepEqual(read('SEND\na:1\\c2\\n3\\\\n\\r', '1.2'), [['a', '1:2\n3\\n\r']])
  assert.deepEqual(read('SEND\nx\\cy:1:2', '1.1'), [['x:y', '1:2']])
  assert.deepEqual(read('SEND\r\na: b \r\nc:\r', '1.2'), [
    ['a', ' b '],
    ['c', ''],
  ])
  assert.deepEqual(read('SEND\na: b \nc:d\\n', '1.0'), [
    ['a', 'b'],
    ['c', 'd\\n'],
  ])
  assert.deepEqual(read('CONNECT\npasscode:a\\b', '1.2', true), [['passcode', 'a\\b']])
  assert.equal(readHeaders(Buffer.from('SEND\na:1\na:2'), '1.2', false).headers.get('a'), '1')
})

test('what is no header is refused in words', () => {
  const wrong: [string | Buffer, Version, RegExp][] = [
    ['SEND\na', '1.2', /form name:value, got "a"/],
    ['SEND\n:a', '1.2', /form name:value/],
    ['SEND\na:\\t', '1.2', /"\\\\t" is no escape that STOMP 1.2 knows/],
    ['SEND\na:b\\', '1.2', /no escape/],
    ['SEND\na:\\r', '1.1', /"\\\\r" is no escape that STOMP 1.1 knows/],
    ['SEND\na:\\\\\\x', '1.2', /"\\\\x" is no escape/],
    ['SEND\na:\0b', '1.2', /does not end with an empty line/],
    [Buffer.from('SEND\na:\xff', 'latin1'), '1.2', /not UTF-8/],
    [`SEND${'\na:b'.repeat(1001)}`, '1.2', /at most 1000 headers/],
  ]
  for (const [head, version, expected] of wrong) {
    assert.throws(
      () => readHeaders(Buffer.from(head), version, false),
      (error: unknown) => error instanceof ProtocolError && expected.test(error.message),
      String(head).slice(0, 40),
    )
  }
})

test('lines are written for each version, and read back', () => {
  const value = 'a:b\\c\nd\re'
  assert.equal(headerLine('n', value), 'n:a\\cb\\\\c\\nd\\re\n')
  assert.equal(headerLine('n', value, '1.1'), 'n:a\\cb\\\\c\\nde\n')
  assert.equal(headerLine('n:m', value, '1.0'), 'n_m:a:b\\c d e\n')
  const lines = headerLine('n:m', value) + headerLine('plain', 'x')
  assert.deepEqual(headersOf(lines).entries(), [
    ['n:m', value],
    ['plain', 'x'],
  ])
  assert.equal(rewritten(lines, '1.2'), lines)
  assert.equal(rewritten(lines, '1.1'), headerLine('n:m', value, '1.1') + headerLine('plain', 'x'))
  assert.equal(rewritten(lines, '1.0'), headerLine('n:m', value, '1.0') + headerLine('plain', 'x'))
})
