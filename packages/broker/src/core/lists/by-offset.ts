/** A page has so many places. */
const pageLength = 32

interface Page<T> {
  readonly number: number
  readonly values: (T | undefined)[]
  count: number
}

/** Values by their offsets, of which most have neighbours: a map of pages asks one hash for many of them. Offsets are 53 bits wide. */
export class ByOffset<T> {
  readonly #pages = new Map<number, Page<T>>()
  /** The one that was found last. */
  #page: Page<T> | undefined

  get(offset: number): T | undefined {
    return this.#find(offset)?.values[offset % pageLength]
  }

  set(offset: number, value: T): void {
    const page = this.#find(offset) ?? this.#add(offset)
    const at = offset % pageLength
    if (page.values[at] === undefined) page.count++
    page.values[at] = value
  }

  /** Whether there was one. */
  delete(offset: number): boolean {
    const page = this.#find(offset)
    const at = offset % pageLength
    if (page?.values[at] === undefined) return false
    page.values[at] = undefined
    if (--page.count > 0) return true
    this.#pages.delete(page.number)
    this.#page = undefined
    return true
  }

  clear(): void {
    this.#pages.clear()
    this.#page = undefined
  }

  /** In no order. What is being visited may be deleted. */
  *[Symbol.iterator](): Generator<[offset: number, value: T], void, undefined> {
    for (const { number, values } of this.#pages.values()) {
      for (let at = 0; at < pageLength; at++) {
        const value = values[at]
        if (value !== undefined) yield [number * pageLength + at, value]
      }
    }
  }

  #find(offset: number): Page<T> | undefined {
    const number = Math.floor(offset / pageLength)
    if (this.#page?.number === number) return this.#page
    const page = this.#pages.get(number)
    if (page) this.#page = page
    return page
  }

  #add(offset: number): Page<T> {
    const number = Math.floor(offset / pageLength)
    const page: Page<T> = { number, values: new Array<T | undefined>(pageLength).fill(undefined), count: 0 }
    this.#pages.set(number, page)
    return (this.#page = page)
  }
}
