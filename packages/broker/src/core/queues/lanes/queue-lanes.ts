import type { StreamId } from '../../../cell/client.ts'
import type { Cursor } from '../../cursor/cursor.ts'
import type { QueueStreams } from '../../volatile/volatile-streams.ts'
import type { QueueDefinition, QueueLane } from '../table.ts'
import { LanedCursor } from './laned-cursor.ts'
import { LanedStreams } from './laned-streams.ts'

interface QueueLanesOptions {
  definition: QueueDefinition
  priorityMax: number
  streams: QueueStreams
  /** Lanes that were made before, the queue's own among them. */
  present: readonly QueueLane[]
  atomic(run: () => void): void
  /** Makes a lane, within the open block. Throws `BrokerError`. */
  make(priority: number): QueueLane
  cursorOf(lane: QueueLane): Cursor
}

/**
 * The lanes of a queue whose messages have priorities: a stream and a cursor for each priority, made with its first message. To consumers they are one
 * queue; what waits takes no memory in it either.
 */
export class QueueLanes {
  readonly cursor: LanedCursor
  readonly streams: LanedStreams
  readonly #options: QueueLanesOptions
  readonly #byPriority = new Map<number, StreamId>()

  constructor(options: QueueLanesOptions) {
    const { definition, priorityMax, streams, atomic } = options
    const { stream, cursor: id } = definition
    const laneCount = priorityMax + 1
    this.#options = options
    this.streams = new LanedStreams(streams, stream, laneCount)
    this.cursor = new LanedCursor({ id, stream, laneCount, streams, atomic })
    for (const lane of options.present) this.#add(lane)
  }

  /** Where messages of the priority go. Throws `BrokerError` when there is no room for a new lane. */
  streamFor(priority: number): StreamId {
    const own = Math.min(priority, this.#options.priorityMax)
    return this.#byPriority.get(own) ?? this.#add(this.#options.make(own))
  }

  #add(lane: QueueLane): StreamId {
    const { priority, stream } = lane
    const index = this.#options.priorityMax - priority
    this.#byPriority.set(priority, stream)
    this.cursor.add({ index, stream }, this.#options.cursorOf(lane))
    this.streams.add({ index, stream })
    return stream
  }
}
