import type { Conformance, ConformanceClient, SharedMessage } from '../conformance.ts'
import { MqttDriver } from './driver.ts'
import { encodeAck } from './incoming.ts'
import { types, versions, type Publish } from './messages.ts'
import type { Properties } from './properties.ts'

/** Properties that are headers here. [ADR 0002] */
const names = { contentEncoding: 'content-encoding', messageId: 'message-id', groupId: 'group-id' } as const
const forever = 0xffff_ffff
let clients = 0

/** Who consumes shares a subscription, as those do who work together. */
export const conformance: Conformance = {
  places: ['subject'],
  settles: ['subject'],
  carries: ['headers', 'contentType', 'correlationId', 'replyTo', ...(Object.keys(names) as (keyof typeof names)[])],
  names: () => ['a', 'with every sign: !"§$%&()=?*,-_', 'ключ-钥匙-🔑', 'n'.repeat(200)],
  bodyBytesMax: () => 16 * 1024 * 1024,
  async connect(network, address): Promise<ConformanceClient> {
    const options = { version: versions.mqtt5, cleanStart: false, acknowledges: false }
    const properties = { sessionExpiry: forever, receiveMaximum: 100 }
    const clientId = `conformance-${process.pid}-${++clients}`
    const driver = await MqttDriver.connect(network, address, { ...options, properties, clientId })
    const filterOf = (name: string): string => `$share/conformance/${name}`
    return {
      async declare(_place, name) {
        // One that takes part and consumes nothing: what is published waits for those who come.
        const own = await MqttDriver.connect(network, address, {
          ...options,
          properties,
          clientId: `${clientId}-${name}`,
        })
        await own.subscribe(filterOf(name), 1)
        own.disconnect()
        await own.over()
      },
      async publish(_place, name, message) {
        const reason = await driver.publish(name, message.body, { qos: 1, properties: propertiesOf(message) })
        if (reason >= 0x80) throw new Error(`The message to ${name} was refused: ${reason}`)
      },
      async consume(_place, name) {
        await driver.subscribe(filterOf(name), 1)
        return {
          async next() {
            const got = await driver.message()
            const settle = async (): Promise<void> => {
              driver.send(encodeAck(types.puback, got.packetId, 0))
              // An answer to what came later.
              driver.send(Buffer.of(types.pingreq << 4, 0))
              await driver.expect(types.pingresp)
            }
            return { message: messageOf(got), redelivered: undefined, settle }
          },
        }
      },
      cut: () => driver.destroy(),
    }
  },
}

function propertiesOf(message: SharedMessage): Properties {
  const userProperties = Object.entries(message.headers ?? {})
  if (message.key !== undefined) userProperties.push(['key', message.key])
  for (const [property, name] of Object.entries(names) as [keyof typeof names, string][]) {
    const value = message[property]
    if (value !== undefined) userProperties.push([name, value])
  }
  return {
    contentType: message.contentType,
    responseTopic: message.replyTo,
    correlationData: message.correlationId === undefined ? undefined : Buffer.from(message.correlationId),
    userProperties: userProperties.length > 0 ? userProperties : undefined,
  }
}

function messageOf({ payload, properties }: Publish): SharedMessage {
  const message: SharedMessage = { body: payload }
  const { contentType, responseTopic, correlationData, userProperties = [] } = properties
  if (contentType !== undefined) message.contentType = contentType
  if (responseTopic !== undefined) message.replyTo = responseTopic
  if (correlationData !== undefined) message.correlationId = correlationData.toString()
  const headers: Record<string, string> = {}
  for (const [name, value] of userProperties) {
    const known = (Object.keys(names) as (keyof typeof names)[]).find(property => names[property] === name)
    if (known) message[known] = value
    else if (name !== 'timestamp' && name !== 'key') headers[name] = value
  }
  if (Object.keys(headers).length > 0) message.headers = headers
  return message
}
