import { request as plainRequest, type IncomingMessage } from 'node:http'
import { request as secureRequest } from 'node:https'
import { choice, hostPort, showHostPort, text, toggle, type HostPort } from '@dragoman/broker/options'
import { brokerOptions, readPassword, tlsOf, type BrokerTarget } from './broker-options.ts'
import { CommandError, option, repeated } from './command.ts'
import { assignment } from './settings.ts'

const managementDefault: HostPort = { host: '127.0.0.1', port: 15672 }
const answerMsMax = 60_000
const guest = 'guest'

const { user, password, passwordFile, tls, tlsCa, tlsCert, tlsKey, tlsUnchecked } = brokerOptions

/** The flags of commands that ask the broker's management API. */
export const managementOptions = {
  management: option(hostPort, managementDefault, 'The management API of the broker.', 'DRAGOMAN_MANAGEMENT'),
  namespace: option(text('NAME', 'a name'), '/', 'Namespace (virtual host) of what is named.', 'DRAGOMAN_NAMESPACE'),
  user,
  password,
  passwordFile,
  tls,
  tlsCa,
  tlsCert,
  tlsKey,
  tlsUnchecked,
}

export const jsonOption = { json: option(toggle, false, 'Print JSON.') }

/** Arguments as clients give them: whole numbers, true and false are that, all else is text. */
export const argumentOptions = {
  argument: repeated(assignment, 'An argument, like x-message-ttl=60000.'),
}

/** The name of an exchange as the API has it: that of the default exchange is not empty there. */
export const exchangePath = (name: string | undefined): string =>
  name === undefined || name === '' ? 'amq.default' : name

export const queueTypes = choice('classic', 'quorum', 'stream')

export interface ManagementTarget extends Omit<BrokerTarget, 'broker' | 'mechanism' | 'token'> {
  readonly management?: HostPort | undefined
  readonly namespace: string
}

/** What the API answers with: objects of JSON. */
export type Item = Readonly<Record<string, unknown>>

/** The management API of a broker. Methods reject with `CommandError`. */
export class Management {
  readonly namespace: string
  readonly #target: ManagementTarget
  readonly #address: HostPort
  readonly #tls: Awaited<ReturnType<typeof tlsOf>>
  readonly #authorization: string

  static async open(target: ManagementTarget): Promise<Management> {
    const given = await readPassword(target.password, target.passwordFile, '--password-file')
    return new Management(target, await tlsOf(target), given)
  }

  private constructor(target: ManagementTarget, secure: Awaited<ReturnType<typeof tlsOf>>, given: string | undefined) {
    this.#target = target
    this.#address = target.management ?? managementDefault
    this.#tls = secure
    this.namespace = target.namespace
    const login = `${target.user ?? guest}:${given ?? guest}`
    this.#authorization = `Basic ${Buffer.from(login).toString('base64')}`
  }

  /** A path within the namespace: `queues`, NAMESPACE, and the names behind it. */
  async list(kind: string, ...names: string[]): Promise<Item[]> {
    return (await this.ask('GET', [kind, this.namespace, ...names])) as Item[]
  }

  async get(kind: string, ...names: string[]): Promise<Item> {
    return (await this.ask('GET', [kind, this.namespace, ...names])) as Item
  }

  async put(kind: string, names: readonly string[], body: Item): Promise<void> {
    await this.ask('PUT', [kind, this.namespace, ...names], body)
  }

  /** `kind` may be a path of its own. */
  async post(kind: string, names: readonly string[], body: Item): Promise<unknown> {
    return this.ask('POST', [kind, this.namespace, ...names], body)
  }

  async remove(kind: string, names: readonly string[], query: Readonly<Record<string, string>> = {}): Promise<unknown> {
    return this.ask('DELETE', [kind, this.namespace, ...names], undefined, query)
  }

