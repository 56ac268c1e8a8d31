import { empty, failure, type SaslExchange, type SaslStep } from './mechanism.ts'

/** Far above what tokens have; below it nothing is looked at. */
const messageBytesMax = 128 * 1024

/** Header of GS2, then pairs, each with `separator` behind it, and one more separator. */
const header = /^(n|y|p=[^,]*),(?:a=([^,]*))?,$/
const separator = '\u0001'
const bearer = /^[Bb]earer +([A-Za-z0-9._~+/=-]+)$/

export interface TokenOwner {
  readonly principal: string
  readonly expiresMs: number
}

/** Resolves with whom the token is for, or with why it is not taken; never with anything of the token itself. */
export type CheckToken = (token: string) => Promise<TokenOwner | { readonly problem: string }>

/**
 * OAUTHBEARER (RFC 7628): a token that somebody else has signed.
 *
 * A client whose token is refused is told by a challenge, must answer it with one byte, and is then sent away.
 */
export class BearerExchange implements SaslExchange {
  readonly #check: CheckToken
  readonly #refused: (problem: string) => void
  #problem: string | undefined

  constructor(check: CheckToken, refused: (problem: string) => void) {
    this.#check = check
    this.#refused = refused
  }

  async next(data: Buffer): Promise<SaslStep> {
    if (this.#problem !== undefined) return failure(`Authentication failed: ${this.#problem}`)
    if (data.length > messageBytesMax) return failure('Authentication failed: the message is too long')
    const [first = '', ...pairs] = data.toString().split(separator)
    const match = header.exec(first)
    const isWhole = pairs.pop() === '' && pairs.pop() === ''
    if (match === null || !isWhole) return failure('Authentication failed: this is no message of OAUTHBEARER')
    const [, binding = '', authorizationId = ''] = match
    if (binding.startsWith('p')) return failure('Authentication failed: channel binding is not supported')
    const values = new Map(pairs.map(pair => splitOnce(pair)))
    const token = bearer.exec(values.get('auth') ?? '')?.[1]
    if (token === undefined) return failure('Authentication failed: there is no bearer token')
    const checked = await this.#check(token)
    if ('problem' in checked) return this.#refuse(checked.problem)
    const { principal, expiresMs } = checked
    if (authorizationId !== '' && authorizationId !== principal) {
      return failure('Authentication failed: the token is for somebody else')
    }
    return { kind: 'success', principal, data: empty, expiresMs }
  }

  #refuse(problem: string): SaslStep {
    this.#problem = problem
    this.#refused(problem)
    return { kind: 'challenge', data: Buffer.from(JSON.stringify({ status: 'invalid_token' })) }
  }
}

function splitOnce(pair: string): [string, string] {
  const equals = pair.indexOf('=')
  return [pair.slice(0, equals), pair.slice(equals + 1)]
}
