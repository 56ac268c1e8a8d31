import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import type { Namespaces } from '../namespaces/namespaces.ts'
import type { ShareGroups } from '../share/share-groups.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import { Feed, groupOf, type FeedDefinition, type FeedHost } from './feed.ts'

export interface FeedsOptions extends FeedHost {
  readonly topics: Topics
  readonly namespaces: Namespaces
  readonly shareGroups: ShareGroups
}

/** Under which component they are kept among the parameters of namespaces. */
const component = 'feed'

/**
 * Which topics are published to exchanges. Definitions are parameters of namespaces; how far each has come is the position of a group. Methods that change something
 * decide before they first wait, and resolve when that is durable.
 */
export class Feeds {
  readonly #options: FeedsOptions
  readonly #running = new Map<string, Feed>()
  #isClosed = false

  constructor(options: FeedsOptions) {
    this.#options = options
    options.topics.watchCreated(topic => this.#begin(topic))
  }

  /** Those that are defined begin. */
  resume(): void {
    for (const definition of this.list()) this.#start(definition)
  }

  close(): void {
    this.#isClosed = true
    for (const feed of this.#running.values()) feed.close()
    this.#running.clear()
  }

  /** Of one namespace, or of all. */
  list(namespace?: string): FeedDefinition[] {
    return this.#options.namespaces.parameters(namespace, component).map(({ value, ...of }) => {
      const { topic, exchange } = JSON.parse(value) as { topic: string; exchange: string }
      return { namespace: of.namespace, name: of.name, topic, exchange }
    })
  }

  /** From now on, what comes to the topic is published to the exchange, both of which may come later. Rejects with `BrokerError`. */
  async set(definition: FeedDefinition): Promise<void> {
    const { namespace, name, topic, exchange } = definition
    if (topic === '' || exchange === '') throw new BrokerError('request-invalid', 'a feed has a topic and an exchange')
    if (Buffer.byteLength(name) > nameBytesMax) {
      throw new BrokerError('request-invalid', `the name of a feed has at most ${nameBytesMax} bytes`)
    }
    const known = this.#named(namespace, name)
    if (known && known.topic !== topic) {
      throw new BrokerError('request-invalid', `the feed ${quote(name)} is one of the topic ${quote(known.topic)}`)
    }
    const value = JSON.stringify({ topic, exchange })
    const kept = this.#options.namespaces.setParameter({ namespace, component, name, value })
    this.#stop(namespace, name)
    this.#start(definition)
    await kept
  }

  /** Resolves with whether it was there. */
  async remove(namespace: string, name: string): Promise<boolean> {
    const { namespaces, topics, shareGroups } = this.#options
    const known = this.#named(namespace, name)
    if (!known) return false
    this.#stop(namespace, name)
    await namespaces.removeParameter(namespace, component, name)
    const topic = topics.get(namespace, known.topic)
    if (topic) await shareGroups.forget({ namespace, group: groupOf(known) }, topic.id)
    return true
  }

  #named(namespace: string, name: string): FeedDefinition | undefined {
    return this.list(namespace).find(feed => feed.name === name)
  }

  #begin(topic: Topic): void {
    if (this.#options.namespaces.parameters(topic.namespace, component).length === 0) return
    for (const definition of this.list(topic.namespace)) if (definition.topic === topic.name) this.#start(definition)
  }

  #start(definition: FeedDefinition): void {
    const { namespace, name } = definition
    const topic = this.#options.topics.get(namespace, definition.topic)
    const key = keyOf(namespace, name)
    if (!topic || this.#isClosed || this.#running.get(key)?.topicId === topic.id) return
    this.#stop(namespace, name)
    const feed: Feed = new Feed(this.#options, definition, topic, () => {
      if (this.#running.get(key) === feed) this.#running.delete(key)
    })
    this.#running.set(key, feed)
  }

  #stop(namespace: string, name: string): void {
    const key = keyOf(namespace, name)
    this.#running.get(key)?.close()
    this.#running.delete(key)
  }
}

const nameBytesMax = 200

const keyOf = (namespace: string, name: string): string => `${namespace}\0${name}`
