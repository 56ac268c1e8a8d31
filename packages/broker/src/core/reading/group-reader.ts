import { BatchWindow, RecordView } from '../cursor/record-view.ts'
import type { GroupName } from '../groups/requests.ts'
import type { ShareGroups } from '../share/share-groups.ts'
import type { SharePartition } from '../share/share-partition.ts'
import type { Taken, TakeResult } from '../share/taking.ts'
import type { Settlement } from '../cursor/cursor.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import { recordsPerTurnMax, type TopicSubscriber, type TopicSubscription } from './contract.ts'

export interface GroupReaderHost {
  readonly shareGroups: ShareGroups
  readonly topics: Pick<Topics, 'byId'>
  /** Calls `run` in a later turn. */
  soon(run: () => void): void
  after(delayMs: number, run: () => void): () => void
  /** Called for each partition that is consumed, more than once. */
  using(partition: SharePartition): void
}

export interface GroupReaderOptions {
  /** Of this consumer among those of its group; no two may have the same at a time. */
  readonly memberId: string
  readonly prefetch: number
  /** Delivered is acknowledged. */
  readonly isSettled?: boolean
}

const bytesPerTurnMax = 1024 * 1024
/** New partitions are noticed after this. */
const waitMsMax = 5000
/** When a partition cannot be read, it is tried again after this. */
const retryMs = 1000

/**
 * Shares the records of a topic with the other consumers of a group: each record goes to one of them, which settles it. The group is the same
 * that members who take whole batches belong to (`core/share`), with its settings: where it begins, after how many deliveries a record is given up.
 * Unlike theirs, what this consumer holds is its own until it is settled, or until the consumer is gone.
 */
export class GroupReader implements TopicSubscription {
  readonly #host: GroupReaderHost
  readonly #group: GroupName
  readonly #topicId: string
  readonly #options: GroupReaderOptions
  readonly #subscriber: TopicSubscriber
  readonly #tickets = new Tickets()
  readonly #window = new BatchWindow()
  readonly #record = new RecordView()
  #prefetch: number
  #partitions: SharePartition[] = []
  #first = 0
  #cancelTake: (() => void) | undefined
  #isScheduled = false
  #isPaused = false
  #isRetired = false
  #isOver = false

  /** The group begins in the topic, if it has not yet. Rejects with `BrokerError`. */
  static async open(
    host: GroupReaderHost,
    group: GroupName,
    topic: Topic,
    options: GroupReaderOptions,
    subscriber: TopicSubscriber,
  ): Promise<GroupReader> {
    await host.shareGroups.prepare(group, [topic.id])
    const reader = new GroupReader(host, group, topic.id, options, subscriber)
    reader.#schedule()
    return reader
  }

  private constructor(
    host: GroupReaderHost,
    group: GroupName,
    topicId: string,
    options: GroupReaderOptions,
    subscriber: TopicSubscriber,
  ) {
    this.#host = host
    this.#group = group
    this.#topicId = topicId
    this.#options = options
    this.#subscriber = subscriber
    this.#prefetch = options.prefetch
  }

  get isActive(): boolean {
    return !this.#isOver && !this.#isRetired
  }
  get heldCount(): number {
    return this.#tickets.count
  }
  get prefetch(): number {
    return this.#prefetch
  }
  set prefetch(prefetch: number) {
    this.#prefetch = prefetch
    this.#schedule()
  }

  ack(first: number, last = first): number {
    return this.#settle(first, last, 'ack')
  }
  reject(first: number, last = first): number {
    return this.#settle(first, last, 'reject')
  }
  release(first: number, last = first): number {
    return this.#settle(first, last, 'release')
  }

  pause(): void {
    this.#isPaused = true
    this.#stopTaking()
  }
  retire(): void {
    this.#isRetired = true
    this.#stopTaking()
  }
  resume(): void {
    this.#isPaused = false
    this.#schedule()
  }

  cancel(): void {
    if (this.#isOver) return
    if (this.#options.isSettled) this.ack(0, Infinity)
    this.#isOver = true
    this.#stopTaking()
    this.#window.clear()
    this.#host.shareGroups.release(this.#group, this.#options.memberId)
  }

  get #room(): number {
    if (this.#isOver || this.#isPaused || this.#isRetired) return 0
    return this.#prefetch === 0 ? recordsPerTurnMax : Math.min(recordsPerTurnMax, this.#prefetch - this.heldCount)
  }

  #schedule(): void {
    if (this.#isScheduled || this.#cancelTake || this.#room <= 0) return
    this.#isScheduled = true
    this.#host.soon(() => {
      this.#isScheduled = false
      void this.#take()
    })
  }

