import type { CellClient } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { quote } from '../names.ts'
import { atomically, durably } from '../refusals.ts'
import type { Posted, PublishError } from '../routing/publisher.ts'
import type { Router } from '../routing/router.ts'
import { DueClock } from './due-clock.ts'
import { cancelled, delayedFacts, factOf } from './facts.ts'
import { Firing, type Pressure } from './firing.ts'
import { listDelayed, type DelayedMessage, type DelayedPage, type DelayedQuery } from './listing.ts'
import type { DelayedMachine, PlaceCount } from './machine.ts'
import { fetchRecord } from './record-fetch.ts'
import { readLater, type Later } from './stored.ts'
import { delayMaxMs } from './tiers.ts'
import type { VolumeState } from './volume-state.ts'
import { placeOf, Volumes, type DelayedId, type DelayedSizes } from './volumes.ts'

export interface DelayedOptions {
  ledger: Ledger
  cell: CellClient
  router: Router
  limits: Limits
  pressure: Pressure
  sizes?: DelayedSizes | undefined
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
  log(level: 'warn' | 'error', message: string): void
}

/** What was decided of a message that is to be published later. */
export interface PostedLater extends Posted {
  /** Empty when it is refused. */
  readonly id: DelayedId
}

/**
 * Messages that are to be published later: they wait on the disk, whatever their number and however long, and are routed when their time
 * has come, by the bindings that there are then.
 *
 * What has an id waits. Ids stay the same over restarts; one that was fired, cancelled or moved to another time names nothing any more.
 */
export class Delayed {
  readonly #ledger: Ledger
  readonly #cell: CellClient
  readonly #router: Router
  readonly #limits: Limits
  readonly #volumes: Volumes
  readonly #clock: DueClock
  readonly #firing: Firing

  /** Over a cell that has been recovered. What was due while the broker was down is published soon. */
  constructor(options: DelayedOptions) {
    const { ledger, cell, router, limits } = options
    this.#ledger = ledger
    this.#cell = cell
    this.#router = router
    this.#limits = limits
    this.#clock = new DueClock(ledger.clock)
    this.#volumes = new Volumes(ledger, cell, options.sizes)
    router.delays = this
    this.#firing = new Firing(this.#volumes, this.#clock, options)
  }

