import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { mutate, Random, Reader, Writer } from '@dragoman/wire'
import { AmqpDriver } from '../../packages/broker/src/protocols/amqp/driver.ts'
import { protocolHeader } from '../../packages/broker/src/protocols/amqp/framing.ts'
import { methods } from '../../packages/broker/src/protocols/amqp/messages/index.ts'
import type { Method } from '../../packages/broker/src/protocols/amqp/messages/method.ts'
import { BeanstalkDriver } from '../../packages/broker/src/protocols/beanstalk/driver.ts'
import { answers, commands, messages as jobMessages } from '../../packages/broker/src/protocols/beanstalk/messages.ts'
import { MqttDriver } from '../../packages/broker/src/protocols/mqtt/driver.ts'
import { PacketDecoder } from '../../packages/broker/src/protocols/mqtt/framing.ts'
import {
  messages as mqttPackets,
  messagesByType as mqttByType,
} from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { StompDriver } from '../../packages/broker/src/protocols/stomp/driver.ts'
import {
  commands as stompCommands,
  encodeFrame,
  messages as stompMessages,
  type Frame,
} from '../../packages/broker/src/protocols/stomp/messages.ts'
import { resp } from './resp-target.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'

/** A protocol whose peers send frames and do not have to wait for answers. */
export interface Target {
  readonly name: 'amqp' | 'beanstalk' | 'stomp' | 'mqtt' | 'resp'
  /** What every connection begins with. */
  readonly hello: Buffer
  /** The bytes of some frames as a client sends them, and how many these are. */
  frames(random: Random): { bytes: Buffer; count: number }
  /** Throws when what has been received cannot be answers; returns how many bytes at its beginning are whole ones. */
  check(received: Buffer): { bytes: number; answers: number }
  /** A client that behaves is served. */
  askSane(port: number): Promise<void>
}

export interface StreamOptions {
  target: Target
  port: number
  frames: number
  seed: number
  connections: number
  /** Called about once a second; a rejection ends the campaign. */
  watch(done: number): Promise<void>
}

export interface StreamSummary {
  frames: number
  answers: number
  connections: number
  /** Connections that the broker closed before it was asked to. */
  closed: number
  /** Connections that waited for something and were given up. */
  abandoned: number
}

/** Frames of one connection. */
const framesMax = 48
/** A connection that is not closed so long after its end waits for something. */
const patienceMs = 500

/** Sends frames that are mostly right over real sockets, one connection after the other, and checks the form of all answers. */
export async function fuzzStreams(options: StreamOptions): Promise<StreamSummary> {
  const summary = { frames: 0, answers: 0, connections: 0, closed: 0, abandoned: 0 }
  let watching = performance.now()
  const watch = async (): Promise<void> => {
    // One at a time: the client that behaves may be slow.
    watching = Infinity
    await options.watch(summary.frames)
    watching = performance.now()
  }
  const worker = async (random: Random): Promise<void> => {
    while (summary.frames < options.frames) {
      const { frames, answers, ending } = await converse(options, random)
      summary.frames += frames
      summary.answers += answers
      summary.connections++
      if (ending !== 'ended') summary[ending]++
      if (performance.now() - watching > 1000) await watch()
    }
  }
  await Promise.all(Array.from({ length: options.connections }, (_, at) => worker(new Random(options.seed + at))))
  return summary
}

interface Conversation {
  frames: number
  answers: number
  ending: 'ended' | 'closed' | 'abandoned'
}

/** All faults come last: what is behind one is mostly not looked at. */
function converse({ target, port }: StreamOptions, random: Random): Promise<Conversation> {
  const parts = [target.hello]
  let frames = 0
  for (const most = random.below(framesMax); frames < most;) {
    const { bytes, count } = target.frames(random)
    parts.push(bytes)
    frames += count
  }
  for (let faults = random.below(3); faults > 0; faults--) {
    const { bytes, count } = target.frames(random)
    parts.push(mutate(random, bytes))
    frames += count
  }
  if (random.below(200) === 0) parts.splice(random.below(parts.length), 1)
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let received = Buffer.alloc(0)
    let answers = 0
    let hasEnded = false
    const timer = setTimeout(() => finish('abandoned'), patienceMs)
    const finish = (ending: Conversation['ending']): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ frames, answers, ending })
    }
    socket.on('connect', () => socket.end(Buffer.concat(parts), () => (hasEnded = true)))
    socket.on('data', chunk => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      try {
        const whole = target.check(received)
        answers += whole.answers
        received = received.subarray(whole.bytes)
      } catch (error) {
        clearTimeout(timer)
        socket.destroy()
        reject(error as Error)
      }
    })
    socket.on('end', () => finish(hasEnded ? 'ended' : 'closed'))
    socket.on('close', () => finish(hasEnded ? 'ended' : 'closed'))
    socket.on('error', () => finish('closed'))
  })
}

