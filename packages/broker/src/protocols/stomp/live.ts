import { keptCopy } from '@dragoman/wire'
import type { Counter } from '../../core/connections.ts'
import type { Attachment, Passing, Sink } from '../../core/routing/sink.ts'
import type { Selector } from '../../core/selector/selector.ts'
import type { Connection } from './connection.ts'
import { liveForms } from './delivery.ts'
import { escaped } from './headers.ts'
import { wantsPassing } from './selecting.ts'
import type { Source } from './subscription.ts'

/** A subscription to what is published while it is there. Nothing is kept for it, and nothing acknowledged. */
export class LiveSource implements Source, Sink {
  readonly #connection: Connection
  readonly #prefix: Buffer
  readonly #selector: Selector | undefined
  readonly #attachment: Attachment
  readonly #form
  readonly #lost: Counter
  /** What comes while more waits for the peer is lost to it. */
  readonly #queuedBytesMax: number
  #hasLost = false

  /** Throws `BrokerError`. */
  constructor(
    connection: Connection,
    id: string | undefined,
    { exchange, key }: { exchange: string; key: string },
    selector: Selector | undefined,
  ) {
    const { broker, namespace, version } = connection
    this.#connection = connection
    const prefix = id === undefined ? 'MESSAGE\n' : `MESSAGE\nsubscription:${escaped(id, version)}\n`
    this.#prefix = keptCopy(Buffer.from(prefix))
    this.#selector = selector
    this.#form = liveForms(broker)[version]
    this.#lost = broker.connections.lostBy('stomp')
    this.#queuedBytesMax = broker.limits.subscriberBytesMax
    this.#attachment = broker.router.attach(namespace, this)
    this.#attachment.bind(exchange, key)
  }

  take(passing: Passing): void {
    const connection = this.#connection
    if (this.#selector && !wantsPassing(connection, this.#selector, passing)) return
    if (connection.queuedBytes > this.#queuedBytesMax) return this.#drop()
    connection.write([this.#prefix, passing.as(this.#form)])
  }

  cancel(): void {
    this.#attachment.detach()
  }

  // It cannot be held up: what it does not take is gone.
  ack = nothing
  reject = nothing
  release = nothing
  pause(): void {}
  resume(): void {}

  #drop(): void {
    this.#lost.count++
    if (this.#hasLost) return
    this.#hasLost = true
    const { context } = this.#connection
    context.log('warn', 'A client does not take what is published: messages to it are dropped', {
      remote: context.remote,
    })
  }
}

const nothing = (): number => 0
