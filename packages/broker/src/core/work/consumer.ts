import type { RecordView } from '../cursor/record-view.ts'
import { recordsPerTurnMax, type TopicSubscriber, type TopicSubscription } from '../reading/contract.ts'
import type { Held, WorkHost, WorkQueue } from './contract.ts'
import { Worker } from './worker.ts'

export interface WorkConsumerOptions {
  readonly name: string
  /** Messages that it may hold; 0: no limit. */
  readonly prefetch: number
  /** Delivered is done with. */
  readonly isSettled?: boolean
}

/**
 * A consumer of one work queue as clients of ordinary queues are: messages are pushed to it in the order in which workers would get them, and named by
 * their numbers. It has as much time for each as it likes.
 */
export class WorkConsumer implements TopicSubscription {
  readonly #host: Pick<WorkHost, 'soon'>
  readonly #options: WorkConsumerOptions
  readonly #subscriber: TopicSubscriber
  readonly #worker: Worker
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
    this.#worker = new Worker(host, { name: options.name, leaseMs: () => Infinity, lost: () => this.#lost() })
    this.#worker.watch(queue)
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
      done(record, held.spot.number, held.reserves)
    })
    // What is on its way from the disk is waited for.
    if (worker.isWaiting && !worker.isReading && worker.stopWaiting()) done(undefined, 0, 0)
  }

  ack(first: number, last = first): number {
    return this.#settle(first, last, held => this.#worker.remove(held.spot.number))
  }
  /** There is no place for what is given up: it is removed. */
  reject(first: number, last = first): number {
    return this.ack(first, last)
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
    this.#subscriber.deliver(record, 0, number, held.reserves)
    if (this.#options.isSettled) this.ack(number)
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
