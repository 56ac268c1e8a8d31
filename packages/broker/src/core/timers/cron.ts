import { ZoneTime } from './zone-time.ts'

/** What is wrong with an expression, in words. */
export class CronError extends Error {
  override name = 'CronError'
}

interface Field {
  readonly what: string
  readonly min: number
  readonly max: number
  readonly names?: readonly string[]
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']

/** In the order in which they are written. Names stand for the numbers from `min` on. */
const fields: readonly Field[] = [
  { what: 'second', min: 0, max: 59 },
  { what: 'minute', min: 0, max: 59 },
  { what: 'hour', min: 0, max: 23 },
  { what: 'day of the month', min: 1, max: 31 },
  { what: 'month', min: 1, max: 12, names: months },
  { what: 'day of the week', min: 0, max: 7, names: weekdays },
]

const words: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 1 1 *'],
  ['@annually', '0 0 1 1 *'],
  ['@monthly', '0 0 1 * *'],
  ['@weekly', '0 0 * * 0'],
  ['@daily', '0 0 * * *'],
  ['@midnight', '0 0 * * *'],
  ['@hourly', '0 * * * *'],
])

const lengthMax = 256
const secondMs = 1000
const dayMs = 86_400_000
/** A day that does not come within so many years does not come. */
const yearsMax = 100

/**
 * Times that come again and again, in the standard form of five fields (minute, hour, day of the month, month, day of the week) or six
 * (seconds first): `*`, numbers, names, ranges `a-b`, steps `/n`, lists. When both days are restricted, either will do.
 *
 * Where the clocks are put forward, what falls into the gap comes right behind it. Where they are put back, what has an hour of its own comes
 * the first time only, and what comes in every hour comes in both.
 */
export class Cron {
  readonly #sets: readonly (readonly boolean[])[]
  readonly #isEitherDay: boolean
  readonly #isHourly: boolean
  readonly #zone: ZoneTime

  /** Throws `CronError`, also when the time would never come. */
  constructor(expression: string, timeZone: string) {
    const zone = ZoneTime.of(timeZone)
    if (!zone) throw new CronError(`there is no time zone ${JSON.stringify(timeZone.slice(0, 80))}`)
    this.#zone = zone
    const parts = partsOf(expression)
    this.#sets = fields.map((field, at) => setOf(field, parts[at] ?? ''))
    this.#isEitherDay = !isOpen(parts[3] ?? '') && !isOpen(parts[5] ?? '')
    this.#isHourly = this.#set(2).every(Boolean)
    if (this.#nextLocal(Date.UTC(2000, 0, 1)) === undefined) throw new CronError('there is no such day')
  }

  /** The first time after `afterMs`, in milliseconds since 1970; Infinity when none comes within a hundred years. */
  next(afterMs: number): number {
    return this.#isHourly ? this.#nextHourly(afterMs) : this.#nextFixed(afterMs)
  }

  #set(field: number): readonly boolean[] {
    return this.#sets[field] ?? []
  }

