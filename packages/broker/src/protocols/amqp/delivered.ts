import type { RecordView } from '../../core/cursor/record-view.ts'
import type { Stamp } from '../../core/queues/stamp.ts'
import type { Connection } from './connection.ts'
import type { Content } from './content.ts'
import {
  decodeProperties,
  encodeProperties,
  envelopeHeadBytes,
  fromMessage,
  isOwn,
  withDeaths,
  withDeliveryCount,
} from './mapping.ts'
import type { Properties } from './messages/basic.ts'

/** A message as a consumer gets it. Its bytes are valid only as long as those of the record. */
export interface Delivered extends Content {
  readonly exchange: string
  /** The routing key; a longer one than fits is left out. */
  readonly key: Buffer
}

const keyBytesMax = 255

/** `deliveryCount` is told to the consumer when it is more than 1; undefined: never. */
export function deliveredOf(connection: Connection, record: RecordView, deliveryCount: number | undefined): Delivered {
  const { stamp } = record
  const { exchange } = stamp
  const { key } = record
  const told = key === null || key.length > keyBytesMax ? noBytes : key
  return {
    exchange,
    key: told,
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
  const isRedelivered = deliveryCount !== undefined && deliveryCount > 1
  if (own && stamp.deaths.length === 0 && !isRedelivered) return own
  let properties = own ? decodeProperties(own) : foreignProperties(connection, record, stamp)
  if (stamp.deaths.length > 0) properties = withDeaths(properties, stamp)
  if (isRedelivered) properties = withDeliveryCount(properties, deliveryCount - 1)
  return encodeProperties(properties)
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
