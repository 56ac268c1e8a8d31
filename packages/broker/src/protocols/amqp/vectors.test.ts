import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ProtocolError, Random, Reader, Writer } from '@dragoman/wire'
import { explainFrames } from './explain.ts'
import { beginFrame, endFrame } from './frames.ts'
import { FrameDecoder, frameTypes, protocolHeader } from './framing.ts'
import { basicDeliver, contentHeader } from './messages/basic.ts'
import { messages, methods, methodsById } from './messages/index.ts'
import { queueBind } from './messages/queue.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const vectors = readFileSync(join(import.meta.dirname, 'vectors', 'frames.txt'), 'utf8')
  .trim()
  .split('\n')
  .map(line => line.split(' ') as [name: string, hex: string])
  .map(([name, hex]) => ({ name, bytes: Buffer.from(hex, 'hex') }))

function read(bytes: Buffer): { type: number; name: string; channel: number; fields: unknown } {
  const decoder = new FrameDecoder({ frameBytesMax: 131_072 })
  let found: ReturnType<typeof read> | undefined
  decoder.push(Buffer.concat([protocolHeader, bytes]), ({ type, channel, payload }) => {
    if (type === frameTypes.protocolHeader) return
    const reader = new Reader(payload)
    const method = type === frameTypes.method ? methodsById.get(reader.u32()) : undefined
    const fields: unknown = (method?.codec ?? contentHeader).read(reader)
    reader.expectEnd()
    found = { type, name: method?.name ?? 'content-header', channel, fields }
  })
  assert(found)
  return found
}

function write({ type, name, channel, fields }: ReturnType<typeof read>): Buffer {
  const writer = new Writer()
  beginFrame(writer, type, channel)
  const method = methods.find(candidate => candidate.name === name)
  if (method) writer.u32(method.id)
  messages[name]?.write(writer, fields as never)
  endFrame(writer, 0)
  return writer.take()
}

for (const { name, bytes } of vectors) {
  test(`${name} reads and writes the bytes of another implementation`, () => {
    const found = read(bytes)
    assert.equal(found.name, name)
    assert.equal(write(found).toString('hex'), bytes.toString('hex'))
  })
}

const vector = (name: string): Buffer => vectors.find(candidate => candidate.name === name)?.bytes ?? Buffer.alloc(0)

test('fields have the values that were written', () => {
  assert.deepEqual(read(vector(basicDeliver.name)).fields, {
    consumerTag: 't',
    deliveryTag: 4_294_967_297,
    redelivered: true,
    exchange: 'e',
    routingKey: 'k',
  })
  assert.deepEqual(read(vector(queueBind.name)).fields, {
    reserved1: 0,
    queue: 'q',
    exchange: 'e',
    routingKey: 'k',
    flags: { noWait: false },
    arguments: [
      { name: 'x-match', type: 'S', value: 'all' },
      { name: 'a', type: 'b', value: 1 },
      { name: 'b', type: 'd', value: 1.5 },
      { name: 'c', type: 'I', value: -70_000 },
      { name: 'd', type: 'V', value: null },
      {
        name: 'e',
        type: 'A',
        value: [
          { type: 'b', value: 1 },
          { type: 'S', value: 'x' },
        ],
      },
    ],
  })
  assert.deepEqual(read(vector('content-header')).fields, {
    classId: 60,
    weight: 0,
    bodySize: 5,
    properties: {
      contentType: 'text/plain',
      contentEncoding: 'utf-8',
      headers: [
        { name: 'a', type: 'S', value: 'b' },
        { name: 'n', type: 'b', value: 1 },
      ],
      deliveryMode: 2,
      priority: 3,
      correlationId: 'c',
      replyTo: 'r',
      expiration: '1000',
      messageId: 'm',
      timestamp: 1_700_000_000,
      type: 'y',
      userId: 'guest',
      appId: 'app',
    },
  })
})

for (const [name, codec] of Object.entries(messages)) {
  test(`${name} survives a round trip (SEED=${seed})`, () => {
    const random = new Random(seed)
    const writer = new Writer()
    for (let round = 0; round < 100; round++) {
      const value: unknown = codec.sample(random)
      codec.write(writer, value as never)
      assert.deepEqual(codec.read(new Reader(writer.take())), value)
    }
  })
}

test('explainFrames tells fields against bytes', () => {
  const heartbeat = Buffer.from('08000000000000ce', 'hex')
  const body = Buffer.from('0300010000000268 69ce'.replace(' ', ''), 'hex')
  const all = Buffer.concat([protocolHeader, ...vectors.map(({ bytes }) => bytes), body, heartbeat])
  const text = explainFrames(all)
  assert.match(text, /^protocol header 0-0-9-1\n/)
  assert.match(text, /queue\.declare\n/)
  assert.match(text, /deliveryTag +4294967297/)
  assert.match(text, /content header\n/)
  assert.match(text, /content body\n[^]*68 69 +body +2 bytes/)
  assert.match(text, /heartbeat\n/)
  assert.throws(() => explainFrames(all.subarray(0, -1)), ProtocolError)
  assert.throws(() => explainFrames(Buffer.from('08000000000000cf', 'hex')), ProtocolError)
})
