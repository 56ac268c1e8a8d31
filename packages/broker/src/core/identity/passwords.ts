import { createHmac } from 'node:crypto'
import { matchesHash, type PasswordHash } from './hashes.ts'
import type { User } from './machine.ts'
import { checkPassword, same, type Credential } from './scram.ts'

/** Each check takes a thread of those that also serve the disk. */
const checksMax = 2
const rememberedMax = 10_000

/**
 * Checks passwords against what is kept for SCRAM, a few at a time. A password that was right is remembered, as a digest that is
 * worth nothing outside this process, so that a client that connects often costs one hash.
 */
export class Passwords {
  readonly #secret: Buffer
  /** No password fits it: a stranger's password costs as much time as a user's. */
  readonly #nobody: Credential
  readonly #right = new Map<string, { credential: Credential | PasswordHash; digest: Buffer }>()
  #checks = 0
  readonly #waiting: (() => void)[] = []

  constructor(secret: Buffer, nobody: Credential) {
    this.#secret = secret
    this.#nobody = nobody
  }

  async check(user: User | undefined, password: string): Promise<boolean> {
    const [own] = user?.credentials.values() ?? []
    const credential = own ?? user?.hash ?? this.#nobody
    const digest = createHmac('sha256', this.#secret).update(password).digest()
    const known = user && this.#right.get(user.name)
    if (known?.credential === credential && same(known.digest, digest)) return true
    const isRight = await this.#turn(() => this.#isRight(credential, password))
    if (!isRight || user === undefined || credential === this.#nobody) return false
    if (this.#right.size >= rememberedMax) this.#right.clear()
    this.#right.set(user.name, { credential, digest })
    return true
  }

  async #isRight(credential: Credential | PasswordHash, password: string): Promise<boolean> {
    if ('mechanism' in credential) return checkPassword(credential, password)
    // A quick hash must not tell how a password is kept.
    await checkPassword(this.#nobody, password)
    return matchesHash(credential, password)
  }

  async #turn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#checks >= checksMax) await new Promise<void>(resolve => this.#waiting.push(resolve))
    else this.#checks++
    try {
      return await run()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#checks--
      else next()
    }
  }
}
