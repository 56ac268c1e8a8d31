/**
 * Topic names and filters, and what they are in the broker: a topic is the key of a subject, in which `.` stands for `/` and `/` for `.`; of a
 * filter, `+` becomes `*`. [docs/adr/0003]
 */
const topicBytesMax = 0xffff
export const sharePrefix = '$share/'

/** The other way round it is the same. */
export function swapped(text: string): string {
  if (!text.includes('/') && !text.includes('.')) return text
  let out = ''
  let from = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code !== slash && code !== dot) continue
    out += text.slice(from, at) + (code === slash ? '.' : '/')
    from = at + 1
  }
  return out + text.slice(from)
}

const slash = 0x2f
const dot = 0x2e

/** Whether a message may be published to it. [MQTT 5.0, 4.7.1, 4.7.3] */
export const isTopicName = (topic: string): boolean => topic !== '' && !topic.includes('+') && !topic.includes('#')

/** `+` and `#` stand for whole levels, and `#` is the last. */
export function isFilter(filter: string): boolean {
  if (filter === '' || Buffer.byteLength(filter) > topicBytesMax) return false
  if (!filter.includes('+') && !filter.includes('#')) return true
  const levels = filter.split('/')
  return levels.every((level, at) => {
    if (level === '#') return at === levels.length - 1
    return level === '+' || (!level.includes('+') && !level.includes('#'))
  })
}

export const hasWildcards = (filter: string): boolean => filter.includes('+') || filter.includes('#')

/** The binding that leads to who has this filter. It may lead there more than the filter means: see `Filter.matches`. */
export function bindingOf(filter: string): { key: string; pattern: 'binding' | 'literal' } {
  if (!hasWildcards(filter)) return { key: swapped(filter), pattern: 'literal' }
  const levels = filter.split('/').map(level => (level === '+' ? '*' : swapped(level)))
  return { key: levels.join('.'), pattern: 'binding' }
}

/** As a pattern of a topic exchange. */
export const patternOf = (filter: string): string => bindingOf(filter).key

export interface Shared {
  readonly group: string
  readonly filter: string
}

/** The parts of `$share/GROUP/FILTER`; `invalid` when it begins so and is none, undefined when it is no shared one. [MQTT 5.0, 4.8.2] */
export function sharedOf(filter: string): Shared | 'invalid' | undefined {
  if (!filter.startsWith(sharePrefix)) return filter === '$share' ? 'invalid' : undefined
  const end = filter.indexOf('/', sharePrefix.length)
  const group = filter.slice(sharePrefix.length, end < 0 ? undefined : end)
  if (end < 0 || group === '' || group.includes('+') || group.includes('#')) return 'invalid'
  const of = filter.slice(end + 1)
  return isFilter(of) ? { group, filter: of } : 'invalid'
}

/** A filter, ready to be compared with topics. */
export class Filter {
  readonly #text: string
  readonly #levels: readonly string[] | undefined

  constructor(filter: string) {
    this.#text = filter
    this.#levels = hasWildcards(filter) ? filter.split('/') : undefined
  }

  /** Wildcards in the first level do not match a topic that begins with `$`. [MQTT 5.0, 4.7.2] */
  matches(topic: string): boolean {
    const levels = this.#levels
    if (!levels) return topic === this.#text
    if (topic.startsWith('$') && (levels[0] === '+' || levels[0] === '#')) return false
    let at = 0
    for (const level of levels) {
      if (level === '#') return true
      // The topic has fewer levels: only `#` stands for none.
      if (at > topic.length) return false
      const next = topic.indexOf('/', at)
      const end = next < 0 ? topic.length : next
      if (level !== '+' && (level.length !== end - at || !topic.startsWith(level, at))) return false
      at = end + 1
    }
    return at > topic.length
  }
}
