import { createHash } from 'node:crypto'
import { same } from './scram.ts'

/** How passwords were hashed elsewhere. Written to disk as their index: only ever append. */
export const hashAlgorithms = ['sha256', 'sha512', 'md5'] as const
export type HashAlgorithm = (typeof hashAlgorithms)[number]

/** A salted hash of a password, as it was taken over from another broker: one round of the algorithm over salt and password. */
export interface PasswordHash {
  readonly algorithm: HashAlgorithm
  readonly salt: Buffer
  readonly digest: Buffer
}

const digestBytes: Record<HashAlgorithm, number> = { sha256: 32, sha512: 64, md5: 16 }

/** The bytes of `bytes` are salt and digest; undefined when there is no salt before a digest of the right length. */
export function readHash(algorithm: HashAlgorithm, bytes: Buffer): PasswordHash | undefined {
  const saltBytes = bytes.length - digestBytes[algorithm]
  if (saltBytes < 1 || saltBytes > saltBytesMax) return undefined
  return { algorithm, salt: bytes.subarray(0, saltBytes), digest: bytes.subarray(saltBytes) }
}

const saltBytesMax = 64

export function matchesHash({ algorithm, salt, digest }: PasswordHash, password: string): boolean {
  return same(createHash(algorithm).update(salt).update(password).digest(), digest)
}
