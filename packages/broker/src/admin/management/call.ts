import type { Broker } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { NamespaceAccess, NamespacePermission } from '../../core/identity/namespace-access.ts'
import type { SessionContext } from '../../protocols/protocol.ts'
import type { Request } from '../http/message.ts'
import { badRequest, notAuthorised, notFound } from './errors.ts'
import { listing, shownOf, withColumns, type Item, type Named } from './listing.ts'
import type { State } from './state.ts'

/** Who asks. */
export interface Visitor {
  readonly name: string
  readonly tags: readonly string[]
  readonly access: Access
}

const monitors = ['administrator', 'monitoring']
const policymakers = ['administrator', 'policymaker']

export const isAdministrator = ({ tags }: Visitor): boolean => tags.includes('administrator')
export const isMonitor = ({ tags }: Visitor): boolean => monitors.some(tag => tags.includes(tag))
export const isPolicymaker = ({ tags }: Visitor): boolean => policymakers.some(tag => tags.includes(tag))
/** Without one of these tags nobody may use the API. */
export const mayVisit = ({ tags }: Visitor): boolean =>
  [...monitors, ...policymakers, 'management'].some(tag => tags.includes(tag))

export type Fields = Readonly<Record<string, unknown>>

/** Items that are made in one turn. */
const madeAtOnce = 100

type CallParts = Pick<Call, 'core' | 'state' | 'visitor' | 'context' | 'request' | 'query' | 'body'>

/** One request, as handlers see it. */
export class Call {
  readonly core: Broker
  readonly state: State
  readonly visitor: Visitor
  readonly context: SessionContext
  readonly request: Request
  readonly query: URLSearchParams
  readonly body: Buffer
  readonly #parts: CallParts
  readonly #path: ReadonlyMap<string, string>

  constructor(parts: CallParts, path: ReadonlyMap<string, string>) {
    this.#parts = parts
    this.core = parts.core
    this.state = parts.state
    this.visitor = parts.visitor
    this.context = parts.context
    this.request = parts.request
    this.query = parts.query
    this.body = parts.body
    this.#path = path
  }

  /** A part of the path. An exchange without a name has one here. */
  param(name: string): string {
    const text = this.#path.get(name) ?? ''
    return ['exchange', 'source', 'destination'].includes(name) ? exchangeNamed(text) : text
  }

  has(name: string): boolean {
    return this.#path.has(name)
  }

  /** The namespace of the path. Throws `Refusal` when there is none of that name. */
  get vhost(): string {
    const name = this.param('vhost')
    if (!this.core.namespaces.has(name)) throw notFound()
    return name
  }

  /** Namespaces that the request is about: that of the path, or all that the visitor may see. */
  get vhosts(): readonly string[] {
    return this.has('vhost') ? [this.vhost] : this.vhostsVisible
  }

  get vhostsVisible(): readonly string[] {
    const names = this.core.namespaces.list().map(({ name }) => name)
    return isMonitor(this.visitor) ? names : names.filter(name => this.inVhost(name).mayEnter())
  }

  /** A list as the query wants to see it. */
  list(items: readonly Item[], sort: readonly string[] = ['vhost', 'name']): unknown {
    return listing(items, this.query, { sort, paginates: false })
  }

  /** The same, of which clients can ask for a page. */
  pages(items: readonly Item[], sort: readonly string[] = ['vhost', 'name']): unknown {
    return listing(items, this.query, { sort, paginates: true })
  }

  /**
   * The same of things whose items take time to make: only those that are shown are made, and others have their turn in between. Rejects with
   * `Refusal`.
   */
  async pagesOf<T extends Named>(all: readonly T[], make: (one: T) => Item): Promise<unknown> {
    const { shown, page } = shownOf(all, this.query)
    const items: Item[] = []
    for (const [index, one] of shown.entries()) {
      if (index > 0 && index % madeAtOnce === 0) await this.pause()
      items.push(make(one))
    }
    const columns = this.query.get('columns')
    return page ? { ...page, items: withColumns(items, columns) } : this.pages(items)
  }

