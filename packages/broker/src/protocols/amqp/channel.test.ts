import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { frameTypes } from './framing.ts'
import { basicGet, basicGetEmpty, basicGetOk, basicPublish, contentHeader } from './messages/basic.ts'
import {
  accessRequest,
  accessRequestOk,
  channelClose,
  channelCloseOk,
  channelFlow,
  channelFlowOk,
  channelOpen,
  channelOpenOk,
} from './messages/channel.ts'
import { connectionClose, connectionCloseOk } from './messages/connection.ts'
import { queueDeclare, queueDeclareOk, queueDelete } from './messages/queue.ts'
import { start } from './testing/bench.ts'
import { Peer } from './testing/peer.ts'
import { Writer } from '@dragoman/wire'

async function open(t: TestContext, options: Parameters<typeof Peer.open>[1] = {}): Promise<Peer> {
  const peer = await Peer.open(await start(t), options)
  t.after(() => peer.destroy())
  return peer
}

async function openChannel(t: TestContext): Promise<Peer> {
  const peer = await open(t)
  peer.send(channelOpen, {}, 1)
  await peer.expect(channelOpenOk, 1)
  return peer
}

const passive = { queue: 'x', flags: { passive: true } }

test('a channel exception tells the method that failed; what follows is not looked at until close-ok', async t => {
  const peer = await openChannel(t)
  peer.send(queueDeclare, passive, 1)
  // Neither those that are there already, nor those that come later.
  peer.send(queueDeclare, { queue: 'y' }, 1)
  const { replyCode, replyText, classId, methodId } = await peer.expect(channelClose, 1)
  assert.deepEqual([replyCode, classId, methodId], [404, 50, 10])
  assert.equal(replyText, "NOT_FOUND - no queue 'x' in vhost '/'")
  peer.send(queueDeclare, { queue: 'y' }, 1)
  peer.frame(frameTypes.body, 1, Buffer.from('of no message'))
  peer.send(channelCloseOk, {}, 1)
  peer.send(channelOpen, {}, 1)
  await peer.expect(channelOpenOk, 1)
  peer.send(queueDeclare, { queue: 'y', flags: { passive: true } }, 1)
  assert.match((await peer.expect(channelClose, 1)).replyText, /^NOT_FOUND - no queue 'y'/)
})

test('both sides may close a channel at the same time', async t => {
  const peer = await openChannel(t)
  peer.send(queueDeclare, passive, 1)
  await peer.expect(channelClose, 1)
  peer.send(channelClose, { replyCode: 200 }, 1)
  await peer.expect(channelCloseOk, 1)
  peer.send(channelCloseOk, {}, 1)
  peer.send(channelOpen, {}, 1)
  await peer.expect(channelOpenOk, 1)
})

test('a close that waits behind a method that fails is answered', async t => {
  const peer = await openChannel(t)
  peer.send(queueDeclare, passive, 1)
  peer.send(basicGet, { queue: 'x' }, 1)
  peer.send(channelClose, { replyCode: 200 }, 1)
  await peer.expect(channelClose, 1)
  await peer.expect(channelCloseOk, 1)
  peer.send(channelCloseOk, {}, 1)
  peer.send(channelOpen, {}, 1)
  await peer.expect(channelOpenOk, 1)
})

test('what was sent before the connection is closed is done', async t => {
  const broker = await start(t)
  const peer = await Peer.open(broker)
  t.after(() => peer.destroy())
  peer.send(channelOpen, {}, 1)
  await peer.expect(channelOpenOk, 1)
  peer.send(queueDeclare, { queue: 'q', flags: { durable: true } }, 1)
  peer.send(basicPublish, publish, 1)
  peer.frame(frameTypes.header, 1, header(60, 0))
  peer.send(connectionClose, { replyCode: 200 })
  await peer.expect(queueDeclareOk, 1)
  await peer.expect(connectionCloseOk)
  const other = await Peer.open(broker)
  t.after(() => other.destroy())
  other.send(channelOpen, {}, 1)
  await other.expect(channelOpenOk, 1)
  other.send(basicGet, { queue: 'q' }, 1)
  await other.expect(basicGetOk, 1)
})

test('a channel that is closed may be opened again; other channels go on', async t => {
  const peer = await openChannel(t)
  peer.send(channelOpen, {}, 2)
  await peer.expect(channelOpenOk, 2)
  peer.send(queueDeclare, passive, 1)
  await peer.expect(channelClose, 1)
  peer.send(queueDeclare, { queue: 'q' }, 2)
  await peer.expect(queueDeclareOk, 2)
  peer.send(channelClose, { replyCode: 200 }, 2)
  await peer.expect(channelCloseOk, 2)
  peer.send(channelOpen, {}, 2)
  await peer.expect(channelOpenOk, 2)
  // The queue that was declared last was that of the channel before.
  peer.send(queueDelete, {}, 2)
  assert.match((await peer.expect(channelClose, 2)).replyText, /^NOT_FOUND - no previously declared queue$/)
})