const { network } = realRuntime()

// AMQP 0-9-1

const frameTypes = { method: 1, header: 2, body: 3, heartbeat: 8 } as const
const frameEnd = 0xce
const channelCount = 6
/** What only the broker sends ends a connection: little of it is enough. */
const fromBroker = /-ok$|^connection\.|^basic\.(deliver|return|get-empty)$/
const [known, others] = [methods.filter(({ name }) => !fromBroker.test(name)), methods]

function frame(type: number, channel: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(payload.length + 8)
  bytes[0] = type
  bytes.writeUInt16BE(channel, 1)
  bytes.writeUInt32BE(payload.length, 3)
  bytes.set(payload, 7)
  bytes[bytes.length - 1] = frameEnd
  return bytes
}

/** Names that are there more often than not. */
const names: Record<string, readonly string[]> = {
  queue: ['', 'fuzz-1', 'fuzz-2', 'fuzz-3'],
  exchange: ['', 'amq.topic', 'amq.fanout', 'fuzz'],
  source: ['amq.topic', 'amq.headers', 'fuzz'],
  destination: ['fuzz', 'amq.direct'],
  routingKey: ['fuzz-1', 'fuzz-2', 'a.b'],
  consumerTag: ['', 'c1', 'c2'],
  type: ['direct', 'fanout', 'topic', 'headers', 'x-delayed-message', 'x-consistent-hash'],
}

function methodPayload(random: Random, { id, codec }: Method): Buffer {
  const writer = new Writer()
  writer.u32(id)
  const given = codec.sample(random) as Record<string, unknown>
  for (const [field, choices] of Object.entries(names))
    if (typeof given[field] === 'string' && random.chance(0.9)) given[field] = random.pick(choices)
  if (typeof given['deliveryTag'] === 'number' && random.chance(0.9)) given['deliveryTag'] = random.below(5)
  if (Array.isArray(given['arguments']) && random.chance(0.8)) given['arguments'] = []
  codec.write(writer, given as never)
  return Buffer.from(writer.take())
}

function amqpFrames(random: Random): { bytes: Buffer; count: number } {
  const channel = random.chance(0.99) ? random.between(1, channelCount) : random.below(70_000) % 65_536
  if (random.chance(0.02)) return { bytes: frame(frameTypes.heartbeat, 0, Buffer.alloc(0)), count: 1 }
  const chosen = random.chance(0.985) ? random.pick(known) : random.pick(others)
  const method = frame(frameTypes.method, channel, methodPayload(random, chosen))
  if (!chosen.hasContent) return { bytes: method, count: 1 }
  const body = random.bytes(random.below(random.pick([1, 50, 5000])))
  const header = Buffer.alloc(14)
  header.writeUInt16BE(60, 0)
  header.writeBigUInt64BE(BigInt(body.length), 4)
  const parts = [method, frame(frameTypes.header, channel, header)]
  const cut = random.below(body.length + 1)
  for (const part of [body.subarray(0, cut), body.subarray(cut)])
    if (part.length > 0) parts.push(frame(frameTypes.body, channel, part))
  return { bytes: Buffer.concat(parts), count: parts.length }
}

function amqpHello(): Buffer {
  const encode = (name: string, channel: number, given: unknown): Buffer => {
    const method = methods.find(each => each.name === name)
    assert(method, name)
    const writer = new Writer()
    writer.u32(method.id)
    method.codec.write(writer, given as never)
    return frame(frameTypes.method, channel, writer.take())
  }
  const response = Buffer.from('\0guest\0guest')
  const channels = Array.from({ length: channelCount }, (_, at) => encode('channel.open', at + 1, {}))
  return Buffer.concat([
    protocolHeader,
    encode('connection.start-ok', 0, { clientProperties: [], mechanism: 'PLAIN', response, locale: 'en_US' }),
    encode('connection.tune-ok', 0, { channelMax: 2047, frameMax: 131_072, heartbeat: 0 }),
    encode('connection.open', 0, { virtualHost: '/' }),
    ...channels,
  ])
}

export const amqp: Target = {
  name: 'amqp',
  hello: amqpHello(),
  frames: amqpFrames,
  check(received) {
    let at = 0
    let count = 0
    // A header that is not understood is answered with ours.
    if (received.length >= 8 && received.subarray(0, 4).equals(Buffer.from('AMQP'))) return { bytes: 8, answers: 1 }
    while (received.length >= at + 8) {
      const size = received.readUInt32BE(at + 3)
      assert(Object.values(frameTypes).includes(received[at] as 1), `a frame of type ${received[at]}`)
      assert(size <= 131_072, `a frame of ${size} bytes`)
      if (received.length < at + 8 + size) break
      assert.equal(received[at + 7 + size], frameEnd, 'a frame does not end')
      at += 8 + size
      count++
    }
    return { bytes: at, answers: count }
  },
  async askSane(port) {
    const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port })
    const channel = await driver.channel()
    await channel.confirm()
    // There from the first time on: hostile clients make as many queues as there may be.
    const { queue } = await channel.declare('sane')
    assert(await channel.publish('', queue, 'sane'))
    const message = await channel.get(queue, { noAck: true })
    assert.equal(String(message?.body), 'sane')
    await driver.close()
  },
}

