import type { Access } from '../../core/identity/authorizer.ts'
import type { Identity, Proof } from '../../core/identity/identity.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import type { SaslExchange, SaslMechanism, SaslStep } from '../../core/identity/sasl/mechanism.ts'
import type { SessionContext } from '../protocol.ts'
import { codes } from './errors.ts'
import { apis } from './messages/index.ts'

/** A stranger need not send more at a time. */
const strangerFrameBytesMax = 512 * 1024
/** Frames of a request have a header of so many bytes; bare messages of SASL have none. */
const headerBytes = 8

type State =
  /** Nothing but logging in is taken. */
  | { kind: 'stranger' }
  /** The way to log in is chosen. Whoever was known before still is. */
  | { kind: 'proving'; mechanism: SaslMechanism; exchange: SaslExchange; isBare: boolean }
  | { kind: 'known' }
  /** A message of SASL is being looked at, which can take a moment. */
  | { kind: 'busy'; isBare: boolean }
  /** Nothing is listened to any more; the answer may still be held back. */
  | { kind: 'failed' }

interface Known {
  readonly access: Access
  /** How the client has logged in; undefined when it did not have to. */
  readonly mechanism: SaslMechanism | undefined
  /** On the monotonic clock. */
  readonly expiresMs: number
}

/** What the client is told at the end of a step. */
export type Step = SaslStep & { readonly sessionLifetimeMs: number }

/**
 * Who a connection speaks for.
 *
 *   stranger --SaslHandshake--> proving --SaslAuthenticate (or bare messages)--> known --SaslHandshake--> proving ...
 *
 * What fails is over for the connection. Where nobody must log in, and with a certificate of the client, it is known from the start.
 */
export class Authentication {
  readonly #identity: Identity
  readonly #context: SessionContext
  readonly #limits: { frameBytesMax: number; frameBytesMin: number }
  #state: State = { kind: 'known' }
  #known: Known
  #cancelTimeout: (() => void) | undefined

  /** `giveUp` is called when a stranger takes too long. */
  constructor(identity: Identity, context: SessionContext, giveUp: () => void) {
    this.#identity = identity
    this.#context = context
    const { limits, tls } = context
    this.#limits = { frameBytesMax: limits.frameBytesMax, frameBytesMin: headerBytes }
    limits.frameBytesMin = headerBytes
    const subject = tls?.subject === undefined ? undefined : identity.certificateName(tls.subject)
    this.#known = this.#as(subject ?? anonymous, subject === undefined ? 'none' : 'certificate')
    if (subject !== undefined || !identity.isRequired) return
    this.#state = { kind: 'stranger' }
    limits.frameBytesMax = Math.min(limits.frameBytesMax, strangerFrameBytesMax)
    this.#cancelTimeout = context.clock.after(identity.settings.authenticationMs, giveUp)
  }

  get access(): Access {
    return this.#known.access
  }

  get isStranger(): boolean {
    return this.#cancelTimeout !== undefined
  }

