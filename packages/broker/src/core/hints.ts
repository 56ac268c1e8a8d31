import { BrokerError } from './errors.ts'
import type { Header, HeaderValue } from './message.ts'

/**
 * What clients say of a queue or an exchange that has no counterpart here: it is kept, told again as it was given, and of no effect. A hint is a
 * setting with this prefix before the name of the argument, and a letter for the type before its value.
 */
export const hintPrefix = 'hint.'

const hintBytesMax = 255
const hintsMax = 32
/** Of arguments that nobody knows. */
const strangeBytesMax = 200
const strangeMax = 8

/** A value with its type before it. */
export function hintText(value: HeaderValue): string {
  if (typeof value === 'bigint') return `i${value}`
  return typeof value === 'boolean' ? `t${value}` : `s${String(value)}`
}

export function hintValue(text: string): HeaderValue {
  const rest = text.slice(1)
  if (text.startsWith('i')) return BigInt(rest)
  return text.startsWith('t') ? rest === 'true' : rest
}

/** Adds an argument that nobody knows, if it is small and of a plain type. */
export function keepStrange(settings: Map<string, string>, { name, value }: Header): void {
  if (typeof value !== 'string' && typeof value !== 'bigint' && typeof value !== 'boolean') return
  const text = hintText(value)
  const count = [...settings.keys()].filter(key => key.startsWith(hintPrefix)).length
  if (count < strangeMax && Buffer.byteLength(name) + Buffer.byteLength(text) <= strangeBytesMax) {
    settings.set(`${hintPrefix}${name}`, text)
  }
}

/** The arguments that were kept as hints, but for those that are known by name. */
export function strangeArguments(config: ReadonlyMap<string, string>, isKnown: (name: string) => boolean): Header[] {
  return [...config].flatMap(([setting, text]) => {
    const name = setting.slice(hintPrefix.length)
    return setting.startsWith(hintPrefix) && !isKnown(name) ? [{ name, value: hintValue(text) }] : []
  })
}

/** Throws `BrokerError` `config-invalid` when there are too many hints, or one is too large. */
export function checkHints(config: ReadonlyMap<string, string>): void {
  const hints = [...config].filter(([setting]) => setting.startsWith(hintPrefix))
  const isLarge = hints.some(([setting, text]) => Buffer.byteLength(setting) + Buffer.byteLength(text) > hintBytesMax)
  if (!isLarge && hints.length <= hintsMax) return
  const detail = `there are at most ${hintsMax} hints, each of at most ${hintBytesMax} bytes`
  throw new BrokerError('config-invalid', detail)
}
