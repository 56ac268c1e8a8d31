import type { QueueMessage } from '../queues/message.ts'
import type { Destination, SinkPlace } from './place.ts'
import type { Form, Passing } from './sink.ts'

/** `Passing`, used again for one message after the other. */
class Passage implements Passing {
  namespace = ''
  exchange = ''
  key = ''
  message: QueueMessage = nothing
  timestampMs = 0
  readonly #forms: Form<unknown>[] = []
  readonly #made: unknown[] = []

  as<T>(form: Form<T>): T {
    const at = this.#forms.indexOf(form)
    if (at >= 0) return this.#made[at] as T
    const made = form.make(this)
    this.#forms.push(form)
    this.#made.push(made)
    return made
  }

  clear(): void {
    this.message = nothing
    this.#forms.length = 0
    this.#made.length = 0
  }
}

const nothing: QueueMessage = { value: null, headers: [] }

/** Shows messages to sinks. */
export class Passages {
  /** Undefined while it is in use: a sink may publish. */
  #idle: Passage | undefined = new Passage()

  /** Shows the message to those destinations from `first` on, which are all sinks. */
  show(destinations: readonly Destination[], first: number, key: string, message: QueueMessage, nowMs: number): void {
    const passage = this.#idle ?? new Passage()
    this.#idle = undefined
    passage.namespace = destinations[first]!.namespace
    passage.exchange = message.exchange ?? ''
    passage.key = key
    passage.message = message
    passage.timestampMs = nowMs
    try {
      for (let at = first; at < destinations.length; at++) (destinations[at] as SinkPlace).sink?.take(passage)
    } finally {
      passage.clear()
      this.#idle = passage
    }
  }
}

/** Where the sinks begin, which are behind all others. */
export function firstSink(destinations: readonly Destination[]): number {
  let at = destinations.length
  while (at > 0 && destinations[at - 1]!.kind === 'sink') at--
  return at
}

/** For who shows it after its publisher's turn. */
export function keptMessage(message: QueueMessage): QueueMessage {
  const { key = null, value, headers } = message
  const kept = headers?.map(header => ({ key: header.key, value: header.value && Buffer.from(header.value) }))
  return {
    ...message,
    key: key && Buffer.from(key),
    value: value && Buffer.from(value),
    ...(kept && { headers: kept }),
  }
}
