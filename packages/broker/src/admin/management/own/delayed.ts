import type { DelayedMessage } from '../../../core/delayed/listing.ts'
import { exchangeNamed, integerOf, required, shownExchange, textOf, type Call } from '../call.ts'
import { badRequest, notFound } from '../errors.ts'
import { headerTexts } from '../messages.ts'
import type { Item } from '../listing.ts'
import { noContent, type Route } from '../route.ts'
import { contentItem, messageOf } from './content.ts'

const shownDefault = 100
const shownMax = 1000

/** Messages that are to be published later. */
export const delayedRoutes: readonly Route[] = [
  { path: '/api/dragoman/delayed', need: 'vhost', on: { GET: call => call.list(counts(call), ['vhost', 'exchange']) } },
  { path: '/api/dragoman/delayed/:vhost', need: 'vhost', on: { GET: list, POST: publish, DELETE: cancelAll } },
  {
    path: '/api/dragoman/delayed/:vhost/:id',
    need: 'vhost',
    on: {
      GET: async call => call.one(delayedItem(call, await found(call, 'read'))),
      PUT: reschedule,
      DELETE: async call => {
        const { id } = await found(call, 'write')
        if (!(await call.core.delayed.cancel(id))) throw notFound()
        return noContent
      },
    },
  },
]

/** Where messages wait for. */
function counts({ core, vhosts }: Call): Item[] {
  return core.delayed
    .counts()
    .filter(({ namespace }) => vhosts.includes(namespace))
    .map(({ namespace: vhost, exchange, count: messages }) => ({ vhost, exchange, messages }))
}

function delayedItem(call: Call, message: DelayedMessage): Item {
  const { id, namespace: vhost, exchange, key, dueMs, sinceMs } = message
  const { key: recordKey = null, value, headers = [] } = message.message
  const stored = { key: recordKey && Buffer.from(recordKey), value, headers, timestampMs: sinceMs }
  const content = contentItem(call, stored)
  return { ...content, id, vhost, exchange, routing_key: key, due_ms: dueMs, since_ms: sinceMs }
}

/** What the query asks for, within the namespace of the path. Throws `Refusal`. */
function queryOf({ query, vhost }: Call): {
  namespace: string
  exchange?: string
  key?: string
  fromMs?: number
  toMs?: number
} {
  const [exchange, key, from, to] = ['exchange', 'routing_key', 'from_ms', 'to_ms'].map(name => query.get(name))
  return {
    namespace: vhost,
    ...(exchange === null || exchange === undefined ? {} : { exchange: exchangeNamed(exchange) }),
    ...(key === null || key === undefined ? {} : { key }),
    ...(from === null || from === undefined ? {} : { fromMs: numberOf('from_ms', from) }),
    ...(to === null || to === undefined ? {} : { toMs: numberOf('to_ms', to) }),
  }
}

function numberOf(name: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw badRequest(`${name} must be a number, not ${JSON.stringify(text)}`)
}

/** A page, in the order in which they are due; those that the visitor may not read are left out. */
async function list(call: Call): Promise<unknown> {
  const after = call.query.get('after')
  const max = Math.min(shownMax, numberOf('max', call.query.get('max') ?? String(shownDefault)))
  const page = await call.core.delayed.list({ ...queryOf(call), max, ...(after === null ? {} : { after }) })
  const rights = call.inVhost(call.vhost)
  const shown = page.messages.filter(({ exchange }) => rights.may('read', shownExchange(exchange), 'exchange'))
  return { messages: shown.map(message => delayedItem(call, message)), next: page.next ?? null }
}

async function found(call: Call, permission: 'read' | 'write'): Promise<DelayedMessage> {
  const message = await call.core.delayed.get(call.param('id'))
  if (!message || message.namespace !== call.vhost) throw notFound()
  call.needExchange(permission, message.namespace, message.exchange)
  return message
}

async function publish(call: Call): Promise<unknown> {
  const { fields, vhost, core, context } = call
  required(fields, 'exchange', 'routing_key', 'payload', 'delay_ms')
  const exchange = exchangeNamed(textOf(fields, 'exchange', ''))
  const key = textOf(fields, 'routing_key', '')
  call.needExchange('write', vhost, exchange, key)
  const message = messageOf(fields, exchange, context.clock.nowMs())
  const delayMs = integerOf(fields, 'delay_ms')
  if (delayMs < 0) throw badRequest('delay_ms is at least 0')
  const later = { namespace: vhost, exchange, key, headers: headerTexts(fields), message }
  const { id, error } = await new Promise<{ id: string; error?: string | undefined }>(resolve => {
    core.delayed.publish(later, delayMs, resolve)
  })
  if (error === 'exchange-not-found') throw notFound()
  if (error !== undefined) throw badRequest(`the message was not taken: ${error}`)
  return { id }
}

async function reschedule(call: Call): Promise<unknown> {
  required(call.fields, 'due_ms')
  const { id } = await found(call, 'write')
  const moved = await call.core.delayed.reschedule(id, integerOf(call.fields, 'due_ms'))
  if (moved === undefined) throw notFound()
  return { id: moved }
}

/** Of one exchange, or of all to which the visitor may publish. */
async function cancelAll(call: Call): Promise<unknown> {
  const query = queryOf(call)
  const concerned = call.core.delayed.counts(query.namespace).map(({ exchange }) => exchange)
  for (const exchange of query.exchange === undefined ? concerned : [query.exchange]) {
    call.needExchange('write', query.namespace, exchange)
  }
  return { cancelled: await call.core.delayed.cancelAll(query) }
}
