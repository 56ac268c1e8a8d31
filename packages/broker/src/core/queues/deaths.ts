import type { DropReason } from '../cursor/cursor.ts'
import type { RecordView } from '../cursor/record-view.ts'
import type { QueueMessage } from './message.ts'
import { noStamp, type Death, type DeathReason, type Stamp } from './stamp.ts'

/** Deaths of one message that are remembered; beyond that, the oldest but the first are forgotten. */
const deathsMax = 64
/** Characters of the keys of one death that are remembered, but for the first key. */
const keyCharactersMax = 4096

/** Of the reasons for which messages are dropped, those for which they are dead-lettered. */
const reasonOfDrop: Partial<Record<DropReason, DeathReason>> = {
  rejected: 'rejected',
  expired: 'expired',
  'over-length': 'maxlen',
  'delivery-limit': 'delivery_limit',
}
export const dropOfDeath: Readonly<Record<DeathReason, DropReason>> = {
  rejected: 'rejected',
  expired: 'expired',
  maxlen: 'over-length',
  delivery_limit: 'delivery-limit',
}
export const deathOfDrop = (reason: DropReason): DeathReason | undefined => reasonOfDrop[reason]

/** Where and why a message leaves a queue, and where it goes. */
export interface Departure {
  readonly queue: string
  readonly reason: DeathReason
  readonly nowMs: number
  /** The exchange that it is published to. */
  readonly exchange: string
  /** By which key; undefined: by its own. */
  readonly key: string | undefined
}

/** The parts of a message that its death changes nothing of, and those that it does. */
export interface Dying {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: NonNullable<QueueMessage['headers']>
  readonly timestampMs: number
  readonly stamp: Stamp
}

export const dyingOf = (record: RecordView): Dying => {
  const { key, value, timestampMs, stamp } = record
  return { key, value, headers: record.headers(), timestampMs, stamp }
}

/** The message as it is published again: with its history, and without a time of its own to live, lest it expires wherever it goes. */
export function letterOf(of: Dying, departure: Departure): QueueMessage {
  const { stamp, value, headers } = of
  const { exchange, key } = departure
  const own = key === undefined
  return {
    key: own ? of.key : Buffer.from(key),
    value,
    headers,
    exchange,
    keys: own ? stamp.keys : noStamp.keys,
    hiddenKeyCount: own ? stamp.hiddenKeyCount : 0,
    priority: stamp.priority,
    deaths: recorded(of, departure),
    fed: stamp.fed,
  }
}

/** The history with one more death in front. */
function recorded(of: Dying, { queue, reason, nowMs }: Departure): Death[] {
  const { deaths, exchange, expiresMs } = of.stamp
  const known = deaths.find(death => death.queue === queue && death.reason === reason)
  const death = known
    ? { ...known, count: known.count + 1, lastMs: nowMs, isPast: false }
    : {
        queue,
        reason,
        count: 1,
        firstMs: nowMs,
        lastMs: nowMs,
        exchange,
        keys: keysOf(of),
        ttlMs: expiresMs < 0 ? -1 : Math.max(0, expiresMs - of.timestampMs),
        isFirst: deaths.length === 0,
        isPast: false,
      }
  const others = deaths.filter(other => other !== known)
  if (others.length < deathsMax) return [death, ...others]
  const first = others.findLastIndex(({ isFirst }) => !isFirst)
  return [death, ...others.toSpliced(first, 1)]
}

/** The first routing keys that are told, as many as a history remembers. */
function keysOf({ key, stamp: { keys, hiddenKeyCount } }: Dying): string[] {
  const told = [textOf(key), ...keys.slice(0, keys.length - hiddenKeyCount)]
  let characters = 0
  const end = told.findIndex(each => (characters += each.length) > keyCharactersMax)
  return end < 0 ? told : told.slice(0, Math.max(1, end))
}

const textOf = (key: Uint8Array | null | undefined): string =>
  key ? Buffer.from(key.buffer, key.byteOffset, key.length).toString() : ''

/** All keys by which a message is routed. */
export const routingKeysOf = ({ key, keys = noStamp.keys }: QueueMessage): readonly string[] => [textOf(key), ...keys]

/**
 * Whether a message with that history comes to the queue once more without anybody having rejected or moved it since: then it would go round for
 * ever.
 */
export function isCycle(queue: string, deaths: readonly Death[]): boolean {
  for (const { queue: source, reason, isPast } of deaths) {
    if (isPast || reason === 'rejected') return false
    if (source === queue) return true
  }
  return false
}
