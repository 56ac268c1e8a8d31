import type { ConsumerId, Cursor } from '../cursor/cursor.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { Destination } from '../routing/place.ts'
import { BrokerError } from '../errors.ts'
import { noTimer, type TimerTarget } from '../timers/wheel.ts'
import { isWanted, type MessageFilter } from './browse.ts'
import type { DeadLettersHost } from './dead-letters.ts'
import type { QueueMessage } from './message.ts'
import type { Stretch } from './ready-bytes.ts'
import { noStamp } from './stamp.ts'

export interface MoveOptions {
  /**
   * Where to: another queue of the namespace; `origins`: each message to the queue that it was dead-lettered from last, as it was published to
   * that; `nowhere`: they are dropped.
   */
  readonly to: { readonly queue: string } | 'origins' | 'nowhere'
  /** So many at the most; all that wait at the beginning, when absent. */
  readonly max?: number | undefined
  /** Which ones; all, when absent. */
  readonly filter?: MessageFilter | undefined
}

/**
 * `waiting`: where the next one goes takes no messages at present. `limited`: it has ended because so many were passed over that more could not be
 * remembered.
 */
export type MoveState = 'running' | 'waiting' | 'done' | 'limited' | 'cancelled'

export interface MoveProgress {
  readonly state: MoveState
  readonly movedCount: number
  /** Of those that were looked at: not wanted, or there is no queue where they would go. They stay where they are. */
  readonly passedCount: number
  /** So many waited at the beginning. */
  readonly total: number
}

interface MoverOptions extends MoveOptions {
  namespace: string
  name: string
  cursor: Cursor
  host: DeadLettersHost
  total: number
  /** What waits at the beginning. */
  present: readonly Stretch[]
  /** A message no longer waits. */
  left(record: RecordView): void
}

/** Then others have their turn, and the disk its time. */
const messagesPerTurnMax = 1024
const bytesPerTurnMax = 1024 * 1024
/** Messages that are passed over are held until the end, so that those behind them can be reached. */
const passedMax = 100_000
/** What was refused is tried again after this. */
const retryMs = 1000
const moverName = '~move'

/**
 * Brings messages that wait from one queue to others, in their order: each leaves and arrives in one block. While it runs, it is a consumer
 * that holds what it looks at; what it does not move waits again afterwards, as if nobody had seen it.
 */
export class Move implements TimerTarget {
  /** It is over, and durable. */
  readonly done: Promise<MoveProgress>
  readonly #options: MoverOptions
  readonly #cursor: Cursor
  readonly #consumer: ConsumerId
  readonly #reader: RecordReader
  readonly #stretches: Stretch[]
  /** Taken, and not looked at yet. */
  readonly #taken: number[] = []
  #state: MoveState = 'running'
  #movedCount = 0
  #passedCount = 0
  /** The block of what was moved last. */
  #seq = -1
  #timer = noTimer
  #end: (progress: MoveProgress) => void = () => {}

  constructor(options: MoverOptions) {
    const { cursor, host, present } = options
    this.#options = options
    this.#cursor = cursor
    this.#consumer = cursor.join(moverName, 'session')
    this.#reader = new RecordReader(host.cell, cursor.stream)
    this.#stretches = present.map(stretch => ({ ...stretch }))
    this.done = new Promise(resolve => {
      this.#end = resolve
    })
    this.#later()
  }

  get progress(): MoveProgress {
    const { total } = this.#options
    return { state: this.#state, movedCount: this.#movedCount, passedCount: this.#passedCount, total }
  }

  /** What was moved is moved, and the rest stays. Of no effect when it is over. */
  cancel(): void {
    this.#finish('cancelled')
  }

  /** The queue is gone, or the broker ends: what is held goes back at the next start. */
  gone(): void {
    this.#finish('cancelled', true)
  }

  /** Time to try again what was refused. For the wheel alone. */
  due(): void {
    this.#timer = noTimer
    if (this.#state === 'waiting') this.#state = 'running'
    this.#later()
  }

  get isOver(): boolean {
    return this.#state !== 'running' && this.#state !== 'waiting'
  }

  #later(): void {
    this.#options.host.soon(() => this.#turn())
  }

  #finish(state: MoveState, isGone = false): void {
    if (this.isOver) return
    this.#state = state
    this.#options.host.wheel.cancel(this.#timer)
    this.#reader.clear()
    if (isGone) return this.#end(this.progress)
    this.#cursor.leave(this.#consumer, 'uncounted')
    this.#options.host.ledger.whenDurable(Math.max(this.#seq, this.#cursor.seq), this.#end, this.progress)
  }

