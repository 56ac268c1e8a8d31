import type { Broker } from '../../core/broker.ts'
import { anonymous, clusterName } from '../../core/identity/permissions.ts'
import type { SessionContext } from '../../protocols/protocol.ts'
import { jsonAnswer, type Answer, type Request } from '../http/message.ts'
import type { Site } from '../http/session.ts'
import { Call, isAdministrator, isMonitor, isPolicymaker, mayVisit, type Visitor } from './call.ts'
import { answerToError, notAuthorised, notFound } from './errors.ts'
import { guest, hasGuest } from './guest.ts'
import { Result, type Need, type Route } from './route.ts'
import { routes } from './routes.ts'
import type { State } from './state.ts'

const credentialsBytesMax = 8192
/** How the attempts to log in are counted. */
const protocolName = 'http'

interface Compiled {
  readonly route: Route
  readonly parts: readonly string[]
}

/** Serves the management API, health and metrics, for all listeners of one broker. */
export class ManagementSite implements Site<Visitor> {
  readonly #core: Broker
  readonly #state: State
  /** By the number of parts of the path. */
  readonly #routes = new Map<number, Compiled[]>()

  constructor(core: Broker, state: State) {
    this.#core = core
    this.#state = state
    for (const route of routes) {
      const parts = route.path.split('/').slice(1)
      const same = this.#routes.get(parts.length)
      if (same) same.push({ route, parts })
      else this.#routes.set(parts.length, [{ route, parts }])
    }
  }

  async admit(
    request: Request,
    context: SessionContext,
  ): Promise<{ visitor: Visitor } | { answer: Answer; holdMs: number }> {
    const { identity } = this.#core
    const { host } = context.remote
    const found = this.#find(request)
    if (!found || found.route.need === 'nothing' || request.method === 'OPTIONS') {
      return { visitor: { name: anonymous, tags: [], access: identity.access(anonymous, 'none', host) } }
    }
    const given = request.headers.get('authorization')
    if (given === undefined) {
      const certified = this.#certified(context)
      return certified ? { visitor: certified } : { answer: unknownVisitor('Login failed'), holdMs: 0 }
    }
    const visitor = await this.#visitor(given, host)
    identity.attempts.note(protocolName, visitor !== undefined)
    if (visitor) return { visitor }
    return { answer: unknownVisitor('Login failed'), holdMs: identity.guesses.wrong(host) }
  }

  async serve(request: Request, body: Buffer, visitor: Visitor, context: SessionContext): Promise<Answer> {
    try {
      return await this.#serve(request, body, visitor, context)
    } catch (error) {
      return answerToError(error)
    }
  }

  async #serve(request: Request, body: Buffer, visitor: Visitor, context: SessionContext): Promise<Answer> {
    const found = this.#find(request)
    if (!found) throw notFound()
    const { route, path, query } = found
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const allowed = { allow: [...Object.keys(route.on), ...('GET' in route.on ? ['HEAD'] : []), 'OPTIONS'].join(', ') }
    if (method === 'OPTIONS') return { status: 200, headers: allowed }
    const handler = route.on[method as keyof Route['on']]
    if (!handler) return { status: 405, headers: allowed }
    const call = new Call({ core: this.#core, state: this.#state, visitor, context, request, query, body }, path)
    check(route.need, call)
    const result = await handler(call)
    if (result instanceof Result) return result.answer
    const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache' }
    return { status: 200, headers, body: await textOf(result, call) }
  }

  #find({ target }: Request): { route: Route; path: ReadonlyMap<string, string>; query: URLSearchParams } | undefined {
    const mark = target.indexOf('?')
    const text = mark < 0 ? target : target.slice(0, mark)
    const given = partsOf(text.replace(/^https?:\/\/[^/]*/, ''))
    for (const { route, parts } of (given && this.#routes.get(given.length)) ?? []) {
      const path = match(parts, given ?? [])
      if (path) return { route, path, query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)) }
    }
    return undefined
  }

  async #visitor(given: string, host: string): Promise<Visitor | undefined> {
    const [, scheme = '', rest = ''] = /^(\S+) +(\S+)$/.exec(given) ?? []
    if (rest.length > credentialsBytesMax) return undefined
    if (scheme.toLowerCase() === 'bearer') return this.#bearer(rest, host)
    if (scheme.toLowerCase() !== 'basic') return undefined
    const { identity } = this.#core
    const text = Buffer.from(rest, 'base64').toString()
    const colon = text.indexOf(':')
    if (colon < 0) return undefined
    const [name, password] = [text.slice(0, colon), text.slice(colon + 1)]
    if (hasGuest(identity) && name === guest.name && password === guest.password) {
      return { name, tags: ['administrator'], access: identity.access(anonymous, 'none', host) }
    }
    if (password === '' || !(await identity.checkPassword(name, password))) return undefined
    return { name, tags: identity.tagsOf(name), access: identity.access(name, 'password', host) }
  }

  async #bearer(token: string, host: string): Promise<Visitor | undefined> {
    const { identity } = this.#core
    if (!identity.mechanisms.includes('OAUTHBEARER')) return undefined
    const message = Buffer.from(`n,,\u0001auth=Bearer ${token}\u0001\u0001`)
    const step = await identity.exchange('OAUTHBEARER', host).next(message)
    if (step.kind !== 'success') return undefined
    return this.#named(step.principal, 'token', host)
  }

  /** Who has shown a certificate need say nothing more. */
  #certified({ tls, remote }: SessionContext): Visitor | undefined {
    if (tls?.subject === undefined) return undefined
    return this.#named(this.#core.identity.certificateName(tls.subject), 'certificate', remote.host)
  }

  /** Somebody without a password here: super users look after the broker, and nobody else has tags. */
  #named(name: string, proof: 'token' | 'certificate', host: string): Visitor {
    const { identity } = this.#core
    const access = identity.access(name, proof, host)
    const isSuper = access.may('alter', 'cluster', clusterName)
    return { name, tags: isSuper ? ['administrator'] : [], access }
  }
}

