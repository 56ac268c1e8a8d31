import {
  custom,
  fromNode,
  listToEnd,
  message,
  ProtocolError,
  Reader,
  since,
  struct,
  u16,
  u8,
  Writer,
  type Codec,
  type Node,
  type Random,
} from '@dragoman/wire'
import { malformed } from './errors.ts'
import {
  binary,
  propertiesOf,
  readBinary,
  readText,
  readVarint,
  text,
  varintBytes,
  writeBinary,
  writeText,
  type Properties,
} from './properties.ts'

/**
 * Every packet, declared once. Versions are the protocol levels of the wire: 3 is 3.1, 4 is 3.1.1, 5 is 5.0.
 */
export const versions = { mqtt31: 3, mqtt311: 4, mqtt5: 5 } as const
const all = [versions.mqtt31, versions.mqtt5] as const

export const types = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const

export const willProperties = propertiesOf(
  'payloadFormat',
  'messageExpiry',
  'contentType',
  'responseTopic',
  'correlationData',
  'willDelay',
  'userProperties',
)
const connectProperties = propertiesOf(
  'sessionExpiry',
  'authMethod',
  'authData',
  'requestProblem',
  'requestResponse',
  'receiveMaximum',
  'topicAliasMaximum',
  'userProperties',
  'maximumPacketSize',
)
const connackProperties = propertiesOf(
  'sessionExpiry',
  'assignedClientId',
  'serverKeepAlive',
  'authMethod',
  'authData',
  'responseInformation',
  'serverReference',
  'reasonString',
  'receiveMaximum',
  'topicAliasMaximum',
  'maximumQos',
  'retainAvailable',
  'userProperties',
  'maximumPacketSize',
  'wildcardsAvailable',
  'identifiersAvailable',
  'sharedAvailable',
)
/** `subscriptionIds` is for the server alone. */
export const publishProperties = propertiesOf(
  'payloadFormat',
  'messageExpiry',
  'contentType',
  'responseTopic',
  'correlationData',
  'subscriptionIds',
  'topicAlias',
  'userProperties',
)
const ackProperties = propertiesOf('reasonString', 'userProperties')
const subscribeProperties = propertiesOf('subscriptionIds', 'userProperties')
const unsubscribeProperties = propertiesOf('userProperties')
const disconnectProperties = propertiesOf('sessionExpiry', 'serverReference', 'reasonString', 'userProperties')
const authProperties = propertiesOf('authMethod', 'authData', 'reasonString', 'userProperties')

export interface WillFields {
  qos: number
  isRetained: boolean
  properties: Properties
  topic: string
  payload: Buffer
}

export interface Connect {
  protocolName: string
  version: number
  cleanStart: boolean
  keepAliveSeconds: number
  properties: Properties
  clientId: string
  will: WillFields | undefined
  username: string | undefined
  password: Buffer | undefined
}

const bits = { reserved: 1, clean: 2, will: 4, willRetain: 0x20, password: 0x40, username: 0x80 } as const
const willQosShift = 3

/** Which names go with which levels. A high bit of the level is set by bridges. [MQTT 3.1.1, 3.1.2.1] */
export const protocolNames: Readonly<Record<number, string>> = { 3: 'MQIsdp', 4: 'MQTT', 5: 'MQTT' }

/** Name and level alone: what an unknown version is answered by. */
export function readLevel(reader: Reader): { protocolName: string; version: number } {
  return { protocolName: readText(reader), version: reader.u8() }
}

function readConnect(reader: Reader): Connect {
  const { protocolName, version } = readLevel(reader)
  const is5 = version >= versions.mqtt5
  const flags = reader.u8()
  const keepAliveSeconds = reader.u16()
  if (flags & bits.reserved) throw malformed('The lowest flag of CONNECT must be 0')
  const willQos = (flags >> willQosShift) & 3
  const hasWill = (flags & bits.will) !== 0
  if (willQos > 2) throw malformed('The will has the quality of service 3')
  if (!hasWill && (willQos > 0 || flags & bits.willRetain)) throw malformed('There are flags of a will, but no will')
  if (!is5 && flags & bits.password && !(flags & bits.username)) throw malformed('A password needs a user name')
  const properties = is5 ? connectProperties.read(reader) : {}
  const clientId = readText(reader)
  let will: WillFields | undefined
  if (hasWill) {
    const of = is5 ? willProperties.read(reader) : {}
    const topic = readText(reader)
    will = {
      qos: willQos,
      isRetained: (flags & bits.willRetain) !== 0,
      properties: of,
      topic,
      payload: readBinary(reader),
    }
  }
  const username = flags & bits.username ? readText(reader) : undefined
  const password = flags & bits.password ? readBinary(reader) : undefined
  const cleanStart = (flags & bits.clean) !== 0
  return { protocolName, version, cleanStart, keepAliveSeconds, properties, clientId, will, username, password }
}

