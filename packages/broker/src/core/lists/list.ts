import assert from 'node:assert/strict'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { bodyOf, releaseBodies } from '../../storage/batch-builder.ts'
import { BrokerError } from '../errors.ts'
import { recordOf } from '../queues/message.ts'
import type { Queue } from '../queues/queue.ts'
import { atomically, storageFull } from '../refusals.ts'
import { Elements, NotLoaded, readAheadMax, type ElementMemory } from './elements.ts'
import { factOf, listFacts, placed, turned } from './facts.ts'
import type { ListState } from './machine.ts'
import type { Order, Run, Side } from './order.ts'

export type { Side } from './order.ts'

/** What a list needs of its surroundings. */
export interface ListHost {
  readonly ledger: Ledger
  readonly memory: ElementMemory
  /** Bytes of elements that one command may look at. */
  readonly lookBytesMax: number
}

/** So often pops look whether more should be read. */
const readAheadEvery = 512
/** Steps over what is settled before it is forgotten. */
const skippedMax = 64

/**
 * The messages of a queue as a list: they are pushed and taken at both ends, and found by their places. Those that consumers hold are not in it; they are
 * where they were when they come back.
 *
 * All verbs take effect at once, on what is not durable yet, too. Who promises that something lasts waits for the newest block. Verbs that need
 * elements which are not in memory throw `NotLoaded`, before anything is changed.
 */
export class List {
  readonly queue: Queue
  readonly elements: Elements
  readonly #host: ListHost
  readonly #state: ListState
  #floor = 0

  constructor(queue: Queue, state: ListState, host: ListHost) {
    this.queue = queue
    this.#state = state
    this.#host = host
    this.elements = new Elements(host.memory, queue.streams, queue.definition.stream)
  }

  /** The queue was made by its first element. */
  get isMade(): boolean {
    return this.#state.isMade
  }

  get length(): number {
    return lengthOf(this.queue)
  }

  /** Changes when anything was added or taken, by whomever. */
  get version(): string {
    const { ackedCount, droppedCount, inFlightCount, returnedCount } = this.queue.cursor
    return `${this.queue.takenEnd} ${ackedCount + droppedCount} ${inFlightCount} ${returnedCount} ${this.#order.runs.length}`
  }

