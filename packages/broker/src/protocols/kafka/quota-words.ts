import type { EntityPart, QuotaEntity, QuotaKeyName } from '../../core/quotas/entity.ts'

/** Kafka's words for whom a quota is for. */
export const entityTypes = {
  user: 'user',
  client: 'client-id',
  address: 'ip',
} as const satisfies Record<EntityPart, string>

/** Kafka's words for what is limited. */
export const quotaWords = {
  publishBytes: 'producer_byte_rate',
  fetchBytes: 'consumer_byte_rate',
  workPercent: 'request_percentage',
  changes: 'controller_mutation_rate',
  connections: 'connection_creation_rate',
} as const satisfies Record<QuotaKeyName, string>

const partsByType = new Map(Object.entries(entityTypes).map(([part, type]) => [type as string, part as EntityPart]))
const keysByWord = new Map(Object.entries(quotaWords).map(([key, word]) => [word as string, key as QuotaKeyName]))

export const partOfType = (type: string): EntityPart | undefined => partsByType.get(type)
export const quotaOfWord = (word: string): QuotaKeyName | undefined => keysByWord.get(word)

/** An entity in Kafka's words, in the order of its types. */
export function entityInWords(entity: QuotaEntity): { entityType: string; entityName: string | null }[] {
  const parts: readonly EntityPart[] = ['client', 'address', 'user']
  return parts.flatMap(part => {
    const entityName = entity[part]
    return entityName === undefined ? [] : [{ entityType: entityTypes[part], entityName }]
  })
}
