import type { Governance, Secret } from '../../core/identity/governance.ts'
import { hashAlgorithms, readHash, type HashAlgorithm } from '../../core/identity/hashes.ts'
import type { User, UserLimit } from '../../core/identity/machine.ts'
import { scramMechanisms, type Credential } from '../../core/identity/scram.ts'
import { guestUser, hasGuest } from './guest.ts'
import { booleanOf, integerOf, isFields, required, textOf, textsOf, type Call, type Fields } from './call.ts'
import { badRequest, notFound } from './errors.ts'
import type { Item } from './listing.ts'
import { madeOrChanged, noContent, type Route } from './route.ts'

/** Names of limits as clients of this API know them. */
export const userLimitNames: Readonly<Record<string, UserLimit>> = {
  'max-connections': 'connections',
  'max-channels': 'channels',
}

const hashingPrefix = 'rabbit_password_hashing_'
/** Passwords that were set here are kept for SCRAM; they are told in the form of RFC 5803, and can be brought back in it. */
const scramHashing = 'dragoman_scram'

export const userRoutes: readonly Route[] = [
  { path: '/api/users', need: 'administrator', on: { GET: call => call.pages(shownUsers(call), ['name']) } },
  {
    path: '/api/users/without-permissions',
    need: 'administrator',
    on: { GET: call => call.pages(withoutPermissions(call), ['name']) },
  },
  { path: '/api/users/bulk-delete', need: 'administrator', on: { POST: removeUsers } },
  {
    path: '/api/users/:user',
    need: 'administrator',
    on: {
      GET: call => {
        const isGuest = call.param('user') === guestUser.name && hasGuest(call.core.identity)
        return call.one(userItem(isGuest ? guestUser : userOf(call)))
      },
      PUT: async call => madeOrChanged(await putUser(call.core.identity.governance, call.param('user'), call.fields)),
      DELETE: removeUser,
    },
  },
  { path: '/api/whoami', need: 'management', on: { GET: ({ visitor: { name, tags } }) => ({ name, tags }) } },
  { path: '/api/user-limits', need: 'administrator', on: { GET: call => call.list(limitItems(call), ['user']) } },
  { path: '/api/user-limits/:user', need: 'administrator', on: { GET: call => call.list(limitItems(call), ['user']) } },
  { path: '/api/user-limits/:user/:name', need: 'administrator', on: { PUT: putLimit, DELETE: removeLimit } },
]

export function userItem({ name, isSuper, tags = [], limits, hash, credentials }: User): Item {
  const told = isSuper && !tags.includes('administrator') ? ['administrator', ...tags] : [...tags]
  const bounds = Object.entries(userLimitNames).flatMap(([word, limit]) => {
    const max = limits?.get(limit)
    return max === undefined ? [] : [[word, max]]
  })
  const shared = { name, tags: told, limits: Object.fromEntries(bounds) as Item }
  if (hash) {
    const bytes = Buffer.concat([hash.salt, hash.digest])
    return { ...shared, password_hash: bytes.toString('base64'), hashing_algorithm: hashingPrefix + hash.algorithm }
  }
  if (credentials.size === 0) return { ...shared, password_hash: '', hashing_algorithm: `${hashingPrefix}sha256` }
  return { ...shared, password_hash: showCredentials(credentials.values()), hashing_algorithm: scramHashing }
}

/** Makes or changes a user as the fields say. Resolves with whether it was made. Throws `Refusal`. */
export async function putUser(governance: Governance, name: string, fields: Fields): Promise<boolean> {
  const tags = tagsOf(fields)
  const limits = isFields(fields.limits) ? fields.limits : {}
  const isNew = await governance.setUser(name, { tags, secret: secretOf(fields) })
  for (const word of Object.keys(limits)) await setLimit(governance, name, word, integerOf(limits, word))
  if (!isNew || !isFields(fields.permissions)) return isNew
  for (const [namespace, given] of Object.entries(fields.permissions)) {
    if (!isFields(given)) throw badRequest('permissions must be an object of objects')
    await governance.setPermission({ user: name, namespace, ...textsOf(given, 'configure', 'write', 'read') })
  }
  return isNew
}

/** Either a list, or names with commas between them. Throws `Refusal`. */
export function tagsOf(fields: Fields): string[] {
  const { tags } = fields
  if (tags === undefined && fields.administrator !== undefined) {
    return booleanOf(fields, 'administrator', false) ? ['administrator'] : []
  }
  if (tags === undefined) throw badRequest('tags_not_present')
  const texts = typeof tags === 'string' ? tags.split(',') : tags
  if (!Array.isArray(texts) || !texts.every(text => typeof text === 'string')) {
    throw badRequest('tags must be a list of strings, or a string with commas')
  }
  return texts.map(text => text.trim()).filter(text => text !== '')
}

