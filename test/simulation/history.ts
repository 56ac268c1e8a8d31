import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'

/** What is written into a record: who made it, and the how-manieth of its maker for this partition it is. */
export interface RecordId {
  producer: number
  index: number
}

export interface ProducerTraits {
  /** Every record once, in order, without a gap. */
  idempotent: boolean
}

const keyOf = ({ producer, index }: RecordId): number => producer * 1_000_000 + index
const nameOf = (key: number): string => `record ${key % 1_000_000} of producer ${Math.floor(key / 1_000_000)}`

/**
 * All that clients were told about one partition. An offset once seen, in an acknowledgement or a fetch, holds that record for
 * ever or is gone with everything below it.
 */
export class PartitionHistory {
  readonly name: string
  readonly #world: World
  readonly #records = new Map<number, number>()
  /** Nobody has asked to remove anything at or beyond. */
  #startMax = 0
  /** Removing everything below was acknowledged. */
  #startMin = 0
  #end = 0

  constructor(world: World, name: string) {
    this.#world = world
    this.name = name
  }

  get end(): number {
    return this.#end
  }

  get knownCount(): number {
    return this.#records.size
  }

  /** `source`: `acknowledged` or `fetched`. */
  saw(offset: number, id: RecordId, source: string): void {
    const key = keyOf(id)
    const known = this.#records.get(offset)
    if (known === undefined) this.#records.set(offset, key)
    else if (known !== key)
      this.#fail(`I5: offset ${offset} holds ${nameOf(key)} (${source}), and was ${nameOf(known)}`)
    this.#end = Math.max(this.#end, offset + 1)
  }

  mayTrimTo(offset: number): void {
    this.#startMax = Math.max(this.#startMax, offset)
  }

  trimmedTo(offset: number): void {
    this.#startMin = Math.max(this.#startMin, offset)
  }

  /** Where the partition must start at least, for whoever asks from now on. */
  get startMin(): number {
    return this.#startMin
  }

  checkStart(start: number, startMin: number): void {
    if (start > this.#startMax)
      this.#fail(`I1: records below ${start} are gone, and nobody asked for more than ${this.#startMax}`)
    if (start < startMin) this.#fail(`I1: ${startMin} was acknowledged as the start, and now it is ${start}`)
  }

  /** Everything there is now, from `start`, in order and dense, against everything that was ever told. */
  checkAll(start: number, ids: readonly RecordId[], traits: ReadonlyMap<number, ProducerTraits>): void {
    this.checkStart(start, this.#startMin)
    for (const [offset, key] of this.#records) {
      if (offset < start) continue
      const found = ids[offset - start]
      if (!found)
        this.#fail(
          `I1: offset ${offset} with ${nameOf(key)} is missing; the partition has [${start}, ${start + ids.length})`,
        )
      else if (keyOf(found) !== key)
        this.#fail(`I5: offset ${offset} holds ${nameOf(keyOf(found))}, and was ${nameOf(key)}`)
    }
    this.#checkOrder(ids, traits)
  }

  #checkOrder(ids: readonly RecordId[], traits: ReadonlyMap<number, ProducerTraits>): void {
    const newest = new Map<number, number>()
    for (const { producer, index } of ids) {
      const last = newest.get(producer)
      newest.set(producer, Math.max(last ?? 0, index))
      if (last === undefined) continue
      const { idempotent } = traits.get(producer)!
      if (idempotent && index !== last + 1) {
        this.#fail(`I6: idempotent producer ${producer} has record ${index} after ${last}`)
      }
    }
    if (new Set(ids.map(keyOf)).size < ids.length) this.#checkFirsts(ids, traits)
  }

  /**
   * A retry may repeat records, but what comes for the first time stays in order. Records before a producer's oldest one are
   * repetitions, too: their first copies were trimmed away.
   */
  #checkFirsts(ids: readonly RecordId[], traits: ReadonlyMap<number, ProducerTraits>): void {
    const seen = new Set<number>()
    const newest = new Map<number, number>()
    const oldest = new Map<number, number>()
    for (const { producer, index } of ids) if (!oldest.has(producer)) oldest.set(producer, index)
    for (const id of ids) {
      if (seen.has(keyOf(id)) || traits.get(id.producer)!.idempotent) continue
      seen.add(keyOf(id))
      if (id.index < oldest.get(id.producer)!) continue
      const last = newest.get(id.producer) ?? -1
      if (id.index < last)
        this.#fail(`I6: producer ${id.producer} has record ${id.index} for the first time after ${last}`)
      newest.set(id.producer, id.index)
    }
  }

  #fail(message: string): void {
    this.#world.fail(`${this.name}: ${message}`)
  }
}

/** What one committer was told about its group's offset in one partition. */
export class CommitHistory {
  readonly #world: World
  readonly #name: string
  /** What may be there: the last acknowledged, and all attempts since. */
  #possible: number[] = [-1]

  constructor(world: World, name: string) {
    this.#world = world
    this.#name = name
  }

  attempt(offset: number): void {
    this.#possible.push(offset)
  }

  /** Attempts that were made after this one may have been taken, too: its answer may come late, and another member may have gone on. */
  acknowledged(offset: number): void {
    const at = this.#possible.indexOf(offset)
    this.#possible = at < 0 ? [offset, ...this.#possible] : this.#possible.slice(at)
  }

  found(offset: number): void {
    if (this.#possible.includes(offset)) this.#possible = [offset]
    else this.#world.fail(`${this.#name}: the committed offset is ${offset}, and was ${this.#possible.join(' or ')}`)
  }
}
