import { CommandError, notAFloat, notAnInteger } from './errors.ts'

const i64Max = 2n ** 63n - 1n
const i64Min = -(2n ** 63n)
const isDecimal = /^(?:0|-?[1-9]\d{0,18})$/

/** A whole number of 64 bits as it is written; undefined when it is none. */
export function bigintOf(text: Buffer): bigint | undefined {
  if (text.length > 20) return undefined
  const digits = text.toString('latin1')
  if (!isDecimal.test(digits)) return undefined
  const value = BigInt(digits)
  return value > i64Max || value < i64Min ? undefined : value
}

/** The same as a number: what is beyond 2^53 is not exact. Throws `CommandError`. */
export function integerArg(text: Buffer | undefined, error: () => CommandError = notAnInteger): number {
  if (text && text.length < 16) {
    const quick = smallOf(text)
    if (!Number.isNaN(quick)) return quick
  }
  const value = text && bigintOf(text)
  if (value === undefined) throw error()
  return Number(value)
}

export function bigintArg(text: Buffer): bigint {
  const value = bigintOf(text)
  if (value === undefined) throw notAnInteger()
  return value
}

/** A number that must not be below 0. */
export function countArg(text: Buffer | undefined, message: string): number {
  const value = integerArg(text, () => new CommandError(message))
  if (value < 0) throw new CommandError(message)
  return value
}

/** Seconds, as those give them who wait; in milliseconds. */
export function timeoutArg(text: Buffer | undefined): number {
  const seconds = text && floatOf(text)
  if (seconds === undefined || !Number.isFinite(seconds))
    throw new CommandError('ERR timeout is not a float or out of range')
  if (seconds < 0) throw new CommandError('ERR timeout is negative')
  const ms = Math.ceil(seconds * 1000)
  if (ms >= 2 ** 52) throw new CommandError('ERR timeout is out of range')
  return ms
}

/** Undefined when it is no number. */
export function floatOf(text: Buffer): number | undefined {
  const written = text.toString('latin1')
  if (/^[+-]?inf(inity)?$/i.test(written)) return written.startsWith('-') ? -Infinity : Infinity
  if (/^0x[\da-f]{1,16}$/i.test(written)) return Number(written)
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(written)) return undefined
  return Number(written)
}

export function floatArg(text: Buffer): number {
  const value = floatOf(text)
  if (value === undefined) throw notAFloat()
  return value
}

/** NaN when it is not a small number in its only form. */
function smallOf(text: Buffer): number {
  const isNegative = text[0] === 45
  let at = isNegative ? 1 : 0
  if (at === text.length || (text[at] === 48 && text.length > 1)) return NaN
  let value = 0
  for (; at < text.length; at++) {
    const digit = text[at]! - 48
    if (digit < 0 || digit > 9) return NaN
    value = value * 10 + digit
  }
  return isNegative ? -value : value
}
