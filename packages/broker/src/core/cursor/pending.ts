/** Offsets of one chunk: 128 words of 32 bits. */
export const chunkOffsets = 4096
const chunkWords = chunkOffsets / 32
/** A chunk with so few offsets left is kept as a list. */
const listedMax = 8

export const settled = 0
export const inFlight = 1
export const returned = 2
export type PendingState = typeof settled | typeof inFlight | typeof returned

/**
 * Which offsets are in flight or returned; all others are settled, or were never delivered. Two bits for each offset where anything is
 * left, nothing where nothing is, and tens of bytes for a single one among many settled.
 *
 * Invariants: `keys` ascend; the chunks before `#head` and those with `pendingCount` 0 count as absent; a returned offset is
 * pending; an offset that was settled becomes pending again only in the newest chunk.
 */
export class PendingSet {
  #keys: number[] = []
  #chunks: Chunk[] = []
  /** The first chunk that may hold anything. */
  #head = 0
  #emptyCount = 0
  /** Where the last search ended: the next one is mostly for the same chunk. */
  #found = 0
  /** No chunk before this one holds anything returned. */
  #returnedFrom = 0
  pendingCount = 0
  returnedCount = 0

  stateOf(offset: number): PendingState {
    const chunk = this.#chunkOf(offset)
    return chunk ? chunk.stateOf(offset - chunk.base) : settled
  }

  /** Puts [first, last], which lie above all that was ever pending, in flight. */
  open(first: number, last: number): void {
    for (let at = first; at <= last;) {
      const chunk = this.#newest(Math.floor(at / chunkOffsets))
      const end = Math.min(last, chunk.base + chunkOffsets - 1)
      chunk.open(at - chunk.base, end - chunk.base)
      at = end + 1
    }
    this.pendingCount += last - first + 1
  }

  /** A pending offset is settled. Its state before is returned. */
  settle(offset: number): PendingState {
    const chunk = this.#chunkOf(offset)
    if (!chunk) return settled
    const before = chunk.clear(offset - chunk.base)
    if (before === settled) return settled
    this.pendingCount--
    if (before === returned) this.returnedCount--
    if (chunk.pendingCount === 0) {
      chunk.giveUp()
      this.#emptied()
    } else if (chunk.pendingCount <= listedMax && this.#found < this.#keys.length - 1) chunk.list()
    return before
  }

  /** An offset in flight comes back. */
  giveBack(offset: number): void {
    const chunk = this.#chunkOf(offset)
    if (!chunk || !chunk.setReturned(offset - chunk.base, true)) return
    this.returnedCount++
    if (this.#found < this.#returnedFrom) this.#returnedFrom = this.#found
  }

  /** A returned offset is in flight again. */
  takeAgain(offset: number): void {
    const chunk = this.#chunkOf(offset)
    if (chunk?.setReturned(offset - chunk.base, false)) this.returnedCount--
  }

  /** The lowest pending offset at or above `from`, or Infinity. */
  nextPending(from: number): number {
    if (this.pendingCount === 0) return Infinity
    for (let at = this.#indexFrom(from); at < this.#keys.length; at++) {
      const chunk = this.#chunks[at]!
      if (chunk.pendingCount === 0) continue
      const within = chunk.nextPending(Math.max(0, from - chunk.base))
      if (within < 0) continue
      this.#found = at
      return chunk.base + within
    }
    return Infinity
  }

  /** The lowest returned offset at or above `from`, or Infinity. */
  nextReturned(from: number): number {
    if (this.returnedCount === 0) return Infinity
    const start = this.#indexFrom(from)
    let isFirst = start <= this.#returnedFrom
    for (let at = Math.max(start, this.#returnedFrom); at < this.#keys.length; at++) {
      const chunk = this.#chunks[at]!
      if (chunk.returnedCount === 0) continue
      if (isFirst) this.#returnedFrom = at
      isFirst = false
      const within = chunk.nextReturned(Math.max(0, from - chunk.base))
      if (within < 0) continue
      this.#found = at
      return chunk.base + within
    }
    return Infinity
  }

  /** Gives chunks with few offsets their small form: for a set that was filled from a checkpoint. */
  compact(): void {
    for (const chunk of this.#chunks.slice(0, -1)) if (chunk.pendingCount <= listedMax) chunk.list()
  }

  clear(): void {
    this.#keys = []
    this.#chunks = []
    this.#head = this.#emptyCount = this.#found = this.#returnedFrom = this.pendingCount = this.returnedCount = 0
  }

  #chunkOf(offset: number): Chunk | undefined {
    const key = Math.floor(offset / chunkOffsets)
    if (this.#keys[this.#found] !== key) {
      const at = this.#indexOf(key)
      if (this.#keys[at] !== key) return undefined
      this.#found = at
    }
    const chunk = this.#chunks[this.#found]!
    return chunk.pendingCount === 0 ? undefined : chunk
  }

  /** The first chunk whose offsets are not all below `offset`. */
  #indexFrom(offset: number): number {
    const first = this.#keys[this.#head]
    if (first === undefined || offset <= first * chunkOffsets) return this.#head
    return this.#indexOf(Math.floor(offset / chunkOffsets))
  }

  /** The first index whose key is not below `key`. */
  #indexOf(key: number): number {
    let low = this.#head
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }

  #newest(key: number): Chunk {
    const end = this.#keys.length - 1
    if (end >= this.#head && this.#keys[end] === key) {
      const chunk = this.#chunks[end]!
      if (chunk.pendingCount === 0) this.#emptyCount--
      return chunk
    }
    // What was the newest chunk gets no more.
    const before = this.#chunks[end]
    if (before && before.pendingCount <= listedMax) before.list()
    const chunk = new Chunk(key * chunkOffsets)
    this.#keys.push(key)
    this.#chunks.push(chunk)
    return chunk
  }

  /** The chunk that was found last holds nothing any more. */
  #emptied(): void {
    this.#emptyCount++
    while (this.#head < this.#keys.length && this.#chunks[this.#head]!.pendingCount === 0) {
      this.#head++
      this.#emptyCount--
    }
    // Only now and then, so that each chunk is moved a few times at most.
    if (this.#head + this.#emptyCount > 16 && (this.#head + this.#emptyCount) * 2 > this.#keys.length) this.#sweep()
    else if (this.#head === this.#keys.length) this.clear()
  }

  #sweep(): void {
    const left = this.#chunks.filter(chunk => chunk.pendingCount > 0)
    this.#chunks = left
    this.#keys = left.map(chunk => chunk.base / chunkOffsets)
    this.#head = this.#emptyCount = this.#found = this.#returnedFrom = 0
  }
}

/** Offsets here are relative to `base`. */
class Chunk {
  readonly base: number
  pendingCount = 0
  returnedCount = 0
  #pending: Uint32Array | undefined
  #returned: Uint32Array | undefined
  /** Instead of the bitmaps: each offset times two, plus one when it is returned; ascending. */
  #listed: number[] | undefined

