import assert from 'node:assert/strict'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { checkScheduleName, quote } from '../names.ts'
import { atomically, durably } from '../refusals.ts'
import type { Router } from '../routing/router.ts'
import { Cron, CronError } from '../timers/cron.ts'
import { Heap, type Heaped } from '../work/heap.ts'
import { delayedFacts, factOf, occurred, scheduleFlags, scheduleRemoved, scheduleSet } from './facts.ts'
import { DelayedMachine } from './machine.ts'
import { publishNow } from './publish-now.ts'
import type { ScheduleState } from './schedule-table.ts'
import { readRepeated, writeRepeated, type Later } from './stored.ts'

export interface SchedulesOptions {
  ledger: Ledger
  router: Router
  limits: Limits
}

/** A message that is published again and again: `Later` says what and where to. */
export interface ScheduleDefinition extends Later {
  readonly name: string
  /** See `Cron`. */
  readonly expression: string
  /** By its name, as `Europe/Berlin`. */
  readonly timeZone: string
  /** Whether times that have passed while the broker was down, or stood still, are made good: once for all of them, or not at all. */
  readonly missed: 'skip' | 'once'
  readonly isEnabled: boolean
}

export interface Schedule extends ScheduleDefinition {
  /** When it publishes next; -1: it is not enabled. */
  readonly nextMs: number
  /** When it has published last; -1: never. */
  readonly publishedMs: number
  readonly publishedCount: number
}

/** The wall clock may be set: it is looked at this often. */
const lookMs = 5000
/** What comes later than this was missed. */
const lateMaxMs = 60_000
const retryMs = 1000
/** So many publish in one turn. */
const publishedPerTurn = 64

/** A schedule that is enabled. */
interface Live extends Heaped {
  readonly state: ScheduleState
  readonly cron: Cron
  nextMs: number
}

/**
 * Schedules. A publication and the fact that it has been are one block: each time is published for once at the most, and once exactly unless it was
 * missed. Methods decide before they first wait, resolve when that is durable, and reject with `BrokerError`.
 */
export class Schedules {
  readonly #ledger: Ledger
  readonly #router: Router
  readonly #limits: Limits
  readonly #machine: DelayedMachine
  readonly #live = new Map<ScheduleState, Live>()
  readonly #heap = new Heap<Live>((a, b) => a.nextMs < b.nextMs)
  readonly #startMs: number
  #armedMs = Infinity
  #cancelTimer: (() => void) | undefined
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor({ ledger, router, limits }: SchedulesOptions) {
    const machine = ledger.machine(machineKinds.delayed)
    assert(machine instanceof DelayedMachine)
    this.#ledger = ledger
    this.#router = router
    this.#limits = limits
    this.#machine = machine
    this.#startMs = ledger.clock.nowMs()
    for (const state of machine.schedules.values()) this.#enliven(state, this.#startMs)
  }

  get count(): number {
    return this.#machine.schedules.size
  }

  get(namespace: string, name: string): Schedule | undefined {
    const state = this.#machine.schedules.get(namespace, name)
    return state && this.#told(state)
  }

