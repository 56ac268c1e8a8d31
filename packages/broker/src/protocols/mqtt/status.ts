import type { Broker } from '../../core/broker.ts'
import { isKeeper } from '../../core/sessions/sessions.ts'
import { perBroker } from '../per-broker.ts'
import { Statistics } from './statistics.ts'
import { Filter } from './topics.ts'

export interface StatusText {
  readonly topic: string
  readonly payload: string
}

interface StatusClock {
  monotonicMs(): number
  after(delayMs: number, run: () => void): () => void
}

interface Listener {
  readonly filters: Map<string, Filter>
  tell(text: StatusText): void
}

const prefix = '$SYS'
/** Averages are over so many minutes. */
const windows = [1, 5, 15] as const

/** Figures of the broker under `$SYS`, for those who subscribe to them: nothing of it is published, or kept. */
export class Status {
  readonly #broker: Broker
  readonly #statistics: Statistics
  readonly #listeners = new Map<object, Listener>()
  readonly #loads = new Map<string, { last: number; averages: number[] }>()
  #startedMs = -1
  #beatMs = -1
  #cancel: (() => void) | undefined
  #clock: StatusClock | undefined

  private constructor(broker: Broker) {
    this.#broker = broker
    this.#statistics = Statistics.of(broker)
  }

  static readonly of = perBroker(broker => new Status(broker))

  /** The clock of the first connection is as good as any. */
  use(clock: StatusClock): void {
    if (this.#clock) return
    this.#clock = clock
    this.#startedMs = this.#beatMs = clock.monotonicMs()
  }

  /** Of no effect for filters that can have nothing to do with it. */
  subscribe(owner: object, filter: string, tell: (text: StatusText) => void): void {
    if (!filter.startsWith(prefix) || this.#broker.limits.statusIntervalMs === 0) return
    let listener = this.#listeners.get(owner)
    if (!listener) this.#listeners.set(owner, (listener = { filters: new Map(), tell }))
    const matcher = new Filter(filter)
    listener.filters.set(filter, matcher)
    this.#schedule()
    // As if it were retained.
    for (const text of this.#texts()) if (matcher.matches(text.topic)) tell(text)
  }

  unsubscribe(owner: object, filter?: string): void {
    const listener = this.#listeners.get(owner)
    if (!listener) return
    if (filter === undefined) listener.filters.clear()
    else listener.filters.delete(filter)
    if (listener.filters.size === 0) this.#listeners.delete(owner)
    if (this.#listeners.size > 0) return
    this.#cancel?.()
    this.#cancel = undefined
  }

  #schedule(): void {
    this.#cancel ??= this.#clock?.after(this.#broker.limits.statusIntervalMs, () => {
      this.#cancel = undefined
      this.#beat()
      if (this.#listeners.size > 0) this.#schedule()
    })
  }

  #beat(): void {
    const texts = this.#texts()
    for (const { filters, tell } of [...this.#listeners.values()]) {
      for (const text of texts) if ([...filters.values()].some(filter => filter.matches(text.topic))) tell(text)
    }
  }

  /** By the names that are known from elsewhere. */
  #texts(): StatusText[] {
    const { sessions, retained } = this.#broker
    const of = this.#statistics
    const lasting = sessions.list().filter(session => !isKeeper(session))
    const away = lasting.filter(({ leftMs }) => leftMs >= 0).length
    const present = of.connections
    const nowMs = this.#clock?.monotonicMs() ?? 0
    const counts: Record<string, number | string> = {
      version: 'dragoman',
      uptime: `${Math.floor((nowMs - this.#startedMs) / 1000)} seconds`,
      'clients/total': present + away,
      'clients/connected': present,
      'clients/active': present,
      'clients/disconnected': away,
      'clients/inactive': away,
      'clients/maximum': of.connectionsMost,
      'messages/received': of.receivedPackets,
      'messages/sent': of.sentPackets,
      'publish/messages/received': of.received,
      'publish/messages/sent': of.sent,
      'publish/messages/dropped': of.dropped.count,
      'publish/bytes/received': of.receivedBytes,
      'publish/bytes/sent': of.sentBytes,
      'bytes/received': of.receivedBytes,
      'bytes/sent': of.sentBytes,
      'retained messages/count': retained.count,
      'subscriptions/count': of.subscriptions,
      'shared_subscriptions/count': of.sharedSubscriptions,
      ...this.#load(nowMs),
    }
    return Object.entries(counts).map(([name, value]) => ({
      topic: `${prefix}/broker/${name}`,
      payload: String(value),
    }))
  }

  /** What came and went, for each minute, as moving averages. */
  #load(nowMs: number): Record<string, string> {
    const of = this.#statistics
    const counters = {
      'messages/received': of.receivedPackets,
      'messages/sent': of.sentPackets,
      'publish/received': of.received,
      'publish/sent': of.sent,
      'publish/dropped': of.dropped.count,
      'bytes/received': of.receivedBytes,
      'bytes/sent': of.sentBytes,
      connections: of.connectionsTotal,
    }
    const minutes = (nowMs - this.#beatMs) / 60_000
    if (minutes > 0) this.#beatMs = nowMs
    const texts: Record<string, string> = {}
    for (const [name, value] of Object.entries(counters)) {
      const load = this.#loads.get(name) ?? { last: 0, averages: windows.map(() => 0) }
      this.#loads.set(name, load)
      windows.forEach((window, at) => {
        const before = load.averages[at] ?? 0
        if (minutes > 0) {
          const rate = (value - load.last) / minutes
          load.averages[at] = rate + Math.exp(-minutes / window) * (before - rate)
        }
        texts[`load/${name}/${window}min`] = (load.averages[at] ?? 0).toFixed(2)
      })
      if (minutes > 0) load.last = value
    }
    return texts
  }
}