/** Items of a list that are written in one turn. */
const writtenAtOnce = 200

/** As JSON; of a long list piece by piece, so that others have their turn. */
async function textOf(value: unknown, call: Call): Promise<string> {
  if (!Array.isArray(value) || value.length <= writtenAtOnce) return JSON.stringify(value)
  const texts: string[] = []
  for (let at = 0; at < value.length; at += writtenAtOnce) {
    if (at > 0) await call.pause()
    texts.push(JSON.stringify(value.slice(at, at + writtenAtOnce)).slice(1, -1))
  }
  return `[${texts.join(',')}]`
}

/** Undefined: the path cannot be read. */
function partsOf(path: string): string[] | undefined {
  const parts = path.split('/').slice(1)
  // A slash at the end changes nothing.
  if (parts.length > 1 && parts.at(-1) === '') parts.pop()
  try {
    return parts.map(decodeURIComponent)
  } catch {
    return undefined
  }
}

function match(parts: readonly string[], given: readonly string[]): ReadonlyMap<string, string> | undefined {
  const path = new Map<string, string>()
  for (const [index, part] of parts.entries()) {
    const text = given[index] ?? ''
    if (part.startsWith(':')) path.set(part.slice(1), text)
    else if (part !== text) return undefined
  }
  return path
}

function unknownVisitor(reason: string): Answer {
  const answer = jsonAnswer(401, { error: 'not_authorized', reason })
  return { ...answer, headers: { ...answer.headers, 'www-authenticate': 'Basic realm="Dragoman management"' } }
}

/** Throws `Refusal`. */
function check(need: Need, call: Call): void {
  const { visitor } = call
  if (need === 'nothing') return
  if (!mayVisit(visitor)) throw notAuthorised('Not management user')
  switch (need) {
    case 'management':
      return
    case 'administrator':
      if (!isAdministrator(visitor)) throw notAuthorised('Not administrator user')
      return
    case 'monitoring':
      if (!isMonitor(visitor)) throw notAuthorised('Not monitor user')
      return
    case 'vhost':
      return checkVhost(call)
    case 'policymaker':
      if (!isPolicymaker(visitor)) throw notAuthorised('User not authorised to access object')
      return checkVhost(call)
  }
}

/** Administrators see all namespaces; those who monitor see what is there, and change nothing. */
function checkVhost(call: Call): void {
  const { visitor, request } = call
  if (!call.has('vhost') || isAdministrator(visitor)) return
  const reads = request.method === 'GET' || request.method === 'HEAD'
  if (reads && isMonitor(visitor)) return
  if (!call.inVhost(call.param('vhost')).mayEnter()) {
    throw notAuthorised('User not authorised to access virtual host')
  }
}
