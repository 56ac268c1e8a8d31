import type { CellClient } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import type { GroupName } from '../groups/requests.ts'
import type { ShareGroups } from '../share/share-groups.ts'
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
  /** Calls `run` in a later turn, after what is waiting already. */
  soon(run: () => void): void
}

/** How clients of queues consume topics. */
export class TopicConsumers {
  readonly #options: TopicConsumersOptions
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
   * people. Rejects with `BrokerError`.
   */
  share(
    topic: Topic,
    group: GroupName,
    { name, ...options }: Omit<GroupReaderOptions, 'memberId'> & { name: string },
    subscriber: TopicSubscriber,
  ): Promise<TopicSubscription> {
    const { ledger } = this.#options
    const host = { ...this.#options, after: (delayMs: number, run: () => void) => ledger.clock.after(delayMs, run) }
    const memberId = `${name}#${ledger.epoch}.${++this.#members}`
    return GroupReader.open(host, group, topic, { ...options, memberId }, subscriber)
  }
}
