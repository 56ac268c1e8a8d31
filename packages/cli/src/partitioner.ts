/** The hash by which clients of the Java family choose a partition for a key: MurmurHash2 with their seed. */
export function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995
  let hash = 0x9747b28c ^ bytes.length
  let at = 0
  for (; at + 4 <= bytes.length; at += 4) {
    let word = byte(bytes, at) | (byte(bytes, at + 1) << 8) | (byte(bytes, at + 2) << 16) | (byte(bytes, at + 3) << 24)
    word = Math.imul(word, multiplier)
    word = Math.imul(word ^ (word >>> 24), multiplier)
    hash = Math.imul(hash, multiplier) ^ word
  }
  const left = bytes.length - at
  if (left >= 3) hash ^= byte(bytes, at + 2) << 16
  if (left >= 2) hash ^= byte(bytes, at + 1) << 8
  if (left >= 1) hash = Math.imul(hash ^ byte(bytes, at), multiplier)
  hash = Math.imul(hash ^ (hash >>> 13), multiplier)
  return (hash ^ (hash >>> 15)) | 0
}

const byte = (bytes: Uint8Array, at: number): number => bytes[at] ?? 0

/** The partition of a key, the same for every client that follows the Java one. */
export const partitionOf = (key: Uint8Array, partitionCount: number): number =>
  (murmur2(key) & 0x7fff_ffff) % partitionCount
