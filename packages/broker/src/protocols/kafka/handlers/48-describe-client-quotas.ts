import type { Infer, Write } from '@dragoman/wire'
import { clusterName } from '../../../core/identity/permissions.ts'
import { entityParts, type EntityPart, type QuotaEntity } from '../../../core/quotas/entity.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, repeated, succeeded, type Outcome } from '../outcome.ts'
import { entityInWords, partOfType, quotaWords } from '../quota-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeClientQuotas.request>
type Component = Request['components'][number]
type Answer = Write<typeof apis.describeClientQuotas.response>

const matchTypes = { exact: 0, default: 1, any: 2 } as const

/** DescribeClientQuotas 0-1: the quotas of all entities that match every component. */
export const handler = defineHandler(apis.describeClientQuotas, handle)

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { quotas } = exchange.broker
  if (!exchange.may('describe-configs', 'cluster', clusterName)) {
    const text = 'This needs the right to describe configurations of the cluster.'
    return { ...refused(codes.clusterAuthorizationFailed, text), entries: null }
  }
  const refusal = refusalOf(request)
  if (refusal !== undefined) return { ...refusal, entries: null }
  const wanted = new Map<EntityPart, Component>()
  for (const component of request.components) {
    const part = partOfType(component.entityType)
    if (part !== undefined) wanted.set(part, component)
  }
  const found = quotas.list().filter(({ entity }) => matches(entity, wanted, request.strict))
  await quotas.settle()
  const entries = found.map(({ entity, values }) => ({
    entity: entityInWords(entity),
    values: Array.from(values, ([key, value]) => ({ key: quotaWords[key], value })),
  }))
  return { ...succeeded, entries }
}

function refusalOf({ components }: Request): Outcome | undefined {
  const invalid = (text: string): Outcome => refused(codes.invalidRequest, text)
  for (const { entityType, matchType, match } of components) {
    if (entityType === '') return invalid('The type of an entity is empty.')
    if (partOfType(entityType) === undefined) {
      return refused(codes.unsupportedVersion, `There are no quotas for entities of type ${entityType}.`)
    }
    if (matchType < matchTypes.exact || matchType > matchTypes.any) {
      return invalid(`There is no match of type ${matchType}.`)
    }
    if ((matchType === matchTypes.exact) !== (match !== null)) {
      return invalid('A name is given with an exact match, and only with one.')
    }
  }
  const [twice] = repeated(components, ({ entityType }) => entityType)
  if (twice !== undefined) return invalid(`Type ${twice} is there more than once.`)
  const types = new Set(components.map(({ entityType }) => partOfType(entityType)))
  if (types.has('address') && types.size > 1) return invalid('Addresses have no quotas together with users or clients.')
  return undefined
}

function matches(entity: QuotaEntity, wanted: ReadonlyMap<EntityPart, Component>, isStrict: boolean): boolean {
  return entityParts.every(part => {
    const name = entity[part]
    const component = wanted.get(part)
    if (component === undefined) return name === undefined || !isStrict
    if (name === undefined) return false
    if (component.matchType === matchTypes.any) return true
    return name === (component.matchType === matchTypes.default ? null : component.match)
  })
}
