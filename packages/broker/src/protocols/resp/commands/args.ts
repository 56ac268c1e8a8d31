import type { Args } from './command.ts'

/** A key: a character for each byte. */
export const keyArg = (args: Args, at: number): string => args[at]!.toString('latin1')

/** A word of the command's own, in small letters. */
export const word = (args: Args, at: number): string => args[at]?.toString('latin1', 0, 64).toLowerCase() ?? ''
