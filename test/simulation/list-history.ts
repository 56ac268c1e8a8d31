import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'
import type { RecordId } from './history.ts'
import type { Told } from './resp-client.ts'

export type Side = 'left' | 'right'

export const keyOf = ({ producer, index }: RecordId): number => producer * 1_000_000 + index

/** A value that somebody has pushed, as all clients together know it. */
export class Item {
  readonly id: RecordId
  readonly side: Side
  readonly askedMs: number
  /** When it was there for sure; Infinity: nobody knows whether it ever was. */
  sinceMs = Infinity
  isRefused = false
  /** Somebody has asked to remove it, and was not answered. */
  mayBeRemoved = false
  /** When somebody was told that it was taken out; Infinity: never. */
  takenMs = Infinity
  /** When the latest request was sent that showed it. */
  shownMs = -Infinity

  constructor(id: RecordId, side: Side, askedMs: number) {
    this.id = id
    this.side = side
    this.askedMs = askedMs
  }

  get name(): string {
    return `value ${this.id.index} of pusher ${this.id.producer}`
  }

  /** It was pushed before the other one for sure. */
  isBefore(other: Item): boolean {
    if (this.id.producer === other.id.producer) return this.id.index < other.id.index
    return this.sinceMs < other.askedMs
  }
}

/** Something that is known from a time on, and grows: asked for any time. */
class Growing {
  readonly #times: number[] = []
  readonly #values: number[] = []

  add(ms: number, value: number): void {
    if (value <= (this.#values.at(-1) ?? -Infinity)) return
    this.#times.push(Math.max(ms, this.#times.at(-1) ?? ms))
    this.#values.push(value)
  }

  /** What was known before `ms`. */
  before(ms: number): number {
    return this.#values[countBefore(this.#times, ms) - 1] ?? -Infinity
  }

  /** Since when it is known that the value is greater than this one. */
  since(value: number): number {
    const at = this.#values.findIndex(each => each > value)
    return at < 0 ? Infinity : this.#times[at]!
  }
}

/** In which order one who takes gets values. */
export class Popper {
  newestAskedMs = -Infinity
  readonly newest = new Map<number, number>()
}

/** A command whose answer was lost may have taken a value. */
interface Lost {
  readonly askedMs: number
  readonly untilMs: number
}

/**
 * All that the clients of one list were told.
 *
 * Holds: a value that a push was answered for, or that somebody has seen, is there until it is taken, by one command. What lies in the list lies in the order
 * in which it was pushed at each end. Of a list that is a queue, values are taken in the order in which they were pushed; what is said to be
 * empty, is.
 */
export class ListHistory {
  readonly name: string
  readonly isQueue: boolean
  readonly items = new Map<number, Item>()
  readonly #world: World
  /** Values that were there before such a time are gone. */
  readonly #gone = new Growing()
  readonly #goneOf = new Map<number, Growing>()
  readonly #lost: Lost[] = []
  /** Commands without an answer that may have moved a value elsewhere. */
  lostMoves = 0

  constructor(world: World, name: string, isQueue: boolean) {
    this.#world = world
    this.name = name
    this.isQueue = isQueue
  }

  pushing(id: RecordId, side: Side, askedMs = this.#world.nowMs): Item {
    const item = new Item(id, side, askedMs)
    this.items.set(keyOf(id), item)
    return item
  }

  pushed(item: Item, { answer, untilMs }: Told): void {
    if (answer === undefined) {
      if (untilMs === -Infinity) item.isRefused = true
    } else if (answer instanceof Error) item.isRefused = true
    else item.sinceMs = Math.min(item.sinceMs, untilMs)
  }

  /** Values that one command has taken, in their order. */
  popped(popper: Popper, ids: readonly RecordId[], told: Told): void {
    for (const id of ids) {
      const item = this.#seen(id, told)
      if (!item) return
      item.takenMs = told.untilMs
      if (this.isQueue) this.#left(popper, item, told)
    }
  }

  /** There was nothing at some time between question and answer. */
  wasEmpty({ askedMs, untilMs }: Told): void {
    this.#gone.add(untilMs, askedMs)
  }

  /** A command that takes was not answered. */
  lost({ askedMs, untilMs }: Told, count: number): void {
    if (untilMs > askedMs) for (let left = count; left > 0; left--) this.#lost.push({ askedMs, untilMs })
  }

  /** All values there were at some time between question and answer, from the left. */
  showed(ids: readonly RecordId[], told: Told): Item[] {
    const items: Item[] = []
    for (const id of ids) {
      const item = this.#seen(id, told)
      if (item) items.push(item)
    }
    if (new Set(items).size < items.length) this.#fail('a value is there twice')
    this.#checkOrder(items, 'right')
    this.#checkOrder(items.toReversed(), 'left')
    return items
  }

  #seen(id: RecordId, { askedMs, untilMs }: Told): Item | undefined {
    const item = this.items.get(keyOf(id))
    if (!item) return this.#fail(`value ${id.index} of pusher ${id.producer} was never pushed`)
    if (item.isRefused) return this.#fail(`${item.name} was refused, and is there`)
    if (item.takenMs < askedMs)
      return this.#fail(`${item.name} was taken at ${item.takenMs.toFixed(0)}, and comes again`)
    if (this.#gone.before(askedMs) > item.sinceMs)
      return this.#fail(`${item.name} comes after what was pushed later, or after the end`)
    if ((this.#goneOf.get(id.producer)?.before(askedMs) ?? -1) > id.index)
      return this.#fail(`${item.name} comes after one that its pusher sent later`)
    item.shownMs = Math.max(item.shownMs, askedMs)
    item.sinceMs = Math.min(item.sinceMs, untilMs)
    return item
  }

  /** What was there before this one has left. */
  #left(popper: Popper, item: Item, { untilMs }: Told): void {
    const { producer, index } = item.id
    if ((popper.newest.get(producer) ?? -1) > index || popper.newestAskedMs > item.sinceMs)
      this.#fail(`${item.name} comes late to one who takes`)
    popper.newest.set(producer, index)
    popper.newestAskedMs = Math.max(popper.newestAskedMs, item.askedMs)
    this.#gone.add(untilMs, item.askedMs)
    let gone = this.#goneOf.get(producer)
    if (!gone) this.#goneOf.set(producer, (gone = new Growing()))
    gone.add(untilMs, index)
  }

  /** Those that were pushed at `side` must come behind all that were there. */
  #checkOrder(items: readonly Item[], side: Side): void {
    const newest = new Map<number, number>()
    let askedMs = -Infinity
    for (const item of items) {
      const { producer, index } = item.id
      if (askedMs > item.sinceMs || (newest.get(producer) ?? -1) > index)
        this.#fail(`${item.name} is on the wrong side of one that was pushed later`)
      if (item.side !== side) continue
      askedMs = Math.max(askedMs, item.askedMs)
      newest.set(producer, Math.max(index, newest.get(producer) ?? -1))
    }
  }

  /** Nothing is under way. `here`: all that is there; `elsewhere`: what was moved from here, and is there. */
  checkAll(here: readonly Item[], elsewhere: ReadonlySet<Item>): void {
    const there = new Set(here)
    const missing: Item[] = []
    let moved = 0
    for (const item of this.items.values()) {
      const isGone = item.takenMs < Infinity || item.mayBeRemoved
      if (elsewhere.has(item) && there.has(item)) this.#fail(`${item.name} was moved, and is still here`)
      if (elsewhere.has(item) && !isGone) moved++
      else if (!isGone && !there.has(item) && item.sinceMs < Infinity) missing.push(item)
    }
    if (moved > this.lostMoves)
      this.#fail(`${moved} values were moved, and ${this.lostMoves} commands could have done it`)
    this.#checkMissing(missing)
  }

  /** Each needs a command of its own that may have taken it. */
  #checkMissing(missing: readonly Item[]): void {
    const shown = this.isQueue ? new ShownBefore([...this.items.values()]) : undefined
    const wishes = missing.map(item => {
      const goneMs = this.isQueue ? this.#goneSince(item) : Infinity
      const fromMs = Math.max(item.askedMs, item.shownMs, shown?.of(item) ?? -Infinity)
      return this.#lost.flatMap(({ askedMs, untilMs }, at) => (askedMs < goneMs && untilMs > fromMs ? [at] : []))
    })
    const at = unmatched(wishes)
    if (at === undefined) return
    const { name, sinceMs } = missing[at]!
    this.#fail(`${name} was there at ${sinceMs.toFixed(0)}, and nobody can have taken it`)
  }

  #goneSince(item: Item): number {
    const ofPusher = this.#goneOf.get(item.id.producer)?.since(item.id.index) ?? Infinity
    return Math.min(ofPusher, this.#gone.since(item.sinceMs))
  }

  #fail(message: string): undefined {
    this.#world.fail(`list ${this.name}: ${message}`)
  }
}

