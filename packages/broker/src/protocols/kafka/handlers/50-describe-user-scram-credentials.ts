import type { Infer, Write } from '@dragoman/wire'
import type { User } from '../../../core/identity/machine.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { quote } from '../../../core/names.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, repeated, succeeded } from '../outcome.ts'
import { mechanismNumbers } from '../scram-mechanisms.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeUserScramCredentials.request>
type Answer = Write<typeof apis.describeUserScramCredentials.response>
type Result = NonNullable<Answer['results']>[number]

/** DescribeUserScramCredentials 0: some users, or all for an empty list; only what is durable. */
export const handler = defineHandler(apis.describeUserScramCredentials, handle, { bulky: true })

async function handle(exchange: Exchange<Answer>, { users }: Request): Promise<Answer> {
  const { identity } = exchange.broker
  if (!exchange.may('describe', 'cluster', clusterName)) {
    return refused(codes.clusterAuthorizationFailed, 'Cluster authorization failed.')
  }
  const results = users === null || users.length === 0 ? identity.users.map(describe) : describeNamed(exchange, users)
  await identity.settle()
  return { ...succeeded, results }
}

function describeNamed({ broker }: Exchange<Answer>, users: readonly { name: string }[]): Result[] {
  const repeats = repeated(users, ({ name }) => name)
  const names = new Set(users.map(({ name }) => name))
  return Array.from(names, name => {
    const refuse = (code: number, text: string): Result => ({ user: name, ...refused(code, text), credentialInfos: [] })
    if (repeats.has(name)) {
      return refuse(
        codes.duplicateResource,
        `Cannot describe SCRAM credentials for the same user twice in a single request: ${quote(name)}`,
      )
    }
    const user = broker.identity.user(name)
    if (user !== undefined) return describe(user)
    return refuse(codes.resourceNotFound, `Attempt to describe a user credential that does not exist: ${quote(name)}`)
  })
}

function describe({ name, credentials }: User): Result {
  const infos = Array.from(credentials.values(), ({ mechanism, iterations }) => {
    return { mechanism: mechanismNumbers[mechanism], iterations }
  })
  return { user: name, ...succeeded, credentialInfos: infos }
}
