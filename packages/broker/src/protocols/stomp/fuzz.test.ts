import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, Random, Writer } from '@dragoman/wire'
import { startBroker } from '../../main.ts'
import { StompDriver } from './driver.ts'
import { FrameDecoder } from './framing.ts'
import { commands, decodeFrame, encodeFrame, messages } from './messages.ts'
import { StompSession } from './session.ts'
import { addressOf, network } from './testing/bench.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 6000)
const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 16 }
const address = { host: '127.0.0.1', port: 1 }
const { clock } = realRuntime()

interface Peer {
  session: StompSession
  decoder: FrameDecoder
  isOpen: boolean
}

test(`${frames} hostile frames are answered, and the broker goes on (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const broker = await startBroker({ data: 'memory', stomp: 0, logLevel: 'error' })
  const codecs = Object.keys(commands).map(name => messages[name]!)
  let answers = 0
  const hello = encodeFrame('CONNECT', { headers: { 'accept-version': '1.2' } })
  const open = async (): Promise<Peer> => {
    const peer = { isOpen: true, decoder: new FrameDecoder(limits) }
    const outbox = {
      write: (parts: readonly Uint8Array[]) => {
        for (const at of Buffer.concat(parts).subarray(-1)) assert(at === 0 || at === 0x0a)
        answers++
      },
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (peer.isOpen = false),
      destroy: () => (peer.isOpen = false),
    }
    const log = (level: string, message: string, fields?: unknown): void =>
      void (level === 'error' && assert.fail(`${message} ${JSON.stringify(fields)}`))
    const context = { ordinal: 1, remote: address, local: address, clock, random, limits: { ...limits }, log }
    const session = new StompSession(broker.core, outbox, context)
    peer.decoder.push(random.chance(0.98) ? hello : mutate(random, hello), packet => session.receive(packet))
    await new Promise(resolve => setImmediate(resolve))
    return Object.assign(peer, { session })
  }
  const peers = await Promise.all(Array.from({ length: 4 }, open))
  for (let index = 0; index < frames; index++) {
    const at = random.below(peers.length)
    if (!peers[at]!.isOpen || random.chance(0.02)) {
      peers[at]!.session.closed()
      peers[at] = await open()
    }
    const peer = peers[at]!
    const out = new Writer()
    const codec = random.pick(codecs)
    codec.write(out, codec.sample(random))
    const bytes = random.chance(0.8) ? out.take() : mutate(random, out.take())
    peer.decoder.push(bytes, packet => peer.session.receive(packet))
    if (index % 32 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  for (const { session } of peers) session.closed()
  assert(answers > frames / 20, `${answers} answers`)
  const driver = await StompDriver.connect(network, addressOf(broker))
  await driver.ask('SEND', { destination: '/queue/steady' }, 'still here')
  await driver.ask('SUBSCRIBE', { id: '1', destination: '/queue/steady' })
  assert.equal((await driver.message('1')).body.toString(), 'still here')
  driver.close()
  await broker.close()
})

test(`frames survive a round trip in each version (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let index = 0; index < 3000; index++) {
    const name = random.pick(Object.keys(messages))
    const frame = messages[name]!.sample(random) as Parameters<typeof encodeFrame>[1]
    const version = random.pick(['1.1', '1.2'] as const)
    const { command, ...found } = decodeFrame(encodeFrame(name, frame, version), version)
    assert.equal(command, name)
    assert.deepEqual(found, frame)
  }
})
