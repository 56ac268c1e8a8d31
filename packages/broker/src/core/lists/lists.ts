import assert from 'node:assert/strict'
import { KeptTogether } from '@dragoman/wire'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { checkQueueName, quote } from '../names.ts'
import type { Queue } from '../queues/queue.ts'
import type { Queues } from '../queues/queues.ts'
import type { QueueDefinition } from '../queues/table.ts'
import type { WorkQueues } from '../work/work-queues.ts'
import type { ElementMemory } from './elements.ts'
import { factOf, forgotten, listFacts, made } from './facts.ts'
import { lengthOf, List, type ListHost } from './list.ts'
import { ListsMachine } from './machine.ts'

export interface ListsOptions {
  ledger: Ledger
  queues: Queues
  work: WorkQueues
  limits: Limits
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
}

/** Empty lists that were made by their first element are looked at this often. */
const sweepMs = 30_000

/**
 * Queues as lists: see `List`. A queue that is pushed to and is not there is made, and removed some time after it has become empty; so a list is
 * there, to those who only know lists, exactly while it holds something.
 */
export class Lists {
  readonly #options: ListsOptions
  readonly #machine: ListsMachine
  readonly #host: ListHost
  readonly #open = new Map<Queue, List>()
  readonly #byName = new Map<string, Map<string, List>>()
  readonly #memory: ElementMemory
  #empty = new Set<List>()
  #cancelSweep: (() => void) | undefined
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: ListsOptions) {
    const { ledger, queues, limits } = options
    const machine = ledger.machine(machineKinds.lists)
    assert(machine instanceof ListsMachine)
    this.#options = options
    this.#machine = machine
    this.#memory = {
      bytes: 0,
      bytesMax: limits.listMemoryBytesMax,
      settled: new KeptTogether(),
      relieve: except => this.#relieve(except),
    }
    this.#host = { ledger, memory: this.#memory, lookBytesMax: limits.listMemoryBytesMax }
    queues.beforeRemove(definition => this.#removing(definition))
  }

  /** The list of that name, if it holds anything, or somebody has declared it as a queue. Throws `BrokerError` when it is no list. */
  get(namespace: string, name: string): List | undefined {
    const known = this.#byName.get(namespace)?.get(name)
    if (known) return known
    const queue = this.#options.queues.get(namespace, name)
    return queue && this.#adopt(queue)
  }

  /** The list of that name, which is made when it is not there. Throws `BrokerError`. */
  use(namespace: string, name: string): List {
    const known = this.get(namespace, name)
    if (known) return known
    const { ledger, queues } = this.#options
    checkQueueName(name)
    let queue: Queue | undefined
    ledger.atomic(() => {
      queue = queues.make(namespace, name)
      ledger.fact(machineKinds.lists, listFacts.made, factOf(made, { stream: queue.definition.stream }))
    })
    assert(queue)
    return this.#adopt(queue)
  }

  /** Like `get`, for who does not care why there is none. */
  find(namespace: string, name: string): List | undefined {
    const queue = this.#options.queues.get(namespace, name)
    return queue && this.#mayAdopt(queue) ? this.#adopt(queue) : undefined
  }

  /** Names of queues that hold something, with how much it is. */
  *names(namespace: string): Generator<string> {
    for (const queue of this.#options.queues.list(namespace)) {
      if (lengthOf(queue) > 0 && this.#mayAdopt(queue)) yield queue.definition.name
    }
  }

  /** Takes all elements of a list. The queue stays for a while, or for good if somebody has declared it. */
  clear(list: List): void {
    list.clear()
    this.emptied(list)
  }

  /** A list has nothing left. */
  emptied(list: List): void {
    if (!list.isMade || this.#isClosed) return
    this.#empty.add(list)
    this.#cancelSweep ??= this.#options.ledger.clock.after(sweepMs, () => this.#sweep())
  }

  /** Whether the queue was made by its first element, and nobody uses it. */
  mayDiscard({ isMade, queue }: List): boolean {
    return isMade && queue.consumerCount === 0 && queue.inFlightCount === 0
  }

  /** The queue itself goes, if it is empty, and may. Whether it is gone. */
  discard(list: List): boolean {
    if (list.length > 0 || !this.mayDiscard(list)) return false
    const { namespace, name } = list.queue.definition
    void this.#options.queues.remove(namespace, name).catch(() => {})
    return this.#options.queues.get(namespace, name) === undefined
  }

  /** Calls `tell` in a later turn when a list of that name may hold more, whoever has added it, until the returned function is called. */
  await(namespace: string, name: string, tell: () => void): () => void {
    let isOver = false
    const later = (): void => this.#options.soon(() => isOver || this.#isClosed || tell())
    let unwatch: (() => void)[] = []
    const attach = (): void => {
      const list = this.find(namespace, name)
      if (!list) return
      const { queue } = list
      unwatch.push(queue.streams.watch(queue.definition.stream, false, later), queue.cursor.watch({ returned: later }))
    }
    attach()
    const undeclare = this.#options.queues.watchDeclared(queue => {
      if (queue.definition.namespace !== namespace || queue.definition.name !== name) return
      for (const run of unwatch) run()
      unwatch = []
      attach()
    })
    return () => {
      isOver = true
      undeclare()
      for (const run of unwatch) run()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#cancelSweep?.()
  }

  #adopt(queue: Queue): List {
    const known = this.#open.get(queue)
    if (known) return known
    const { namespace, name, stream } = queue.definition
    if (!this.#mayAdopt(queue)) {
      throw new BrokerError('unsupported', `the messages of ${quote(name)} have priorities or an owner: it is no list`)
    }
    const list = new List(queue, this.#machine.of(stream), this.#host)
    this.#open.set(queue, list)
    const names = this.#byName.get(namespace)
    if (names) names.set(name, list)
    else this.#byName.set(namespace, new Map([[name, list]]))
    if (list.isMade && list.length === 0) this.emptied(list)
    return list
  }

  /** Messages that have priorities or numbers are elsewhere, and those that live in memory alone have another journal. */
  #mayAdopt(queue: Queue): boolean {
    if (this.#open.has(queue)) return true
    const { namespace, name, isKept } = queue.definition
    return isKept && !queue.hasPriorities && !this.#options.work.consumable(namespace, name)
  }

  #removing(definition: QueueDefinition): void {
    const { stream, namespace, name } = definition
    const { ledger } = this.#options
    if (this.#machine.lists.has(stream))
      ledger.fact(machineKinds.lists, listFacts.forgotten, factOf(forgotten, { stream }))
    const list = this.#byName.get(namespace)?.get(name)
    if (list?.queue.definition.stream !== stream) return
    list.elements.clear()
    this.#byName.get(namespace)?.delete(name)
    this.#open.delete(list.queue)
    this.#empty.delete(list)
  }

  #sweep(): void {
    this.#cancelSweep = undefined
    const empty = this.#empty
    this.#empty = new Set()
    for (const list of empty) if (list.length === 0 && !this.discard(list)) this.emptied(list)
  }

  /** Forgets elements that can be read again: those of the lists that were opened first go first. */
  #relieve(except: List['elements']): void {
    for (const { elements } of this.#open.values()) {
      if (this.#memory.bytes < this.#memory.bytesMax / 2) return
      if (elements !== except) elements.clear()
    }
  }
}
