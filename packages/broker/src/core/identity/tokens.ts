import {
  claimProblem,
  isSignedBy,
  parseKeySet,
  parseToken,
  principalOf,
  type SigningKey,
  type TokenRules,
} from './jwt.ts'
import type { TokenOwner } from './sasl/bearer.ts'

export interface TokensOptions extends TokenRules {
  /** Brings the key set as it is now: a file, or what an address answers. */
  fetchKeys(): Promise<string>
  clock: { nowMs(): number; monotonicMs(): number }
  /** The machine's time of day, even when the broker does not follow it: those who issue tokens have theirs. */
  wallMs(): number
  log(level: 'info' | 'warn', message: string, fields?: Record<string, unknown>): void
}

/** A key set is asked for again at most this often, however many tokens name a key that is not in it. */
const refreshMsMin = 10_000
/** Keys that were taken back are forgotten after this time. */
const refreshMsMax = 3600_000

/** Checks tokens against the keys of those who may issue them. The keys are brought anew when a token names one that is not there. */
export class Tokens {
  readonly #options: TokensOptions
  #keys: readonly SigningKey[] = []
  #fetchedMs = -Infinity
  #triedMs = -Infinity
  #fetching: Promise<void> | undefined

  constructor(options: TokensOptions) {
    this.#options = options
  }

  /** Brings the keys. Rejects when that fails. */
  async open(): Promise<void> {
    this.#keys = parseKeySet(await this.#options.fetchKeys())
    this.#fetchedMs = this.#triedMs = this.#options.clock.monotonicMs()
    if (this.#keys.length === 0) this.#options.log('warn', 'The key set has no key with which tokens can be checked')
  }

  async check(token: string): Promise<TokenOwner | { readonly problem: string }> {
    const parsed = parseToken(token)
    if ('problem' in parsed) return parsed
    const { clock } = this.#options
    const isOld = clock.monotonicMs() - this.#fetchedMs > refreshMsMax
    if (isOld || this.#candidates(parsed.keyId).length === 0) await this.#refresh()
    if (!this.#candidates(parsed.keyId).some(key => isSignedBy(parsed, key))) {
      return { problem: 'its signature is not one of the known keys' }
    }
    const wallMs = this.#options.wallMs()
    const problem = claimProblem(parsed.claims, this.#options, wallMs)
    if (problem !== undefined) return { problem }
    const expiresMs = clock.nowMs() + Number(parsed.claims.exp) * 1000 - wallMs
    return { principal: principalOf(parsed.claims, this.#options) ?? '', expiresMs }
  }

  #candidates(keyId: string | undefined): readonly SigningKey[] {
    return keyId === undefined ? this.#keys : this.#keys.filter(({ id }) => id === keyId || id === undefined)
  }

  async #refresh(): Promise<void> {
    const now = this.#options.clock.monotonicMs()
    if (this.#fetching === undefined && now - this.#triedMs < refreshMsMin) return
    this.#triedMs = now
    this.#fetching ??= this.open()
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        this.#options.log('warn', 'The keys of tokens could not be brought; those from before are used', { reason })
      })
      .finally(() => (this.#fetching = undefined))
    await this.#fetching
  }
}
