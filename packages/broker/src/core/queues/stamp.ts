import {
  bool,
  compactList,
  compactString,
  compile,
  ProtocolError,
  Reader,
  struct,
  u8,
  uvarint,
  varlong,
  Writer,
  type Infer,
} from '@dragoman/wire'
import { envelopeHeader } from '../message.ts'

/**
 * The header in which a record carries what the core knows of a message of a queue: where it was published to, when it expires, how urgent it is,
 * and where it was dead-lettered. It is the first, or the second behind the envelope.
 */
export const stampHeader = '~q'

/** Why a message was taken out of a queue and published again. Written to disk as the index: never reorder. */
export const deathReasons = ['rejected', 'expired', 'maxlen', 'delivery_limit'] as const
export type DeathReason = (typeof deathReasons)[number]

/** That a message was dead-lettered from one queue for one reason, once or more often. */
export interface Death {
  readonly queue: string
  readonly reason: DeathReason
  readonly count: number
  /** The first and the last time, in milliseconds since 1970. */
  readonly firstMs: number
  readonly lastMs: number
  /** What it had been published to before the first time; the default exchange is the empty string. */
  readonly exchange: string
  /** Its routing keys then, but those that are hidden. */
  readonly keys: readonly string[]
  /** Its own time to live then; -1: it had none. */
  readonly ttlMs: number
  /** Of all deaths of the message, this was the first. */
  readonly isFirst: boolean
  /** Somebody has moved the message since, so it counts as published anew. */
  readonly isPast: boolean
}

/** What a message of a queue is published with, all of it optional. */
export interface Stamp {
  /** The exchange that it was published to; the default exchange is the empty string. */
  readonly exchange: string
  /** Routing keys beyond the record's key. */
  readonly keys: readonly string[]
  /** So many of the last of `keys` are for routing alone: neither consumers nor histories are told. */
  readonly hiddenKeyCount: number
  /** From then on it is not delivered, in milliseconds since 1970; -1: never. */
  readonly expiresMs: number
  /** 0 is the default, greater is more urgent. */
  readonly priority: number
  /** The most recent first. */
  readonly deaths: readonly Death[]
  /** Exchanges to which feeds have published it, the oldest first. */
  readonly fed: readonly string[]
}

/** Where the stamp is among the headers of a record; -1: there is none. */
export function stampIndex(headers: readonly { key: string }[]): number {
  if (headers[0]?.key === stampHeader) return 0
  return headers[0]?.key === envelopeHeader && headers[1]?.key === stampHeader ? 1 : -1
}

/** That of a message that has none. */
export const noStamp: Stamp = {
  exchange: '',
  keys: [],
  hiddenKeyCount: 0,
  expiresMs: -1,
  priority: 0,
  deaths: [],
  fed: [],
}

/**
 * Written to disk, behind a version byte: to change it, raise `stampVersion` and keep reading the older ones. The time comes first, so
 * that it is found without reading the rest.
 */
export const stampVersion = 1
export const stampForm = struct({
  expiresMs: varlong,
  priority: uvarint,
  exchange: compactString,
  keys: compactList(compactString),
  hiddenKeyCount: uvarint,
  deaths: compactList(
    struct({
      queue: compactString,
      /** Index in `deathReasons`. */
      reason: u8,
      count: uvarint,
      firstMs: varlong,
      lastMs: varlong,
      exchange: compactString,
      keys: compactList(compactString),
      ttlMs: varlong,
      isFirst: bool,
      isPast: bool,
    }),
  ),
})
const form = compile(stampForm)
/** Comes behind it in the stamps of messages that went through feeds. */
const fedForm = compile(compactList(compactString))

/** Cuts one stamp after the other. */
const writer = new Writer()
/** The stamp that names nothing but an exchange is most often that of the message before. */
let lastExchange = ''
let lastStamp = encode(noStamp)

export function stampBytes(stamp: Stamp): Buffer {
  const { exchange, keys, expiresMs, priority, deaths, fed } = stamp
  if (expiresMs >= 0 || priority !== 0 || keys.length > 0 || deaths.length > 0 || fed.length > 0) return encode(stamp)
  if (exchange !== lastExchange) {
    lastStamp = encode(stamp)
    lastExchange = exchange
  }
  return lastStamp
}

function encode(stamp: Stamp): Buffer {
  if (writer.length > 0) writer.take()
  writer.u8(stampVersion)
  form.write(writer, {
    ...stamp,
    deaths: stamp.deaths.map(death => ({ ...death, reason: deathReasons.indexOf(death.reason) })),
  })
  if (stamp.fed.length > 0) fedForm.write(writer, [...stamp.fed])
  return writer.take()
}

/** Bytes that are no stamp are read as one that says nothing: whoever wrote the header was somebody else. */
export function readStamp(bytes: Buffer): Stamp {
  if (bytes[0] !== stampVersion) return noStamp
  try {
    const reader = new Reader(bytes)
    reader.u8()
    const { deaths, ...rest } = form.read(reader)
    const fed = reader.remaining > 0 ? fedForm.read(reader) : noStamp.fed
    return { ...rest, deaths: deaths.length === 0 ? noStamp.deaths : deaths.flatMap(readDeath), fed }
  } catch (error) {
    if (error instanceof ProtocolError) return noStamp
    throw error
  }
}

type StoredDeath = Infer<typeof stampForm>['deaths'][number]

function readDeath({ reason: index, ...rest }: StoredDeath): Death[] {
  const reason = deathReasons[index]
  return reason === undefined ? [] : [{ ...rest, reason }]
}

/** `expiresMs` of a stamp, without reading the rest of it. */
export function readExpiry(bytes: Buffer): number {
  if (bytes[0] !== stampVersion) return -1
  try {
    const reader = new Reader(bytes)
    reader.u8()
    return reader.varlong()
  } catch (error) {
    if (error instanceof ProtocolError) return -1
    throw error
  }
}

interface RecordHeader<B> {
  readonly key: string
  readonly value: B | null
}

const noHeaders: readonly RecordHeader<Uint8Array>[] = []

/** The headers of a record with the stamp in its place, when it says anything. */
export function withStamp(
  headers: readonly RecordHeader<Uint8Array>[] | undefined,
  stamp: Partial<Stamp>,
): readonly RecordHeader<Uint8Array>[] {
  const given = headers ?? noHeaders
  const at = given[0]?.key === envelopeHeader ? 1 : 0
  // A header that happens to bear its name, where it would be taken for one, stands behind one that says nothing.
  if (isDefault(stamp) && given[at]?.key !== stampHeader) return given
  const own = { key: stampHeader, value: stampBytes(wholeStamp(stamp)) }
  const [first] = given
  return at === 1 && first ? [first, own, ...given.slice(1)] : [own, ...given]
}

const isDefault = ({ exchange = '', keys, expiresMs = -1, priority = 0, deaths, fed }: Partial<Stamp>): boolean =>
  exchange === '' && !keys?.length && expiresMs < 0 && priority === 0 && !deaths?.length && !fed?.length

export const wholeStamp = (stamp: Partial<Stamp>): Stamp => ({
  exchange: stamp.exchange ?? noStamp.exchange,
  keys: stamp.keys ?? noStamp.keys,
  hiddenKeyCount: stamp.hiddenKeyCount ?? noStamp.hiddenKeyCount,
  expiresMs: stamp.expiresMs ?? noStamp.expiresMs,
  priority: stamp.priority ?? noStamp.priority,
  deaths: stamp.deaths ?? noStamp.deaths,
  fed: stamp.fed ?? noStamp.fed,
})