  /** Those of one namespace, or all, the oldest first. */
  list(namespace?: string): Schedule[] {
    const all = [...this.#machine.schedules.values()]
    return all
      .filter(({ set }) => namespace === undefined || set.namespace === namespace)
      .map(state => this.#told(state))
  }

  /** Makes the schedule, or takes the place of the one of that name. It publishes from now on; what the old one has missed is forgotten. */
  async set(definition: ScheduleDefinition): Promise<Schedule> {
    const { namespace, name, expression, timeZone, exchange, key, missed, isEnabled } = definition
    checkScheduleName(name)
    cronOf(expression, timeZone)
    const target = this.#router.get(namespace, exchange)
    if (!target) throw new BrokerError('exchange-not-found', quote(exchange))
    if (target.internal) throw new BrokerError('access-denied', `nobody may publish to ${quote(exchange)}`)
    const { schedulesMax, scheduleBytesMax } = this.#limits
    if (!this.#machine.schedules.get(namespace, name) && this.count >= schedulesMax) {
      throw new BrokerError('limit-reached', `there are ${schedulesMax} schedules, which is the most allowed`)
    }
    const nowMs = this.#ledger.clock.nowMs()
    const message = writeRepeated(definition, nowMs)
    if (message.length + key.length > scheduleBytesMax) {
      throw new BrokerError('message-too-large', `the message of a schedule has at most ${scheduleBytesMax} bytes`)
    }
    const flags = (isEnabled ? 0 : scheduleFlags.disabled) | (missed === 'once' ? scheduleFlags.once : 0)
    const fact = { namespace, name, expression, timeZone, exchange, key, message, flags, fromMs: nowMs }
    const state = this.#write(fact)
    await durably(this.#ledger, this.#ledger.openSeq)
    return this.#told(state)
  }

  /** Whether there was one. */
  async remove(namespace: string, name: string): Promise<boolean> {
    const state = this.#machine.schedules.get(namespace, name)
    if (state) {
      this.#still(state)
      const payload = factOf(scheduleRemoved, { namespace, name })
      atomically(this.#ledger, () => this.#fact(delayedFacts.scheduleRemoved, payload))
    }
    await durably(this.#ledger, this.#ledger.openSeq)
    return state !== undefined
  }

  /** What passes while it is disabled is not missed. Undefined when there is none of that name. */
  async enable(namespace: string, name: string, isEnabled: boolean): Promise<Schedule | undefined> {
    const state = this.#machine.schedules.get(namespace, name)
    if (!state) return undefined
    const { disabled } = scheduleFlags
    const flags = isEnabled ? state.set.flags & ~disabled : state.set.flags | disabled
    if (state.isEnabled !== isEnabled) this.#write({ ...state.set, flags, fromMs: this.#ledger.clock.nowMs() })
    await durably(this.#ledger, this.#ledger.openSeq)
    return this.#told(state)
  }

  /** Publishes now, besides its times and also when it is disabled. Whether there is one of that name. */
  async runNow(namespace: string, name: string): Promise<boolean> {
    const state = this.#machine.schedules.get(namespace, name)
    if (state && !this.#publish(state, 0)) throw new BrokerError('storage-full', `${quote(name)} was not published`)
    await durably(this.#ledger, this.#ledger.openSeq)
    return state !== undefined
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer?.()
  }

  #write(fact: ScheduleState['set']): ScheduleState {
    atomically(this.#ledger, () => this.#fact(delayedFacts.scheduleSet, factOf(scheduleSet, fact)))
    const state = this.#machine.schedules.get(fact.namespace, fact.name)
    assert(state)
    this.#enliven(state, fact.fromMs)
    return state
  }

  #told(state: ScheduleState): Schedule {
    const { namespace, name, expression, timeZone, exchange, key, message: bytes } = state.set
    const { headers, message } = readRepeated(bytes, this.#ledger.clock.nowMs())
    return {
      namespace,
      name,
      expression,
      timeZone,
      exchange,
      key,
      headers,
      message,
      missed: state.isOnce ? 'once' : 'skip',
      isEnabled: state.isEnabled,
      nextMs: this.#live.get(state)?.nextMs ?? -1,
      publishedMs: state.publishedMs,
      publishedCount: state.count,
    }
  }

  /** From `nowMs` on it publishes at its times; what was before is past, unless that is to be made good. */
  #enliven(state: ScheduleState, nowMs: number): void {
    this.#still(state)
    if (!state.isEnabled) return
    const cron = cronOf(state.set.expression, state.set.timeZone)
    const afterMs = state.isOnce ? state.lastMs : Math.max(state.lastMs, nowMs)
    const live = { state, cron, nextMs: cron.next(afterMs), heapAt: -1 }
    this.#live.set(state, live)
    this.#heap.add(live)
    this.#arm()
  }

  #still(state: ScheduleState): void {
    const live = this.#live.get(state)
    if (live) this.#heap.delete(live)
    this.#live.delete(state)
  }

  #arm(afterMs = 0): void {
    const { first } = this.#heap
    if (!first || this.#isClosed) return
    const { clock } = this.#ledger
    const wait = Math.min(lookMs, Math.max(afterMs, first.nextMs - clock.nowMs(), 0))
    const atMs = clock.monotonicMs() + wait
    if (atMs >= this.#armedMs) return
    this.#cancelTimer?.()
    this.#armedMs = atMs
    this.#cancelTimer = clock.after(wait, () => {
      this.#armedMs = Infinity
      this.#cancelTimer = undefined
      this.#turn()
    })
  }

  #turn(): void {
    const nowMs = this.#ledger.clock.nowMs()
    for (let left = publishedPerTurn; left > 0; left--) {
      const { first } = this.#heap
      if (!first || first.nextMs > nowMs) break
      if (!this.#occur(first, nowMs)) return this.#arm(retryMs)
    }
    this.#arm()
  }

  /** The time of a schedule has come, or has passed long ago. False when it must be tried again. */
  #occur(live: Live, nowMs: number): boolean {
    const { state, cron } = live
    const isMissed = live.nextMs <= this.#startMs || nowMs - live.nextMs > lateMaxMs
    // All that was missed is one.
    const overMs = isMissed ? nowMs : live.nextMs
    if ((!isMissed || state.isOnce) && !this.#publish(state, overMs)) return false
    this.#heap.delete(live)
    live.nextMs = cron.next(overMs)
    this.#heap.add(live)
    return true
  }

  /** All times up to `overMs` are over with this. False when nothing can be taken now. */
  #publish(state: ScheduleState, overMs: number): boolean {
    const { namespace, name, exchange, key, message: bytes } = state.set
    const nowMs = this.#ledger.clock.nowMs()
    let isTaken = false
    try {
      atomically(this.#ledger, () => {
        const later = { namespace, exchange, key, ...readRepeated(bytes, nowMs) }
        isTaken = publishNow(this.#router, later) !== undefined
        if (!isTaken) return
        const payload = factOf(occurred, { namespace, name, atMs: overMs, publishedMs: nowMs })
        this.#fact(delayedFacts.occurred, payload)
      })
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
    }
    return isTaken
  }

  #fact(type: number, payload: Buffer): void {
    this.#ledger.fact(machineKinds.delayed, type, payload)
  }
}

function cronOf(expression: string, timeZone: string): Cron {
  try {
    return new Cron(expression, timeZone)
  } catch (error) {
    if (!(error instanceof CronError)) throw error
    throw new BrokerError('request-invalid', `the schedule ${quote(expression)} cannot be followed: ${error.message}`)
  }
}