// beanstalkd

const jobCodecs = Object.keys(commands).map(name => jobMessages[name]!)
const answerWords = Object.values(answers).map(({ prefix }) => prefix.trim())

export const beanstalk: Target = {
  name: 'beanstalk',
  hello: Buffer.from('watch fuzz\r\n'),
  frames(random) {
    const writer = new Writer()
    const codec = random.pick(jobCodecs)
    codec.write(writer, codec.sample(random))
    const bytes = Buffer.from(writer.take())
    // Who waits for a job takes no other command.
    const waits = /^reserve(\r|-with-timeout)/.test(bytes.toString('latin1')) && random.chance(0.98)
    return { bytes: waits ? Buffer.from('reserve-with-timeout 0\r\n') : bytes, count: 1 }
  },
  check(received) {
    let at = 0
    let count = 0
    for (;;) {
      const end = received.indexOf('\r\n', at)
      if (end < 0) return { bytes: at, answers: count }
      const line = received.subarray(at, end).toString('latin1')
      assert(
        answerWords.some(word => line.startsWith(word)),
        `an answer ${JSON.stringify(line)}`,
      )
      const [, size] = /^(?:OK|RESERVED \d+|FOUND \d+) (\d+)$/.exec(line) ?? []
      const next = end + 2 + (size === undefined ? 0 : Number(size) + 2)
      if (received.length < next) return { bytes: at, answers: count }
      if (size !== undefined) assert.equal(received.subarray(next - 2, next).toString(), '\r\n')
      at = next
      count++
    }
  },
  async askSane(port) {
    const driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port })
    const tube = `sane-${Date.now()}`
    const id = await driver.publish(tube, 'sane')
    const job = await driver.consume(tube)
    assert.deepEqual([job.id, String(job.body)], [id, 'sane'])
    await driver.ack(id)
    driver.close()
  },
}

// STOMP

const stompNames = Object.keys(stompCommands).filter(
  name => name !== 'CONNECT' && name !== 'STOMP' && name !== 'DISCONNECT',
)

/** What makes most frames sound: the first that is not ends the connection. */
const soundHeaders: Readonly<Record<string, readonly string[]>> = {
  destination: [
    '/queue/fuzz-1',
    '/queue/fuzz-2',
    '/topic/fuzz.a',
    '/topic/fuzz.#',
    '/exchange/amq.topic/fuzz.b',
    '/temp-queue/a',
  ],
  ack: ['auto', 'client', 'client-individual'],
  priority: ['0', '4', '9'],
  selector: ["a = 'b'", 'priority > 3'],
  'prefetch-count': ['1', '10'],
}

function stompFrames(random: Random): { bytes: Buffer; count: number } {
  const name = random.chance(0.7) ? random.pick(['SEND', 'SUBSCRIBE', 'BEGIN']) : random.pick(stompNames)
  const frame = stompMessages[name]!.sample(random) as Frame
  const { headers } = frame
  for (const [header, values] of Object.entries(soundHeaders)) {
    if (headers[header] !== undefined && random.chance(0.99)) headers[header] = random.pick(values)
  }
  if (random.chance(0.5)) headers['receipt'] = String(random.below(1000))
  // Names are used once more often than twice.
  for (const header of ['id', 'transaction']) {
    if ((name === 'SUBSCRIBE' || name === 'BEGIN') && random.chance(0.99)) headers[header] = String(random.u32())
    else if (name === 'SEND' && random.chance(0.99)) delete headers[header]
  }
  // What is durable stays, and gets a copy of all that is sent to its subject: there is little of it.
  if (name === 'SUBSCRIBE') {
    const isDurable = random.chance(0.01)
    if (isDurable) Object.assign(headers, { id: 'lasting', 'x-max-length': '20' })
    else for (const header of ['durable', 'auto-delete']) delete headers[header]
  }
  return { bytes: encodeFrame(name, frame), count: 1 }
}

