import type { CellClient, StreamId } from '../../cell/client.ts'
import { RecordReader } from '../cursor/record-reader.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import { recordsPerTurnMax, type TopicSubscriber, type TopicSubscription } from './contract.ts'

/** Where in each partition a reader begins: at what is kept, at what comes, at the newest record, at an offset, or at a time. */
export type ReadFrom = 'first' | 'next' | 'last' | { readonly offset: number } | { readonly timeMs: number }

export interface LogReaderHost {
  readonly cell: CellClient
  readonly topics: Pick<Topics, 'byId' | 'watchPartitions'>
  /** Calls `run` in a later turn. */
  soon(run: () => void): void
}

/** One partition and how far it was read. */
interface Position {
  readonly stream: StreamId
  readonly reader: RecordReader
  readonly unwatch: () => void
  offset: number
}

/** When a partition cannot be read, it is tried again after something else has happened. */
type Step = 'delivered' | 'passed' | 'empty' | 'reading' | 'gone'

/**
 * Reads a topic without taking anything: every reader gets every record from where it begins. Positions are the reader's own and not kept.
 * Settling makes room for more, and has no other effect.
 *
 * Partitions have their turns; the bytes of one are in memory at a time.
 */
export class LogReader implements TopicSubscription {
  readonly #host: LogReaderHost
  readonly #topicId: string
  readonly #subscriber: TopicSubscriber
  readonly #positions: Position[] = []
  readonly #unwatchTopic: () => void
  #prefetch: number
  #held = 0
  #ticket = 0
  #current = 0
  #isScheduled = false
  #isReading = false
  #isPaused = false
  #isRetired = false
  #isOver = false

  /** A reader that begins to deliver in a later turn. */
  static async open(
    host: LogReaderHost,
    topic: Topic,
    from: ReadFrom,
    { prefetch }: { prefetch: number },
    subscriber: TopicSubscriber,
  ): Promise<LogReader> {
    const starts = await Promise.all(topic.partitions.map(stream => startOf(host.cell, stream, from)))
    return new LogReader(host, topic, starts, prefetch, subscriber)
  }

  private constructor(
    host: LogReaderHost,
    topic: Topic,
    starts: readonly number[],
    prefetch: number,
    subscriber: TopicSubscriber,
  ) {
    this.#host = host
    this.#topicId = topic.id
    this.#subscriber = subscriber
    this.#prefetch = prefetch
    for (const [index, stream] of topic.partitions.entries()) this.#add(stream, starts[index] ?? 0)
    this.#unwatchTopic = host.topics.watchPartitions(changed => {
      if (changed.id !== topic.id) return
      for (const stream of changed.partitions.slice(this.#positions.length)) this.#add(stream, 0)
    })
    this.#schedule()
  }

  get isActive(): boolean {
    return !this.#isOver && !this.#isRetired
  }
  get heldCount(): number {
    return this.#held
  }
  get prefetch(): number {
    return this.#prefetch
  }
  set prefetch(prefetch: number) {
    this.#prefetch = prefetch
    this.#schedule()
  }

  ack(first: number, last = first): number {
    const count = last - first + 1
    this.#held = Math.max(0, this.#held - count)
    this.#schedule()
    return count
  }
  reject(first: number, last = first): number {
    return this.ack(first, last)
  }
  release(first: number, last = first): number {
    return this.ack(first, last)
  }

  pause(): void {
    this.#isPaused = true
  }
  resume(): void {
    this.#isPaused = false
    this.#schedule()
  }
  retire(): void {
    this.#isRetired = true
  }

  cancel(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#unwatchTopic()
    for (const { unwatch, reader } of this.#positions) {
      unwatch()
      reader.clear()
    }
  }

  #add(stream: StreamId, offset: number): void {
    const { cell } = this.#host
    const unwatch = cell.watch(stream, true, () => this.#schedule())
    this.#positions.push({ stream, reader: new RecordReader(cell, stream, true), unwatch, offset })
    this.#schedule()
  }

  get #hasRoom(): boolean {
    return !this.#isOver && !this.#isPaused && !this.#isRetired && (this.#prefetch === 0 || this.#held < this.#prefetch)
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isReading || !this.#hasRoom) return
    this.#isScheduled = true
    this.#host.soon(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  #turn(): void {
    let idle = 0
    for (let left = recordsPerTurnMax; left > 0; left--) {
      if (!this.#hasRoom || this.#isReading) return
      const position = this.#positions[this.#current]
      const step = position ? this.#step(position, this.#current) : 'empty'
      if (step === 'reading') return
      if (step === 'gone') return this.#end()
      if (step !== 'empty') {
        idle = 0
        continue
      }
      this.#current = (this.#current + 1) % Math.max(1, this.#positions.length)
      if (++idle >= this.#positions.length) return
    }
    this.#schedule()
  }

  /** One record of a partition. `empty`: another one has its turn. */
  #step(position: Position, index: number): Step {
    const { cell } = this.#host
    const bounds = cell.bounds(position.stream)
    if (bounds === undefined) return this.#host.topics.byId(this.#topicId) ? 'empty' : 'gone'
    // The topic's retention was faster.
    if (position.offset < bounds.startOffset) position.offset = bounds.startOffset
    const { offset, reader } = position
    if (offset >= bounds.stableOffset) {
      reader.clear()
      return 'empty'
    }
    const found = reader.find(offset)
    if (found === 'unread') {
      if (reader.bytes === 0 || this.#positions.length === 1) return this.#read(position)
      reader.clear()
      return 'empty'
    }
    position.offset++
    if (found === 'absent') return 'passed'
    this.#held++
    this.#subscriber.deliver(reader.record, index, this.#ticket++, 1)
    return 'delivered'
  }

  #read(position: Position): Step {
    this.#isReading = true
    const isThere = position.reader.read(position.offset, true, error => {
      this.#isReading = false
      // What was trimmed under the read is passed over; what is damaged was told to the log, and is tried again when there is more.
      if (error === undefined || error === 'offset-out-of-range') this.#schedule()
      else if (error === 'stream-not-found') this.#end()
    })
    if (isThere) this.#isReading = false
    return isThere ? 'passed' : 'reading'
  }

  #end(): void {
    if (this.#isOver) return
    this.cancel()
    this.#subscriber.ended()
  }
}

async function startOf(cell: CellClient, stream: StreamId, from: ReadFrom): Promise<number> {
  const bounds = cell.bounds(stream)
  if (bounds === undefined) return 0
  const { startOffset, stableOffset } = bounds
  if (from === 'first') return startOffset
  if (from === 'next') return stableOffset
  if (from === 'last') return Math.max(startOffset, stableOffset - 1)
  if ('offset' in from) return Math.max(startOffset, from.offset)
  const found = await cell.offsetAtTime(stream, from.timeMs)
  return found?.offset ?? cell.bounds(stream)?.stableOffset ?? stableOffset
}
