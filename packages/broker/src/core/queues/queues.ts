import assert from 'node:assert/strict'
import type { Random } from '@dragoman/wire'
import type { CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import type { Retention } from '../../cell/options.ts'
import type { Cursor, CursorStore } from '../cursor/cursor.ts'
import {
  DirectoryMachine,
  factOf,
  factTypes,
  laneOpened,
  queueDeclared,
  queueDeleted,
  queueFact,
} from '../directory.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { checkQueueName, quote } from '../names.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import { atomically, durably, unlessFenced } from '../refusals.ts'
import { VolatileHome } from '../volatile/volatile-home.ts'
import type { Policies } from '../policies/policies.ts'
import { DeadLetters, type DeadLettersOptions, type Republishing } from './dead-letters.ts'
import { differenceOf, queueConfig } from './queue-config.ts'
import { Gate } from './gate.ts'
import { Queue, type QueueHost } from './queue.ts'
import { QueueLanes } from './lanes/queue-lanes.ts'
import type { QueueDefinition, QueueLane, QueueOwner, QueueTable } from './table.ts'

/** So many queues read at a time what they hold, to know how many bytes that is. */
const readingMax = 8

export interface QueuesOptions {
  ledger: Ledger
  cell: CellClient
  cursors: CursorStore
  wheel: TimerWheel
  /** Absent: there are none. */
  policies?: Policies
  random: Random
  limits: Limits
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
  log(level: 'warn' | 'error', message: string): void
}

export interface DeclareOptions {
  /** When absent, it is. */
  isDurable?: boolean
  /** It goes when its last consumer has gone. */
  autoDelete?: boolean
  /** Nobody else may use it. It goes when `release` is called for the owner, and at the latest with the process. */
  exclusiveTo?: QueueOwner | undefined
}

/** Who adds to queues what not all of them have. */
export interface QueueObserver {
  declared(queue: Queue): void
  /** Called within the block that removes it. */
  removing(definition: QueueDefinition): void
  removed(definition: QueueDefinition): void
  /** Whether the stream belongs to a queue, though it is not its own one. */
  owns(stream: StreamId): boolean
}

/**
 * All queues. Like those of topics, methods that change something decide before they first wait, resolve when that is durable, and
 * reject with `BrokerError`.
 */
export class Queues {
  observer: QueueObserver | undefined
  readonly #options: QueuesOptions
  readonly #directory: DirectoryMachine
  readonly #table: QueueTable
  /** By id. */
  readonly #open = new Map<string, Queue>()
  readonly #owned = new Map<QueueOwner, Set<QueueDefinition>>()
  readonly #beforeRemove: ((definition: QueueDefinition) => void)[] = []
  readonly #declared = new Set<(queue: Queue) => void>()
  readonly #host: QueueHost
  /** For queues that are not kept. */
  readonly #volatile: VolatileHome
  readonly #volatileHost: QueueHost
  #republishing: Republishing | undefined
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: QueuesOptions) {
    const { ledger, cell, wheel, limits } = options
    const directory = ledger.machine(machineKinds.directory)
    assert(directory instanceof DirectoryMachine)
    this.#options = options
    this.#directory = directory
    this.#table = directory.queues
    this.#host = {
      cell,
      ledger,
      wheel,
      republishing: () => this.#republishing,
      gate: new Gate(readingMax),
      inFlightMax: limits.queueInFlightMax,
      passedOverMax: limits.queuePassedOverMax,
      settingsOf: definition => options.policies?.settingsOf({ kind: 'queue', ...definition }) ?? definition.config,
      nowMs: () => ledger.clock.nowMs(),
      monotonicMs: () => ledger.clock.monotonicMs(),
      // What is left to do when the broker closes is done after the next start.
      soon: run => options.soon(() => this.#isClosed || unlessFenced(run)),
      deserted: queue => {
        if (queue.definition.autoDelete) this.#removeUnused(queue)
      },
      unused: queue => this.#removeUnused(queue),
      log: (level, message) => options.log(level, message),
    }
    const bytesMax = limits.transientBytesMax
    this.#volatile = new VolatileHome({ clock: ledger.clock, wheel, bytesMax, soon: run => this.#host.soon(run) })
    const { streams } = this.#volatile
    this.#volatileHost = { ...this.#host, cell: streams }
    for (const definition of this.#table.list()) this.#live(definition)
    options.policies?.watch((namespace, mayConcern) => {
      for (const queue of this.list(namespace)) if (mayConcern(queue.definition.name)) queue.configured()
    })
  }

  /** Where dead letters go. Until it is set, they wait. */
  set republishing(republishing: Republishing) {
    this.#republishing = republishing
    for (const queue of this.#open.values()) queue.configured()
  }

  /** Brings away what is dropped of a cursor that belongs to no queue. */
  deadLettersOf(of: Omit<DeadLettersOptions, 'host' | 'eased'>): DeadLetters {
    return new DeadLetters({ ...of, host: this.#host, eased: () => {} })
  }

  get(namespace: string, name: string): Queue | undefined {
    const definition = this.#table.get(namespace, name)
    return definition && this.#live(definition)
  }

  /** Like `get`, for who wants to use the queue. Throws `BrokerError` when it is not there, or belongs to somebody else. */
  use(namespace: string, name: string, by?: QueueOwner): Queue {
    const queue = this.get(namespace, name)
    if (!queue) throw new BrokerError('queue-not-found', quote(name))
    if (queue.isLockedFor(by)) throw new BrokerError('queue-locked', quote(name))
    return queue
  }

  /** Queues of one namespace, or of all, oldest first within a namespace. */
  list(namespace?: string): Queue[] {
    return this.#table.list(namespace).map(definition => this.#live(definition))
  }

  /** What of a stream is kept; undefined for streams that belong to no queue. */
  retentionOf(stream: StreamId): Retention | undefined {
    if (!this.#table.ofStream(stream) && this.observer?.owns(stream) !== true) return undefined
    return { ms: -1, bytes: -1, neededFrom: this.#options.cursors.trimPoint(stream) }
  }

  /** Bytes of messages that are kept in memory alone, and how many of them were refused because there were too many. */
  get transient(): { readonly bytes: number; readonly refusedCount: number } {
    return { bytes: this.#volatile.streams.bytes, refusedCount: this.#volatile.refusedCount }
  }

  /**
   * The queue of that name, which is made when it is not there. One that is there must have been declared alike: else the refusal names what
   * differs. One that is not durable, or is exclusive, lives in memory, and nothing is left of it after a restart.
   */
  async declare(
    namespace: string,
    name: string,
    config: ReadonlyMap<string, string> = new Map(),
    options: DeclareOptions = {},
  ): Promise<Queue> {
    checkQueueName(name)
    queueConfig(config)
    const present = this.#table.get(namespace, name)
    if (present) {
      this.#checkSame(present, config, options)
      this.#live(present).used()
      await durably(this.#options.ledger, this.#options.ledger.openSeq)
      return this.#live(present)
    }
    this.make(namespace, name, config, options)
    await durably(this.#options.ledger, this.#options.ledger.openSeq)
    const made = this.get(namespace, name)
    if (!made) throw new BrokerError('queue-not-found', `${quote(name)} was removed at the same time`)
    return made
  }

  /** Makes a queue that is not there, within this call; it is durable with the block that is open then. Throws `BrokerError`. */
  make(
    namespace: string,
    name: string,
    config: ReadonlyMap<string, string> = new Map(),
    options: DeclareOptions = {},
  ): Queue {
    this.checkNew(namespace, name)
    atomically(this.#options.ledger, () => this.#write(namespace, name, config, options))
    const made = this.get(namespace, name)
    assert(made)
    this.observer?.declared(made)
    for (const run of this.#declared) run(made)
    return made
  }

  /** Calls `run` for each queue that is made, until the returned function is called. */
  watchDeclared(run: (queue: Queue) => void): () => void {
    this.#declared.add(run)
    return () => void this.#declared.delete(run)
  }

  /** Throws `BrokerError` when a queue of that name could not be made. */
  checkNew(namespace: string, name: string): void {
    checkQueueName(name)
    const { limits } = this.#options
    if (this.#table.get(namespace, name)) throw new BrokerError('queue-exists', `there is a queue ${quote(name)}`)
    if (this.#directory.get(namespace, name)) throw new BrokerError('queue-exists', `${quote(name)} is a topic`)
    if (this.#table.count >= limits.queuesMax) {
      throw new BrokerError('limit-reached', `there are ${limits.queuesMax} queues, which is the most allowed`)
    }
  }

  /** Removes the queue and all its messages. Resolves with the number of those that waited. */
  async remove(namespace: string, name: string, { ifUnused = false, ifEmpty = false } = {}): Promise<number> {
    const hurried = this.get(namespace, name)?.hurry()
    if (hurried) await hurried
    const queue = this.get(namespace, name)
    if (!queue) throw new BrokerError('queue-not-found', quote(name))
    const { readyCount, consumerCount } = queue
    if (ifUnused && consumerCount > 0)
      throw new BrokerError('queue-in-use', `${quote(name)} has ${consumerCount} consumers`)
    if (ifEmpty && readyCount > 0)
      throw new BrokerError('queue-not-empty', `${quote(name)} holds ${readyCount} messages`)
    const seq = this.#remove(queue)
    await durably(this.#options.ledger, seq)
    return readyCount
  }

  /** The owner is gone, and with it the queues that are exclusive to it. */
  release(owner: QueueOwner): void {
    for (const { namespace, name } of this.#owned.get(owner) ?? []) {
      const queue = this.get(namespace, name)
      if (queue) this.#removeUnused(queue)
    }
    this.#owned.delete(owner)
  }

  /** Who was to be its consumer has not become one: if it is to go with its last consumer, and has none, it goes now. */
  abandon(queue: Queue): void {
    if (queue.definition.autoDelete && queue.consumerCount === 0) this.#removeUnused(queue)
  }

  /** Those that are exclusive to the owner. */
  ownedBy(owner: QueueOwner): Queue[] {
    return Array.from(this.#owned.get(owner) ?? [], definition => this.#live(definition))
  }

  #remove(queue: Queue): number {
    const { definition } = queue
    const { id, owner } = definition
    const { ledger } = this.#options
    const home = this.#homeOf(definition)
    const lanes = this.#table.lanesOf(id)
    const seq = atomically(ledger, () => {
      for (const run of this.#beforeRemove) run(definition)
      if (definition.isKept) ledger.fact(machineKinds.directory, factTypes.queueDeleted, factOf(queueDeleted, { id }))
      else this.#directory.removeQueue(id)
      this.observer?.removing(definition)
      for (const lane of [definition, ...lanes]) {
        home.cursors.remove(lane.cursor)
        home.ledger.drop(lane.stream)
      }
    })
    this.#open.delete(id)
    if (owner) this.#owned.get(owner)?.delete(definition)
    queue.close()
    this.observer?.removed(definition)
    return seq
  }

  #removeUnused(queue: Queue, isHurried = false): void {
    if (this.#isClosed || !this.#open.has(queue.definition.id)) return
    try {
      const hurried = isHurried ? undefined : queue.hurry()
      if (hurried) void hurried.then(() => queue.consumerCount > 0 || this.#removeUnused(queue, true))
      else this.#remove(queue)
    } catch (error) {
      // The cell has ended, and the process with it; or the next last consumer sees to it.
      if (!(error instanceof BrokerError)) throw error
    }
  }

  /** `run` is called for each queue that is about to be removed, and may add facts of its own to the same block. */
  beforeRemove(run: (definition: QueueDefinition) => void): void {
    this.#beforeRemove.push(run)
  }

  close(): void {
    this.#isClosed = true
    for (const queue of this.#open.values()) queue.close()
  }

  #live(definition: QueueDefinition): Queue {
    const known = this.#open.get(definition.id)
    if (known) return known
    const queue = this.#build(definition)
    this.#open.set(definition.id, queue)
    return queue
  }

  #build(definition: QueueDefinition): Queue {
    const host = definition.isKept ? this.#host : this.#hostOf(definition)
    const { priorityMax } = queueConfig(definition.config)
    if (priorityMax === 0) return new Queue(definition, this.#openCursor(definition, definition), host)
    const own = { priority: 0, stream: definition.stream, cursor: definition.cursor }
    const lanes = new QueueLanes({
      definition,
      priorityMax,
      streams: host.cell,
      present: [own, ...this.#table.lanesOf(definition.id)],
      atomic: run => void host.ledger.atomic(run),
      make: priority => this.#makeLane(definition, priority),
      cursorOf: lane => this.#openCursor(definition, lane),
    })
    return new Queue(definition, lanes.cursor, { ...host, cell: lanes.streams }, lanes)
  }

  /** In memory, each queue is told on its own whether there is room. */
  #hostOf({ id, stream }: QueueDefinition): QueueHost {
    const { streams } = this.#volatile
    const bytes = (): number =>
      this.#table.lanesOf(id).reduce((sum, lane) => sum + streams.sizeBytes(lane.stream), streams.sizeBytes(stream))
    return { ...this.#volatileHost, isFull: () => this.#volatile.isFull(bytes) }
  }

  #openCursor(definition: QueueDefinition, { stream, cursor: id }: Pick<QueueLane, 'stream' | 'cursor'>): Cursor {
    const { cursors } = this.#homeOf(definition)
    const cursor = cursors.open(id)
    assert(cursor, `the cursor of queue ${definition.name} is missing`)
    cursors.own(stream, id)
    return cursor
  }

  #makeLane(definition: QueueDefinition, priority: number): QueueLane {
    const { ledger } = this.#options
    const { id, isKept } = definition
    const home = this.#homeOf(definition)
    let made: QueueLane | undefined
    atomically(ledger, () => {
      const stream = home.ledger.define('stream')
      const lane = { priority, stream, cursor: home.cursors.create(stream, 0).id }
      if (isKept) ledger.fact(machineKinds.directory, factTypes.laneOpened, factOf(laneOpened, { id, lane }))
      else this.#table.addLane(id, lane)
      made = lane
    })
    assert(made)
    return made
  }

  #homeOf({ isKept }: { isKept: boolean }): { ledger: Pick<Ledger, 'define' | 'drop'>; cursors: CursorStore } {
    return isKept ? this.#options : this.#volatile
  }

  #checkSame(present: QueueDefinition, config: ReadonlyMap<string, string>, options: DeclareOptions): void {
    const { name } = present
    if (present.owner !== options.exclusiveTo) throw new BrokerError('queue-locked', quote(name))
    const difference = declarationDifference(present, config, options)
    if (!difference) return
    const [has, wants] = difference.values
    throw new BrokerError('queue-exists', `${quote(name)} has ${difference.name} ${String(has)}, not ${String(wants)}`)
  }

  #write(
    namespace: string,
    name: string,
    config: ReadonlyMap<string, string>,
    { isDurable = true, autoDelete = false, exclusiveTo: owner }: DeclareOptions,
  ): void {
    const { ledger, random } = this.#options
    const isKept = isDurable && owner === undefined
    const home = this.#homeOf({ isKept })
    const stream = home.ledger.define('stream')
    const cursor = home.cursors.create(stream, 0).id
    const id = random.bytes(16).toString('hex')
    const queue = { id, namespace, name, stream, cursor, config, isDurable, autoDelete, owner, isKept }
    if (isKept) ledger.fact(machineKinds.directory, factTypes.queueDeclared, factOf(queueDeclared, queueFact(queue)))
    else this.#directory.addQueue(queue)
    if (!owner) return
    const owned = this.#owned.get(owner)
    if (owned) owned.add(queue)
    else this.#owned.set(owner, new Set([queue]))
  }
}

/** The first in which a queue differs from what is asked for, with both values; undefined when it is the same. */
export function declarationDifference(
  present: QueueDefinition,
  config: ReadonlyMap<string, string>,
  { isDurable = true, autoDelete = false }: DeclareOptions,
): { name: string; values: [unknown, unknown] } | undefined {
  if (present.isDurable !== isDurable) return { name: 'durable', values: [present.isDurable, isDurable] }
  if (present.autoDelete !== autoDelete) return { name: 'auto.delete', values: [present.autoDelete, autoDelete] }
  return differenceOf(present.config, config)
}
