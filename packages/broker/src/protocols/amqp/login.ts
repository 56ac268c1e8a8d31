import type { SessionContext } from '../protocol.ts'
import type { Broker } from '../../core/broker.ts'
import type { Proof } from '../../core/identity/identity.ts'
import { AmqpException } from './errors.ts'

/** Timers look again after this. */
const waitMsMax = 24 * 3_600_000

/** Who has logged in, and how that is known. */
export interface Known {
  readonly user: string
  readonly proof: Proof
  /** Wall clock at which the proof is no longer worth anything. */
  readonly expiresMs: number | undefined
}

/** A login in the course of time: it may end, and be prolonged by a new secret. */
export class Login {
  readonly #broker: Broker
  readonly #context: SessionContext
  readonly #expired: () => void
  #known: Known
  #cancel: (() => void) | undefined

  /** `expired` is called once, when the proof is no longer worth anything. */
  constructor(broker: Broker, context: SessionContext, known: Known, expired: () => void) {
    this.#broker = broker
    this.#context = context
    this.#known = known
    this.#expired = expired
    this.#begin()
  }

  stop(): void {
    this.#cancel?.()
  }

  /** A new password or token of the same user. Rejects with `AmqpException` when it is none. */
  async update(secret: Buffer): Promise<void> {
    const { user, proof } = this.#known
    let expiresMs: number | undefined
    if (proof === 'token') expiresMs = await this.#checkToken(secret)
    else if (proof === 'password' && !(await this.#isPassword(user, secret))) throw refused()
    this.#known = { user, proof, expiresMs }
    this.#begin()
  }

  /** Where logins do not end, there is nothing to prolong, and any secret will do: as RabbitMQ has it. */
  async #isPassword(user: string, secret: Buffer): Promise<boolean> {
    const { identity } = this.#broker
    return identity.settings.sessionMs === 0 || identity.checkPassword(user, secret.toString())
  }

  async #checkToken(token: Buffer): Promise<number | undefined> {
    const exchange = this.#broker.identity.exchange('OAUTHBEARER', this.#context.remote.host)
    const step = await exchange.next(Buffer.from(`n,,\u0001auth=Bearer ${token.toString()}\u0001\u0001`))
    if (step.kind !== 'success' || step.principal !== this.#known.user) throw refused()
    return step.expiresMs
  }

  #begin(): void {
    this.#cancel?.()
    const { clock } = this.#context
    const { sessionMs } = this.#broker.identity.settings
    const { expiresMs, proof } = this.#known
    const left = expiresMs === undefined ? Infinity : Math.max(0, expiresMs - clock.nowMs())
    const lifetimeMs = Math.min(left, sessionMs === 0 || proof === 'none' ? Infinity : sessionMs)
    if (lifetimeMs !== Infinity) this.#waitUntil(clock.monotonicMs() + lifetimeMs)
  }

  #waitUntil(endMs: number): void {
    const left = endMs - this.#context.clock.monotonicMs()
    if (left <= 0) return this.#expired()
    this.#cancel = this.#context.clock.after(Math.min(left, waitMsMax), () => this.#waitUntil(endMs))
  }
}

const refused = (): AmqpException => new AmqpException('notAllowed', 'New secret was refused by one of the backends')
