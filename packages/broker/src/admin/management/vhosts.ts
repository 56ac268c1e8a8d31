import type { NamespaceDefinition, NamespaceLimit } from '../../core/namespaces/machine.ts'
import { integerOf, required, textOf, type Call, type Fields } from './call.ts'
import { badRequest, notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'
import { nodeName } from './state.ts'
import { messageStatsOf, totalsOf } from './totals.ts'
import { tagsOf } from './users.ts'

/** Names of limits as clients of this API know them. */
export const vhostLimitNames: Readonly<Record<string, NamespaceLimit>> = {
  'max-connections': 'connections',
  'max-queues': 'queues',
}

const queueTypes = ['classic', 'quorum', 'stream']

export const vhostRoutes: readonly Route[] = [
  { path: '/api/vhosts', need: 'management', on: { GET: call => call.pages(vhostItems(call), ['name']) } },
  {
    path: '/api/vhosts/:vhost',
    need: 'management',
    on: { GET: call => call.one(visibleVhost(call)), PUT: administered(putVhost), DELETE: administered(removeVhost) },
  },
  {
    path: '/api/vhosts/:vhost/start/:node',
    need: 'administrator',
    on: { POST: call => (presentVhost(call), noContent) },
  },
  { path: '/api/vhost-limits', need: 'management', on: { GET: call => call.list(limitItems(call), ['vhost']) } },
  { path: '/api/vhost-limits/:vhost', need: 'vhost', on: { GET: call => call.list(limitItems(call), ['vhost']) } },
  { path: '/api/vhost-limits/:vhost/:name', need: 'administrator', on: { PUT: putLimit, DELETE: removeLimit } },
]

function administered(handler: (call: Call) => Promise<unknown>): (call: Call) => Promise<unknown> {
  return async call => {
    call.needTag('administrator')
    return handler(call)
  }
}

function vhostItems(call: Call): Item[] {
  return call.vhosts.flatMap(name => {
    const found = call.core.namespaces.get(name)
    return found ? [vhostItem(call, found)] : []
  })
}

function vhostItem(call: Call, definition: NamespaceDefinition): Item {
  const { name, description, tags } = definition
  return {
    name,
    description,
    tags,
    default_queue_type: defaultQueueTypeOf(definition),
    metadata: { description, tags, default_queue_type: defaultQueueTypeOf(definition) },
    tracing: false,
    protected_from_deletion: name === '/',
    cluster_state: { [nodeName]: 'running' },
    ...totalsOf(call, [name]),
    message_stats: messageStatsOf(call, [name]),
  }
}

export const defaultQueueTypeOf = ({ defaultQueueType }: NamespaceDefinition): string => defaultQueueType || 'classic'

function presentVhost(call: Call): NamespaceDefinition {
  const found = call.core.namespaces.get(call.param('vhost'))
  if (!found) throw notFound()
  return found
}

function visibleVhost(call: Call): Item {
  const found = presentVhost(call)
  if (!call.vhostsVisible.includes(found.name)) throw notFound()
  return vhostItem(call, found)
}

/** Who makes a namespace may do everything in it. */
async function putVhost(call: Call): Promise<unknown> {
  const name = call.param('vhost')
  const isNew = await setVhost(call, name, call.fields)
  const { identity } = call.core
  const { name: user } = call.visitor
  if (isNew && identity.user(user) && !identity.governance.permission(user, name)) {
    await identity.governance.setPermission({ user, namespace: name, configure: '.*', write: '.*', read: '.*' })
  }
  return madeOrChanged(isNew)
}

/** Makes or changes a namespace as the fields say. Resolves with whether it was made. Throws `Refusal`. */
export async function setVhost({ core }: Call, name: string, fields: Fields): Promise<boolean> {
  const type = fields.default_queue_type ?? fields.defaultqueuetype
  if (type !== undefined && type !== null && type !== 'undefined' && !queueTypes.includes(String(type))) {
    throw badRequest(`Unsupported default queue type: ${JSON.stringify(type)}; there are ${queueTypes.join(', ')}`)
  }
  return core.namespaces.set(name, {
    ...(fields.description === undefined ? {} : { description: textOf(fields, 'description', '') }),
    ...(fields.tags === undefined ? {} : { tags: tagsOf(fields) }),
    ...(typeof type === 'string' && type !== 'undefined' ? { defaultQueueType: type } : {}),
  })
}

async function removeVhost(call: Call): Promise<unknown> {
  await call.core.namespaces.remove(presentVhost(call).name)
  return noContent
}

export function limitsOf({ limits }: NamespaceDefinition): Item {
  const bounds = Object.entries(vhostLimitNames).flatMap(([word, limit]) => {
    const max = limits.get(limit)
    return max === undefined ? [] : [[word, max]]
  })
  return Object.fromEntries(bounds) as Item
}

function limitItems(call: Call): Item[] {
  return call.vhosts.flatMap(vhost => {
    const found = call.core.namespaces.get(vhost)
    return found && found.limits.size > 0 ? [{ vhost, value: limitsOf(found) }] : []
  })
}

/** A number below 0 is no limit. Throws `Refusal`. */
export async function setVhostLimit({ core }: Call, vhost: string, word: string, max: number): Promise<void> {
  const limit = vhostLimitNames[word]
  if (!limit) throw badRequest(`Unrecognised terms [${JSON.stringify(word)}] in limits`)
  await core.namespaces.setLimit(vhost, limit, max < 0 ? undefined : max)
}

async function putLimit(call: Call): Promise<unknown> {
  required(call.fields, 'value')
  await setVhostLimit(call, presentVhost(call).name, call.param('name'), integerOf(call.fields, 'value'))
  return noContent
}

async function removeLimit(call: Call): Promise<unknown> {
  await setVhostLimit(call, presentVhost(call).name, call.param('name'), -1)
  return noContent
}
