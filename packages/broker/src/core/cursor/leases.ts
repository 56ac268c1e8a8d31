import type { ConsumerId, ConsumerKind, CursorConsumer, Tally } from './cursor.ts'

/** A consumer and the list of what it holds. */
export class Holder implements CursorConsumer {
  readonly id: ConsumerId
  readonly name: string
  readonly kind: ConsumerKind
  inFlightCount = 0
  #tally: Tally | undefined
  /** The slot taken last; the others follow by `Leases.olderThan`. */
  newest = -1

  constructor(id: ConsumerId, name: string, kind: ConsumerKind) {
    this.id = id
    this.name = name
    this.kind = kind
  }

  get tally(): Tally | undefined {
    return this.#tally
  }
  set tally(tally: Tally | undefined) {
    if (this.#tally) this.#tally.count -= this.inFlightCount
    if (tally) tally.count += this.inFlightCount
    this.#tally = tally
  }

  /** It holds so many more. */
  holds(more: number): void {
    this.inFlightCount += more
    if (this.#tally) this.#tally.count += more
  }
}

const countMax = 0xffff
/** Slots share the least deadline of their group: so few numbers are looked at to find what is due. */
const groupBits = 8
const groupSlots = 1 << groupBits
const none = -1

// An idle queue has nothing in flight: it needs no arrays of its own for that.
const noDoubles = new Float64Array(0)
const noIntegers = new Int32Array(0)
const noHolders = new Uint32Array(0)
const noCounts = new Uint16Array(0)

/**
 * One slot for each offset in flight, and for each returned one whose count of deliveries is not 1. A struct of arrays: about
 * forty bytes for a slot, and no object.
 *
 * Invariants: an offset has at most one slot; a slot with a holder is in its holder's list; a group's `#leastDeadline` is not above any
 * deadline of its slots (it may lie below: then looking costs a little).
 */
export class Leases {
  #offset = noDoubles
  #deadline = noDoubles
  #holder = noHolders
  #older = noIntegers
  #newer = noIntegers
  #count = noCounts
  /** What the message weighs, if somebody has said so. */
  #bytes = noHolders
  #leastDeadline = noDoubles
  /** Open addressing: a slot plus one, or 0. */
  #index = noIntegers
  #shift = 0
  /** Free slots are chained by `#older`. */
  #free = none
  #used = 0
  /** The arrays, when they are to be given back. */
  #borrowed: Columns | undefined
  size = 0
  /** What all weigh that somebody holds. */
  heldBytes = 0
  readonly holders = new Map<ConsumerId, Holder>()

  /** Bytes of all arrays. */
  get bytes(): number {
    const arrays = [...this.#columns(), this.#leastDeadline, this.#index]
    return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  /** The slot of an offset, or -1. */
  find(offset: number): number {
    const mask = this.#index.length - 1
    if (mask < 0) return none
    for (let at = this.#home(offset); ; at = (at + 1) & mask) {
      const slot = this.#index[at]! - 1
      if (slot < 0 || this.#offset[slot] === offset) return slot
    }
  }

  offsetOf(slot: number): number {
    return this.#offset[slot]!
  }
  deadlineOf(slot: number): number {
    return this.#deadline[slot]!
  }
  /** 0 for a slot that nobody holds. */
  holderOf(slot: number): ConsumerId {
    return this.#holder[slot]!
  }
  countOf(slot: number): number {
    return this.#count[slot]!
  }
  setCount(slot: number, count: number): void {
    this.#count[slot] = Math.min(count, countMax)
  }
  bytesOf(slot: number): number {
    return this.#bytes[slot]!
  }
  setBytes(slot: number, bytes: number): void {
    if (this.#holder[slot] !== 0) this.heldBytes += bytes - this.#bytes[slot]!
    this.#bytes[slot] = bytes
  }
  /** The next older of the slots that the same consumer holds, or -1. */
  olderThan(slot: number): number {
    return this.#older[slot]!
  }

  /** A slot for an offset that has none. */
  add(offset: number, count: number): number {
    if (this.#free === none && this.#used === this.#offset.length) {
      if (this.#used === 0) this.#borrow()
      else this.#resize(Math.max(8, Math.ceil(this.#used * 1.5)))
    }
    let slot = this.#free
    if (slot === none) slot = this.#used++
    else this.#free = this.#older[slot]!
    this.#offset[slot] = offset
    this.#deadline[slot] = Infinity
    this.#holder[slot] = 0
    this.#bytes[slot] = 0
    this.setCount(slot, count)
    this.#enter(slot, offset)
    this.size++
    return slot
  }

  /** Into the hands of `holder`, out of those of whoever has it. */
  hold(slot: number, holder: Holder, deadline: number): void {
    if (this.#holder[slot] !== 0) this.letGo(slot)
    this.#holder[slot] = holder.id
    const { newest } = holder
    this.#older[slot] = newest
    this.#newer[slot] = none
    if (newest !== none) this.#newer[newest] = slot
    holder.newest = slot
    holder.holds(1)
    this.heldBytes += this.#bytes[slot]!
    this.setDeadline(slot, deadline)
  }

  setDeadline(slot: number, deadline: number): void {
    this.#deadline[slot] = deadline
    const group = slot >>> groupBits
    if (deadline < this.#leastDeadline[group]!) this.#leastDeadline[group] = deadline
  }

  /** Nobody holds the slot any more. */
  letGo(slot: number): void {
    const holder = this.holders.get(this.#holder[slot]!)
    if (!holder) return
    const older = this.#older[slot]!
    const newer = this.#newer[slot]!
    if (older !== none) this.#newer[older] = newer
    if (newer !== none) this.#older[newer] = older
    else holder.newest = older
    holder.holds(-1)
    this.heldBytes -= this.#bytes[slot]!
    this.#holder[slot] = 0
    this.#deadline[slot] = Infinity
  }

  remove(slot: number): void {
    if (this.#holder[slot] !== 0) this.letGo(slot)
    this.#leave(this.#offset[slot]!)
    this.#offset[slot] = none
    this.#older[slot] = this.#free
    this.#free = slot
    if (--this.size === 0 && this.#borrowed) this.#giveBack(this.#borrowed)
  }

  /** A burst long ago costs no memory. Slots get new numbers. */
  trim(): void {
    const capacity = this.#offset.length
    if (this.size === 0 ? capacity > 0 : capacity > 16 && this.size * 4 < capacity) this.#resize(this.size * 2)
  }

  /** Drops all slots; consumers stay. */
  clear(): void {
    for (const holder of this.holders.values()) {
      holder.newest = none
      holder.holds(-holder.inFlightCount)
    }
    this.size = this.#used = this.heldBytes = 0
    this.#resize(0)
  }

  /** The earliest deadline, or a time before it; Infinity when there is none. */
  earliestDeadline(): number {
    let least = Infinity
    for (const deadline of this.#leastDeadline) if (deadline < least) least = deadline
    return least
  }

  /** Offsets whose deadline is not after `now`, at most `max` of them and up to a group more, ascending. They are to be let go at once. */
  due(now: number, max: number): number[] {
    const found: number[] = []
    for (let group = 0; group < this.#leastDeadline.length && found.length < max; group++) {
      if (this.#leastDeadline[group]! > now) continue
      let least = Infinity
      const end = Math.min(this.#used, (group + 1) * groupSlots)
      for (let slot = group * groupSlots; slot < end; slot++) {
        const deadline = this.#offset[slot] === none ? Infinity : this.#deadline[slot]!
        if (deadline <= now) found.push(this.#offset[slot]!)
        else if (deadline < least) least = deadline
      }
      this.#leastDeadline[group] = least
    }
    return found.sort((a, b) => a - b)
  }

  #home(offset: number): number {
    return Math.imul(offset | 0, 0x9e3779b1) >>> this.#shift
  }

  #enter(slot: number, offset: number): void {
    const mask = this.#index.length - 1
    let at = this.#home(offset)
    while (this.#index[at] !== 0) at = (at + 1) & mask
    this.#index[at] = slot + 1
  }

  /** Closes the gap, so that no search ends too early. */
  #leave(offset: number): void {
    const index = this.#index
    const mask = index.length - 1
    let gap = this.#home(offset)
    while (this.#offset[index[gap]! - 1] !== offset) gap = (gap + 1) & mask
    for (let at = (gap + 1) & mask; index[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(this.#offset[index[at]! - 1]!)
      if (((at - home) & mask) < ((at - gap) & mask)) continue
      index[gap] = index[at]!
      gap = at
    }
    index[gap] = 0
  }

  /** Arrays for the first few slots, from those that nobody needs at present. */
  #borrow(): void {
    const columns = spare.pop() ?? new Columns()
    this.#use(columns)
    this.#leastDeadline = columns.leastDeadline
    this.#index = columns.index
    this.#shift = borrowedShift
    this.#borrowed = columns
  }

  /** They are as they were but for what `add` writes anew. */
  #giveBack(columns: Columns): void {
    columns.leastDeadline.fill(Infinity)
    if (spare.length < spareMax) spare.push(columns)
    this.#use(noColumns)
    this.#leastDeadline = noDoubles
    this.#index = noIntegers
    this.#free = none
    this.#used = this.#shift = 0
    this.#borrowed = undefined
  }

  #use({ offset, deadline, holder, older, newer, count, bytes }: typeof noColumns): void {
    this.#offset = offset
    this.#deadline = deadline
    this.#holder = holder
    this.#older = older
    this.#newer = newer
    this.#count = count
    this.#bytes = bytes
  }

  /** Into arrays of `capacity` slots, without gaps: slots get new numbers unless there were none. */
  #resize(capacity: number): void {
    const [offset, deadline, holder, older, newer, count, bytes] = this.#columns()
    const used = this.#used
    const moved = new Int32Array(used)
    this.#borrowed = undefined
    let next = 0
    for (let slot = 0; slot < used; slot++) moved[slot] = offset[slot] === none ? none : next++
    this.#offset = new Float64Array(capacity)
    this.#deadline = new Float64Array(capacity)
    this.#holder = new Uint32Array(capacity)
    this.#older = new Int32Array(capacity)
    this.#newer = new Int32Array(capacity)
    this.#count = new Uint16Array(capacity)
    this.#bytes = new Uint32Array(capacity)
    this.#leastDeadline = new Float64Array(Math.ceil(capacity / groupSlots)).fill(Infinity)
    const indexBits = capacity === 0 ? 0 : Math.ceil(Math.log2(capacity * 1.5))
    this.#index = new Int32Array(capacity === 0 ? 0 : 1 << indexBits)
    this.#shift = 32 - indexBits
    const link = (slot: number): number => (slot === none ? none : moved[slot]!)
    for (let slot = 0; slot < used; slot++) {
      const target = moved[slot]!
      if (target === none) continue
      this.#offset[target] = offset[slot]!
      this.#holder[target] = holder[slot]!
      this.#count[target] = count[slot]!
      this.#bytes[target] = bytes[slot]!
      this.setDeadline(target, deadline[slot]!)
      this.#enter(target, offset[slot]!)
      if (holder[slot] === 0) continue
      this.#older[target] = link(older[slot]!)
      this.#newer[target] = link(newer[slot]!)
    }
    for (const consumer of this.holders.values()) consumer.newest = link(consumer.newest)
    this.#free = none
    this.#used = next
  }

  #columns(): [Float64Array, Float64Array, Uint32Array, Int32Array, Int32Array, Uint16Array, Uint32Array] {
    return [this.#offset, this.#deadline, this.#holder, this.#older, this.#newer, this.#count, this.#bytes]
  }
}

const borrowedSlots = 32
const borrowedIndexBits = 6
const borrowedShift = 32 - borrowedIndexBits

/** Arrays for a few slots. Most cursors have something in flight for a moment: then they take these, and hand them on. */
class Columns {
  readonly offset = new Float64Array(borrowedSlots)
  readonly deadline = new Float64Array(borrowedSlots)
  readonly holder = new Uint32Array(borrowedSlots)
  readonly older = new Int32Array(borrowedSlots)
  readonly newer = new Int32Array(borrowedSlots)
  readonly count = new Uint16Array(borrowedSlots)
  readonly bytes = new Uint32Array(borrowedSlots)
  readonly leastDeadline = new Float64Array(1).fill(Infinity)
  readonly index = new Int32Array(1 << borrowedIndexBits)
}

const spare: Columns[] = []
const spareMax = 64

const noColumns = {
  offset: noDoubles,
  deadline: noDoubles,
  holder: noHolders,
  older: noIntegers,
  newer: noIntegers,
  count: noCounts,
  bytes: noHolders,
}
