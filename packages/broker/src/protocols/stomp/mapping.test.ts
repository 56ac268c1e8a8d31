import assert from 'node:assert/strict'
import test from 'node:test'
import { envelopeHeader, newMessage, type Message } from '../../core/message.ts'
import { headersOf } from './headers.ts'
import { envelopeOf, fromMessage, isOwn, linesOf, toMessage } from './mapping.ts'

const stored = (lines: string, headers = [{ key: envelopeHeader, value: envelopeOf(lines) }]) => ({
  key: Buffer.from('q'),
  value: Buffer.from('body'),
  timestampMs: 5000,
  headers,
})

test('headers become properties, the rest stays as it is', () => {
  const message = toMessage(
    stored(
      'destination:/queue/q\ncontent-type:text/plain\nreply-to:/queue/an%25swers\ncorrelation-id:7\npriority:4\nexpires:9000\n' +
        'AMQ_SCHEDULED_DELAY:100\ntimestamp:4000\npersistent:true\nJMSXGroupID:g\noriginal-message-id:m\nkey:k\nx\\cy:1\\n2\nx\\cy:3\n',
    ),
  )
  assert.equal(message.contentType, 'text/plain')
  assert.equal(message.replyTo, 'an%swers')
  assert.equal(message.correlationId, '7')
  assert.equal(message.priority, 4)
  assert.equal(message.expirationMs, 9000)
  assert.equal(message.delayUntilMs, 5100)
  assert.equal(message.timestampMs, 4000)
  assert.equal(message.persistent, true)
  assert.equal(message.groupId, 'g')
  assert.equal(message.messageId, 'm')
  assert.equal(String(message.key), 'k')
  assert.deepEqual(message.headers, [
    { name: 'x:y', value: '1\n2' },
    { name: 'x:y', value: '3' },
  ])
})

test('what was routed by a key has that one', () => {
  const message = toMessage(stored('destination:/topic/a.b\nkey:other\n'))
  assert.equal(String(message.key), 'q')
  assert.deepEqual(message.headers, [{ name: 'key', value: 'other' }])
})

test('properties become headers, and names that are taken others', () => {
  const message: Message = {
    ...newMessage(Buffer.from('x'), 1000),
    key: Buffer.from('k'),
    replyTo: 'a%b',
    correlationId: Buffer.from([0xff, 0xfe]),
    expirationMs: 2000,
    delayUntilMs: 1600,
    priority: 3,
    headers: [
      { name: 'message-id', value: '1' },
      { name: 'a:b', value: 5n },
      { name: 'list', value: [1n, 'two'] },
      { name: 'bytes', value: Buffer.from('hi') },
      { name: 'nul', value: 'a\0b' },
      { name: '', value: 'nothing' },
    ],
  }
  assert.deepEqual(headersOf(fromMessage(message, '/queue/q', 1500)).entries(), [
    ['destination', '/queue/q'],
    ['correlation-id', '//4='],
    ['reply-to', '/queue/a%25b'],
    ['key', 'k'],
    ['priority', '3'],
    ['expires', '2000'],
    ['AMQ_SCHEDULED_DELAY', '100'],
    ['timestamp', '1000'],
    ['persistent', 'true'],
    ['x-message-id', '1'],
    ['a:b', '5'],
    ['list', '[1,"two"]'],
    ['bytes', 'aGk='],
  ])
})

test('an envelope of others, or one that is none, is a header like any other', () => {
  assert.equal(isOwn(Buffer.from([1, 2, 0x61])), false)
  assert.equal(isOwn(Buffer.from([1, 4, 0x61])), false)
  assert.equal(linesOf(envelopeOf('no lines\n')), undefined)
  assert.equal(linesOf(envelopeOf('a:b\n\nc:d\n')), undefined)
  assert.equal(linesOf(envelopeOf('')), '')
  const message = toMessage(stored('', [{ key: envelopeHeader, value: Buffer.from([1, 4, 0x61, 0x0a]) }]))
  assert.equal(message.origin, undefined)
  assert.equal(message.headers.length, 1)
})
