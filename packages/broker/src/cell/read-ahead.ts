import type { Clock } from '../runtime/runtime.ts'
import type { Stream } from './stream.ts'
import type { Stretch } from './stretch.ts'

/** Reads that ask for more, or for less, are not worth it. */
const bytesMin = 64 * 1024
const bytesMax = 8 * 1024 * 1024
/** What was read ahead and nobody has asked for yet takes no more than this. */
const totalBytesMax = 16 * 1024 * 1024
/** Nor is it kept for longer: whoever reads on does so at once. */
const keptMs = 2_000
/** So many places are remembered at which a reader may go on. */
const placesMax = 1024

/** One read under way, or done. */
interface Ahead {
  readonly stretch: Promise<Stretch | undefined>
  readonly bytes: number
  readonly begunMs: number
  /** `Stream.abortedFrom` when it began. */
  readonly abortedFrom: number
}

/**
 * What a reader that goes through stored batches in order will ask for next: read while its last answer is on the way, so that
 * the disk, the network and the reader work at the same time. A second read in order shows that there is such a reader.
 *
 * Invariant: `#bytes` is the sum of `bytes` in `#aheads`; an `Ahead` that leaves `#aheads` is handed over or its slab released.
 */
export class ReadAhead {
  readonly #clock: Pick<Clock, 'after' | 'monotonicMs'>
  readonly #load: (stream: Stream, offset: number, bytes: number) => Promise<Stretch | undefined>
  /** Where reads have ended, oldest first. */
  readonly #places = new Set<string>()
  /** By the place at which they begin, oldest first. */
  readonly #aheads = new Map<string, Ahead>()
  #bytes = 0
  #isSweepDue = false

  /** `load` reads the stretch at an offset; undefined when it is not there (any more). */
  constructor(
    clock: Pick<Clock, 'after' | 'monotonicMs'>,
    load: (stream: Stream, offset: number, bytes: number) => Promise<Stretch | undefined>,
  ) {
    this.#clock = clock
    this.#load = load
  }

  /** What was read ahead from `offset` on, for the caller to release; undefined when nothing was, or it cannot be used. */
  take(stream: Stream, offset: number): Promise<Stretch | undefined> | undefined {
    const place = placeOf(stream, offset)
    const ahead = this.#aheads.get(place)
    if (!ahead) return undefined
    this.#aheads.delete(place)
    this.#bytes -= ahead.bytes
    return ahead.stretch.then(stretch => {
      // What was aborted meanwhile and is forgotten could not be told from what was committed.
      if (!stretch || ahead.abortedFrom === stream.abortedFrom) return stretch
      stretch.slab.release()
      return undefined
    })
  }

  /** A read of stored batches got from `offset` to `next`. */
  note(stream: Stream, offset: number, next: number, bytes: number): void {
    if (bytes < bytesMin || bytes > bytesMax || next === offset) return
    const goesOn = this.#places.delete(placeOf(stream, offset))
    const place = placeOf(stream, next)
    this.#places.add(place)
    if (this.#places.size > placesMax) this.#places.delete(this.#places.values().next().value!)
    if (goesOn && !this.#aheads.has(place)) this.#begin(stream, next, bytes, place)
  }

  #begin(stream: Stream, offset: number, bytes: number, place: string): void {
    for (const oldest of this.#aheads.keys()) {
      if (this.#bytes + bytes <= totalBytesMax) break
      this.#forget(oldest)
    }
    const stretch = this.#load(stream, offset, bytes).catch(() => undefined) // Whoever wants it reads again, and is told.
    const { abortedFrom } = stream
    this.#aheads.set(place, { stretch, bytes, abortedFrom, begunMs: this.#clock.monotonicMs() })
    this.#bytes += bytes
    if (!this.#isSweepDue) this.#sweepLater()
  }

  #sweepLater(): void {
    this.#isSweepDue = true
    this.#clock.after(keptMs, () => {
      this.#isSweepDue = false
      const untilMs = this.#clock.monotonicMs() - keptMs
      for (const [place, { begunMs }] of this.#aheads) if (begunMs <= untilMs) this.#forget(place)
      if (this.#aheads.size > 0) this.#sweepLater()
    })
  }

  #forget(place: string): void {
    const { stretch, bytes } = this.#aheads.get(place)!
    this.#aheads.delete(place)
    this.#bytes -= bytes
    void stretch.then(found => found?.slab.release())
  }
}

const placeOf = (stream: Stream, offset: number): string => `${stream.id}:${offset}`