  get #machine(): DelayedMachine {
    return this.#volumes.machine
  }

  /** Messages that wait. */
  get count(): number {
    return this.#machine.live
  }
  /** Since the start. */
  get publishedCount(): number {
    return this.#firing.publishedCount
  }
  /** Those of them that led nowhere. */
  get unroutedCount(): number {
    return this.#firing.unroutedCount
  }

  /** Messages that wait in a namespace, or for one of its exchanges. */
  countOf(namespace: string, exchange?: string): number {
    return this.#machine.count(namespace, exchange)
  }

  /** For which exchanges messages wait, of one namespace or of all. */
  counts(namespace?: string): Readonly<PlaceCount>[] {
    return [...this.#machine.places(namespace)]
  }

  /**
   * Keeps a message for `delayMs`, at least a millisecond. A time to live begins when it is published. It is decided before this returns;
   * who confirms waits for the block.
   */
  post(later: Later, delayMs: number): PostedLater {
    const { namespace, exchange } = later
    const target = this.#router.get(namespace, exchange)
    if (!target) return refused('exchange-not-found')
    if (target.internal) return refused('access-denied')
    const { delayedMax, delayedPerNamespaceMax } = this.#limits
    const isFull = this.count >= delayedMax || this.countOf(namespace) >= delayedPerNamespaceMax
    if (isFull || !(delayMs <= delayMaxMs)) return refused('limit-reached')
    const nowMs = this.#clock.nowMs()
    return this.#put(later, nowMs + Math.max(1, Math.ceil(delayMs)), nowMs)
  }

  /** Like `post`, and calls `done` when the message is durable, or at once with a refusal. */
  publish(later: Later, delayMs: number, done: (posted: PostedLater) => void): void {
    const posted = this.post(later, delayMs)
    this.#ledger.whenDurable(posted.seq, done, posted)
  }

  /** Undefined when nothing that waits has that id. */
  async get(id: DelayedId): Promise<DelayedMessage | undefined> {
    return (await this.#find(id))?.found
  }

  /** Those that wait, in the order of their due times; a page at a time. */
  list(query: DelayedQuery): Promise<DelayedPage> {
    return listDelayed(this.#machine, this.#cell, query)
  }

  /** Whether it waited and will not be published. */
  async cancel(id: DelayedId): Promise<boolean> {
    const place = await this.#find(id)
    const isWaiting = place !== undefined && this.#isWaiting(place)
    if (isWaiting) atomically(this.#ledger, () => this.#cancel(place))
    await durably(this.#ledger, this.#ledger.openSeq)
    return isWaiting
  }

  /** Cancels all that match. Resolves with their number. */
  async cancelAll(query: Omit<DelayedQuery, 'after' | 'max'>): Promise<number> {
    let count = 0
    let after: string | undefined
    const mayBe = (): boolean => {
      const { namespace, exchange } = query
      return namespace === undefined ? this.count > 0 : this.countOf(namespace, exchange) > 0
    }
    while (mayBe()) {
      const page = await this.list({ ...query, max: cancelledTogether, ...(after === undefined ? {} : { after }) })
      const places = page.messages.flatMap(found => {
        const place = placeOf(this.#machine, found.id)
        return place && this.#isWaiting({ ...place, found }) ? [{ ...place, found }] : []
      })
      atomically(this.#ledger, () => places.forEach(place => this.#cancel(place)))
      count += places.length
      after = page.next
      if (after === undefined) break
    }
    await durably(this.#ledger, this.#ledger.openSeq)
    return count
  }

  /**
   * Gives a message another time, in milliseconds since 1970; one that is past means at once. Resolves with its new id; undefined when nothing
   * that waits has the old one.
   */
  async reschedule(id: DelayedId, dueMs: number): Promise<DelayedId | undefined> {
    const place = await this.#find(id)
    if (!place || !this.#isWaiting(place)) return undefined
    const nowMs = this.#clock.nowMs()
    if (!(dueMs - nowMs <= delayMaxMs))
      throw new BrokerError('request-invalid', 'no message waits longer than 100 years')
    let posted: PostedLater = refused('limit-reached')
    // The new one first: when it is refused, the old one stays.
    const seq = atomically(this.#ledger, () => {
      posted = this.#put(place.found, Math.max(nowMs + 1, Math.ceil(dueMs)), nowMs)
      if (posted.error === undefined) this.#cancel(place)
    })
    const { error } = posted
    if (error === 'storage-full' || error === 'shutting-down')
      throw new BrokerError(error, `message ${quote(id)} waits on`)
    await durably(this.#ledger, seq)
    return posted.id
  }

  close(): void {
    this.#firing.close()
  }

  #put(later: Later, dueMs: number, nowMs: number): PostedLater {
    try {
      return { isRouted: true, ...this.#volumes.put(later, dueMs, nowMs) }
    } catch (error) {
      if (error instanceof BrokerError && (error.code === 'storage-full' || error.code === 'shutting-down')) {
        return refused(error.code)
      }
      throw error
    }
  }

  async #find(id: DelayedId): Promise<Place | undefined> {
    const place = placeOf(this.#machine, id)
    if (!place || place.volume.cancelled.has(place.offset)) return undefined
    const record = await fetchRecord(this.#cell, place.volume.messages, place.offset)
    if (record === undefined) return undefined
    if (typeof record === 'string') throw new BrokerError('storage-corrupt', `message ${quote(id)} cannot be read`)
    const found = { id, ...readLater(record, this.#clock.nowMs()) }
    return this.#isWaiting({ ...place, found }) ? { ...place, found } : undefined
  }

  #isWaiting({ volume, offset, found }: Place): boolean {
    const isThere = this.#machine.volumes.get(volume.number) === volume
    return isThere && !volume.cancelled.has(offset) && !volume.hasGone(found.dueMs - volume.fromMs, offset)
  }

  #cancel({ volume, offset, found: { namespace, exchange } }: Place): void {
    const payload = factOf(cancelled, { volume: volume.number, offset, namespace, exchange })
    this.#ledger.fact(machineKinds.delayed, delayedFacts.cancelled, payload)
  }
}

interface Place {
  readonly volume: VolumeState
  readonly offset: number
  readonly found: DelayedMessage
}

const cancelledTogether = 500

const refused = (error: PublishError): PostedLater => ({ id: '', isRouted: false, error, seq: -1 })
