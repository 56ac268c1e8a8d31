import type { Reader, Writer } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import { savedVolume, type opened } from './facts.ts'
import { OffsetSet } from './offset-set.ts'
import { tiers, type Tier } from './tiers.ts'

/** Blocks of an index that are in order of due time, one record each. */
export interface Run {
  /** Offset of the first in the index stream. */
  readonly first: number
  readonly blocks: number
}

const noDues = new Uint32Array(0)

/**
 * Messages whose due times lie within one span. They lie in a stream in the order in which they came, and stay there until all are gone;
 * the index, another stream, leads to them in order of due time.
 *
 * Due times are milliseconds since the beginning of the volume, so that they fit into 32 bits. Messages go in the order of (due, offset), hence two
 * numbers say which have gone.
 */
export class VolumeState {
  readonly number: number
  readonly messages: StreamId
  readonly index: StreamId
  readonly fromMs: number
  readonly tier: number
  /** Messages that were ever put into it: the next one's offset. */
  count = 0
  /** Those that were neither fired nor cancelled. */
  live = 0
  runs: Run[] = []
  /** Offsets from here on are in no run; their due times are `recent`. */
  indexedTo = 0
  #recent = noDues
  /** The last that was fired, or its cancelled neighbour. */
  firedDue = 0
  firedOffset = -1
  readonly cancelled = new OffsetSet()

  constructor({ volume, messages, index, fromMs, tier }: ReturnType<(typeof opened)['read']>) {
    this.number = volume
    this.messages = messages
    this.index = index
    this.fromMs = fromMs
    this.tier = tier
  }

  get #tier(): Tier {
    const tier = tiers[this.tier]
    if (!tier) throw new Error(`There is no tier ${this.tier}: this data was written by a newer broker`)
    return tier
  }
  get untilMs(): number {
    return this.fromMs + this.#tier.spanMs
  }
  get bytesMax(): number {
    return this.#tier.bytesMax
  }
  /** Messages that are in no run. */
  get recentCount(): number {
    return this.count - this.indexedTo
  }

  hasGone(due: number, offset: number): boolean {
    return due < this.firedDue || (due === this.firedDue && offset <= this.firedOffset)
  }

  /** For an offset that is in no run. */
  recentDue(offset: number): number {
    return this.#recent[offset - this.indexedTo]!
  }

  add(due: number): void {
    const at = this.recentCount
    if (at === this.#recent.length) {
      const wider = new Uint32Array(Math.max(16, at * 2))
      wider.set(this.#recent)
      this.#recent = wider
    }
    this.#recent[at] = due
    this.count++
    this.live++
  }

  /** All that is recent is in the run now, or in none when there is nothing left of it. */
  indexed(run: Run): void {
    if (run.blocks > 0) this.runs.push(run)
    this.indexedTo = this.count
    this.#recent = noDues
  }

  save(out: Writer): void {
    const { number, messages, index, fromMs, tier, count, live, indexedTo, firedDue, runs, recentCount } = this
    savedVolume.write(out, {
      opened: { volume: number, messages, index, fromMs, tier },
      count,
      live,
      indexedTo,
      firedDue,
      firedEnd: this.firedOffset + 1,
      runs,
      recent: recentCount,
    })
    for (let at = 0; at < recentCount; at++) out.u32(this.#recent[at]!)
    this.cancelled.save(out)
  }

  static load(from: Reader): VolumeState {
    const saved = savedVolume.read(from)
    const volume = new VolumeState(saved.opened)
    volume.count = saved.count
    volume.live = saved.live
    volume.indexedTo = saved.indexedTo
    volume.firedDue = saved.firedDue
    volume.firedOffset = saved.firedEnd - 1
    volume.runs = saved.runs
    volume.#recent = Uint32Array.from({ length: saved.recent }, () => from.u32())
    volume.cancelled.load(from)
    return volume
  }
}
