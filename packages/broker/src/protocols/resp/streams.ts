import type { CommandSpec } from './commands/command.ts'

/** Commands of streams. */
export const streamCommands: readonly CommandSpec[] = []
