import type { Schedule } from '../../../core/delayed/schedules.ts'
import { booleanOf, exchangeNamed, required, shownExchange, textOf, type Call } from '../call.ts'
import { badRequest, notFound } from '../errors.ts'
import type { Item } from '../listing.ts'
import { headerTexts } from '../messages.ts'
import { madeOrChanged, noContent, type Route } from '../route.ts'
import { contentItem, messageOf } from './content.ts'

/** Messages that are published again and again. */
export const scheduleRoutes: readonly Route[] = [
  { path: '/api/dragoman/schedules', need: 'vhost', on: { GET: call => call.list(scheduleItems(call)) } },
  { path: '/api/dragoman/schedules/:vhost', need: 'vhost', on: { GET: call => call.list(scheduleItems(call)) } },
  {
    path: '/api/dragoman/schedules/:vhost/:name',
    need: 'vhost',
    on: {
      GET: call => call.one(scheduleItem(call, scheduleOf(call, 'read'))),
      PUT: putSchedule,
      DELETE: async call => {
        const { namespace, name } = scheduleOf(call, 'write')
        await call.core.schedules.remove(namespace, name)
        return noContent
      },
    },
  },
  {
    path: '/api/dragoman/schedules/:vhost/:name/run',
    need: 'vhost',
    on: {
      POST: async call => {
        const { namespace, name } = scheduleOf(call, 'write')
        await call.core.schedules.runNow(namespace, name)
        return noContent
      },
    },
  },
]

function scheduleItems(call: Call): Item[] {
  return call.vhosts.flatMap(vhost => {
    const rights = call.inVhost(vhost)
    const shown = call.core.schedules
      .list(vhost)
      .filter(({ exchange }) => rights.may('read', shownExchange(exchange), 'exchange'))
    return shown.map(schedule => scheduleItem(call, schedule))
  })
}

function scheduleItem(call: Call, schedule: Schedule): Item {
  const { key = null, value, headers = [] } = schedule.message
  const stored = { key: key && Buffer.from(key), value, headers, timestampMs: call.context.clock.nowMs() }
  return {
    ...contentItem(call, stored),
    name: schedule.name,
    vhost: schedule.namespace,
    exchange: schedule.exchange,
    routing_key: schedule.key,
    expression: schedule.expression,
    time_zone: schedule.timeZone,
    missed: schedule.missed,
    enabled: schedule.isEnabled,
    next_ms: schedule.nextMs < 0 ? null : schedule.nextMs,
    published_ms: schedule.publishedMs < 0 ? null : schedule.publishedMs,
    published_count: schedule.publishedCount,
  }
}

function scheduleOf(call: Call, permission: 'read' | 'write'): Schedule {
  const found = call.core.schedules.get(call.vhost, call.param('name'))
  if (!found) throw notFound()
  call.needExchange(permission, found.namespace, found.exchange)
  return found
}

/** Without a payload, one that is there is enabled or disabled. */
async function putSchedule(call: Call): Promise<unknown> {
  const { fields, vhost, core, context } = call
  const name = call.param('name')
  const present = core.schedules.get(vhost, name)
  const isEnabled = booleanOf(fields, 'enabled', present?.isEnabled ?? true)
  if (present && fields.payload === undefined) {
    await core.schedules.enable(vhost, scheduleOf(call, 'write').name, isEnabled)
    return noContent
  }
  required(fields, 'exchange', 'routing_key', 'payload', 'expression')
  const exchange = exchangeNamed(textOf(fields, 'exchange', ''))
  const key = textOf(fields, 'routing_key', '')
  call.needExchange('write', vhost, exchange, key)
  const missed = textOf(fields, 'missed', 'skip')
  if (missed !== 'skip' && missed !== 'once') throw badRequest('missed must be skip or once')
  await core.schedules.set({
    ...{ namespace: vhost, name, exchange, key, missed, isEnabled },
    message: messageOf(fields, exchange, context.clock.nowMs()),
    headers: headerTexts(fields),
    expression: textOf(fields, 'expression', ''),
    timeZone: textOf(fields, 'time_zone', 'UTC'),
  })
  return madeOrChanged(!present)
}
