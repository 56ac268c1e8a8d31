import { createHash } from 'node:crypto'
import type { PlaceKind } from '../../core/routing/place.ts'
import { encodeArguments } from '../../core/routing/arguments.ts'
import type { BindingDefinition } from '../../core/routing/router.ts'
import { exchangeBind, exchangeUnbind } from '../../protocols/amqp/messages/exchange.ts'
import { queueBind, queueUnbind } from '../../protocols/amqp/messages/queue.ts'
import { fieldValue } from '../../protocols/amqp/mapping.ts'
import type { Table } from '../../protocols/amqp/table.ts'
import { textOf, type Call, type Fields } from './call.ts'
import { directly } from './direct.ts'
import { badRequest, notFound } from './errors.ts'
import { exchangeOf } from './exchanges.ts'
import type { Item } from './listing.ts'
import { Result, noContent, type Route } from './route.ts'
import { jsonOfHeaders, tableOf } from './values.ts'

type Binding = Required<BindingDefinition>

const sort = ['vhost', 'source', 'destination', 'routing_key', 'properties_key']

const list = (call: Call, items: Item[]): unknown => call.list(items, sort)

export const bindingRoutes: readonly Route[] = [
  { path: '/api/bindings', need: 'vhost', on: { GET: call => list(call, allBindings(call)) } },
  { path: '/api/bindings/:vhost', need: 'vhost', on: { GET: call => list(call, allBindings(call)) } },
  {
    path: '/api/exchanges/:vhost/:exchange/bindings/source',
    need: 'vhost',
    on: { GET: call => list(call, fromExchange(call)) },
  },
  {
    path: '/api/exchanges/:vhost/:exchange/bindings/destination',
    need: 'vhost',
    on: { GET: call => list(call, toPlace(call, exchangeOf(call).name, ['exchange'])) },
  },
  {
    path: '/api/queues/:vhost/:queue/bindings',
    need: 'vhost',
    on: { GET: call => list(call, toPlace(call, queueNamed(call, call.param('queue')), ['queue', 'topic'])) },
  },
  {
    path: '/api/bindings/:vhost/e/:source/:dtype/:destination',
    need: 'vhost',
    on: { GET: call => list(call, between(call)), POST: addBinding },
  },
  {
    path: '/api/bindings/:vhost/e/:source/:dtype/:destination/:props',
    need: 'vhost',
    on: { GET: call => call.one(bindingOf(call)), DELETE: removeBinding },
  },
]

/** All that are told of a namespace: those of the default exchange, too, which lead to each queue by its name. */
export function bindingsOf({ core }: Call, vhost: string): Item[] {
  return [
    ...core.queues.list(vhost).map(({ definition: { name } }) => defaultBinding(vhost, name)),
    ...explicitBindings({ core }, vhost),
  ]
}

/** Those that were made. */
export function explicitBindings({ core }: Pick<Call, 'core'>, vhost: string): Item[] {
  return core.router.bindings(vhost).map(binding => bindingItem(vhost, binding))
}

const allBindings = (call: Call): Item[] => call.vhosts.flatMap(vhost => bindingsOf(call, vhost))

function bindingItem(vhost: string, { source, kind, destination, key, arguments: given }: Binding): Item {
  return {
    source,
    vhost,
    destination,
    destination_type: kind === 'exchange' ? 'exchange' : 'queue',
    routing_key: key,
    arguments: jsonOfHeaders(given),
    properties_key: propertiesKey(key, given),
  }
}

function defaultBinding(vhost: string, queue: string): Item {
  return bindingItem(vhost, { source: '', kind: 'queue', destination: queue, key: queue, arguments: [] })
}

/** By which a binding is named among those with the same ends: its key, and a digest of its arguments when it has some. */
function propertiesKey(key: string, given: Binding['arguments']): string {
  const quoted = quotePlus(key)
  if (given.length === 0) return quoted === '' ? '~' : quoted
  return `${quoted}~${createHash('sha256').update(encodeArguments(given)).digest('base64url').slice(0, 22)}`
}

/** The mark between a key and its digest stays readable. */
const quoteKey = (key: string): string => quotePlus(key).replaceAll('%7E', '~')

