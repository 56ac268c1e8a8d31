import type { CommittedOffset, GroupRecord } from './machine.ts'
import type { GroupName, TopicPartitions } from './requests.ts'

/** Groups looked through at once. */
const groupsPerTurn = 500

/** What the sweep must know and may do. */
export interface SweepHost {
  readonly clock: { nowMs(): number; after(delayMs: number, run: () => void): () => void }
  readonly intervalMs: number
  readonly retentionMs: number
  records(): Iterator<GroupRecord>
  /** Groups without members to which the broker assigned, whether they have offsets or not. */
  abandoned(): Iterator<GroupName>
  record(name: GroupName): GroupRecord | undefined
  hasMembers(name: GroupName): boolean
  /** Wall clock at which the broker had nobody left to assign to; 0 when that never was. */
  emptiedMs(name: GroupName): number
  /** Removes the group, of whatever kind. */
  remove(name: GroupName): void
  removeOffsets(name: GroupName, topics: readonly TopicPartitions[]): void
}

/** Goes through all groups a few at a time, then rests; removes what has been of no use for long enough. */
export class OffsetsSweep {
  readonly #host: SweepHost
  #cancel: (() => void) | undefined

  constructor(host: SweepHost) {
    this.#host = host
    this.#schedule(host.intervalMs, this.#names())
  }

  stop(): void {
    this.#cancel?.()
  }

  *#names(): Generator<GroupName> {
    for (const { namespace, id: group } of iterable(this.#host.records())) yield { namespace, group }
    for (const name of iterable(this.#host.abandoned())) if (this.#host.record(name) === undefined) yield name
  }

  #schedule(delayMs: number, names: Iterator<GroupName>): void {
    this.#cancel = this.#host.clock.after(delayMs, () => {
      for (let left = groupsPerTurn; left > 0; left--) {
        const next = names.next()
        if (next.done === true) return this.#schedule(this.#host.intervalMs, this.#names())
        this.#expire(next.value)
      }
      this.#schedule(1, names)
    })
  }

  /** Removes offsets that nobody has needed for long enough, and the group when nothing of it is left. */
  #expire(name: GroupName): void {
    if (this.#host.hasMembers(name)) return
    const record = this.#host.record(name)
    const topics: TopicPartitions[] = []
    let kept = record?.pending !== undefined
    for (const [topicId, offsets] of record?.offsets ?? []) {
      const partitions: number[] = []
      for (const [partition, offset] of offsets) {
        if (record !== undefined && this.#isExpired(name, offset, record)) partitions.push(partition)
        else kept = true
      }
      if (partitions.length > 0) topics.push({ topicId, partitions })
    }
    if (!kept) this.#host.remove(name)
    else if (topics.length > 0) this.#host.removeOffsets(name, topics)
  }

  #isExpired(name: GroupName, { committedMs, expiresMs }: CommittedOffset, record: GroupRecord): boolean {
    const now = this.#host.clock.nowMs()
    if (expiresMs >= 0) return now >= expiresMs
    const emptiedMs = record.protocolType === null ? 0 : record.emptiedMs
    const unusedSinceMs = Math.max(committedMs, emptiedMs, this.#host.emptiedMs(name))
    return now - unusedSinceMs >= this.#host.retentionMs
  }
}

const iterable = <T>(iterator: Iterator<T>): Iterable<T> => ({ [Symbol.iterator]: () => iterator })
