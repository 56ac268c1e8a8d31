import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError, Random, Reader, Writer } from '@dragoman/wire'
import { properties, type Properties } from './messages/basic.ts'
import { PropertyScan, propertyBits } from './scan.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

function encoded(value: Properties): Buffer {
  const writer = new Writer()
  properties.write(writer, value)
  return writer.take()
}

test('what a broker has to know of the properties is found', () => {
  const scan = new PropertyScan()
  const bytes = encoded({
    contentType: 'text/plain',
    headers: [
      { name: 'CC', type: 'A', value: [{ type: 'S', value: 'other' }] },
      { name: 'x-delay', type: 'I', value: 5 },
      { name: 'x-delay', type: 'I', value: 7 },
    ],
    deliveryMode: 2,
    priority: 9,
    replyTo: 'amq.rabbitmq.reply-to',
    expiration: '60000',
    timestamp: 1_700_000_000,
    userId: 'guest',
  })
  const framed = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')])
  scan.read(framed, 6, 6 + bytes.length)
  assert.equal(scan.deliveryMode, 2)
  assert.equal(scan.priority, 9)
  assert.equal(scan.replyTo, 'amq.rabbitmq.reply-to')
  assert.equal(scan.expiration, '60000')
  assert.equal(scan.userId, 'guest')
  assert.deepEqual(
    ['CC', 'x-delay', 'x-dela', 'C', ''].filter(name => scan.has(Buffer.from(name))),
    ['CC', 'x-delay'],
  )
  scan.read(encoded({}), 0, 2)
  assert.deepEqual([scan.flags, scan.headersAt, scan.priority, scan.replyTo, scan.expiration], [0, -1, 0, '', ''])
  assert.equal(scan.has(Buffer.from('CC')), false)
})

test(`it takes what the declaration takes, and nothing else (SEED=${seed})`, () => {
  const random = new Random(seed)
  const scan = new PropertyScan()
  let sound = 0
  for (let round = 0; round < 5000; round++) {
    const bytes = encoded(properties.sample(random))
    scan.read(bytes, 0, bytes.length)
    const damaged = Buffer.from(bytes)
    for (let count = 1 + random.below(3); count > 0; count--) damaged[random.below(damaged.length)] = random.below(256)
    const part = damaged.subarray(0, random.chance(0.5) ? damaged.length : random.below(damaged.length + 1))
    const isSound = accepts(part)
    sound += isSound ? 1 : 0
    if (isSound) scan.read(part, 0, part.length)
    else assert.throws(() => scan.read(part, 0, part.length), ProtocolError, part.toString('hex'))
  }
  assert(sound > 0)
})

function accepts(bytes: Buffer): boolean {
  try {
    const reader = new Reader(bytes)
    properties.read(reader)
    reader.expectEnd()
    return true
  } catch (error) {
    assert(error instanceof ProtocolError)
    return false
  }
}

test('the bits are those of the declaration', () => {
  for (const [name, bit] of Object.entries(propertyBits)) {
    const value = properties.sample(new Random(1))
    const one = { [name]: value[name as keyof Properties] ?? defaultOf(name) }
    assert.equal(encoded(one).readUInt16BE(0), bit, name)
  }
})

const defaultOf = (name: string): unknown => {
  if (name === 'headers') return []
  return ['deliveryMode', 'priority', 'timestamp'].includes(name) ? 1 : 'text'
}
