import type { CellClient } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import { atomically } from '../refusals.ts'
import type { Router } from '../routing/router.ts'
import type { DueClock } from './due-clock.ts'
import { delayedFacts, factOf, fired } from './facts.ts'
import { loadRecords, type Wanted } from './load.ts'
import type { PlaceCount } from './machine.ts'
import { publishNow } from './publish-now.ts'
import { readLater, type StoredLater } from './stored.ts'
import { VolumeQueue } from './volume-queue.ts'
import type { Run, VolumeState } from './volume-state.ts'
import { idOf, type VolumeObserver, type Volumes } from './volumes.ts'

/** Whether there is room for more; see `Cell`. */
export interface Pressure {
  readonly saturated: boolean
  onRelief(run: () => void): void
}

export interface FiringOptions {
  ledger: Ledger
  cell: CellClient
  router: Router
  pressure: Pressure
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
  log(level: 'warn' | 'error', message: string): void
}

/** Indexes of volumes are opened so long before their first message can be due. */
const aheadMs = 5000
/** The wall clock may be set: it is looked at this often while anything waits. */
const lookMs = 5000
/** What cannot be done now is tried again after this. */
const retryMs = 1000
const retryDamagedMs = 10_000
/** A message that cannot be read holds its volume back for so long: a disk may fail for a moment. Then it is passed over. */
const patienceMs = 60_000
/** After this, a volume is held back again. */
const patienceAgainMs = 600_000
/** Read together: so many messages, and about so many bytes. */
const loadMax = 256
const loadBytes = 8 * 1024 * 1024
/** So many of these may wait for the disk. */
const underwayMax = 8
/** Published in one block and one turn. */
const groupMax = 64
const groupBytes = 1024 * 1024
/** What a message costs besides its body, about. */
const recordOverhead = 100

/** A message that is due. */
interface Due extends Wanted {
  readonly volume: VolumeState
  readonly due: number
}

/** Publishes what is due: in the order of due times, in bounded steps, each of which is one block with the fact that says what has gone. */
export class Firing implements VolumeObserver {
  readonly #options: FiringOptions
  readonly #volumes: Volumes
  readonly #clock: DueClock
  /** Volumes whose time is near, by number. */
  readonly #queues = new Map<number, VolumeQueue>()
  /** Volumes that could not be read, and when that is tried again. */
  readonly #damaged = new Map<number, number>()
  /** Volumes with messages that could not be read, and since when. */
  readonly #unreadable = new Map<number, number>()
  /** What was taken and is being published. */
  #taken: Due[] = []
  #isBusy = false
  /** So often something was published that is not durable yet. */
  #underway = 0
  #isScheduled = false
  #isClosed = false
  #armedMs = Infinity
  #cancelTimer: (() => void) | undefined
  #cancelRetry: (() => void) | undefined
  /** Since the start. */
  publishedCount = 0
  /** Of these, what led nowhere. */
  unroutedCount = 0

