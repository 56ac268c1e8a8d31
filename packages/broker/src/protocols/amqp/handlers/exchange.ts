import { keepStrange, strangeArguments } from '../../../core/hints.ts'
import type { Header } from '../../../core/message.ts'
import {
  exchangeDifference,
  exchangeOf,
  exchangeSettings,
  type ExchangeDefinition,
  type ExchangeKind,
  type ExchangeOptions,
} from '../../../core/routing/exchange.ts'
import type { ChannelHost } from '../channel-host.ts'
import type { Connection } from '../connection.ts'
import { AmqpException } from '../errors.ts'
import { inequivalent } from '../inequivalent.ts'
import { headerOf } from '../mapping.ts'
import {
  exchangeBind,
  exchangeBindOk,
  exchangeDeclare,
  exchangeDeclareOk,
  exchangeDelete,
  exchangeDeleteOk,
  exchangeUnbind,
  exchangeUnbindOk,
} from '../messages/exchange.ts'
import type { Arguments } from '../messages/method.ts'
import { checkReserved, cleanName } from '../names.ts'
import { demand, demandAny, resource } from '../rights.ts'
import { changeBinding } from './binding.ts'
import { on, type Entry } from './handler.ts'

type Declare = Arguments<typeof exchangeDeclare>

export const exchangeHandlers: readonly Entry[] = [
  on(exchangeDeclare, (channel, fields) => declare(channel, fields)),
  on(exchangeDelete, (channel, fields) => remove(channel, fields)),
  on(exchangeBind, async (channel, { destination: name, source, routingKey: key, flags, arguments: given }) => {
    await changeBinding('bind', channel.connection, { kind: 'exchange', name, source, key, given })
    if (!flags.noWait) channel.send(exchangeBindOk, {})
  }),
  on(exchangeUnbind, async (channel, { destination: name, source, routingKey: key, flags, arguments: given }) => {
    await changeBinding('unbind', channel.connection, { kind: 'exchange', name, source, key, given })
    if (!flags.noWait) channel.send(exchangeUnbindOk, {})
  }),
]

/** Kinds of exchanges by the names that clients give them. */
const kinds: ReadonlyMap<string, ExchangeKind> = new Map([
  ['direct', 'direct'],
  ['fanout', 'fanout'],
  ['topic', 'topic'],
  ['headers', 'headers'],
  ['x-consistent-hash', 'hash'],
  ['x-delayed-message', 'delayed'],
])

/** What clients call a kind of exchanges. */
export const exchangeType = (kind: unknown): string => [...kinds].find(([, each]) => each === kind)?.[0] ?? String(kind)

/** Arguments that mean something, by the settings that they are. */
const argumentOf = {
  [exchangeSettings.alternate]: 'alternate-exchange',
  [exchangeSettings.hashHeader]: 'hash-header',
  [exchangeSettings.innerKind]: 'x-delayed-type',
} as const

/** The arguments that give these settings. */
export function exchangeArguments(config: ReadonlyMap<string, string>): Header[] {
  const known = Object.entries(argumentOf).flatMap(([setting, name]) => {
    const text = config.get(setting)
    if (text === undefined) return []
    return [{ name, value: setting === exchangeSettings.innerKind ? exchangeType(text) : text }]
  })
  return [...known, ...strangeArguments(config, isKnown)]
}

const isKnown = (name: string): boolean => Object.values<string>(argumentOf).includes(name)

async function declare(channel: ChannelHost, fields: Declare): Promise<void> {
  const { connection } = channel
  const { broker, namespace } = connection
  const { passive, noWait } = fields.flags
  const name = cleanName(fields.exchange)
  const kind = passive ? undefined : kindOf(fields.type)
  checkNotDefault(name)
  const present = broker.router.get(namespace, name)
  if (kind === undefined) {
    demandAny(connection, 'exchange', name)
    if (!present) throw new AmqpException('notFound', `no ${resource('exchange', name, namespace)}`)
  } else {
    demand(connection, 'configure', 'exchange', name)
    if (!present) checkReserved('exchange', name)
    const options = optionsOf(connection, name, kind, fields)
    if (present) checkSame(connection, present, options)
    else await broker.router.declare(namespace, name, options)
  }
  await connection.settled()
  if (!noWait) channel.send(exchangeDeclareOk, {})
}

