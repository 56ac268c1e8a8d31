import { flagOf, nearest, OptionError, type Kind } from '@dragoman/broker/options'

/** One flag of a command: what it takes, and how the values that were given become the command's. */
export interface Parameter<T> {
  readonly placeholder: string
  readonly takes: string
  readonly help: string
  /** Shown in the help; empty when there is nothing to show. */
  readonly shown: string
  readonly repeatable: boolean
  /** Environment variable that is asked when the flag is not given. */
  readonly environment?: string
  /** The heading above it in the help. */
  readonly section?: string
  read(texts: readonly string[], origin: string): T
}

/** `...` after its name: any number. */
export interface Word {
  readonly name: string
  readonly help: string
  readonly optional?: boolean
  readonly many?: boolean
  /** What it can be, for completion. */
  readonly choices?: readonly string[]
}

type Parameters = Readonly<Record<string, Parameter<unknown>>>
type ValuesOf<P extends Parameters> = { [K in keyof P]: P[K] extends Parameter<infer T> ? T : never }

export interface Call<P extends Parameters> {
  readonly options: ValuesOf<P>
  readonly words: readonly string[]
}

/** A command of the command line: one file in `commands/`, one line in `commands/index.ts`. */
export interface Command<P extends Parameters = Parameters> {
  /** As it is typed: `topic create`. */
  readonly name: string
  readonly summary: string
  readonly words: readonly Word[]
  readonly options: P
  readonly examples: readonly (readonly [line: string, what: string])[]
  /** Its arguments are not sorted into options and words: `words` holds them all. The broker's own table reads them. */
  readonly raw?: boolean
  /** More to know, below the options. */
  readonly notes?: string
  /** Resolves with the exit code; undefined is 0. */
  run(call: Call<P>): Promise<number | undefined>
}

export const defineCommand = <P extends Parameters>(command: Command<P>): Command<P> => command

/** The command line is wrong: exit code 2. */
export class UsageError extends OptionError {
  override name = 'UsageError'
}

/** The command could not do what it was asked: exit code 1. The message says why, in words for its user. */
export class CommandError extends Error {
  override name = 'CommandError'
}

export const option = <T>(kind: Kind<T>, value: NoInfer<T>, help: string, environment?: string): Parameter<T> => ({
  placeholder: kind.placeholder,
  takes: kind.takes,
  help,
  shown: kind.placeholder === '' ? '' : kind.show(value),
  repeatable: false,
  ...(environment === undefined ? {} : { environment }),
  read: (texts, origin) => (texts[0] === undefined ? value : readOne(kind, texts[0], origin)),
})

/** Absent unless given. */
export const optional = <T>(kind: Kind<T>, help: string, environment?: string): Parameter<T | undefined> => ({
  ...describe(kind, help),
  repeatable: false,
  ...(environment === undefined ? {} : { environment }),
  read: (texts, origin) => (texts[0] === undefined ? undefined : readOne(kind, texts[0], origin)),
})

export const required = <T>(kind: Kind<T>, help: string): Parameter<T> => ({
  ...describe(kind, help),
  repeatable: false,
  read: (texts, origin) => {
    if (texts[0] === undefined) throw new UsageError(`${origin} is needed: it takes ${kind.takes}`)
    return readOne(kind, texts[0], origin)
  },
})

/** May be given several times. */
export const repeated = <T>(kind: Kind<T>, help: string): Parameter<readonly T[]> => ({
  ...describe(kind, help),
  repeatable: true,
  read: (texts, origin) => texts.map(text => readOne(kind, text, origin)),
})

function describe<T>(kind: Kind<T>, help: string): Pick<Parameter<T>, 'placeholder' | 'takes' | 'help' | 'shown'> {
  return { placeholder: kind.placeholder, takes: kind.takes, help, shown: '' }
}

function readOne<T>(kind: Kind<T>, value: string, origin: string): T {
  const parsed = kind.parse(value)
  const shown = kind.isSecret ? 'what is given' : `"${value}"`
  if (parsed === undefined) throw new UsageError(`Cannot take ${shown} for ${origin}: it takes ${kind.takes}`)
  return parsed
}

