import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, Random, Writer } from '@dragoman/wire'
import { startBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { RespDriver } from './driver.ts'
import { CommandDecoder } from './framing.ts'
import { messages } from './messages.ts'
import { RespSession } from './session.ts'
import { value } from './value.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 6000)
const { network, clock } = realRuntime()
const address = { host: '127.0.0.1', port: 1 }
/** Those that end the connection or hold it up for long. */
const isCalm = (name: string): boolean => !/^(?:DEBUG SLEEP|CLIENT KILL|CLIENT REPLY)$/.test(name)

test(`${frames} hostile commands are answered, and the broker goes on (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const broker = await startBroker({ data: 'memory', resp: 0, logLevel: 'error' })
  const codecs = Object.entries(messages)
    .filter(([name]) => isCalm(name))
    .map(([, codec]) => codec)
  let answers = 0
  const open = (): { session: RespSession; decoder: CommandDecoder; isOpen: boolean } => {
    const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 16 }
    let pending: Buffer = Buffer.alloc(0)
    const outbox = {
      // Whatever leaves is a row of whole values.
      write: (parts: readonly Uint8Array[]) => {
        pending = Buffer.concat([pending, ...parts])
        let at = 0
        for (let found = value(pending, at); found; found = at < pending.length ? value(pending, at) : undefined) {
          at = found.end
          answers++
        }
        pending = pending.subarray(at)
      },
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (peer.isOpen = false),
      destroy: () => (peer.isOpen = false),
    }
    const log = (level: string, message: string): void => void (level === 'error' && assert.fail(message))
    const context = { ordinal: 1, remote: address, local: address, clock, random, limits, log }
    const session = new RespSession(broker.core, outbox, context)
    const peer = { isOpen: true, decoder: new CommandDecoder(limits), session }
    return peer
  }
  const peers = Array.from({ length: 4 }, open)
  for (let index = 0; index < frames; index++) {
    const at = random.below(peers.length)
    if (!peers[at]!.isOpen || random.chance(0.02)) {
      peers[at]!.session.closed()
      peers[at] = open()
    }
    const peer = peers[at]!
    const out = new Writer()
    const codec = random.pick(codecs)
    codec.write(out, codec.sample(random))
    const bytes = random.chance(0.9) ? out.take() : mutate(random, out.take())
    peer.decoder.push(bytes, packet => peer.session.receive(packet))
    if (index % 32 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  for (const { session } of peers) session.closed()
  assert(answers > frames / 20, `${answers} answers`)
  const driver = await RespDriver.connect(network, { host: '127.0.0.1', port: broker.port('resp') })
  await driver.text('DEL', 'steady')
  await driver.text('RPUSH', 'steady', 'still here')
  assert.equal(await driver.text('LPOP', 'steady'), 'still here')
  driver.close()
  await broker.close()
})
