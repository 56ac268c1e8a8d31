import { idMax, idMin, partMax, partOf, type EntryId, type IdPart } from '../../../core/entry-streams/entry-id.ts'
import type { WantedId } from '../../../core/entry-streams/entry-stream.ts'
import { CommandError } from '../errors.ts'

const invalidId = (): CommandError => new CommandError('ERR Invalid stream ID specified as stream command argument')

/** A number as ids have it: decimal, 64 bits without sign. Undefined when it is none. */
function partArg(text: string): IdPart | undefined {
  if (!/^\d{1,20}$/.test(text)) return undefined
  const value = BigInt(text)
  return value > partMax ? undefined : partOf(value)
}

/** `ms` or `ms-seq`; what is missing is `seq`. Undefined when it is no id. */
export function maybeId(bytes: Buffer, seq: IdPart): EntryId | undefined {
  const dashAt = bytes.indexOf(dash)
  const ms = partIn(bytes, 0, dashAt < 0 ? bytes.length : dashAt)
  const number = dashAt < 0 ? seq : partIn(bytes, dashAt + 1, bytes.length)
  return ms === undefined || number === undefined ? undefined : { ms, seq: number }
}

/** The number that is written in [from, to). */
function partIn(bytes: Buffer, from: number, to: number): IdPart | undefined {
  if (to - from > 15) return partArg(bytes.toString('latin1', from, to))
  if (to === from) return undefined
  let value = 0
  for (let at = from; at < to; at++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) return undefined
    value = value * 10 + digit
  }
  return value
}

/** Throws `CommandError` when it is no id. */
export function idArg(bytes: Buffer | undefined, seq: IdPart = 0): EntryId {
  const id = bytes && maybeId(bytes, seq)
  if (!id) throw invalidId()
  return id
}

/** The id of a new entry: `*`, `ms-*`, or all of it. */
export function newIdArg(bytes: Buffer): WantedId {
  if (bytes.length === 1 && bytes[0] === star) return 'next'
  if (bytes.length > 2 && bytes[bytes.length - 1] === star && bytes[bytes.length - 2] === dash) {
    const within = partIn(bytes, 0, bytes.length - 2)
    if (within === undefined) throw invalidId()
    return { within }
  }
  return idArg(bytes)
}

const star = 42
const dash = 45
const plus = 43
const bracket = 40

/** One end of an interval: an id, `-` or `+` for the ends of all; `(` before it leaves itself out. */
export function boundArg(bytes: Buffer, seq: IdPart): { id: EntryId; isOpen: boolean } {
  const isOpen = bytes.length > 1 && bytes[0] === bracket
  if (isOpen) return { id: idArg(bytes.subarray(1), seq), isOpen }
  if (bytes.length === 1 && bytes[0] === dash) return { id: idMin, isOpen }
  if (bytes.length === 1 && bytes[0] === plus) return { id: idMax, isOpen }
  return { id: idArg(bytes, seq), isOpen }
}

/** Undefined before the least of all. */
export function idBefore({ ms, seq }: EntryId): EntryId | undefined {
  if (seq > 0) return { ms, seq: partOf(BigInt(seq) - 1n) }
  return ms > 0 ? { ms: partOf(BigInt(ms) - 1n), seq: partMax } : undefined
}

export const idText = ({ ms, seq }: EntryId): string => `${ms}-${seq}`