  constructor(base: number) {
    this.base = base
  }

  stateOf(at: number): PendingState {
    const word = at >>> 5
    if (this.#pending) {
      if (((this.#pending[word]! >>> (at & 31)) & 1) === 0) return settled
      return this.#returned && ((this.#returned[word]! >>> (at & 31)) & 1) === 1 ? returned : inFlight
    }
    const found = this.#find(at)
    return found < 0 ? settled : (this.#listed![found]! & 1) === 1 ? returned : inFlight
  }

  open(first: number, last: number): void {
    const words = this.#bitmap()
    for (let at = first; at <= last;) {
      const bit = at & 31
      const count = Math.min(32 - bit, last - at + 1)
      words[at >>> 5]! |= count === 32 ? -1 : ((1 << count) - 1) << bit
      at += count
    }
    this.pendingCount += last - first + 1
  }

  /** The bitmap of what is pending, made anew for a newest chunk that had nothing left. */
  #bitmap(): Uint32Array {
    if (this.#pending) return this.#pending
    const words = spare.pop() ?? new Uint32Array(chunkWords)
    this.#pending = words
    for (const item of this.#listed ?? []) {
      const at = item >>> 1
      words[at >>> 5]! |= 1 << (at & 31)
      if ((item & 1) === 1) this.#mark(at)
    }
    this.#listed = undefined
    return words
  }

  #mark(at: number): void {
    this.#returned ??= spare.pop() ?? new Uint32Array(chunkWords)
    this.#returned[at >>> 5]! |= 1 << (at & 31)
  }

  clear(at: number): PendingState {
    const before = this.stateOf(at)
    if (before === settled) return settled
    if (this.#pending) {
      this.#pending[at >>> 5]! &= ~(1 << (at & 31))
      if (before === returned) this.#returned![at >>> 5]! &= ~(1 << (at & 31))
    } else this.#listed!.splice(this.#find(at), 1)
    this.pendingCount--
    if (before === returned) this.returnedCount--
    return before
  }

  /** Whether that was a change. */
  setReturned(at: number, value: boolean): boolean {
    if (this.stateOf(at) !== (value ? inFlight : returned)) return false
    if (!this.#pending) this.#listed![this.#find(at)]! ^= 1
    else if (value) this.#mark(at)
    else this.#returned![at >>> 5]! &= ~(1 << (at & 31))
    this.returnedCount += value ? 1 : -1
    return true
  }

  nextPending(from: number): number {
    if (this.#pending) return nextBit(this.#pending, from)
    const item = this.#listed?.find(item => item >>> 1 >= from)
    return item === undefined ? -1 : item >>> 1
  }

  nextReturned(from: number): number {
    if (this.#pending) return this.#returned ? nextBit(this.#returned, from) : -1
    const item = this.#listed?.find(item => (item & 1) === 1 && item >>> 1 >= from)
    return item === undefined ? -1 : item >>> 1
  }

  /** From bitmaps to the list. */
  list(): void {
    if (!this.#pending) return
    const listed: number[] = []
    for (let at = nextBit(this.#pending, 0); at >= 0; at = nextBit(this.#pending, at + 1)) {
      listed.push(at * 2 + (this.stateOf(at) === returned ? 1 : 0))
    }
    // A copy has no room to spare: there may be a hundred thousand of these.
    this.#listed = listed.slice()
    this.#pending.fill(0)
    this.#returned?.fill(0)
    this.giveUp()
  }

  /** Hands on the bitmaps, which are all zeros. */
  giveUp(): void {
    if (this.#pending && spare.length < spareMax) spare.push(this.#pending)
    if (this.#returned && spare.length < spareMax) spare.push(this.#returned)
    this.#pending = this.#returned = undefined
  }

  #find(at: number): number {
    return this.#listed?.findIndex(item => item >>> 1 === at) ?? -1
  }
}

/** Bitmaps of zeros for the next chunk: a queue that keeps up fills and empties one all the time. */
const spare: Uint32Array[] = []
const spareMax = 64

/** The lowest bit that is set at or above `from`, or -1. */
function nextBit(words: Uint32Array, from: number): number {
  if (from >= chunkOffsets) return -1
  let index = from >>> 5
  let word = words[index]! & (-1 << (from & 31))
  while (word === 0) {
    if (++index === chunkWords) return -1
    word = words[index]!
  }
  return index * 32 + 31 - Math.clz32(word & -word)
}
