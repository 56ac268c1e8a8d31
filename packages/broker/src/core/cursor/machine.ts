import assert from 'node:assert/strict'
import type { Reader, Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import type { ConsumerId, MessageState, PendingRun } from './cursor.ts'
import { consumerKinds, cursorFacts, FactReader, returnedHow } from './facts.ts'
import { Holder, Leases } from './leases.ts'
import { inFlight, PendingSet, returned, settled } from './pending.ts'

const stateVersion = 1

/**
 * The durable side of a cursor: what is pending, who holds it until when, how often it was delivered. What it says of an offset below
 * `next` that is not pending: settled.
 *
 * Invariants: an offset in flight has a slot with a holder; a returned offset has a slot exactly when its count of deliveries is
 * not 1; `floor` is the lowest pending offset, or `next` when nothing is pending.
 */
export class CursorMachine implements Machine {
  stream = 0
  floor = 0
  next = 0
  ackedCount = 0
  droppedCount = 0
  readonly pending = new PendingSet()
  readonly leases = new Leases()
  /** Is told what comes back, and what it weighs. Not kept. */
  givenBack: ((offset: number, bytes: number) => void) | undefined
  #nextConsumer = 1

  /** The consumer that joined last. */
  get newestConsumer(): ConsumerId {
    return this.#nextConsumer - 1
  }
  get inFlightCount(): number {
    return this.pending.pendingCount - this.pending.returnedCount
  }

  stateOf(offset: number): MessageState {
    if (offset >= this.next) return 'ready'
    const state = this.pending.stateOf(offset)
    return state === settled ? 'settled' : state === returned ? 'returned' : 'in-flight'
  }

  /** How many offsets of [first, last] are not settled, at most `max`. */
  countLive(first: number, last: number, max: number): number {
    const { next, pending } = this
    let count = Math.min(max, Math.max(0, last + 1 - Math.max(first, next)))
    const end = Math.min(last + 1, next)
    for (let at = pending.nextPending(first); at < end && count < max; at = pending.nextPending(at + 1)) count++
    return count
  }

  deliveryCount(offset: number): number {
    const slot = this.leases.find(offset)
    if (slot >= 0) return this.leases.countOf(slot)
    return this.pending.stateOf(offset) === returned ? 1 : 0
  }

  /** 0 when it is not in flight. */
  holderOf(offset: number): ConsumerId {
    const slot = this.leases.find(offset)
    return slot < 0 ? 0 : this.leases.holderOf(slot)
  }

  apply(type: number, payload: Buffer): void {
    const fact = reader
    fact.begin(payload)
    switch (type) {
      case cursorFacts.opened:
        this.stream = fact.number()
        this.floor = this.next = fact.number()
        return
      case cursorFacts.joined:
        return this.#join(fact)
      case cursorFacts.left:
        return this.#leave(fact.number(), fact.number() === returnedHow.uncounted)
      case cursorFacts.acquired:
        this.#acquire(fact, fact.number(), fact.number())
        break
      case cursorFacts.acked:
        this.ackedCount += this.#settle(fact)
        break
      case cursorFacts.dropped:
        fact.number()
        this.droppedCount += this.#settle(fact)
        break
      case cursorFacts.returned:
        return this.#return(fact, fact.number() === returnedHow.uncounted)
      case cursorFacts.extended:
        return this.#extend(fact, fact.number())
      case cursorFacts.moved:
        return this.#move(fact.number())
      case cursorFacts.restarted:
        return this.#restart()
      case cursorFacts.surfaced:
        return this.#surface(fact.number())
      default:
        throw new Error(`A cursor knows no fact of type ${type}: this data was written by a newer broker`)
    }
    this.floor = this.pending.pendingCount === 0 ? this.next : this.pending.nextPending(this.floor)
  }

  #join(fact: FactReader): void {
    const kind = consumerKinds[fact.number()]
    assert(kind !== undefined, 'A consumer is of a kind that this release does not know')
    const id = this.#nextConsumer++
    this.leases.holders.set(id, new Holder(id, fact.text(), kind))
  }

  #leave(id: ConsumerId, isUncounted: boolean): void {
    const holder = this.leases.holders.get(id)
    if (!holder) return
    // Slots may be numbered anew on the way.
    while (holder.newest >= 0) this.#giveBack(holder.newest, isUncounted)
    this.leases.holders.delete(id)
  }

  #restart(): void {
    for (const { id, kind } of this.leases.holders.values()) if (kind === 'session') this.#leave(id, false)
  }

  #acquire(fact: FactReader, consumer: ConsumerId, deadlineMs: number): void {
    const { leases, pending } = this
    const holder = leases.holders.get(consumer)
    assert(holder, `Consumer ${consumer} is not known to its cursor`)
    const deadline = deadlineMs === 0 ? Infinity : deadlineMs
    fact.ranges(this.floor)
    while (fact.next()) {
      const { first, last } = fact
      for (let offset = first; offset <= last && offset < this.next; offset++) {
        const state = pending.stateOf(offset)
        if (state === settled) continue
        if (state === returned) pending.takeAgain(offset)
        const slot = leases.find(offset)
        if (slot >= 0) {
          leases.setCount(slot, leases.countOf(slot) + 1)
          leases.hold(slot, holder, deadline)
        } else leases.hold(leases.add(offset, 2), holder, deadline)
      }
      const fresh = Math.max(first, this.next)
      if (fresh > last) continue
      pending.open(fresh, last)
      for (let offset = fresh; offset <= last; offset++) leases.hold(leases.add(offset, 1), holder, deadline)
      this.next = last + 1
    }
  }

  /** Returns how many offsets that were. */
  #settle(fact: FactReader): number {
    const { pending } = this
    let count = 0
    fact.ranges(this.floor)
    while (fact.next()) {
      const { first, last } = fact
      const end = Math.min(last, this.next - 1)
      // Offset by offset where there are few; else from one that is pending to the next.
      const isSparse = end - first > 2 * pending.pendingCount
      for (let offset = first; offset <= end; offset++) {
        if (isSparse) offset = pending.nextPending(offset)
        if (offset <= end && this.#settleOne(offset)) count++
      }
      if (last < this.next) continue
      count += last + 1 - this.next
      this.next = last + 1
    }
    return count
  }

  #settleOne(offset: number): boolean {
    if (this.pending.settle(offset) === settled) return false
    const slot = this.leases.find(offset)
    if (slot >= 0) this.leases.remove(slot)
    return true
  }

  #return(fact: FactReader, isUncounted: boolean): void {
    fact.ranges(this.floor)
    while (fact.next()) {
      for (let offset = fact.first; offset <= fact.last; offset++) {
        const slot = this.leases.find(offset)
        if (slot >= 0 && this.leases.holderOf(slot) !== 0) this.#giveBack(slot, isUncounted)
      }
    }
  }

  #giveBack(slot: number, isUncounted: boolean): void {
    const { leases } = this
    const offset = leases.offsetOf(slot)
    const count = leases.countOf(slot) - (isUncounted ? 1 : 0)
    this.givenBack?.(offset, leases.bytesOf(slot))
    leases.letGo(slot)
    if (count === 1) leases.remove(slot)
    else leases.setCount(slot, count)
    this.pending.giveBack(offset)
  }

  #extend(fact: FactReader, deadlineMs: number): void {
    fact.ranges(this.floor)
    while (fact.next()) {
      for (let offset = fact.first; offset <= fact.last; offset++) {
        const slot = this.leases.find(offset)
        if (slot >= 0) this.leases.setDeadline(slot, deadlineMs === 0 ? Infinity : deadlineMs)
      }
    }
  }

  #move(offset: number): void {
    this.leases.clear()
    this.pending.clear()
    this.floor = this.next = offset
  }

  #surface(end: number): void {
    const { next, pending } = this
    if (end <= next) return
    pending.open(next, end - 1)
    for (let offset = next; offset < end; offset++) pending.giveBack(offset)
    this.floor = pending.nextPending(this.floor)
    this.next = end
  }

  /** Runs of [from, to) that are pending: equal in state, count, holder and deadline. */
  *runs(from = this.floor, to = this.next): Generator<PendingRun> {
    const { pending } = this
    let run: PendingRun | undefined
    for (let offset = pending.nextPending(from); offset < to; offset = pending.nextPending(offset + 1)) {
      const found = this.#runAt(offset)
      if (run && offset === run.last + 1 && isAlike(run, found)) {
        run.last = offset
        continue
      }
      if (run) yield run
      run = found
    }
    if (run) yield run
  }

  #runAt(offset: number): PendingRun {
    const { leases, pending } = this
    const slot = leases.find(offset)
    const deliveryCount = slot < 0 ? 1 : leases.countOf(slot)
    const place = { first: offset, last: offset, deliveryCount }
    if (pending.stateOf(offset) !== inFlight) return { ...place, state: 'returned', consumer: -1, deadlineMs: Infinity }
    return { ...place, state: 'in-flight', consumer: leases.holderOf(slot), deadlineMs: leases.deadlineOf(slot) }
  }

  save(out: Writer): void {
    this.leases.trim()
    out.u8(stateVersion)
    for (const value of [this.stream, this.floor, this.next, this.ackedCount, this.droppedCount, this.#nextConsumer]) {
      out.varlong(value)
    }
    out.u32(this.leases.holders.size)
    for (const { id, name, kind } of this.leases.holders.values()) {
      out.u32(id)
      out.u8(consumerKinds.indexOf(kind))
      out.string32(name)
    }
    let at = this.floor
    for (const run of this.runs()) {
      // Runs follow each other to the end: what begins with 0 is the end.
      out.varlong(run.last - run.first + 1)
      out.varlong(run.first - at)
      out.varlong(run.deliveryCount)
      out.varlong(run.state === 'returned' ? 0 : run.consumer)
      if (run.state === 'in-flight') out.varlong(run.deadlineMs === Infinity ? 0 : run.deadlineMs)
      at = run.last + 1
    }
    out.varlong(0)
  }

  load(from: Reader): void {
    const version = from.u8()
    if (version !== stateVersion) throw new Error(`Cannot read version ${version} of a cursor's state`)
    this.stream = from.varlong()
    this.floor = from.varlong()
    this.next = from.varlong()
    this.ackedCount = from.varlong()
    this.droppedCount = from.varlong()
    this.#nextConsumer = from.varlong()
    for (let left = from.u32(); left > 0; left--) {
      const id = from.u32()
      const kind = consumerKinds[from.u8()]
      assert(kind !== undefined, 'A consumer is of a kind that this release does not know')
      this.leases.holders.set(id, new Holder(id, from.string32(), kind))
    }
    let at = this.floor
    for (let length = from.varlong(); length > 0; length = from.varlong()) {
      const first = at + from.varlong()
      at = first + length
      const count = from.varlong()
      const holder = this.leases.holders.get(from.varlong())
      this.#restore(first, at - 1, count, holder, holder ? from.varlong() : 0)
    }
    this.pending.compact()
  }

  #restore(first: number, last: number, count: number, holder: Holder | undefined, deadlineMs: number): void {
    const { leases, pending } = this
    pending.open(first, last)
    for (let offset = first; offset <= last; offset++) {
      if (!holder) pending.giveBack(offset)
      if (!holder && count === 1) continue
      const slot = leases.add(offset, count)
      if (holder) leases.hold(slot, holder, deadlineMs === 0 ? Infinity : deadlineMs)
    }
  }
}

/** One for all machines: a fact is applied within one call. */
const reader = new FactReader()

const isAlike = (a: PendingRun, b: PendingRun): boolean =>
  a.state === b.state &&
  a.deliveryCount === b.deliveryCount &&
  a.consumer === b.consumer &&
  a.deadlineMs === b.deadlineMs