function kindOf(type: string): ExchangeKind {
  const kind = kinds.get(type)
  if (kind === undefined) throw new AmqpException('preconditionFailed', `unknown exchange type '${type}'`)
  return kind
}

function optionsOf(connection: Connection, name: string, kind: ExchangeKind, fields: Declare): ExchangeOptions {
  const { durable, autoDelete, internal } = fields.flags
  const what = resource('exchange', name, connection.namespace)
  const config = new Map<string, string>()
  const given = fields.arguments.map(headerOf)
  for (const each of given) if (!isKnown(each.name)) keepStrange(config, each)
  for (const [setting, argument] of Object.entries(argumentOf)) {
    const value = textOf(given, argument, what)
    if (value === undefined) continue
    if (setting === exchangeSettings.alternate) checkAlternate(connection, name, value)
    // The others mean nothing to exchanges of other types, which are declared all the same.
    if (setting === exchangeSettings.hashHeader && !isHash(kind, fields)) continue
    if (setting === exchangeSettings.innerKind && kind !== 'delayed') continue
    config.set(setting, setting === exchangeSettings.innerKind ? (kinds.get(value) ?? value) : value)
  }
  if (kind === 'delayed' && !isInner(config.get(exchangeSettings.innerKind))) {
    const explanation = "Invalid argument, 'x-delayed-type' must be an existing exchange type"
    throw new AmqpException('preconditionFailed', explanation)
  }
  return { kind, isDurable: durable, autoDelete, internal, config }
}

const isInner = (kind: string | undefined): boolean =>
  kind !== 'delayed' && [...kinds.values()].some(known => known === kind)

const isHash = (kind: ExchangeKind, fields: Declare): boolean =>
  kind === 'hash' ||
  (kind === 'delayed' &&
    fields.arguments.some(field => field.name === 'x-delayed-type' && field.value === 'x-consistent-hash'))

function textOf(given: readonly Header[], argument: string, what: string): string | undefined {
  const value = given.findLast(({ name }) => name === argument)?.value
  if (value === undefined || typeof value === 'string') return value
  throw new AmqpException('preconditionFailed', `invalid type of arg '${argument}' in ${what}: it must be a string`)
}

function checkAlternate(connection: Connection, name: string, alternate: string): void {
  if (connection.broker.router.get(connection.namespace, name)) return
  // Messages that the exchange does not route are taken from it, and put there.
  demand(connection, 'read', 'exchange', name)
  demand(connection, 'write', 'exchange', alternate)
}

function checkSame(connection: Connection, present: ExchangeDefinition, options: ExchangeOptions): void {
  const { name, namespace } = present
  const difference = exchangeDifference(present, exchangeOf(namespace, name, options))
  if (!difference) return
  const what = resource('exchange', name, connection.namespace)
  const [has, wants] = difference.values as [string | boolean | undefined, string | boolean | undefined]
  if (difference.name === 'kind') throw inequivalent(what, 'type', exchangeType(has), exchangeType(wants))
  if (difference.name === 'auto.delete') throw inequivalent(what, 'auto_delete', has, wants)
  if (difference.name === exchangeSettings.innerKind) {
    throw inequivalent(what, argumentOf[exchangeSettings.innerKind], exchangeType(has), exchangeType(wants))
  }
  const argument = Object.entries(argumentOf).find(([setting]) => setting === difference.name)?.[1]
  throw inequivalent(what, argument ?? difference.name, has, wants)
}

function checkNotDefault(name: string): void {
  if (name !== '') return
  throw new AmqpException('accessRefused', 'operation not permitted on the default exchange')
}

async function remove(channel: ChannelHost, fields: Arguments<typeof exchangeDelete>): Promise<void> {
  const { connection } = channel
  const { broker, namespace } = connection
  const { ifUnused, noWait } = fields.flags
  const name = cleanName(fields.exchange)
  checkNotDefault(name)
  const what = resource('exchange', name, namespace)
  if (name.startsWith('amq.')) throw new AmqpException('accessRefused', `deletion of system ${what} not allowed`)
  demand(connection, 'configure', 'exchange', name)
  // One that is not there is as good as deleted.
  if (broker.router.get(namespace, name)) {
    const isUsed = ifUnused && broker.router.bindings(namespace, name).length > 0
    if (isUsed) throw new AmqpException('preconditionFailed', `${what} in use`)
    await broker.router.remove(namespace, name)
  } else await connection.settled()
  if (!noWait) channel.send(exchangeDeleteOk, {})
}
