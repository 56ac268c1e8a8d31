import type { Reader, Writer } from '@dragoman/wire'

/** How many of a producer's newest batches are remembered to recognise a repetition: as many as it may have in flight. */
const batchesMax = 5

interface ProducerState {
  epoch: number
  lastTimeMs: number
  /** Of the marker that ended its last transaction, or -1. */
  coordinatorEpoch: number
  /** Newest last: first sequence, last sequence, base offset of each. */
  batches: { first: number; last: number; offset: number }[]
}

/** What is known of a producer in one stream. */
export interface ProducerInfo {
  readonly producerId: number
  readonly epoch: number
  /** -1: nothing of this epoch is there. */
  readonly lastSequence: number
  readonly lastTimeMs: number
  /** Of the marker that ended its last transaction, or -1. */
  readonly coordinatorEpoch: number
}

/** `fresh` may be appended, `{ offset }` was appended before at that place. */
export type SequenceCheck = 'fresh' | { offset: number } | 'sequence-out-of-order' | 'producer-fenced'

/**
 * Per stream, what idempotent producers sent last. A batch whose sequence numbers are among a producer's last five is a
 * repetition; one that does not follow the last is refused; a producer that is not known (any more) may begin anywhere.
 */
export class ProducerTable {
  readonly #states = new Map<number, ProducerState>()

  get size(): number {
    return this.#states.size
  }

  check(producer: number, epoch: number, first: number, count: number): SequenceCheck {
    const state = this.#states.get(producer)
    if (!state) return 'fresh'
    if (epoch < state.epoch) return 'producer-fenced'
    if (epoch > state.epoch) return first === 0 ? 'fresh' : 'sequence-out-of-order'
    const newest = state.batches.at(-1)
    if (!newest) return first === 0 ? 'fresh' : 'sequence-out-of-order'
    const last = lastSequence(first, count)
    for (const batch of state.batches) if (batch.first === first && batch.last === last) return { offset: batch.offset }
    return first === nextSequence(newest.last) ? 'fresh' : 'sequence-out-of-order'
  }

  append(producer: number, epoch: number, first: number, count: number, offset: number, timeMs: number): void {
    const state = this.#inEpoch(producer, epoch, timeMs)
    state.batches.push({ first, last: lastSequence(first, count), offset })
    if (state.batches.length > batchesMax) state.batches.shift()
  }

  /** The end of a transaction. One of a newer epoch keeps out what is still on its way in the older. */
  mark(producer: number, epoch: number, coordinatorEpoch: number, timeMs: number): void {
    this.#inEpoch(producer, epoch, timeMs).coordinatorEpoch = coordinatorEpoch
  }

  #inEpoch(producer: number, epoch: number, timeMs: number): ProducerState {
    let state = this.#states.get(producer)
    if (state?.epoch !== epoch) {
      state = { epoch, lastTimeMs: timeMs, coordinatorEpoch: state?.coordinatorEpoch ?? -1, batches: [] }
      this.#states.set(producer, state)
    }
    state.lastTimeMs = timeMs
    return state
  }

  /** All that are remembered. */
  *list(): Generator<ProducerInfo> {
    for (const [producerId, { epoch, lastTimeMs, coordinatorEpoch, batches }] of this.#states) {
      yield { producerId, epoch, lastSequence: batches.at(-1)?.last ?? -1, lastTimeMs, coordinatorEpoch }
    }
  }

  /** Producers silent since before `timeMs`. */
  silentSince(timeMs: number): number[] {
    return [...this.#states].filter(([, state]) => state.lastTimeMs < timeMs).map(([producer]) => producer)
  }

  forget(producer: number): void {
    this.#states.delete(producer)
  }

  save(out: Writer): void {
    out.u32(this.#states.size)
    for (const [producer, { epoch, lastTimeMs, coordinatorEpoch, batches }] of this.#states) {
      out.i64(producer)
      out.i16(epoch)
      out.i64(lastTimeMs)
      out.i32(coordinatorEpoch)
      out.u8(batches.length)
      for (const { first, last, offset } of batches) {
        out.i32(first)
        out.i32(last)
        out.i64(offset)
      }
    }
  }

  /** `version` is that of the stream's state. */
  load(from: Reader, version: number): void {
    this.#states.clear()
    for (let left = from.u32(); left > 0; left--) {
      const producer = from.i64()
      const epoch = from.i16()
      const lastTimeMs = from.i64()
      const state: ProducerState = { epoch, lastTimeMs, coordinatorEpoch: version < 2 ? -1 : from.i32(), batches: [] }
      for (let batches = from.u8(); batches > 0; batches--) {
        state.batches.push({ first: from.i32(), last: from.i32(), offset: from.i64() })
      }
      this.#states.set(producer, state)
    }
  }
}

/** Sequence numbers run from 0 to 2^31 - 1 and begin again at 0. */
const lastSequence = (first: number, count: number): number => (first + count - 1) % 0x8000_0000
const nextSequence = (last: number): number => (last + 1) % 0x8000_0000
