import type { Broker } from '../../core/broker.ts'
import type { SessionState, Will } from '../../core/sessions/sessions.ts'
import { envelopeHeader } from '../../core/message.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { SessionContext } from '../protocol.ts'
import type { Agreed } from './client.ts'
import { PacketError, violation } from './errors.ts'
import { aliasMax, receiveMax } from './incoming.ts'
import type { Known } from './login.ts'
import { envelopeOf, flagBits } from './mapping.ts'
import { versions, type Connect, type WillFields } from './messages.ts'
import { encodeProperties, type Properties } from './properties.ts'
import { reasons } from './reasons.ts'
import { queueNameOf } from './shares.ts'
import { isTopicName, swapped } from './topics.ts'

const forever = 0xffff_ffff
const packetBytesMax = 268_435_460

/** What a connection begins with, once it is known who it is. */
export interface Opened {
  readonly agreed: Agreed
  /** Of a client whose session ends with its connection: what is to be published then, also when the broker has failed before. */
  readonly willKeeper: SessionState | undefined
  readonly isPresent: boolean
  /** Something was decided that must be durable first. */
  readonly waits: boolean
  readonly keepAliveSeconds: number
  /** Of CONNACK. */
  readonly properties: Properties
}

/** Agrees with a client on its session. Throws `PacketError` or `BrokerError`. */
export function open(broker: Broker, context: SessionContext, known: Known, fields: Connect): Opened {
  const { version, properties: asked } = fields
  const { namespace, user, access } = known
  const is5 = version >= versions.mqtt5
  const clientId = clientIdOf(fields, context)
  const rights = broker.identity.inNamespace(access, namespace)
  const will = willOf(fields, message => {
    if (!rights.may('write', subjectExchange, 'exchange')) return false
    return rights.mayUseKey('write', subjectExchange, swapped(message.topic))
  })
  const expiryMs = expiryOf(broker, fields)
  const queueName = queueNameOf('mqtt-subscription-', clientId, 'qos1')
  const before = broker.sessions.get(namespace, clientId)
  if (before && before.owner !== user)
    throw new PacketError(reasons.clientIdInvalid, 'The session belongs to another user')
  // One of no duration is that of a connection which is over, and could not be ended.
  const isPresent = before !== undefined && !fields.cleanStart && before.expiryMs !== 0
  if (before && !isPresent) broker.sessions.end(before)
  const keeps = expiryMs !== 0 || isPresent
  let state: SessionState | undefined
  let willKeeper: SessionState | undefined
  if (keeps) state = broker.sessions.enter(namespace, clientId, { owner: user, queue: queueName, expiryMs, will })
  else if (will) willKeeper = broker.sessions.enter(namespace, clientId, { owner: user, queue: '', expiryMs, will })
  const { keepAliveMaxSeconds, subscriberInFlightMax } = broker.limits
  const isTooLong =
    is5 && keepAliveMaxSeconds > 0 && (fields.keepAliveSeconds === 0 || fields.keepAliveSeconds > keepAliveMaxSeconds)
  const keepAliveSeconds = isTooLong ? keepAliveMaxSeconds : fields.keepAliveSeconds
  const { frameBytesMax } = broker.limits
  return {
    agreed: {
      namespace,
      clientId,
      user,
      version,
      rights,
      state,
      isPresent,
      queueName,
      inFlightMax: Math.min(asked.receiveMaximum ?? subscriberInFlightMax, subscriberInFlightMax),
      packetBytesMax: asked.maximumPacketSize ?? packetBytesMax,
      topicAliasMax: asked.topicAliasMaximum ?? 0,
      wantsReasons: asked.requestProblem !== 0,
    },
    willKeeper,
    isPresent,
    waits: before !== undefined || state !== undefined || willKeeper !== undefined,
    keepAliveSeconds,
    properties: {
      assignedClientId: fields.clientId === '' ? clientId : undefined,
      serverKeepAlive: isTooLong ? keepAliveMaxSeconds : undefined,
      sessionExpiry: expiryMs === askedExpiryMs(fields) ? undefined : Math.floor(expiryMs / 1000),
      receiveMaximum: receiveMax,
      topicAliasMaximum: aliasMax,
      maximumPacketSize: Math.min(frameBytesMax, packetBytesMax),
      responseInformation: asked.requestResponse === 1 ? `responses/${clientId}/` : undefined,
    },
  }
}

function clientIdOf({ clientId, version, cleanStart }: Connect, { random }: SessionContext): string {
  if (clientId !== '') return clientId
  if (version === versions.mqtt31 || (version === versions.mqtt311 && !cleanStart)) {
    throw new PacketError(reasons.clientIdInvalid, 'A session that is to be found again needs a client identifier')
  }
  return `auto-${random.bytes(12).toString('hex')}`
}

/** -1: for ever. Before 5.0 sessions end with their connections, or never. [MQTT 5.0, 3.1.2.11.2] */
function askedExpiryMs({ version, properties, cleanStart }: Connect): number {
  if (version < versions.mqtt5) return cleanStart ? 0 : -1
  const seconds = properties.sessionExpiry ?? 0
  return seconds === forever ? -1 : seconds * 1000
}

function expiryOf(broker: Broker, fields: Connect): number {
  return limitedExpiry(broker, askedExpiryMs(fields))
}

/** The longest that there is may as well be for ever. */
export function limitedExpiry({ limits }: Broker, askedMs: number): number {
  const { sessionExpiryMaxMs } = limits
  const isUnlimited = sessionExpiryMaxMs >= 36_500 * 24 * 3_600_000
  if (isUnlimited || (askedMs >= 0 && askedMs <= sessionExpiryMaxMs)) return askedMs
  return sessionExpiryMaxMs
}

/** As DISCONNECT asks for it. */
export const expiryMsOf = (broker: Broker, seconds: number): number =>
  limitedExpiry(broker, seconds === forever ? -1 : seconds * 1000)

function willOf({ will, version }: Connect, mayPublish: (will: WillFields) => boolean): Will | undefined {
  if (!will) return undefined
  const { topic, payload, qos, isRetained, properties } = will
  if (!isTopicName(topic)) throw new PacketError(reasons.topicInvalid, 'The topic of the will is none')
  if (properties.responseTopic !== undefined && !isTopicName(properties.responseTopic))
    throw violation('The response topic of the will is no topic')
  if (topic.startsWith('$SYS') || !mayPublish(will))
    throw new PacketError(reasons.notAuthorized, 'The will may not be published')
  const { willDelay = 0, messageExpiry, ...kept } = properties
  const flags = (qos << 1) | (isRetained ? flagBits.retain : 0)
  const envelope = envelopeOf(flags, version >= versions.mqtt5 ? encodeProperties(kept) : Buffer.alloc(0))
  return {
    delayMs: willDelay * 1000,
    exchange: subjectExchange,
    key: swapped(topic),
    isRetained,
    isTransient: qos === 0,
    ttlMs: messageExpiry === undefined ? -1 : messageExpiry * 1000,
    value: Buffer.from(payload),
    headers: [{ name: envelopeHeader, value: envelope }],
  }
}
