/** Whom a message was delivered for: what becomes of it is told to the queue through this. */
export interface Holder {
  readonly isOver: boolean
}

/** A message that was delivered and is not settled. */
export interface Delivery<H extends Holder> {
  readonly tag: number
  readonly holder: H
  readonly offset: number
}

/** Is told of messages run by run: [first, last] are offsets that follow each other. */
export type TakeRun<H extends Holder> = (holder: H, first: number, last: number) => void

const chunkTags = 256
/** A chunk that is over and has so few left becomes single entries. */
const sparseMax = 16

interface Chunk<H extends Holder> {
  /** By tag; undefined: settled, or not delivered yet. */
  readonly holders: (H | undefined)[]
  readonly offsets: Float64Array
  count: number
}

/**
 * The messages that a channel has delivered and that are not settled, by their delivery tags.
 *
 * Tags count up from 1. They are kept in chunks, which go with their last message; one old message that nobody settles keeps no more than
 * an entry of its own.
 */
export class Unacked<H extends Holder> {
  readonly #chunks = new Map<number, Chunk<H>>()
  readonly #single = new Map<number, Delivery<H>>()
  #next = 1
  #size = 0
  /** The chunk of the newest message. */
  #newest = -1

  get size(): number {
    return this.#size
  }
  /** Those that are kept, of `chunkTags` tags each. */
  get chunkCount(): number {
    return this.#chunks.size
  }

  /** The tag of a message that nobody has to settle. */
  skip(): number {
    return this.#next++
  }

  /** The tag of a message that is delivered now. */
  add(holder: H, offset: number): number {
    const tag = this.#next++
    this.#put(tag, holder, offset)
    return tag
  }

  /** Puts back what `take` has given. */
  restore(delivery: Delivery<H>): void {
    const { tag, holder, offset } = delivery
    if (this.#chunks.has(Math.floor(tag / chunkTags))) return this.#put(tag, holder, offset)
    this.#single.set(tag, delivery)
    this.#size++
  }

  /** Takes one out; undefined when there is none of that tag. */
  take(tag: number): Delivery<H> | undefined {
    const chunk = this.#chunks.get(Math.floor(tag / chunkTags))
    const at = tag % chunkTags
    const holder = chunk?.holders[at]
    if (chunk && holder) {
      const offset = chunk.offsets[at]!
      this.#clear(at, chunk)
      this.#thin(Math.floor(tag / chunkTags), chunk)
      return { tag, holder, offset }
    }
    const single = this.#single.get(tag)
    if (single) {
      this.#single.delete(tag)
      this.#size--
    }
    return single
  }

  /** Whether the message of that tag is there. */
  has(tag: number): boolean {
    const chunk = this.#chunks.get(Math.floor(tag / chunkTags))
    return chunk?.holders[tag % chunkTags] !== undefined || this.#single.has(tag)
  }

  /** Takes out all up to `last`, in the order of their tags. */
  takeUpTo(last: number): Delivery<H>[] {
    const found: Delivery<H>[] = []
    for (const delivery of this.#single.values()) if (delivery.tag <= last) found.push(delivery)
    for (const { tag } of found) this.#single.delete(tag)
    this.#size -= found.length
    const isSingle = found.length > 0
    const lastChunk = Math.floor(last / chunkTags)
    for (const index of [...this.#chunks.keys()].toSorted((a, b) => a - b)) {
      const chunk = this.#chunks.get(index)
      if (index > lastChunk || !chunk) break
      const base = index * chunkTags
      for (let at = 0; at < chunkTags && base + at <= last && chunk.count > 0; at++) {
        const holder = chunk.holders[at]
        if (!holder) continue
        found.push({ tag: base + at, holder, offset: chunk.offsets[at]! })
        this.#clear(at, chunk)
      }
      this.#thin(index, chunk)
    }
    return isSingle ? found.toSorted((a, b) => a.tag - b.tag) : found
  }

  #put(tag: number, holder: H, offset: number): void {
    const index = Math.floor(tag / chunkTags)
    let chunk = this.#chunks.get(index)
    if (!chunk) {
      // What is left of the one before was not looked at while more was to come.
      const before = this.#chunks.get(this.#newest)
      if (before) this.#thin(this.#newest, before)
      this.#newest = index
      chunk = { holders: Array.from({ length: chunkTags }), offsets: new Float64Array(chunkTags), count: 0 }
      this.#chunks.set(index, chunk)
    }
    const at = tag % chunkTags
    chunk.holders[at] = holder
    chunk.offsets[at] = offset
    chunk.count++
    this.#size++
  }

  #clear(at: number, chunk: Chunk<H>): void {
    chunk.holders[at] = undefined
    chunk.count--
    this.#size--
  }

  /** Gives back a chunk that is not needed for so few. */
  #thin(index: number, chunk: Chunk<H>): void {
    if (chunk.count > sparseMax || index === Math.floor(this.#next / chunkTags)) return
    this.#chunks.delete(index)
    for (let at = 0; chunk.count > 0 && at < chunkTags; at++) {
      const holder = chunk.holders[at]
      if (!holder) continue
      chunk.count--
      const single = { tag: index * chunkTags + at, holder, offset: chunk.offsets[at]! }
      this.#single.set(single.tag, single)
    }
  }
}

/** Gathers deliveries into runs for each holder, in their order. Messages of holders that are over are left out. */
export function inRuns<H extends Holder>(deliveries: readonly Delivery<H>[], take: TakeRun<H>): void {
  const open = new Map<H, { first: number; last: number }>()
  for (const { holder, offset } of deliveries) {
    if (holder.isOver) continue
    const run = open.get(holder)
    if (run && offset === run.last + 1) {
      run.last = offset
      continue
    }
    if (run) take(holder, run.first, run.last)
    open.set(holder, { first: offset, last: offset })
  }
  for (const [holder, { first, last }] of open) take(holder, first, last)
}
