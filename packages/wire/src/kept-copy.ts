const none = Buffer.alloc(0)

/**
 * A copy with memory of its own, for what is kept long. `Buffer.from` takes small copies from a pool of 64 KiB, all of which stays as long as one of
 * them does.
 */
export function keptCopy(bytes: Uint8Array): Buffer {
  if (bytes.length === 0) return none
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}