test('answers leave in the order of the methods, also without waiting for each', async t => {
  const peer = await openChannel(t)
  for (let index = 0; index < 50; index++) {
    peer.send(queueDeclare, { queue: `q${index}`, flags: { durable: index % 2 === 0 } }, 1)
    peer.send(basicGet, { queue: `q${index}` }, 1)
  }
  for (let index = 0; index < 50; index++) {
    assert.equal((await peer.expect(queueDeclareOk, 1)).queue, `q${index}`)
    await peer.expect(basicGetEmpty, 1)
  }
})

test('flow is on, and cannot be turned off', async t => {
  const peer = await openChannel(t)
  peer.send(channelFlow, { flow: { active: true } }, 1)
  assert.equal((await peer.expect(channelFlowOk, 1)).flow.active, true)
  peer.send(channelFlow, { flow: { active: false } }, 1)
  assert.equal(await peer.refusal(), '540 NOT_IMPLEMENTED - active=false')
})

test('tickets of older versions are given', async t => {
  const peer = await openChannel(t)
  peer.send(accessRequest, { realm: '/data' }, 1)
  assert.equal((await peer.expect(accessRequestOk, 1)).ticket, 1)
})

const header = (classId: number, bodySize: number): Buffer => {
  const writer = new Writer()
  contentHeader.write(writer, { classId, bodySize, properties: {} })
  return writer.take()
}
const method = (classId: number, methodId: number, rest = ''): Buffer =>
  Buffer.from(`${classId.toString(16).padStart(4, '0')}${methodId.toString(16).padStart(4, '0')}${rest}`, 'hex')
const publish = { exchange: '', routingKey: 'q' }

for (const [what, send, told] of [
  ['a second open', peer => peer.send(channelOpen, {}, 1), "504 CHANNEL_ERROR - second 'channel.open' seen"],
  [
    'a method on a channel that is not open',
    peer => peer.send(queueDelete, {}, 2),
    "504 CHANNEL_ERROR - expected 'channel.open'",
  ],
  [
    'a method that there is not',
    peer => peer.frame(1, 1, method(50, 99)),
    '540 NOT_IMPLEMENTED - there is no method 99 of class 50',
  ],
  [
    'a method that is the server’s',
    peer => peer.send(queueDeclareOk, { queue: 'q' }, 1),
    '503 COMMAND_INVALID - queue.declare-ok is not for a client to send on a channel',
  ],
  [
    'a method that belongs on channel 0',
    peer => peer.send(connectionCloseOk, {}, 1),
    '503 COMMAND_INVALID - connection.close-ok is not for a client to send on a channel',
  ],
  [
    'a method of a channel on channel 0',
    peer => peer.send(channelOpen, {}, 0),
    /^504 CHANNEL_ERROR - unexpected method channel.open/,
  ],
  [
    'a method without a number',
    peer => peer.frame(1, 1, Buffer.of(0, 50)),
    '501 FRAME_ERROR - a method frame has at least four bytes',
  ],
  ['a method that is cut off', peer => peer.frame(1, 1, method(50, 10, '000005')), /^501 FRAME_ERROR - Cannot read/],
  ['a method with bytes left over', peer => peer.frame(1, 1, method(20, 41, '00')), /^503 COMMAND_INVALID/],
  ['more than a method', peer => peer.frame(1, 1, method(90, 10, '00')), /^501 FRAME_ERROR - Expected the end/],
  [
    'a consumer tag that is not UTF-8',
    peer => peer.frame(1, 1, method(60, 30, `ff${'ff'.repeat(255)}00`)),
    '502 SYNTAX_ERROR - a name is not UTF-8',
  ],
  [
    'a type of frames that there is not',
    peer => peer.frame(9, 1, Buffer.alloc(3)),
    '501 FRAME_ERROR - type 9 on channel 1, 3 bytes',
  ],
  [
    'a heartbeat of a channel',
    peer => peer.frame(8, 1, Buffer.alloc(0)),
    /^505 UNEXPECTED_FRAME - type 8 on channel 1/,
  ],
  [
    'a frame with another end',
    peer => peer.frame(1, 1, method(20, 10), 0),
    /^501 FRAME_ERROR - .* it ends with the byte 0, not 206$/,
  ],
  [
    'a frame that is too large',
    peer => peer.frame(3, 1, Buffer.alloc(131_073)),
    /^501 FRAME_ERROR - .* at most 131064 bytes here, not 131073$/,
  ],
  [
    'a header without its method',
    peer => peer.frame(2, 1, header(60, 0)),
    '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead',
  ],
  [
    'a body without its method',
    peer => peer.frame(3, 1, Buffer.alloc(1)),
    '505 UNEXPECTED_FRAME - expected method frame, got non method frame instead',
  ],
  [
    'a method where a header must be',
    peer => {
      peer.send(basicPublish, publish, 1)
      peer.send(basicPublish, publish, 1)
    },
    '505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead',
  ],
  [
    'a header of another class',
    peer => {
      peer.send(basicPublish, publish, 1)
      peer.frame(2, 1, header(50, 0))
    },
    '505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead',
  ],
  [
    'a method where a body must be',
    peer => {
      peer.send(basicPublish, publish, 1)
      peer.frame(2, 1, header(60, 5))
      peer.send(basicPublish, publish, 1)
    },
    '505 UNEXPECTED_FRAME - expected content body, got non content body frame instead',
  ],
  [
    'a body that is larger than its header says',
    peer => {
      peer.send(basicPublish, publish, 1)
      peer.frame(2, 1, header(60, 5))
      peer.frame(3, 1, Buffer.alloc(6))
    },
    '501 FRAME_ERROR - the body of the message has 1 bytes more than its header says',
  ],
  [
    'a header that is cut off',
    peer => {
      peer.send(basicPublish, publish, 1)
      peer.frame(2, 1, header(60, 0).subarray(0, 11))
    },
    '502 SYNTAX_ERROR - the header of the message is cut off',
  ],
] as [string, (peer: Peer) => void, string | RegExp][]) {
  test(`${what} ends the connection`, async t => {
    const peer = await openChannel(t)
    send(peer)
    const reason = await peer.refusal()
    if (typeof told === 'string') assert.equal(reason, told)
    else assert.match(reason, told)
    // Where the next frame would begin is not known: then the answer of the peer is not waited for, but a moment.
    if (/ends with the byte|bytes here/.test(reason)) return
    // Nothing is listened to any more.
    peer.send(queueDeclare, { queue: 'late' }, 1)
    peer.send(connectionCloseOk, {})
    assert.equal(await peer.next(), undefined)
  })
}

