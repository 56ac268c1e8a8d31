import type { ConsumerId } from '../cursor/cursor.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { unlessFenced } from '../refusals.ts'
import type { Held, Spot, Taker, WorkHost, WorkQueue } from './contract.ts'
import { Heap } from './heap.ts'
import { envelopeOf, type FoundMessage, type Lane } from './lane.ts'
import type { MessageNumber } from './machine.ts'

/** So many messages of who has gone are given back before others have their turn. */
const givenBackPerTurn = 1024

export interface WorkerOptions {
  /** By which its consumers are found in the cursors. */
  readonly name: string
  /** 0 when absent. */
  readonly priority?: number
  /** It takes what it asks for, whoever else is there. */
  readonly isPassive?: boolean
  /** The bytes of records that it was given stay as they are. */
  readonly keepsBytes?: boolean
  /** Whether it would take something; absent: when it waits. */
  isEager?(): boolean
  /** How long it may keep the message, Infinity for ever; `envelope` is its producer's own properties. */
  leaseMs(envelope: Buffer | undefined): number
  /** The time of a message that it held is over. */
  expired?(): void
  /** A queue that it watches or has taken something of is gone, with what it held. */
  lost?(): void
}

/** `value` and `record` are valid only during the call, unless the worker keeps them. */
export type Reserved = (held: Held, value: Buffer, record: RecordView) => void

/**
 * Someone who takes messages out of any number of queues, the most urgent of all of them first, and holds those until it is done with them or
 * their time is over.
 */
export class Worker implements Taker {
  readonly #host: WorkHost
  readonly #options: WorkerOptions
  readonly #queues = new Set<WorkQueue>()
  readonly #held = new Map<MessageNumber, Held>()
  readonly #deadlines = new Heap<Held>((a, b) => a.deadlineMs < b.deadlineMs)
  readonly #consumers = new Map<Lane, ConsumerId>()
  /** Those whose lanes these are. */
  readonly #visited = new Set<WorkQueue>()
  #waiting: Reserved | undefined
  #isClosed = false

  constructor(host: WorkHost, options: WorkerOptions) {
    this.#host = host
    this.#options = options
  }

  /** The queues that it takes from, in the order in which they were watched. */
  get queues(): ReadonlySet<WorkQueue> {
    return this.#queues
  }
  get isWaiting(): boolean {
    return this.#waiting !== undefined
  }
  get priority(): number {
    return this.#options.priority ?? 0
  }
  get isPassive(): boolean {
    return this.#options.isPassive === true
  }
  get isEager(): boolean {
    return this.#options.isEager?.() ?? this.isWaiting
  }
  /** Until the first of its messages is taken from it; Infinity when it holds none. */
  get timeLeftMs(): number {
    const { first } = this.#deadlines
    return first ? first.deadlineMs - this.#host.monotonicMs() : Infinity
  }