  #turn(): void {
    const { max = Infinity, host } = this.#options
    let bytes = 0
    for (let count = 0; count < messagesPerTurnMax && bytes < bytesPerTurnMax && !this.isOver; count++) {
      if (this.#movedCount >= max) return this.#finish('done')
      if (this.#passedCount >= passedMax) return this.#finish('limited')
      const offset = this.#next()
      if (offset === undefined) return this.#finish('done')
      const step = this.#step(offset)
      if (step < 0) return
      bytes += step
    }
    // Not faster than the disk.
    if (!this.isOver) host.ledger.whenDurable(Math.max(this.#seq, this.#cursor.seq), () => this.#later(), undefined)
  }

  /** The next message that is taken; undefined when there is none any more. */
  #next(): number | undefined {
    while (this.#taken.length === 0) {
      const stretch = this.#stretches[0]
      if (!stretch) return undefined
      const from = this.#cursor.nextAvailable(stretch.from)
      if (from >= stretch.to || !this.#take(from, stretch)) this.#stretches.shift()
    }
    return this.#taken[0]
  }

  #take(from: number, stretch: Stretch): boolean {
    const { max = Infinity } = this.#options
    const sink = {
      run: (first: number, last: number): void => {
        for (let offset = first; offset <= last; offset++) this.#taken.push(offset)
        stretch.from = last + 1
      },
    }
    const most = Math.min(messagesPerTurnMax, max - this.#movedCount)
    return this.#cursor.acquire(this.#consumer, { max: most, from, to: stretch.to }, sink) > 0
  }

  /** Returns the bytes of the message; -1: it goes on later. */
  #step(offset: number): number {
    const found = this.#reader.find(offset)
    if (found === 'unread') return this.#read(offset)
    if (found === 'absent') {
      this.#cursor.discard(this.#consumer, offset, offset, 'gap')
      this.#taken.shift()
      return 0
    }
    const { record } = this.#reader
    const outcome = isWanted(record, this.#options.filter ?? {}) ? this.#bring(record) : 'passed'
    if (outcome === 'later') return this.#wait()
    this.#taken.shift()
    if (outcome === 'passed') this.#passedCount++
    else this.#movedCount++
    return record.end - record.keyAt
  }

  #bring(record: RecordView): 'moved' | 'passed' | 'later' {
    const { to, host, left } = this.#options
    const { offset } = record
    const consumer = this.#consumer
    if (to === 'nowhere') {
      left(record)
      this.#cursor.discard(consumer, offset, offset, 'purged')
      return 'moved'
    }
    const republishing = host.republishing()
    if (!republishing) return 'later'
    const goal = to === 'origins' ? this.#origin(record) : this.#copy(record, to.queue)
    if (!goal || goal.target.name === this.#options.name) return 'passed'
    const refusal = republishing.refusal(goal.target, goal.message)
    if (refusal) return refusal === 'never' ? 'passed' : 'later'
    let isTaken = false
    this.#seq = host.ledger.atomic(() => {
      isTaken = republishing.append(goal.target, goal.message)
      if (!isTaken) return
      left(record)
      this.#cursor.discard(consumer, offset, offset, 'moved')
    })
    return isTaken ? 'moved' : 'later'
  }

  #copy(record: RecordView, queue: string): { target: Destination; message: QueueMessage } {
    const { key, value, stamp } = record
    const deaths = stamp.deaths.map(death => ({ ...death, isPast: true }))
    const message = { key, value, headers: record.headers(), ...stamp, deaths, fed: noStamp.fed }
    return { target: this.#target(queue), message }
  }

  /** As it was before it died last; undefined when it never did. Its history stays. */
  #origin(record: RecordView): { target: Destination; message: QueueMessage } | undefined {
    const [death] = record.stamp.deaths
    if (!death) return undefined
    const { queue, exchange, keys } = death
    const { target, message } = this.#copy(record, queue)
    const [key = '', ...others] = keys
    return { target, message: { ...message, key: Buffer.from(key), exchange, keys: others, hiddenKeyCount: 0 } }
  }

  #target(name: string): Destination {
    return { kind: 'queue', namespace: this.#options.namespace, name }
  }

  #wait(): number {
    const { host } = this.#options
    this.#state = 'waiting'
    this.#timer = host.wheel.at(host.monotonicMs() + retryMs, this)
    return -1
  }

  #read(offset: number): number {
    const isThere = this.#reader.read(offset, true, error => {
      if (this.isOver) return
      if (error !== undefined) this.#unreadable(offset, error)
      this.#later()
    })
    return isThere ? 0 : -1
  }

  /** It stays, for who consumes it to hear of it. */
  #unreadable(offset: number, error: ReadError): void {
    if (error === 'stream-not-found') return this.gone()
    if (this.#taken[0] === offset) this.#taken.shift()
    this.#passedCount++
  }
}

/**
 * Drops one message that waits. Those before it that nobody has had are taken and given back, as if nobody had seen them. False: somebody holds it. Throws
 * `BrokerError` `limit-reached` when they are too many.
 */
export function dropOne(cursor: Cursor, record: RecordView, left: (record: RecordView) => void): boolean {
  const { offset } = record
  const state = cursor.stateOf(offset)
  if (state !== 'ready' && state !== 'returned') return false
  if (state === 'returned') {
    left(record)
    return cursor.drop(offset, offset, 'purged') === 1
  }
  const from = firstReady(cursor, offset)
  if (offset - from >= passedMax) {
    throw new BrokerError('limit-reached', `more than ${passedMax - 1} messages wait before it`)
  }
  const consumer = cursor.join(moverName, 'session')
  const noSink = { run: (): void => {} }
  cursor.acquire(consumer, { max: offset - from + 1, from, to: offset + 1 }, noSink)
  left(record)
  const isDropped = cursor.discard(consumer, offset, offset, 'purged') === 1
  cursor.leave(consumer, 'uncounted')
  return isDropped
}

/** The first offset that nobody has had of those that lead up to this one without a gap; it gives up where they are too many. */
function firstReady(cursor: Cursor, offset: number): number {
  const isReady = (at: number): boolean => cursor.stateOf(at) === 'ready' && cursor.nextAvailable(at) === at
  let first = offset
  while (first > 0 && offset - first < passedMax && isReady(first - 1)) first--
  return first
}
