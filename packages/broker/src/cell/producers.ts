import type { Reader, Writer } from '@dragoman/wire'

/** How many of a producer's newest batches are remembered to recognise a repetition: as many as it may have in flight. */
const batchesMax = 5

interface ProducerState {
  epoch: number
  lastTimeMs: number
  /** Newest last: first sequence, last sequence, base offset of each. */
  batches: { first: number; last: number; offset: number }[]
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
    const last = lastSequence(first, count)
    for (const batch of state.batches) if (batch.first === first && batch.last === last) return { offset: batch.offset }
    return first === nextSequence(state.batches.at(-1)!.last) ? 'fresh' : 'sequence-out-of-order'
  }

  append(producer: number, epoch: number, first: number, count: number, offset: number, timeMs: number): void {
    let state = this.#states.get(producer)
    if (!state || state.epoch !== epoch)
      this.#states.set(producer, (state = { epoch, lastTimeMs: timeMs, batches: [] }))
    state.lastTimeMs = timeMs
    state.batches.push({ first, last: lastSequence(first, count), offset })
    if (state.batches.length > batchesMax) state.batches.shift()
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
    for (const [producer, { epoch, lastTimeMs, batches }] of this.#states) {
      out.i64(producer)
      out.i16(epoch)
      out.i64(lastTimeMs)
      out.u8(batches.length)
      for (const { first, last, offset } of batches) {
        out.i32(first)
        out.i32(last)
        out.i64(offset)
      }
    }
  }

  load(from: Reader): void {
    this.#states.clear()
    for (let left = from.u32(); left > 0; left--) {
      const producer = from.i64()
      const state: ProducerState = { epoch: from.i16(), lastTimeMs: from.i64(), batches: [] }
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
