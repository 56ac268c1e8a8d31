import type { RecordId } from './history.ts'

/** What an attempt came to: `done`, the code of a refusal (`unreachable`: it was not sent), or undefined when nobody knows. */
export type Outcome = string | undefined

export interface Binding {
  readonly source: string
  readonly kind: 'queue' | 'exchange' | 'topic'
  readonly destination: string
  readonly key: string
}

export interface MessageTraits {
  readonly priority: number
  /** Undefined: it does not expire. */
  readonly ttlMs: number | undefined
}

/** A way to queues and exchanges: what a client can ask for, whatever it speaks. */
export interface QueuePort {
  /** What was not answered may still be done, even when the broker goes on. */
  readonly isRemote: boolean
  /** `config`: settings by their neutral names. */
  declareQueue(name: string, config: ReadonlyMap<string, string>): Promise<Outcome>
  deleteQueue(name: string): Promise<Outcome>
  purge(name: string): Promise<Outcome>
  declareExchange(name: string, kind: 'direct' | 'fanout' | 'topic'): Promise<Outcome>
  bind(binding: Binding): Promise<Outcome>
  unbind(binding: Binding): Promise<Outcome>
  /** `unrouted`: it led nowhere. Those that are sent without waiting keep their order. */
  publish(exchange: string, key: string, id: RecordId, traits: MessageTraits): Promise<Outcome>
  consume(queue: string, prefetch: number, sink: DeliverySink): Promise<Consuming | Outcome>
  /** Which connection is used now: what was sent by an older one may come late, or never. */
  readonly connection: number
  /** Goes as a client that has crashed. */
  drop(): void
}

export interface DeliverySink {
  deliver(delivery: Delivery): void
}

export interface Delivery {
  readonly id: RecordId
  /** By which it is settled. */
  readonly tag: number
  readonly redelivered: boolean
  /** In which life of the broker it was sent. */
  readonly life: number
}

export interface Consuming {
  /** The consumer is known to be gone, with all that it held. */
  readonly isOver: boolean
  /** `done` when that is durable. `all`: `tags`, which ascend, are all that it holds up to the last of them. */
  settle(tags: readonly number[], how: 'ack' | 'requeue' | 'reject', all: boolean): Promise<Outcome>
  /** What it holds may still be settled, or is returned: that is for the port to say. */
  cancel(): Promise<void>
}
