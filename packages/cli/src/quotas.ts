import { size, text } from '@dragoman/broker/options'
import { brokerOptions } from './broker-options.ts'
import { optional, UsageError, type Parameter } from './command.ts'

/** What can be limited: the word for it here, the broker's, and what a limit is counted in. */
export const quotaWords = {
  publish: { key: 'producer_byte_rate', unit: 'bytes' },
  fetch: { key: 'consumer_byte_rate', unit: 'bytes' },
  work: { key: 'request_percentage', unit: 'per cent' },
  changes: { key: 'controller_mutation_rate', unit: 'partitions' },
  connections: { key: 'connection_creation_rate', unit: 'connections' },
} as const

export type QuotaWord = keyof typeof quotaWords
export const quotaNames = Object.keys(quotaWords) as QuotaWord[]

/** Stands for all those that have no quota of their own. */
const others = '*'

const entityTypes = { forUser: 'user', forClient: 'client-id', forAddress: 'ip' } as const
type EntityOption = keyof typeof entityTypes

export const entityOptions = {
  ...brokerOptions,
  forUser: optional(text('NAME', 'a name'), `A user; ${others} for all without a quota of their own.`),
  forClient: optional(text('NAME', 'a name'), `A client, by the name that it gives itself; ${others} for all others.`),
  forAddress: optional(text('IP', 'an IP address'), `An address; ${others} for all others.`),
} satisfies Record<string, Parameter<unknown>>

export interface EntityPart {
  entityType: string
  entityName: string | null
}

/** Whom the options name. Throws `UsageError` when it is nobody. */
export function entityOf(options: { readonly [K in EntityOption]?: string | undefined }): EntityPart[] {
  const parts = (Object.keys(entityTypes) as EntityOption[]).flatMap(option => {
    const name = options[option]
    return name === undefined ? [] : [{ entityType: entityTypes[option], entityName: name === others ? null : name }]
  })
  if (parts.length === 0) throw new UsageError('For whom? Give --for-user, --for-client, both, or --for-address')
  return parts
}

/** `user ann, client *`. */
export function showEntity(parts: readonly EntityPart[]): string {
  const words: Record<string, string> = { user: 'user', 'client-id': 'client', ip: 'address' }
  const order = Object.values(entityTypes) as string[]
  const sorted = parts.toSorted((one, other) => order.indexOf(one.entityType) - order.indexOf(other.entityType))
  return sorted
    .map(({ entityType, entityName }) => `${words[entityType] ?? entityType} ${entityName ?? others}`)
    .join(', ')
}

/** The limit that a word of the command line sets. Throws `UsageError`. */
export function limitOf(word: string): { key: string; value: number } {
  const match = /^([a-z]+)=(.+)$/.exec(word)
  const name = quotaNames.find(one => one === match?.[1])
  if (name === undefined || match?.[2] === undefined) {
    throw new UsageError(`"${word}" is not a quota: give ${quotaNames.join('=, ')}= with a number`)
  }
  const { key, unit } = quotaWords[name]
  const value = unit === 'bytes' ? rates.parse(match[2]) : Number(match[2])
  if (value === undefined || !(value > 0) || !Number.isFinite(value)) {
    throw new UsageError(`${name} takes ${unit === 'bytes' ? rates.takes : `a number of ${unit}`} per second`)
  }
  return { key, value }
}

const rates = size(1, 2 ** 50)

export const wordOfKey = (key: string): string => quotaNames.find(name => quotaWords[name].key === key) ?? key

/** A limit as it could be set: `publish=1MiB`. */
export function showLimit({ key, value }: { key: string; value: number }): string {
  const name = wordOfKey(key)
  const isBytes = quotaNames.some(one => one === name && quotaWords[one].unit === 'bytes')
  return `${name}=${isBytes ? rates.show(value) : value}`
}