function writeConnect(writer: Writer, value: Connect): void {
  const { protocolName, version, cleanStart, keepAliveSeconds, properties, clientId, will, username, password } = value
  const is5 = version >= versions.mqtt5
  writeText(writer, protocolName)
  writer.u8(version)
  let flags = cleanStart ? bits.clean : 0
  if (will) flags |= bits.will | (will.qos << willQosShift) | (will.isRetained ? bits.willRetain : 0)
  if (username !== undefined) flags |= bits.username
  if (password !== undefined) flags |= bits.password
  writer.u8(flags)
  writer.u16(keepAliveSeconds)
  if (is5) connectProperties.write(writer, properties)
  writeText(writer, clientId)
  if (will) {
    if (is5) willProperties.write(writer, will.properties)
    writeText(writer, will.topic)
    writeBinary(writer, will.payload)
  }
  if (username !== undefined) writeText(writer, username)
  if (password !== undefined) writeBinary(writer, password)
}

function sampleConnect(random: Random, version: number): Connect {
  const is5 = version >= versions.mqtt5
  const username = random.chance(0.3) ? text.sample(random) : undefined
  return {
    protocolName: protocolNames[version] ?? 'MQTT',
    version,
    cleanStart: random.chance(0.5),
    keepAliveSeconds: random.below(0x10000),
    properties: is5 ? connectProperties.sample(random) : {},
    clientId: random.pick(['', 'a', `client-${random.below(5)}`]),
    will: random.chance(0.3)
      ? {
          qos: random.below(3),
          isRetained: random.chance(0.5),
          properties: is5 ? willProperties.sample(random) : {},
          topic: random.pick(['will', 'a/b', 'ä']),
          payload: random.bytes(random.below(9)),
        }
      : undefined,
    username,
    password: username !== undefined && random.chance(0.7) ? binary.sample(random) : undefined,
  }
}

/** Field by field, for people. What is there depends on the flags. */
const connectNode = message(
  { name: 'CONNECT', versions: all },
  {
    protocolName: text,
    version: u8,
    flags: u8,
    keepAliveSeconds: u16,
    properties: since(versions.mqtt5, connectProperties),
    clientId: text,
    willProperties: since(versions.mqtt5, willProperties),
    willTopic: text,
    willPayload: binary,
    username: text,
    password: binary,
  },
).node

export interface Publish {
  qos: number
  isDuplicate: boolean
  isRetained: boolean
  topic: string
  /** 0 with quality of service 0. */
  packetId: number
  properties: Properties
  payload: Buffer
}

function readPublish(reader: Reader, version: number, flags: number): Publish {
  const qos = (flags >> 1) & 3
  if (qos > 2) throw malformed('There is no quality of service 3')
  const topic = readText(reader)
  const packetId = qos > 0 ? reader.u16() : 0
  const properties = version >= versions.mqtt5 ? publishProperties.read(reader) : {}
  const payload = reader.rest()
  return { qos, isDuplicate: (flags & 8) !== 0, isRetained: (flags & 1) !== 0, topic, packetId, properties, payload }
}

function writePublish(writer: Writer, value: Publish, version: number): void {
  const { qos, topic, packetId, properties, payload } = value
  writeText(writer, topic)
  if (qos > 0) writer.u16(packetId)
  if (version >= versions.mqtt5) publishProperties.write(writer, properties)
  writer.bytes(payload)
}

const publishFlags = ({ qos, isDuplicate, isRetained }: Publish): number =>
  (qos << 1) | (isDuplicate ? 8 : 0) | (isRetained ? 1 : 0)

