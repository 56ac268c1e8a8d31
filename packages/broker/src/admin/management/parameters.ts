import type { Parameter } from '../../core/namespaces/machine.ts'
import { integerOf, isFields, required, textOf, type Call } from './call.ts'
import { badRequest, notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'
import { limitsOf, setVhostLimit, vhostLimitNames } from './vhosts.ts'

/** Parameters of the whole broker, which are for clients alone. */
const globalComponent = 'global'
/** Topics whose records are published to exchanges. */
const feedComponent = 'feed'
const limitsComponent = 'vhost-limits'
const limitsName = 'limits'

export const parameterRoutes: readonly Route[] = [
  {
    path: '/api/global-parameters',
    need: 'policymaker',
    on: { GET: call => call.list([clusterId(call), ...globalParameters(call)], ['name']) },
  },
  {
    path: '/api/global-parameters/:name',
    need: 'policymaker',
    on: { GET: call => call.one(globalOf(call)), PUT: putGlobal, DELETE: removeGlobal },
  },
  { path: '/api/parameters', need: 'policymaker', on: { GET: call => call.list(parameterItems(call)) } },
  { path: '/api/parameters/:component', need: 'policymaker', on: { GET: call => call.list(parameterItems(call)) } },
  {
    path: '/api/parameters/:component/:vhost',
    need: 'policymaker',
    on: { GET: call => call.list(parameterItems(call)) },
  },
  {
    path: '/api/parameters/:component/:vhost/:name',
    need: 'policymaker',
    on: { GET: call => call.one(parameterOf(call)), PUT: putParameter, DELETE: removeParameter },
  },
]

export const globalItem = ({ name, value }: Parameter): Item => ({ name, value: JSON.parse(value) as unknown })

export const globalParameters = ({ core }: Call): Item[] =>
  core.namespaces.parameters('', globalComponent).map(globalItem)

/** Told as a parameter, and not to be changed. */
function clusterId({ core }: Call): Item {
  return { name: 'internal_cluster_id', value: `dragoman-cluster-id-${core.clusterId.toString('base64url')}` }
}

function globalOf(call: Call): Item {
  const found = call.core.namespaces.parameter('', globalComponent, call.param('name'))
  const item = found ? globalItem(found) : clusterId(call)
  if (item.name !== call.param('name')) throw notFound()
  return item
}

/** The value; undefined when there is none. */
export function globalParameterOf({ core }: Pick<Call, 'core'>, name: string): unknown {
  const found = core.namespaces.parameter('', globalComponent, name)
  return found && (JSON.parse(found.value) as unknown)
}

export async function setGlobal({ core }: Call, name: string, value: unknown): Promise<void> {
  await core.namespaces.setParameter({
    namespace: '',
    component: globalComponent,
    name,
    value: JSON.stringify(value),
  })
}

async function putGlobal(call: Call): Promise<unknown> {
  required(call.fields, 'value')
  const name = call.param('name')
  const isNew = !call.core.namespaces.parameter('', globalComponent, name)
  await setGlobal(call, name, call.fields.value)
  return madeOrChanged(isNew)
}

async function removeGlobal(call: Call): Promise<unknown> {
  const isThere = await call.core.namespaces.removeParameter('', globalComponent, call.param('name'))
  if (!isThere) throw notFound()
  return noContent
}

/** Limits of namespaces are told as parameters, too. */
export function parameterItems(call: Call): Item[] {
  const component = call.has('component') ? call.param('component') : undefined
  return [
    ...(component === undefined || component === limitsComponent ? limitItems(call) : []),
    ...(component === undefined || component === feedComponent ? feedItems(call) : []),
  ]
}

const feedItems = ({ core, vhosts }: Call): Item[] =>
  vhosts.flatMap(vhost =>
    core.feeds.list(vhost).map(({ name, topic, exchange }) => {
      return { vhost, component: feedComponent, name, value: { topic, exchange } }
    }),
  )

function limitItems(call: Call): Item[] {
  return call.vhosts.flatMap(vhost => {
    const found = call.core.namespaces.get(vhost)
    if (!found || found.limits.size === 0) return []
    return [{ vhost, component: limitsComponent, name: limitsName, value: limitsOf(found) }]
  })
}

function parameterOf(call: Call): Item {
  const found = parameterItems(call).find(({ name }) => name === call.param('name'))
  if (!found) throw notFound()
  return found
}

/** Throws `Refusal` for what no part of the broker would read. */
export async function setParameter(
  call: Call,
  { vhost, component, name, value }: { vhost: string; component: string; name: string; value: unknown },
): Promise<void> {
  if (component === feedComponent) return setFeed(call, vhost, name, value)
  if (component !== limitsComponent) {
    throw badRequest(`Validation failed\n\ncomponent ${component} not found\n`)
  }
  if (!isFields(value)) throw badRequest('the value must be an object')
  for (const word of Object.keys(vhostLimitNames)) {
    await setVhostLimit(call, vhost, word, value[word] === undefined ? -1 : integerOf(value, word))
  }
}

async function setFeed({ core }: Call, namespace: string, name: string, value: unknown): Promise<void> {
  if (!isFields(value)) throw badRequest('the value must be an object')
  const unknown = Object.keys(value).find(key => key !== 'topic' && key !== 'exchange')
  if (unknown !== undefined) throw badRequest(`Validation failed\n\nUnrecognised terms [${unknown}] in feed\n`)
  required(value, 'topic', 'exchange')
  await core.feeds.set({ namespace, name, topic: textOf(value, 'topic', ''), exchange: textOf(value, 'exchange', '') })
}

async function putParameter(call: Call): Promise<unknown> {
  required(call.fields, 'value')
  const { vhost } = call
  const [component, name] = [call.param('component'), call.param('name')]
  const isNew = !parameterItems(call).some(of => of.name === name)
  await setParameter(call, { vhost, component, name, value: call.fields.value })
  return madeOrChanged(isNew)
}

async function removeParameter(call: Call): Promise<unknown> {
  parameterOf(call)
  const [component, name] = [call.param('component'), call.param('name')]
  if (component === feedComponent) await call.core.feeds.remove(call.vhost, name)
  else await setParameter(call, { vhost: call.vhost, component, name, value: {} })
  return noContent
}
