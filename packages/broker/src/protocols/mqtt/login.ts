import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { Proof } from '../../core/identity/identity.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import type { SaslExchange, SaslMechanism, SaslStep } from '../../core/identity/sasl/mechanism.ts'
import type { SessionContext } from '../protocol.ts'
import { PacketError } from './errors.ts'
import type { Connect } from './messages.ts'
import { reasons } from './reasons.ts'

/** Who has logged in, where to, and how that is known. */
export interface Known {
  readonly user: string
  readonly proof: Proof
  readonly namespace: string
  readonly access: Access
  /** Wall clock at which the proof is no longer worth anything. */
  readonly expiresMs: number | undefined
}

const bearer = 'OAUTHBEARER'
/** Three parts with dots between them. [RFC 7515, 3.1] */
const tokenForm = /^[\w-]+\.[\w-]+\.[\w-]+$/

type Parts = Pick<Known, 'user' | 'proof' | 'expiresMs'>

/** How one connection says who it is: by name and password, by a certificate, or by a mechanism of AUTH packets. */
export class Login {
  readonly #broker: Broker
  readonly #context: SessionContext
  #exchange: SaslExchange | undefined
  #method = ''

  constructor(broker: Broker, context: SessionContext) {
    this.#broker = broker
    this.#context = context
  }

  /** Undefined for who has begun none. */
  get method(): string | undefined {
    return this.#method === '' ? undefined : this.#method
  }

  /** By what CONNECT says. Rejects with `PacketError`. */
  async byPassword({ username, password }: Connect): Promise<Known> {
    const { identity, namespaces } = this.#broker
    const { tls } = this.#context
    if (username === undefined || username === '') {
      if (tls?.subject !== undefined && username === undefined) {
        const user = identity.certificateName(tls.subject)
        return this.#enter({ user, proof: 'certificate', expiresMs: undefined }, homeNamespace)
      }
      if (identity.isRequired) throw new PacketError(reasons.notAuthorized, 'A user name is needed')
      return this.#enter({ user: anonymous, proof: 'none', expiresMs: undefined }, homeNamespace)
    }
    const at = username.lastIndexOf(':')
    const isQualified = at > 0 && identity.user(username) === undefined && namespaces.has(username.slice(0, at))
    const namespace = isQualified ? username.slice(0, at) : homeNamespace
    const user = isQualified ? username.slice(at + 1) : username
    return this.#enter(await this.#check(user, password ?? Buffer.alloc(0)), namespace)
  }

  async #check(user: string, password: Buffer): Promise<Parts> {
    const { identity } = this.#broker
    const isKnown = identity.user(user) !== undefined
    // Nobody must log in, and there is no such user: whoever comes is let in under the name that they give.
    if (!identity.isRequired && !isKnown) return { user, proof: 'none', expiresMs: undefined }
    const text = password.toString()
    const isToken = !isKnown && identity.mechanisms.includes(bearer) && tokenForm.test(text)
    const data = isToken ? `n,,\u0001auth=Bearer ${text}\u0001\u0001` : `\0${user}\0${text}`
    const exchange = identity.exchange(isToken ? bearer : 'PLAIN', this.#context.remote.host)
    const step = user.includes('\0') ? undefined : await exchange.next(Buffer.from(data))
    identity.attempts.note('mqtt', step?.kind === 'success')
    if (step?.kind !== 'success') {
      await this.#slowly(step?.kind === 'failure' ? step.reason : 'The credentials are wrong')
      throw new PacketError(reasons.badCredentials, 'The user name or the password is wrong')
    }
    return { user: step.principal, proof: isToken ? 'token' : 'password', expiresMs: step.expiresMs }
  }

  /** Whether there is such a mechanism; its first data may be given. [MQTT 5.0, 4.12] */
  begin(method: string): void {
    const { identity } = this.#broker
    const mechanism = identity.mechanisms.find(each => each === method)
    if (mechanism === undefined) throw new PacketError(reasons.badMethod, 'There is no such authentication method')
    this.#method = method
    this.#exchange = identity.exchange(mechanism satisfies SaslMechanism, this.#context.remote.host)
  }

  /** What to say next, or who it is. Rejects with `PacketError`. */
  async next(data: Buffer): Promise<{ data: Buffer; known: Known | undefined }> {
    const exchange = this.#exchange
    if (!exchange) throw new PacketError(reasons.protocolError, 'There is nothing to authenticate')
    const step: SaslStep = await exchange.next(data)
    const { identity } = this.#broker
    if (step.kind === 'challenge') return { data: step.data, known: undefined }
    this.#exchange = undefined
    identity.attempts.note('mqtt', step.kind === 'success')
    if (step.kind === 'failure') {
      await this.#slowly(step.reason)
      throw new PacketError(reasons.notAuthorized, step.reason)
    }
    const proof = this.#method === bearer ? 'token' : 'password'
    const { principal: user, expiresMs } = step
    return { data: step.data, known: this.#enter({ user, proof, expiresMs }, homeNamespace) }
  }

  #slowly(reason: string): Promise<void> {
    const { remote, clock, log } = this.#context
    log('info', 'Login refused', { remote, reason })
    return new Promise(resolve => clock.after(this.#broker.identity.guesses.wrong(remote.host), resolve))
  }

  #enter({ user, proof, expiresMs }: Parts, namespace: string): Known {
    const { identity, namespaces, connections } = this.#broker
    const principal = proof === 'none' ? anonymous : user
    const access = identity.access(principal, proof, this.#context.remote.host)
    if (!namespaces.has(namespace) || !identity.inNamespace(access, namespace).mayEnter()) {
      throw new PacketError(reasons.notAuthorized, 'The namespace may not be entered')
    }
    const namespaceMax = namespaces.limitOf(namespace, 'connections')
    const userMax = identity.user(user)?.limits?.get('connections')
    const isFull =
      (namespaceMax !== undefined && connections.count({ namespace }) >= namespaceMax) ||
      (userMax !== undefined && connections.count({ user }) >= userMax)
    if (isFull) throw new PacketError(reasons.quotaExceeded, 'There are as many connections as there may be')
    return { user, proof, namespace, access, expiresMs }
  }
}
