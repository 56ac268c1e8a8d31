import { predeclared, type ExchangeDefinition } from '../../core/routing/exchange.ts'
import { exchangeArguments, exchangeType } from '../../protocols/amqp/handlers/exchange.ts'
import { exchangeDeclare, exchangeDelete } from '../../protocols/amqp/messages/exchange.ts'
import { booleanOf, textOf, type Call, type Fields } from './call.ts'
import { directly } from './direct.ts'
import { notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { governedBy } from './policies.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'
import { jsonOfHeaders, tableOf } from './values.ts'

export const exchangeRoutes: readonly Route[] = [
  { path: '/api/exchanges', need: 'vhost', on: { GET: allExchanges } },
  { path: '/api/exchanges/:vhost', need: 'vhost', on: { GET: allExchanges } },
  {
    path: '/api/exchanges/:vhost/:exchange',
    need: 'vhost',
    on: { GET: call => call.one(governedItem(call, exchangeOf(call))), PUT: putExchange, DELETE: removeExchange },
  },
]

function governedItem({ core }: Call, definition: ExchangeDefinition): Item {
  const { namespace, name } = definition
  const { policy } = governedBy(core.policies, { kind: 'exchange', namespace, name })
  return policy === null ? exchangeItem(definition) : { ...exchangeItem(definition), policy }
}

export function exchangeItem(definition: ExchangeDefinition): Item {
  const { name, namespace: vhost, isDurable, autoDelete, internal } = definition
  return {
    name,
    vhost,
    type: exchangeType(definition.kind),
    durable: isDurable,
    auto_delete: autoDelete,
    internal,
    arguments: jsonOfHeaders(exchangeArguments(definition.config)),
    user_who_performed_action: predeclared.has(name) ? 'rmq-internal' : '',
  }
}

function allExchanges(call: Call): Promise<unknown> {
  const all = call.vhosts.flatMap(vhost =>
    call.core.router.list(vhost).map(definition => ({ vhost, name: definition.name, definition })),
  )
  return call.pagesOf(all, ({ definition }) => governedItem(call, definition))
}

/** Throws `Refusal`. */
export function exchangeOf(call: Call): ExchangeDefinition {
  const found = call.core.router.get(call.vhost, call.param('exchange'))
  if (!found) throw notFound()
  return found
}

/** Declares an exchange as the fields say. */
export function declareExchange(call: Call, vhost: string, name: string, fields: Fields): Promise<void> {
  return directly(call, vhost, channel =>
    channel.run(exchangeDeclare, {
      reserved1: 0,
      exchange: name,
      type: textOf(fields, 'type', 'direct'),
      flags: {
        passive: false,
        durable: booleanOf(fields, 'durable', true),
        autoDelete: booleanOf(fields, 'auto_delete', false),
        internal: booleanOf(fields, 'internal', false),
        noWait: false,
      },
      arguments: tableOf(fields.arguments, 'arguments'),
    }),
  )
}

async function putExchange(call: Call): Promise<unknown> {
  const [vhost, name] = [call.vhost, call.param('exchange')]
  const isNew = !call.core.router.get(vhost, name)
  await declareExchange(call, vhost, name, call.fields)
  return madeOrChanged(isNew)
}

async function removeExchange(call: Call): Promise<unknown> {
  const { name, namespace } = exchangeOf(call)
  const ifUnused = call.query.get('if-unused') === 'true'
  const flags = { ifUnused, noWait: false }
  await directly(call, namespace, channel => channel.run(exchangeDelete, { reserved1: 0, exchange: name, flags }))
  return noContent
}