function samplePublish(random: Random, version: number): Publish {
  const qos = random.below(3)
  return {
    qos,
    isDuplicate: qos > 0 && random.chance(0.2),
    isRetained: random.chance(0.2),
    topic: random.pick(['a', 'a/b', '/', 'x/ä/€', 'a/+']),
    packetId: qos > 0 ? 1 + random.below(5) : 0,
    properties: version >= versions.mqtt5 ? publishProperties.sample(random) : {},
    payload: random.bytes(random.below(random.pick([5, 300]))),
  }
}

const publishNode = message(
  { name: 'PUBLISH', versions: all },
  {
    topic: text,
    packetId: u16,
    properties: since(versions.mqtt5, publishProperties),
    payload: listToEnd(u8),
  },
).node

/** Reason and properties at the end of a packet, which may stop before either. [MQTT 5.0, 3.4.2.1] */
function tail(properties: Codec<Properties>): Codec<{ reason: number; properties: Properties }> {
  return custom({
    name: 'reason and properties, both optional',
    bytesMin: 0,
    zero: () => ({ reason: 0, properties: {} }),
    read(reader) {
      const reason = reader.done() ? 0 : reader.u8()
      return { reason, properties: reader.done() ? {} : properties.read(reader) }
    },
    write(writer, value) {
      const hasProperties = Object.values(value.properties).some(one => one !== undefined)
      if (value.reason === 0 && !hasProperties) return
      writer.u8(value.reason)
      if (hasProperties) properties.write(writer, value.properties)
    },
    sample: random => ({ reason: random.pick([0, 0, 0x10, 0x87]), properties: properties.sample(random) }),
  })
}

/** A packet as a whole: the type and flags, its size, and what `body` reads and writes. [MQTT 5.0, 2.1] */
class PacketCodec<T, W = T> implements Codec<T, W> {
  readonly node: Node
  readonly type: number
  readonly flags: number
  readonly #body: Codec<T, W>

  constructor(type: number, flags: number, body: Codec<T, W>) {
    this.type = type
    this.flags = flags
    this.#body = body
    this.node = body.node
  }

  read(reader: Reader, version: number = versions.mqtt5): T {
    const first = reader.u8()
    if (first >> 4 !== this.type) throw new ProtocolError(`Expected a packet of type ${this.type}`)
    const length = readVarint(reader)
    if (length > reader.remaining) throw new ProtocolError(`Expected ${length} bytes behind the header`)
    const body = new Reader(reader.source, reader.at, reader.at + length)
    const value = this.readBody(body, version, first & 0xf)
    reader.at += length
    return value
  }

  /** What is behind type and size, all of it. */
  readBody(body: Reader, version: number, flags: number): T {
    this.checkFlags(flags)
    const value = this.parse(body, version, flags)
    if (!body.done()) throw malformed('There are bytes left at the end of the packet')
    return value
  }

  write(writer: Writer, value: W, version: number = versions.mqtt5): void {
    writer.bytes(this.encode(value, version))
  }

  encode(value: W, version: number): Buffer {
    if (scratch.length > 0) scratch.take()
    this.put(scratch, value, version)
    const body = scratch.take()
    const packet = Buffer.allocUnsafe(1 + varintBytes(body.length) + body.length)
    packet[0] = (this.type << 4) | this.flagsOf(value)
    body.copy(packet, putVarint(packet, 1, body.length))
    return packet
  }

  sample(random: Random, version: number = versions.mqtt5): T {
    return this.#body.sample(random, version)
  }

  protected checkFlags(flags: number): void {
    if (flags !== this.flags) throw malformed(`A packet of type ${this.type} has the flags ${flags}`)
  }
  protected parse(body: Reader, version: number, _flags: number): T {
    return this.#body.read(body, version)
  }
  protected put(writer: Writer, value: W, version: number): void {
    this.#body.write(writer, value, version)
  }
  protected flagsOf(_value: W): number {
    return this.flags
  }
}

/** Cuts one packet after the other. */
const scratch = new Writer()

/** Returns where it ends. */
export function putVarint(out: Buffer, at: number, value: number): number {
  let left = value
  let to = at
  for (; left > 0x7f; left >>>= 7) out[to++] = (left & 0x7f) | 0x80
  out[to++] = left
  return to
}

