import { queueArguments, queueTypeOf, topicArguments } from '../../core/queues/arguments.ts'
import { predeclared } from '../../core/routing/exchange.ts'
import { declareBinding, explicitBindings } from './bindings.ts'
import { integerOf, isFields, textOf, textsOf, type Call, type Fields } from './call.ts'
import { badRequest } from './errors.ts'
import { declareExchange, exchangeItem } from './exchanges.ts'
import type { Item } from './listing.ts'
import { clusterNameOf } from './overview.ts'
import { globalParameters, parameterItems, setGlobal, setParameter } from './parameters.ts'
import { keyPermissionItem, permissionItem } from './permissions.ts'
import { policyItems, setPolicy } from './policies.ts'
import { declareQueue } from './queues.ts'
import { noContent, type Route } from './route.ts'
import { compatibleVersion } from './state.ts'
import { allUsers, putUser } from './users.ts'
import { jsonOfHeaders } from './values.ts'
import { defaultQueueTypeOf, limitsOf, setVhost, setVhostLimit } from './vhosts.ts'

/** Made at the same time: each waits for the disk, and those of one kind do not depend on each other. */
const madeAtOnce = 256

export const definitionRoutes: readonly Route[] = [
  { path: '/api/definitions', need: 'administrator', on: { GET: exportAll, POST: importAll } },
  { path: '/api/all-configuration', need: 'administrator', on: { GET: exportAll, POST: importAll } },
  { path: '/api/definitions/:vhost', need: 'administrator', on: { GET: exportVhost, POST: importVhost } },
]

const versions = {
  rabbit_version: compatibleVersion,
  rabbitmq_version: compatibleVersion,
  product_name: 'Dragoman',
  product_version: compatibleVersion,
}

function exportAll(call: Call): unknown {
  const { core } = call
  const { namespaces, identity } = core
  const vhosts = namespaces.list()
  const clusterName = clusterNameOf(call)
  return {
    ...versions,
    rabbitmq_definition_format: 'cluster',
    original_cluster_name: clusterName,
    explanation: `Definitions of cluster '${clusterName}'`,
    users: allUsers(call),
    vhosts: vhosts.map(definition => {
      const { name, description, tags } = definition
      const metadata = { description, tags, default_queue_type: defaultQueueTypeOf(definition) }
      return { name, ...metadata, metadata, limits: limitsOf(definition) }
    }),
    permissions: identity.governance.permissions.map(permissionItem),
    topic_permissions: identity.governance.keyPermissions.map(keyPermissionItem),
    parameters: [...parameterItems(call), ...operatorPolicies(call)],
    global_parameters: globalParameters(call),
    policies: policyItems(call, 'user'),
    queues: vhosts.flatMap(({ name }) => queueDefinitions(call, name)),
    exchanges: vhosts.flatMap(({ name }) => exchangeDefinitions(call, name)),
    bindings: vhosts.flatMap(({ name }) => bindingDefinitions(call, name)),
  }
}

function exportVhost(call: Call): unknown {
  const { vhost } = call
  const definition = call.core.namespaces.get(vhost)
  const without = (items: readonly Item[]): Item[] => items.map(({ vhost: _same, ...rest }) => rest)
  return {
    ...versions,
    rabbitmq_definition_format: 'single_virtual_host',
    original_vhost_name: vhost,
    explanation: `Definitions of virtual host '${vhost}'`,
    description: definition?.description ?? '',
    metadata: { description: definition?.description ?? '', tags: definition?.tags ?? [] },
    limits: definition ? limitsOf(definition) : {},
    parameters: without([...parameterItems(call), ...operatorPolicies(call)]),
    policies: without(policyItems(call, 'user')),
    queues: without(queueDefinitions(call, vhost)),
    exchanges: without(exchangeDefinitions(call, vhost)),
    bindings: without(bindingDefinitions(call, vhost)),
  }
}

/** In files they are parameters. */
const operatorComponent = 'operator_policy'

function operatorPolicies(call: Call): Item[] {
  return policyItems(call, 'operator').map(({ vhost, name, ...value }) => {
    return { vhost, component: operatorComponent, name, value }
  })
}

/** What lasts, but not what belongs to a connection; topics are queues of the type stream. */
function queueDefinitions({ core }: Call, vhost: string): Item[] {
  const queues = core.queues.list(vhost).flatMap(({ definition }) => {
    const { name, autoDelete: auto_delete, config, isKept } = definition
    const given = queueArguments(config)
    if (!isKept) return []
    return [{ name, vhost, type: queueTypeOf(given), durable: true, auto_delete, arguments: jsonOfHeaders(given) }]
  })
  const topics = core.topics.list(vhost).map(({ name, config }) => {
    const given = jsonOfHeaders(topicArguments(config))
    return { name, vhost, type: 'stream', durable: true, auto_delete: false, arguments: given }
  })
  return [...queues, ...topics]
}

