const minute = 60_000
const hour = 60 * minute
const day = 24 * hour
const MiB = 1024 * 1024

/** Messages of which one span of due times goes into the same volumes. */
export interface Tier {
  /** Those with a delay up to this. */
  readonly delayMaxMs: number
  /** So much time is in one volume. */
  readonly spanMs: number
  /** A volume that has so many bytes takes no more: another one goes on, so that the first can go when its last message has. */
  readonly bytesMax: number
}

/**
 * The longer a message waits, the wider is the span of the volume that it lies in. What is written lies there until the span is over, at
 * the latest: a small multiple of its delay. Written to disk as the index: never reorder; a span is less than 2^32 ms.
 */
export const tiers: readonly Tier[] = [
  { delayMaxMs: minute, spanMs: minute, bytesMax: 64 * MiB },
  { delayMaxMs: 30 * minute, spanMs: 10 * minute, bytesMax: 512 * MiB },
  { delayMaxMs: 2 * day, spanMs: hour, bytesMax: Infinity },
  { delayMaxMs: 64 * day, spanMs: day, bytesMax: Infinity },
  { delayMaxMs: Infinity, spanMs: 32 * day, bytesMax: Infinity },
]

/** No message waits longer: a hundred years. */
export const delayMaxMs = 36_525 * day

export const tierOf = (delayMs: number): number => tiers.findIndex(tier => delayMs <= tier.delayMaxMs)
