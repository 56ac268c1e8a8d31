/** Parts up to this size are copied together: cheaper than a vector entry and its bookkeeping. */
const smallPartBytes = 2048
/** Small parts are copied together up to about so many bytes. */
const gatheredBytesMax = 64 * 1024
/** What is less than this is copied into memory of Node's pool. */
const lentBytesMin = 1024
/** What is lent is four times as large as what is written to it at most: it is kept for as long as a peer does not take it. */
const roomSizes = [4, 16, 64, 256, 1024].map(size => size * 1024)

/**
 * Where small parts are gathered that leave in the same turn. Memory of its own for each write would be most of what the collector has to look
 * after; nearly all writes are over when `write` returns.
 */
const rooms: (Buffer | undefined)[] = []
/** The one that was lent last; -1: none was. */
let lent = -1
let filled = 0

/** The same bytes in as few parts as copying only small ones allows. With `mayLend`, they may lie where the next call puts its own, unless `keepLent` comes first. */
export function gather(parts: readonly Uint8Array[], mayLend: boolean): Uint8Array[] {
  lend(parts, mayLend)
  const gathered: Uint8Array[] = []
  let first = 0
  while (first < parts.length) {
    let end = first
    let together = 0
    while (end < parts.length && parts[end]!.length <= smallPartBytes && together < gatheredBytesMax)
      together += parts[end++]!.length
    gathered.push(end - first > 1 ? copied(parts, first, end, together) : parts[first]!)
    first = Math.max(end, first + 1)
  }
  return gathered
}

/** What `gather` has given last is still in use. */
export function keepLent(): void {
  if (lent >= 0) rooms[lent] = undefined
  lent = -1
}

function lend(parts: readonly Uint8Array[], mayLend: boolean): void {
  filled = 0
  lent = -1
  if (!mayLend) return
  let bytes = 0
  for (const { length } of parts) if (length <= smallPartBytes) bytes += length
  if (bytes < lentBytesMin) return
  lent = 0
  while (lent < roomSizes.length - 1 && roomSizes[lent]! < bytes) lent++
  rooms[lent] ??= Buffer.allocUnsafeSlow(roomSizes[lent]!)
}

/** Parts [first, end), of so many bytes. */
function copied(parts: readonly Uint8Array[], first: number, end: number, bytes: number): Uint8Array {
  const room = lent < 0 ? undefined : rooms[lent]
  if (!room || filled + bytes > room.length) return Buffer.concat(parts.slice(first, end), bytes)
  const from = filled
  for (let index = first; index < end; index++) {
    room.set(parts[index]!, filled)
    filled += parts[index]!.length
  }
  return room.subarray(from, filled)
}
