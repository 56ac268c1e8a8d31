import assert from 'node:assert/strict'
import type { ConformanceConsumer, Property, SharedMessage } from '../../conformance.ts'
import type { RespDriver } from '../driver.ts'

/** Fields of an entry that are properties of a message. */
const names = {
  key: 'key',
  contentType: 'content-type',
  contentEncoding: 'content-encoding',
  correlationId: 'correlation-id',
  replyTo: 'reply-to',
  messageId: 'message-id',
  groupId: 'group-id',
} as const satisfies Partial<Record<Property, string>>

export const carriedByEntries: readonly Property[] = ['headers', ...(Object.keys(names) as (keyof typeof names)[])]

export async function addEntry(driver: RespDriver, name: string, message: SharedMessage): Promise<void> {
  const fields: (string | Buffer)[] = ['body', message.body]
  for (const [property, field] of Object.entries(names) as [keyof typeof names, string][]) {
    const value = message[property]
    if (value !== undefined) fields.push(field, value)
  }
  for (const [header, value] of Object.entries(message.headers ?? {})) fields.push(header, value)
  await driver.text('XADD', name, '*', ...fields)
}

/** The stream, and a group that begins with its first entry. */
export async function makeGroup(driver: RespDriver, name: string): Promise<void> {
  await driver.ask('XGROUP', 'CREATE', name, 'group', 0, 'MKSTREAM')
}

export async function groupConsumer(driver: RespDriver, name: string): Promise<ConformanceConsumer> {
  await makeGroup(driver, name)
  return {
    async next() {
      const words = ['GROUP', 'group', 'consumer', 'COUNT', 1, 'BLOCK', 20_000, 'STREAMS', name, '>']
      const answer = await driver.ask('XREADGROUP', ...words)
      assert(Array.isArray(answer), String(answer))
      const [[, [[id, fields]]]] = answer as [[Buffer, [[Buffer, Buffer[]]]]]
      return {
        message: messageOf(fields),
        redelivered: undefined,
        async settle() {
          assert.equal(await driver.text('XACK', name, 'group', id), 1)
        },
      }
    },
  }
}

function messageOf(fields: readonly Buffer[]): SharedMessage {
  const message: SharedMessage = { body: Buffer.alloc(0) }
  const headers: Record<string, string> = {}
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const field = String(fields[at])
    const value = fields[at + 1]
    const [property] =
      (Object.entries(names) as [keyof typeof names, string][]).find(([, word]) => word === field) ?? []
    if (field === 'body') message.body = value ?? message.body
    else if (property) message[property] = String(value)
    else headers[field] = String(value)
  }
  if (Object.keys(headers).length > 0) message.headers = headers
  return message
}
