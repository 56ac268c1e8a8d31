import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, Random, Writer } from '@dragoman/wire'
import { startBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { BeanstalkDriver } from './driver.ts'
import { CommandDecoder } from './framing.ts'
import { commands, messages } from './messages.ts'
import { BeanstalkSession } from './session.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 6000)
const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 16, jobBytesMax: 1000 }
const { network, clock } = realRuntime()
const address = { host: '127.0.0.1', port: 1 }

test(`${frames} hostile commands are answered, and the broker goes on (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const broker = await startBroker({ data: 'memory', beanstalk: 0, logLevel: 'error' })
  const codecs = Object.keys(commands).map(name => messages[name]!)
  let answers = 0
  const open = (): { session: BeanstalkSession; decoder: CommandDecoder; isOpen: boolean } => {
    const peer = { isOpen: true, decoder: new CommandDecoder(limits) }
    const outbox = {
      write: (parts: readonly Uint8Array[]) => {
        assert(Buffer.concat(parts).subarray(-2).equals(Buffer.from('\r\n')))
        answers++
      },
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (peer.isOpen = false),
      destroy: () => (peer.isOpen = false),
    }
    const log = (level: string, message: string): void => void (level === 'error' && assert.fail(message))
    const context = { ordinal: 1, remote: address, local: address, clock, random, limits, log }
    return Object.assign(peer, { session: new BeanstalkSession(broker.core, outbox, context) })
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
    const bytes = random.chance(0.7) ? out.take() : Buffer.concat([mutate(random, out.take()), Buffer.from('\r\n')])
    peer.decoder.push(bytes, packet => peer.session.receive(packet))
    if (index % 32 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  for (const { session } of peers) session.closed()
  assert(answers > frames / 20, `${answers} answers`)
  const driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port: broker.port('beanstalk') })
  const id = await driver.publish('steady', 'still here')
  assert.equal(String((await driver.consume('steady')).body), 'still here')
  await driver.ack(id)
  driver.close()
  await broker.close()
})
