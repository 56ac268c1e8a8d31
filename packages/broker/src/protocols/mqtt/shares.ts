import { createHash } from 'node:crypto'
import type { Broker } from '../../core/broker.ts'
import type { RecordView } from '../../core/cursor/record-view.ts'
import type { SharedPrefetch, Subscription } from '../../core/cursor/subscription.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Attachment, Passing } from '../../core/routing/sink.ts'
import { perBroker } from '../per-broker.ts'
import { bindSubject, ignoreRefusal } from './subscriptions.ts'
import { bindingOf, patternOf, sharePrefix, type Shared } from './topics.ts'

const nameBytesMax = 255
export const shareQueuePrefix = 'mqtt-share-'

/** A name with this prefix, whatever follows: of what does not fit, or cannot be part of a name, a digest. */
export function queueNameOf(prefix: string, rest: string, suffix = ''): string {
  const name = `${prefix}${rest}${suffix}`
  if (Buffer.byteLength(name) <= nameBytesMax && !/\p{Cc}/u.test(name)) return name
  return `${prefix}${createHash('sha256').update(rest).digest('hex')}${suffix}`
}

/** One client that takes part. */
export interface ShareMember {
  /** Whether it may come back: what waits then, waits on the disk. */
  readonly isLasting: boolean
  readonly prefetch: SharedPrefetch
  /** `subscription` settles it. */
  deliver(record: RecordView, deliveryCount: number, subscription: Subscription): void
  /** Without acknowledgement. */
  take(passing: Passing): void
  consuming(subscription: Subscription): void
  /** The queue was removed. */
  ended(subscription: Subscription): void
}

interface Place {
  readonly broker: Broker
  readonly namespace: string
  readonly shared: Shared
}

/**
 * Those who share one filter: each message goes to one of them. It lies in a queue until it is acknowledged: in memory, or on the disk once
 * there is a member that may come back. What need not be kept does not get there then, but to one member after the other.
 */
class ShareGroup {
  readonly #place: Place
  readonly #members = new Map<ShareMember, Set<Subscription>>()
  #attachment: Attachment | undefined
  #turn = 0

  constructor(place: Place) {
    this.#place = place
  }

  get isEmpty(): boolean {
    return this.#members.size === 0
  }

