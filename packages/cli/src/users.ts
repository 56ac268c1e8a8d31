import { apis } from '@dragoman/broker/kafka-messages'
import { codes } from '@dragoman/broker/kafka-errors'
import { realRuntime } from '@dragoman/broker/runtime'
import { iterationsDefault, iterationsMax, iterationsMin, saltBytes, saltPasswordNow } from '@dragoman/broker/scram'
import { count, text } from '@dragoman/broker/options'
import { readPassword, secret } from './broker-options.ts'
import type { Cluster } from './cluster.ts'
import { CommandError, option, optional, UsageError } from './command.ts'
import { check, explainCode } from './errors.ts'

/** Kafka's numbers of the ways to log in with a password. */
const mechanisms = { 1: 'SCRAM-SHA-256', 2: 'SCRAM-SHA-512' } as const

export interface UserRow {
  name: string
  mechanisms: { name: string; number: number; iterations: number }[]
}

/** Users by name, or all; one that is not there is left out. */
export async function listUsers(cluster: Cluster, names: readonly string[] = []): Promise<UserRow[]> {
  const wanted = names.map(name => ({ name }))
  const answer = await cluster.request(apis.describeUserScramCredentials, { users: wanted })
  check(answer.errorCode, 'Cannot list users', answer.errorMessage)
  const found = answer.results.filter(({ errorCode }) => errorCode !== codes.resourceNotFound)
  return found.map(({ user, errorCode, errorMessage, credentialInfos }) => {
    check(errorCode, `Cannot describe user "${user}"`, errorMessage)
    const known = credentialInfos.map(({ mechanism: number, iterations }) => {
      return { name: mechanisms[number as 1 | 2] ?? `mechanism ${number}`, number, iterations }
    })
    return { name: user, mechanisms: known }
  })
}

export const newPasswordOptions = {
  newPassword: optional(
    secret,
    'The password. Others on the machine can read flags: prefer the environment or a file.',
    'DRAGOMAN_NEW_PASSWORD',
  ),
  newPasswordFile: optional(text('FILE|-', 'a file, or - for stdin'), 'The first line of this file is the password.'),
  iterations: option(
    count(iterationsMin, iterationsMax),
    iterationsDefault,
    'How much work each guess is to whoever steals what the broker keeps of the password.',
  ),
}

interface NewPassword {
  newPassword: string | undefined
  newPasswordFile: string | undefined
  iterations: number
}

/** Gives the user this password, for all ways to log in. It leaves this machine salted. */
export async function setPassword(cluster: Cluster, user: string, given: NewPassword): Promise<void> {
  const password = await readPassword(given.newPassword, given.newPasswordFile, '--new-password-file')
  if (password === undefined) {
    throw new UsageError('The user needs a password: DRAGOMAN_NEW_PASSWORD, --new-password-file or --new-password')
  }
  const { random } = realRuntime()
  const { iterations } = given
  const upsertions = Object.entries(mechanisms).map(([number, mechanism]) => {
    const salt = random.bytes(saltBytes)
    const saltedPassword = saltPasswordNow(mechanism, password, salt, iterations)
    return { name: user, mechanism: Number(number), iterations, salt, saltedPassword }
  })
  const { results } = await cluster.request(apis.alterUserScramCredentials, { deletions: [], upsertions })
  for (const { errorCode, errorMessage } of results)
    check(errorCode, `Cannot set the password of "${user}"`, errorMessage)
}

export async function deleteUser(cluster: Cluster, { name, mechanisms: known }: UserRow): Promise<void> {
  const deletions = known.map(({ number }) => ({ name, mechanism: number }))
  const { results } = await cluster.request(apis.alterUserScramCredentials, { deletions, upsertions: [] })
  for (const { errorCode, errorMessage } of results) {
    if (errorCode !== codes.none) {
      throw new CommandError(`Cannot delete user "${name}": ${explainCode(errorCode, errorMessage)}`)
    }
  }
}
