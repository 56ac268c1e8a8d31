import type { Address, Network } from '../runtime/runtime.ts'

/**
 * What a protocol's `conformance.ts` shows of its driver, so that the tests over all protocols can use it: a message with the
 * properties that protocols share, places to put it, and taking it out again.
 */
export interface Conformance {
  /** The places that its clients can publish to and consume from. */
  readonly places: readonly Place[]
  /** Places of other protocols that its clients reach all the same. */
  readonly reaches?: readonly Place[]
  /** Those whose messages are handed out one by one, and again when they were not settled. */
  readonly settles: readonly Place[]
  /** The properties that it has a place for; it loses the others. [ADR 0002] */
  readonly carries: readonly Property[]
  /** The same for a place where it is otherwise. */
  readonly carriesIn?: Readonly<Partial<Record<Place, readonly Property[]>>>
  /** Names of a place that are unusual, and good. */
  names(place: Place): readonly string[]
  bodyBytesMax(place: Place): number
  connect(network: Network, address: Address): Promise<ConformanceClient>
}

/**
 * Kept by retention and read by many; handed out once; handed out once, by number and priority; shown to those who have declared before that they
 * want to have it.
 */
export type Place = 'topic' | 'queue' | 'tube' | 'subject'

export const properties = [
  'key',
  'headers',
  'contentType',
  'contentEncoding',
  'correlationId',
  'replyTo',
  'messageId',
  'groupId',
] as const

export type Property = (typeof properties)[number]

export interface SharedMessage extends Partial<Record<Exclude<Property, 'headers'>, string>> {
  body: Buffer
  headers?: Readonly<Record<string, string>>
}

export interface ConformanceClient {
  /** Makes the place, unless it is there; of a subject, what this protocol's clients consume from. */
  declare(place: Place, name: string): Promise<void>
  /** Resolves when the message is durable. */
  publish(place: Place, name: string, message: SharedMessage): Promise<void>
  /** Begins with the first message that is left, or, of a topic, with the first behind the last that was settled. */
  consume(place: Place, name: string): Promise<ConformanceConsumer>
  /** As if the client had died. */
  cut(): void
}

export interface ConformanceConsumer {
  /** Waits for the next message. */
  next(): Promise<Taken>
}

export interface Taken {
  readonly message: SharedMessage
  /** Undefined where clients are not told. */
  readonly redelivered: boolean | undefined
  /** Resolves when it cannot come again, as far as the protocol lets its clients know. */
  settle(): Promise<void>
}
