import { CommandError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { word } from './args.ts'
import type { Args } from './command.ts'

/** When something ends: so much later, or at that time. */
export interface Expiry {
  /** As it is written: it may be none that is allowed. */
  readonly text: Buffer | undefined
  readonly unitMs: number
  readonly isAbsolute: boolean
}

const units: Readonly<Record<string, Omit<Expiry, 'text'>>> = {
  ex: { unitMs: 1000, isAbsolute: false },
  px: { unitMs: 1, isAbsolute: false },
  exat: { unitMs: 1000, isAbsolute: true },
  pxat: { unitMs: 1, isAbsolute: true },
}

/** `EX seconds` and the like at that place; undefined when it is something else. */
export function expiryOption(args: Args, at: number): Expiry | undefined {
  const unit = units[word(args, at)]
  if (!unit || at + 1 >= args.length) return undefined
  return { ...unit, text: args[at + 1] }
}

/** In milliseconds since 1970. Throws `CommandError` when it is not above 0 or too large. */
export function expiryMs({ text, unitMs, isAbsolute }: Expiry, nowMs: number, command: string): number {
  const value = integerArg(text)
  const ms = value * unitMs + (isAbsolute ? 0 : nowMs)
  if (value <= 0 || ms >= 2 ** 63) throw new CommandError(`ERR invalid expire time in '${command}' command`)
  return Math.min(ms, Number.MAX_SAFE_INTEGER)
}
