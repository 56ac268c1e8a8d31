import type { CellClient, StreamId } from '../../cell/client.ts'
import { unlessFenced } from '../refusals.ts'
import type { Cursor } from '../cursor/cursor.ts'
import type { ShareSettings } from './settings.ts'

/** What a partition of a share group needs of its surroundings. */
export interface SharePartitionHost {
  readonly cell: CellClient
  /** Records that the members of a group may hold of one partition. */
  readonly inFlightMax: number
  /** Calls `run` in a later turn. */
  soon(run: () => void): void
  /** Of the group, as they are now. */
  settings(): ShareSettings
}

/** Someone who waits for records. `offered` may take them, or go on waiting. */
export interface Waiter {
  offered(): void
}

/**
 * One partition as a share group sees it: a cursor over its stream, and those who wait for records of it.
 *
 * Whoever waits is offered what there is in the order of arrival, and only while there is something: an append wakes as many
 * as it feeds.
 */
export class SharePartition {
  readonly topicId: string
  readonly partition: number
  readonly stream: StreamId
  readonly cursor: Cursor
  /** Somebody reads what is available, and others leave it alone until it is taken. */
  isRead = false
  isClosed = false
  /** Records that were delivered in vain as often as the settings say. */
  givesUp = true
  /** Brings away what is given up, if anybody does. */
  deadLetters: { close(): void } | undefined
  readonly #host: SharePartitionHost
  readonly #waiting = new Set<Waiter>()
  readonly #unwatchCursor: () => void
  #unwatchStream: (() => void) | undefined
  #watchesCommitted = false
  #isWaking = false

  constructor(host: SharePartitionHost, topicId: string, partition: number, cursor: Cursor) {
    this.#host = host
    this.topicId = topicId
    this.partition = partition
    this.stream = cursor.stream
    this.cursor = cursor
    this.#unwatchCursor = cursor.watch({ returned: () => this.wakeSoon() })
    cursor.deliveryLimit = this.#deliveryLimit
  }

  get settings(): ShareSettings {
    return this.#host.settings()
  }

  /** 0: there is none. */
  get #deliveryLimit(): number {
    return this.givesUp ? this.settings.deliveryLimit : 0
  }

  /** Whether there is nothing to be had for ever. */
  get isGone(): boolean {
    return this.isClosed || this.#host.cell.bounds(this.stream) === undefined
  }

  /** One past the last record that members may have. */
  get end(): number {
    const bounds = this.#host.cell.bounds(this.stream)
    if (bounds === undefined) return 0
    return this.settings.committed ? bounds.stableOffset : bounds.endOffset
  }

  /** The lowest offset that can be taken now; undefined when there is none, or somebody is about to take it. */
  get availableFrom(): number | undefined {
    const { cursor, settings } = this
    cursor.deliveryLimit = this.#deliveryLimit
    if (this.isClosed || this.isRead || cursor.inFlightCount >= this.#host.inFlightMax) return undefined
    const bounds = this.#host.cell.bounds(this.stream)
    if (bounds === undefined) return undefined
    // What the stream has removed is nobody's any more; who holds some of it may still settle it.
    if (cursor.nextAvailable() < bounds.startOffset) cursor.purge(bounds.startOffset)
    const from = cursor.nextAvailable()
    return from < (settings.committed ? bounds.stableOffset : bounds.endOffset) ? from : undefined
  }

  /**
   * Whether the record that can be taken next is in its last delivery. It is given alone then: of records that fail together, only the one
   * that makes them fail is given up.
   */
  isLastTry(offset: number): boolean {
    const { cursor } = this
    return cursor.returnedCount > 0 && offset < cursor.next && this.#isLast(cursor.deliveryCount(offset))
  }

  #isLast(deliveries: number): boolean {
    const deliveryLimit = this.#deliveryLimit
    return deliveryLimit > 0 && deliveries >= Math.max(1, deliveryLimit - 1)
  }

  /** The first offset of [from, to) that is given alone, or `to`. */
  endOfCompany(from: number, to: number): number {
    const { cursor } = this
    if (cursor.returnedCount === 0) return to
    const end = Math.min(to, cursor.next)
    for (let offset = cursor.nextAvailable(from); offset < end; offset = cursor.nextAvailable(offset + 1)) {
      if (this.#isLast(cursor.deliveryCount(offset))) return offset
    }
    return to
  }

  /** Records that nobody has settled yet. */
  get lag(): number {
    const { floor, settledAboveFloor } = this.cursor
    return Math.max(0, this.end - floor - settledAboveFloor)
  }

  wait(waiter: Waiter): void {
    this.#waiting.add(waiter)
    const { committed } = this.settings
    if (this.#unwatchStream !== undefined && this.#watchesCommitted === committed) return
    this.#unwatchStream?.()
    this.#watchesCommitted = committed
    this.#unwatchStream = this.#host.cell.watch(this.stream, committed, () => this.wake())
  }

  stopWaiting(waiter: Waiter): void {
    this.#waiting.delete(waiter)
  }

  /** Offers what is available to those who wait. Not within a verb of the cursor. */
  wake(): void {
    // Who takes and waits again is behind the others, and not asked twice.
    let left = this.#waiting.size
    unlessFenced(() => {
      for (const waiter of this.#waiting) {
        if (left-- === 0 || (this.availableFrom === undefined && !this.isGone)) return
        waiter.offered()
      }
    })
  }

  wakeSoon(): void {
    if (this.#isWaking || this.#waiting.size === 0) return
    this.#isWaking = true
    this.#host.soon(() => {
      this.#isWaking = false
      this.wake()
    })
  }

  /** The group has no use for it any more: those who wait look again, and find nothing. */
  close(): void {
    this.isClosed = true
    this.deadLetters?.close()
    this.#unwatchCursor()
    this.#unwatchStream?.()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const waiter of waiting) this.#host.soon(() => waiter.offered())
  }
}