  constructor(volumes: Volumes, clock: DueClock, options: FiringOptions) {
    this.#options = options
    this.#volumes = volumes
    this.#clock = clock
    volumes.observer = this
    this.#schedule()
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer?.()
    this.#cancelRetry?.()
    for (const queue of this.#queues.values()) queue.close()
  }

  // What `Volumes` tells

  added(volume: VolumeState, offset: number): void {
    const queue = this.#queues.get(volume.number)
    if (queue) queue.add(offset)
    const dueMs = volume.fromMs + (queue ? volume.recentDue(offset) : -aheadMs)
    if (dueMs < this.#armedMs) this.#arm(dueMs - this.#clock.nowMs())
  }

  indexed(volume: VolumeState, run: Run, whenDurable: (then: () => void) => void): void {
    this.#queues.get(volume.number)?.indexed(run, whenDurable)
  }

  closed({ number }: VolumeState): void {
    this.#forget(number)
    this.#damaged.delete(number)
    this.#unreadable.delete(number)
  }

  taken(volume: VolumeState): [number, number] {
    return this.#queues.get(volume.number)?.taken ?? [volume.firedDue, volume.firedOffset]
  }

  // Turns

  #schedule(): void {
    if (this.#isScheduled || this.#isBusy || this.#isClosed) return
    this.#isScheduled = true
    this.#options.soon(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  /** Sees to it that there is a turn after `delayMs` at the latest, which is at most `lookMs`. */
  #arm(delayMs: number): void {
    const wait = Math.min(Math.max(0, delayMs), lookMs)
    const atMs = this.#clock.nowMs() + wait
    if (atMs >= this.#armedMs || this.#isClosed) return
    this.#cancelTimer?.()
    this.#armedMs = atMs
    this.#cancelTimer = this.#options.ledger.clock.after(wait, () => {
      this.#armedMs = Infinity
      this.#cancelTimer = undefined
      this.#turn()
    })
  }

  #turn(): void {
    // What is on its way stays bounded.
    if (this.#isBusy || this.#isClosed || this.#underway >= underwayMax) return
    const { pressure } = this.#options
    if (pressure.saturated) return pressure.onRelief(() => this.#schedule())
    const nowMs = this.#clock.nowMs()
    this.#activate(nowMs)
    const nextMs = this.#take(nowMs)
    if (this.#taken.length > 0) {
      this.#isBusy = true
      void this.#publishTaken()
    } else if (nextMs !== undefined && this.#volumes.machine.volumes.size > 0) this.#arm(nextMs - nowMs)
  }

  /** Opens what will be due soon, and removes what is over. */
  #activate(nowMs: number): void {
    for (const volume of this.#volumes.machine.volumes.values()) {
      if (volume.live === 0) {
        if (this.#taken.length === 0) this.#closeIfOver(volume, nowMs)
        continue
      }
      if (volume.fromMs - aheadMs > nowMs || this.#queues.has(volume.number)) continue
      if ((this.#damaged.get(volume.number) ?? 0) > nowMs) continue
      const { firedDue, firedOffset } = volume
      const queue = new VolumeQueue(volume, this.#options.cell, [firedDue, firedOffset], () => this.#schedule())
      this.#queues.set(volume.number, queue)
    }
  }

  #closeIfOver(volume: VolumeState, nowMs: number): void {
    try {
      this.#volumes.closeIfOver(volume, nowMs)
    } catch (error) {
      // The cell is closing: the next start does it.
      if (!(error instanceof BrokerError)) throw error
    }
  }

  /** Takes what is due. Returns when the next message is, or something else is to be done; undefined: that will be told. */
  #take(nowMs: number): number | undefined {
    const max = this.#loadMax()
    for (;;) {
      let first: VolumeQueue | undefined
      let dueMs = nowMs + lookMs
      for (const queue of this.#queues.values()) {
        const { due, state } = queue
        if (queue.error) this.#setAside(queue, queue.error)
        else if (due !== undefined) {
          if (state.fromMs + due >= dueMs) continue
          dueMs = state.fromMs + due
          first = queue
        } else if (state.fromMs <= nowMs) return undefined
      }
      if (!first || dueMs > nowMs || this.#taken.length >= max) return dueMs
      const { state } = first
      const due = dueMs - state.fromMs
      const offset = first.take()
      if (state.cancelled.size > 0 && state.cancelled.has(offset)) continue
      this.#taken.push({ volume: state, due, stream: state.messages, offset, record: undefined, error: undefined })
    }
  }

  /** So many messages as are about `loadBytes` together. */
  #loadMax(): number {
    let largest = 1
    for (const { state } of this.#queues.values()) {
      if (state.count > 0) largest = Math.max(largest, this.#options.cell.sizeBytes(state.messages) / state.count)
    }
    return Math.min(loadMax, Math.max(1, Math.floor(loadBytes / largest)))
  }

  /** A part of its index cannot be read: the others go on. */
  #setAside(queue: VolumeQueue, error: Error): void {
    const { number } = queue.state
    this.#forget(number)
    if (!this.#damaged.has(number)) {
      this.#options.log('error', `Delayed messages of volume ${number} cannot be published: ${error.message}`)
    }
    this.#damaged.set(number, this.#clock.nowMs() + retryDamagedMs)
  }

  /** What was taken of it and has not gone is taken anew. */
  #forget(number: number): void {
    this.#queues.get(number)?.close()
    this.#queues.delete(number)
  }

  async #publishTaken(): Promise<void> {
    const { cell, ledger } = this.#options
    const isHidden = ({ stream, offset }: Due): boolean => offset >= (cell.bounds(stream)?.endOffset ?? Infinity)
    // What is not durable yet must not be acted on.
    if (this.#taken.some(isHidden)) await ledger.durable(ledger.openSeq).catch(() => {})
    await loadRecords(cell, this.#taken)
    this.#publishGroup()
  }

  #publishGroup(): void {
    if (this.#isClosed) return
    const { ledger } = this.#options
    const nowMs = this.#clock.nowMs()
    const group = new Group(this.#options, nowMs, due => this.#isPassed(due, nowMs))
    try {
      const seq = atomically(ledger, () => {
        for (const due of this.#taken) if (!group.publish(due)) break
        group.write()
      })
      this.publishedCount += group.publishedCount
      this.unroutedCount += group.unroutedCount
      this.#taken.splice(0, group.doneCount)
      if (group.isRefused || group.isHeldBack) return this.#giveUp()
      if (this.#taken.length > 0) return this.#options.soon(() => this.#publishGroup())
      this.#underway++
      ledger.whenDurable(seq, this.#settled, undefined)
      this.#end(0)
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.#giveUp()
    }
  }

  /** Whether a message that cannot be read is given up, and the next one published. Else its volume is left alone for a while. */
  #isPassed({ volume, offset, error = 'absent' }: Due, nowMs: number): boolean {
    const { number } = volume
    const id = idOf(volume, offset)
    const sinceMs = this.#unreadable.get(number) ?? -Infinity
    if (nowMs - sinceMs > patienceAgainMs) {
      this.#unreadable.set(number, nowMs)
      const others = `those that are due after it wait, up to ${patienceMs / 1000} s`
      this.#options.log('error', `The delayed message ${id} cannot be read (${error}) and is tried again; ${others}`)
    } else if (nowMs - sinceMs >= patienceMs) {
      this.#options.log('error', `The delayed message ${id} is lost: it cannot be read (${error})`)
      return true
    }
    this.#damaged.set(number, nowMs + retryDamagedMs)
    return false
  }

  /** There is no room, a message cannot be read, or the cell is closing: what was taken is taken anew. */
  #giveUp(): void {
    for (const { volume } of this.#taken) this.#forget(volume.number)
    this.#taken = []
    this.#end(retryMs)
  }

  readonly #settled = (): void => {
    this.#underway--
    this.#schedule()
  }

  #end(afterMs: number): void {
    this.#isBusy = false
    if (afterMs === 0) this.#schedule()
    else if (!this.#isClosed) this.#cancelRetry = this.#options.ledger.clock.after(afterMs, () => this.#schedule())
  }
}

/** What is published within one block. */
class Group {
  readonly #options: FiringOptions
  readonly #nowMs: number
  readonly #last = new Map<VolumeState, { due: Due; gone: Map<string, PlaceCount> }>()
  #bytes = 0
  doneCount = 0
  publishedCount = 0
  unroutedCount = 0
  isRefused = false
  isHeldBack = false
  readonly #isPassed: (due: Due) => boolean

  /** `isPassed`: a message that cannot be read is passed over. */
  constructor(options: FiringOptions, nowMs: number, isPassed: (due: Due) => boolean) {
    this.#options = options
    this.#nowMs = nowMs
    this.#isPassed = isPassed
  }

  /** False when nothing more should be in this block. */
  publish(due: Due): boolean {
    if (this.doneCount >= groupMax || this.#bytes > groupBytes) return false
    const { volume, offset, record } = due
    let later: StoredLater | undefined
    // It may have been cancelled since it was taken.
    if (!volume.cancelled.has(offset)) {
      if (record) later = readLater(record, this.#nowMs)
      else if (!this.#isPassed(due)) {
        this.isHeldBack = true
        return false
      }
    }
    if (later && !this.#deliver(later)) {
      this.isRefused = true
      return false
    }
    this.doneCount++
    let last = this.#last.get(volume)
    if (last) last.due = due
    else this.#last.set(volume, (last = { due, gone: new Map() }))
    if (!later) return true
    const { namespace, exchange } = later
    const key = `${namespace}\0${exchange}`
    const counted = last.gone.get(key)
    if (counted) counted.count++
    else last.gone.set(key, { namespace, exchange, count: 1 })
    return true
  }

  /** Whether it went where it is to go, or is not to go anywhere. */
  #deliver(later: StoredLater): boolean {
    const places = publishNow(this.#options.router, later)
    if (places === undefined) return false
    this.#bytes += (recordOverhead + (later.message.value?.length ?? 0)) * Math.max(1, places)
    this.publishedCount++
    if (places === 0) this.unroutedCount++
    return true
  }

  /** Says what has gone. */
  write(): void {
    for (const [{ number }, { due, gone }] of this.#last) {
      const { offset } = due
      const payload = factOf(fired, { volume: number, due: due.due, offset, gone: [...gone.values()] })
      this.#options.ledger.fact(machineKinds.delayed, delayedFacts.fired, payload)
    }
  }
}
