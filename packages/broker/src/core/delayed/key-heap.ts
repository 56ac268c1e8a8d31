/** Numbers with the least first, eight bytes each. */
export class KeyHeap {
  #keys = new Float64Array(0)
  size = 0

  /** Undefined when it is empty. */
  get first(): number | undefined {
    return this.size === 0 ? undefined : this.#keys[0]
  }

  add(key: number): void {
    if (this.size === this.#keys.length) {
      const wider = new Float64Array(Math.max(64, this.size * 2))
      wider.set(this.#keys)
      this.#keys = wider
    }
    const keys = this.#keys
    let at = this.size++
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (keys[parent]! <= key) break
      keys[at] = keys[parent]!
      at = parent
    }
    keys[at] = key
  }

  removeFirst(): void {
    const keys = this.#keys
    const last = keys[--this.size]!
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= this.size) break
      if (child + 1 < this.size && keys[child + 1]! < keys[child]!) child++
      if (keys[child]! >= last) break
      keys[at] = keys[child]!
      at = child
    }
    if (this.size > 0) keys[at] = last
  }

  clear(): void {
    this.#keys = new Float64Array(0)
    this.size = 0
  }
}