function secretOf(fields: Fields): Secret {
  const { password, password_hash: hash } = fields
  if (password !== undefined && hash !== undefined) throw badRequest('both_password_and_password_hash_are_provided')
  if (password !== undefined) {
    const text = textOf(fields, 'password', '')
    // An empty one could never be used.
    return text === '' ? { kind: 'none' } : { kind: 'password', password: text }
  }
  const text = textOf(fields, 'password_hash', '')
  if (text === '') return { kind: 'none' }
  const algorithm = textOf(fields, 'hashing_algorithm', `${hashingPrefix}sha256`)
  if (algorithm === scramHashing) return { kind: 'credentials', credentials: readCredentials(text) }
  const known = hashAlgorithms.find((name): name is HashAlgorithm => hashingPrefix + name === algorithm)
  if (known === undefined) throw badRequest(`hashing_algorithm ${JSON.stringify(algorithm)} is not known`)
  const read = readHash(known, Buffer.from(text, 'base64'))
  if (!read) throw badRequest(`password_hash is no salted hash of ${algorithm}, written in base64`)
  return { kind: 'hash', hash: read }
}

/** `SCRAM-SHA-256$8192:salt$stored key:server key` of each, with commas between them. [RFC 5803] */
function showCredentials(credentials: Iterable<Credential>): string {
  const texts = Array.from(credentials, ({ mechanism, iterations, salt, storedKey, serverKey }) => {
    const [a, b, c] = [salt, storedKey, serverKey].map(bytes => bytes.toString('base64'))
    return `${mechanism}$${iterations}:${a}$${b}:${c}`
  })
  return texts.join(',')
}

const credentialForm = /^(SCRAM-SHA-(?:256|512))\$(\d{1,6}):([\w+/=]{1,200})\$([\w+/=]{1,200}):([\w+/=]{1,200})$/

function readCredentials(text: string): Credential[] {
  return text.split(',').map(part => {
    const [, name, iterations, ...texts] = credentialForm.exec(part) ?? []
    const mechanism = scramMechanisms.find(known => known === name)
    const [salt, storedKey, serverKey] = texts.map(base64 => Buffer.from(base64, 'base64'))
    if (!mechanism || !salt || !storedKey || !serverKey) throw badRequest('password_hash is not as it was exported')
    return { mechanism, iterations: Number(iterations), salt, storedKey, serverKey }
  })
}

export const allUsers = ({ core }: Call): Item[] => core.identity.users.map(userItem)

/** With the one who may do everything while nobody must log in. */
function shownUsers(call: Call): Item[] {
  return hasGuest(call.core.identity) ? [userItem(guestUser), ...allUsers(call)] : allUsers(call)
}

function withoutPermissions({ core: { identity } }: Call): Item[] {
  const having = new Set(identity.governance.permissions.map(({ user }) => user))
  return identity.users.filter(({ name }) => !having.has(name)).map(userItem)
}

function userOf(call: Call): User {
  const user = call.core.identity.user(call.param('user'))
  if (!user) throw notFound()
  return user
}

async function removeUser(call: Call): Promise<unknown> {
  await removeAll(call, [userOf(call).name])
  return noContent
}

async function removeUsers(call: Call): Promise<unknown> {
  const { fields, core } = call
  required(fields, 'users')
  const names = fields.users
  if (!Array.isArray(names) || !names.every(name => typeof name === 'string')) {
    throw badRequest('users must be a list of names')
  }
  // Those that are gone already are passed over.
  await removeAll(
    call,
    names.filter(name => core.identity.user(name)),
  )
  return noContent
}

/** With a user go their connections. */
async function removeAll({ core }: Call, names: readonly string[]): Promise<void> {
  await core.identity.governance.removeUsers(names)
  for (const connection of core.connections.list()) {
    if (names.includes(connection.user)) connection.close(`user '${connection.user}' was deleted`)
  }
}

function limitItems(call: Call): Item[] {
  const isGuest = call.param('user') === guestUser.name && hasGuest(call.core.identity)
  const all = call.has('user') ? [isGuest ? guestUser : userOf(call)] : call.core.identity.users
  return all.flatMap(user => {
    const { limits } = userItem(user) as { limits: object }
    return Object.keys(limits).length === 0 ? [] : [{ user: user.name, value: limits }]
  })
}

/** A number below 0 is no limit. */
async function setLimit(governance: Governance, name: string, word: string, max: number): Promise<void> {
  const limit = userLimitNames[word]
  if (!limit) throw badRequest(`Unrecognised terms [${JSON.stringify(word)}] in user-limits`)
  await governance.setLimit(name, limit, max < 0 ? undefined : max)
}

async function putLimit(call: Call): Promise<unknown> {
  required(call.fields, 'value')
  const { name } = userOf(call)
  await setLimit(call.core.identity.governance, name, call.param('name'), integerOf(call.fields, 'value'))
  return noContent
}

async function removeLimit(call: Call): Promise<unknown> {
  await setLimit(call.core.identity.governance, userOf(call).name, call.param('name'), -1)
  return noContent
}
