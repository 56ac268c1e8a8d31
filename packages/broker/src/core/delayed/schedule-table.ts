import assert from 'node:assert/strict'
import { keptCopy, type Reader, type Writer } from '@dragoman/wire'
import {
  delayedFacts,
  occurred,
  readFact,
  savedSchedule,
  scheduleFlags,
  scheduleRemoved,
  scheduleSet,
} from './facts.ts'

type ScheduleFact = ReturnType<(typeof scheduleSet)['read']>

/** What is kept of a schedule. Changed by facts alone. */
export class ScheduleState {
  set: ScheduleFact
  /** Occurrences up to this time are over. */
  lastMs: number
  /** When it published last; -1: never. */
  publishedMs = -1
  /** How often it has published. */
  count = 0

  constructor(fact: ScheduleFact) {
    this.set = fact
    this.lastMs = fact.fromMs
  }

  get isEnabled(): boolean {
    return (this.set.flags & scheduleFlags.disabled) === 0
  }
  /** Whether what was missed while the broker was down is made good, once. */
  get isOnce(): boolean {
    return (this.set.flags & scheduleFlags.once) !== 0
  }
}

/** Which schedules there are. */
export class ScheduleTable {
  readonly #byName = new Map<string, ScheduleState>()

  get size(): number {
    return this.#byName.size
  }

  get(namespace: string, name: string): ScheduleState | undefined {
    return this.#byName.get(keyOf(namespace, name))
  }

  values(): Iterable<ScheduleState> {
    return this.#byName.values()
  }

  /** False for facts that are not of schedules. */
  apply(type: number, payload: Buffer): boolean {
    switch (type) {
      case delayedFacts.scheduleSet:
        this.#set(readFact(scheduleSet, payload))
        return true
      case delayedFacts.scheduleRemoved: {
        const { namespace, name } = readFact(scheduleRemoved, payload)
        this.#byName.delete(keyOf(namespace, name))
        return true
      }
      case delayedFacts.occurred: {
        const { namespace, name, atMs, publishedMs } = readFact(occurred, payload)
        const schedule = this.get(namespace, name)
        assert(schedule, `there is no schedule ${name}`)
        schedule.lastMs = Math.max(schedule.lastMs, atMs)
        if (publishedMs < 0) return true
        schedule.publishedMs = publishedMs
        schedule.count++
        return true
      }
      default:
        return false
    }
  }

  #set(lent: ScheduleFact): void {
    // The fact's bytes are only lent.
    const fact = { ...lent, message: keptCopy(lent.message) }
    const key = keyOf(fact.namespace, fact.name)
    const present = this.#byName.get(key)
    if (!present) this.#byName.set(key, new ScheduleState(fact))
    else {
      present.set = fact
      present.lastMs = Math.max(present.lastMs, fact.fromMs)
    }
  }

  save(out: Writer): void {
    for (const { set, lastMs, publishedMs, count } of this.#byName.values()) {
      savedSchedule.write(out, { set, lastMs, publishedMs, count })
    }
  }

  load(from: Reader, count: number): void {
    for (let left = count; left > 0; left--) {
      const saved = savedSchedule.read(from)
      this.#set(saved.set)
      const schedule = this.get(saved.set.namespace, saved.set.name)
      assert(schedule)
      schedule.lastMs = saved.lastMs
      schedule.publishedMs = saved.publishedMs
      schedule.count = saved.count
    }
  }
}

const keyOf = (namespace: string, name: string): string => `${namespace}\0${name}`