function exchangeDefinitions({ core }: Call, vhost: string): Item[] {
  const own = core.router.list(vhost).filter(({ name, isDurable }) => isDurable && !predeclared.has(name))
  return own.map(definition => {
    const { user_who_performed_action: _nobody, ...item } = exchangeItem(definition)
    return item
  })
}

function bindingDefinitions(call: Call, vhost: string): Item[] {
  return explicitBindings(call, vhost).map(({ properties_key: _key, ...item }) => item)
}

async function importAll(call: Call): Promise<unknown> {
  const { fields } = call
  const version = typeof fields.rabbit_version === 'string' ? fields.rabbit_version : ''
  // Files of old versions do not say by which algorithm passwords are hashed.
  const hashing = /^3\.[0-5]\./.test(version) ? { hashing_algorithm: 'rabbit_password_hashing_md5' } : {}
  const { governance } = call.core.identity
  await each(fields, 'users', user => putUser(governance, named(user), { tags: [], ...hashing, ...user }))
  await each(fields, 'vhosts', vhost => importNamespace(call, vhost))
  await each(fields, 'permissions', of => {
    const namespace = vhostOf(call, of)
    return governance.setPermission({ namespace, ...textsOf(of, 'user', 'configure', 'write', 'read') })
  })
  await each(fields, 'topic_permissions', of => {
    const namespace = vhostOf(call, of)
    return governance.setKeyPermission({ namespace, ...textsOf(of, 'user', 'exchange', 'write', 'read') })
  })
  await each(fields, 'global_parameters', of => setGlobal(call, named(of), of.value))
  await importContents(call, fields)
  return noContent
}

async function importVhost(call: Call): Promise<unknown> {
  const { vhost, fields } = call
  const inVhost = Object.entries(fields).map(([name, items]): [string, unknown] => {
    return [
      name,
      Array.isArray(items) ? items.map((item: unknown) => (isFields(item) ? { ...item, vhost } : item)) : items,
    ]
  })
  await importLimits(call, vhost, fields.limits)
  await importContents(call, Object.fromEntries(inVhost))
  return noContent
}

/** What is there already stays as it is. */
async function importContents(call: Call, fields: Fields): Promise<void> {
  const { core } = call
  await each(fields, 'parameters', of => importParameter(call, of))
  await each(fields, 'policies', of => setPolicy(call, 'user', vhostOf(call, of), named(of), of))
  const system = call.asSystem()
  await each(fields, 'queues', of => {
    const [vhost, name] = [vhostOf(call, of), named(of)]
    const isThere = core.queues.get(vhost, name) ?? core.topics.get(vhost, name)
    return isThere ? undefined : declareQueue(system, vhost, name, of)
  })
  await each(fields, 'exchanges', of => {
    const [vhost, name] = [vhostOf(call, of), named(of)]
    return core.router.get(vhost, name) ? undefined : declareExchange(system, vhost, name, of)
  })
  await each(fields, 'bindings', of => {
    // Every queue is bound to the default exchange anyway.
    return of.source === '' ? undefined : declareBinding(system, vhostOf(call, of), of)
  })
}

async function importNamespace(call: Call, fields: Fields): Promise<void> {
  const name = named(fields)
  await setVhost(call, name, { ...(isFields(fields.metadata) ? fields.metadata : {}), ...fields })
  await importLimits(call, name, fields.limits)
}

/** An object, or a list of such; both are in use. */
async function importLimits(call: Call, vhost: string, limits: unknown): Promise<void> {
  for (const given of Array.isArray(limits) ? limits : [limits]) {
    if (!isFields(given)) continue
    for (const word of Object.keys(given)) await setVhostLimit(call, vhost, word, integerOf(given, word))
  }
}

async function importParameter(call: Call, fields: Fields): Promise<void> {
  const component = textOf(fields, 'component', '')
  const vhost = vhostOf(call, fields)
  if (component !== operatorComponent) {
    return setParameter(call, { vhost, component, name: named(fields), value: fields.value })
  }
  if (!isFields(fields.value)) throw badRequest('the value of an operator policy must be an object')
  await setPolicy(call, 'operator', vhost, named(fields), fields.value)
}

const named = (fields: Fields): string => textOf(fields, 'name', '')

/** Throws `Refusal` when the namespace of an item is not there. */
function vhostOf({ core }: Call, fields: Fields): string {
  const vhost = textOf(fields, 'vhost', '')
  if (!core.namespaces.has(vhost)) throw badRequest(`virtual host ${JSON.stringify(vhost)} does not exist`)
  return vhost
}

async function each(fields: Fields, name: string, run: (item: Fields) => unknown): Promise<void> {
  const items = fields[name] ?? []
  if (!Array.isArray(items)) throw badRequest(`${name} must be a list`)
  for (let at = 0; at < items.length; at += madeAtOnce) {
    await Promise.all(
      items.slice(at, at + madeAtOnce).map(async (item: unknown) => {
        if (!isFields(item)) throw badRequest(`${name} must be a list of objects`)
        await run(item)
      }),
    )
  }
}