export const stomp: Target = {
  name: 'stomp',
  hello: encodeFrame('CONNECT', { headers: { 'accept-version': '1.2', host: '/' } }),
  frames: stompFrames,
  check(received) {
    let at = 0
    let count = 0
    for (;;) {
      while (received[at] === 0x0a) at++
      const end = received.indexOf('\n\n', at)
      if (end < 0) return { bytes: at, answers: count }
      const head = received.toString('utf8', at, end)
      assert.match(head, /^(CONNECTED|MESSAGE|RECEIPT|ERROR)\n/, `an answer ${JSON.stringify(head.slice(0, 40))}`)
      const length = /^content-length:(\d+)$/m.exec(head)?.[1]
      const next = length === undefined ? received.indexOf(0, end + 2) + 1 : end + 2 + Number(length) + 1
      if (next === 0 || received.length < next) return { bytes: at, answers: count }
      assert.equal(received[next - 1], 0, 'a frame does not end')
      at = next
      count++
    }
  },
  async askSane(port) {
    const driver = await StompDriver.connect(network, { host: '127.0.0.1', port })
    await driver.ask('SUBSCRIBE', { id: '1', destination: '/temp-queue/sane' })
    await driver.ask('SEND', { destination: '/temp-queue/sane' }, 'sane')
    assert.equal((await driver.message('1')).body.toString(), 'sane')
    driver.close()
  },
}

// MQTT

const mqttTopics = ['fuzz/a', 'fuzz/b', 'fuzz', 'other']
const mqttFilters = ['fuzz/#', 'fuzz/+', 'fuzz/a', '+/b', '$share/g/fuzz/a', '$SYS/broker/uptime']

/** What makes most packets sound: the first that is not ends the connection. */
function mqttFrames(random: Random): { bytes: Buffer; count: number } {
  const packetId = 1 + random.below(20)
  const name = random.pick(['publish', 'publish', 'publish', 'ack', 'subscribe', 'unsubscribe', 'ping', 'any'])
  switch (name) {
    case 'publish': {
      const fields = mqttPackets.PUBLISH.sample(random)
      const properties = { ...fields.properties, subscriptionIds: undefined, topicAlias: undefined, responseTopic: 'r' }
      if (properties.payloadFormat === 1) properties.payloadFormat = 0
      const topic = random.pick(mqttTopics)
      return { bytes: mqttPackets.PUBLISH.encode({ ...fields, topic, properties, packetId }, 5), count: 1 }
    }
    case 'ack': {
      const form = random.pick([mqttPackets.PUBACK, mqttPackets.PUBREC, mqttPackets.PUBREL, mqttPackets.PUBCOMP])
      return { bytes: form.encode({ ...form.sample(random), packetId }, 5), count: 1 }
    }
    case 'subscribe': {
      const filter = random.pick(mqttFilters)
      const options = random.below(3) | (filter.startsWith('$share') ? 0 : random.pick([0, 4, 8, 0x10, 0x20]))
      const properties = { subscriptionIds: [1 + random.below(300)] }
      return {
        bytes: mqttPackets.SUBSCRIBE.encode({ packetId, properties, wanted: [{ filter, options }] }, 5),
        count: 1,
      }
    }
    case 'unsubscribe':
      return {
        bytes: mqttPackets.UNSUBSCRIBE.encode({ packetId, properties: {}, filters: [random.pick(mqttFilters)] }, 5),
        count: 1,
      }
    case 'ping':
      return { bytes: mqttPackets.PINGREQ.encode({}, 5), count: 1 }
    default: {
      const form = random.pick(Object.values(mqttPackets))
      return { bytes: form.encode(form.sample(random) as never, 5), count: 1 }
    }
  }
}

export const mqtt: Target = {
  name: 'mqtt',
  hello: mqttPackets.CONNECT.encode(
    {
      protocolName: 'MQTT',
      version: 5,
      cleanStart: true,
      keepAliveSeconds: 0,
      properties: {},
      clientId: '',
      will: undefined,
      username: undefined,
      password: undefined,
    },
    5,
  ),
  frames: mqttFrames,
  check(received) {
    let bytes = 0
    let count = 0
    const decoder = new PacketDecoder({ frameBytesMax: 2 ** 28 })
    decoder.push(received, ({ first, bytes: source, at, end, fault }) => {
      assert.equal(fault, undefined, 'an answer that is no packet')
      const form = mqttByType.get(first >> 4)
      assert(form, `an answer of type ${first >> 4}`)
      form.readBody(new Reader(source, at, end), 5, first & 0xf)
      bytes = end
      count++
    })
    return { bytes, answers: count }
  },
  async askSane(port) {
    const driver = await MqttDriver.connect(network, { host: '127.0.0.1', port }, { clientId: 'sane' })
    await driver.subscribe('sane', 1)
    await driver.publish('sane', 'still here', { qos: 1 })
    assert.equal((await driver.message()).payload.toString(), 'still here')
    driver.disconnect()
    driver.destroy()
  },
}

export const targets: Record<string, Target> = { amqp, beanstalk, stomp, mqtt, resp }