  /** Lets others have their turn. */
  pause(): Promise<void> {
    return new Promise(resolve => void this.context.clock.after(0, resolve))
  }

  /** Only the columns that the query names. */
  one(item: Item): unknown {
    return withColumns(item, this.query.get('columns'))
  }

  /** The same request, by somebody who may do everything in namespaces. */
  asSystem(): Call {
    return new Call({ ...this.#parts, visitor: { ...this.visitor, access: this.core.identity.everything } }, this.#path)
  }

  inVhost(name: string): NamespaceAccess {
    return this.core.identity.inNamespace(this.visitor.access, name)
  }

  /** Throws `Refusal`. */
  needTag(tag: 'administrator' | 'monitoring'): void {
    const has = tag === 'administrator' ? isAdministrator(this.visitor) : isMonitor(this.visitor)
    if (!has) throw notAuthorised(`Not ${tag === 'administrator' ? tag : 'monitor'} user`)
  }

  /** Throws `Refusal`. */
  need(permission: NamespacePermission, vhost: string, kind: 'queue' | 'exchange', name: string): void {
    if (!this.inVhost(vhost).may(permission, name, kind)) throw notAuthorised('Access refused.')
  }

  /** The same of an exchange, and of the key with which it is used. Throws `Refusal`. */
  needExchange(permission: 'write' | 'read', vhost: string, exchange: string, key?: string): void {
    const isFree = key === undefined || this.inVhost(vhost).mayUseKey(permission, exchange, key)
    if (!isFree) throw notAuthorised('Access refused.')
    this.need(permission, vhost, 'exchange', shownExchange(exchange))
  }

  /** The body as an object; an empty one is an object without fields. Throws `Refusal`. */
  get fields(): Fields {
    const text = this.body.toString().trim()
    if (text === '' || text === 'null' || text === 'undefined') return {}
    const value = parseJson(text)
    if (typeof value === 'string') {
      const reason = 'invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?'
      throw badRequest(reason)
    }
    if (!isFields(value)) throw badRequest('not_json')
    return value
  }
}

/** The default exchange has no name, and one here. */
const defaultExchangeName = 'amq.default'
export const shownExchange = (exchange: string): string => (exchange === '' ? defaultExchangeName : exchange)
export const exchangeNamed = (given: string): string => (given === defaultExchangeName ? '' : given)

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw badRequest('not_json')
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Throws `Refusal` when a field is missing, in the words that clients know. */
export function required(fields: Fields, ...names: string[]): void {
  const missing = names.filter(name => fields[name] === undefined)
  if (missing.length > 0) throw badRequest(`[${missing.map(name => `{key_missing,${name}}`).join(',')}]`)
}

/** Text, or a number written as text. Throws `Refusal`. */
export function textOf(fields: Fields, name: string, otherwise: string): string {
  const value = fields[name] ?? otherwise
  if (typeof value === 'string') return value
  if (typeof value === 'number') return String(value)
  throw badRequest(`${name} must be a string`)
}

/** Several; what is missing is empty. Throws `Refusal`. */
export function textsOf<N extends string>(fields: Fields, ...names: N[]): Record<N, string> {
  return Object.fromEntries(names.map(name => [name, textOf(fields, name, '')])) as Record<N, string>
}

/** Clients write them as text, too. Throws `Refusal`. */
export function booleanOf(fields: Fields, name: string, otherwise: boolean): boolean {
  const value = fields[name] ?? otherwise
  if (typeof value === 'boolean') return value
  if (value === 'true' || value === 'false') return value === 'true'
  throw badRequest(`${name} must be true or false, not ${JSON.stringify(value)}`)
}

/** Clients write them as text, too. Throws `Refusal`. */
export function integerOf(fields: Fields, name: string, otherwise?: number): number {
  const value = fields[name] ?? otherwise
  const number = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isSafeInteger(number)) return number
  throw badRequest(`${name} must be an integer, not ${JSON.stringify(value)}`)
}
