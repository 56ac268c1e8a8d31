import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError, Random } from '@dragoman/wire'
import { RequestDecoder } from './framing.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const limits = { frameBytesMax: 4_000_000, requestsInFlightMax: 64 }

function frame(apiKey: number, correlationId: number, body: Buffer): Buffer {
  const head = Buffer.alloc(12)
  head.writeInt32BE(8 + body.length, 0)
  head.writeInt16BE(apiKey, 4)
  head.writeInt16BE(7, 6)
  head.writeInt32BE(correlationId, 8)
  return Buffer.concat([head, body])
}

test(`RequestDecoder gives the same frames however the bytes are cut (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 60; round++) {
    const bodies = Array.from({ length: random.between(1, 12) }, () => {
      return random.bytes(random.chance(0.1) ? random.between(1000, 300_000) : random.below(60))
    })
    const bytes = Buffer.concat(bodies.map((body, index) => frame(index, index * 3, body)))
    const decoder = new RequestDecoder(limits)
    const found: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const size = random.pick([1, 3, 7, 1000, 65_536, 500_000])
      decoder.push(Buffer.from(bytes.subarray(at, at + size)), ({ apiKey, apiVersion, correlationId, rest }) => {
        assert.deepEqual([apiKey, apiVersion, correlationId], [found.length, 7, found.length * 3])
        found.push(Buffer.from(rest.rest()))
      })
      at += size
    }
    assert.deepEqual(found, bodies)
    assert.equal(decoder.pendingBytes, 0)
  }
})

test('RequestDecoder takes a frame of the greatest size in small pieces', () => {
  const decoder = new RequestDecoder(limits)
  const body = Buffer.alloc(limits.frameBytesMax - 8, 5)
  const bytes = frame(0, 1, body)
  let taken = 0
  for (let at = 0; at < bytes.length; at += 10_000) {
    decoder.push(bytes.subarray(at, at + 10_000), ({ rest }) => {
      taken++
      assert(rest.rest().equals(body))
    })
  }
  assert.equal(taken, 1)
})

for (const [name, length] of [
  ['negative', -1],
  ['shorter than a header', 7],
  ['larger than allowed', limits.frameBytesMax + 1],
  ['that is the start of an HTTP request', Buffer.from('GET ').readInt32BE()],
] as const) {
  test(`RequestDecoder refuses a length ${name}, at once and in pieces`, () => {
    const bytes = Buffer.alloc(6)
    bytes.writeInt32BE(length)
    const taken = (): never => assert.fail('no frame')
    assert.throws(() => new RequestDecoder(limits).push(bytes, taken), ProtocolError)
    const decoder = new RequestDecoder(limits)
    decoder.push(bytes.subarray(0, 2), taken)
    assert.throws(() => decoder.push(bytes.subarray(2), taken), ProtocolError)
  })
}
