import type { RecordView } from '../cursor/record-view.ts'
import { recordsPerTurnMax, type TopicSubscriber, type TopicSubscription } from '../reading/contract.ts'
import type { Held, WorkHost, WorkQueue } from './contract.ts'
import { Worker } from './worker.ts'

export interface WorkConsumerOptions {
  readonly name: string
  /** Messages that it may hold; 0: no limit. */
  readonly prefetch: number
  /** Higher ones are served first; 0 when absent. */
  readonly priority?: number
  /** Nobody else may consume. */
  readonly isExclusive?: boolean
  /** It is given nothing unasked, and does not count as a consumer: for `pull` alone. */
  readonly isPassive?: boolean
  /** Delivered is done with. */
  readonly isSettled?: boolean
}

/**
 * A consumer of one work queue as clients of ordinary queues are: messages are pushed to it in the order in which workers would get them, and named by
 * their numbers. It has as much time for each as it likes.
 */
export class WorkConsumer implements TopicSubscription {
  readonly #host: Pick<WorkHost, 'soon' | 'wake'>
  readonly #options: WorkConsumerOptions
  readonly #subscriber: TopicSubscriber
  readonly #worker: Worker
  readonly #queue: WorkQueue
  readonly #held = new Map<number, Held>()
  #prefetch: number
  #hasBegun = false
  #isAsking = false
  #isScheduled = false
  #isPaused = false
  #isRetired = false
  #isOver = false

  constructor(host: WorkHost, queue: WorkQueue, options: WorkConsumerOptions, subscriber: TopicSubscriber) {
    this.#host = host
    this.#options = options
    this.#subscriber = subscriber
    this.#prefetch = options.prefetch
    this.#queue = queue
    this.#worker = new Worker(host, {
      ...options,
      keepsBytes: true,
      leaseMs: () => Infinity,
      isEager: () => this.#hasBegun && this.#hasRoom,
      lost: () => this.#lost(),
    })
    this.#worker.watch(queue)
    if (options.isExclusive) queue.only = this.#worker
  }

  get isActive(): boolean {
    return !this.#isOver && !this.#isRetired
  }
  get heldCount(): number {
    return this.#held.size
  }
  get prefetch(): number {
    return this.#prefetch
  }
  set prefetch(prefetch: number) {
    this.#prefetch = prefetch
    this.#schedule()
  }

  /** Messages are delivered from a later turn on. */
  begin(): void {
    this.#hasBegun = true
    this.#schedule()
  }

  #schedule(): void {
    if (!this.#hasBegun || this.#isScheduled || this.#isAsking || !this.#hasRoom) return
    this.#isScheduled = true
    this.#host.soon(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  /** One message now; undefined when there is none. */
  pull(done: (record: RecordView | undefined, ticket: number, deliveryCount: number) => void): void {
    const worker = this.#worker
    worker.reserve((held, _value, record) => {
      this.#hold(held)
      done(record, held.spot.number, held.deliveries)
    })
    // What is on its way from the disk is waited for.
    if (worker.isWaiting && !worker.isReading && worker.stopWaiting()) done(undefined, 0, 0)
  }

  ack(first: number, last = first): number {
    return this.#settle(first, last, held => this.#worker.remove(held.spot.number))
  }
  /** What is given up is put aside, until somebody asks for it. */
  reject(first: number, last = first): number {
    return this.#settle(first, last, ({ spot, priority }) => this.#worker.putAside(spot.number, priority))
  }
  release(first: number, last = first): number {
    return this.#settle(first, last, ({ spot, priority }) => this.#worker.release(spot.number, priority, 0))
  }

  pause(): void {
    this.#isPaused = true
    this.#stop()
  }
  resume(): void {
    this.#isPaused = false
    this.#schedule()
  }
  retire(): void {
    this.#isRetired = true
    this.#stop()
    this.#worker.ignore(this.#queue)
  }
  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#held.clear()
    this.#worker.close()
  }

  get #hasRoom(): boolean {
    if (this.#isOver || this.#isPaused || this.#isRetired) return false
    return this.#prefetch === 0 || this.#held.size < this.#prefetch
  }

  #stop(): void {
    if (this.#isAsking) this.#worker.stopWaiting()
    this.#isAsking = false
    this.#makeWay()
  }

  /** Others may have stood behind it. */
  #makeWay(): void {
    if (this.#queue.ranked.size > 0) this.#host.wake(this.#queue)
  }

  #turn(): void {
    for (let left = recordsPerTurnMax; left > 0 && this.#hasRoom && !this.#isAsking; left--) {
      this.#isAsking = true
      let isWithinCall = true
      this.#worker.reserve((held, _value, record) => {
        this.#isAsking = false
        this.#deliver(held, record)
        if (!isWithinCall) this.#schedule()
      })
      isWithinCall = false
    }
    this.#schedule()
  }

  #deliver(held: Held, record: RecordView): void {
    const { number } = held.spot
    this.#hold(held)
    this.#subscriber.deliver(record, 0, number, held.deliveries)
    if (this.#options.isSettled) this.ack(number)
    if (!this.#hasRoom) this.#makeWay()
  }

  #hold(held: Held): void {
    this.#held.set(held.spot.number, held)
  }

  #settle(first: number, last: number, run: (held: Held) => boolean): number {
    let count = 0
    for (let number = first; number <= last; number++) {
      const held = this.#held.get(number)
      if (!held) continue
      this.#held.delete(number)
      if (run(held)) count++
    }
    this.#schedule()
    return count
  }

  /** The queue is gone with what it held. */
  #lost(): void {
    if (this.#isOver) return
    this.cancel()
    this.#subscriber.ended()
  }
}
