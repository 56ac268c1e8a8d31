import { randomFillSync } from 'node:crypto'
import { Random } from '@dragoman/wire'

/** Drawn from the system's generator, a page at a time: identifiers made of it are unique across processes and machines. */
export class SystemRandom extends Random {
  readonly #words = new Uint32Array(1024)
  #next = this.#words.length

  constructor() {
    super(0)
  }

  override u32(): number {
    if (this.#next === this.#words.length) {
      randomFillSync(this.#words)
      this.#next = 0
    }
    return this.#words[this.#next++]!
  }
}