  /** `path` is written behind `/api/`, each part but the first escaped. */
  async ask(
    method: string,
    path: readonly string[],
    body?: Item,
    query: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    const search = new URLSearchParams(query).toString()
    const [kind = '', ...names] = path
    const target = `/api/${[kind, ...names.map(encodeURIComponent)].join('/')}${search && `?${search}`}`
    const { status, content } = await this.#send(method, target, body === undefined ? undefined : JSON.stringify(body))
    if (status >= 200 && status < 300) return content === '' ? undefined : (JSON.parse(content) as unknown)
    throw new CommandError(this.#explain(status, content, path))
  }

  #send(method: string, path: string, body: string | undefined): Promise<{ status: number; content: string }> {
    const { host, port } = this.#address
    const headers: Record<string, string | number> = { authorization: this.#authorization }
    if (body !== undefined) {
      headers['content-type'] = 'application/json'
      headers['content-length'] = Buffer.byteLength(body)
    }
    const options = { host, port, method, path, headers, timeout: answerMsMax, agent: false }
    return new Promise((resolve, reject) => {
      const answered = (message: IncomingMessage): void => {
        const chunks: Buffer[] = []
        message.on('data', (chunk: Buffer) => chunks.push(chunk))
        message.on('error', failed)
        message.on('end', () => resolve({ status: message.statusCode ?? 0, content: Buffer.concat(chunks).toString() }))
      }
      const failed = (error: Error): void => reject(new CommandError(this.#unreachable(error)))
      const secure = this.#tls
      const request = secure
        ? secureRequest(
            { ...options, ca: secure.ca, ...secure.identity, rejectUnauthorized: !secure.isUnchecked },
            answered,
          )
        : plainRequest(options, answered)
      request.on('error', failed)
      request.on('timeout', () => request.destroy(new Error('it does not answer')))
      request.end(body)
    })
  }

  #unreachable(error: Error): string {
    const where = showHostPort(this.#address)
    return `Cannot reach a broker's management API at ${where}: ${error.message}. Is it running? --management HOST:PORT names another one`
  }

  #explain(status: number, content: string, path: readonly string[]): string {
    const { reason, error } = reasonOf(content)
    if (status === 404 && reason === 'Not Found') return absent(path)
    if (status === 401) {
      const name = this.#target.user ?? guest
      return `The broker does not let ${name} in: ${reason ?? 'wrong name or password'}. --user and --password-file say who asks`
    }
    return reason ?? error ?? `The broker answers with status ${status}`
  }
}

const kinds: Readonly<Record<string, string>> = {
  queues: 'queue',
  exchanges: 'exchange',
  policies: 'policy',
  'operator-policies': 'operator policy',
  'parameters/feed': 'feed',
  'dragoman/queues': 'queue',
  'dragoman/schedules': 'schedule',
  'dragoman/delayed': 'delayed message',
}

/** What is not there: the API says no more than that it is not. */
function absent([kind = '', namespace = '', name]: readonly string[]): string {
  if (name === undefined) return `There is no namespace "${namespace}"`
  return `There is no ${kinds[kind] ?? kind} "${name}" in the namespace "${namespace}"`
}

function reasonOf(content: string): { reason: string | undefined; error: string | undefined } {
  try {
    const { reason, error } = JSON.parse(content) as Item
    return { reason: textOrNothing(reason), error: textOrNothing(error) }
  } catch {
    return { reason: undefined, error: undefined }
  }
}

const textOrNothing = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

/** Arguments of the command line as the API takes them. */
export function argumentsOf(given: readonly (readonly [string, string])[]): Item {
  return Object.fromEntries(given.map(([name, value]) => [name, valueOf(value)]))
}

export function valueOf(value: string): unknown {
  if (/^-?\d{1,15}$/.test(value)) return Number(value)
  if (value === 'true' || value === 'false') return value === 'true'
  return value
}

/** A field for a cell of a table: nothing is an empty text. */
export function cell(value: unknown): string | number {
  if (typeof value === 'number') return value
  if (value === undefined || value === null) return ''
  if (typeof value === 'boolean') return value ? 'yes' : ''
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(cell).join(', ')
  return Object.entries(value)
    .map(([name, of]) => `${name}=${typeof of === 'object' ? JSON.stringify(of) : String(of)}`)
    .join(' ')
}
