import type { Queue, QueueMessage } from '../queues/queue.ts'
import { noTimer, type TimerTarget } from '../timers/wheel.ts'
import type { ConsumerId } from '../cursor/cursor.ts'
import type { Held, NotePatch, PutError, PutOptions, Spot, Taker, WorkHost, WorkQueue, WorkState } from './contract.ts'
import { Heap } from './heap.ts'
import type { Lane } from './lane.ts'
import type { LaneState, MessageNumber, Note, Place } from './machine.ts'

/** Messages of more urgent priorities than this one are counted on their own. */
const urgentBelow = 1024
const duePerTurn = 1024
const kickedPerTurn = 512
/** Priorities beyond so many share the lane of the nearest. */
const lanesMax = 1024
/** Below this count of runs it is not worth a fact to forget them. */
const runsDroppedMin = 256

/**
 * A work queue over its lanes, in the process that owns the cell.
 *
 * Invariants: a message in `#due`, `#ready` or `#aside` is in flight with its lane's consumer for that, and has a note; one that waits
 * in a lane's order is ready or returned there; one that is reserved is in flight with somebody else.
 */
export class LanedQueue implements WorkQueue, TimerTarget {
  readonly namespace: string
  readonly name: string
  readonly #host: WorkHost
  queue: Queue | undefined
  /** By priority. */
  lanes: Lane[] = []
  side: Lane | undefined
  readonly #due = new Heap<Note>((a, b) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.number < b.number))
  readonly #ready = new Heap<Note>(
    (a, b) => a.priority < b.priority || (a.priority === b.priority && a.number < b.number),
  )
  readonly #aside = new Map<MessageNumber, Note>()
  readonly held = new Map<MessageNumber, Held>()
  readonly waiters = new Set<Taker>()
  readonly watchers = new Set<Taker>()
  readonly ranked = new Set<Taker>()
  only: Taker | undefined
  readonly visitors = new Set<Taker>()
  /** Who puts messages here, or keeps it for another reason. */
  users = 0
  /** Since the broker was started. */
  putCount = 0
  removedCount = 0
  pauseCount = 0
  /** Of the present pause, and when it ends by the monotonic clock. */
  pauseMs = 0
  #pausedUntilMs = 0
  #dueTimer = noTimer
  #pauseTimer = noTimer
  /** The lanes before this one have nothing to give out. */
  #firstReady = 0
  /** Returned in a lane that is not that of their priority. */
  readonly #strays: Note[] = []
  #unwatch: (() => void)[] = []

  constructor(namespace: string, name: string, host: WorkHost) {
    this.namespace = namespace
    this.name = name
    this.#host = host
  }

  // Looking

  get consumerCount(): number {
    let count = 0
    for (const { isPassive } of this.watchers) if (!isPassive) count++
    return count
  }
  get readyCount(): number {
    let count = this.#ready.size
    for (const lane of this.lanes) count += lane.readyCount
    return count
  }
  get urgentCount(): number {
    let count = 0
    for (const { priority } of this.#ready.values()) if (priority < urgentBelow) count++
    for (const lane of this.lanes) if (lane.state.priority < urgentBelow) count += lane.readyCount
    return count
  }
  get delayedCount(): number {
    return this.#due.size
  }
  get asideCount(): number {
    return this.#aside.size
  }
  get reservedCount(): number {
    let count = (this.side?.cursor.inFlightCount ?? 0) - this.#ready.size - this.#due.size - this.#aside.size
    for (const { cursor } of this.lanes) count += cursor.inFlightCount
    return count
  }
  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - this.#host.monotonicMs())
  }
  get isIdle(): boolean {
    return this.users === 0 && this.watchers.size === 0
  }
  get isEmpty(): boolean {
    return this.#allLanes().every(({ isEmpty }) => isEmpty)
  }

  favoursOthers(taker: Taker): boolean {
    if (taker.isPassive || this.only === taker) return false
    if (this.only) return true
    if (this.ranked.size === 0) return false
    for (const other of this.watchers) if (other.priority > taker.priority && other.isEager) return true
    return false
  }

  /** Those who wait, in the order in which they are served. */
  row(): Iterable<Taker> {
    return this.ranked.size === 0 ? this.waiters : [...this.waiters].toSorted((a, b) => b.priority - a.priority)
  }

  /** What would be given out next, unless the queue is paused. */
  head(): (Spot & { priority: number }) | undefined {
    this.#bringBack()
    const note = this.#ready.first
    const { lanes } = this
    let offset = -1
    for (; this.#firstReady < lanes.length; this.#firstReady++) {
      const each = lanes[this.#firstReady]!
      offset = each.head()
      if (offset >= 0) break
      each.rest()
    }
    const lane = lanes[this.#firstReady]
    const number = lane && this.#host.numberOf(lane, offset)
    const isNoteVisible = note !== undefined && note.offset < this.#laneOf(note).visibleEnd
    if (isNoteVisible && (!lane || number === undefined || comesFirst(note, lane.state.priority, number))) {
      return { ...this.#spotOf(note), priority: note.priority }
    }
    if (!lane || number === undefined) return undefined
    return { queue: this, lane, offset, number, priority: lane.state.priority }
  }

  firstDelayed(): Spot | undefined {
    return this.#due.first && this.#spotOf(this.#due.first)
  }
  firstAside(): Spot | undefined {
    for (const note of this.#aside.values()) return this.#spotOf(note)
    return undefined
  }

  /** Undefined when it is gone, or was not there yet. */
  stateOf({ lane, offset }: Spot): WorkState | undefined {
    if (offset >= lane.visibleEnd) return undefined
    const state = lane.cursor.stateOf(offset)
    if (state === 'settled') return undefined
    if (state !== 'in-flight') return 'ready'
    if (!lane.isAside(offset)) return 'reserved'
    const note = lane.noteOf(offset)
    if (note && this.#aside.has(note.number)) return 'aside'
    return note && this.#due.has(note) ? 'delayed' : 'ready'
  }

  /** Milliseconds until the message is given out; for what is delayed. */
  dueInMs({ lane, offset }: Spot): number {
    return Math.max(0, (lane.noteOf(offset)?.dueMs ?? 0) - this.#host.wallMs())
  }

  // Putting

  /**
   * Appends a message and calls `done` with its number when it is durable, or at once with a refusal. It is decided before this returns.
   */
  put(message: QueueMessage, { priority, delayMs }: PutOptions, done: (result: number | PutError) => void): void {
    if (this.#host.isDraining) return done('shutting-down')
    if (delayMs > 0 && this.#due.size >= this.#host.delayedMax) return done('limit-reached')
    this.#host.append(this, message, { priority, delayMs }, done, (lane, offset) => {
      this.putCount++
      if (delayMs === 0) return
      lane.take(lane.aside, offset)
      const dueMs = this.#host.wallMs() + delayMs
      const patch = { priority, place: 'waiting', dueMs, delayMs } as const
      this.#place(this.#host.note(lane, offset, patch))
    })
  }

  /** The lane of that priority, or of the nearest when there are too many; undefined: it must be opened. */
  laneFor({ priority, delayMs }: PutOptions): Lane | undefined {
    if (delayMs > 0) return this.side
    const { lanes } = this
    let low = 0
    for (let high = lanes.length; low < high;) {
      const middle = (low + high) >>> 1
      if (lanes[middle]!.state.priority < priority) low = middle + 1
      else high = middle
    }
    const [above, below] = [lanes[low], lanes[low - 1]]
    if (above?.state.priority === priority) return above
    if (lanes.length < lanesMax) return undefined
    const distance = (lane: Lane | undefined): number => Math.abs((lane?.state.priority ?? Infinity) - priority)
    return distance(above) < distance(below) ? above : below
  }

  // Taking, for workers

  /** It is reserved by the consumer from now on. False when it cannot be had. */
  reserve({ lane, offset }: Spot, consumer: ConsumerId, leaseMs: number): boolean {
    const note = lane.noteOf(offset)
    if (!lane.take(consumer, offset, leaseMs === Infinity ? undefined : leaseMs)) return false
    if (note) this.#unplace(note)
    return true
  }

  /** What a consumer holds waits again, from `delayMs` on. */
  giveBack(spot: Spot, consumer: ConsumerId, patch: NotePatch & { priority: number }): void {
    const delayMs = patch.delayMs ?? 0
    this.#settle(spot, consumer, delayMs > 0 ? 'waiting' : 'lane', {
      ...patch,
      dueMs: delayMs > 0 ? this.#host.wallMs() + delayMs : 0,
    })
  }

  /** What a consumer holds is put aside. */
  putAside(spot: Spot, consumer: ConsumerId, patch: NotePatch): void {
    this.#settle(spot, consumer, 'aside', { ...patch, dueMs: 0 })
  }

  // Changing without holding

  /** Removes a message that nobody holds; `done` tells whether it was there. */
  remove(spot: Spot, done: (isRemoved: boolean) => void): void {
    const { lane, offset } = spot
    const isFree = (): boolean => {
      const state = this.stateOf(spot)
      return state !== undefined && state !== 'reserved'
    }
    if (!isFree()) return done(false)
    lane.reach(offset, () => {
      if (!isFree()) return done(false)
      const note = lane.noteOf(offset)
      if (note) this.#unplace(note)
      lane.cursor.drop(offset, offset, 'purged')
      this.removed()
      done(true)
    })
  }

  /** Drops what is ready. Returns how many messages that were. */
  purge(): number {
    let count = 0
    for (const note of [...this.#ready.values()]) {
      const { lane, offset } = this.#spotOf(note)
      if (note.offset >= lane.visibleEnd) continue
      this.#unplace(note)
      count += lane.cursor.drop(offset, offset, 'purged')
    }
    for (const { cursor, visibleEnd } of this.lanes) count += cursor.purge(visibleEnd)
    this.removedCount += count
    this.#host.sweep(this)
    return count
  }

  /** A message of this queue was removed on request. */
  removed(): void {
    this.removedCount++
    this.#host.sweep(this)
  }

  /** A message that was put aside or is delayed is ready. */
  kickOne(spot: Spot): boolean {
    const state = this.stateOf(spot)
    const note = spot.lane.noteOf(spot.offset)
    if (!note || (state !== 'aside' && state !== 'delayed')) return false
    this.#kick(note)
    return true
  }

  /** Up to `max` messages that were put aside become ready, in their order; when there are none, of those that are delayed the soonest. */
  kick(max: number, done: (count: number) => void): void {
    const isAside = this.#aside.size > 0
    let count = 0
    const turn = (): void => {
      let left = kickedPerTurn
      // One walk for each turn: to find the first one that is left costs as much as there were before it.
      for (const note of isAside ? this.#aside.values() : this.#soonest()) {
        if (left-- === 0) return this.#host.soon(turn)
        if (count >= max) break
        this.#kick(note)
        count++
      }
      done(count)
    }
    turn()
  }

  /** Those that are delayed, one after the other as they leave. */
  *#soonest(): Generator<Note> {
    for (let { first } = this.#due; first; { first } = this.#due) yield first
  }

  #kick(note: Note): void {
    this.#settle(this.#spotOf(note), this.#laneOf(note).aside, 'lane', { kicks: note.kicks + 1, dueMs: 0 })
  }

  /** Nothing is given out for that long. */
  pause(ms: number): void {
    const { wheel } = this.#host
    this.pauseCount++
    this.pauseMs = ms
    this.#pausedUntilMs = this.#host.monotonicMs() + ms
    wheel.cancel(this.#pauseTimer)
    this.#pauseTimer = wheel.at(this.#pausedUntilMs, { due: () => this.#unpause() })
  }

  #unpause(): void {
    this.pauseMs = 0
    this.#host.wake(this)
  }

  // Lanes

  /** Takes a lane in, as it is after a start or when it was opened. */
  open(state: LaneState, lane: Lane): void {
    const { cursor } = lane
    if (state.isSide) this.side = lane
    else {
      this.lanes.push(lane)
      this.lanes.sort((a, b) => a.state.priority - b.state.priority)
      this.#firstReady = 0
    }
    this.#unwatch.push(
      this.#host.watchStream(state.stream, () => this.#hasMore(lane)),
      cursor.watch({
        returned: () => this.#hasMore(lane),
        dropped: (first, last) => this.#forget(lane, first, last),
        expired: (consumer, first, last) => this.#expired(lane, consumer, first, last),
        floorMoved: floor => {
          lane.trim(floor)
          if (state.runsBelow(floor) >= runsDroppedMin) this.#host.dropRuns(lane)
        },
      }),
    )
    this.#freeForgotten(lane)
    for (const note of [...state.notes.values()]) this.#restore(lane, note)
    if (!state.isSide) return
    // What came to the side and has no note was never answered for.
    for (let offset = lane.head(); offset >= 0; offset = lane.head()) {
      if (this.#host.numberOf(lane, offset) === undefined || !lane.take(lane.aside, offset)) break
      this.#place(this.#host.note(lane, offset, { place: 'waiting' }))
    }
  }

  #hasMore(lane: Lane): void {
    const first = this.lanes[this.#firstReady]
    const isBefore = !lane.state.isSide && (!first || lane.state.priority < first.state.priority)
    if (isBefore) this.#firstReady = this.lanes.indexOf(lane)
    this.#host.wake(this)
  }

  /** What was taken to be put somewhere, when the broker ended before it was noted where. */
  #freeForgotten(lane: Lane): void {
    const { state, cursor } = lane
    if (cursor.inFlightCount === 0) return
    const { aside } = lane
    const forgotten: number[] = []
    for (const { first, last, consumer } of cursor.pending()) {
      if (consumer !== aside) continue
      for (let offset = first; offset <= last; offset++) {
        const note = state.notes.get(offset)
        if (!note || note.place === 'lane') forgotten.push(offset)
      }
    }
    for (const offset of forgotten) cursor.release(aside, offset, offset, 'uncounted')
  }

  #restore(lane: Lane, note: Note): void {
    const state = lane.cursor.stateOf(note.offset)
    if (state === 'settled') this.#host.forget(note)
    else if (state === 'returned') this.#returned(lane, note)
    else if (state === 'in-flight' && lane.isAside(note.offset)) this.#place(note)
  }

  close(): void {
    for (const unwatch of this.#unwatch) unwatch()
    this.#unwatch = []
    this.#host.wheel.cancel(this.#dueTimer)
    for (const lane of this.#allLanes()) lane.reader.clear()
  }

  /** The queue is gone with all that it held; who refers to it may fill it anew. */
  emptied(): void {
    this.close()
    for (const worker of new Set([...this.visitors, ...this.watchers])) worker.lose(this)
    this.visitors.clear()
    for (const note of [...this.#due.values()]) this.#due.delete(note)
    for (const note of [...this.#ready.values()]) this.#ready.delete(note)
    this.#aside.clear()
    this.#strays.length = 0
    this.queue = this.side = undefined
    this.lanes = []
    this.#firstReady = 0
  }

  // Timers

  /** Something is due. For the wheel alone. */
  due(): void {
    this.#dueTimer = noTimer
    const nowMs = this.#host.wallMs()
    for (let left = duePerTurn; left > 0; left--) {
      const note = this.#due.first
      if (!note || note.dueMs > nowMs) break
      this.#due.delete(note)
      this.#ready.add(note)
    }
    this.#arm()
    this.#host.wake(this)
  }

  #arm(): void {
    const { wheel } = this.#host
    wheel.cancel(this.#dueTimer)
    const { first } = this.#due
    this.#dueTimer = first
      ? wheel.at(this.#host.monotonicMs() + Math.max(0, first.dueMs - this.#host.wallMs()), this)
      : noTimer
  }

  // Places

  /** What `consumer` holds goes to a place. */
  #settle({ lane, offset }: Spot, consumer: ConsumerId, wanted: Place, patch: NotePatch): void {
    this.#host.atomic(() => {
      const before = lane.noteOf(offset)
      if (before) this.#unplace(before)
      const priority = patch.priority ?? before?.priority ?? lane.state.priority
      const isOfLane = !lane.state.isSide && priority === lane.state.priority
      const place = wanted === 'lane' && !isOfLane ? 'waiting' : wanted
      if (place === 'lane') lane.cursor.release(consumer, offset)
      else if (consumer !== lane.aside) lane.cursor.claim(lane.aside, offset, offset)
      if (lane.cursor.stateOf(offset) === 'settled') return
      this.#place(this.#host.note(lane, offset, { ...patch, priority, place }))
    })
    this.#host.wake(this)
  }

  #place(note: Note): void {
    if (note.place === 'aside') this.#aside.set(note.number, note)
    else if (note.place === 'waiting') {
      const isDue = note.dueMs <= this.#host.wallMs()
      if (isDue) this.#ready.add(note)
      else {
        this.#due.add(note)
        if (this.#due.first === note) this.#arm()
      }
    }
  }

  #unplace(note: Note): void {
    this.#aside.delete(note.number)
    this.#ready.delete(note)
    if (this.#due.first === note) {
      this.#due.delete(note)
      this.#arm()
    } else this.#due.delete(note)
  }

  #isOfLane(note: Note): boolean {
    return !note.lane.isSide && note.priority === note.lane.priority
  }

  #forget(lane: Lane, first: number, last: number): void {
    const { notes } = lane.state
    if (notes.size === 0) return
    const found = last - first > notes.size ? [...notes.values()] : range(first, last).map(at => notes.get(at))
    for (const note of found) {
      if (!note || note.offset < first || note.offset > last) continue
      this.#unplace(note)
      this.#host.forget(note)
    }
  }

  #expired(lane: Lane, consumer: ConsumerId, first: number, last: number): void {
    for (let offset = first; offset <= last; offset++) {
      const number = lane.numberOf(offset)
      const held = number === undefined ? undefined : this.held.get(number)
      if (!held || held.consumer !== consumer) continue
      held.worker.expired(held)
      const { reserves, priority } = held
      const timeouts = (lane.noteOf(offset)?.timeouts ?? 0) + 1
      const note = this.#host.note(lane, offset, { timeouts, reserves, priority, place: 'lane', dueMs: 0 })
      // The cursor is in the middle of it.
      if (!this.#isOfLane(note)) this.#strays.push(note)
    }
    if (this.#strays.length > 0) this.#host.soon(() => this.#bringBack())
  }

  /** Those whose lease has run out go where their priority is looked for. */
  #bringBack(): void {
    if (this.#strays.length === 0) return
    for (const note of this.#strays.splice(0)) this.#returned(this.#laneOf(note), note)
  }

  #returned(lane: Lane, { offset }: Note): void {
    if (lane.cursor.stateOf(offset) !== 'returned') return
    const note = this.#host.note(lane, offset, { place: 'lane', dueMs: 0 })
    if (this.#isOfLane(note)) return
    lane.take(lane.aside, offset)
    this.#place(this.#host.note(lane, offset, { place: 'waiting' }))
  }

  #spotOf(note: Note): Spot {
    return { queue: this, lane: this.#laneOf(note), offset: note.offset, number: note.number }
  }

  #laneOf(note: Note): Lane {
    const lane = note.lane.isSide ? this.side : this.lanes.find(({ state }) => state === note.lane)
    if (lane?.state !== note.lane) throw new Error('A note belongs to a lane of another queue')
    return lane
  }

  #allLanes(): Lane[] {
    return this.side ? [...this.lanes, this.side] : this.lanes
  }
}

const comesFirst = (note: Note, priority: number, number: number): boolean =>
  note.priority < priority || (note.priority === priority && note.number < number)

const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, at) => first + at)
