import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import type { RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { SessionContext } from '../protocol.ts'
import { FrameDecoder } from './framing.ts'
import { encodeFrame } from './messages.ts'
import { StompSession } from './session.ts'
import { connect, refused, start } from './testing/bench.ts'

const { clock, random } = realRuntime()
const address = { host: '127.0.0.1', port: 1 }
const bodyBytes = 100_000

/** A peer that takes nothing until it is told to. */
class SlowPeer {
  readonly logged: string[] = []
  readonly session: StompSession
  readonly #decoder = new FrameDecoder({ frameBytesMax: 1_000_000 })
  messages = 0
  queuedBytes = 0
  #written: (() => void)[] = []

  constructor(t: TestContext, broker: RunningBroker) {
    const outbox = {
      write: (parts: readonly Uint8Array[], written?: () => void) => {
        for (const part of parts) this.queuedBytes += part.length
        if (Buffer.concat(parts).subarray(0, 7).toString() === 'MESSAGE') this.messages++
        if (written) this.#written.push(written)
      },
      isReading: true,
      progress: () => {},
      close: () => {},
      destroy: () => {},
    }
    Object.defineProperty(outbox, 'queuedBytes', { get: () => this.queuedBytes })
    const context: SessionContext = {
      ...{ ordinal: 1, remote: address, local: address, clock, random },
      limits: { frameBytesMax: 1_000_000, requestsInFlightMax: 16 },
      log: (_level, message) => void this.logged.push(message),
    }
    this.session = new StompSession(broker.core, outbox as never, context)
    t.after(() => this.session.closed())
  }

  send(command: string, headers: Record<string, string>): void {
    this.#decoder.push(encodeFrame(command, { headers }), packet => this.session.receive(packet))
  }

  takeAll(): void {
    this.queuedBytes = 0
    for (const written of this.#written.splice(0)) written()
  }
}

const turns = async (count = 30): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(resolve => setImmediate(resolve))
}

async function slowPeer(t: TestContext, broker: RunningBroker, headers: Record<string, string>): Promise<SlowPeer> {
  const peer = new SlowPeer(t, broker)
  peer.send('CONNECT', { 'accept-version': '1.2' })
  await turns()
  peer.send('SUBSCRIBE', { id: '1', ...headers })
  await turns()
  return peer
}

test('who does not take what a queue gives is given no more, until it has', { timeout: 120_000 }, async t => {
  const broker = await start(t)
  const peer = await slowPeer(t, broker, { destination: '/queue/q' })
  const driver = await connect(t, broker)
  for (let index = 0; index < 50; index++)
    await driver.ask('SEND', { destination: '/queue/q' }, Buffer.alloc(bodyBytes))
  await turns()
  assert(peer.messages >= 5 && peer.messages < 40, `${peer.messages} messages`)
  assert(peer.queuedBytes < 4_000_000)
  while (peer.messages < 50) {
    peer.takeAll()
    await turns()
  }
})

test('who does not take what passes loses it, which is logged once and counted', { timeout: 120_000 }, async t => {
  const broker = await start(t, { subscriberBytesMax: 4_000_000 })
  const peer = await slowPeer(t, broker, { destination: '/topic/t' })
  const driver = await connect(t, broker)
  for (let index = 0; index < 60; index++)
    await driver.ask('SEND', { destination: '/topic/t' }, Buffer.alloc(bodyBytes))
  assert(peer.messages > 38 && peer.messages < 43, `${peer.messages} messages`)
  assert.equal(broker.core.connections.lost.get('stomp')?.count, 60 - peer.messages)
  assert.equal(peer.logged.filter(line => line.includes('does not take')).length, 1)
  peer.takeAll()
  await driver.ask('SEND', { destination: '/topic/t' }, 'again')
  const before = peer.messages
  await driver.ask('SEND', { destination: '/topic/t' }, 'and again')
  assert.equal(peer.messages, before + 1)
})

test('who goes while its queue is being made leaves none behind', { timeout: 120_000 }, async t => {
  const broker = await start(t)
  const peer = await slowPeer(t, broker, { destination: '/topic/live' })
  peer.send('SUBSCRIBE', { id: '2', destination: '/topic/t', ack: 'client', exclusive: 'false' })
  assert.equal(broker.core.queues.list().length, 1)
  peer.session.closed()
  await turns()
  assert.deepEqual(broker.core.queues.list(), [])
})

test('who may not have what its queue is for leaves none behind', { timeout: 120_000 }, async t => {
  const broker = await start(t, { bindingsMax: 1 })
  const driver = await connect(t, broker)
  const wish = { ack: 'client', exclusive: 'false', 'x-queue-name': 'own', durable: 'false' }
  await driver.ask('SUBSCRIBE', { id: '1', destination: '/topic/a', ...wish, 'x-queue-name': 'first' })
  driver.send('SUBSCRIBE', { id: '2', destination: '/topic/b', ...wish })
  await refused(driver, 'limit_reached', /bindings/)
  await turns()
  assert.deepEqual(broker.core.queues.list(), [])
})

test('who asks for ever more receipts while the disk stands still is not read', async t => {
  const broker = await start(t)
  const peer = await slowPeer(t, broker, { destination: '/topic/t' })
  const { work } = broker.core
  const { whenDurable } = work
  const held: (() => void)[] = []
  work.whenDurable = run => void held.push(run)
  const receipt = 'r'.repeat(1000)
  for (let asked = 0; asked < 10_000 && !peer.session.muted; asked++) {
    peer.send('BEGIN', { transaction: '1', receipt })
    peer.send('ABORT', { transaction: '1', receipt })
  }
  assert(peer.session.muted)
  work.whenDurable = whenDurable
  assert(held.length > 3000 && held.length < 5000, `${held.length} receipts`)
  for (const run of held) run()
  assert(!peer.session.muted)
})