  /** Milliseconds that it may keep the message. */
  leftMs({ deadlineMs }: Held): number {
    return Math.max(0, deadlineMs - this.#host.monotonicMs())
  }
  /** What it would get next is on its way from the disk. */
  get isReading(): boolean {
    return this.#best()?.lane.isReading === true
  }

  watch(queue: WorkQueue): void {
    this.#queues.add(queue)
    queue.watchers.add(this)
    if (this.priority !== 0) queue.ranked.add(this)
  }

  ignore(queue: WorkQueue): void {
    this.#queues.delete(queue)
    queue.watchers.delete(this)
    queue.ranked.delete(this)
    if (queue.only === this) queue.only = undefined
    // Others may have stood behind it.
    this.#host.wake(queue)
    this.#host.sweep(queue)
  }

  held(number: MessageNumber): Held | undefined {
    return this.#held.get(number)
  }

  /** Whether something could be reserved now. */
  get hasReady(): boolean {
    return this.#best() !== undefined
  }

  /** Calls `done` when a message is reserved, at once or later. One at a time. */
  reserve(done: Reserved): void {
    this.#waiting = done
    if (this.take() === 'taken') return
    for (const queue of this.#queues) queue.waiters.add(this)
  }

  /** Whether it was still waiting. */
  stopWaiting(): boolean {
    const wasWaiting = this.isWaiting
    this.#waiting = undefined
    for (const queue of this.#queues) queue.waiters.delete(this)
    return wasWaiting
  }

  /** Takes the best message that there is, when it waits for one. For the queues. */
  take(): 'taken' | 'nothing' | 'reading' {
    for (;;) {
      const best = this.#waiting && this.#best()
      if (!best) return 'nothing'
      const { queue, lane, offset } = best
      if (lane.isReading) return 'reading'
      if (this.#options.keepsBytes) lane.reader.keepShown()
      const found = lane.reader.find(offset)
      if (found === 'absent') lane.cursor.drop(offset, offset, 'gap')
      else if (found === 'unread') {
        if (!this.#read(queue, lane, offset)) return 'reading'
      } else if (this.#takeRecord(best, lane.reader.record)) return 'taken'
      else return 'nothing'
    }
  }

  /** Takes the message whatever comes before it, and wherever it waits; undefined when it cannot be had. */
  reserveSpot(spot: Spot, done: (held: Held | undefined, value: Buffer) => void): void {
    const { queue, lane, offset } = spot
    const isFree = (): boolean => {
      const state = queue.stateOf(spot)
      return !this.#isClosed && state !== undefined && state !== 'reserved'
    }
    const give = (message: FoundMessage | undefined): void => {
      if (!message || !isFree()) return done(undefined, noBytes)
      lane.reach(offset, () => {
        const held = isFree() ? this.#hold(spot, message.envelope) : undefined
        done(held, message.value)
      })
    }
    if (isFree()) lane.look(offset, give)
    else done(undefined, noBytes)
  }

  // What it holds: each tells whether it held the message.

  remove(number: MessageNumber): boolean {
    const held = this.#letGo(number)
    if (!held) return false
    const { queue, lane, offset } = held.spot
    const note = lane.noteOf(offset)
    lane.cursor.ack(held.consumer, offset)
    if (note) this.#host.forget(note)
    queue.removed()
    return true
  }

  release(number: MessageNumber, priority: number, delayMs: number): boolean {
    const held = this.#letGo(number)
    if (!held) return false
    const { spot, consumer, reserves } = held
    const releases = (spot.lane.noteOf(spot.offset)?.releases ?? 0) + 1
    spot.queue.giveBack(spot, consumer, { priority, delayMs, reserves, releases })
    return true
  }

  putAside(number: MessageNumber, priority: number): boolean {
    const held = this.#letGo(number)
    if (!held) return false
    const { spot, consumer, reserves } = held
    const asides = (spot.lane.noteOf(spot.offset)?.asides ?? 0) + 1
    spot.queue.putAside(spot, consumer, { priority, reserves, asides })
    return true
  }

  /** Its time begins anew. */
  touch(number: MessageNumber): boolean {
    const held = this.#held.get(number)
    if (!held) return false
    const { spot, consumer, leaseMs } = held
    spot.lane.cursor.extend(consumer, spot.offset, spot.offset, leaseMs)
    this.#deadlines.delete(held)
    held.deadlineMs = this.#host.monotonicMs() + leaseMs
    this.#deadlines.add(held)
    return true
  }

  /** The lease has run out. For the queues. */
  expired(held: Held): void {
    this.#letGo(held.spot.number)
    if (!this.#isClosed) this.#options.expired?.()
  }

  /** The queue is gone with what it held. */
  lose(queue: WorkQueue): void {
    for (const held of [...this.#held.values()]) if (held.spot.queue === queue) this.#letGo(held.spot.number)
    for (const lane of [...this.#consumers.keys()]) if (isLaneOf(queue, lane)) this.#consumers.delete(lane)
    this.#visited.delete(queue)
    if (!this.#isClosed) this.#options.lost?.()
  }

  /** Gives back all that it holds: what is much, in later turns. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.stopWaiting()
    this.#giveBackSome()
  }

  #giveBackSome(): void {
    let left = givenBackPerTurn
    for (const { spot, consumer, priority, reserves } of this.#held.values()) {
      // When the broker ends meanwhile, the next start gives the rest back.
      if (left-- === 0) return this.#host.soon(() => unlessFenced(() => this.#giveBackSome()))
      this.#letGo(spot.number)
      spot.queue.giveBack(spot, consumer, { priority, reserves })
    }
    this.#leave()
  }

  #leave(): void {
    for (const [lane, consumer] of this.#consumers) lane.cursor.leave(consumer)
    for (const queue of this.#visited) queue.visitors.delete(this)
    for (const queue of [...this.#queues]) this.ignore(queue)
  }

  #best(): (Spot & { priority: number }) | undefined {
    let best: (Spot & { priority: number }) | undefined
    for (const queue of this.#queues) {
      const head = queue.pauseMs > 0 || queue.favoursOthers(this) ? undefined : queue.head()
      if (!head) continue
      const difference = best ? head.priority - best.priority || head.number - best.number : -1
      if (difference < 0) best = head
    }
    return best
  }

  /** Whether there is something new to look at at once. */
  #read(queue: WorkQueue, lane: Lane, offset: number): boolean {
    lane.isReading = true
    const isThere = lane.reader.read(offset, offset === lane.cursor.next, error => {
      lane.isReading = false
      this.#host.hasRead(queue, lane, offset, error)
    })
    if (isThere) lane.isReading = false
    return isThere
  }

  #takeRecord(spot: Spot, record: RecordView): boolean {
    if (spot.queue.held.size >= this.#host.inFlightMax) return false
    const done = this.#waiting
    const held = this.#hold(spot, envelopeOf(record))
    if (!held || !done) return false
    this.stopWaiting()
    done(held, record.value ?? noBytes, record)
    return true
  }

  #hold(found: Spot, envelope: Buffer | undefined): Held | undefined {
    const { queue, lane, offset, number } = found
    const spot = { queue, lane, offset, number }
    const consumer = this.#consumerOf(queue, lane)
    const leaseMs = this.#options.leaseMs(envelope)
    const isReturned = offset < lane.cursor.next
    if (!queue.reserve(spot, consumer, leaseMs)) return undefined
    const note = lane.noteOf(offset)
    const priority = note?.priority ?? lane.state.priority
    const deadlineMs = this.#host.monotonicMs() + leaseMs
    const reserves = (note?.reserves ?? 0) + 1
    // Where nothing is noted, it may have been held when the broker ended.
    const deliveries = isReturned && !note ? lane.cursor.deliveryCount(offset) : reserves
    const held: Held = { spot, worker: this, consumer, leaseMs, priority, reserves, deliveries, deadlineMs, heapAt: -1 }
    this.#held.set(number, held)
    this.#deadlines.add(held)
    queue.held.set(number, held)
    return held
  }

  #letGo(number: MessageNumber): Held | undefined {
    const held = this.#held.get(number)
    if (!held) return undefined
    this.#held.delete(number)
    this.#deadlines.delete(held)
    held.spot.queue.held.delete(number)
    return held
  }

  #consumerOf(queue: WorkQueue, lane: Lane): ConsumerId {
    const known = this.#consumers.get(lane)
    if (known !== undefined) return known
    const consumer = lane.cursor.join(this.#options.name, 'session')
    this.#consumers.set(lane, consumer)
    this.#visited.add(queue)
    queue.visitors.add(this)
    return consumer
  }
}

const noBytes = Buffer.alloc(0)

const isLaneOf = (queue: WorkQueue, lane: Lane): boolean => queue.side === lane || queue.lanes.includes(lane)
