import assert from 'node:assert/strict'
import type { CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { StorageFull } from '../../cell/cell.ts'
import { bodyOf, releaseBodies, type RecordBody } from '../../storage/batch-builder.ts'
import type { CursorStore } from '../cursor/cursor.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { quote } from '../names.ts'
import type { Queue, QueueMessage } from '../queues/queue.ts'
import type { QueueObserver, Queues } from '../queues/queues.ts'
import type { QueueDefinition } from '../queues/table.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import type { NotePatch, PutError, PutOptions, Spot, WorkHost, WorkQueue } from './contract.ts'
import {
  factOf,
  forgotten,
  laneFlags,
  laneOpened,
  noted,
  numbered,
  queueForgotten,
  runsDropped,
  workFacts,
} from './facts.ts'
import type { TopicSubscriber } from '../reading/contract.ts'
import { WorkConsumer, type WorkConsumerOptions } from './consumer.ts'
import { Lane } from './lane.ts'
import { LanedQueue } from './laned-queue.ts'
import { factOfNote, WorkMachine, type LaneState, type MessageNumber, type Note } from './machine.ts'
import { Worker, type WorkerOptions } from './worker.ts'

export interface WorkQueuesOptions {
  ledger: Ledger
  cell: CellClient
  cursors: CursorStore
  queues: Queues
  wheel: TimerWheel
  limits: Limits
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
  log(level: 'warn' | 'error', message: string): void
}

/** How full a queue is. */
export interface QueueDepth {
  /** Messages that wait to be given out. */
  readonly ready: number
  /** Messages that consumers hold. */
  readonly held: number
  readonly consumers: number
}

/** Messages of queues that were filled without priorities have this one. */
export const ordinaryPriority = 1024
/** A new number for a message is a fact of its own: so many at once at the most. */
const numberedMax = 1_000_000
/** So many workers of one queue are served before others have their turn. */
const servedPerTurn = 256

/** All work queues. Verbs decide before they return; `whenDurable` tells when what was decided will last. */
export class WorkQueues implements WorkHost, QueueObserver {
  readonly wheel: TimerWheel
  /** No message is taken in any more until this is false again: what there is is to be worked off. Not kept over a restart. */
  isDraining = false
  readonly #options: WorkQueuesOptions
  readonly #machine: WorkMachine
  readonly #skewMs: number
  /** By namespace, then by name, in the order in which they came. */
  readonly #byName = new Map<string, Map<string, LanedQueue>>()
  readonly #byId = new Map<string, LanedQueue>()
  readonly #awake = new Set<WorkQueue>()
  #isScheduled = false
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: WorkQueuesOptions) {
    const { ledger, queues, wheel } = options
    const machine = ledger.machine(machineKinds.work)
    assert(machine instanceof WorkMachine)
    this.#options = options
    this.#machine = machine
    this.wheel = wheel
    this.#skewMs = ledger.clock.nowMs() - ledger.clock.monotonicMs()
    queues.observer = this
    for (const queue of queues.list()) if (machine.byQueue.has(queue.definition.id)) this.#adopt(queue)
    // Its last message was durably gone when the process ended, and its removal was not.
    this.soon(() => {
      for (const queue of [...this.#byId.values()]) this.sweep(queue)
    })
  }

  /** The queue of that name, which is there as long as somebody uses it or it holds anything. Throws `BrokerError`. */
  open(namespace: string, name: string): WorkQueue {
    const known = this.get(namespace, name)
    if (known) return known
    this.#options.queues.checkNew(namespace, name)
    if (this.#count >= this.#options.limits.queuesMax) {
      throw new BrokerError('limit-reached', `there are ${this.#count} queues, which is the most allowed`)
    }
    return this.#add(namespace, name)
  }

  get(namespace: string, name: string): WorkQueue | undefined {
    const known = this.#byName.get(namespace)?.get(name)
    if (known) return known
    const queue = this.#options.queues.get(namespace, name)
    return queue && isAdoptable(queue) ? this.#adopt(queue) : undefined
  }

  /** Those that were there before the start first. */
  list(namespace: string): WorkQueue[] {
    for (const queue of this.#options.queues.list(namespace)) this.get(namespace, queue.definition.name)
    return [...(this.#byName.get(namespace)?.values() ?? [])]
  }

  /** Where the message is; undefined when there is none of that number, or none any more. */
  find(number: MessageNumber): Spot | undefined {
    const found = this.#machine.find(number)
    const queue = found && this.#byId.get(found.state.queue)
    const lane = queue?.lanes.find(({ state }) => state === found?.state) ?? queue?.side
    if (!queue || lane?.state !== found?.state || !lane) return undefined
    return { queue, lane, offset: found.offset, number }
  }

  /**
   * A queue that was made by its first message here, or has messages in more places than its own stream: who consumes it as an ordinary one does it
   * by `consume`. One that was declared and only looked at keeps all that it promises to those who consume it.
   */
  consumable(namespace: string, name: string): WorkQueue | undefined {
    const definition = this.#options.queues.get(namespace, name)?.definition
    const lanes = definition && this.#machine.byQueue.get(definition.id)
    const isWork = lanes?.some(({ isPassing, stream }) => isPassing || stream !== definition?.stream)
    return isWork ? this.get(namespace, name) : undefined
  }

  /** Messages of a queue, wherever they lie, and those who consume it, in whatever way. */
  depthOf(queue: Queue): QueueDepth {
    const { namespace, name } = queue.definition
    const work = this.consumable(namespace, name)
    if (!work) return { ready: queue.readyCount, held: queue.inFlightCount, consumers: queue.consumerCount }
    return { ready: work.readyCount, held: work.reservedCount, consumers: queue.consumerCount + work.consumerCount }
  }

  /**
   * `begin` or `pull` makes it take messages. Throws `BrokerError` `queue-in-use` when another consumer, or this one, wants to be alone. Workers may come
   * later all the same, and get nothing until it has gone.
   */
  consume(queue: WorkQueue, options: WorkConsumerOptions, subscriber: TopicSubscriber): WorkConsumer {
    const { isPassive, isExclusive } = options
    if (!isPassive && (isExclusive ? queue.consumerCount > 0 : queue.only)) throw inUse(queue.name)
    return new WorkConsumer(this, queue, options, subscriber)
  }

  worker(options: WorkerOptions): Worker {
    return new Worker(this, options)
  }

  /** Calls `run` when all that was decided up to now is durable. */
  whenDurable(run: () => void): void {
    const { ledger } = this.#options
    ledger.whenDurable(ledger.openSeq, run, undefined)
  }

  close(): void {
    this.#isClosed = true
    for (const queue of this.#byId.values()) queue.close()
  }

  // For queues and workers

  get delayedMax(): number {
    return this.#options.limits.queueDelayedMax
  }
  get inFlightMax(): number {
    return this.#options.limits.queueInFlightMax
  }

  monotonicMs(): number {
    return this.#options.ledger.clock.monotonicMs()
  }

  wallMs(): number {
    return Math.ceil(this.monotonicMs() + this.#skewMs)
  }

  soon(run: () => void): void {
    this.#options.soon(() => {
      if (!this.#isClosed) run()
    })
  }

  atomic(run: () => void): void {
    this.#options.ledger.atomic(run)
  }

  watchStream(stream: StreamId, grown: () => void): () => void {
    return this.#options.cell.watch(stream, false, grown)
  }

  numberOf(lane: Lane, offset: number): MessageNumber | undefined {
    const { state } = lane
    if (offset >= state.end) this.#writeNumbers()
    if (offset >= state.end) {
      // What another way of publishing has brought.
      const count = Math.min(Math.max(offset + 1, lane.visibleEnd) - state.end, numberedMax)
      this.#fact(workFacts.numbered, factOf(numbered, { stream: state.stream, count }))
    }
    return state.numberOf(offset)
  }

  note(lane: Lane, offset: number, patch: NotePatch): Note {
    const { state } = lane
    const present = state.notes.get(offset)
    const base = present
      ? factOfNote(present)
      : factOfNote({ ...unwritten, lane: state, offset, priority: state.priority })
    const { place = present?.place ?? 'lane', ...rest } = patch
    const fact = factOfNote({ ...unwritten, ...base, ...rest, place, lane: state, offset })
    this.#fact(workFacts.noted, factOf(noted, fact))
    const note = state.notes.get(offset)
    assert(note)
    return note
  }

  forget(note: Note): void {
    this.#fact(workFacts.forgotten, factOf(forgotten, { stream: note.lane.stream, offset: note.offset }))
  }

  dropRuns({ state, cursor }: Lane): void {
    this.#fact(workFacts.runsDropped, factOf(runsDropped, { stream: state.stream, below: cursor.floor }))
  }

  append(
    to: WorkQueue,
    message: QueueMessage,
    options: PutOptions,
    done: (result: number | PutError) => void,
    appended: (lane: Lane, offset: number) => void,
  ): void {
    const { ledger } = this.#options
    const body = bodyOf({ ...message, timestampMs: ledger.clock.nowMs() })
    try {
      const queue = this.#byName.get(to.namespace)?.get(to.name)
      assert(queue === to, 'nobody puts messages into a queue that he does not refer to')
      const lane = options.delayMs === 0 && queue.queue ? queue.laneFor(options) : undefined
      if (lane) this.#gather(lane, body, done, appended)
      else ledger.atomic(() => this.#gather(this.#laneOf(queue, options), body, done, appended))
    } catch (error) {
      if (error instanceof StorageFull) return done('storage-full')
      if (!(error instanceof BrokerError)) throw error
      const { code } = error
      done(code === 'queue-exists' || code === 'limit-reached' || code === 'storage-full' ? code : 'limit-reached')
    } finally {
      releaseBodies()
    }
  }

  #gather(
    lane: Lane,
    body: RecordBody,
    done: (result: number | PutError) => void,
    appended: (lane: Lane, offset: number) => void,
  ): void {
    const { ledger, cell } = this.#options
    if (this.#unnumbered.lane !== lane.state) this.#writeNumbers()
    const offset = lane.end
    const taken = cell.gather(lane.state.stream, body)
    if (typeof taken !== 'number') return done(putErrorOf(taken) ?? 'limit-reached')
    const number = this.#numberFor(lane, offset)
    ledger.whenDurable(ledger.lastSeq, done, number)
    appended(lane, offset)
  }

  /** The number of the message that was gathered last. One fact gives theirs to all messages of a lane that follow each other in a block. */
  #numberFor(lane: Lane, offset: number): MessageNumber {
    const { state } = lane
    const unnumbered = this.#unnumbered
    if (state.end + unnumbered.count !== offset) {
      // Those before it came another way.
      const number = this.numberOf(lane, offset)
      assert(number !== undefined, 'what is appended has a number')
      return number
    }
    unnumbered.lane = state
    unnumbered.count++
    if (!this.#willNumber) this.#options.ledger.beforeEnd(this.#numberLast)
    this.#willNumber = true
    return this.#machine.nextNumber + unnumbered.count - 1
  }

  /** So many messages of the open block, the last ones of the lane, will have the next numbers: nothing has said so yet. */
  readonly #unnumbered: { lane: LaneState | undefined; count: number } = { lane: undefined, count: 0 }
  #willNumber = false

  readonly #numberLast = (): void => {
    this.#willNumber = false
    this.#writeNumbers()
  }

  #writeNumbers(): void {
    const unnumbered = this.#unnumbered
    if (unnumbered.count === 0) return
    const { ledger } = this.#options
    ledger.atomic(() => {
      const { lane, count } = unnumbered
      // When their block had to end for this, they have been numbered.
      if (!lane || count === 0) return
      unnumbered.count = 0
      ledger.fact(machineKinds.work, workFacts.numbered, factOf(numbered, { stream: lane.stream, count }))
    })
  }

  wake(queue: WorkQueue): void {
    if (queue.waiters.size === 0) return
    this.#awake.add(queue)
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.soon(() => this.#serve())
  }

  sweep(queue: WorkQueue): void {
    if (this.#isClosed || !queue.isIdle || !queue.isEmpty) return
    const { namespace, name } = queue
    if (!queue.queue) {
      this.#forgetName(queue)
    } else if (queue.lanes.some(({ state }) => state.isPassing) && queue.queue.consumerCount === 0) {
      this.#options.queues.remove(namespace, name).catch((error: unknown) => {
        if (!(error instanceof BrokerError)) throw error
      })
    }
  }

  hasRead(queue: WorkQueue, lane: Lane, offset: number, error: string | undefined): void {
    if (error === 'offset-out-of-range') {
      // The stream's own retention was faster.
      lane.cursor.drop(offset, offset, 'trimmed')
    } else if (error !== undefined) {
      if (error !== 'stream-not-found')
        this.#options.log('error', `A queue cannot go on at message ${offset}: ${error}`)
      return
    }
    this.wake(queue)
  }

  // For `Queues`

  declared(queue: Queue): void {
    const { namespace, name } = queue.definition
    const known = this.#byName.get(namespace)?.get(name)
    if (isAdoptable(queue) && known && !known.queue && !this.#isMaking) this.#attach(known, queue, 0)
  }

  removing({ id, stream }: QueueDefinition): void {
    const { cursors, ledger } = this.#options
    const lanes = this.#machine.byQueue.get(id)
    if (!lanes) return
    this.#fact(workFacts.queueForgotten, factOf(queueForgotten, { queue: id }))
    for (const lane of lanes) {
      if (lane.stream === stream) continue
      cursors.remove(lane.cursor)
      ledger.drop(lane.stream)
    }
  }

  removed({ id }: QueueDefinition): void {
    const queue = this.#byId.get(id)
    if (!queue) return
    this.#byId.delete(id)
    queue.emptied()
    if (queue.isIdle) this.#forgetName(queue)
  }

  owns(stream: StreamId): boolean {
    return this.#machine.lanes.has(stream)
  }

  // Within

  get #count(): number {
    let count = 0
    for (const queues of this.#byName.values()) count += queues.size
    return count
  }

  #add(namespace: string, name: string): LanedQueue {
    const queue = new LanedQueue(namespace, name, this)
    const names = this.#byName.get(namespace)
    if (names) names.set(name, queue)
    else this.#byName.set(namespace, new Map([[name, queue]]))
    return queue
  }

  #forgetName({ namespace, name }: WorkQueue): void {
    const names = this.#byName.get(namespace)
    names?.delete(name)
    if (names?.size === 0) this.#byName.delete(namespace)
  }

  /** Takes in a queue that is there. */
  #adopt(queue: Queue): LanedQueue {
    const { namespace, name } = queue.definition
    const made = this.#add(namespace, name)
    this.#attach(made, queue, 0)
    return made
  }

  #attach(work: LanedQueue, queue: Queue, flags: number, priority = ordinaryPriority): void {
    const { id, stream, cursor } = queue.definition
    work.queue = queue
    this.#byId.set(id, work)
    const lanes = this.#machine.byQueue.get(id)
    for (const state of lanes ?? []) this.#openState(work, state)
    if (lanes) return
    const start = queue.cursor.floor
    this.#openState(work, this.#writeLane({ queue: id, stream, cursor, start, priority, flags }))
  }

  #isMaking = false

  /** Where the message goes; it is made if need be. */
  #laneOf(queue: LanedQueue, options: PutOptions): Lane {
    if (!queue.queue) this.#make(queue, options)
    return queue.laneFor(options) ?? this.#openLane(queue, options)
  }

  /** The queue becomes durable with its first message, and its own stream is the lane of that one's priority. */
  #make(work: LanedQueue, { priority }: PutOptions): void {
    this.#isMaking = true
    try {
      const queue = this.#options.queues.make(work.namespace, work.name)
      this.#attach(work, queue, laneFlags.passing, priority)
    } finally {
      this.#isMaking = false
    }
  }

  #openLane(work: LanedQueue, { priority, delayMs }: PutOptions): Lane {
    const { ledger, cursors } = this.#options
    const id = work.queue?.definition.id
    assert(id !== undefined)
    const stream = ledger.define('stream')
    const cursor = cursors.create(stream, 0).id
    const flags = delayMs > 0 ? laneFlags.side : 0
    return this.#openState(work, this.#writeLane({ queue: id, stream, cursor, start: 0, priority, flags }))
  }

  #writeLane(lane: ReturnType<(typeof laneOpened)['read']>): LaneState {
    this.#fact(workFacts.laneOpened, factOf(laneOpened, lane))
    const state = this.#machine.lanes.get(lane.stream)
    assert(state)
    return state
  }

  #openState(work: LanedQueue, state: LaneState): Lane {
    const { cursors, cell } = this.#options
    const cursor = cursors.open(state.cursor)
    assert(cursor, `the cursor of lane ${state.stream} is missing`)
    cursors.own(state.stream, cursor.id)
    const lane = new Lane(state, cursor, cell, run => this.soon(run))
    work.open(state, lane)
    return lane
  }

  #serve(): void {
    this.#isScheduled = false
    const awake = [...this.#awake]
    this.#awake.clear()
    for (const queue of awake) {
      let left = servedPerTurn
      let isTaken = true
      for (const worker of queue.row()) {
        if (!worker.isWaiting) continue
        isTaken = left-- > 0 && worker.take() === 'taken'
        if (!isTaken) break
      }
      if (isTaken || left < 0) this.wake(queue)
    }
  }

  #fact(type: number, payload: Buffer): void {
    this.#writeNumbers()
    this.#options.ledger.fact(machineKinds.work, type, payload)
  }
}

/** Numbers are durable: what is not has none. And nothing else can have lanes of its own. */
const isAdoptable = ({ definition: { isKept }, config }: Queue): boolean => isKept && config.priorityMax === 0

const unwritten = {
  number: 0,
  place: 'lane',
  dueMs: 0,
  delayMs: 0,
  reserves: 0,
  timeouts: 0,
  releases: 0,
  asides: 0,
  kicks: 0,
  heapAt: -1,
} as const

const inUse = (name: string): BrokerError =>
  new BrokerError('queue-in-use', `${quote(name)} has a consumer that is, or wants to be, the only one`)

function putErrorOf(error: string | undefined): PutError | undefined {
  switch (error) {
    case undefined:
    case 'storage-full':
    case 'shutting-down':
    case 'message-too-large':
      return error
    default:
      return 'limit-reached'
  }
}
