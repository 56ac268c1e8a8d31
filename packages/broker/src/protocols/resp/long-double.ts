/**
 * Numbers as Redis counts with them in `INCRBYFLOAT`: 64 bits of mantissa (`long double` of x86), written with 17 digits behind the point.
 */
export interface LongDouble {
  /** The value is `mantissa` times two to the power of `exponent`. */
  readonly mantissa: bigint
  readonly exponent: number
}

const mantissaBits = 64
/** The largest is about 1.19e4932. */
const exponentMax = 16_384
const tensMax = 4950
const textBytesMax = 5 * 1024
const fractionDigits = 17

const zero: LongDouble = { mantissa: 0n, exponent: 0 }

/** A number as it is written; undefined when it is none, or one that is too large or too near to zero. */
export function longDoubleOf(text: string): LongDouble | undefined {
  if (text.length > textBytesMax) return undefined
  if (/^0x[\da-f]{1,16}$/i.test(text)) return { mantissa: BigInt(text), exponent: 0 }
  const found = /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text)
  const [, sign, whole = '', fraction = '', power = '0'] = found ?? []
  if (!found || (whole === '' && fraction === '')) return undefined
  const digits = BigInt(whole + fraction)
  const tens = Number(power) - fraction.length
  if (digits === 0n) return zero
  if (tens > tensMax || tens < -tensMax - fraction.length) return undefined
  const value = tens >= 0 ? rounded(digits * 10n ** BigInt(tens), 0, false) : quotient(digits, 10n ** BigInt(-tens))
  return value && (sign === '-' ? { ...value, mantissa: -value.mantissa } : value)
}

/** Undefined when it is too large. */
export function sumOf(a: LongDouble, b: LongDouble): LongDouble | undefined {
  const exponent = Math.min(a.exponent, b.exponent)
  const whole = (each: LongDouble): bigint => each.mantissa << BigInt(each.exponent - exponent)
  return rounded(whole(a) + whole(b), exponent, false)
}

/** Without an exponent, and without zeros at the end. */
export function textOf({ mantissa, exponent }: LongDouble): string {
  const magnitude = (mantissa < 0n ? -mantissa : mantissa) * 10n ** BigInt(fractionDigits)
  const scaled = exponent >= 0 ? magnitude << BigInt(exponent) : halved(magnitude, -exponent, false)
  const digits = String(scaled).padStart(fractionDigits + 1, '0')
  const fraction = digits.slice(-fractionDigits).replace(/0+$/, '')
  const sign = mantissa < 0n && scaled > 0n ? '-' : ''
  return `${sign}${digits.slice(0, -fractionDigits)}${fraction === '' ? '' : `.${fraction}`}`
}

function quotient(dividend: bigint, divisor: bigint): LongDouble | undefined {
  const shift = Math.max(0, bitsOf(divisor) - bitsOf(dividend) + mantissaBits + 2)
  const shifted = dividend << BigInt(shift)
  return rounded(shifted / divisor, -shift, shifted % divisor > 0n)
}

/** `hasMore`: the value is a little larger than that. */
function rounded(value: bigint, exponent: number, hasMore: boolean): LongDouble | undefined {
  const magnitude = value < 0n ? -value : value
  const extra = Math.max(0, bitsOf(magnitude) - mantissaBits)
  const kept = halved(magnitude, extra, hasMore)
  if (bitsOf(kept) + exponent + extra > exponentMax) return undefined
  return { mantissa: value < 0n ? -kept : kept, exponent: exponent + extra }
}

/** The value divided by two so often, rounded to the nearest, and to the even one of two that are as near. */
function halved(value: bigint, times: number, hasMore: boolean): bigint {
  if (times === 0) return value
  const shift = BigInt(times)
  const kept = value >> shift
  const rest = value - (kept << shift)
  const half = 1n << (shift - 1n)
  const isUp = rest > half || (rest === half && (hasMore || (kept & 1n) === 1n))
  return isUp ? kept + 1n : kept
}

function bitsOf(value: bigint): number {
  const digits = value.toString(16)
  return value === 0n ? 0 : digits.length * 4 - Math.clz32(Number.parseInt(digits[0] ?? '0', 16)) + 28
}
