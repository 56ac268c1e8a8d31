import type { CommandSpec } from './commands/command.ts'
import { addingCommands } from './streams/adding.ts'
import { groupCommands } from './streams/groups.ts'
import { infoCommands } from './streams/info.ts'
import { pendingCommands } from './streams/pending.ts'
import { rangeCommands } from './streams/ranges.ts'
import { readingCommands } from './streams/reading.ts'
import { removingCommands } from './streams/removing.ts'
import { trimmingCommands } from './streams/trimming.ts'

/** Commands of streams. */
export const streamCommands: readonly CommandSpec[] = [
  ...addingCommands,
  ...trimmingCommands,
  ...rangeCommands,
  ...readingCommands,
  ...groupCommands,
  ...removingCommands,
  ...pendingCommands,
  ...infoCommands,
]
