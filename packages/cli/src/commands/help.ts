import { commandHelp, defineCommand, UsageError, type Command } from '../command.ts'
import { exitCodesHelp } from '../exit-codes.ts'
import { commands, loadAll } from './index.ts'

export const help: Command = defineCommand({
  name: 'help',
  summary: 'Explain a command, or list them all.',
  words: [{ name: 'COMMAND', help: 'The command, as it is typed: topic create.', optional: true, many: true }],
  options: {},
  examples: [['dragoman help topic create', 'Options and examples of one command.']],
  async run({ words }) {
    const all = await loadAll()
    const name = words.join(' ')
    if (name === '') process.stdout.write(`${overview(all)}\n`)
    else if (Object.hasOwn(commands, name)) process.stdout.write(`${pageOf(all, name)}\n`)
    else process.stdout.write(`${family(all, name)}\n`)
    return undefined
  },
})

function pageOf(all: readonly Command[], name: string): string {
  const command = all.find(candidate => candidate.name === name)
  return command ? commandHelp(command) : ''
}

/** `dragoman help topic` lists the commands of topics. */
function family(all: readonly Command[], name: string): string {
  const members = all.filter(command => command.name.startsWith(`${name} `))
  if (members.length === 0) throw new UsageError(`There is no command "${name}"; see dragoman help`)
  return rows(members)
}

function overview(all: readonly Command[]): string {
  return `dragoman: a durable message broker that speaks the protocols people already use

Usage: dragoman COMMAND [ARGUMENT...] [OPTION...]

${rows(all)}

"dragoman help COMMAND" explains one command with examples. The commands that talk to a broker find it by
--broker HOST:PORT or the environment variable DRAGOMAN_BROKER; without either they ask 127.0.0.1:9092.

${exitCodesHelp}`
}

function rows(shown: readonly Command[]): string {
  const width = Math.max(...shown.map(({ name }) => name.length)) + 2
  return shown.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`).join('\n')
}
