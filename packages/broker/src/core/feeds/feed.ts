import { isUtf8 } from 'node:buffer'
import type { Header } from '../message.ts'
import type { MappedRecord } from '../origins.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { noStamp, type Stamp } from '../queues/stamp.ts'
import type { Ledger } from '../../cell/machine.ts'
import type { TopicSubscriber, TopicSubscription } from '../reading/contract.ts'
import type { TopicConsumers } from '../reading/topic-consumers.ts'
import { atomically, unlessFenced } from '../refusals.ts'
import type { Router } from '../routing/router.ts'
import type { Topic } from '../topic.ts'

export interface FeedHost {
  readonly ledger: Ledger
  readonly topicConsumers: TopicConsumers
  readonly router: Router
  /** Whether there is room for more; see `Cell`. */
  readonly pressure: { readonly saturated: boolean; onRelief(run: () => void): void }
  headersOf(record: MappedRecord): readonly Header[]
  log(level: 'info' | 'warn', message: string, fields?: Record<string, unknown>): void
}

/** What is published where. */
export interface FeedDefinition {
  readonly namespace: string
  readonly name: string
  readonly topic: string
  readonly exchange: string
}

/** Records that were given to a feed and have not gone. They go at once, unless nothing can be taken now. */
const heldMax = 256
/** A record goes through so many feeds at the most. */
const passagesMax = 64
/** What cannot be done now is tried again after this. */
const retryMs = 1000

/**
 * Publishes each new record of a topic to an exchange: by its key, or by the topic's name if it has none that is text. That it has gone is in the block of what was published.
 *
 * No feed publishes a record to an exchange where it was already: not what came to the topic by that exchange, nor what a feed has published there before. So it cannot go round for ever.
 */
export class Feed implements TopicSubscriber {
  readonly definition: FeedDefinition
  readonly topicId: string
  readonly #host: FeedHost
  readonly #ended: () => void
  /** In the place of a key. */
  readonly #topicKey: Buffer
  #source: TopicSubscription | undefined
  #isHeld = false
  #isOver = false
  #cancelRetry: (() => void) | undefined

  // The record that is being published; nothing is made anew for each.
  #record: RecordView | undefined
  #stamp = noStamp
  #ticket = -1
  #hasGone = false
  readonly #keys = ['']

  /** `ended` is called when the topic is gone. */
  constructor(host: FeedHost, definition: FeedDefinition, topic: Topic, ended: () => void) {
    this.#host = host
    this.definition = definition
    this.topicId = topic.id
    this.#ended = ended
    this.#topicKey = Buffer.from(definition.topic)
    void this.#open(topic)
  }

  async #open(topic: Topic): Promise<void> {
    const { namespace } = this.definition
    const group = { namespace, group: groupOf(this.definition) }
    const options = { name: '~feed', prefetch: heldMax, neverGivesUp: true }
    try {
      const source = await this.#host.topicConsumers.share(topic, group, options, this)
      if (this.#isOver) source.cancel()
      else this.#source = source
    } catch (error) {
      if (this.#isOver) return
      this.#host.log('warn', 'A feed cannot read its topic, and tries again', { ...this.definition, error })
      this.#cancelRetry = this.#host.ledger.clock.after(retryMs, () => void this.#open(topic))
    }
  }

  close(): void {
    this.#isOver = true
    this.#cancelRetry?.()
    this.#source?.cancel()
  }

  deliver(record: RecordView, _partition: number, ticket: number): void {
    const source = this.#source
    if (!source || this.#isOver) return
    if (!this.#isHeld && this.#host.pressure.saturated) this.#holdUntilRelief(source)
    if (this.#isHeld) return void source.release(ticket)
    const { stamp } = record
    if (this.#wasThere(stamp)) return void source.ack(ticket)
    this.#record = record
    this.#stamp = stamp
    this.#ticket = ticket
    unlessFenced(this.#pass)
    this.#record = undefined
  }

  ended(): void {
    if (this.#isOver) return
    this.close()
    this.#ended()
  }

  #wasThere({ exchange, fed }: Stamp): boolean {
    if (exchange === this.definition.exchange || fed.includes(this.definition.exchange)) return true
    if (fed.length < passagesMax) return false
    this.#host.log('warn', `A record has gone through ${passagesMax} feeds and goes no further`, { ...this.definition })
    return true
  }

  readonly #pass = (): void => {
    const source = this.#source
    if (!source) return
    this.#hasGone = false
    atomically(this.#host.ledger, this.#publishAndAck)
    if (this.#hasGone) return
    this.#hold(source)
    source.release(this.#ticket)
  }

  readonly #publishAndAck = (): void => {
    const record = this.#record
    this.#hasGone = record !== undefined && this.#publish(record)
    if (this.#hasGone) this.#source?.ack(this.#ticket)
  }

  /** False: nothing can be taken now, and nothing has changed. A place that refuses it for another reason goes without. */
  #publish(record: RecordView): boolean {
    const { namespace, exchange } = this.definition
    const { router } = this.#host
    const known = router.get(namespace, exchange)
    if (!known || known.internal) return false
    const key = record.key?.length && isUtf8(record.key) ? record.key : this.#topicKey
    const word = key.toString()
    this.#keys[0] = word
    const destinations = router.lookUp(namespace, exchange, this.#keys, this.#headers)
    const { expiresMs, priority, deaths } = this.#stamp
    const fed = [...this.#stamp.fed, exchange]
    const message = { key, value: record.value, headers: record.headers(), exchange, expiresMs, priority, deaths, fed }
    const { error } = router.postTo(destinations, word, message)
    return error !== 'storage-full' && error !== 'shutting-down'
  }

  readonly #headers = (): readonly Header[] => {
    if (!this.#record) return []
    const { key, value, timestampMs } = this.#record
    return this.#host.headersOf({ key, value, headers: this.#record.headers(), timestampMs })
  }

  #hold(source: TopicSubscription): void {
    this.#isHeld = true
    source.pause()
    this.#cancelRetry = this.#host.ledger.clock.after(retryMs, () => this.#goOn(source))
  }

  #holdUntilRelief(source: TopicSubscription): void {
    this.#isHeld = true
    source.pause()
    this.#host.pressure.onRelief(() => this.#goOn(source))
  }

  #goOn(source: TopicSubscription): void {
    if (this.#isOver) return
    this.#isHeld = false
    source.resume()
  }
}

/** The group that remembers how far the feed has come. */
export const groupOf = ({ name }: FeedDefinition): string => `~feed ${name}`
