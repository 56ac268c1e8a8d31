/** A list of ascending ranges of offsets, each with a tag. Neighbours with the same tag are one. */
export class Ranges {
  #values: number[] = []
  count = 0

  /** Of one range, when it is given. */
  constructor(first?: number, last = first) {
    if (first !== undefined && last !== undefined) this.add(first, last)
  }

  get length(): number {
    return this.#values.length / 3
  }
  first(at: number): number {
    return this.#values[at * 3]!
  }
  last(at: number): number {
    return this.#values[at * 3 + 1]!
  }
  tag(at: number): number {
    return this.#values[at * 3 + 2]!
  }

  /** [first, last] lies above all that is there. */
  add(first: number, last: number, tag = 0): void {
    const values = this.#values
    const end = values.length
    this.count += last - first + 1
    if (end > 0 && values[end - 2] === first - 1 && values[end - 1] === tag) values[end - 2] = last
    else values.push(first, last, tag)
  }

  *offsets(): Generator<number> {
    for (let at = 0; at < this.length; at++) {
      for (let offset = this.first(at); offset <= this.last(at); offset++) yield offset
    }
  }
}