/** As forms are written, with all but letters, digits, `.`, `-` and `_` escaped. */
function quotePlus(text: string): string {
  const escaped = encodeURIComponent(text).replaceAll(
    /[!~*'()]/g,
    char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return escaped.replaceAll('%20', '+')
}

function fromExchange(call: Call): Item[] {
  const { name, namespace } = exchangeOf(call)
  if (name === '')
    return call.core.queues.list(namespace).map(({ definition }) => defaultBinding(namespace, definition.name))
  return call.core.router.bindings(namespace, name).map(binding => bindingItem(namespace, binding))
}

function toPlace(call: Call, name: string, kinds: readonly PlaceKind[]): Item[] {
  const { core, vhost } = call
  const found = kinds.flatMap(kind => core.router.bindingsTo(vhost, kind, name)).map(of => bindingItem(vhost, of))
  return kinds.includes('queue') ? [defaultBinding(vhost, name), ...found] : found
}

/** Throws `Refusal` when there is neither a queue nor a topic of that name. */
function queueNamed({ core, vhost }: Call, name: string): string {
  if (!core.queues.get(vhost, name) && !core.topics.get(vhost, name)) throw notFound()
  return name
}

function destinationType(call: Call): 'queue' | 'exchange' {
  const type = call.param('dtype')
  if (type === 'q') return 'queue'
  if (type === 'e') return 'exchange'
  throw badRequest('the type of the destination is q or e')
}

function between(call: Call): Item[] {
  const { core, vhost } = call
  const [source, destination] = [call.param('source'), call.param('destination')]
  const type = destinationType(call)
  if (!core.router.get(vhost, source)) throw notFound()
  if (type === 'queue') queueNamed(call, destination)
  else if (!core.router.get(vhost, destination)) throw notFound()
  if (source === '' && type === 'queue') return [defaultBinding(vhost, destination)]
  return core.router
    .bindings(vhost, source)
    .filter(binding => binding.destination === destination && (binding.kind === 'exchange') === (type === 'exchange'))
    .map(binding => bindingItem(vhost, binding))
}

/** Clients do not agree how often the last part of the path is to be escaped. */
function bindingOf(call: Call): Item {
  const wanted = call.param('props')
  const found = between(call).find(({ properties_key: key }) => key === wanted || unquoted(String(key)) === wanted)
  if (!found) throw notFound()
  return found
}

function unquoted(key: string): string {
  return key.includes('~') ? key : decodeURIComponent(key.replaceAll('+', ' '))
}

interface Ends {
  readonly source: string
  readonly destination: string
  readonly type: string
  readonly key: string
  readonly given: Table
}

export function bind(call: Call, vhost: string, { source, destination, type, key, given }: Ends): Promise<void> {
  const shared = { reserved1: 0, routingKey: key, flags: { noWait: false }, arguments: given }
  return directly(call, vhost, channel =>
    type === 'exchange'
      ? channel.run(exchangeBind, { ...shared, destination, source })
      : channel.run(queueBind, { ...shared, queue: destination, exchange: source }),
  )
}

/** Binds as a file of definitions says. */
export function declareBinding(call: Call, vhost: string, fields: Fields): Promise<void> {
  return bind(call, vhost, {
    source: textOf(fields, 'source', ''),
    destination: textOf(fields, 'destination', ''),
    type: textOf(fields, 'destination_type', 'queue'),
    key: textOf(fields, 'routing_key', ''),
    given: tableOf(fields.arguments, 'arguments'),
  })
}

async function addBinding(call: Call): Promise<unknown> {
  const { fields, vhost } = call
  const type = destinationType(call)
  const [source, destination] = [call.param('source'), call.param('destination')]
  const key = textOf(fields, 'routing_key', '')
  await bind(call, vhost, { source, destination, type, key, given: tableOf(fields.arguments, 'arguments') })
  const made = between(call).findLast(({ routing_key: of }) => of === key)
  const place = `${quotePlus(destination)}/${quoteKey(String(made?.properties_key ?? '~'))}`
  return new Result({ status: 201, headers: { location: place } })
}

async function removeBinding(call: Call): Promise<unknown> {
  const { vhost } = call
  const { source, destination, destination_type: type, routing_key: key, properties_key: props } = bindingOf(call)
  const found = call.core.router.bindings(vhost, String(source)).find(binding => {
    const isSame = binding.destination === destination && (binding.kind === 'exchange') === (type === 'exchange')
    return isSame && propertiesKey(binding.key, binding.arguments) === props
  })
  if (!found) throw badRequest('the bindings of the default exchange cannot be changed')
  const given: Table = found.arguments.map(({ name, value }) => ({ name, ...fieldValue(value) }))
  const shared = { reserved1: 0, routingKey: String(key), arguments: given }
  await directly(call, vhost, channel =>
    type === 'exchange'
      ? channel.run(exchangeUnbind, {
          ...{ ...shared, flags: { noWait: false } },
          ...{ destination: String(destination), source: String(source) },
        })
      : channel.run(queueUnbind, { ...shared, queue: String(destination), exchange: String(source) }),
  )
  return noContent
}
