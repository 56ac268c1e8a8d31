import type { Infer, Write } from '@dragoman/wire'
import type { Rule } from '../../../core/identity/permissions.ts'
import { aclOf, filterProblem, matches, type Acl } from '../acls.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, succeeded } from '../outcome.ts'
import { refusalOf } from './30-create-acls.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.deleteAcls.request>
type Answer = Write<typeof apis.deleteAcls.response>

/** DeleteAcls 1-3: answered when the removal is durable. A rule that two filters let through is told under both. */
export const handler = defineHandler(apis.deleteAcls, handle, { bulky: true })

async function handle(exchange: Exchange<Answer>, { filters }: Request): Promise<Answer> {
  const refusal = refusalOf(exchange)
  if (refusal !== undefined) return { filterResults: filters.map(() => ({ ...refusal, matchingAcls: [] })) }
  const { identity } = exchange.broker
  const present = [...identity.rules].flatMap(rule => {
    const acl = aclOf(rule)
    return acl === undefined ? [] : [{ rule, acl }]
  })
  const removed = new Set<Rule>()
  const found = filters.map((filter): readonly Acl[] | string => {
    const problem = filterProblem(filter)
    if (problem !== undefined) return problem
    const matching = present.filter(({ acl }) => matches(filter, acl))
    for (const { rule } of matching) removed.add(rule)
    return matching.map(({ acl }) => acl)
  })
  let outcome = succeeded
  try {
    await identity.removeRules([...removed])
  } catch (error) {
    outcome = outcomeOf(error)
  }
  return {
    filterResults: found.map(acls => {
      if (typeof acls === 'string') return { ...refused(codes.invalidRequest, acls), matchingAcls: [] }
      return { ...succeeded, matchingAcls: acls.map(acl => ({ ...outcome, ...acl })) }
    }),
  }
}
