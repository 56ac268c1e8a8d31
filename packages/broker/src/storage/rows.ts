/**
 * A growable table of numbers: rows of `width` doubles in one typed array, dropped from the front and added at the back.
 * What an index costs per entry is `8 * width` bytes and no object.
 */
export class Rows {
  readonly width: number
  #cells: Float64Array
  #first = 0
  #count = 0

  constructor(width: number, capacity = 0) {
    this.width = width
    this.#cells = new Float64Array(capacity * width)
  }

  get count(): number {
    return this.#count
  }

  get(row: number, column: number): number {
    return this.#cells[(this.#first + row) * this.width + column]!
  }

  set(row: number, column: number, value: number): void {
    this.#cells[(this.#first + row) * this.width + column] = value
  }

  /** Adds a row of zeros and returns its index. */
  add(): number {
    if ((this.#first + this.#count + 1) * this.width > this.#cells.length) this.#makeRoom()
    const start = (this.#first + this.#count) * this.width
    this.#cells.fill(0, start, start + this.width)
    return this.#count++
  }

  dropFirst(rows: number): void {
    this.#first += rows
    this.#count -= rows
    if (this.#count > 0) return
    this.#first = 0
    // A burst long ago must not cost memory for ever: thousands of these tables exist.
    if (this.#cells.length > spareRowsMax * this.width) this.#cells = new Float64Array(0)
  }

  /** Takes out `rows` rows from `row` on. */
  remove(row: number, rows: number): void {
    const start = (this.#first + row) * this.width
    this.#cells.copyWithin(start, start + rows * this.width, (this.#first + this.#count) * this.width)
    this.#count -= rows
  }

  /** The last row whose `column` is <= `value`, or -1. The column must be ascending. */
  lastAtMost(column: number, value: number): number {
    let low = 0
    let high = this.#count - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      if (this.get(middle, column) <= value) low = middle + 1
      else high = middle - 1
    }
    return high
  }

  #makeRoom(): void {
    const used = this.#count * this.width
    const from = this.#first * this.width
    if (this.#first > this.#count) this.#cells.copyWithin(0, from, from + used)
    else {
      const wider = new Float64Array(Math.max(4, this.#count * 2) * this.width)
      wider.set(this.#cells.subarray(from, from + used))
      this.#cells = wider
    }
    this.#first = 0
  }
}

/** Room for so many rows is kept when the last one goes. */
const spareRowsMax = 64
