import type { Infer, Write } from '@dragoman/wire'
import { clusterName, type Rule } from '../../../core/identity/permissions.ts'
import { readCreation } from '../acls.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, succeeded, type Outcome } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.createAcls.request>
type Answer = Write<typeof apis.createAcls.response>

/** CreateAcls 1-3: answered when the rules are durable. A rule that is there already is fine. */
export const handler = defineHandler(apis.createAcls, handle)

async function handle(exchange: Exchange<Answer>, { creations }: Request): Promise<Answer> {
  const refusal = refusalOf(exchange)
  if (refusal !== undefined) return { results: creations.map(() => refusal) }
  const read = creations.map(creation => readCreation(creation))
  let outcome = succeeded
  try {
    await exchange.broker.identity.addRules(read.filter((rule): rule is Rule => typeof rule !== 'string'))
  } catch (error) {
    outcome = outcomeOf(error)
  }
  return { results: read.map(rule => (typeof rule === 'string' ? refused(codes.invalidRequest, rule) : outcome)) }
}

/** Why nobody, or not this client, can change rules. */
export function refusalOf(exchange: Exchange<never>): Outcome | undefined {
  if (!exchange.may('alter', 'cluster', clusterName)) {
    return refused(codes.clusterAuthorizationFailed, 'Cluster authorization failed.')
  }
  const { authorization } = exchange.broker.identity.settings
  return authorization === 'off' ? refused(codes.securityDisabled, 'Authorization is off.') : undefined
}
