import assert from 'node:assert/strict'
import type { StreamId } from '../../cell/client.ts'
import type { CursorId } from '../cursor/cursor.ts'

/** What is kept of a queue. Immutable. */
export interface QueueDefinition {
  /** 16 bytes as 32 hexadecimal digits; a queue made again under the same name has another. */
  readonly id: string
  readonly namespace: string
  readonly name: string
  readonly stream: StreamId
  readonly cursor: CursorId
  /** Only what was set; `queue-config.ts` gives the defaults. */
  readonly config: ReadonlyMap<string, string>
  /** As it was asked for. Whether a restart leaves it there is `isKept`. */
  readonly isDurable: boolean
  /** It goes with its last consumer. */
  readonly autoDelete: boolean
  /** Nobody else may use it, and it goes with its owner. */
  readonly owner?: QueueOwner | undefined
  /** It is durable and has no owner. One that is not lives in memory: no fact tells of it or of what it holds. */
  readonly isKept: boolean
}

/** The stream and the cursor of messages of one priority. */
export interface QueueLane {
  readonly priority: number
  readonly stream: StreamId
  readonly cursor: CursorId
}

/** Whoever a queue can belong to alone: a connection. Only its identity counts. */
export type QueueOwner = object

/** Which queues there are. Invariant: a queue is found by name exactly when it is found by id and by its stream. */
export class QueueTable {
  readonly #byId = new Map<string, QueueDefinition>()
  /** By namespace, then by name, in the order of creation. */
  readonly #byName = new Map<string, Map<string, QueueDefinition>>()
  readonly #byStream = new Map<StreamId, QueueDefinition>()
  /** By id; of queues that have others than their own. */
  readonly #lanes = new Map<string, QueueLane[]>()

  get count(): number {
    return this.#byId.size
  }

  get(namespace: string, name: string): QueueDefinition | undefined {
    return this.#byName.get(namespace)?.get(name)
  }

  byId(id: string): QueueDefinition | undefined {
    return this.#byId.get(id)
  }

  ofStream(stream: StreamId): QueueDefinition | undefined {
    return this.#byStream.get(stream)
  }

  /** Queues of one namespace, or of all, oldest first within a namespace. */
  list(namespace?: string): QueueDefinition[] {
    if (namespace !== undefined) return [...(this.#byName.get(namespace)?.values() ?? [])]
    return [...this.#byId.values()]
  }

  add(queue: QueueDefinition): void {
    const { id, namespace, name, stream } = queue
    assert(!this.#byId.has(id) && !this.get(namespace, name), `Queue ${name} cannot be there already`)
    this.#byId.set(id, queue)
    this.#byStream.set(stream, queue)
    const names = this.#byName.get(namespace)
    if (names) names.set(name, queue)
    else this.#byName.set(namespace, new Map([[name, queue]]))
  }

  /** Those that were made besides the queue's own one. */
  lanesOf(id: string): readonly QueueLane[] {
    return this.#lanes.get(id) ?? []
  }

  addLane(id: string, lane: QueueLane): void {
    const queue = this.#byId.get(id)
    assert(queue, `No queue has the id ${id}`)
    this.#byStream.set(lane.stream, queue)
    const lanes = this.#lanes.get(id)
    if (lanes) lanes.push(lane)
    else this.#lanes.set(id, [lane])
  }

  /** What it was. */
  remove(id: string): QueueDefinition {
    const queue = this.#byId.get(id)
    assert(queue, `No queue has the id ${id}`)
    this.#byId.delete(id)
    this.#byStream.delete(queue.stream)
    for (const { stream } of this.lanesOf(id)) this.#byStream.delete(stream)
    this.#lanes.delete(id)
    const names = this.#byName.get(queue.namespace)
    names?.delete(queue.name)
    if (names?.size === 0) this.#byName.delete(queue.namespace)
    return queue
  }
}
