/**
 * A message between protocols: what each protocol's `mapping.ts` reads from its own form and writes into it. It is made only
 * when one protocol delivers what another one stored. `docs/adr/0002-hub-message.md` says where each property goes.
 *
 * Times are milliseconds since 1970. An absent property is undefined.
 */
export interface Message {
  /** Null means "deleted" to readers that know it, and is an empty body to the others. */
  body: Uint8Array | null
  /** What orders and partitions messages. */
  key: Uint8Array | null
  /** In order; a name may come more than once. */
  headers: Header[]
  contentType: string | undefined
  contentEncoding: string | undefined
  /** Links an answer to its question. */
  correlationId: string | Uint8Array | undefined
  /** An address within the broker. */
  replyTo: string | undefined
  /** 0 is the default, greater is more urgent. */
  priority: number
  /** After this moment, the message is not delivered. */
  expirationMs: number | undefined
  /** Before this moment, the message is not delivered. */
  delayUntilMs: number | undefined
  timestampMs: number
  /** Given by the producer. */
  messageId: string | Uint8Array | undefined
  /** Messages of one group are taken in order by one consumer at a time. */
  groupId: string | undefined
  /** Whether it must survive a restart. */
  persistent: boolean
  /** The producer's own properties, for a consumer of the same protocol. */
  origin: { protocol: string; bytes: Uint8Array } | undefined
}

/**
 * The header in which a record carries the properties that its protocol gave it: a version (u8), the number of the protocol (u8), and then
 * that protocol's own bytes. It is always the first.
 */
export const envelopeHeader = '~'

export interface Header {
  name: string
  value: HeaderValue
}

/** Integers are bigint, doubles are number. */
export type HeaderValue =
  | null
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | Moment
  | readonly HeaderValue[]
  | ReadonlyMap<string, HeaderValue>

export interface Moment {
  readonly timeMs: number
}

/** A message without properties. */
export function newMessage(body: Uint8Array | null, timestampMs: number): Message {
  return {
    body,
    key: null,
    headers: [],
    contentType: undefined,
    contentEncoding: undefined,
    correlationId: undefined,
    replyTo: undefined,
    priority: 0,
    expirationMs: undefined,
    delayUntilMs: undefined,
    timestampMs,
    messageId: undefined,
    groupId: undefined,
    persistent: true,
    origin: undefined,
  }
}

/** What its protocol has put before the headers of a record; undefined when there is nothing. */
export function envelopeIn<B extends Uint8Array>(
  headers: readonly { readonly key: string; readonly value: B | null }[],
): B | undefined {
  const [first] = headers
  return first?.key === envelopeHeader ? (first.value ?? undefined) : undefined
}

/** The value as text, for a target that has no such type. Bytes become base64; lists and maps, JSON. */
export function headerText(value: HeaderValue): string {
  if (value === null) return ''
  if (typeof value === 'string') return value
  if (typeof value !== 'object') return String(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if ('timeMs' in value) return String(value.timeMs)
  return JSON.stringify(plain(value))
}

function plain(value: HeaderValue): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([name, of]) => [name, plain(of)]))
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return value
  if (typeof value === 'bigint' && Number.isSafeInteger(Number(value))) return Number(value)
  return headerText(value)
}
