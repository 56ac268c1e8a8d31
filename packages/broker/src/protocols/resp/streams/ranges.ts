import { idAfter, partMax } from '../../../core/entry-streams/entry-id.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { boundArg, idBefore } from './ids.ts'
import { afterOwn, gather, streamAt, worked } from './stream-client.ts'

/** Commands that read entries from one id to another. */
export const rangeCommands: readonly CommandSpec[] = [
  {
    name: 'xrange',
    arity: -4,
    flags: ['readonly'],
    keys: [1, 1, 1],
    since: '5.0.0',
    group: 'stream',
    summary: 'Tells entries from one id to another.',
    run: (client, args) => range(client, args, false),
    prepare: afterOwn,
  },
  {
    name: 'xrevrange',
    arity: -4,
    flags: ['readonly'],
    keys: [1, 1, 1],
    since: '5.0.0',
    group: 'stream',
    summary: 'Tells entries from one id back to another.',
    run: (client, args) => range(client, args, true),
    prepare: afterOwn,
  },
]

function range(client: Client, args: Args, isBack: boolean): void {
  const { reply } = client
  const low = boundArg(args[isBack ? 3 : 2]!, 0)
  const high = boundArg(args[isBack ? 2 : 3]!, partMax)
  const from = low.isOpen ? idAfter(low.id) : low.id
  if (!from) throw new CommandError('ERR invalid start ID for the interval')
  const to = high.isOpen ? idBefore(high.id) : high.id
  if (!to) throw new CommandError('ERR invalid end ID for the interval')
  let countMax = Infinity
  for (let at = 4; at < args.length; at += 2) {
    if (word(args, at) !== 'count' || at + 1 >= args.length) throw syntaxError()
    countMax = Math.max(0, integerArg(args[at + 1]))
  }
  const stream = streamAt(client, keyArg(args, 1))
  if (!stream) return reply.array(0)
  if (countMax === 0) return reply.nilArray()
  afterOwn(client)
  worked(client, () => gather(client, stream, { from, to, countMax, isBack })).write()
}
