import type { Infer, Write } from '@dragoman/wire'
import type { UserChange } from '../../../core/identity/identity.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import {
  credentialOf,
  iterationsMax,
  iterationsMin,
  keyBytes,
  saltBytesMax,
  type ScramMechanism,
} from '../../../core/identity/scram.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { outcomeOf, refused, succeeded, type Outcome } from '../outcome.ts'
import { mechanismOf } from '../scram-mechanisms.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.alterUserScramCredentials.request>
type Upsertion = Request['upsertions'][number]
type Answer = Write<typeof apis.alterUserScramCredentials.response>

/**
 * AlterUserScramCredentials 0: sets and removes passwords, all that can be done in one block, and answers when it is durable. One
 * way to log in can be changed once for a user; two ways of one user can be changed together.
 */
export const handler = defineHandler(apis.alterUserScramCredentials, handle)

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { deletions, upsertions } = request
  const names = new Set([...deletions, ...upsertions].map(({ name }) => name))
  if (!exchange.may('alter', 'cluster', clusterName)) {
    const refusal = refused(codes.clusterAuthorizationFailed, 'Cluster authorization failed.')
    return { results: Array.from(names, user => ({ user, ...refusal })) }
  }
  const refusals = new Map<string, Outcome>()
  const changes = [
    ...deletions.map(({ name, mechanism }) => readChange(name, mechanism, undefined, refusals)),
    ...upsertions.map(upsertion => readChange(upsertion.name, upsertion.mechanism, upsertion, refusals)),
  ].filter(change => change !== undefined)
  refuseRepeats(changes, refusals)
  const accepted = changes.filter(change => !refusals.has(change.name) && isPossible(exchange, change, refusals))
  const outcome = await make(
    exchange,
    accepted.filter(({ name }) => !refusals.has(name)),
  )
  return { results: Array.from(names, user => ({ user, ...(refusals.get(user) ?? outcome) })) }
}

async function make({ broker }: Exchange<Answer>, changes: readonly UserChange[]): Promise<Outcome> {
  if (changes.length === 0) return succeeded
  try {
    await broker.identity.changeUsers(changes)
    return succeeded
  } catch (error) {
    return outcomeOf(error)
  }
}

/** The first thing that is wrong with a user's changes stands for all of them. */
function refuse(refusals: Map<string, Outcome>, name: string, code: number, text: string): undefined {
  if (!refusals.has(name)) refusals.set(name, refused(code, text))
}

function readChange(
  name: string,
  number: number,
  upsertion: Upsertion | undefined,
  refusals: Map<string, Outcome>,
): UserChange | undefined {
  if (name === '') return refuse(refusals, name, codes.unacceptableCredential, 'Username must not be empty')
  const mechanism = mechanismOf(number)
  if (mechanism === undefined) {
    return refuse(refusals, name, codes.unsupportedSaslMechanism, 'Unknown SCRAM mechanism')
  }
  if (upsertion === undefined) return { kind: 'remove', name, mechanism }
  const problem = problemOf(mechanism, upsertion)
  if (problem !== undefined) return refuse(refusals, name, codes.unacceptableCredential, problem)
  const { saltedPassword, iterations } = upsertion
  // The bytes of a request are only lent.
  const salt = Buffer.from(upsertion.salt)
  return { kind: 'set', name, credential: credentialOf(mechanism, saltedPassword, salt, iterations) }
}

function problemOf(mechanism: ScramMechanism, { iterations, salt, saltedPassword }: Upsertion): string | undefined {
  if (iterations < iterationsMin) return 'Too few iterations'
  if (iterations > iterationsMax) return 'Too many iterations'
  if (salt.length === 0 || salt.length > saltBytesMax) return `The salt must have 1 to ${saltBytesMax} bytes`
  const length = keyBytes(mechanism)
  return saltedPassword.length === length ? undefined : `The salted password must have ${length} bytes`
}

function refuseRepeats(changes: readonly UserChange[], refusals: Map<string, Outcome>): void {
  const seen = new Set<string>()
  for (const change of changes) {
    const key = `${change.kind === 'set' ? change.credential.mechanism : change.mechanism} ${change.name}`
    if (seen.has(key)) {
      refuse(
        refusals,
        change.name,
        codes.duplicateResource,
        'A user credential cannot be altered twice in the same request',
      )
    }
    seen.add(key)
  }
}

function isPossible({ broker }: Exchange<Answer>, change: UserChange, refusals: Map<string, Outcome>): boolean {
  try {
    broker.identity.checkChange(change)
    return true
  } catch (error) {
    refusals.set(change.name, outcomeOf(error))
    return false
  }
}
