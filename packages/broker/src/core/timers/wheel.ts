/** Is told when a time has come. `reference` is what it gave when it asked. */
export interface TimerTarget {
  due(reference: number): void
}

/** Names an entry until it has fired or was cancelled; then it names nothing. */
export type TimerId = number

/** An id that never names anything. */
export const noTimer: TimerId = -1

export interface WheelClock {
  monotonicMs(): number
  after(delayMs: number, run: () => void): () => void
}

/** How far apart the slots are: what is due fires so much later at the most, and never early. */
export const tickMs = 10
const slotCount = 32768
/** So many fire in one turn; the others in the next. */
const firesPerTurnMax = 4096
const slotBits = 24
const slotsMax = 1 << slotBits
/** Together they make a number that is exact. */
const generationMask = 2 ** (53 - slotBits) - 1
const none = -1

/**
 * The timers of what is near: one runtime timer for all of them, 32768 slots of 10 ms. Typed arrays and one reference for each entry;
 * adding and cancelling take constant time. What is due beyond the horizon of some minutes goes around once more.
 *
 * All times are monotonic milliseconds.
 */
export class TimerWheel {
  readonly #clock: WheelClock
  readonly #heads = new Int32Array(slotCount).fill(none)
  /** A bit for each slot that holds anything. */
  readonly #occupied = new Uint32Array(slotCount / 32)
  #due = new Float64Array(0)
  #next = new Int32Array(0)
  #previous = new Int32Array(0)
  #generation = new Uint32Array(0)
  #reference = new Float64Array(0)
  #targets: (TimerTarget | undefined)[] = []
  #free = none
  #used = 0
  /** All ticks up to this one have been fired. */
  #now: number
  #armedTick = Infinity
  #cancelArmed: (() => void) | undefined
  #closed = false
  count = 0

  constructor(clock: WheelClock) {
    this.#clock = clock
    this.#now = Math.floor(clock.monotonicMs() / tickMs)
  }

  /** Calls `target.due(reference)` at `dueMs` or up to a tick later, never within this call. */
  at(dueMs: number, target: TimerTarget, reference = 0): TimerId {
    if (this.count === 0) this.#now = Math.max(this.#now, Math.floor(this.#clock.monotonicMs() / tickMs))
    const entry = this.#take()
    this.#due[entry] = dueMs
    this.#reference[entry] = reference
    this.#targets[entry] = target
    this.count++
    this.#arm(this.#place(entry))
    return this.#generation[entry]! * slotsMax + entry
  }

  /** Of no effect for an entry that has fired or was cancelled. */
  cancel(id: TimerId): void {
    if (id < 0) return
    const entry = id % slotsMax
    if (this.#generation[entry] !== Math.floor(id / slotsMax) || this.#targets[entry] === undefined) return
    this.#unlink(entry)
    this.#give(entry)
  }

  close(): void {
    this.#closed = true
    this.#cancelArmed?.()
    this.#cancelArmed = undefined
  }

  /** Into the slot of its time, or of the last one that the wheel reaches. Returns the tick. */
  #place(entry: number): number {
    const wanted = Math.ceil(this.#due[entry]! / tickMs)
    const tick = Math.min(Math.max(wanted, this.#now + 1), this.#now + slotCount - 1)
    const slot = tick % slotCount
    const head = this.#heads[slot]!
    this.#next[entry] = head
    // The slot of a first entry is written as a negative number below -1.
    this.#previous[entry] = -2 - slot
    if (head !== none) this.#previous[head] = entry
    this.#heads[slot] = entry
    this.#occupied[slot >>> 5]! |= 1 << (slot & 31)
    return tick
  }

  #unlink(entry: number): void {
    const next = this.#next[entry]!
    const previous = this.#previous[entry]!
    if (next !== none) this.#previous[next] = previous
    if (previous >= 0) this.#next[previous] = next
    else {
      const slot = -2 - previous
      this.#heads[slot] = next
      if (next === none) this.#occupied[slot >>> 5]! &= ~(1 << (slot & 31))
    }
  }

  #take(): number {
    const entry = this.#free
    if (entry !== none) {
      this.#free = this.#next[entry]!
      return entry
    }
    if (this.#used === this.#due.length) this.#grow()
    return this.#used++
  }

  #give(entry: number): void {
    this.#targets[entry] = undefined
    this.#generation[entry] = (this.#generation[entry]! + 1) & generationMask
    this.#next[entry] = this.#free
    this.#free = entry
    this.count--
  }

  #grow(): void {
    const capacity = Math.min(slotsMax, Math.max(16, this.#used * 2))
    if (capacity === this.#used) throw new Error(`There cannot be more than ${slotsMax} timers`)
    const wider = <T extends { set(from: T): void }>(to: T, from: T): T => {
      to.set(from)
      return to
    }
    this.#due = wider(new Float64Array(capacity), this.#due)
    this.#reference = wider(new Float64Array(capacity), this.#reference)
    this.#next = wider(new Int32Array(capacity), this.#next)
    this.#previous = wider(new Int32Array(capacity), this.#previous)
    this.#generation = wider(new Uint32Array(capacity), this.#generation)
  }

  /** Sees to it that the runtime wakes us at `tick` at the latest. */
  #arm(tick: number): void {
    if (tick >= this.#armedTick || this.#closed) return
    this.#cancelArmed?.()
    this.#armedTick = tick
    this.#cancelArmed = this.#clock.after(Math.max(0, tick * tickMs - this.#clock.monotonicMs()), () => this.#turn())
  }

  #turn(): void {
    this.#cancelArmed = undefined
    this.#armedTick = Infinity
    const present = Math.floor(this.#clock.monotonicMs() / tickMs)
    let left = firesPerTurnMax
    for (let tick = this.#nextTick(); tick <= present && left > 0; tick = this.#nextTick()) {
      this.#now = tick
      left -= this.#fire(tick, left)
    }
    if (this.count > 0) this.#arm(this.#nextTick())
  }

  /** Fires what is due in the slot of `tick`, at most `max` entries. Returns how many. */
  #fire(tick: number, max: number): number {
    const slot = tick % slotCount
    let fired = 0
    // One at a time, from the head: whoever is told may add and cancel. What is added now is due in a later slot.
    for (let entry = this.#heads[slot]!; entry !== none; entry = this.#heads[slot]!) {
      if (fired === max) {
        this.#now = tick - 1
        break
      }
      this.#unlink(entry)
      if (this.#due[entry]! > tick * tickMs) {
        this.#place(entry)
        continue
      }
      const target = this.#targets[entry]!
      const reference = this.#reference[entry]!
      this.#give(entry)
      fired++
      target.due(reference)
    }
    return fired
  }

  /** The first tick after `#now` whose slot holds anything; Infinity when there is none. */
  #nextTick(): number {
    if (this.count === 0) return Infinity
    const start = (this.#now + 1) % slotCount
    for (let step = 0; step <= slotCount / 32; step++) {
      const index = ((start >>> 5) + step) % (slotCount / 32)
      let word = this.#occupied[index]!
      // The first word is looked at twice: behind the start at first, before it at the end.
      if (step === 0) word &= -1 << (start & 31)
      if (word === 0) continue
      const slot = index * 32 + 31 - Math.clz32(word & -word)
      return this.#now + 1 + ((slot - start + slotCount) % slotCount)
    }
    return Infinity
  }
}