  /** By what the clocks show: each time that they show has one moment. */
  #nextFixed(afterMs: number): number {
    let local = this.#zone.localOf(afterMs)
    for (;;) {
      const wanted = this.#nextLocal(local)
      if (wanted === undefined) return Infinity
      local = wanted
      const moment = this.#zone.momentOf(local)
      if (moment > afterMs) return moment
      local += secondMs
    }
  }

  /** Through time as it passes, so that an hour that comes twice counts twice. */
  #nextHourly(afterMs: number): number {
    const zone = this.#zone
    let moment = (Math.floor(afterMs / secondMs) + 1) * secondMs
    for (;;) {
      const local = zone.localOf(moment)
      const wanted = this.#nextLocal(local)
      if (wanted === undefined) return Infinity
      if (wanted === local) return moment
      // As far as the clocks are not changed, and then over the change.
      let step = wanted - local
      while (step > secondMs && zone.localOf(moment + step) !== local + step) step = halfOf(step)
      moment += step
    }
  }

  /** The first that is not before `local`, milliseconds since 1970 as the clocks show it. */
  #nextLocal(local: number): number | undefined {
    let at = Math.ceil(local / secondMs) * secondMs
    const end = new Date(local).getUTCFullYear() + yearsMax
    for (;;) {
      const date = new Date(at)
      const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
      if (year > end) return undefined
      if (this.#set(4)[month + 1] !== true) at = Date.UTC(year, month + 1, 1)
      else if (!this.#isDay(day, date.getUTCDay())) at = Date.UTC(year, month, day + 1)
      else {
        const inDay = this.#nextInDay(date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds())
        const midnight = Date.UTC(year, month, day)
        if (inDay !== undefined) return midnight + inDay
        at = midnight + dayMs
      }
    }
  }

  #isDay(day: number, weekday: number): boolean {
    const isDay = this.#set(3)[day] === true
    const isWeekday = this.#set(5)[weekday] === true
    return this.#isEitherDay ? isDay || isWeekday : isDay && isWeekday
  }

  /** Milliseconds since midnight. */
  #nextInDay(hour: number, minute: number, second: number): number | undefined {
    const [seconds, minutes, hours] = [this.#set(0), this.#set(1), this.#set(2)]
    const first = (set: readonly boolean[], from: number): number => set.indexOf(true, from)
    const told = (h: number, m: number, s: number): number => ((h * 60 + m) * 60 + s) * secondMs
    if (hours[hour] === true) {
      if (minutes[minute] === true && first(seconds, second) >= 0) return told(hour, minute, first(seconds, second))
      const later = first(minutes, minute + 1)
      if (later >= 0) return told(hour, later, first(seconds, 0))
    }
    const later = first(hours, hour + 1)
    return later < 0 ? undefined : told(later, first(minutes, 0), first(seconds, 0))
  }
}

const halfOf = (step: number): number => Math.max(secondMs, Math.floor(step / 2 / secondMs) * secondMs)

/** The six fields. */
function partsOf(expression: string): string[] {
  if (expression.length > lengthMax) throw new CronError(`it is longer than ${lengthMax} characters`)
  const text = expression.trim().toLowerCase()
  const parts = (words.get(text) ?? text).split(/\s+/)
  if (parts.length === 5) return ['0', ...parts]
  if (parts.length === 6) return parts
  throw new CronError(`it has ${text === '' ? 0 : parts.length} fields, not five or six`)
}

const isOpen = (part: string): boolean => part.startsWith('*') || part === '?'

/** Which numbers a field allows. */
function setOf(field: Field, part: string): boolean[] {
  const { what, min, max } = field
  const set = Array.from({ length: max + 1 }, () => false)
  const wrong = (): CronError => new CronError(`${JSON.stringify(part.slice(0, 40))} is no ${what}`)
  for (const item of part.split(',')) {
    const match = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d{1,4}))?$/.exec(item)
    if (!match) throw wrong()
    const [, from = '', to, step] = match
    const isAll = from === '*' || from === '?'
    if ((isAll && to !== undefined) || (from === '?' && !what.startsWith('day'))) throw wrong()
    const first = isAll ? min : numberOf(field, from)
    const open = isAll || step !== undefined ? Math.min(max, what.endsWith('week') ? 6 : max) : first
    const last = to === undefined ? open : numberOf(field, to)
    const by = step === undefined ? 1 : Number(step)
    if (!(first >= min && first <= last && last <= max && by >= 1)) throw wrong()
    for (let number = first; number <= last; number += by) set[number] = true
  }
  // Sunday is the first day, and the last.
  if (max === 7 && set[7] === true) set[0] = true
  return set
}

/** NaN for what is none. */
function numberOf({ min, names }: Field, text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text)
  const at = names?.indexOf(text) ?? -1
  return at < 0 ? NaN : at + min
}
