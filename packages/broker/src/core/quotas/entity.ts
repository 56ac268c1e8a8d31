import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'

/**
 * Whom a quota is for: a user, a client by the name that it gives itself, both together, or an address. A part that is
 * null stands for all those of its kind that have no quota of their own; a part that is left out does not matter.
 */
export interface QuotaEntity {
  readonly user?: string | null
  readonly client?: string | null
  readonly address?: string | null
}

export const entityParts = ['user', 'client', 'address'] as const
export type EntityPart = (typeof entityParts)[number]

export interface QuotaKey {
  /** Written to disk: never renumber. */
  readonly id: number
  /** Whom it can be set for. */
  readonly of: 'caller' | 'address'
  readonly isWhole: boolean
  /** One sentence for people. */
  readonly doc: string
}

/** All that can be limited, each for itself. */
export const quotaKeys = {
  publishBytes: {
    id: 1,
    of: 'caller',
    isWhole: true,
    doc: 'Bytes that may be published per second.',
  },
  fetchBytes: {
    id: 2,
    of: 'caller',
    isWhole: true,
    doc: 'Bytes that may be fetched per second.',
  },
  workPercent: {
    id: 3,
    of: 'caller',
    isWhole: false,
    doc: "Share of the broker's one thread that requests may take, in per cent.",
  },
  changes: {
    id: 4,
    of: 'caller',
    isWhole: false,
    doc: 'Partitions that may be created and deleted per second.',
  },
  connections: {
    id: 5,
    of: 'address',
    isWhole: true,
    doc: 'Connections that may be opened per second.',
  },
} as const satisfies Record<string, QuotaKey>

export type QuotaKeyName = keyof typeof quotaKeys
export const quotaKeyNames = Object.keys(quotaKeys) as QuotaKeyName[]

export type QuotaValues = ReadonlyMap<QuotaKeyName, number>

/** The text under which an entity is found; two that are equal have the same. */
export function entityId({ user, client, address }: QuotaEntity): string {
  return JSON.stringify([user, client, address].map(part => (part === undefined ? 0 : part)))
}

const nameLengthMax = 1000
const longMax = 2 ** 63

/** Throws `BrokerError` `request-invalid` that says what is wrong with the entity. */
export function checkEntity(entity: QuotaEntity): void {
  const given = entityParts.filter(part => entity[part] !== undefined)
  if (given.length === 0) throw new BrokerError('request-invalid', 'a quota is for somebody: nobody was named')
  if (entity.address !== undefined && given.length > 1) {
    throw new BrokerError('request-invalid', 'a quota is for an address, or for a user and a client, not for both')
  }
  for (const part of given) {
    const name = entity[part]
    if (name === '') throw new BrokerError('request-invalid', `the name of the ${part} is empty`)
    if (name && name.length > nameLengthMax) {
      throw new BrokerError('request-invalid', `the name of the ${part} has more than ${nameLengthMax} characters`)
    }
  }
  const { address } = entity
  if (typeof address === 'string' && !isAddress(address)) {
    throw new BrokerError('request-invalid', `${quote(address)} is not an IP address`)
  }
}

/** What is wrong with a quota, as a sentence, or undefined. `label` is how it is called where it comes from. */
export function valueProblem(key: QuotaKeyName, entity: QuotaEntity, value: number, label: string): string | undefined {
  const { of, isWhole } = quotaKeys[key]
  if ((of === 'address') !== (entity.address !== undefined)) {
    return of === 'address' ? `${label} can be set for addresses only` : `${label} cannot be set for addresses`
  }
  if (!(value > 0)) return `${label} takes a number greater than 0, not ${value}`
  if (!Number.isFinite(value) || (isWhole && value >= longMax)) return `${value} is too large for ${label}`
  if (isWhole && Math.abs(value - Math.round(value)) > wholeTolerance)
    return `${label} takes a whole number, not ${value}`
  return undefined
}

/** What arithmetic on the way here may have left of a whole number. */
const wholeTolerance = 1e-6

/** IPv4 as four numbers, IPv6 with any of its abbreviations. */
function isAddress(text: string): boolean {
  const four = text.split('.')
  if (four.length === 4 && four.every(part => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return true
  return /^[0-9a-fA-F:.]{2,45}$/.test(text) && text.includes(':') && URL.canParse(`http://[${text}]`)
}

/** One spelling for each address: an IPv4 address that came over IPv6 is what it is. */
export function normalAddress(text: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)
  if (mapped?.[1] !== undefined) return mapped[1]
  return text.includes(':') && URL.canParse(`http://[${text}]`)
    ? new URL(`http://[${text}]`).hostname.slice(1, -1)
    : text
}
