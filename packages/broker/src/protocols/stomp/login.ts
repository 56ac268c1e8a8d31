import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { Proof } from '../../core/identity/identity.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import type { SessionContext } from '../protocol.ts'
import { StompError } from './errors.ts'
import { shown, versions, type Headers, type Version } from './headers.ts'

/** Three parts with dots between them. [RFC 7515, 3.1] */
const tokenForm = /^[\w-]+\.[\w-]+\.[\w-]+$/
const bearer = 'OAUTHBEARER'
const title = 'Bad CONNECT'

/** Who has connected. */
export interface Known {
  readonly user: string
  readonly proof: Proof
  /** Wall clock at which the proof is no longer worth anything. */
  readonly expiresMs: number | undefined
}

/** The newest version that both know; a client that names none knows the oldest. Throws `StompError`. [STOMP-1.2, Protocol Negotiation] */
export function agreedVersion(headers: Headers): Version {
  const accepted = headers.get('accept-version')
  if (accepted === undefined) return '1.0'
  const names = accepted.split(',').map(name => name.trim())
  const found = versions.find(version => names.includes(version))
  if (found) return found
  const supported = versions.toReversed().join(',')
  throw new StompError('Version mismatch', `Supported versions are ${supported}`, { version: supported })
}

/**
 * The namespace that a client asks for. The name of a host is none: clients that know no virtual hosts send the one that they have connected to.
 * [STOMP-1.2, CONNECT]
 */
export function namespaceOf({ namespaces }: Broker, host: string | undefined): string {
  if (host === undefined || host === '') return homeNamespace
  if (namespaces.has(host)) return host
  if (!host.startsWith('/')) return homeNamespace
  throw new StompError(title, `There is no virtual host ${shown(host)}`)
}

/** Who the client is. Rejects with `StompError` when it has not proved it, which can take a while. */
export async function login(broker: Broker, context: SessionContext, headers: Headers): Promise<Known> {
  const { identity } = broker
  const user = headers.get('login') ?? ''
  const passcode = headers.get('passcode') ?? ''
  const { subject } = context.tls ?? {}
  if (user === '' && passcode === '' && subject !== undefined) {
    return { user: identity.certificateName(subject), proof: 'certificate', expiresMs: undefined }
  }
  // Nobody must log in, and there is no such user: whoever comes is let in under the name that they give.
  if (!identity.isRequired && identity.user(user) === undefined) {
    return { user: user === '' ? anonymous : user, proof: 'none', expiresMs: undefined }
  }
  const isToken = identity.mechanisms.includes(bearer) && tokenForm.test(passcode) && !identity.user(user)
  const data = isToken ? `n,,\u0001auth=Bearer ${passcode}\u0001\u0001` : `\0${user}\0${passcode}`
  const mechanism = isToken ? bearer : 'PLAIN'
  const step = await identity.exchange(mechanism, context.remote.host).next(Buffer.from(data))
  identity.attempts.note('stomp', step.kind === 'success')
  if (step.kind === 'success') {
    return { user: step.principal, proof: isToken ? 'token' : 'password', expiresMs: step.expiresMs }
  }
  const { remote } = context
  context.log('info', 'Login refused', { remote, reason: step.kind === 'failure' ? step.reason : 'the token is none' })
  await new Promise<void>(resolve => context.clock.after(identity.guesses.wrong(remote.host), resolve))
  throw new StompError(title, `Access refused for user ${shown(user)}`)
}

/** What the client may do. Throws `StompError` when it may not enter the namespace, or too many have. */
export function enter(
  { identity, namespaces, connections }: Broker,
  known: Known,
  namespace: string,
  host: string,
): Access {
  const principal = known.proof === 'none' ? anonymous : known.user
  const access = identity.access(principal, known.proof, host)
  if (!identity.inNamespace(access, namespace).mayEnter()) {
    throw new StompError(title, `Virtual host ${shown(namespace)} access denied for user ${shown(known.user)}`)
  }
  const namespaceMax = namespaces.limitOf(namespace, 'connections')
  if (namespaceMax !== undefined && connections.count({ namespace }) >= namespaceMax) {
    throw new StompError(title, `Virtual host ${shown(namespace)} has ${namespaceMax} connections, which is its limit`)
  }
  const userMax = identity.user(known.user)?.limits?.get('connections')
  if (userMax !== undefined && connections.count({ user: known.user }) >= userMax) {
    throw new StompError(title, `User ${shown(known.user)} has ${userMax} connections, which is its limit`)
  }
  return access
}
