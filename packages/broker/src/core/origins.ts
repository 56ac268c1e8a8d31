import assert from 'node:assert/strict'
import type { StoredRecord } from '../storage/record-batch.ts'
import { entryMarkHeader } from './entry-streams/entry-mark.ts'
import { envelopeHeader, envelopeIn, newMessage, type Message } from './message.ts'
import { readStamp, stampIndex } from './queues/stamp.ts'

/** A stored record as mappings read it, wherever it lies. */
export type MappedRecord = Omit<StoredRecord, 'offset'>

/** What a protocol tells of the records that it writes. */
export interface Origin {
  /** The folder's name. */
  readonly protocol: string
  /** Names the protocol in envelopes. Written to disk: never reuse. */
  readonly number: number
  /** It also reads records without an envelope. True for one of all. */
  readonly isPlain?: boolean
  /** The record as a message between protocols. Never throws: bytes that are no envelope of its own are a header like any other. */
  toMessage(record: MappedRecord): Message
}

/** The record as a message of which no more is known than the record says, for mappings: its headers are headers, whatever they hold. */
export function bareMessage({ key, value, headers, timestampMs }: MappedRecord): Message {
  const message = newMessage(value, timestampMs)
  message.key = key
  for (const header of headers) message.headers.push({ name: header.key, value: header.value })
  return message
}

/** Reads records whoever wrote them, so that no protocol has to know another. */
export class Origins {
  readonly #plain: Origin
  readonly #byNumber = new Map<number, Origin>()

  constructor(all: readonly Origin[]) {
    const plain = all.filter(({ isPlain }) => isPlain)
    assert(plain[0] && plain.length === 1, 'One protocol reads records without an envelope')
    this.#plain = plain[0]
    for (const origin of all) {
      assert(!this.#byNumber.has(origin.number), `Two protocols have the number ${origin.number}`)
      this.#byNumber.set(origin.number, origin)
    }
  }

  /** Whose mapping reads the record. */
  of({ headers }: MappedRecord): Origin {
    const number = envelopeIn(headers)?.[1]
    return (number === undefined ? undefined : this.#byNumber.get(number)) ?? this.#plain
  }

  /** What the core itself knows of a message holds where its protocol says nothing. */
  messageOf(record: MappedRecord): Message {
    const origin = this.of(record)
    const headers = withoutMark(record.headers)
    const at = stampIndex(headers)
    const bytes = headers[at]?.value
    if (!bytes) return origin.toMessage(headers === record.headers ? record : { ...record, headers })
    const message = origin.toMessage({ ...record, headers: headers.toSpliced(at, 1) })
    const { expiresMs, priority, deaths } = readStamp(bytes)
    // What its publisher said of its time is over for one that was dead-lettered.
    if (deaths.length > 0) message.expirationMs = undefined
    if (expiresMs >= 0) message.expirationMs ??= expiresMs
    if (message.priority === 0) message.priority = priority
    return message
  }
}

/** The ids of entries are the business of their stream. */
function withoutMark(headers: MappedRecord['headers']): MappedRecord['headers'] {
  const at = headers[0]?.key === envelopeHeader ? 1 : 0
  return headers[at]?.key === entryMarkHeader ? headers.toSpliced(at, 1) : headers
}
