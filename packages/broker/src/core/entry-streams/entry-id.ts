import type { Reader, Writer } from '@dragoman/wire'

/**
 * One half of an entry's id: 64 bits without sign. It is a number as far as these are exact, else a bigint, and never the one in the place of
 * the other: so that equal ones are `===`, and `<` compares any two.
 */
export type IdPart = number | bigint

/** Names an entry of a stream: a time in milliseconds, and a number that tells apart what came within it. Both halves count in this order. */
export interface EntryId {
  readonly ms: IdPart
  readonly seq: IdPart
}

export const partMax = 2n ** 64n - 1n
export const idMin: EntryId = { ms: 0, seq: 0 }
export const idMax: EntryId = { ms: partMax, seq: partMax }

const twoTo32 = 0x1_0000_0000
/** High halves below it make numbers that are exact. */
const highExact = 0x20_0000

/** Below 0: `a` comes before `b`. */
export function compareIds(a: EntryId, b: EntryId): number {
  return compareParts(a.ms, a.seq, b.ms, b.seq)
}

export function compareParts(aMs: IdPart, aSeq: IdPart, bMs: IdPart, bSeq: IdPart): number {
  if (aMs !== bMs) return aMs < bMs ? -1 : 1
  if (aSeq === bSeq) return 0
  return aSeq < bSeq ? -1 : 1
}

export function sameId(a: EntryId, b: EntryId): boolean {
  return a.ms === b.ms && a.seq === b.seq
}

/** The form in which it is compared. */
export function partOf(value: bigint): IdPart {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

/** Undefined behind the greatest of all. */
export function partAfter(part: IdPart, by = 1): IdPart | undefined {
  if (typeof part === 'number' && part + by <= Number.MAX_SAFE_INTEGER) return part + by
  const sum = BigInt(part) + BigInt(by)
  return sum > partMax ? undefined : partOf(sum)
}

/** Undefined behind the greatest of all. */
export function idAfter({ ms, seq }: EntryId, by = 1): EntryId | undefined {
  const next = partAfter(seq, by)
  if (next !== undefined) return { ms, seq: next }
  const later = partAfter(ms)
  return later === undefined ? undefined : { ms: later, seq: 0 }
}

/** The higher 32 bits. */
export function highOf(part: IdPart): number {
  return typeof part === 'number' ? Math.floor(part / twoTo32) : Number(part >> 32n)
}

export function lowOf(part: IdPart): number {
  return typeof part === 'number' ? part >>> 0 : Number(part & 0xffff_ffffn)
}

export function partFrom(high: number, low: number): IdPart {
  return high < highExact ? high * twoTo32 + low : (BigInt(high) << 32n) | BigInt(low)
}

/** Short for those that are exact as numbers. */
export function writePart(out: Writer, part: IdPart): void {
  if (typeof part === 'number') return out.varlong(part)
  out.varlong(-1)
  out.bigint64(BigInt.asIntN(64, part))
}

export function readPart(from: Reader): IdPart {
  const short = from.varlong()
  return short >= 0 ? short : BigInt.asUintN(64, from.bigint64())
}

export function writeId(out: Writer, { ms, seq }: EntryId): void {
  writePart(out, ms)
  writePart(out, seq)
}

export function readId(from: Reader): EntryId {
  const ms = readPart(from)
  return { ms, seq: readPart(from) }
}
