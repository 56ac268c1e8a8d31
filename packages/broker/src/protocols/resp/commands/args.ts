import type { Args } from './command.ts'

/** Keys that were asked for lately: most commands are about few of them, and to make a text of bytes takes longer than to compare them. */
const slots = 64
const knownBytes: (Buffer | undefined)[] = new Array<Buffer | undefined>(slots)
const knownTexts: string[] = new Array<string>(slots).fill('')
const knownBytesMax = 32

/** A key: a character for each byte. */
export function keyArg(args: Args, at: number): string {
  const bytes = args[at]!
  const { length } = bytes
  if (length > knownBytesMax || length === 0) return bytes.toString('latin1')
  const slot = (length + 7 * bytes[0]! + 13 * bytes[length - 1]! + 31 * bytes[length >>> 1]!) % slots
  const known = knownBytes[slot]
  if (known?.length === length) {
    let same = 0
    while (same < length && known[same] === bytes[same]) same++
    if (same === length) return knownTexts[slot]!
  }
  knownBytes[slot] = Buffer.from(bytes)
  return (knownTexts[slot] = bytes.toString('latin1'))
}

/** A word of the command's own, in small letters. */
export const word = (args: Args, at: number): string => args[at]?.toString('latin1', 0, 64).toLowerCase() ?? ''
