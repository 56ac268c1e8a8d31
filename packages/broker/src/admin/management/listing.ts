import { BrokerError } from '../../core/errors.ts'
import { NamePattern } from '../../core/name-pattern.ts'
import { badRequest, Refusal } from './errors.ts'

export type Item = Readonly<Record<string, unknown>>

const pageSizeDefault = 100
const pageSizeMax = 500

interface ListOptions {
  /** Sorted by these when the client does not say. */
  readonly sort: readonly string[]
  /** Whether a client can ask for one page of it. */
  readonly paginates: boolean
}

/** Sorts, cuts into pages and leaves out columns, as the query asks. */
export function listing(
  items: readonly Item[],
  query: URLSearchParams,
  { sort, paginates }: ListOptions = { sort: ['vhost', 'name'], paginates: false },
): unknown {
  const columns = query.get('columns')
  const paging = paginates ? pagingOf(query) : undefined
  const sorted = sortItems(items, sort, query)
  if (!paging) return withColumns(sorted, columns)
  const { shown, page } = cut(filtered(sorted, query), items.length, paging)
  return { ...page, items: withColumns(shown, columns) }
}

/** One page of those that match, and what is told of it. Throws `Refusal`. */
function cut<T>(
  matching: readonly T[],
  total: number,
  { page, pageSize }: Paging,
): { shown: readonly T[]; page: object } {
  const from = (page - 1) * pageSize
  if (page > 1 && from >= matching.length) {
    const reason = `Page out of range, page: ${page} page size: ${pageSize}, len: ${matching.length}`
    throw new Refusal(400, 'page_out_of_range', reason)
  }
  const shown = matching.slice(from, from + pageSize)
  const told = {
    filtered_count: matching.length,
    item_count: shown.length,
    page,
    page_count: Math.ceil(matching.length / pageSize),
    page_size: pageSize,
    total_count: total,
  }
  return { shown, page: told }
}

interface Paging {
  readonly page: number
  readonly pageSize: number
}

/** Something whose item takes time to make. */
export interface Named {
  readonly vhost: string
  readonly name: string
}

/**
 * Those that one page shows, when that can be told by their names alone; else all, and `listing` sorts and cuts. So a page of very many costs no
 * more than one of few.
 */
export function shownOf<T extends Named>(
  all: readonly T[],
  query: URLSearchParams,
): { shown: readonly T[]; page?: object } {
  const paging = pagingOf(query)
  const column = query.get('sort') ?? ''
  if (!paging || (column !== '' && column !== 'name' && column !== 'vhost')) return { shown: all }
  const matching = [...filtered(all, query)]
  const [first, second] = column === 'name' ? (['name', 'vhost'] as const) : (['vhost', 'name'] as const)
  matching.sort((a, b) => order(a[first], b[first]) || order(a[second], b[second]))
  if (query.get('sort_reverse') === 'true') matching.reverse()
  const { shown, page } = cut(matching, all.length, paging)
  return { shown, page }
}

/** Columns are names with commas between them; a dot leads into an object. */
export function withColumns(value: unknown, columns: string | null): unknown {
  if (columns === null) return value
  return pick(
    value,
    columns.split(',').map(column => column.split('.')),
  )
}

function pick(value: unknown, columns: readonly (readonly string[])[]): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => pick(item, columns))
  if (typeof value !== 'object' || value === null) return value
  const picked: Record<string, unknown> = {}
  for (const [name, of] of Object.entries(value)) {
    const wanted = columns.filter(([first]) => first === name)
    if (wanted.length === 0) continue
    const deeper = wanted.map(column => column.slice(1))
    picked[name] = deeper.some(({ length }) => length === 0) ? of : pick(of, deeper)
  }
  return picked
}

function pagingOf(query: URLSearchParams): Paging | undefined {
  const text = query.get('page')
  if (text === null) return undefined
  const [page, pageSize] = [Number(text), Number(query.get('page_size') ?? pageSizeDefault)]
  const isFine =
    [page, pageSize].every(number => Number.isSafeInteger(number) && number >= 1) && pageSize <= pageSizeMax
  if (isFine) return { page, pageSize }
  const reason = `Invalid pagination parameters: page number ${text}, page size ${query.get('page_size')}`
  throw new Refusal(400, 'invalid_pagination_parameters', reason)
}

function filtered<T extends { readonly name?: unknown }>(items: readonly T[], query: URLSearchParams): readonly T[] {
  const name = query.get('name') ?? ''
  if (name === '') return items
  const textOf = ({ name: of }: T): string => (typeof of === 'string' ? of : '')
  if (query.get('use_regex') !== 'true') {
    return items.filter(item => textOf(item).toLowerCase().includes(name.toLowerCase()))
  }
  try {
    const pattern = new NamePattern(`(?i)${name}`)
    return items.filter(item => pattern.matches(textOf(item)))
  } catch (error) {
    if (error instanceof BrokerError) throw badRequest(error.message)
    throw error
  }
}

function sortItems(items: readonly Item[], defaults: readonly string[], query: URLSearchParams): readonly Item[] {
  const asked = query.get('sort') ?? ''
  const columns = asked === '' ? defaults : [asked, ...defaults]
  const keyed = items.map(item => ({ item, keys: columns.map(column => valueAt(item, column)) }))
  keyed.sort((a, b) => compareKeys(a.keys, b.keys))
  if (query.get('sort_reverse') === 'true') keyed.reverse()
  return keyed.map(({ item }) => item)
}

function valueAt(item: Item, column: string): unknown {
  let value: unknown = item
  for (const name of column.split('.')) {
    const isObject = typeof value === 'object' && value !== null
    value = isObject && Object.hasOwn(value as object, name) ? (value as Item)[name] : undefined
  }
  return value ?? 0
}

function compareKeys(a: readonly unknown[], b: readonly unknown[]): number {
  for (let index = 0; index < a.length; index++) {
    const found = compare(a[index], b[index])
    if (found !== 0) return found
  }
  return 0
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Numbers before everything else. */
function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  if (typeof a === 'number' || typeof b === 'number') return typeof a === 'number' ? -1 : 1
  const [one, other] = [a, b].map(value => (typeof value === 'string' ? value : JSON.stringify(value))) as [
    string,
    string,
  ]
  return order(one, other)
}
