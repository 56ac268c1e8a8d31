import { constants, createPublicKey, verify, type JsonWebKey, type KeyObject } from 'node:crypto'

/** A key that may have signed tokens. */
export interface SigningKey {
  readonly id: string | undefined
  /** When the set says so, the key is good for nothing else. */
  readonly algorithm: string | undefined
  readonly key: KeyObject
}

export interface TokenRules {
  readonly issuer: string | undefined
  /** One of these must be in the token's audience, when there are any. */
  readonly audiences: readonly string[]
  /** All of these must be in the token's scope. */
  readonly scopes: readonly string[]
  /** The claim that names the principal. */
  readonly principalClaim: string
  readonly clockSkewMs: number
}

export type Claims = Readonly<Record<string, unknown>>

/** What every algorithm needs of its key. Those with a shared secret are not there: a public key must never be taken for one. */
const algorithms: Readonly<Record<string, Algorithm>> = {
  RS256: { type: 'rsa', hash: 'sha256' },
  RS384: { type: 'rsa', hash: 'sha384' },
  RS512: { type: 'rsa', hash: 'sha512' },
  PS256: { type: 'rsa', hash: 'sha256', isPss: true },
  PS384: { type: 'rsa', hash: 'sha384', isPss: true },
  PS512: { type: 'rsa', hash: 'sha512', isPss: true },
  ES256: { type: 'ec', hash: 'sha256', curve: 'prime256v1' },
  ES384: { type: 'ec', hash: 'sha384', curve: 'secp384r1' },
  ES512: { type: 'ec', hash: 'sha512', curve: 'secp521r1' },
  EdDSA: { type: 'ed25519', hash: undefined },
}

interface Algorithm {
  readonly type: 'rsa' | 'ec' | 'ed25519'
  readonly hash: string | undefined
  readonly curve?: string
  readonly isPss?: boolean
}

/** Smaller keys of RSA are broken. */
const rsaBitsMin = 2048
const keysMax = 1000

/** A token whose signature is not checked yet. */
export interface ParsedToken {
  readonly algorithm: string
  readonly keyId: string | undefined
  readonly claims: Claims
  /** What was signed. */
  readonly signed: Buffer
  readonly signature: Buffer
}

/** The parts of a signed JSON Web Token (RFC 7519, RFC 7515), or what is wrong with it. */
export function parseToken(token: string): ParsedToken | { readonly problem: string } {
  const parts = token.split('.')
  const [head = '', body = '', signature = ''] = parts
  const header = parseJson(head)
  const claims = parseJson(body)
  if (parts.length !== 3 || header === undefined || claims === undefined) return { problem: 'it is not a signed token' }
  const { alg, kid, crit } = header
  if (typeof alg !== 'string' || !Object.hasOwn(algorithms, alg)) return { problem: 'its algorithm is not taken' }
  if (crit !== undefined) return { problem: 'it has an extension that is not known' }
  return {
    algorithm: alg,
    keyId: typeof kid === 'string' ? kid : undefined,
    claims,
    signed: Buffer.from(`${head}.${body}`),
    signature: Buffer.from(signature, 'base64url'),
  }
}

/** The key of the set with which the token may have been signed; undefined when there is none. */
export function isSignedBy(token: ParsedToken, { key, algorithm: only }: SigningKey): boolean {
  const algorithm = algorithms[token.algorithm]
  if (algorithm === undefined || (only !== undefined && only !== token.algorithm)) return false
  const { type, hash, curve, isPss } = algorithm
  if (key.asymmetricKeyType !== type) return false
  if (curve !== undefined && key.asymmetricKeyDetails?.namedCurve !== curve) return false
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  // Signatures of elliptic curves are written as two numbers, not in ASN.1 (RFC 7518, 3.4).
  const form = type === 'ec' ? { dsaEncoding: 'ieee-p1363' as const } : isPss ? pss : {}
  return verify(hash, token.signed, { key, ...form }, token.signature)
}

/** Why the claims are not enough, or undefined. */
export function claimProblem(claims: Claims, rules: TokenRules, nowMs: number): string | undefined {
  const { exp, nbf, iat, iss } = claims
  const latest = (nowMs + rules.clockSkewMs) / 1000
  if (typeof exp !== 'number' || !Number.isFinite(exp)) return 'it does not say when it ends'
  if (exp <= (nowMs - rules.clockSkewMs) / 1000) return 'its time is over'
  if (nbf !== undefined && !(typeof nbf === 'number' && nbf <= latest)) return 'its time has not come'
  if (iat !== undefined && !(typeof iat === 'number' && iat <= latest)) return 'it was issued in the future'
  if (rules.issuer !== undefined && iss !== rules.issuer) return 'its issuer is another one'
  const audiences = wordsOf(claims.aud)
  if (rules.audiences.length > 0 && !rules.audiences.some(audience => audiences.includes(audience))) {
    return 'it is for another audience'
  }
  const scopes = [...wordsOf(claims.scope, ' '), ...wordsOf(claims.scp, ' ')]
  if (!rules.scopes.every(scope => scopes.includes(scope))) return 'its scope is not enough'
  return principalOf(claims, rules) === undefined ? `it does not say for whom it is` : undefined
}

export function principalOf(claims: Claims, { principalClaim }: TokenRules): string | undefined {
  const value = Object.hasOwn(claims, principalClaim) ? claims[principalClaim] : undefined
  return typeof value === 'string' && value !== '' && value.length <= 256 ? value : undefined
}

/** The keys of a JSON Web Key Set (RFC 7517) with which tokens can be checked; others are left out. Throws when it is no such set. */
export function parseKeySet(text: string): SigningKey[] {
  const set = JSON.parse(text) as { keys?: unknown } | null
  if (!Array.isArray(set?.keys)) throw new Error('There is no list of keys in it')
  return set.keys.slice(0, keysMax).flatMap(entry => readKey(entry))
}

function readKey(entry: unknown): SigningKey[] {
  if (typeof entry !== 'object' || entry === null) return []
  const { kid, alg, use, kty } = entry as Record<string, unknown>
  if (kty === 'oct' || (use !== undefined && use !== 'sig')) return []
  try {
    const key = createPublicKey({ key: entry as JsonWebKey, format: 'jwk' })
    if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < rsaBitsMin) return []
    return [{ id: textOf(kid), algorithm: textOf(alg), key }]
  } catch {
    return [] // A kind of key that is not known here.
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

function wordsOf(value: unknown, separator?: string): string[] {
  if (typeof value === 'string') return separator === undefined ? [value] : value.split(separator)
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}

function parseJson(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
