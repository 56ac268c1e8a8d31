import type { Header } from '../message.ts'
import type { MappedRecord } from '../origins.ts'
import { routingKeysOf } from '../queues/deaths.ts'
import type { Republishing } from '../queues/dead-letters.ts'
import type { QueueMessage } from '../queues/message.ts'
import type { Publisher } from './publisher.ts'
import type { Destination } from './place.ts'
import type { Resolver } from './resolver.ts'

interface RepublisherOptions {
  resolver: Resolver
  publisher: Publisher
  /** What a record's headers are to those who route by them. */
  headersOf(record: MappedRecord): readonly Header[]
}

/** Routes messages that were in a queue before, and appends them within the call. */
export class Republisher implements Republishing {
  readonly #options: RepublisherOptions

  constructor(options: RepublisherOptions) {
    this.#options = options
  }

  destinations(
    namespace: string,
    exchange: string,
    message: QueueMessage,
    timestampMs: number,
  ): readonly Destination[] {
    const { resolver } = this.#options
    const headersOf = (): readonly Header[] => this.#headersOf(message, timestampMs)
    return resolver.lookUpAll(namespace, exchange, routingKeysOf(message), headersOf)
  }

  refusal(destination: Destination, message: QueueMessage): 'later' | 'never' | undefined {
    return this.#options.publisher.refusal(destination, message)
  }

  append(destination: Destination, message: QueueMessage): boolean {
    const [key = ''] = routingKeysOf(message)
    return this.#options.publisher.post([destination], key, message).error === undefined
  }

  /** Made only when a route depends on them. */
  #headersOf({ key = null, value, headers = [] }: QueueMessage, timestampMs: number): readonly Header[] {
    const buffer = (bytes: Uint8Array | null): Buffer | null =>
      bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    return this.#options.headersOf({
      key: buffer(key),
      value: buffer(value),
      headers: headers.map(header => ({ key: header.key, value: buffer(header.value) })),
      timestampMs,
    })
  }
}
