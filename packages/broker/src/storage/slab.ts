import assert from 'node:assert/strict'

/**
 * A large buffer that many facts share. It is reused when nobody holds it any more: the blocks written from it (until they
 * are flushed) and the readers whose answers still lie in a socket's queue.
 *
 * A holder that forgets to release only costs the reuse: the slab is then collected like any other object.
 */
export class Slab {
  readonly bytes: Buffer
  #holders = 0
  readonly #free: ((slab: Slab) => void) | undefined

  constructor(bytes: Buffer, free?: (slab: Slab) => void) {
    this.bytes = bytes
    this.#free = free
  }

  hold(): void {
    this.#holders++
  }

  release(): void {
    assert(this.#holders > 0, 'a slab was released more often than it was held')
    if (--this.#holders === 0) this.#free?.(this)
  }
}

/** Hands out stretches of slabs, one after the other, and takes back the slabs that are free. */
export class SlabPool {
  readonly #slabBytes: number
  readonly #spareMax: number
  readonly #spare: Slab[] = []
  readonly #giveBack = (slab: Slab): void => {
    if (this.#spare.length < this.#spareMax) this.#spare.push(slab)
  }

  constructor(slabBytes: number, spareMax: number) {
    this.#slabBytes = slabBytes
    this.#spareMax = spareMax
  }

  /** A slab of at least `bytes`; pooled when that is not more than the usual size. The caller holds it. */
  take(bytes: number): Slab {
    const pooled = bytes <= this.#slabBytes
    const slab = pooled
      ? (this.#spare.pop() ?? new Slab(Buffer.allocUnsafeSlow(this.#slabBytes), this.#giveBack))
      : new Slab(Buffer.allocUnsafeSlow(bytes))
    slab.hold()
    return slab
  }
}