  /** Rejects with `BrokerError`. Decides before it first waits. */
  async join(member: ShareMember): Promise<void> {
    this.leave(member)
    const { broker, namespace } = this.#place
    const isKept = broker.queues.get(namespace, this.#keptName) !== undefined
    const isNewlyKept = member.isLasting && !isKept
    let bound: Promise<void> | undefined
    if (isNewlyKept) bound = this.#beKept()
    else if (!isKept && !broker.queues.get(namespace, this.#volatileName)) bound = this.#make(this.#volatileName, false)
    this.#members.set(member, new Set())
    this.#consume(member)
    if (isKept || isNewlyKept) this.#attach()
    await bound
  }

  leave(member: ShareMember): void {
    const subscriptions = this.#members.get(member)
    if (!subscriptions) return
    this.#members.delete(member)
    for (const subscription of subscriptions) subscription.cancel()
    if (this.#members.size > 0) return
    this.#attachment?.detach()
    this.#attachment = undefined
  }

  /** No client that may come back takes part any more. */
  forget(): void {
    const { broker, namespace } = this.#place
    if (this.#members.size > 0) return
    if (broker.queues.get(namespace, this.#keptName)) {
      broker.queues.remove(namespace, this.#keptName).catch(ignoreRefusal)
    }
  }

  get #keptName(): string {
    const { group, filter } = this.#place.shared
    return queueNameOf(shareQueuePrefix, `${group}/${filter}`)
  }
  get #volatileName(): string {
    const { group, filter } = this.#place.shared
    return queueNameOf(shareQueuePrefix, `${group}/${filter}`, ' (transient)')
  }

  #make(name: string, isDurable: boolean): Promise<void> {
    const { broker, namespace, shared } = this.#place
    const { sessionMessagesMax } = broker.limits
    const config = new Map([
      ['length.max', String(sessionMessagesMax)],
      ['overflow', 'drop-head'],
    ])
    if (isDurable) config.set('persistent.only', 'true')
    broker.queues.make(namespace, name, config, { isDurable, autoDelete: !isDurable })
    return bindSubject(broker, namespace, name, patternOf(shared.filter))
  }

  /** What comes from now on is kept; what is in memory is still given out, and its queue goes with those who are there now. */
  #beKept(): Promise<void> {
    const { broker, namespace, shared } = this.#place
    const bound = this.#make(this.#keptName, true)
    const volatile = this.#volatileName
    if (broker.queues.get(namespace, volatile)) {
      const key = patternOf(shared.filter)
      const binding = { source: subjectExchange, kind: 'queue', destination: volatile, key } as const
      broker.router.unbind(namespace, binding).catch(ignoreRefusal)
    }
    for (const member of this.#members.keys()) this.#consume(member)
    return bound
  }

  #consume(member: ShareMember): void {
    const { broker, namespace } = this.#place
    const { prefetch } = member
    for (const name of [this.#keptName, this.#volatileName]) {
      const queue = broker.queues.get(namespace, name)
      const subscriptions = this.#members.get(member)
      if (!queue || !subscriptions) continue
      if (name === this.#volatileName && broker.queues.get(namespace, this.#keptName)) continue
      const subscription = queue.subscribe(
        { shared: prefetch },
        {
          deliver: (record, count) => member.deliver(record, count, subscription),
          ended: () => {
            subscriptions.delete(subscription)
            member.ended(subscription)
          },
        },
      )
      subscriptions.add(subscription)
      member.consuming(subscription)
    }
  }

  #attach(): void {
    if (this.#attachment) return
    const { broker, namespace, shared } = this.#place
    const { key, pattern } = bindingOf(shared.filter)
    this.#attachment = broker.router.attach(namespace, { take: passing => this.#take(passing) })
    this.#attachment.bind(subjectExchange, key, pattern)
  }

  /** What the queue has left out. */
  #take(passing: Passing): void {
    if (passing.message.isTransient !== true) return
    const members = [...this.#members.keys()]
    members[this.#turn++ % members.length]?.take(passing)
  }
}

/** All groups of a broker. */
export class Shares {
  readonly #broker: Broker
  readonly #groups = new Map<string, ShareGroup>()

  private constructor(broker: Broker) {
    this.#broker = broker
    broker.sessions.ended = ({ namespace, subscriptions }) => {
      for (const filter of subscriptions.keys()) if (filter.startsWith(sharePrefix)) this.#forget(namespace, filter)
    }
    this.#sweep()
  }

  static readonly of = perBroker(broker => new Shares(broker))

  join(namespace: string, shared: Shared, member: ShareMember): Promise<void> {
    const key = keyOf(namespace, shared)
    let group = this.#groups.get(key)
    if (!group) this.#groups.set(key, (group = new ShareGroup({ broker: this.#broker, namespace, shared })))
    return group.join(member)
  }

  /** `isForGood`: the client does not subscribe any more. */
  leave(namespace: string, filter: string, shared: Shared, member: ShareMember, isForGood: boolean): void {
    const key = keyOf(namespace, shared)
    const group = this.#groups.get(key)
    group?.leave(member)
    if (isForGood) this.#forget(namespace, filter)
    if (group?.isEmpty) this.#groups.delete(key)
  }

  /** Removes what is kept for a filter, when nobody shares it any more. */
  #forget(namespace: string, filter: string): void {
    const { sessions } = this.#broker
    if (sessions.list(namespace).some(({ subscriptions }) => subscriptions.has(filter))) return
    const [group = '', ...levels] = filter.slice(sharePrefix.length).split('/')
    const shared = { group, filter: levels.join('/') }
    const found = this.#groups.get(keyOf(namespace, shared))
    if (!found || found.isEmpty) new ShareGroup({ broker: this.#broker, namespace, shared }).forget()
  }

  /** Sessions may have ended while nobody listened here. */
  #sweep(): void {
    const { queues, sessions } = this.#broker
    const wanted = new Set<string>()
    for (const { namespace, subscriptions } of sessions.list()) {
      for (const filter of subscriptions.keys())
        if (filter.startsWith(sharePrefix))
          wanted.add(`${namespace}\0${queueNameOf(shareQueuePrefix, filter.slice(sharePrefix.length))}`)
    }
    for (const { definition } of queues.list()) {
      const { namespace, name, isKept } = definition
      if (!isKept || !name.startsWith(shareQueuePrefix) || wanted.has(`${namespace}\0${name}`)) continue
      queues.remove(namespace, name).catch(ignoreRefusal)
    }
  }
}

const keyOf = (namespace: string, { group, filter }: Shared): string => `${namespace}\0${group}\0${filter}`
