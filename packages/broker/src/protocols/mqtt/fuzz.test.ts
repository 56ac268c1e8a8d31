import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, Random } from '@dragoman/wire'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { PacketDecoder, type Packet } from './framing.ts'
import { connect, messages, versions } from './messages.ts'
import { MqttSession } from './session.ts'
import { connect as open, start } from './testing/bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const frames = Number(process.env['FRAMES'] ?? 6000)
const { clock } = realRuntime()
const address = { host: '127.0.0.1', port: 1 }
const levels = Object.values(versions)

test(`${frames} hostile packets end in words or in silence, and the broker goes on (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const broker = await start(t, { sessionsMax: 50, subscriberBytesMax: 100_000 })
  const log = (level: string, message: string, fields?: unknown): void =>
    void (level === 'error' && assert.fail(`${message} ${JSON.stringify(fields)}`))
  let [opened, answers] = [0, 0]
  const dial = () => {
    const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 16 }
    const peer = { isOpen: true, decoder: new PacketDecoder(limits), version: random.pick(levels) }
    const outbox = {
      write: (parts: readonly Uint8Array[], written?: () => void) => {
        if (parts.length > 0) answers++
        if (written) setImmediate(written)
      },
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (peer.isOpen = false),
      destroy: () => (peer.isOpen = false),
    }
    const context = { ordinal: 1, remote: address, local: address, clock, random, limits, log }
    const session = new MqttSession(broker.core, outbox, context)
    opened++
    const fields = { ...connect.sample(random, peer.version), clientId: `c${random.below(5)}`, username: undefined }
    const whole = connect.encode({ ...fields, password: undefined, properties: {} }, peer.version)
    const whenSaid = random.chance(0.9) ? whole : mutate(random, whole)
    return Object.assign(peer, { session, hello: whenSaid })
  }
  const say = (peer: ReturnType<typeof dial>, bytes: Buffer): void =>
    peer.decoder.push(bytes, (packet: Packet) => peer.isOpen && peer.session.receive(packet))
  const peers = Array.from({ length: 4 }, dial)
  for (const peer of peers) say(peer, peer.hello)
  for (let index = 0; index < frames; index++) {
    const at = random.below(peers.length)
    if (!peers[at]!.isOpen || random.chance(0.01)) {
      peers[at]!.session.closed()
      peers[at] = dial()
      say(peers[at], peers[at].hello)
      await new Promise(resolve => setImmediate(resolve))
    }
    const peer = peers[at]!
    const codec = random.pick(Object.values(messages))
    const packet = codec.encode(codec.sample(random, peer.version) as never, peer.version)
    say(peer, random.chance(0.6) ? packet : mutate(random, packet))
    if (index % 16 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  for (const { session } of peers) session.closed()
  assert(opened > 10 && answers > frames / 40, `${opened} connections, ${answers} answers`)
  const client = await open(t, broker, { clientId: 'steady' })
  await client.subscribe('still', 1)
  await client.publish('still', 'here', { qos: 1 })
  assert.equal(String((await client.message()).payload), 'here')
})
