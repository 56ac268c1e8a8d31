import { flagOf } from '@dragoman/broker/options'
import { defineCommand, UsageError, type Command } from '../command.ts'

const shells = { bash, zsh, fish } as const

export const completion: Command = defineCommand({
  name: 'completion',
  summary: 'Print a completion script for a shell.',
  words: [{ name: 'SHELL', help: 'bash, zsh or fish.', choices: ['bash', 'zsh', 'fish'] }],
  options: {},
  examples: [
    ['source <(dragoman completion bash)', 'In ~/.bashrc.'],
    ['source <(dragoman completion zsh)', 'In ~/.zshrc, after compinit.'],
    ['dragoman completion fish > ~/.config/fish/completions/dragoman.fish', 'Once.'],
  ],
  async run({ words: [shell = ''] }) {
    if (!Object.hasOwn(shells, shell)) throw new UsageError(`There is no completion for "${shell}": bash, zsh or fish`)
    const { loadAll } = await import('./index.ts')
    process.stdout.write(shells[shell as keyof typeof shells](outline(await loadAll())))
    return undefined
  },
})

interface Outline {
  name: string
  summary: string
  /** What its words can be. */
  choices: string[]
  options: { flag: string; help: string; choices: string[]; file: boolean; takesValue: boolean }[]
}

function outline(commands: readonly Command[]): Outline[] {
  return commands.map(({ name, summary, words, options }) => ({
    name,
    summary,
    choices: words.flatMap(({ choices }) => choices ?? []),
    options: Object.entries(options).map(([option, { placeholder, help }]) => ({
      flag: flagOf(option),
      help,
      choices: /^[a-z]+(\|[a-z]+)+$/.test(placeholder) ? placeholder.split('|') : [],
      file: /^(FILE|DIR)/.test(placeholder),
      takesValue: placeholder !== '',
    })),
  }))
}

/** `topic` before its second word. */
const families = (commands: readonly Outline[]): Map<string, Outline[]> =>
  Map.groupBy(commands, ({ name }) => name.split(' ')[0] ?? name)

function bash(commands: readonly Outline[]): string {
  const first = [...families(commands).keys()].join(' ')
  const cases: string[] = []
  for (const [family, members] of families(commands)) {
    const seconds = members.filter(({ name }) => name !== family).map(({ name }) => name.slice(family.length + 1))
    if (seconds.length > 0) cases.push(`    '${family}') words='${seconds.join(' ')}' ;;`)
  }
  for (const { name, choices, options } of commands) {
    cases.push(`    '${name}') words='${[...choices, ...options.map(({ flag }) => flag), '--help'].join(' ')}' ;;`)
  }
  const values = new Set<string>()
  for (const { options } of commands) {
    for (const { flag, choices, file, takesValue } of options) {
      if (choices.length > 0)
        values.add(`    ${flag}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$current")); return ;;`)
      else if (file) values.add(`    ${flag}) COMPREPLY=($(compgen -f -- "$current")); return ;;`)
      else if (takesValue) values.add(`    ${flag}) return ;;`)
    }
  }
  return `_dragoman() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words='' key=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${first}' -- "$current")); return
  fi
  case "$previous" in
${[...values].join('\n')}
  esac
  key=\${COMP_WORDS[1]}
  if [ "$COMP_CWORD" -gt 2 ]; then
    case "$key" in
${[...families(commands)]
  .filter(([, members]) => members.length > 1)
  .map(([family]) => `    ${family}) key="$key \${COMP_WORDS[2]}" ;;`)
  .join('\n')}
    esac
  fi
  case "$key" in
${cases.join('\n')}
  esac
  if [ -n "$words" ] && { [[ "$current" == -* ]] || [[ "$words" != -* ]]; }; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -F _dragoman dragoman
`
}

/** Zsh runs the completion of bash. */
function zsh(commands: readonly Outline[]): string {
  return `autoload -Uz bashcompinit && bashcompinit\n${bash(commands)}`
}

function fish(commands: readonly Outline[]): string {
  const lines = ['complete -c dragoman -f']
  for (const [family, members] of families(commands)) {
    const summary =
      members.length > 1 ? members.map(({ name }) => name.slice(family.length + 1)).join(', ') : members[0]?.summary
    lines.push(`complete -c dragoman -n __fish_use_subcommand -a ${family} -d ${fishQuote(summary ?? '')}`)
    for (const { name, summary: what } of members) {
      if (name === family) continue
      const second = name.slice(family.length + 1)
      const others = members.map(member => member.name.slice(family.length + 1)).join(' ')
      const condition = `__fish_seen_subcommand_from ${family}; and not __fish_seen_subcommand_from ${others}`
      lines.push(`complete -c dragoman -n ${fishQuote(condition)} -a ${second} -d ${fishQuote(what)}`)
    }
  }
  for (const { name, choices: own, options } of commands) {
    const condition = name
      .split(' ')
      .map(word => `__fish_seen_subcommand_from ${word}`)
      .join('; and ')
    if (own.length > 0) lines.push(`complete -c dragoman -n ${fishQuote(condition)} -a ${fishQuote(own.join(' '))}`)
    for (const { flag, help, choices, file, takesValue } of options) {
      const value =
        choices.length > 0 ? ` -xa ${fishQuote(choices.join(' '))}` : file ? ' -rF' : takesValue ? ' -x' : ''
      lines.push(`complete -c dragoman -n ${fishQuote(condition)} -l ${flag.slice(2)}${value} -d ${fishQuote(help)}`)
    }
  }
  return `${lines.join('\n')}\n`
}

const fishQuote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
