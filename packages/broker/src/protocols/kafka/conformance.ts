import { KafkaDriver } from './driver.ts'
import { apis } from './messages/index.ts'
import type { StoredRecord } from '../../storage/record-batch.ts'
import type { Conformance, ConformanceClient, ConformanceConsumer, SharedMessage } from '../conformance.ts'

const group = 'conformance'

/** Properties that are headers here. [ADR 0002] */
const headerNames = {
  contentType: 'content-type',
  contentEncoding: 'content-encoding',
  correlationId: 'correlation-id',
  replyTo: 'reply-to',
  messageId: 'message-id',
  groupId: 'group-id',
} as const

const headerList = Object.entries(headerNames) as [keyof typeof headerNames, string][]

export const conformance: Conformance = {
  places: ['topic'],
  settles: [],
  carries: ['key', 'headers', ...headerList.map(([property]) => property)],
  names: () => ['a', 'with.every_sign-', 'n'.repeat(249)],
  bodyBytesMax: () => 1024 * 1024 - 1024,
  async connect(network, address): Promise<ConformanceClient> {
    const driver = await KafkaDriver.connect(network, address)
    return {
      declare: (_place, name) => driver.declare(name),
      publish: async (_place, name, message) => void (await driver.publish(name, [recordOf(message)])),
      consume: (_place, name) => consume(driver, name),
      cut: () => driver.close(),
    }
  },
}

function recordOf({ body, key, headers = {}, ...rest }: SharedMessage) {
  const given = headerList.flatMap(([property, name]): [string, string][] => {
    const value = rest[property]
    return value === undefined ? [] : [[name, value]]
  })
  const all = [...Object.entries(headers), ...given].map(([name, value]) => ({ key: name, value: Buffer.from(value) }))
  return { key: key === undefined ? null : Buffer.from(key), value: body, headers: all, timestampMs: 1_700_000_000_000 }
}

/** A property that is a header by nature is one of them. */
function messageOf({ key, value, headers }: StoredRecord): SharedMessage {
  const message: SharedMessage = { body: value ?? Buffer.alloc(0) }
  if (key) message.key = key.toString()
  const others: Record<string, string> = {}
  for (const { key: name, value: bytes } of headers) {
    const known = headerList.find(([, header]) => header === name)
    if (known) message[known[0]] = bytes?.toString() ?? ''
    else others[name] = bytes?.toString() ?? ''
  }
  if (Object.keys(others).length > 0) message.headers = others
  return message
}

async function consume(driver: KafkaDriver, name: string): Promise<ConformanceConsumer> {
  const asked = { groups: [{ groupId: group, topics: [{ name, partitionIndexes: [0] }] }] }
  const { groups } = await driver.connection.request(apis.offsetFetch, asked, 8)
  let next = Math.max(0, Number(groups[0]?.topics[0]?.partitions[0]?.committedOffset ?? 0))
  let waiting: StoredRecord[] = []
  return {
    async next() {
      if (waiting.length === 0) waiting = await driver.consume(name, 1, { offset: next })
      const record = waiting.shift()
      if (!record) throw new Error('Nothing was fetched')
      next = record.offset + 1
      const settled = next
      return {
        message: messageOf(record),
        redelivered: undefined,
        settle: () => driver.ack(group, name, settled),
      }
    },
  }
}
