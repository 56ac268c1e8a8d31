import assert from 'node:assert/strict'
import test from 'node:test'
import { envelopeHeader, newMessage } from '../../core/message.ts'
import { Reader } from '@dragoman/wire'
import { envelopeOf, fromMessage, soundProperties, toMessage } from './mapping.ts'
import { encodePublish, keep } from './packets.ts'
import { encodeProperties, readProperties } from './properties.ts'
import { publishProperties } from './messages.ts'

const record = (flags: number, properties: Buffer) => ({
  key: Buffer.from('a.b'),
  value: Buffer.from('body'),
  timestampMs: 5000,
  headers: [{ key: envelopeHeader, value: envelopeOf(flags, properties) }],
})

test('properties of 5.0 are those of all protocols', () => {
  const properties = encodeProperties({
    contentType: 'text/plain',
    responseTopic: 'answers/1',
    correlationData: Buffer.from('c-1'),
    userProperties: [
      ['a', '1'],
      ['a', '2'],
      ['key', 'k'],
      ['content-encoding', 'gzip'],
      ['message-id', 'm'],
      ['group-id', 'g'],
      ['priority', '7'],
      ['timestamp', '1234'],
      ['priority', 'high'],
    ],
  })
  const message = toMessage(record(2, properties))
  const { origin } = message
  assert.equal(origin?.protocol, 'mqtt')
  assert.deepEqual(message, {
    ...newMessage(Buffer.from('body'), 1234),
    key: Buffer.from('k'),
    headers: [
      { name: 'a', value: '1' },
      { name: 'a', value: '2' },
      { name: 'priority', value: 'high' },
    ],
    contentType: 'text/plain',
    contentEncoding: 'gzip',
    correlationId: 'c-1',
    replyTo: 'answers.1',
    priority: 7,
    messageId: 'm',
    groupId: 'g',
    origin,
  })
})

test('what asks for no acknowledgement need not be kept', () => {
  assert.equal(toMessage(record(0, Buffer.alloc(0))).persistent, false)
  assert.equal(toMessage(record(4, Buffer.alloc(0))).persistent, true)
})

test('an envelope that is none is a header like any other', () => {
  for (const bytes of ['010300ff', '0103', '0203000000', '01030026000161']) {
    const envelope = Buffer.from(bytes, 'hex')
    const message = toMessage({ ...record(0, Buffer.alloc(0)), headers: [{ key: envelopeHeader, value: envelope }] })
    assert.deepEqual(message.headers, [{ name: envelopeHeader, value: envelope }])
  }
  assert.equal(soundProperties(Buffer.from('010300230001', 'hex')), undefined)
})

test('messages of others have properties of 5.0, and lose what these cannot hold', () => {
  const message = {
    ...newMessage(Buffer.from('x'), 99.5),
    key: Buffer.from('other'),
    headers: [
      { name: 'n', value: 7n },
      { name: 'b', value: Buffer.from([0xff]) },
      { name: 't', value: Buffer.from('text') },
      { name: 'bad\0', value: 'x' },
      { name: 'long', value: 'x'.repeat(70_000) },
      { name: 'list', value: [1n, 'a'] },
    ],
    correlationId: Buffer.of(1, 255),
    replyTo: 'a.b/+',
    priority: 3,
    contentType: 'a\0',
  }
  const { payload, properties } = fromMessage(message, 'a.b')
  const found = readProperties(new Reader(properties), properties.length, publishProperties.allowed)
  assert.equal(String(payload), 'x')
  assert.deepEqual(found, {
    correlationData: Buffer.of(1, 255),
    userProperties: [
      ['n', '7'],
      ['b', '/w=='],
      ['t', 'text'],
      ['list', '[1,"a"]'],
      ['key', 'other'],
      ['priority', '3'],
      ['timestamp', '99'],
    ],
  })
})

test('a packet that waits takes its own memory and no more', () => {
  const content = { topic: Buffer.from('t'), payload: Buffer.from('p'), properties: noBytes, expiresMs: -1, flags: 0 }
  const template = encodePublish(content, true, 1, 0)
  const before = Buffer.from(template.bytes)
  keep(template)
  assert.deepEqual(template.bytes, before)
  assert.equal(template.bytes.buffer.byteLength, before.length)
})

const noBytes = Buffer.alloc(0)
