import { readFile } from 'node:fs/promises'
import type { Login } from '@dragoman/broker/kafka-client'
import { choice, hostPort, optionalText, text, toggle, type HostPort, type Kind } from '@dragoman/broker/options'
import { CommandError, option, optional, UsageError } from './command.ts'

export const brokerDefault: HostPort = { host: '127.0.0.1', port: 9092 }

export const secret: Kind<string> = { ...text('PASSWORD', 'a password'), isSecret: true }
const file = text('FILE', 'a PEM file')

/** The flags that all commands with a broker share: where it is, who asks, and how the connection is protected. */
export const brokerOptions = {
  broker: option(hostPort, brokerDefault, 'The broker to talk to.', 'DRAGOMAN_BROKER'),
  user: optional(text('NAME', 'a name'), 'Log in as this user.', 'DRAGOMAN_USER'),
  password: optional(
    secret,
    'Password of the user. Others on the machine can read flags: prefer the environment or a file.',
    'DRAGOMAN_PASSWORD',
  ),
  passwordFile: optional(text('FILE', 'a file'), 'The first line of this file is the password.'),
  mechanism: option(
    choice('SCRAM-SHA-256', 'SCRAM-SHA-512', 'PLAIN'),
    'SCRAM-SHA-256',
    'How to prove to know the password; PLAIN shows it to the broker.',
    'DRAGOMAN_MECHANISM',
  ),
  token: optional({ ...secret, placeholder: 'TOKEN', takes: 'a token' }, 'Log in with this token.', 'DRAGOMAN_TOKEN'),
  tls: option(toggle, false, 'Speak TLS. Each of the following does that, too.', 'DRAGOMAN_TLS'),
  tlsCa: optional(
    optionalText('FILE', 'a PEM file'),
    'Authorities of the broker; else those of the system.',
    'DRAGOMAN_CA',
  ),
  tlsCert: optional(file, 'Certificate to show to the broker; needs --tls-key.'),
  tlsKey: optional(file, 'Its private key.'),
  tlsUnchecked: option(toggle, false, 'Take any certificate of the broker. Anybody on the way could then listen.'),
}

/** Where the broker is, and as whom to talk to it. */
export interface BrokerTarget {
  readonly broker?: HostPort | undefined
  readonly user?: string | undefined
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
  readonly mechanism?: 'SCRAM-SHA-256' | 'SCRAM-SHA-512' | 'PLAIN'
  readonly token?: string | undefined
  readonly tls?: boolean
  readonly tlsCa?: string | undefined
  readonly tlsCert?: string | undefined
  readonly tlsKey?: string | undefined
  readonly tlsUnchecked?: boolean
}

interface ClientTls {
  readonly ca: string | undefined
  readonly identity: { readonly cert: string; readonly key: string } | undefined
  readonly isUnchecked: boolean
}

/** Undefined when the connection is not protected. */
export async function tlsOf(target: BrokerTarget): Promise<ClientTls | undefined> {
  const { tls = false, tlsCa, tlsCert, tlsKey, tlsUnchecked: isUnchecked = false } = target
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new UsageError('--tls-cert and --tls-key go together')
  if (!tls && !isUnchecked && tlsCa === undefined && tlsCert === undefined) return undefined
  const ca = tlsCa === undefined ? undefined : await read(tlsCa, '--tls-ca')
  if (tlsCert === undefined || tlsKey === undefined) return { ca, identity: undefined, isUnchecked }
  const identity = { cert: await read(tlsCert, '--tls-cert'), key: await read(tlsKey, '--tls-key') }
  return { ca, identity, isUnchecked }
}

/** Undefined when nobody is to be logged in. */
export async function loginOf(
  target: BrokerTarget,
  random: { bytes(length: number): Buffer },
): Promise<Login | undefined> {
  const { user, token, passwordFile, mechanism = 'SCRAM-SHA-256' } = target
  if (token !== undefined) return { mechanism: 'OAUTHBEARER', token }
  if (user === undefined) return undefined
  const password = await readPassword(target.password, passwordFile, '--password-file')
  if (password === undefined) {
    throw new UsageError('--user needs a password: DRAGOMAN_PASSWORD, --password-file or --password')
  }
  if (mechanism === 'PLAIN') return { mechanism, user, password }
  return { mechanism, user, password, nonce: random.bytes(18).toString('base64') }
}

/** A password that is given as it is, or the first line of a file (`-`: of stdin). */
export async function readPassword(
  given: string | undefined,
  path: string | undefined,
  flag: string,
): Promise<string | undefined> {
  if (path === undefined) return given
  const content = path === '-' ? await readAll(process.stdin) : await read(path, flag)
  return content.split(/\r?\n/, 1)[0] || undefined
}

async function readAll(input: AsyncIterable<unknown>): Promise<string> {
  const chunks: string[] = []
  for await (const chunk of input) chunks.push(String(chunk))
  return chunks.join('')
}

async function read(path: string, flag: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new CommandError(`Cannot read ${path} for ${flag}: ${error instanceof Error ? error.message : String(error)}`)
  }
}
