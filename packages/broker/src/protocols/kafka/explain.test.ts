import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError, Writer } from '@dragoman/wire'
import { encodeRequest } from './client.ts'
import { explainFrames } from './explain.ts'
import { beginFrame, endFrame } from './framing.ts'
import { apis } from './messages/index.ts'

const heartbeat = Buffer.concat(encodeRequest(apis.heartbeat, 4, 7, 'me', { groupId: 'g', memberId: 'm' }))

test('explainFrames names a request and every field of it', () => {
  const text = explainFrames(Buffer.concat([heartbeat, heartbeat]))
  assert.match(text, /^HeartbeatRequest version 4, correlation id 7\n/)
  assert.match(text, /clientId +"me"/)
  assert.match(text, /groupId +"g"/)
  assert.equal(text.match(/HeartbeatRequest/g)?.length, 2)
})

test('explainFrames shows an answer as what it can be', () => {
  const out = new Writer()
  beginFrame(out)
  out.i32(7)
  out.u8(0)
  apis.metadata.response.write(out, { brokers: [{ nodeId: 1, host: 'here', port: 9092 }], clusterId: 'c' }, 12)
  const text = explainFrames(Buffer.concat(endFrame(out)))
  assert.match(text, /MetadataResponse version 12, correlation id 7\n/)
  assert.match(text, /brokers\[0\]\.host +"here"/)
})

test('explainFrames shows a damaged request up to the fault, and refuses what is no frame', () => {
  const damaged = Buffer.from(heartbeat)
  damaged.writeUInt8(0x60, 17)
  assert.match(explainFrames(damaged), /HeartbeatRequest version 4[^]*Cannot/)
  assert.throws(() => explainFrames(heartbeat.subarray(0, -1)), ProtocolError)
  assert.throws(() => explainFrames(Buffer.from('00000004ffffffff', 'hex')), ProtocolError)
})
