import assert from 'node:assert/strict'
import type { AppendError, CellClient } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { bodyOf } from '../../storage/batch-builder.ts'
import { atomically } from '../refusals.ts'
import { closed, delayedFacts, factOf, indexed, opened, waiting } from './facts.ts'
import { blockBatch, isBehind } from './index-run.ts'
import { DelayedMachine } from './machine.ts'
import { recordOf, type Later } from './stored.ts'
import { tierOf, tiers } from './tiers.ts'
import type { Run, VolumeState } from './volume-state.ts'

/** Names a message for as long as it waits. */
export type DelayedId = string

export const idOf = (volume: VolumeState, offset: number): DelayedId => `${volume.number}-${offset}`

/** Where the message of that id lies, or lay; undefined: there is none. */
export function placeOf(machine: DelayedMachine, id: DelayedId): { volume: VolumeState; offset: number } | undefined {
  const parts = /^(\d{1,10})-(\d{1,10})$/.exec(id)
  const volume = machine.volumes.get(Number(parts?.[1]))
  const offset = Number(parts?.[2])
  return volume && offset < volume.count ? { volume, offset } : undefined
}

/** Sizes that nobody should need to turn: small ones let a test meet every edge. */
export interface DelayedSizes {
  /** Messages of one volume, and of all, whose due times are only in memory. */
  readonly recentMax: number
  readonly recentOfAllMax: number
  /** Messages to which one block of an index leads. */
  readonly blockEntriesMax: number
}

const defaultSizes: DelayedSizes = { recentMax: 1 << 16, recentOfAllMax: 1 << 19, blockEntriesMax: 512 }

/** Offsets in an index have 32 bits. */
const countMax = 2 ** 31

/** Who gives out what is in volumes. */
export interface VolumeObserver {
  added(volume: VolumeState, offset: number): void
  indexed(volume: VolumeState, run: Run, whenDurable: (then: () => void) => void): void
  closed(volume: VolumeState): void
  /** What was taken last of a volume: nothing that is due before can be put into it. */
  taken(volume: VolumeState): [number, number]
}

/** Puts messages into volumes: which one, when a new one begins, when its index is written, and when it goes. */
export class Volumes {
  readonly machine: DelayedMachine
  observer: VolumeObserver | undefined
  readonly #ledger: Ledger
  readonly #cell: CellClient
  readonly #sizes: DelayedSizes
  /** By tier and beginning: the one that takes more. */
  readonly #writable = new Map<string, VolumeState>()
  #recentCount = 0

  constructor(ledger: Ledger, cell: CellClient, sizes: DelayedSizes = defaultSizes) {
    const machine = ledger.machine(machineKinds.delayed)
    assert(machine instanceof DelayedMachine)
    this.#ledger = ledger
    this.#cell = cell
    this.#sizes = sizes
    this.machine = machine
    for (const volume of machine.volumes.values()) {
      this.#writable.set(keyOf(volume.tier, volume.fromMs), volume)
      this.#recentCount += volume.recentCount
    }
  }

