import { advertisedName, optionTable, tlsName, type ListenerInfo, type Settings, type Values } from './table.ts'
import { environmentOf, flagOf, keyOf, OptionError, type Option } from './option.ts'
import { nearest } from './nearest.ts'
import type { HostPort, ListenAt } from './address.ts'

/** What one source says: the text of each option that it sets, and how to name it in an error. */
export type Given = Map<string, { text: string; origin: string }>

type Table = ReadonlyMap<string, Option<unknown>>

/** Variables with our prefix that are not options of the broker: what the command line's clients read. */
const foreignVariables = new Set(
  ['BROKER', 'USER', 'PASSWORD', 'NEW_PASSWORD', 'MECHANISM', 'TOKEN', 'TLS', 'CA'].map(name => `DRAGOMAN_${name}`),
)
/** Kubernetes sets these for a service that is called `dragoman…`. */
const serviceVariable = /_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_(TCP|UDP)(_.*)?)?)$/

/** Options among command line arguments: `--flag value`, `--flag=value`, and `--switch` alone. */
export function readFlags(table: Table, args: readonly string[]): Given {
  const given: Given = new Map()
  const byFlag = keyed(table, flagOf)
  for (let at = 0; at < args.length; at++) {
    const argument = args[at] ?? ''
    if (!argument.startsWith('--')) throw new OptionError(`Unexpected argument "${argument}": options begin with --`)
    const equals = argument.indexOf('=')
    const flag = equals < 0 ? argument : argument.slice(0, equals)
    const name = byFlag.get(flag) ?? unknownOption(flag, byFlag.keys())
    const kind = table.get(name)?.kind
    if (given.has(name)) throw new OptionError(`${flag} is given twice`)
    if (equals >= 0) given.set(name, { text: argument.slice(equals + 1), origin: flag })
    else if (kind?.placeholder === '') given.set(name, { text: 'true', origin: flag })
    else {
      const value = args[++at]
      if (value === undefined) throw new OptionError(`${flag} needs a value: it takes ${kind?.takes}`)
      given.set(name, { text: value, origin: flag })
    }
  }
  return given
}

export function readEnvironment(table: Table, environment: Readonly<Record<string, string | undefined>>): Given {
  const given: Given = new Map()
  const byVariable = keyed(table, environmentOf)
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith('DRAGOMAN_') || value === undefined) continue
    if (foreignVariables.has(variable) || serviceVariable.test(variable)) continue
    const name = byVariable.get(variable) ?? unknownOption(variable, byVariable.keys())
    given.set(name, { text: value, origin: variable })
  }
  return given
}

/** `content` is what the YAML parser made of the file `path`. */
export function readFile(table: Table, content: unknown, path: string): Given {
  const given: Given = new Map()
  if (content === null || content === undefined) return given
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new OptionError(`${path}: it takes one "key: value" per line`)
  }
  const byKey = keyed(table, keyOf)
  for (const [key, value] of Object.entries(content)) {
    const name = byKey.get(key) ?? unknownOption(`${key} (in ${path})`, byKey.keys(), key)
    if (name === 'config') throw new OptionError(`config (in ${path}): a file cannot name another`)
    given.set(name, { text: scalarText(value, `${key} (in ${path})`), origin: `${key} (in ${path})` })
  }
  return given
}

/** What a program passes: `{ data: 'memory', flushBytes: '64MiB' }`. */
export function readObject(table: Table, options: Readonly<Record<string, unknown>>): Given {
  const given: Given = new Map()
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue
    if (!table.has(name)) unknownOption(name, table.keys())
    given.set(name, { text: scalarText(value, name), origin: name })
  }
  return given
}

/** Flags, then environment, then file, then defaults: `sources` in the order of their rank. */
export function settle(listeners: readonly ListenerInfo[], sources: readonly Given[]): Settings {
  const table = optionTable(listeners)
  const values: Record<string, unknown> = {}
  const asked = new Set<string>()
  for (const [name, { kind, default: fallback }] of table) {
    const source = sources.find(given => given.has(name))?.get(name)
    values[name] = source === undefined ? fallback : parse(source.text, source.origin, kind)
    if (source !== undefined) asked.add(name)
  }
  const only = values.only as readonly string[] | undefined
  const settings: Settings = { ...(values as Values), only, listeners: new Map() }
  for (const { name } of listeners) {
    const isOn = !only || only.includes(name)
    const at = isOn ? (values[name] as ListenAt) : 'off'
    const advertised = values[advertisedName(name)] as HostPort | undefined
    const tls = isOn ? (values[tlsName(name)] as ListenAt) : 'off'
    const tlsAdvertised = values[advertisedName(tlsName(name))] as HostPort | undefined
    settings.listeners.set(name, { at, asked: asked.has(name), advertised, tls, tlsAdvertised })
  }
  return settings
}

function parse(value: string, origin: string, kind: Option<unknown>['kind']): unknown {
  const parsed = kind.parse(value)
  const shown = kind.isSecret ? 'what is given' : `"${value}"`
  if (parsed === undefined) throw new OptionError(`Cannot take ${shown} for ${origin}: it takes ${kind.takes}`)
  return parsed
}

function scalarText(value: unknown, origin: string): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return value.map(item => scalarText(item, origin)).join(',')
  throw new OptionError(
    `Cannot take ${value === null ? 'nothing' : typeof value} for ${origin}: it takes a plain value`,
  )
}

const keyed = (table: Table, key: (name: string) => string): Map<string, string> =>
  new Map([...table.keys()].map(name => [key(name), name]))

function unknownOption(shown: string, known: Iterable<string>, word = shown): never {
  const similar = nearest(word, known)
  throw new OptionError(`There is no option ${shown}${similar ? `; did you mean ${similar}?` : ''}`)
}
