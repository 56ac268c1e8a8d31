import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { SessionContext } from '../protocol.ts'
import { describeLimits, parseLimits } from './output-limits.ts'
import { CommandDecoder } from './framing.ts'
import { RespSession } from './session.ts'

const { clock, random } = realRuntime()
const address = { host: '127.0.0.1', port: 1 }
const body = 'x'.repeat(10_000)

/** A client that takes nothing until it is told to. */
class SlowClient {
  readonly logged: [level: string, message: string, fields: Record<string, unknown> | undefined][] = []
  readonly session: RespSession
  readonly #decoder = new CommandDecoder({ frameBytesMax: 1_000_000 })
  queuedBytes = 0
  isDestroyed = false
  text = ''

  constructor(t: TestContext, broker: RunningBroker) {
    const outbox = {
      write: (parts: readonly Uint8Array[]) => {
        for (const part of parts) this.queuedBytes += part.length
        this.text = Buffer.concat(parts).toString('latin1')
      },
      isReading: true,
      queuedBytes: 0,
      progress: () => {},
      close: () => assert.fail('what is queued would go on waiting'),
      destroy: () => (this.isDestroyed = true),
    }
    Object.defineProperty(outbox, 'queuedBytes', { get: () => this.queuedBytes })
    const context: SessionContext = {
      ...{ ordinal: 1, remote: address, local: address, clock, random },
      limits: { frameBytesMax: 1_000_000, requestsInFlightMax: 16 },
      log: (level, message, fields) => void this.logged.push([level, message, fields]),
    }
    this.session = new RespSession(broker.core, outbox, context)
    t.after(() => this.session.closed())
  }

  ask(...words: string[]): string {
    const parts = words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
    this.#decoder.push(Buffer.from(`*${words.length}\r\n${parts.join('')}`), packet => this.session.receive(packet))
    return this.text
  }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

async function start(t: TestContext, subscriberUnreadBytesMax: number): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', logLevel: 'error', subscriberUnreadBytesMax })
  t.after(() => broker.close())
  return broker
}

/** A client that subscribes to two channels, and one that publishes to it. */
function pair(t: TestContext, broker: RunningBroker): { slow: SlowClient; publish: (count: number) => Promise<void> } {
  const slow = new SlowClient(t, broker)
  slow.ask('HELLO', '3', 'SETNAME', 'snail')
  slow.ask('SUBSCRIBE', 'a', 'b')
  const publisher = new SlowClient(t, broker)
  const publish = async (count: number): Promise<void> => {
    for (let left = count; left > 0; left--) {
      publisher.ask('PUBLISH', 'a', body)
      await turn()
    }
  }
  return { slow, publish }
}

test('a subscriber that leaves too much unread is closed at once, which is logged once, and counted', async t => {
  const broker = await start(t, 100_000)
  const { slow, publish } = pair(t, broker)
  await publish(9)
  assert.deepEqual([slow.isDestroyed, slow.logged], [false, []])
  await publish(9)
  assert(slow.isDestroyed)
  assert(slow.queuedBytes > 100_000 && slow.queuedBytes < 120_000, `${slow.queuedBytes} bytes`)
  const [[level, message, fields] = []] = slow.logged
  assert.deepEqual(
    [slow.logged.length, level, message],
    [1, 'warn', 'Connection closed: a subscriber does not take what is published'],
  )
  assert.deepEqual(fields, {
    remote: address,
    name: 'snail',
    user: 'default',
    channels: 2,
    queuedBytes: slow.queuedBytes,
  })
  assert.equal(broker.core.connections.closed.get('resp')?.count, 1)
  const other = new SlowClient(t, broker)
  assert.match(other.ask('INFO', 'stats'), /client_output_buffer_limit_disconnections:1\r/)
})

test('what waits behind an answer that is not durable yet counts, too', async t => {
  const broker = await start(t, 100_000)
  const { slow, publish } = pair(t, broker)
  const { ledger, cell } = broker.core
  // The disk stands still.
  const held: (() => void)[] = []
  const whenDurable = ledger.whenDurable.bind(ledger)
  ledger.whenDurable = (seq, run, argument) => void held.push(() => whenDurable(seq, run, argument))
  Object.defineProperty(cell, 'position', { get: () => -1, configurable: true })
  slow.ask('SET', 'key', 'value')
  const { queuedBytes } = slow
  await publish(18)
  const found = [slow.isDestroyed, slow.queuedBytes]
  ledger.whenDurable = whenDurable
  for (const goOn of held) goOn()
  Reflect.deleteProperty(cell, 'position')
  assert.deepEqual(found, [true, queuedBytes])
})

test('the limit can be changed, also to a soft one, as Redis has it', async t => {
  const broker = await start(t, 100_000)
  const { slow, publish } = pair(t, broker)
  const other = new SlowClient(t, broker)
  const name = 'client-output-buffer-limit'
  assert.match(other.ask('CONFIG', 'GET', name), /normal 0 0 0 slave 0 0 0 pubsub 100000 0 0\r/)
  assert.match(other.ask('CONFIG', 'SET', name, 'pubsub 1mb 50kb 0'), /\+OK/)
  assert.match(other.ask('CONFIG', 'GET', name), /normal 0 0 0 slave 0 0 0 pubsub 1048576 51200 0\r/)
  await publish(4)
  slow.queuedBytes = 0
  await publish(5)
  await new Promise(resolve => setTimeout(resolve, 20))
  assert(!slow.isDestroyed)
  await publish(1)
  while (!slow.isDestroyed) await turn()
  assert(slow.queuedBytes < 100_000)
})

test('what Redis takes for a limit is taken, and what would not be true is refused', () => {
  const limit = { hardBytes: 1000, softBytes: 0, softSeconds: 0 }
  const after = (text: string): string => describeLimits(parseLimits(text, limit)).replace(/^.*pubsub /, '')
  assert.equal(after('pubsub 1kb 1k 60'), '1024 1000 60')
  assert.equal(after('PUBSUB 5 6 7'), '5 6 7')
  assert.equal(after(''), '1000 0 0')
  assert.equal(after('normal 0 0 0 replica 0 0 60'), '1000 0 0')
  assert.equal(after('pubsub 0 0 0'), '1073741824 0 0')
  assert.equal(after('pubsub 100gb 0 0'), '1073741824 0 0')
  for (const [text, why] of [
    ['pubsub 1 2', 'Wrong number of arguments in buffer limit configuration.'],
    ['other 1 2 3', 'Invalid client class specified in buffer limit configuration.'],
    ['pubsub x 2 3', 'Error in hard, soft or soft_seconds setting in buffer limit configuration.'],
    ['pubsub -1 2 3', 'Error in hard, soft or soft_seconds setting in buffer limit configuration.'],
    ['pubsub 1 2 1.5', 'Error in hard, soft or soft_seconds setting in buffer limit configuration.'],
    ['normal 1 0 0', 'only pubsub clients have a limit here'],
  ] as const) {
    const message = `ERR CONFIG SET failed (possibly related to argument 'client-output-buffer-limit') - ${why}`
    assert.throws(() => parseLimits(text, limit), { message }, text)
  }
})
