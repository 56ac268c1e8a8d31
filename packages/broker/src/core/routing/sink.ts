import type { QueueMessage } from '../queues/message.ts'

/** A live subscription: takes messages as they pass, and keeps none. What nothing else stores is in no journal: at most once. */
export interface Sink {
  /**
   * A message that a binding leads here, once, however many do. Called in the publisher's turn when nothing stores the message, else when
   * what is stored is durable; each kind in the order in which it was posted. What is passed is valid only during the call.
   *
   * Who is slow is the sink's own affair: it bounds what it keeps.
   */
  take(passing: Passing): void
}

/** A message on its way to sinks: one object for all of them. */
export interface Passing {
  readonly namespace: string
  readonly exchange: string
  /** By which it was routed. */
  readonly key: string
  readonly message: QueueMessage
  readonly timestampMs: number
  /** What `form` makes of it, made once for all sinks that ask. */
  as<T>(form: Form<T>): T
}

/** One for each way in which messages are written: told apart by identity. */
export interface Form<T> {
  make(passing: Passing): T
}

/** How the key of a sink's binding is meant: as bindings of that exchange are, as the whole key, or as a glob over the whole key (`glob.ts`). */
export type KeyPattern = 'binding' | 'literal' | 'glob'

/** A sink's bindings. They are in no list of bindings and do not keep an exchange that goes with its last one; when it goes, they do. */
export interface Attachment {
  /** Of no effect when there is such a binding. Throws `BrokerError` `exchange-not-found`, `access-denied`, `limit-reached`, `request-invalid`. */
  bind(exchange: string, key: string, pattern?: KeyPattern): void
  /** Of no effect when there is none. */
  unbind(exchange: string, key: string, pattern?: KeyPattern): void
  /** Removes all bindings; nothing is taken after it. */
  detach(): void
}
