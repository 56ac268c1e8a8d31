/** What a heap holds: it knows where it is in it. */
export interface Heaped {
  /** -1: in none. For the heap alone. */
  heapAt: number
}

/** Items with the least first. An item is in one heap at a time. */
export class Heap<T extends Heaped> {
  readonly #items: T[] = []
  readonly #isLess: (a: T, b: T) => boolean

  constructor(isLess: (a: T, b: T) => boolean) {
    this.#isLess = isLess
  }

  get size(): number {
    return this.#items.length
  }

  get first(): T | undefined {
    return this.#items[0]
  }

  has(item: T): boolean {
    return this.#items[item.heapAt] === item
  }

  values(): Iterable<T> {
    return this.#items.values()
  }

  add(item: T): void {
    this.#items.push(item)
    this.#up(item, this.#items.length - 1)
  }

  /** Whether it was in this heap. */
  delete(item: T): boolean {
    const items = this.#items
    if (!this.has(item)) return false
    const at = item.heapAt
    item.heapAt = -1
    const last = items.pop()
    if (last === undefined || last === item) return true
    this.#up(last, at)
    this.#down(last, last.heapAt)
    return true
  }

  #up(item: T, from: number): void {
    const items = this.#items
    let at = from
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!this.#isLess(item, items[parent]!)) break
      this.#put(items[parent]!, at)
      at = parent
    }
    this.#put(item, at)
  }

  #down(item: T, from: number): void {
    const items = this.#items
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.#isLess(items[child + 1]!, items[child]!)) child++
      if (!this.#isLess(items[child]!, item)) break
      this.#put(items[child]!, at)
      at = child
    }
    this.#put(item, at)
  }

  #put(item: T, at: number): void {
    this.#items[at] = item
    item.heapAt = at
  }
}