  #stopTaking(): void {
    this.#cancelTake?.()
    this.#cancelTake = undefined
  }

  async #take(): Promise<void> {
    const { shareGroups, topics } = this.#host
    const topic = topics.byId(this.#topicId)
    if (topic === undefined) return this.#end()
    if (shareGroups.isClosed) return
    if (topic.partitions.length !== this.#partitions.length)
      await shareGroups.prepare(this.#group, [topic.id]).catch(() => {})
    if (this.#cancelTake || this.#room <= 0) return
    this.#partitions = [...topic.partitions.keys()].flatMap(
      partition => shareGroups.partition(this.#group, topic.id, partition) ?? [],
    )
    for (const partition of this.#partitions) this.#host.using(partition)
    const partitions = this.#inTurn()
    const request = {
      partitions,
      recordsMax: this.#room,
      bytesMin: 1,
      bytesMax: bytesPerTurnMax,
      waitMsMax,
      runRecords: recordsPerTurnMax,
      wholeBatches: false,
      isLasting: true,
    }
    let isOver = false
    const cancel = shareGroups.take(this.#group, this.#options.memberId, request, result => {
      isOver = true
      this.#cancelTake = undefined
      this.#deliver(result)
    })
    if (!isOver) this.#cancelTake = cancel
  }

  /** All partitions, each time beginning with another one. */
  #inTurn(): SharePartition[] {
    const { length } = this.#partitions
    this.#first = length === 0 ? 0 : (this.#first + 1) % length
    return [...this.#partitions.slice(this.#first), ...this.#partitions.slice(0, this.#first)]
  }

  #deliver({ taken, release }: TakeResult): void {
    for (const each of taken) this.#deliverOf(each)
    release()
    if (taken.every(({ error }) => error === undefined)) this.#schedule()
    else if (this.#host.topics.byId(this.#topicId) === undefined) this.#end()
    else this.#retry()
  }

  #retry(): void {
    if (this.#isOver || this.#cancelTake) return
    const cancel = this.#host.after(retryMs, () => {
      this.#cancelTake = undefined
      this.#schedule()
    })
    this.#cancelTake = cancel
  }

  #deliverOf({ partition, batches, runs }: Taken): void {
    const from = runs[0]?.first
    if (from === undefined) return
    // A copy: what lies in the tail's memory would hold on to much more than itself.
    this.#window.fill(from, Buffer.concat(batches), from)
    const firstTicket = this.#tickets.next
    for (const { first, last, deliveryCount } of runs) {
      for (let offset = first; offset <= last; offset++) {
        // What is left of the take was released when this consumer went.
        if (this.#isOver) return
        if (!this.#window.find(offset, this.#record)) {
          partition.cursor.drop(offset, offset, 'gap')
          continue
        }
        const ticket = this.#tickets.add(partition, offset)
        this.#subscriber.deliver(this.#record, partition.partition, ticket, deliveryCount)
      }
    }
    if (this.#options.isSettled) this.ack(firstTicket, this.#tickets.next - 1)
    this.#window.clear()
  }

  #settle(first: number, last: number, outcome: 'ack' | 'reject' | 'release'): number {
    const settled = this.#tickets.take(first, last)
    let count = 0
    for (const [partition, offsets] of settled) {
      const settlements: Settlement[] = []
      for (const offset of offsets) {
        const before = settlements.at(-1)
        if (before && before.last + 1 === offset) before.last = offset
        else settlements.push({ first: offset, last: offset, outcome })
      }
      count += offsets.length
      this.#host.shareGroups.settle(this.#group, this.#options.memberId, partition, settlements)
    }
    this.#schedule()
    return count
  }

  #end(): void {
    if (this.#isOver) return
    this.cancel()
    this.#subscriber.ended()
  }
}

/** What open tickets stand for. */
class Tickets {
  readonly #partitions: (SharePartition | undefined)[] = []
  readonly #offsets: number[] = []
  /** The ticket of the first row. */
  #base = 0
  #head = 0
  #open = 0

  get count(): number {
    return this.#open
  }
  /** The one that is given next. */
  get next(): number {
    return this.#base + this.#offsets.length
  }

  add(partition: SharePartition, offset: number): number {
    this.#partitions.push(partition)
    this.#offsets.push(offset)
    this.#open++
    return this.next - 1
  }

  /** Those of [first, last] that are open, which they are no more, by partition and ascending. */
  take(first: number, last: number): Map<SharePartition, number[]> {
    const found = new Map<SharePartition, number[]>()
    const end = Math.min(last - this.#base + 1, this.#offsets.length)
    for (let row = Math.max(first - this.#base, this.#head); row < end; row++) {
      const partition = this.#partitions[row]
      const offset = this.#offsets[row]
      if (partition === undefined || offset === undefined) continue
      this.#partitions[row] = undefined
      this.#open--
      const offsets = found.get(partition)
      if (offsets) offsets.push(offset)
      else found.set(partition, [offset])
    }
    this.#forget()
    for (const offsets of found.values()) offsets.sort((a, b) => a - b)
    return found
  }

  /** Rows at the beginning that are settled; moved only when they are many. */
  #forget(): void {
    while (this.#head < this.#partitions.length && this.#partitions[this.#head] === undefined) this.#head++
    if (this.#head < 1024 && this.#head < this.#partitions.length) return
    this.#partitions.splice(0, this.#head)
    this.#offsets.splice(0, this.#head)
    this.#base += this.#head
    this.#head = 0
  }
}
