const seed = 0x9747b28c
const multiplier = 0x5bd1e995

/**
 * MurmurHash2 of 32 bits, unsigned. With this seed it is what producers of partitioned logs use by custom, so that equal keys meet in one
 * partition whoever publishes them.
 */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes
  let hash = seed ^ length
  let at = 0
  for (; at + 4 <= length; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const left = length - at
  if (left > 2) hash ^= bytes[at + 2]! << 16
  if (left > 1) hash ^= bytes[at + 1]! << 8
  if (left > 0) hash = Math.imul(hash ^ bytes[at]!, multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return (hash ^ (hash >>> 15)) >>> 0
}

/** The partition, of `count`, for a key. */
export const partitionOf = (key: Uint8Array, count: number): number => (murmur2(key) & 0x7fff_ffff) % count
