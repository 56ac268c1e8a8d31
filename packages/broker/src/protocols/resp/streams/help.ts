import type { CommandSpec } from '../commands/command.ts'

/** The subcommand that tells about the others, in these lines. */
export const helpOf = (lines: readonly string[]): CommandSpec => ({
  name: 'help',
  arity: 2,
  flags: ['loading', 'stale'],
  since: '5.0.0',
  group: 'stream',
  summary: 'Tells what there is.',
  isVolatile: true,
  run({ reply }) {
    reply.array(lines.length)
    for (const line of lines) reply.simple(line)
  },
})
