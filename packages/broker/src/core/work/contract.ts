import type { StreamId } from '../../cell/client.ts'
import type { ConsumerId } from '../cursor/cursor.ts'
import type { Queue, QueueMessage } from '../queues/queue.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import type { Heaped } from './heap.ts'
import type { Lane } from './lane.ts'
import type { MessageNumber, Note } from './machine.ts'

/**
 * A queue whose messages have numbers and priorities: the most urgent is given out first, and of those the one with the lowest number. They
 * may wait for a time, and be put aside until somebody asks for them.
 *
 * It lives as long as somebody refers to it or it holds anything; only what holds anything is durable.
 */
export interface WorkQueue {
  readonly namespace: string
  readonly name: string
  readonly queue: Queue | undefined
  /** By priority. */
  readonly lanes: readonly Lane[]
  /** For what has to wait from the beginning. */
  readonly side: Lane | undefined

  /** What workers have reserved. */
  readonly held: Map<MessageNumber, Held>
  readonly waiters: Set<Taker>
  readonly watchers: Set<Taker>
  /** Those of them that have a priority of their own. */
  readonly ranked: Set<Taker>
  /** The one of them that is there for itself alone. */
  only: Taker | undefined
  /** Those who have taken something of it, and are consumers of its lanes since. */
  readonly visitors: Set<Taker>
  /** Who puts messages here, or keeps it for another reason. */
  users: number
  /** Those who may be given messages, asked for or not. */
  readonly consumerCount: number
  readonly readyCount: number
  /** Ready ones of priorities below 1024. */
  readonly urgentCount: number
  readonly delayedCount: number
  readonly asideCount: number
  readonly reservedCount: number
  /** Since the broker was started. */
  readonly putCount: number
  readonly removedCount: number
  readonly pauseCount: number
  /** How long the present pause is; 0: there is none. */
  readonly pauseMs: number
  readonly pauseLeftMs: number
  /** Nobody refers to it. */
  readonly isIdle: boolean
  readonly isEmpty: boolean

  /** Those who wait, in the order in which they are served. */
  row(): Iterable<Taker>
  /** Whether somebody else is to be served before the taker, or instead of it. */
  favoursOthers(taker: Taker): boolean
  /** What would be given out next, unless the queue is paused. */
  head(): (Spot & { priority: number }) | undefined
  firstDelayed(): Spot | undefined
  firstAside(): Spot | undefined
  /** Undefined when it is gone, or was not there yet. */
  stateOf(spot: Spot): WorkState | undefined
  /** Milliseconds until the message is given out; for what is delayed. */
  dueInMs(spot: Spot): number

  /**
   * Appends a message and calls `done` with its number when it is durable, or at once with a refusal. It is decided before this returns.
   */
  put(message: QueueMessage, options: PutOptions, done: (result: number | PutError) => void): void
  /** Removes a message that nobody holds; `done` tells whether it was there. */
  remove(spot: Spot, done: (isRemoved: boolean) => void): void
  /** Drops what is ready. Returns how many messages that were. */
  purge(): number
  /** A message that was put aside or is delayed is ready. */
  kickOne(spot: Spot): boolean
  /** Up to `max` messages that were put aside become ready, in their order; when there are none, of those that are delayed the soonest. */
  kick(max: number, done: (count: number) => void): void
  /** Nothing is given out for that long. */
  pause(ms: number): void

  // For workers

  /** It is reserved by the consumer from now on, for ever if the time is Infinity. False when it cannot be had. */
  reserve(spot: Spot, consumer: ConsumerId, leaseMs: number): boolean
  /** What a consumer holds waits again, from `delayMs` on. */
  giveBack(spot: Spot, consumer: ConsumerId, patch: NotePatch & { priority: number }): void
  /** What a consumer holds is put aside. */
  putAside(spot: Spot, consumer: ConsumerId, patch: NotePatch): void
  /** A message of this queue was removed on request. */
  removed(): void
}

/** Whoever takes messages out of queues, as these see him. */
export interface Taker {
  readonly isWaiting: boolean
  /** Higher ones are served first. */
  readonly priority: number
  /** It takes what it asks for, whoever else is there, and does not count as a consumer. */
  readonly isPassive: boolean
  /** It would take something, now or in a turn that comes. */
  readonly isEager: boolean
  /** Takes the best message that there is, when it waits for one. */
  take(): 'taken' | 'nothing' | 'reading'
  /** The lease has run out. */
  expired(held: Held): void
  /** The queue is gone with what it held. */
  lose(queue: WorkQueue): void
  /** Milliseconds that it may keep the message. */
  leftMs(held: Held): number
}

/** A message that a worker has reserved. */
export interface Held extends Heaped {
  readonly spot: Spot
  readonly worker: Taker
  readonly consumer: ConsumerId
  readonly leaseMs: number
  readonly priority: number
  /** How often it was reserved, this time included. */
  readonly reserves: number
  /** The same, with times of which nothing was noted before the broker ended. */
  readonly deliveries: number
  /** On the monotonic clock. */
  deadlineMs: number
}

/** Where a message is. */
export interface Spot {
  readonly queue: WorkQueue
  readonly lane: Lane
  readonly offset: number
  readonly number: MessageNumber
}

export type WorkState = 'ready' | 'reserved' | 'delayed' | 'aside'

export interface PutOptions {
  /** 0 is the most urgent; 32 bits. */
  readonly priority: number
  /** It is not given out before. */
  readonly delayMs: number
}

export type PutError = 'limit-reached' | 'storage-full' | 'shutting-down' | 'queue-exists' | 'message-too-large'

/** What changes of a note; the rest stays, or is as for a message without a history. */
export type NotePatch = Partial<Omit<Note, 'number' | 'lane' | 'offset' | 'heapAt'>>

/** What a work queue needs of all of them. Notes and numbers are facts: they change by these verbs alone. */
export interface WorkHost {
  readonly wheel: TimerWheel
  /** No message is taken in: those that are there are to be worked off. */
  readonly isDraining: boolean
  /** Messages of one queue that may wait for their time. */
  readonly delayedMax: number
  /** Messages that the consumers of one lane may hold. */
  readonly inFlightMax: number
  /** The wall clock as it was when the broker started, moved on by the monotonic one. */
  wallMs(): number
  monotonicMs(): number
  soon(run: () => void): void
  atomic(run: () => void): void
  watchStream(stream: StreamId, grown: () => void): () => void
  /** Gives numbers to what has none yet. Undefined when the offset lies below all numbers. */
  numberOf(lane: Lane, offset: number): MessageNumber | undefined
  note(lane: Lane, offset: number, patch: NotePatch): Note
  forget(note: Note): void
  /** What is below the floor needs no numbers. */
  dropRuns(lane: Lane): void
  /** `appended` is called before this returns, when the message was taken; it is not durable then. */
  append(
    queue: WorkQueue,
    message: QueueMessage,
    options: PutOptions,
    done: (result: number | PutError) => void,
    appended: (lane: Lane, offset: number) => void,
  ): void
  /** There may be something for those who wait. */
  wake(queue: WorkQueue): void
  /** The queue may have become needless. */
  sweep(queue: WorkQueue): void
  /** A read that a worker asked for has ended. */
  hasRead(queue: WorkQueue, lane: Lane, offset: number, error: string | undefined): void
}