  /** Keeps a message until `dueMs`, within one block. Returns its id, or why it is refused. Throws `BrokerError`. */
  put(later: Later, dueMs: number, nowMs: number): { id: DelayedId; error?: AppendError; seq: number } {
    let error: AppendError | undefined
    let id = ''
    const seq = atomically(this.#ledger, () => {
      const volume = this.#volumeFor(dueMs, nowMs)
      const offset = volume.count
      const taken = this.#cell.gather(volume.messages, bodyOf(recordOf(later, dueMs, nowMs)))
      if (typeof taken !== 'number') {
        error = taken
        return
      }
      const { namespace, exchange } = later
      const fact = { volume: volume.number, due: dueMs - volume.fromMs, namespace, exchange }
      this.#fact(delayedFacts.waiting, factOf(waiting, fact))
      this.#recentCount++
      id = idOf(volume, offset)
      this.observer?.added(volume, offset)
      this.#indexSome(volume)
    })
    return error === undefined ? { id, seq } : { id: '', error, seq: -1 }
  }

  /** Removes a volume in which nothing waits, when nothing more will come into it. Throws `BrokerError`. */
  closeIfOver(volume: VolumeState, nowMs: number): void {
    const key = keyOf(volume.tier, volume.fromMs)
    const isWritable = this.#writable.get(key) === volume
    if (volume.live > 0 || (isWritable && nowMs < volume.untilMs)) return
    atomically(this.#ledger, () => {
      this.#recentCount -= volume.recentCount
      this.#fact(delayedFacts.closed, factOf(closed, { volume: volume.number }))
      this.#ledger.drop(volume.messages)
      this.#ledger.drop(volume.index)
    })
    if (isWritable) this.#writable.delete(key)
    this.observer?.closed(volume)
  }

  #volumeFor(dueMs: number, nowMs: number): VolumeState {
    const tier = tierOf(dueMs - nowMs)
    const { spanMs } = tiers[tier]!
    const fromMs = dueMs - (dueMs % spanMs)
    const key = keyOf(tier, fromMs)
    const present = this.#writable.get(key)
    if (present && this.#takesMore(present, dueMs)) return present
    const volume = this.machine.nextVolume
    const messages = this.#ledger.define('stream')
    const index = this.#ledger.define('stream')
    this.#fact(delayedFacts.opened, factOf(opened, { volume, messages, index, fromMs, tier }))
    const made = this.machine.volumes.get(volume)
    assert(made)
    this.#writable.set(key, made)
    return made
  }

  #takesMore(volume: VolumeState, dueMs: number): boolean {
    if (volume.count >= countMax || this.#cell.sizeBytes(volume.messages) >= volume.bytesMax) return false
    const taken = this.observer?.taken(volume) ?? [volume.firedDue, volume.firedOffset]
    return isBehind(dueMs - volume.fromMs, volume.count, ...taken)
  }

  /** Due times go to the disk when there are many of them in memory. */
  #indexSome(last: VolumeState): void {
    const { recentMax, recentOfAllMax } = this.#sizes
    if (last.recentCount >= recentMax) return this.#index(last)
    if (this.#recentCount < recentOfAllMax) return
    let most = last
    for (const volume of this.machine.volumes.values()) if (volume.recentCount > most.recentCount) most = volume
    this.#index(most)
  }

  #index(volume: VolumeState): void {
    const { blockEntriesMax } = this.#sizes
    const { dues, offsets } = sortedRecent(volume)
    const nowMs = this.#ledger.clock.nowMs()
    const first = (this.#cell.bounds(volume.index)?.endOffset ?? 0) + this.#cell.unsettled(volume.index)
    const blocks = Math.ceil(offsets.length / blockEntriesMax)
    let isRefused = false
    let run: Run | undefined
    const seq = atomically(this.#ledger, () => {
      for (let at = 0; at < offsets.length && !isRefused; at += blockEntriesMax) {
        const count = Math.min(blockEntriesMax, offsets.length - at)
        const batch = blockBatch(dues, offsets, at, count, nowMs)
        this.#cell.append(volume.index, batch, ({ error }) => (isRefused ||= error !== undefined))
      }
      // On a full disk: it is tried again with the next message, which is not taken either before there is room.
      if (isRefused) return
      this.#recentCount -= volume.recentCount
      run = { first, blocks }
      this.#fact(delayedFacts.indexed, factOf(indexed, { volume: volume.number, ...run }))
    })
    if (run) this.observer?.indexed(volume, run, then => this.#ledger.whenDurable(seq, then, undefined))
  }

  #fact(type: number, payload: Buffer): void {
    this.#ledger.fact(machineKinds.delayed, type, payload)
  }
}

const keyOf = (tier: number, fromMs: number): string => `${tier}:${fromMs}`

/** Offsets in a volume's recent messages are counted from their beginning: this many fit beside the due time. */
const offsetFactor = 1 << 20

/** What waits of the recent messages of a volume, in the order of (due, offset). */
export function sortedRecent(volume: VolumeState): { dues: Uint32Array; offsets: Uint32Array } {
  const { indexedTo, count, cancelled } = volume
  const keys = new Float64Array(volume.recentCount)
  let found = 0
  for (let offset = indexedTo; offset < count; offset++) {
    const due = volume.recentDue(offset)
    if (volume.hasGone(due, offset) || (cancelled.size > 0 && cancelled.has(offset))) continue
    keys[found++] = due * offsetFactor + (offset - indexedTo)
  }
  const sorted = keys.subarray(0, found).sort()
  const dues = new Uint32Array(found)
  const offsets = new Uint32Array(found)
  for (let at = 0; at < found; at++) {
    const key = sorted[at]!
    dues[at] = Math.floor(key / offsetFactor)
    offsets[at] = indexedTo + (key % offsetFactor)
  }
  return { dues, offsets }
}