  get #order(): Order {
    return this.#state.order
  }

  /** One after the other, at that end. All in one block. Throws `BrokerError`. */
  push(side: Side, values: readonly Uint8Array[]): void {
    const { queue } = this
    const run = (): void => {
      if (!this.#order.isOpenAt(side)) this.#turn(side)
      const nowMs = this.#host.ledger.clock.nowMs()
      for (const value of values) this.#append(value, nowMs)
    }
    if (values.length === 1 && this.#order.isOpenAt(side)) run()
    else atomically(this.#host.ledger, run)
    queue.used()
  }

  /** Takes the element at that end. */
  pop(side: Side): Buffer | undefined {
    const offset = this.#edge(side)
    if (offset < 0) return undefined
    const value = this.#value(offset, offset, side === 'left' ? 1 : -1)
    this.#take(offset, value)
    if (offset % readAheadEvery === 0) this.#readAhead(offset, side)
    return value
  }

  /** Whether so many can be popped without any being read; reads them if not. */
  prepare(side: Side, count: number): void {
    const offsets = this.offsets(side, Math.min(count, this.length))
    this.valuesOf(offsets)
  }

  /** The first `count` offsets from that end. */
  offsets(side: Side, count: number): number[] {
    const found: number[] = []
    if (count <= 0) return found
    this.#walk(side, offset => found.push(offset) < count)
    return found
  }

  /** Offsets of the elements from place `from` to place `to`, both counted from the left and within the list. */
  between(from: number, to: number): number[] {
    const count = to - from + 1
    if (count <= 0) return []
    const { length } = this
    const span = this.#span()
    const found: number[] = []
    if (span === length) {
      this.#placesOf(from, count, found)
      return found
    }
    const isNearer = from <= length - 1 - to
    let at = isNearer ? 0 : length - 1
    this.#walk(isNearer ? 'left' : 'right', offset => {
      if (at >= from && at <= to) found.push(offset)
      at += isNearer ? 1 : -1
      return isNearer ? at <= to : at >= from
    })
    return isNearer ? found : found.toReversed()
  }

  /** The elements at these offsets, which are in the list. */
  valuesOf(offsets: readonly number[]): Buffer[] {
    const values: Buffer[] = []
    let bytes = 0
    for (const offset of offsets) {
      const value = this.elements.demand(offset)
      if (!value) this.#needs(offsets)
      bytes += value!.length
      if (bytes > this.#host.lookBytesMax) throw tooLarge(this.#host.lookBytesMax)
      values.push(value!)
    }
    return values
  }

  /** Takes elements out, wherever they are. */
  remove(offsets: readonly number[]): void {
    atomically(this.#host.ledger, () => {
      for (const offset of offsets) this.#take(offset, this.elements.get(offset) ?? nothing)
    })
  }

  /** Another element for the one at `offset`. */
  replace(offset: number, value: Uint8Array): void {
    atomically(this.#host.ledger, () => {
      this.insert(offset, 'left', value)
      this.#take(offset, this.elements.get(offset) ?? nothing)
    })
  }

  /** A new element beside the one at `anchor`. */
  insert(anchor: number, side: Side, value: Uint8Array): void {
    const { ledger } = this.#host
    const { stream } = this.queue.definition
    atomically(ledger, () => {
      const offset = this.queue.takenEnd
      const payload = factOf(placed, { stream, offset, anchor, isLeft: side === 'left' })
      ledger.fact(machineKinds.lists, listFacts.placed, payload)
      this.#append(value, ledger.clock.nowMs())
    })
  }

  /** Leaves only what is from place `from` to place `to`. */
  trim(from: number, to: number): void {
    const { length } = this
    if (from > to) return this.clear()
    const before = Math.min(from, length)
    const after = Math.max(0, length - 1 - to)
    atomically(this.#host.ledger, () => {
      const gone = [...this.offsets('left', before), ...this.offsets('right', after)].sort((a, b) => a - b)
      for (let at = 0; at < gone.length;) {
        let end = at
        while (end + 1 < gone.length && gone[end + 1] === gone[end]! + 1) end++
        this.#pick(gone[at]!, gone[end]!, 0)
        at = end + 1
      }
      for (const offset of gone) this.elements.delete(offset, this.elements.get(offset) ?? nothing)
    })
  }

  /** Takes all. */
  clear(): void {
    this.queue.purge()
    this.elements.clear()
    if (this.queue.cursor.inFlightCount === 0) this.#order.clear(this.queue.takenEnd)
  }

  /** Calls `visit` for the offsets of the list from that end on, until it returns false. */
  #walk(side: Side, visit: (offset: number) => boolean): void {
    this.#tidy()
    const { cursor, takenEnd } = this.queue
    const { runs } = this.#order
    for (let index = 0; index < runs.length; index++) {
      const run = side === 'left' ? runs[index]! : runs[runs.length - 1 - index]!
      const last = Math.min(run.last, takenEnd - 1)
      const isUp = (run.step === 1) === (side === 'left')
      for (let at = isUp ? run.first : last; at >= run.first && at <= last; at += isUp ? 1 : -1) {
        const state = cursor.stateOf(at)
        if ((state === 'ready' || state === 'returned') && !visit(at)) return
      }
    }
  }

  /** The offset of the element at that end; -1 when there is none. Forgets what is settled on the way. */
  #edge(side: Side): number {
    this.#tidy()
    const { cursor, takenEnd } = this.queue
    if (this.length === 0) return -1
    const { runs } = this.#order
    let isAtEnd = true
    for (let index = 0; index < runs.length; index++) {
      const run = side === 'left' ? runs[index]! : runs[runs.length - 1 - index]!
      const last = Math.min(run.last, takenEnd - 1)
      const isUp = (run.step === 1) === (side === 'left')
      let at = isUp ? run.first : last
      for (; at >= run.first && at <= last; at += isUp ? 1 : -1) {
        const state = cursor.stateOf(at)
        if (state === 'ready' || state === 'returned') break
        if (state === 'in-flight') isAtEnd = false
        else if (isAtEnd) this.#forget(run, at, isUp)
      }
      if (at < run.first || at > last) continue
      if (isAtEnd && run.last === Infinity && !isUp && last - at > skippedMax)
        this.#order.forgetNewest(at + 1, takenEnd)
      return at
    }
    return -1
  }

  /** `offset` is the first of its run from one end, and settled. */
  #forget(run: Run, offset: number, isUp: boolean): void {
    if (isUp) run.first = offset + 1
    else if (run.last !== Infinity) run.last = offset - 1
  }

  /** Forgets what is settled. */
  #tidy(): void {
    const { floor } = this.queue.cursor
    if (floor === this.#floor && this.#order.runs.length < 64) return
    this.#floor = floor
    this.#order.forgetBelow(floor)
  }

  /** How long the list would be if all of its runs were in it. */
  #span(): number {
    this.#tidy()
    const { takenEnd } = this.queue
    let span = 0
    for (const { first, last } of this.#order.runs) span += Math.max(0, Math.min(last, takenEnd - 1) - first + 1)
    return span
  }

  /** `count` offsets from place `from` on, where nothing is missing. */
  #placesOf(from: number, count: number, found: number[]): void {
    const { takenEnd } = this.queue
    let skipped = 0
    for (const run of this.#order.runs) {
      const last = Math.min(run.last, takenEnd - 1)
      const length = Math.max(0, last - run.first + 1)
      for (let at = Math.max(0, from - skipped); at < length && found.length < count; at++) {
        found.push(run.step === 1 ? run.first + at : last - at)
      }
      skipped += length
      if (found.length >= count) return
    }
  }

  #turn(side: Side): void {
    const { ledger } = this.#host
    const { stream } = this.queue.definition
    const payload = factOf(turned, { stream, offset: this.queue.takenEnd, isLeft: side === 'left' })
    ledger.fact(machineKinds.lists, listFacts.turned, payload)
  }

  #append(value: Uint8Array, timestampMs: number): void {
    const { queue } = this
    const message = { value, headers: noHeaders }
    const offset = queue.takenEnd
    try {
      const taken = queue.post(bodyOf(recordOf(message, timestampMs)), message)
      if (typeof taken !== 'number') throw refusalOf(taken)
    } finally {
      releaseBodies()
    }
    this.elements.offer(offset, Buffer.from(value))
  }

  #take(offset: number, value: Buffer): void {
    this.#pick(offset, offset, value.length)
    this.elements.delete(offset, value)
  }

  #pick(first: number, last: number, bytes: number): void {
    const count = this.queue.pick(first, last, bytes)
    assert(count === last - first + 1, 'an element of a list is taken once')
  }

  /** The element at `offset`; those that will be asked for next are read with it. */
  #value(offset: number, to: number, step: 1 | -1): Buffer {
    const value = this.elements.demand(offset)
    if (value) return value
    const run = this.#order.runs.find(({ first, last }) => offset >= first && offset <= last)
    const isUp = (run?.step ?? 1) === step
    const from = isUp ? offset : Math.max(run?.first ?? offset, offset - readAheadMax + 1)
    throw new NotLoaded(done => this.#load(from, isUp ? to + readAheadMax - 1 : offset, offset, done))
  }

  #needs(offsets: readonly number[]): never {
    throw new NotLoaded(done => {
      const sorted = offsets.toSorted((a, b) => a - b)
      const loadFrom = (at: number): void => {
        while (at < sorted.length && this.elements.get(sorted[at]!)) at++
        if (at === sorted.length) return done()
        let end = at
        // What lies between is read anyway.
        while (end + 1 < sorted.length && sorted[end + 1]! - sorted[end]! < 64) end++
        this.#load(sorted[at]!, sorted[end]!, sorted[end]!, () => {
          // Not visible in time, or too much at once: who asked tries again.
          if (this.elements.get(sorted[at]!)) loadFrom(end + 1)
          else done()
        })
      }
      loadFrom(0)
    })
  }

  /** Reads what will be asked for when pops go on. */
  #readAhead(offset: number, side: Side): void {
    const run = this.#order.runs.find(({ first, last }) => offset >= first && offset <= last)
    if (!run) return
    const isUp = (run.step === 1) === (side === 'left')
    const next = isUp ? offset + readAheadMax / 2 : offset - readAheadMax / 2
    const visible = this.queue.streams.bounds(this.queue.definition.stream)?.endOffset ?? 0
    if (next < run.first || next > run.last || next >= visible || this.elements.get(next)) return
    const first = isUp ? next : Math.max(run.first, next - readAheadMax + 1)
    this.elements.load(first, isUp ? next + readAheadMax - 1 : next, () => {}, true)
  }

  #load(first: number, last: number, needed: number, done: () => void): void {
    const { ledger } = this.#host
    const visible = this.queue.streams.bounds(this.queue.definition.stream)?.endOffset ?? 0
    if (needed < visible) return this.elements.load(first, last, done)
    // Only what is durable can be read.
    ledger.whenDurable(ledger.lastSeq, () => this.elements.load(first, last, done), undefined)
  }
}

/** How many messages of a queue nobody holds, durable or not. */
export function lengthOf({ cursor, takenEnd }: Queue): number {
  return cursor.returnedCount + Math.max(0, takenEnd - cursor.next)
}

function refusalOf(error: Exclude<ReturnType<Queue['post']>, number>): BrokerError {
  if (error === 'storage-full') return storageFull()
  if (error === 'queue-full') return new BrokerError('limit-reached', 'the list is full')
  if (error === 'shutting-down') return new BrokerError('shutting-down', 'the change was not made')
  return new BrokerError('message-invalid', `the element is not taken: ${error}`)
}

const tooLarge = (bytes: number): BrokerError =>
  new BrokerError('message-too-large', `the elements that are asked for are more than ${bytes} bytes together`)

const noHeaders: never[] = []
const nothing = Buffer.alloc(0)
