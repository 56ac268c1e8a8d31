/**
 * One option: its name, what it takes, its default, its help. Flag, environment variable and key of the configuration
 * file follow from the name, so that they cannot drift apart: `frameTimeoutMs` is `--frame-timeout`,
 * `DRAGOMAN_FRAME_TIMEOUT` and `frame-timeout`. A trailing `Ms` is dropped because durations are written with a unit.
 */
export interface Option<T> {
  readonly kind: Kind<T>
  readonly default: T
  readonly section: Section
  /** One sentence, for `--help` and the documentation. */
  readonly help: string
}

/** The headings under which options are shown, in this order. */
export const sections = {
  general: 'General',
  listeners: 'Listeners',
  security: 'Users and what they may do',
  tls: 'TLS',
  tokens: 'Tokens',
  topics: 'Topics',
  groups: 'Groups',
  transactions: 'Transactions',
  storage: 'Storage',
  connections: 'Connections',
  limits: 'Limits',
} as const

export type Section = keyof typeof sections

/** What an option takes: text in, value out. Every source (flag, environment, file, code) goes through `parse`. */
export interface Kind<T> {
  /** Shown after the flag: `SIZE`, `fsync|os`. Empty for a switch, which takes no value on the command line. */
  readonly placeholder: string
  /** Ends the sentence "it takes …". */
  readonly takes: string
  /** Undefined when the text is not such a value. */
  parse(text: string): T | undefined
  show(value: T): string
  /** The text must not be repeated in an error. */
  readonly isSecret?: boolean
}

/** An option that does not exist, or a value that it does not take. The message names both. */
export class OptionError extends Error {
  override name = 'OptionError'
}

export const text = (placeholder: string, takes: string): Kind<string> => ({
  placeholder,
  takes,
  parse: value => (value === '' ? undefined : value),
  show: value => value,
})

/** Like `text`, but may be absent. */
export const optionalText = (placeholder: string, takes: string): Kind<string | undefined> => ({
  ...text(placeholder, takes),
  show: value => value ?? '',
})

export const choice = <const C extends string>(...choices: readonly C[]): Kind<C> => ({
  placeholder: choices.join('|'),
  takes: choices.length === 1 ? `${choices[0]}` : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`,
  parse: value => choices.find(known => known === value),
  show: value => value,
})

/** Present or not; in the environment and in a file `true` or `false`. */
export const toggle: Kind<boolean> = {
  placeholder: '',
  takes: 'true or false',
  parse: value => ({ true: true, '1': true, false: false, '0': false })[value],
  show: value => String(value),
}

export const count = (min: number, max: number, placeholder = 'COUNT'): Kind<number> => ({
  placeholder,
  takes: `a whole number from ${min} to ${max}`,
  parse: value => within(/^-?\d{1,15}$/.test(value) ? Number(value) : NaN, min, max),
  show: value => String(value),
})

const sizeUnits: Record<string, number> = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 }

/** Bytes: `1048576`, `64MiB`. */
export const size = (min: number, max: number): Kind<number> => ({
  placeholder: 'SIZE',
  takes: `a size from ${showSize(min)} to ${showSize(max)}, in bytes or with KiB, MiB, GiB or TiB`,
  parse: value => within(withUnit(value, sizeUnits), min, max),
  show: showSize,
})

const timeUnits: Record<string, number> = { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds: `500`, `500ms`, `30s`, `5m`, `2h`, `7d`. */
export const duration = (min: number, max: number): Kind<number> => ({
  placeholder: 'TIME',
  takes: `a time from ${showDuration(min)} to ${showDuration(max)}, in milliseconds or with ms, s, m, h or d`,
  parse: value => within(withUnit(value, timeUnits), min, max),
  show: showDuration,
})

/** Names with commas between them; undefined when not given. */
export const names = (known: readonly string[]): Kind<readonly string[] | undefined> => ({
  placeholder: 'NAME,NAME',
  takes: `names with commas between them, of ${known.join(', ')}`,
  parse: value => {
    const list = value.split(',').map(name => name.trim())
    return list.every(name => known.includes(name)) ? list : undefined
  },
  show: value => value?.join(',') ?? '',
})

function within(value: number, min: number, max: number): number | undefined {
  return value >= min && value <= max ? value : undefined
}

function withUnit(value: string, units: Record<string, number>): number {
  const match = /^(\d{1,15})([A-Za-z]*)$/.exec(value)
  const unit = match ? Object.keys(units).find(name => name.toLowerCase() === match[2]?.toLowerCase()) : undefined
  return unit === undefined ? NaN : Number(match?.[1]) * (units[unit] ?? NaN)
}

export const showSize = (value: number): string => show(value, sizeUnits)
export const showDuration = (value: number): string => show(value, timeUnits)

/** With the largest unit that divides it. */
function show(value: number, units: Record<string, number>): string {
  if (value === 0) return '0'
  let best = ''
  for (const [unit, factor] of Object.entries(units)) if (value % factor === 0) best = unit
  return `${value / (units[best] ?? 1)}${best}`
}

const dashed = (name: string): string =>
  name.replace(/Ms$/, '').replaceAll(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)

export const flagOf = (name: string): string => `--${dashed(name)}`
export const environmentOf = (name: string): string => `DRAGOMAN_${dashed(name).replaceAll('-', '_').toUpperCase()}`
export const keyOf = (name: string): string => dashed(name)