class ConnectCodec extends PacketCodec<Connect> {
  protected override parse(body: Reader): Connect {
    return readConnect(body)
  }
  protected override put(writer: Writer, value: Connect): void {
    writeConnect(writer, value)
  }
  override sample(random: Random, version: number = versions.mqtt5): Connect {
    return sampleConnect(random, version)
  }
}

class PublishCodec extends PacketCodec<Publish> {
  protected override checkFlags(): void {}
  protected override parse(body: Reader, version: number, flags: number): Publish {
    return readPublish(body, version, flags)
  }
  protected override put(writer: Writer, value: Publish, version: number): void {
    writePublish(writer, value, version)
  }
  protected override flagsOf(value: Publish): number {
    return publishFlags(value)
  }
  override sample(random: Random, version: number = versions.mqtt5): Publish {
    return samplePublish(random, version)
  }
}

const packet = <T, W>(type: number, flags: number, body: Codec<T, W>): PacketCodec<T, W> =>
  new PacketCodec(type, flags, body)

const five = versions.mqtt5
const named = <F extends Parameters<typeof message>[1]>(name: string, fields: F) =>
  message<F>({ name, versions: all }, fields)
const ack = (name: string) => named(name, { packetId: u16, rest: since(five, tail(ackProperties)) })

/** One topic filter of SUBSCRIBE. Options: quality of service, no local, retain as published, retain handling. [MQTT 5.0, 3.8.3.1] */
const wanted = struct({ filter: text, options: u8 })

export const connect = new ConnectCodec(types.connect, 0, fromNode<Connect>(connectNode))
export const connack = packet(
  types.connack,
  0,
  named('CONNACK', { flags: u8, reason: u8, properties: since(five, connackProperties) }),
)
export const publish = new PublishCodec(types.publish, 0, fromNode<Publish>(publishNode))
export const puback = packet(types.puback, 0, ack('PUBACK'))
export const pubrec = packet(types.pubrec, 0, ack('PUBREC'))
export const pubrel = packet(types.pubrel, 2, ack('PUBREL'))
export const pubcomp = packet(types.pubcomp, 0, ack('PUBCOMP'))
export const subscribe = packet(
  types.subscribe,
  2,
  named('SUBSCRIBE', { packetId: u16, properties: since(five, subscribeProperties), wanted: listToEnd(wanted) }),
)
export const suback = packet(
  types.suback,
  0,
  named('SUBACK', { packetId: u16, properties: since(five, ackProperties), reasons: listToEnd(u8) }),
)
export const unsubscribe = packet(
  types.unsubscribe,
  2,
  named('UNSUBSCRIBE', { packetId: u16, properties: since(five, unsubscribeProperties), filters: listToEnd(text) }),
)
export const unsuback = packet(
  types.unsuback,
  0,
  named('UNSUBACK', {
    packetId: u16,
    properties: since(five, ackProperties),
    reasons: since(five, listToEnd(u8)),
  }),
)
export const pingreq = packet(types.pingreq, 0, named('PINGREQ', {}))
export const pingresp = packet(types.pingresp, 0, named('PINGRESP', {}))
export const disconnect = packet(
  types.disconnect,
  0,
  named('DISCONNECT', { rest: since(five, tail(disconnectProperties)) }),
)
export const auth = packet(types.auth, 0, named('AUTH', { rest: since(five, tail(authProperties)) }))

/** Every packet by name. */
export const messages = {
  CONNECT: connect,
  CONNACK: connack,
  PUBLISH: publish,
  PUBACK: puback,
  PUBREC: pubrec,
  PUBREL: pubrel,
  PUBCOMP: pubcomp,
  SUBSCRIBE: subscribe,
  SUBACK: suback,
  UNSUBSCRIBE: unsubscribe,
  UNSUBACK: unsuback,
  PINGREQ: pingreq,
  PINGRESP: pingresp,
  DISCONNECT: disconnect,
  AUTH: auth,
} as const

/** By type. */
export const messagesByType: ReadonlyMap<number, (typeof messages)[keyof typeof messages]> = new Map(
  Object.values(messages).map(one => [one.type, one]),
)
