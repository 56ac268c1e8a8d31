import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, ProtocolError, Random, type Codec } from '@dragoman/wire'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import { encodeRequest } from './client.ts'
import { KafkaDriver } from './driver.ts'
import { RequestDecoder } from './framing.ts'
import { apis, type Api } from './messages/index.ts'
import { KafkaSession } from './session.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 3000)
const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 16 }
const { network, clock } = realRuntime()

/** One connection without a socket: it takes bytes and says how it ended. */
class Peer {
  open = true
  answers = 0
  readonly #session: KafkaSession
  readonly #decoder = new RequestDecoder(limits)

  constructor({ core }: RunningBroker, random: Random, failed: (message: string) => void) {
    const outbox = {
      write: (parts: readonly Uint8Array[], written?: () => void) => {
        assert.equal(Buffer.concat(parts).readInt32BE(), Buffer.concat(parts).length - 4)
        this.answers++
        if (written) queueMicrotask(written)
      },
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (this.open = false),
      destroy: () => (this.open = false),
    }
    const address = { host: '127.0.0.1', port: 1 }
    this.#session = new KafkaSession(core, outbox, {
      ordinal: 1,
      remote: address,
      local: address,
      clock,
      random,
      limits,
      log: (level, message, fields) => {
        if (level === 'error') failed(`${message}: ${JSON.stringify(fields)}`)
      },
    })
  }

  receive(bytes: Buffer): void {
    try {
      this.#decoder.push(bytes, frame => this.#session.receive(frame))
    } catch (error) {
      assert(error instanceof ProtocolError, error instanceof Error ? error.stack : String(error))
      this.open = false
    }
  }

  close(): void {
    this.#session.closed()
  }
}

/** A request in its form, with values that mean something here and there, then perhaps damaged. */
function randomRequest(random: Random): Buffer {
  const api: Api<Codec<unknown>> = random.pick(Object.values(apis))
  const version = random.between(api.versions[0], api.versions[1])
  const body = meaningful(api.request.sample(random, version), random)
  const bytes = Buffer.concat(encodeRequest(api, version, random.u32() >>> 1, 'fuzz', body))
  if (random.chance(0.5)) return bytes
  // Faults in the header mostly end the connection: more go into the body, behind key, version, correlation and client id.
  const from = random.chance(0.2) ? 4 : 18
  const damaged = mutate(random, bytes.subarray(from))
  bytes.writeInt32BE(from - 4 + damaged.length)
  return Buffer.concat([bytes.subarray(0, from), damaged])
}

/** Puts names that exist and small numbers in the place of some values. */
function meaningful(value: unknown, random: Random): unknown {
  if (typeof value === 'string' && value.length !== 32)
    return random.chance(0.6) ? random.pick(['t', 'u', 'g', '']) : value
  if (typeof value === 'number') return random.chance(0.6) ? random.between(-2, 4) : value
  if (Buffer.isBuffer(value)) {
    if (random.chance(0.5)) return value
    return makeBatch([{ value: random.bytes(random.below(50)), timestampMs: clock.nowMs() }])
  }
  if (Array.isArray(value)) return value.map(item => meaningful(item, random))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, of]) => [name, meaningful(of, random)]))
}

test(`${frames} hostile requests end the connection or are answered, and the broker goes on (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const broker = await startBroker({ data: 'memory', kafka: 0, logLevel: 'error' })
  const failures: string[] = []
  const driver = await KafkaDriver.connect(network, { host: '127.0.0.1', port: broker.port('kafka') })
  await driver.declare('steady')
  let answers = 0
  let peer: Peer | undefined
  for (let index = 0; index < frames; index++) {
    if (peer === undefined || !peer.open || random.chance(0.02)) {
      answers += peer?.answers ?? 0
      peer?.close()
      peer = new Peer(broker, random, failure => failures.push(failure))
    }
    peer.receive(randomRequest(random))
    if (index % 64 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  peer?.close()
  assert.deepEqual(failures.slice(0, 3), [])
  assert(answers > frames / 20, `${answers} answers`)
  const base = await driver.publish('steady', [{ value: Buffer.from('still here'), timestampMs: clock.nowMs() }])
  assert.equal(String((await driver.consume('steady', 1, { offset: base }))[0]?.value), 'still here')
  driver.close()
  await broker.close()
})
