import type { StreamId } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import { Cursors } from '../cursor/cursors.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import { VolatileLedger } from './volatile-ledger.ts'
import { VolatileStreams } from './volatile-streams.ts'

export interface VolatileHomeOptions {
  clock: Ledger['clock']
  wheel: TimerWheel
  /** Of all messages together. */
  bytesMax: number
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
}

/** When there is no memory left, it is looked for what is settled between messages that are not; not more often than this. */
const sweepEveryMs = 1000

/** A queue that holds less may take something still when those that hold more have used up the memory: so that they do not silence it. */
const smallBytes = 64 * 1024
/** Of all memory, so much more is there for such queues. */
const spareShare = 0.25

/** Where queues live that a restart is to leave nothing of: streams and cursors in memory. */
export class VolatileHome {
  readonly streams: VolatileStreams
  readonly ledger: VolatileLedger
  readonly cursors: Cursors
  /** Messages that were refused for want of memory. */
  refusedCount = 0
  readonly #clock: Ledger['clock']
  readonly #bytesMax: number
  #sweptMs = -Infinity

  constructor({ clock, wheel, bytesMax, soon }: VolatileHomeOptions) {
    this.streams = new VolatileStreams({ soon })
    this.ledger = new VolatileLedger(clock, this.streams)
    this.cursors = new Cursors(this.ledger, wheel)
    this.#clock = clock
    this.#bytesMax = bytesMax
  }

  /** Whether the next message of a queue is to be refused, which holds so many bytes; it counts as refused then. */
  isFull(queueBytes: () => number): boolean {
    if (this.streams.bytes < this.#bytesMax) return false
    this.#sweep()
    const max = queueBytes() < smallBytes ? this.#bytesMax * (1 + spareShare) : this.#bytesMax
    if (this.streams.bytes < max) return false
    this.refusedCount++
    return true
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs < this.#sweptMs + sweepEveryMs) return
    this.#sweptMs = nowMs
    this.streams.sweep((stream: StreamId, offset: number) => this.cursors.isLive(stream, offset))
  }
}