test('as many channels as were agreed upon may be open, whatever their numbers', async t => {
  const peer = await open(t, { channelMax: 2 })
  for (const number of [65_535, 7]) {
    peer.send(channelOpen, {}, number)
    await peer.expect(channelOpenOk, number)
  }
  peer.send(channelOpen, {}, 1)
  assert.equal(
    await peer.refusal(),
    '530 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)',
  )
})

test('a channel that waits for close-ok counts; one that is closed does not', async t => {
  const peer = await open(t, { channelMax: 1 })
  for (let round = 0; round < 3; round++) {
    peer.send(channelOpen, {}, 1)
    await peer.expect(channelOpenOk, 1)
    peer.send(queueDeclare, passive, 1)
    await peer.expect(channelClose, 1)
    peer.send(channelCloseOk, {}, 1)
  }
  peer.send(channelOpen, {}, 1)
  await peer.expect(channelOpenOk, 1)
  peer.send(queueDeclare, passive, 1)
  await peer.expect(channelClose, 1)
  peer.send(channelOpen, {}, 2)
  assert.match(await peer.refusal(), /^530 NOT_ALLOWED/)
})

test('what waits behind a method is taken when that is done, and forgotten when the channel ends', async t => {
  const peer = await openChannel(t)
  peer.send(queueDeclare, { queue: 'q', flags: { durable: true } }, 1)
  for (let index = 0; index < 300; index++) {
    peer.send(basicPublish, publish, 1)
    peer.frame(2, 1, header(60, 10_000))
    peer.frame(3, 1, Buffer.alloc(10_000))
  }
  await peer.expect(queueDeclareOk, 1)
  peer.send(queueDeclare, { queue: 'q', flags: { passive: true } }, 1)
  assert.equal((await peer.expect(queueDeclareOk, 1)).messageCount, 300)
})

test('a client that wants heartbeats gets them, and one that is silent is sent away', async t => {
  const peer = await open(t, { heartbeat: 1 })
  const beats: string[] = []
  for (let got = await peer.next(); got; got = await peer.next()) beats.push(`${got.name} ${got.channel}`)
  assert(beats.length >= 2)
  assert(beats.every(beat => beat === 'frame 8 0'))
})
