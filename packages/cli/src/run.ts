import { nearest, OptionError } from '@dragoman/broker/options'
import { CommandError, parseCall, UsageError } from './command.ts'
import { commands, type CommandName } from './commands/index.ts'
import { exitCodes } from './exit-codes.ts'

/** Runs one command line; resolves with the exit code, and reports on stderr what went wrong. */
export async function run(args: readonly string[]): Promise<number> {
  // A reader that has seen enough closes the pipe (`dragoman consume … | head`): that is no failure. A broker goes on without
  // its readers.
  const goesOn = args[0] === 'serve'
  process.stderr.on('error', () => {})
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (!goesOn) process.exit(error.code === 'EPIPE' ? exitCodes.done : exitCodes.failed)
  })
  return dispatch(args).catch(report)
}

async function dispatch(args: readonly string[]): Promise<number> {
  if (args.length === 0) return runCommand('help', [])
  if (args[0] === '--help' || args[0] === '-h') return runCommand('help', args.slice(1))
  if (args[0] === '--version') return runCommand('version', args.slice(1))
  const name = findCommand(args)
  const rest = args.slice(name.split(' ').length)
  // Words after `--` are data, not ours.
  const ours = rest.includes('--') ? rest.slice(0, rest.indexOf('--')) : rest
  if (ours.includes('--help') || ours.includes('-h')) return runCommand('help', name.split(' '))
  return runCommand(name, rest)
}

async function runCommand(name: CommandName, args: readonly string[]): Promise<number> {
  const command = await commands[name].load()
  const call = command.raw ? { options: {}, words: args } : parseCall(command, args, process.env)
  return (await command.run(call)) ?? exitCodes.done
}

function findCommand(args: readonly string[]): CommandName {
  const [first = '', second = ''] = args
  for (const name of [`${first} ${second}`, first]) if (Object.hasOwn(commands, name)) return name as CommandName
  const family = Object.keys(commands).filter(name => name.startsWith(`${first} `))
  if (family.length > 0) {
    const seconds = family.map(name => name.slice(first.length + 1))
    throw new UsageError(`dragoman ${first} takes one of ${seconds.join(', ')}${second ? `, not "${second}"` : ''}`)
  }
  const similar = nearest(first, Object.keys(commands))
  throw new UsageError(
    `There is no command "${first}"${similar ? `; did you mean ${similar}?` : ''}; see dragoman help`,
  )
}

function report(error: unknown): number {
  if (error instanceof OptionError) {
    process.stderr.write(`dragoman: ${error.message}\n`)
    return exitCodes.usage
  }
  const expected = error instanceof CommandError || (error instanceof Error && error.name === 'StartError')
  const words = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error)
  process.stderr.write(`dragoman: ${words}\n`)
  return exitCodes.failed
}
