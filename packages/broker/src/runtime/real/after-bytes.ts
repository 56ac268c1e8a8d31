/** What is left of `parts` after their first `count` bytes, without the empty ones. */
export function afterBytes(parts: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let left = count
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index]!
    if (left < part.length) {
      const rest = parts.slice(index)
      if (left > 0) rest[0] = part.subarray(left)
      return rest
    }
    left -= part.length
  }
  return none
}

const none: readonly Uint8Array[] = []
