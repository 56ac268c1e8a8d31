import { headerText, type Header } from '../message.ts'
import { murmur2 } from './murmur2.ts'
import { bindingKey, type Binding, type Matcher, type Place } from './place.ts'

/** Points on the ring for each unit of weight: the more, the more even the shares. */
const pointsPerWeight = 100
/** Of all bindings of one exchange together. */
export const weightMax = 4096

/** The weight that a binding's key says, 1 to `weightMax`; undefined when it says none. */
export function weightOf(key: string): number | undefined {
  const weight = Number(key)
  return /^[0-9]{1,4}$/.test(key) && weight >= 1 && weight <= weightMax ? weight : undefined
}

/**
 * Consistent hashing: each binding has points on a ring, and a key belongs to the next point. The ring depends on nothing but the bindings, so
 * that it is the same after a restart; one more or less of them moves only its own share.
 */
export class HashRing implements Matcher {
  readonly isByKey: boolean
  readonly #header: string | undefined
  readonly #bindings = new Set<Binding>()
  #weight = 0
  /** Built when it is asked for: where the points are, ascending, and whose they are. */
  #ring: { points: Uint32Array; owners: Place[] } | undefined

  /** `header`: hashes its value instead of the key. */
  constructor(header: string | undefined) {
    this.#header = header
    this.isByKey = header === undefined
  }

  get weight(): number {
    return this.#weight
  }

  add(binding: Binding): void {
    this.#bindings.add(binding)
    this.#weight += weightOf(binding.key) ?? 0
    this.#ring = undefined
  }

  remove(binding: Binding): void {
    this.#bindings.delete(binding)
    this.#weight -= weightOf(binding.key) ?? 0
    this.#ring = undefined
  }

  match(key: string, headers: readonly Header[], found: Place[]): void {
    const { points, owners } = (this.#ring ??= this.#build())
    if (points.length === 0) return
    const text = this.#header === undefined ? key : textOf(headers, this.#header)
    const hash = spread(murmur2(Buffer.from(text)))
    let low = 0
    for (let high = points.length; low < high;) {
      const middle = (low + high) >>> 1
      if (points[middle]! < hash) low = middle + 1
      else high = middle
    }
    found.push(owners[low === points.length ? 0 : low]!)
  }

  #build(): { points: Uint32Array; owners: Place[] } {
    // In an order that does not depend on when they came: where two have the same point, it must stay with one of them.
    const bindings = Array.from(this.#bindings, binding => ({
      name: bindingKey(binding.destination, binding.key, binding.encoded),
      binding,
    })).sort((a, b) => (a.name < b.name ? -1 : 1))
    // The point above, its owner below: sorted as one number.
    const pairs = new Float64Array(this.#weight * pointsPerWeight)
    let count = 0
    for (const [owner, { name, binding }] of bindings.entries()) {
      const start = murmur2(Buffer.from(name))
      const points = (weightOf(binding.key) ?? 0) * pointsPerWeight
      for (let point = 0; point < points; point++) {
        pairs[count++] = spread(start + Math.imul(point + 1, 0x9e37_79b9)) * weightMax * 2 + owner
      }
    }
    pairs.sort()
    const points = Uint32Array.from(pairs, pair => Math.floor(pair / (weightMax * 2)))
    return { points, owners: Array.from(pairs, pair => bindings[pair % (weightMax * 2)]!.binding.destination) }
  }
}

/** The last of the name counts; none counts as one without text. */
function textOf(headers: readonly Header[], name: string): string {
  const header = headers.findLast(one => one.name === name)
  return header ? headerText(header.value) : ''
}

/** Every bit of the result depends on every bit given. */
function spread(value: number): number {
  let hash = value | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
