import { ProtocolError } from '@dragoman/wire'
import type { RecordView } from '../../core/cursor/record-view.ts'
import type { Stamp } from '../../core/queues/stamp.ts'
import type { Connection } from './connection.ts'
import type { Content } from './content.ts'
import { deathFields, deliveryCountField, encodeProperties, envelopeHeadBytes, fromMessage, isOwn } from './mapping.ts'
import type { Properties } from './messages/basic.ts'
import { changed } from './rewriting.ts'
import { PropertyScan } from './scan.ts'

/** A message as a consumer gets it. Its bytes are valid only as long as those of the record. */
export interface Delivered extends Content {
  /** A longer one than fits is left out. */
  readonly exchange: string
  /** The routing key; a longer one than fits is left out. */
  readonly key: Buffer
}

/** Of a short text. */
const shortBytesMax = 255

/** `deliveryCount` is told to the consumer when it is more than 1; undefined: never. */
export function deliveredOf(connection: Connection, record: RecordView, deliveryCount: number | undefined): Delivered {
  const { stamp } = record
  const { exchange } = stamp
  const { key } = record
  return {
    exchange: exchange.length * 3 > shortBytesMax && Buffer.byteLength(exchange) > shortBytesMax ? '' : exchange,
    key: key === null || key.length > shortBytesMax ? noBytes : key,
    properties: propertiesOf(connection, record, stamp, deliveryCount),
    body: record.value ?? noBytes,
  }
}

/** As they were published, where there is nothing to add. */
function propertiesOf(
  connection: Connection,
  record: RecordView,
  stamp: Stamp,
  deliveryCount: number | undefined,
): Buffer {
  const { envelope } = record
  const own = envelope && isOwn(envelope[0], envelope[1]) ? envelope.subarray(envelopeHeadBytes) : undefined
  const properties = own && isSound(own) ? own : encodeProperties(foreignProperties(connection, record, stamp))
  const isRedelivered = deliveryCount !== undefined && deliveryCount > 1
  const hasDied = stamp.deaths.length > 0
  if (!hasDied && !isRedelivered) return properties
  scan.read(properties, 0, properties.length)
  const headers = hasDied ? deathFields(stamp, scan.expiration) : []
  if (isRedelivered) headers.push(deliveryCountField(deliveryCount - 1))
  // It has expired once: it does not do so again.
  return changed(properties, { headers, dropsExpiration: hasDied && stamp.expiresMs < 0 })
}

const scan = new PropertyScan()
/** Mostly the properties are those of the message before. */
let lastSound: Buffer = Buffer.alloc(0)

/** Whoever writes to a topic could have written what passes for properties. */
function isSound(properties: Buffer): boolean {
  if (properties.equals(lastSound)) return true
  try {
    scan.read(properties, 0, properties.length)
    lastSound = Buffer.from(properties)
    return true
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}

/** What another protocol has published. */
function foreignProperties({ broker, context }: Connection, record: RecordView, stamp: Stamp): Properties {
  const { key, value, timestampMs } = record
  const message = broker.origins.messageOf({ key, value, timestampMs, headers: record.headers() })
  if (stamp.expiresMs >= 0) message.expirationMs ??= stamp.expiresMs
  if (message.priority === 0) message.priority = stamp.priority
  return fromMessage(message, context.clock.nowMs()).properties
}

const noBytes = Buffer.alloc(0)
