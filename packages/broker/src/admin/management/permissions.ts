import type { KeyPermission, Permission } from '../../core/identity/grants.ts'
import { required, textsOf, type Call } from './call.ts'
import { guest, guestPermissions, hasGuest } from './guest.ts'
import { badRequest, notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'

const sort = ['vhost', 'user']

export const permissionRoutes: readonly Route[] = [
  ...lists('permissions', permissionItems),
  {
    path: '/api/permissions/:vhost/:user',
    need: 'administrator',
    on: { GET: call => call.one(permissionItem(permissionOf(call))), PUT: putPermission, DELETE: removePermission },
  },
  ...lists('topic-permissions', keyPermissionItems),
  {
    path: '/api/topic-permissions/:vhost/:user',
    need: 'administrator',
    on: { GET: listKeyPermissions, PUT: putKeyPermission, DELETE: removeKeyPermissions },
  },
  {
    path: '/api/topic-permissions/:vhost/:user/:exchange',
    need: 'administrator',
    on: { GET: listKeyPermissions, DELETE: removeKeyPermissions },
  },
]

export const permissionItem = ({ user, namespace: vhost, configure, write, read }: Permission): Item => {
  return { user, vhost, configure, write, read }
}

export const keyPermissionItem = ({ user, namespace: vhost, exchange, write, read }: KeyPermission): Item => {
  return { user, vhost, exchange, write, read }
}

/** The lists of all, of one user and of one virtual host. */
function lists(name: string, items: (call: Call) => Item[]): Route[] {
  const list = (path: string, checked: (call: Call) => Call): Route => {
    return { path, need: 'administrator', on: { GET: call => call.list(items(checked(call)), sort) } }
  }
  return [
    list(`/api/${name}`, call => call),
    list(`/api/users/:user/${name}`, withUser),
    list(`/api/vhosts/:vhost/${name}`, withVhost),
  ]
}

/** Those of the user and of the namespace that the path names, or all. */
function permissionItems(call: Call): Item[] {
  const { identity, namespaces } = call.core
  const names = namespaces.list().map(({ name }) => name)
  const all = [...guestPermissions(identity, names), ...identity.governance.permissions]
  return all.filter(of => isWanted(call, of)).map(permissionItem)
}

function keyPermissionItems(call: Call): Item[] {
  return call.core.identity.governance.keyPermissions.filter(of => isWanted(call, of)).map(keyPermissionItem)
}

function isWanted(call: Call, of: { user: string; namespace: string; exchange?: string }): boolean {
  if (call.has('user') && of.user !== call.param('user')) return false
  if (call.has('exchange') && of.exchange !== call.param('exchange')) return false
  return !call.has('vhost') || of.namespace === call.param('vhost')
}

function withUser(call: Call): Call {
  const { identity } = call.core
  const name = call.param('user')
  if (!identity.user(name) && !(name === guest.name && hasGuest(identity))) throw notFound()
  return call
}

function withVhost(call: Call): Call {
  if (!call.core.namespaces.has(call.param('vhost'))) throw notFound()
  return call
}

function permissionOf(call: Call): Permission {
  const { identity } = call.core
  const found = identity.governance.permission(call.param('user'), call.vhost)
  const [ofGuest] = call.param('user') === guest.name ? guestPermissions(identity, [call.vhost]) : []
  const permission = found ?? ofGuest
  if (!permission) throw notFound()
  return permission
}

/** Both must be there before anything can be granted. */
function checkBoth(call: Call): void {
  const { core } = call
  const isThere = core.identity.user(call.param('user')) && core.namespaces.has(call.param('vhost'))
  if (!isThere) throw badRequest('vhost_or_user_not_found')
}

async function putPermission(call: Call): Promise<unknown> {
  checkBoth(call)
  const { fields } = call
  const { governance } = call.core.identity
  const [user, namespace] = [call.param('user'), call.param('vhost')]
  required(fields, 'configure', 'write', 'read')
  const isNew = !governance.permission(user, namespace)
  await governance.setPermission({ user, namespace, ...textsOf(fields, 'configure', 'write', 'read') })
  return madeOrChanged(isNew)
}

async function removePermission(call: Call): Promise<unknown> {
  const { user, namespace } = permissionOf(call)
  await call.core.identity.governance.removePermission(user, namespace)
  return noContent
}

function listKeyPermissions(call: Call): unknown {
  withUser(withVhost(call))
  const items = keyPermissionItems(call)
  if (items.length === 0) throw notFound()
  return call.list(items, ['exchange'])
}

async function putKeyPermission(call: Call): Promise<unknown> {
  checkBoth(call)
  const { fields } = call
  required(fields, 'exchange', 'write', 'read')
  const { governance } = call.core.identity
  const permission = { user: call.param('user'), namespace: call.param('vhost') }
  const isNew = keyPermissionItems(call).length === 0
  await governance.setKeyPermission({ ...permission, ...textsOf(fields, 'exchange', 'write', 'read') })
  return madeOrChanged(isNew)
}

async function removeKeyPermissions(call: Call): Promise<unknown> {
  withUser(withVhost(call))
  const exchange = call.has('exchange') ? call.param('exchange') : undefined
  const { governance } = call.core.identity
  const isThere = await governance.removeKeyPermissions(call.param('user'), call.param('vhost'), exchange)
  if (!isThere) throw notFound()
  return noContent
}