  /** The next frame is a message of SASL without any header. */
  get takesBare(): boolean {
    return (this.#state.kind === 'proving' || this.#state.kind === 'busy') && this.#state.isBare
  }

  /** The login has failed: what the client still sends must not be looked at. */
  get hasFailed(): boolean {
    return this.#state.kind === 'failed'
  }

  /** Why a request cannot be taken now; undefined when it can. */
  objection(apiKey: number): string | undefined {
    if (this.isStranger && !openToStrangers.has(apiKey)) return 'The client has not said who it is'
    const { expiresMs } = this.#known
    if (expiresMs === Infinity || openToStrangers.has(apiKey)) return undefined
    return this.#context.clock.monotonicMs() < expiresMs ? undefined : 'The time of the login is over'
  }

  /** Chooses the way to log in. To be refused while a message is looked at. Anything but no error ends the connection, but where nobody can log in at all. */
  handshake(name: string, version: number): { errorCode: number; mechanisms: readonly SaslMechanism[] } {
    const { mechanisms } = this.#identity
    if (this.#state.kind === 'busy') return { errorCode: codes.illegalSaslState, mechanisms }
    const mechanism = mechanisms.find(known => known === name)
    if (mechanisms.length === 0) return { errorCode: codes.illegalSaslState, mechanisms }
    if (mechanism === undefined) return { errorCode: codes.unsupportedSaslMechanism, mechanisms }
    const { mechanism: before } = this.#known
    if (before !== undefined && before !== mechanism) return { errorCode: codes.illegalSaslState, mechanisms }
    const exchange = this.#identity.exchange(mechanism, this.#context.remote.host)
    const isBare = version === 0
    if (isBare) this.#context.limits.frameBytesMin = 0
    this.#state = { kind: 'proving', mechanism, exchange, isBare }
    return { errorCode: codes.none, mechanisms }
  }

  /** Takes a message of SASL. After a failure, whose answer is held back for `delayMs`, the connection must end. */
  async next(data: Buffer): Promise<{ step: Step; delayMs: number }> {
    const state = this.#state
    if (state.kind !== 'proving') return this.#fail('Authentication failed: there was no handshake')
    this.#state = { kind: 'busy', isBare: state.isBare }
    const step = await state.exchange.next(data)
    // One message at a time: who sends more at once wants to try more passwords than it has connections.
    if (this.#state.kind !== 'busy') return this.#fail('Authentication failed: messages must wait for their answers')
    if (step.kind === 'challenge') {
      this.#state = state
      return { step: { ...step, sessionLifetimeMs: 0 }, delayMs: 0 }
    }
    this.#identity.attempts.note('kafka', step.kind === 'success')
    if (step.kind === 'success') {
      const sessionLifetimeMs = this.#succeed(state.mechanism, step.principal, step.expiresMs)
      if (sessionLifetimeMs === undefined) return this.#fail('Authentication failed: a connection stays with its user')
      return { step: { ...step, sessionLifetimeMs }, delayMs: 0 }
    }
    this.#state = { kind: 'failed' }
    const { host } = this.#context.remote
    this.#context.log('info', 'Login refused', { remote: this.#context.remote, mechanism: state.mechanism })
    return { step: { ...step, sessionLifetimeMs: 0 }, delayMs: this.#identity.guesses.wrong(host) }
  }

  #fail(reason: string): { step: Step; delayMs: number } {
    this.#state = { kind: 'failed' }
    return { step: { kind: 'failure', reason, sessionLifetimeMs: 0 }, delayMs: 0 }
  }

  closed(): void {
    this.#cancelTimeout?.()
  }

  /** Milliseconds until the client must log in again, 0 for never; undefined when it was somebody else before. */
  #succeed(mechanism: SaslMechanism, principal: string, expiresMs: number | undefined): number | undefined {
    const { access: before, mechanism: earlier } = this.#known
    if (earlier !== undefined && before.principal !== principal) return undefined
    this.#cancelTimeout?.()
    this.#cancelTimeout = undefined
    const { limits, clock } = this.#context
    limits.frameBytesMax = this.#limits.frameBytesMax
    limits.frameBytesMin = this.#limits.frameBytesMin
    const proof = mechanism === 'OAUTHBEARER' ? 'token' : 'password'
    const { sessionMs } = this.#identity.settings
    const left = expiresMs === undefined ? Infinity : Math.max(1, expiresMs - clock.nowMs())
    const lifetimeMs = Math.min(left, sessionMs === 0 ? Infinity : sessionMs)
    this.#known = { ...this.#as(principal, proof), mechanism, expiresMs: clock.monotonicMs() + lifetimeMs }
    this.#state = { kind: 'known' }
    return lifetimeMs === Infinity ? 0 : Math.floor(lifetimeMs)
  }

  #as(principal: string, proof: Proof): Known {
    const { remote } = this.#context
    return {
      access: this.#identity.access(principal, proof, remote.host),
      mechanism: undefined,
      expiresMs: Infinity,
    }
  }
}

/** What may be asked by those who are not known yet, or no longer. */
const openToStrangers = new Set<number>([apis.apiVersions.key, apis.saslHandshake.key, apis.saslAuthenticate.key])
