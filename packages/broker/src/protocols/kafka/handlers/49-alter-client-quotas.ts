import type { Infer, Write } from '@dragoman/wire'
import { BrokerError } from '../../../core/errors.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { quote } from '../../../core/names.ts'
import type { EntityPart, QuotaEntity } from '../../../core/quotas/entity.ts'
import type { QuotaChange } from '../../../core/quotas/quotas.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, repeated, succeeded, type Outcome } from '../outcome.ts'
import { partOfType, quotaOfWord, quotaWords } from '../quota-words.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.alterClientQuotas.request>
type Entry = Request['entries'][number]
type Answer = Write<typeof apis.alterClientQuotas.response>

/** AlterClientQuotas 0-1: sets and removes quotas of entities, each entity whole or not at all, or checks that it could. */
export const handler = defineHandler(apis.alterClientQuotas, handle)

async function handle(exchange: Exchange<Answer>, { entries, validateOnly }: Request): Promise<Answer> {
  const isAllowed = exchange.may('alter-configs', 'cluster', clusterName)
  const repeats = repeated(entries, keyOf)
  const unique = new Map(entries.map(entry => [keyOf(entry), entry]))
  const outcomes = await inSlices(exchange.connection, [...unique.values()], async entry => {
    const outcome = !isAllowed
      ? refused(codes.clusterAuthorizationFailed, 'This needs the right to alter configurations of the cluster.')
      : repeats.has(keyOf(entry))
        ? refused(codes.invalidRequest, 'The request names this entity more than once.')
        : await change(exchange, entry, validateOnly)
    return { ...outcome, entity: entry.entity }
  })
  return { entries: outcomes }
}

/** The same for entities whose parts come in another order. */
function keyOf({ entity }: Entry): string {
  const parts = entity.map(({ entityType, entityName }) => JSON.stringify([entityType, entityName]))
  return parts.sort((one, other) => (one < other ? -1 : 1)).join()
}

async function change(exchange: Exchange<Answer>, entry: Entry, validateOnly: boolean): Promise<Outcome> {
  try {
    const [twice] = repeated(entry.ops, ({ key }) => key)
    if (twice !== undefined) throw new BrokerError('request-invalid', `${quote(twice)} is there more than once`)
    const changes = entry.ops.flatMap(changeOf)
    const labelOf = (key: QuotaChange['key']): string => quotaWords[key]
    await exchange.broker.quotas.change(entityOf(entry), changes, { validateOnly, labelOf })
    return succeeded
  } catch (error) {
    return outcomeOf(error)
  }
}

function entityOf({ entity }: Entry): QuotaEntity {
  const found: { [P in EntityPart]?: string | null } = {}
  for (const { entityType, entityName } of entity) {
    const part = partOfType(entityType)
    if (part === undefined) throw new BrokerError('request-invalid', `there are no quotas for ${quote(entityType)}`)
    if (found[part] !== undefined) throw new BrokerError('request-invalid', `the entity has two of ${entityType}`)
    found[part] = entityName
  }
  return found
}

/** Nothing, when what is to be removed is unknown: it is not there. */
function changeOf({ key: word, value, remove }: Entry['ops'][number]): QuotaChange[] {
  const key = quotaOfWord(word)
  if (key !== undefined) return [{ key, value: remove ? undefined : value }]
  if (remove) return []
  throw new BrokerError('request-invalid', `there is no quota ${quote(word)}`)
}
