import type { Random } from '@dragoman/wire'

/** What a disk writes at once as far as the page cache is concerned. */
export const pageBytes = 4096
/** What a disk writes whole or not at all. */
const sectorBytes = 512

type Pages = Map<number, Uint8Array>

/**
 * The bytes of one simulated file, twice: as programs see them (`current`) and as the medium holds them (`durable`).
 * Pages are never changed in place, so the two can share them; an absent page reads as zeros.
 *
 * Invariant: a page whose two versions differ is in `#dirty`.
 */
export class FileNode {
  readonly isDirectory = false
  #current: Pages = new Map()
  #durable: Pages = new Map()
  #dirty = new Set<number>()
  /** When each page got its present and its durable content: what was overtaken must not come back. */
  #writes = 0
  readonly #currentWrite = new Map<number, number>()
  readonly #durableWrite = new Map<number, number>()
  size = 0
  #durableSize = 0

  get pageCount(): number {
    return this.#current.size
  }

  /** How many pages a write would newly take. */
  newPages(position: number, bytes: number): number {
    let count = 0
    for (let page = Math.floor(position / pageBytes); page * pageBytes < position + bytes; page++) {
      if (!this.#current.has(page)) count++
    }
    return count
  }

  /** Pages of a range. */
  static pagesOf(position: number, bytes: number): number[] {
    const pages: number[] = []
    for (let page = Math.floor(position / pageBytes); page * pageBytes < position + bytes; page++) pages.push(page)
    return pages
  }

  /** `bytes` must not change afterwards. `wanted` leaves pages out: a write that broke off. */
  write(bytes: Uint8Array, position: number, wanted: (page: number) => boolean = () => true): void {
    for (const page of FileNode.pagesOf(position, bytes.length)) {
      if (!wanted(page)) continue
      const pageStart = page * pageBytes
      const from = Math.max(0, pageStart - position)
      const to = Math.min(bytes.length, pageStart + pageBytes - position)
      this.#setPage(page, this.#overlaid(page, bytes.subarray(from, to), position + from - pageStart))
      this.size = Math.max(this.size, position + to)
    }
  }

  #overlaid(page: number, bytes: Uint8Array, at: number): Uint8Array {
    if (bytes.length === pageBytes) return bytes
    const whole = new Uint8Array(pageBytes)
    const old = this.#current.get(page)
    if (old) whole.set(old)
    whole.set(bytes, at)
    return whole
  }

  #setPage(page: number, bytes: Uint8Array | undefined): void {
    if (bytes) this.#current.set(page, bytes)
    else this.#current.delete(page)
    this.#currentWrite.set(page, ++this.#writes)
    this.#dirty.add(page)
  }

  /** Count of bytes there were. */
  read(target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, this.size - position))
    for (const page of FileNode.pagesOf(position, count)) {
      const pageStart = page * pageBytes
      const from = Math.max(position, pageStart)
      const to = Math.min(position + count, pageStart + pageBytes)
      const bytes = this.#current.get(page)
      if (bytes) target.set(bytes.subarray(from - pageStart, to - pageStart), from - position)
      else target.fill(0, from - position, to - position)
    }
    return count
  }

  truncate(size: number): void {
    if (size < this.size) {
      const last = Math.floor(size / pageBytes)
      for (const page of this.#current.keys())
        if (page > last || (page === last && size % pageBytes === 0)) this.#setPage(page, undefined)
      const bytes = this.#current.get(last)
      if (bytes) {
        const cut = Uint8Array.from(bytes)
        cut.fill(0, size - last * pageBytes)
        this.#setPage(last, cut)
      }
    }
    this.size = size
  }

  /** What a sync that begins now will make durable: call the result when it succeeds. */
  beginSync(): () => void {
    const pages = [...this.#dirty].map(
      page => [page, this.#current.get(page), this.#currentWrite.get(page) ?? 0] as const,
    )
    const size = this.size
    return () => {
      for (const [page, bytes, write] of pages) {
        if (write > (this.#durableWrite.get(page) ?? 0)) this.#store(page, bytes, write)
      }
      this.#durableSize = size
    }
  }

  /** The pages of a range, and the size that reaches their end, become durable (a write with O_DSYNC). */
  syncRange(position: number, bytes: number): void {
    for (const page of FileNode.pagesOf(position, bytes)) this.#store(page, this.#current.get(page))
    this.#durableSize = Math.max(this.#durableSize, Math.min(this.size, position + bytes))
  }

  #store(page: number, bytes: Uint8Array | undefined, write = this.#currentWrite.get(page) ?? 0): void {
    this.#durableWrite.set(page, write)
    if (bytes) this.#durable.set(page, bytes)
    else this.#durable.delete(page)
    if (this.#current.get(page) === bytes) this.#dirty.delete(page)
  }

  /** A sync failed: the system believes its pages clean, and what is on the medium is anybody's guess. */
  failSync(random: Random): void {
    for (const page of this.#dirty) if (random.chance(0.5)) this.#store(page, this.#current.get(page))
    this.#dirty.clear()
  }

  /** The machine went down: of each page not synced the old, the new, or some sectors of each are left. */
  losePower(random: Random, tornChance: number): void {
    for (const page of [...this.#dirty].sort((a, b) => a - b)) {
      const torn = random.chance(tornChance)
      if (torn) this.#store(page, this.#torn(page, random))
      else if (random.chance(0.5)) this.#store(page, this.#current.get(page))
    }
    this.#dirty.clear()
    if (random.chance(0.5)) this.#durableSize = this.size
    this.#current = new Map(this.#durable)
    this.size = this.#durableSize
    this.#cutBeyondEnd()
  }

  #torn(page: number, random: Random): Uint8Array {
    const mixed = new Uint8Array(pageBytes)
    const old = this.#durable.get(page)
    if (old) mixed.set(old)
    const fresh = this.#current.get(page) ?? new Uint8Array(pageBytes)
    for (let at = 0; at < pageBytes; at += sectorBytes) {
      if (random.chance(0.5)) mixed.set(fresh.subarray(at, at + sectorBytes), at)
    }
    return mixed
  }

  /** What lies beyond the end is not part of the file, and must not come back when it grows. */
  #cutBeyondEnd(): void {
    const size = this.size
    for (const page of this.#current.keys()) this.size = Math.max(this.size, (page + 1) * pageBytes)
    this.truncate(size)
    for (const page of this.#dirty) this.#store(page, this.#current.get(page))
  }

  /** Damages one bit of what both see. False when that place is a hole. */
  flipBit(position: number, bit: number): boolean {
    const page = Math.floor(position / pageBytes)
    const bytes = this.#current.get(page)
    if (!bytes || position >= this.size) return false
    const damaged = Uint8Array.from(bytes)
    damaged[position % pageBytes]! ^= 1 << bit
    const wasDirty = this.#dirty.has(page)
    this.#current.set(page, damaged)
    if (!wasDirty) this.#durable.set(page, damaged)
    return true
  }
}
