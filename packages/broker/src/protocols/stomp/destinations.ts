import { subjectExchange } from '../../core/routing/exchange.ts'
import { StompError } from './errors.ts'
import { shown } from './headers.ts'

/** Where a destination leads. */
export type Destination =
  /** A queue, or a topic, by its name. `isMade`: a queue that is not there is made. */
  | { readonly kind: 'queue'; readonly name: string; readonly isMade: boolean }
  /** `key` is undefined when the destination names none. */
  | { readonly kind: 'exchange'; readonly exchange: string; readonly key: string | undefined }
  /** A queue, or a subject, of the connection alone. */
  | { readonly kind: 'temporary'; readonly of: 'queue' | 'topic'; readonly name: string }

type Reader = (rest: string) => Destination | undefined

const queue =
  (isMade: boolean): Reader =>
  rest => ({ kind: 'queue', name: decoded(rest), isMade })

const topic: Reader = rest => ({ kind: 'exchange', exchange: subjectExchange, key: subjectPattern(decoded(rest)) })

const temporary =
  (of: 'queue' | 'topic'): Reader =>
  rest => ({ kind: 'temporary', of, name: decoded(rest) })

/** What a destination begins with, and how the rest of it is read. */
const prefixes: readonly (readonly [string, Reader])[] = [
  ['/queue/', queue(true)],
  ['/topic/', topic],
  [
    '/exchange/',
    rest => {
      const at = rest.indexOf('/')
      const exchange = decoded(at < 0 ? rest : rest.slice(0, at))
      // The default exchange is spoken to by `/queue/`.
      if (exchange === '') return undefined
      return { kind: 'exchange', exchange, key: at < 0 ? undefined : decoded(rest.slice(at + 1)) }
    },
  ],
  ['/amq/queue/', queue(false)],
  ['/reply-queue/', queue(false)],
  ['/temp-queue/', temporary('queue')],
  ['/temp-topic/', temporary('topic')],
  ['queue://', queue(true)],
  ['topic://', topic],
]

/** Throws `StompError` that lists what there is. */
export function parseDestination(text: string): Destination {
  for (const [prefix, read] of prefixes) {
    if (!text.startsWith(prefix)) continue
    const found = text.length > prefix.length ? read(text.slice(prefix.length)) : undefined
    if (found) return found
    throw new StompError('invalid_destination', `${shown(text)} names nothing behind ${prefix}`)
  }
  const known = prefixes.map(([prefix]) => prefix).join(' ')
  throw new StompError('unknown_destination', `${shown(text)} is no destination. They begin with one of: ${known}`)
}

/** `>` as the last word stands for the rest, as `#` does. */
function subjectPattern(key: string): string {
  return key === '>' ? '#' : key.endsWith('.>') ? `${key.slice(0, -1)}#` : key
}

/** `%XX` stands for a byte. What does not look like that stands for itself. */
function decoded(text: string): string {
  if (!text.includes('%')) return text
  return text.replaceAll(/(?:%[\dA-Fa-f]{2})+/g, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString())
}

const encoded = (text: string): string => text.replaceAll('%', '%25')

/** Whether what is sent there has a key by which it is routed, that is not the name of a queue. */
export const isRoutedByKey = (text: string): boolean => /^(?:\/topic\/|\/exchange\/|\/temp-topic\/|topic:)/.test(text)

/** How a client names the queue or the topic of that name. */
export const queueDestination = (name: string): string => `/queue/${encoded(name)}`

/** What a message was published to; undefined: to a queue by its name. */
export function publishedTo(exchange: string, key: string): string | undefined {
  if (exchange === '') return undefined
  if (exchange === subjectExchange) return `/topic/${encoded(key)}`
  return `/exchange/${encoded(exchange).replaceAll('/', '%2F')}${key === '' ? '' : `/${encoded(key)}`}`
}

/** An address as other protocols know it: the name of a queue where it is one. */
export function neutralAddress(text: string): string {
  for (const prefix of ['/queue/', '/reply-queue/', '/amq/queue/']) {
    if (text.startsWith(prefix) && text.length > prefix.length) return decoded(text.slice(prefix.length))
  }
  return text
}

/** An address of another protocol as clients can send to it. */
export const ownAddress = (text: string): string => (text.startsWith('/') ? text : queueDestination(text))
