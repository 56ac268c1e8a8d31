import { createHash, createHmac, pbkdf2, pbkdf2Sync, timingSafeEqual } from 'node:crypto'

/** The hash of a salted challenge and response (RFC 5802, RFC 7677). Written to disk as their index: only ever append. */
export const scramMechanisms = ['SCRAM-SHA-256', 'SCRAM-SHA-512'] as const
export type ScramMechanism = (typeof scramMechanisms)[number]

const hashes = {
  'SCRAM-SHA-256': { name: 'sha256', bytes: 32 },
  'SCRAM-SHA-512': { name: 'sha512', bytes: 64 },
} as const satisfies Record<ScramMechanism, { name: string; bytes: number }>

/** Fewer are refused: RFC 7677 asks for so many at least. */
export const iterationsMin = 4096
/** More would cost the broker too much for each password that it checks. */
export const iterationsMax = 16_384
/** For credentials that are made here. */
export const iterationsDefault = 8192
export const saltBytes = 24
/** What a peer may bring as a salt. */
export const saltBytesMax = 1024

/** What is kept of a password: enough to check it and to prove to its owner that we know it, not enough to log in with. */
export interface Credential {
  readonly mechanism: ScramMechanism
  readonly iterations: number
  readonly salt: Buffer
  readonly storedKey: Buffer
  readonly serverKey: Buffer
}

export function makeCredential(
  mechanism: ScramMechanism,
  password: string,
  salt: Buffer,
  iterations = iterationsDefault,
): Credential {
  return credentialOf(mechanism, saltPasswordNow(mechanism, password, salt, iterations), salt, iterations)
}

/** The same, and the time is another thread's. */
export async function hashPassword(mechanism: ScramMechanism, password: string, salt: Buffer): Promise<Credential> {
  const salted = await saltPassword(mechanism, password, salt, iterationsDefault)
  return credentialOf(mechanism, salted, salt, iterationsDefault)
}

/** From a password that its owner has salted already. */
export function credentialOf(
  mechanism: ScramMechanism,
  saltedPassword: Buffer,
  salt: Buffer,
  iterations: number,
): Credential {
  const clientKey = hmac(mechanism, saltedPassword, 'Client Key')
  const serverKey = hmac(mechanism, saltedPassword, 'Server Key')
  return { mechanism, iterations, salt, storedKey: hash(mechanism, clientKey), serverKey }
}

/** Takes milliseconds of this thread; `saltPassword` takes those of another. */
export function saltPasswordNow(mechanism: ScramMechanism, password: string, salt: Buffer, iterations: number): Buffer {
  const { name, bytes } = hashes[mechanism]
  return pbkdf2Sync(password.normalize('NFKC'), salt, iterations, bytes, name)
}

function saltPassword(mechanism: ScramMechanism, password: string, salt: Buffer, iterations: number): Promise<Buffer> {
  const { name, bytes } = hashes[mechanism]
  return new Promise((resolve, reject) => {
    pbkdf2(password.normalize('NFKC'), salt, iterations, bytes, name, (error, key) => {
      if (error) reject(error)
      else resolve(key)
    })
  })
}

/** Whether the password is the one that the credential was made of. */
export async function checkPassword(credential: Credential, password: string): Promise<boolean> {
  const { mechanism, salt, iterations, storedKey } = credential
  const salted = await saltPassword(mechanism, password, salt, iterations)
  return same(hash(mechanism, hmac(mechanism, salted, 'Client Key')), storedKey)
}

/** Whether `proof` shows that the peer knows the password: it is the client key, covered with a signature of what was said. */
export function checkProof({ mechanism, storedKey }: Credential, said: string, proof: Buffer): boolean {
  if (proof.length !== storedKey.length) return false
  const clientKey = xor(proof, hmac(mechanism, storedKey, said))
  return same(hash(mechanism, clientKey), storedKey)
}

/** Shows the peer that we know its password, too. */
export function serverSignature({ mechanism, serverKey }: Credential, said: string): Buffer {
  return hmac(mechanism, serverKey, said)
}

/** The asking side: the proof, and the signature that the other side must answer with. */
export function prove(
  mechanism: ScramMechanism,
  saltedPassword: Buffer,
  said: string,
): { proof: Buffer; signature: Buffer } {
  const clientKey = hmac(mechanism, saltedPassword, 'Client Key')
  const proof = xor(clientKey, hmac(mechanism, hash(mechanism, clientKey), said))
  return { proof, signature: hmac(mechanism, hmac(mechanism, saltedPassword, 'Server Key'), said) }
}

export const keyBytes = (mechanism: ScramMechanism): number => hashes[mechanism].bytes

export function same(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function hash(mechanism: ScramMechanism, bytes: Buffer): Buffer {
  return createHash(hashes[mechanism].name).update(bytes).digest()
}

function hmac(mechanism: ScramMechanism, key: Buffer, text: string): Buffer {
  return createHmac(hashes[mechanism].name, key).update(text).digest()
}

function xor(a: Buffer, b: Buffer): Buffer {
  const result = Buffer.from(a)
  for (const [index, byte] of b.entries()) result[index] = (result[index] ?? 0) ^ byte
  return result
}