/** When the latest request was sent that showed a value which was there before another one: by then, that one had not been taken. */
class ShownBefore {
  readonly #sinceMs: number[] = []
  readonly #shownMs: number[] = []

  constructor(items: Item[]) {
    let latest = -Infinity
    for (const { sinceMs, shownMs } of items.sort((a, b) => a.sinceMs - b.sinceMs)) {
      this.#sinceMs.push(sinceMs)
      this.#shownMs.push((latest = Math.max(latest, shownMs)))
    }
  }

  of({ askedMs }: Item): number {
    return this.#shownMs[countBefore(this.#sinceMs, askedMs) - 1] ?? -Infinity
  }
}

/** How many of the ascending `values` are less. */
function countBefore(values: readonly number[], bound: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle]! < bound) low = middle + 1
    else high = middle
  }
  return low
}

/** Finds for each of `wishes`, which names what would do, one of its own. Returns one for which there is none. */
function unmatched(wishes: readonly (readonly number[])[]): number | undefined {
  const owners = new Map<number, number>()
  const place = (wish: number, tried: Set<number>): boolean => {
    for (const each of wishes[wish]!) {
      if (tried.has(each)) continue
      tried.add(each)
      const owner = owners.get(each)
      if (owner !== undefined && !place(owner, tried)) continue
      owners.set(each, wish)
      return true
    }
    return false
  }
  for (let wish = 0; wish < wishes.length; wish++) if (!place(wish, new Set())) return wish
  return undefined
}
