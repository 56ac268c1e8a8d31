import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, Random } from '@dragoman/wire'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { encodeMethod } from './frames.ts'
import { FrameDecoder, protocolHeader } from './framing.ts'
import {
  connectionClose,
  connectionOpen,
  connectionSecureOk,
  connectionStartOk,
  connectionTuneOk,
  connectionUpdateSecret,
} from './messages/connection.ts'
import { methods } from './messages/index.ts'
import { AmqpSession } from './session.ts'
import { start } from './testing/bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const rounds = Number(process.env['FRAMES'] ?? 1500)
const { clock } = realRuntime()
const address = { host: '127.0.0.1', port: 1 }

/** What a client sends that means well. */
const steps: readonly Buffer[] = [
  protocolHeader,
  ...encodeMethod(0, connectionStartOk, {
    clientProperties: [{ name: 'product', type: 'S', value: 'fuzz' }],
    mechanism: 'PLAIN',
    response: Buffer.from('\0guest\0guest'),
    locale: 'en_US',
  }),
  ...encodeMethod(0, connectionTuneOk, { channelMax: 10, frameMax: 8192, heartbeat: 0 }),
  ...encodeMethod(0, connectionOpen, { virtualHost: '/' }),
]
const onChannel0 = [
  connectionStartOk,
  connectionSecureOk,
  connectionTuneOk,
  connectionOpen,
  connectionClose,
  connectionUpdateSecret,
]

test(`${rounds} hostile beginnings end in words or in silence, and the broker goes on (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const broker = await start(t, { logLevel: 'error' })
  let opened = 0
  let refused = 0
  const log = (level: string, message: string, fields?: unknown): void =>
    void (level === 'error' && assert.fail(`${message} ${JSON.stringify(fields)}`))
  for (let round = 0; round < rounds; round++) {
    let isOpen = true
    const sent: Buffer[] = []
    const outbox = {
      write: (parts: readonly Uint8Array[]) => void sent.push(Buffer.concat(parts)),
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (isOpen = false),
      destroy: () => (isOpen = false),
    }
    const limits = { frameBytesMax: 131_072, requestsInFlightMax: 16 }
    const context = {
      ordinal: round,
      remote: { ...address, port: round + 2 },
      local: address,
      clock,
      random,
      limits,
      log,
    }
    const session = new AmqpSession(broker.core, outbox, context)
    const decoder = new FrameDecoder(limits)
    const push = (bytes: Buffer): void => decoder.push(bytes, frame => isOpen && session.receive(frame))
    const wrong = random.below(steps.length + 1)
    for (const [index, step] of steps.entries()) {
      if (index !== wrong) push(step)
      else if (random.chance(0.6)) push(mutate(random, step))
      else {
        const { id, codec } = random.chance(0.7) ? random.pick(onChannel0) : random.pick(methods)
        push(Buffer.concat(encodeMethod(0, { id, codec } as (typeof methods)[0], codec.sample(random) as never)))
      }
    }
    if (round % 32 === 0) await new Promise(resolve => setImmediate(resolve))
    if (broker.core.connections.list().length > 0) opened++
    else if (sent.some(bytes => bytes.length > 11 && bytes.readUInt32BE(7) === connectionClose.id)) refused++
    session.closed()
    assert.equal(broker.core.connections.list().length, 0)
  }
  assert(opened > rounds / 10, `${opened} opened`)
  assert(refused > rounds / 20, `${refused} refused`)
})
