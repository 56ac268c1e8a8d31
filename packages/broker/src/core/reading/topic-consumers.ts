import type { CellClient } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import type { GroupName } from '../groups/requests.ts'
import type { Queues } from '../queues/queues.ts'
import type { ShareGroups } from '../share/share-groups.ts'
import type { SharePartition } from '../share/share-partition.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import type { TopicSubscriber, TopicSubscription } from './contract.ts'
import { GroupReader, type GroupReaderOptions } from './group-reader.ts'
import { LogReader, type ReadFrom } from './log-reader.ts'

export interface TopicConsumersOptions {
  ledger: Ledger
  cell: CellClient
  topics: Topics
  shareGroups: ShareGroups
  queues: Queues
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
}

export interface ShareOptions extends Omit<GroupReaderOptions, 'memberId'> {
  readonly name: string
  readonly deadLetters?: DeadLetterTarget | undefined
  /** However often a record was delivered in vain. */
  readonly neverGivesUp?: boolean
}

/** Where dead letters are published to; with `key` in the place of their own. */
export interface DeadLetterTarget {
  readonly exchange: string
  readonly key?: string | undefined
}

/** How clients of queues consume topics. */
export class TopicConsumers {
  readonly #options: TopicConsumersOptions
  readonly #targets = new WeakMap<SharePartition, DeadLetterTarget>()
  #members = 0

  constructor(options: TopicConsumersOptions) {
    this.#options = options
  }

  /** Every record from where it begins, whoever else reads it. `prefetch` 0: as many as there are. */
  read(
    topic: Topic,
    from: ReadFrom,
    options: { prefetch: number },
    subscriber: TopicSubscriber,
  ): Promise<TopicSubscription> {
    return LogReader.open(this.#options, topic, from, options, subscriber)
  }

  /**
   * Records that no other consumer of the group has, each delivered until it is settled. The group is made by its first consumer. `name` is for
   * people. What is rejected, or delivered in vain too often, goes where the consumer that came last wants it to go. Rejects with `BrokerError`.
   */
  share(
    topic: Topic,
    group: GroupName,
    { name, deadLetters, neverGivesUp = false, ...options }: ShareOptions,
    subscriber: TopicSubscriber,
  ): Promise<TopicSubscription> {
    const { ledger } = this.#options
    const host = {
      ...this.#options,
      after: (delayMs: number, run: () => void) => ledger.clock.after(delayMs, run),
      using: (partition: SharePartition) => {
        partition.givesUp = !neverGivesUp
        this.#bury(partition, topic, deadLetters)
      },
    }
    const memberId = `${name}#${ledger.epoch}.${++this.#members}`
    return GroupReader.open(host, group, topic, { ...options, memberId }, subscriber)
  }

  #bury(partition: SharePartition, { namespace, name }: Topic, target: DeadLetterTarget | undefined): void {
    if (target) this.#targets.set(partition, target)
    if (partition.deadLetters || partition.isClosed || !this.#targets.has(partition)) return
    partition.deadLetters = this.#options.queues.deadLettersOf({
      namespace,
      name,
      cursor: partition.cursor,
      config: () => {
        const { exchange, key } = this.#targets.get(partition) ?? {}
        return { deadLetterExchange: exchange, deadLetterKey: key }
      },
    })
  }
}
