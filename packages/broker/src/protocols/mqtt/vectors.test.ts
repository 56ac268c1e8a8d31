import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ProtocolError, Random, Reader, Writer } from '@dragoman/wire'
import { explainBytes } from './explain.ts'
import { messages, versions } from './messages.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
type Name = keyof typeof messages

const vectors = readFileSync(join(import.meta.dirname, 'vectors', 'packets.txt'), 'utf8')
  .trim()
  .split('\n')
  .map(line => line.split(' ') as [name: Name, level: string, hex: string])
  .map(([name, level, hex]) => ({ name, level: Number(level), bytes: Buffer.from(hex, 'hex') }))

const sorted = (bytes: Uint8Array): string => Buffer.from(bytes.toSorted()).toString('hex')

for (const { name, level, bytes } of vectors) {
  test(`${name} of level ${level} reads and writes the bytes of another implementation`, () => {
    const form = messages[name]
    const value = form.read(new Reader(bytes), level)
    const written = form.encode(value as never, level)
    assert.deepEqual(form.read(new Reader(written), level), value)
    assert.equal(sorted(written), sorted(bytes))
    assert(explainBytes(bytes).startsWith(name))
  })
}

test('values are those of the specification', () => {
  const connect = Buffer.from(
    '102900044d51545404c6003c00066d79434c4944000477696c6c0003627965000475736572000470617373',
    'hex',
  )
  const { clientId, will, username, password, keepAliveSeconds } = messages.CONNECT.read(new Reader(connect), 4)
  assert.deepEqual(
    { clientId, username, password: String(password), keepAliveSeconds, qos: will?.qos, topic: will?.topic },
    { clientId: 'myCLID', username: 'user', password: 'pass', keepAliveSeconds: 60, qos: 0, topic: 'will' },
  )
})

for (const [name, form] of Object.entries(messages)) {
  test(`${name} survives a round trip (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 300; round++) {
      const level = name === 'AUTH' ? versions.mqtt5 : random.pick(Object.values(versions))
      const value = form.sample(random, level)
      const writer = new Writer()
      form.write(writer, value as never, level)
      assert.deepEqual(form.read(new Reader(writer.take()), level), value)
    }
  })
}

test('explain tells fields, and refuses what is no packet', () => {
  const bytes = Buffer.from('300a0003612f6268656c6c6f', 'hex')
  assert.equal(
    explainBytes(bytes),
    'PUBLISH\n  qos: 0\n  isDuplicate: false\n  isRetained: false\n  topic: a/b\n  packetId: 0\n  properties:\n  payload: 5 bytes "hello"',
  )
  for (const hex of ['00', '30', '3005000161', 'f001'])
    assert.throws(() => explainBytes(Buffer.from(hex, 'hex')), ProtocolError, hex)
})