/** Sorts arguments into options and words. Everything after `--` is a word; so is `-`. */
export function parseCall<P extends Parameters>(
  command: Command<P>,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Call<P> {
  const names = new Map(Object.keys(command.options).map(name => [flagOf(name), name]))
  const given = new Map<string, string[]>()
  const words: string[] = []
  for (let at = 0; at < args.length; at++) {
    const argument = args[at] ?? ''
    if (argument === '--') {
      words.push(...args.slice(at + 1))
      break
    }
    if (!argument.startsWith('-') || argument === '-') {
      words.push(argument)
      continue
    }
    const equals = argument.indexOf('=')
    const flag = equals < 0 ? argument : argument.slice(0, equals)
    const name = names.get(flag) ?? unknownFlag(command.name, flag, names.keys())
    const parameter = command.options[name]
    const texts = given.get(name) ?? []
    if (texts.length > 0 && !parameter?.repeatable) throw new UsageError(`${flag} is given twice`)
    if (equals >= 0) texts.push(argument.slice(equals + 1))
    else if (parameter?.placeholder === '') texts.push('true')
    else {
      const value = args[++at]
      if (value === undefined) throw new UsageError(`${flag} needs a value: it takes ${parameter?.takes}`)
      texts.push(value)
    }
    given.set(name, texts)
  }
  checkWords(command, words)
  return { options: readValues(command.options, given, environment), words }
}

function readValues<P extends Parameters>(
  parameters: P,
  given: ReadonlyMap<string, readonly string[]>,
  environment: Readonly<Record<string, string | undefined>>,
): ValuesOf<P> {
  const values: Record<string, unknown> = {}
  for (const [name, parameter] of Object.entries(parameters)) {
    const variable = parameter.environment === undefined ? undefined : environment[parameter.environment]
    const texts = given.get(name)
    if (texts === undefined && variable !== undefined)
      values[name] = parameter.read([variable], parameter.environment ?? '')
    else values[name] = parameter.read(texts ?? [], flagOf(name))
  }
  return values as ValuesOf<P>
}

function checkWords({ name, words: expected }: Pick<Command, 'name' | 'words'>, words: readonly string[]): void {
  const least = expected.filter(word => !word.optional).length
  const most = expected.some(word => word.many) ? Infinity : expected.length
  if (words.length < least)
    throw new UsageError(`${expected[words.length]?.name} is missing; see dragoman help ${name}`)
  if (words.length > most) throw new UsageError(`Unexpected "${words[most]}"; see dragoman help ${name}`)
}

function unknownFlag(command: string, flag: string, known: Iterable<string>): never {
  const similar = nearest(flag, known)
  throw new UsageError(
    `dragoman ${command} has no option ${flag}${similar ? `; did you mean ${similar}?` : `; see dragoman help ${command}`}`,
  )
}

/** The command's page of help. */
export function commandHelp(
  command: Pick<Command, 'name' | 'summary' | 'words' | 'options' | 'examples' | 'notes'>,
): string {
  const words = command.words.map(({ name, optional: may, many }) =>
    may ? `[${name}${many ? '...' : ''}]` : `${name}${many ? '...' : ''}`,
  )
  const options = Object.entries(command.options)
  const usage = ['dragoman', command.name, ...words, ...(options.length > 0 ? ['[OPTION...]'] : [])].join(' ')
  const lines = [command.summary, '', `Usage: ${usage}`]
  if (command.words.length > 0) lines.push('', ...command.words.map(({ name, help }) => `  ${name}\n      ${help}`))
  for (const [section, own] of Map.groupBy(options, ([, parameter]) => parameter.section ?? 'Options')) {
    lines.push('', `${section}:`, ...own.map(([name, parameter]) => optionHelp(name, parameter)))
  }
  if (command.notes) lines.push('', command.notes)
  lines.push('', 'Examples:', ...command.examples.map(([line, what]) => `  ${line}\n      ${what}`))
  return lines.join('\n')
}

function optionHelp(name: string, { placeholder, shown, help, repeatable, environment }: Parameter<unknown>): string {
  const head = `  ${`${flagOf(name)} ${placeholder}`.trimEnd()}${shown === '' ? '' : `  (${shown})`}`
  const more = [repeatable ? 'May be given several times.' : '', environment ? `Environment: ${environment}.` : '']
  return `${head}\n      ${[help, ...more].filter(Boolean).join(' ')}`
}
