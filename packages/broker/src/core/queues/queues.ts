import assert from 'node:assert/strict'
import type { Random } from '@dragoman/wire'
import type { CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import type { Retention } from '../../cell/options.ts'
import type { CursorStore } from '../cursor/cursor.ts'
import { DirectoryMachine, factOf, factTypes, queueDeclared, queueDeleted, settingsOf } from '../directory.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { checkQueueName, quote } from '../names.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import { atomically, durably } from '../refusals.ts'
import { differenceOf, queueConfig } from './queue-config.ts'
import { Queue, type QueueHost } from './queue.ts'
import type { QueueDefinition, QueueTable } from './table.ts'

export interface QueuesOptions {
  ledger: Ledger
  cell: CellClient
  cursors: CursorStore
  wheel: TimerWheel
  random: Random
  limits: Limits
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
  log(level: 'warn' | 'error', message: string): void
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
  readonly #table: QueueTable
  /** By id. */
  readonly #open = new Map<string, Queue>()
  readonly #beforeRemove: ((definition: QueueDefinition) => void)[] = []
  readonly #host: QueueHost
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: QueuesOptions) {
    const { ledger, cell, wheel, limits } = options
    const directory = ledger.machine(machineKinds.directory)
    assert(directory instanceof DirectoryMachine)
    this.#options = options
    this.#table = directory.queues
    this.#host = {
      cell,
      wheel,
      inFlightMax: limits.queueInFlightMax,
      nowMs: () => ledger.clock.nowMs(),
      monotonicMs: () => ledger.clock.monotonicMs(),
      // What is left to do when the broker closes is done after the next start.
      soon: run => options.soon(() => this.#isClosed || run()),
      log: (level, message) => options.log(level, message),
    }
    for (const definition of this.#table.list()) this.#live(definition)
  }

  get(namespace: string, name: string): Queue | undefined {
    const definition = this.#table.get(namespace, name)
    return definition && this.#live(definition)
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

  /**
   * The queue of that name, which is made when it is not there. One that is there must have been declared with settings of the same effect;
   * else the refusal names the setting that differs.
   */
  async declare(namespace: string, name: string, config: ReadonlyMap<string, string> = new Map()): Promise<Queue> {
    checkQueueName(name)
    queueConfig(config)
    const present = this.#table.get(namespace, name)
    if (present) {
      this.#checkSame(present, config)
      await durably(this.#options.ledger, this.#options.ledger.openSeq)
      return this.#live(present)
    }
    this.make(namespace, name, config)
    await durably(this.#options.ledger, this.#options.ledger.openSeq)
    const made = this.get(namespace, name)
    if (!made) throw new BrokerError('queue-not-found', `${quote(name)} was removed at the same time`)
    return made
  }

  /** Makes a queue that is not there, within this call; it is durable with the block that is open then. Throws `BrokerError`. */
  make(namespace: string, name: string, config: ReadonlyMap<string, string> = new Map()): Queue {
    this.checkNew(namespace, name)
    atomically(this.#options.ledger, () => this.#write(namespace, name, config))
    const made = this.get(namespace, name)
    assert(made)
    this.observer?.declared(made)
    return made
  }

  /** Throws `BrokerError` when a queue of that name could not be made. */
  checkNew(namespace: string, name: string): void {
    checkQueueName(name)
    const { ledger, limits } = this.#options
    const directory = ledger.machine(machineKinds.directory)
    assert(directory instanceof DirectoryMachine)
    if (directory.get(namespace, name)) throw new BrokerError('queue-exists', `${quote(name)} is a topic`)
    if (this.#table.count >= limits.queuesMax) {
      throw new BrokerError('limit-reached', `there are ${limits.queuesMax} queues, which is the most allowed`)
    }
  }

  /** Removes the queue and all its messages. Resolves with the number of those that waited. */
  async remove(namespace: string, name: string, { ifUnused = false, ifEmpty = false } = {}): Promise<number> {
    const queue = this.get(namespace, name)
    if (!queue) throw new BrokerError('queue-not-found', quote(name))
    const { readyCount, consumerCount, definition } = queue
    if (ifUnused && consumerCount > 0)
      throw new BrokerError('queue-in-use', `${quote(name)} has ${consumerCount} consumers`)
    if (ifEmpty && readyCount > 0)
      throw new BrokerError('queue-not-empty', `${quote(name)} holds ${readyCount} messages`)
    const { ledger, cursors } = this.#options
    const seq = atomically(this.#options.ledger, () => {
      for (const run of this.#beforeRemove) run(definition)
      const payload = factOf(queueDeleted, { id: definition.id })
      ledger.fact(machineKinds.directory, factTypes.queueDeleted, payload)
      this.observer?.removing(definition)
      cursors.remove(definition.cursor)
      ledger.drop(definition.stream)
    })
    this.#open.delete(definition.id)
    queue.close()
    this.observer?.removed(definition)
    await durably(this.#options.ledger, seq)
    return readyCount
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
    const { cursors } = this.#options
    const cursor = cursors.open(definition.cursor)
    assert(cursor, `the cursor of queue ${definition.name} is missing`)
    cursors.own(definition.stream, cursor.id)
    const queue = new Queue(definition, cursor, this.#host)
    this.#open.set(definition.id, queue)
    return queue
  }

  #checkSame({ name, config: present }: QueueDefinition, config: ReadonlyMap<string, string>): void {
    const difference = differenceOf(present, config)
    if (!difference) return
    const [has, wants] = difference.values
    throw new BrokerError('queue-exists', `${quote(name)} has ${difference.name} ${String(has)}, not ${String(wants)}`)
  }

  #write(namespace: string, name: string, config: ReadonlyMap<string, string>): void {
    const { ledger, cursors, random } = this.#options
    const stream = ledger.define('stream')
    const cursor = cursors.create(stream, 0).id
    const id = random.bytes(16).toString('hex')
    const queue = { id, namespace, name, stream, cursor, config: settingsOf(config) }
    ledger.fact(machineKinds.directory, factTypes.queueDeclared, factOf(queueDeclared, queue))
  }
}
