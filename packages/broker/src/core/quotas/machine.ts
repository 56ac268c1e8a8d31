import type { Reader, Writer } from '@dragoman/wire'
import type { FactContext, Machine } from '../../cell/machine.ts'
import {
  entityId,
  entityParts,
  quotaKeyNames,
  quotaKeys,
  type EntityPart,
  type QuotaEntity,
  type QuotaKeyName,
  type QuotaValues,
} from './entity.ts'
import { checkVersion, configured, factVersion, quotaFacts, readFact, type Configured } from './facts.ts'

export interface QuotaRecord {
  readonly entity: QuotaEntity
  readonly values: QuotaValues
}

/** Which quotas are set for whom. What is used of them is in memory only. */
export class QuotasMachine implements Machine {
  readonly #records = new Map<string, QuotaRecord>()

  get count(): number {
    return this.#records.size
  }

  get(entity: QuotaEntity): QuotaRecord | undefined {
    return this.#records.get(entityId(entity))
  }

  all(): Iterable<QuotaRecord> {
    return this.#records.values()
  }

  apply(type: number, payload: Buffer, _at?: FactContext): void {
    if (type !== quotaFacts.configured) {
      throw new Error(`The quotas have no facts of type ${type}: this data was written by a newer broker`)
    }
    this.#set(readFact(configured, payload))
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.#records.size)
    for (const record of this.#records.values()) configured.write(out, written(record), factVersion)
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    this.#records.clear()
    for (let left = from.u32(); left > 0; left--) this.#set(configured.read(from, version))
  }

  #set(fact: Configured): void {
    const record = recordOf(fact)
    const id = entityId(record.entity)
    if (record.values.size === 0) this.#records.delete(id)
    else this.#records.set(id, record)
  }
}

const keysById = new Map<number, QuotaKeyName>(quotaKeyNames.map(name => [quotaKeys[name].id, name]))

function recordOf({ entity, values }: Configured): QuotaRecord {
  const parts: { [P in EntityPart]?: string | null } = {}
  for (const { part, name } of entity) {
    const known = entityParts[part]
    if (known === undefined) throw new Error(`A quota is for something unknown (${part}): written by a newer broker`)
    parts[known] = name
  }
  const kept = new Map<QuotaKeyName, number>()
  for (const { key, value } of values) {
    const known = keysById.get(key)
    if (known === undefined) throw new Error(`A quota has an unknown key (${key}): written by a newer broker`)
    kept.set(known, value)
  }
  return { entity: parts, values: kept }
}

/** A record as the fact that makes it. */
export function written({ entity, values }: QuotaRecord): Configured {
  return {
    entity: entityParts.flatMap((name, part) => {
      const value = entity[name]
      return value === undefined ? [] : [{ part, name: value }]
    }),
    values: Array.from(values, ([name, value]) => ({ key: quotaKeys[name].id, value })),
  }
}
