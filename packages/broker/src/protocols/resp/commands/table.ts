import { streamCommands } from '../streams.ts'
import { keyArg } from './args.ts'
import type { Args, CommandSpec } from './command.ts'
import { connectionCommands } from './connection.ts'
import { genericCommands } from './generic.ts'
import { listCommands } from './lists.ts'
import { listChangeCommands } from './list-changes.ts'
import { pubsubCommands } from './pubsub.ts'
import { catalogue } from './registry.ts'
import { serverCommands } from './server.ts'
import { stringCommands } from './strings.ts'
import { transactionCommands } from './transactions.ts'

/** Every command. */
export const commands: readonly CommandSpec[] = [
  ...connectionCommands,
  ...genericCommands,
  ...stringCommands,
  ...listCommands,
  ...listChangeCommands,
  ...streamCommands,
  ...pubsubCommands,
  ...transactionCommands,
  ...serverCommands,
]

catalogue.fill(commands)

/** The command, or the subcommand, that is meant; or the error that is the answer. */
export function commandOf(args: Args): CommandSpec | string {
  const name = args[0]!.length < 32 ? keyArg(args, 0) : args[0]!.toString('latin1', 0, 128)
  const command = catalogue.named(name)
  if (!command) return unknown(args)
  const { subcommands } = command
  const word = args[1]
  if (subcommands && word) {
    const lower = word.toString('latin1', 0, 128).toLowerCase()
    const found = subcommands.find(sub => sub.name === lower)
    if (!found)
      return `ERR unknown subcommand '${word.toString('latin1', 0, 128)}'. Try ${command.name.toUpperCase()} HELP.`
    return fits(found, args) ? found : wrongCount(`${command.name}|${found.name}`)
  }
  if (!fits(command, args) || !command.run) return wrongCount(command.name)
  return command
}

const fits = ({ arity }: CommandSpec, args: Args): boolean =>
  arity >= 0 ? args.length === arity : args.length >= -arity

const wrongCount = (name: string): string => `ERR wrong number of arguments for '${name}' command`

/** In Redis' words, with as much of the arguments as it tells. */
function unknown(args: Args): string {
  let shown = ''
  for (let at = 1; at < args.length && shown.length < 128; at++) {
    shown += `'${args[at]!.toString('latin1', 0, 128 - shown.length)}' `
  }
  return `ERR unknown command '${args[0]!.toString('latin1', 0, 128)}', with args beginning with: ${shown}`
}
