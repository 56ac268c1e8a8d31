import assert from 'node:assert/strict'
import type { Codec, Random } from '@dragoman/wire'
import type { StreamId } from '../cell/client.ts'
import { machineKinds, type Ledger } from '../cell/machine.ts'
import type { CompactionPolicy, Retention } from '../cell/options.ts'
import {
  DirectoryMachine,
  factOf,
  factTypes,
  identified,
  overridden,
  overrideScopes,
  partitionsAdded,
  producerIdBlock,
  producerIdsReserved,
  settingsOf,
  topicConfigured,
  topicCreated,
  topicDeleted,
  type OverrideScope,
  type TopicPartition,
} from './directory.ts'
import { BrokerError } from './errors.ts'
import type { Limits } from './limits.ts'
import { checkQueueName, checkTopicName, quote } from './names.ts'
import { atomically, durably } from './refusals.ts'
import { smallerBound, type Policies } from './policies/policies.ts'
import { checkOverrides, overrideOf, type RuntimeSettingName } from './overrides.ts'
import { checkTopicConfig, topicConfig, type TopicSettings } from './topic-config.ts'
import type { Topic } from './topic.ts'

export interface TopicsOptions {
  limits: Limits
  random: Random
  /** Partitions of a topic that is created without saying how many. */
  partitionsDefault?: number
  /** Whether asking for a topic that is not there may create it, where a protocol has such a habit. */
  autoCreate?: boolean
}

export interface NewTopic {
  partitions?: number | undefined
  config?: ReadonlyMap<string, string> | undefined
  /** Checks everything and changes nothing. The answer has the nil id and no streams of its own. */
  validateOnly?: boolean | undefined
  /** The name may be that of a queue: not all protocols can write it, and those that cannot do not see the topic. */
  anyName?: boolean | undefined
}

const nilId = '0'.repeat(32)

/**
 * The front door of the directory: decides, writes the fact, answers when it is durable. All methods that change something
 * take their decision before they first wait, hence in the order of the calls, and reject with `BrokerError`.
 *
 * What `get`, `list` and the others show may not be durable yet; an answer built on it waits for `settle()`.
 */
export class Topics {
  /** 16 bytes, the same for the life of the data. */
  readonly clusterId: Buffer
  readonly partitionsDefault: number
  readonly autoCreate: boolean
  /** They may bound what is kept. */
  policies: Policies | undefined
  readonly #ledger: Ledger
  readonly #machine: DirectoryMachine
  readonly #limits: Limits
  readonly #random: Random
  readonly #creationWatchers: ((topic: Topic) => void)[] = []
  readonly #beforeRemove: ((topic: Topic, isRenamed: boolean) => void)[] = []
  readonly #partitionWatchers = new Set<(topic: Topic) => void>()
  #producerIdNext: number
  #changedSeq = 0
  /** Facts of the directory that are not durable yet. */
  #unsettled = 0

  /** Over a cell that has been recovered. Writes the cluster's identity when the data has none yet. */
  static async open(ledger: Ledger, options: TopicsOptions): Promise<Topics> {
    const topics = new Topics(ledger, options)
    await topics.settle()
    return topics
  }

  private constructor(ledger: Ledger, { limits, random, partitionsDefault = 1, autoCreate = true }: TopicsOptions) {
    const machine = ledger.machine(machineKinds.directory)
    assert(machine instanceof DirectoryMachine)
    this.#ledger = ledger
    this.#machine = machine
    this.#limits = limits
    this.#random = random
    this.partitionsDefault = partitionsDefault
    this.autoCreate = autoCreate
    if (machine.clusterId === '') this.#write(factTypes.identified, identified, { clusterId: this.#newId() })
    this.clusterId = Buffer.from(machine.clusterId, 'hex')
    this.#producerIdNext = machine.producerIdBlocks * producerIdBlock
  }

  get(namespace: string, name: string): Topic | undefined {
    return this.#machine.get(namespace, name)
  }

  /**
   * Another topic whose name differs in nothing but dots and underscores: for protocols whose tools write both the same. One of
   * them, should there be more.
   */
  similarTo(namespace: string, name: string): Topic | undefined {
    return this.#machine.similarTo(namespace, name)
  }

  byId(id: string): Topic | undefined {
    return this.#machine.byId(id)
  }

  /** Topics of one namespace, or of all, oldest first within a namespace. */
  list(namespace?: string): Topic[] {
    return this.#machine.list(namespace)
  }

  /** Which partition of which topic a stream is; undefined for streams that belong to no topic. */
  ofStream(stream: StreamId): TopicPartition | undefined {
    return this.#machine.ofStream(stream)
  }

  /** How long and how much of a topic's stream is kept; undefined for streams that belong to no topic. */
  retentionOf(stream: StreamId): Retention | undefined {
    const place = this.#machine.ofStream(stream)
    if (place === undefined) return undefined
    const settings = topicConfig(place.topic)
    const { deletes, compacts } = settings.cleanupPolicy
    const bounds = this.policies?.retentionOf(place.topic.namespace, place.topic.name)
    return {
      ms: deletes ? smallerBound(settings.retentionMs, bounds?.ms ?? -1) : -1,
      bytes: deletes ? smallerBound(settings.retentionBytes, bounds?.bytes ?? -1) : -1,
      ...(compacts ? { compaction: compactionOf(settings) } : {}),
    }
  }

  /** Changes whenever a topic is made or removed or gets more partitions. */
  get revision(): number {
    return this.#machine.revision
  }

  /** Whether all that `get` and the others show is durable. */
  get settled(): boolean {
    return this.#unsettled === 0
  }

  /** Resolves when all that `get` and the others show now is durable. */
  async settle(): Promise<void> {
    if (this.#unsettled > 0) await durably(this.#ledger, this.#changedSeq)
  }

  async create(namespace: string, name: string, options: NewTopic = {}): Promise<Topic> {
    const topic = this.make(namespace, name, options)
    if (options.validateOnly !== true) await durably(this.#ledger, this.#changedSeq)
    return topic
  }

  /** The same at once; what is told of it waits for `settle()`, or for anything that is written after this. Throws `BrokerError`. */
  make(namespace: string, name: string, options: NewTopic = {}): Topic {
    const { partitions: count = this.partitionsDefault, config = new Map(), validateOnly = false } = options
    if (options.anyName === true) checkQueueName(name)
    else checkTopicName(name)
    if (this.get(namespace, name) !== undefined) throw new BrokerError('topic-exists', quote(name))
    if (this.#machine.queues.get(namespace, name)) throw new BrokerError('topic-exists', `${quote(name)} is a queue`)
    checkTopicConfig(config)
    this.#checkPartitions(count, count)
    if (this.#machine.topicCount >= this.#limits.topicsMax) {
      throw new BrokerError('limit-reached', `there are ${this.#limits.topicsMax} topics, which is the most allowed`)
    }
    if (validateOnly)
      return {
        id: nilId,
        namespace,
        name,
        partitions: new Array<number>(count).fill(0),
        config,
        defaults: this.#machine.defaults,
      }

    const id = this.#newId()
    atomically(this.#ledger, () => {
      const partitions = this.#defineStreams(count)
      this.#write(factTypes.topicCreated, topicCreated, { id, namespace, name, partitions, config: settingsOf(config) })
    })
    const topic = this.#existing(id)
    for (const run of this.#creationWatchers) run(topic)
    return topic
  }

  /** `run` is called for each topic that was made. */
  watchCreated(run: (topic: Topic) => void): void {
    this.#creationWatchers.push(run)
  }

  /** Removes the topic and all its records. */
  async remove(namespace: string, name: string): Promise<void> {
    const topic = this.#named(namespace, name)
    const seq = atomically(this.#ledger, () => {
      for (const run of this.#beforeRemove) run(topic, false)
      this.#write(factTypes.topicDeleted, topicDeleted, { id: topic.id })
      for (const stream of topic.partitions) this.#ledger.drop(stream)
    })
    await durably(this.#ledger, seq)
  }

  /**
   * Gives the records of a topic another name, at once. It is another topic then: what others keep of it by its name or id is forgotten. What is told
   * of it waits as for `make`. Throws `BrokerError`.
   */
  rename(namespace: string, name: string, to: string): Topic {
    const topic = this.#named(namespace, name)
    checkQueueName(to)
    if (this.get(namespace, to) ?? this.#machine.queues.get(namespace, to))
      throw new BrokerError('topic-exists', quote(to))
    const id = this.#newId()
    atomically(this.#ledger, () => {
      for (const run of this.#beforeRemove) run(topic, true)
      this.#write(factTypes.topicDeleted, topicDeleted, { id: topic.id })
      const { partitions, config } = topic
      const fact = { id, namespace, name: to, partitions: [...partitions], config: settingsOf(config) }
      this.#write(factTypes.topicCreated, topicCreated, fact)
    })
    const renamed = this.#existing(id)
    for (const run of this.#creationWatchers) run(renamed)
    return renamed
  }

  /**
   * `run` is called for each topic that is about to be removed, and may add facts of its own to the same block. `isRenamed`: its streams stay, with
   * another topic.
   */
  beforeRemove(run: (topic: Topic, isRenamed: boolean) => void): void {
    this.#beforeRemove.push(run)
  }

  /** Raises the number of partitions to `total`. */
  async addPartitions(
    namespace: string,
    name: string,
    total: number,
    { validateOnly = false }: { validateOnly?: boolean | undefined } = {},
  ): Promise<Topic> {
    const topic = this.#named(namespace, name)
    const present = topic.partitions.length
    if (total <= present) {
      const detail =
        total === present ? `it has ${present} already` : `it has ${present}, and partitions cannot be removed`
      throw new BrokerError('partition-count-invalid', `${quote(name)} cannot get ${total} partitions: ${detail}`)
    }
    this.#checkPartitions(total, total - present)
    if (validateOnly) return topic

    const seq = atomically(this.#ledger, () => {
      const partitions = this.#defineStreams(total - present)
      this.#write(factTypes.partitionsAdded, partitionsAdded, { id: topic.id, partitions })
    })
    const changed = this.#existing(topic.id)
    for (const run of this.#partitionWatchers) run(changed)
    await durably(this.#ledger, seq)
    return changed
  }

  /** `run` is called for each topic that has got more partitions, until the returned function is called. */
  watchPartitions(run: (topic: Topic) => void): () => void {
    this.#partitionWatchers.add(run)
    return () => this.#partitionWatchers.delete(run)
  }

  /** `config` is the complete set: what it does not name has its default again. */
  async configure(
    namespace: string,
    name: string,
    config: ReadonlyMap<string, string>,
    { validateOnly = false }: { validateOnly?: boolean | undefined } = {},
  ): Promise<Topic> {
    const topic = this.#named(namespace, name)
    checkTopicConfig(config)
    if (validateOnly) return topic
    if (sameConfig(topic.config, config)) {
      await this.settle()
      return topic
    }
    const seq = atomically(this.#ledger, () => {
      this.#write(factTypes.topicConfigured, topicConfigured, { id: topic.id, config: settingsOf(config) })
    })
    const changed = this.#existing(topic.id)
    await durably(this.#ledger, seq)
    return changed
  }

  /** What is overridden while the broker runs, by name; see `overrides.ts`. */
  overrides(scope: OverrideScope): ReadonlyMap<string, string> {
    return this.#machine.overrides(scope)
  }

  /** A number that is overridden while the broker runs, or undefined. */
  overrideOf(name: RuntimeSettingName): number | undefined {
    return overrideOf(scope => this.overrides(scope), name)
  }

  /** Overrides settings of the broker from now on: `config` is the complete set of the scope. */
  async override(
    scope: OverrideScope,
    config: ReadonlyMap<string, string>,
    { validateOnly = false }: { validateOnly?: boolean | undefined } = {},
  ): Promise<void> {
    checkOverrides(config)
    if (validateOnly) return
    if (sameConfig(this.#machine.overrides(scope), config)) return this.settle()
    const seq = atomically(this.#ledger, () => {
      this.#write(factTypes.overridden, overridden, {
        scope: overrideScopes.indexOf(scope),
        config: settingsOf(config),
      })
    })
    await durably(this.#ledger, seq)
  }

  /** An id that no producer of this cluster had or will have. */
  async nextProducerId(): Promise<number> {
    const id = this.takeProducerId()
    await this.settle()
    return id
  }

  /** The same at once; what is told of it waits for `settle()`, or for anything that is written after this. */
  takeProducerId(): number {
    const { producerIdBlocks: blocks } = this.#machine
    if (this.#producerIdNext === blocks * producerIdBlock) {
      atomically(this.#ledger, () =>
        this.#write(factTypes.producerIdsReserved, producerIdsReserved, { blocks: blocks + 1 }),
      )
    }
    return this.#producerIdNext++
  }

  #named(namespace: string, name: string): Topic {
    const topic = this.get(namespace, name)
    if (topic === undefined) throw new BrokerError('topic-not-found', quote(name))
    return topic
  }

  #existing(id: string): Topic {
    const topic = this.byId(id)
    assert(topic !== undefined)
    return topic
  }

  #checkPartitions(total: number, added: number): void {
    const { partitionsPerTopicMax, partitionsMax } = this.#limits
    if (!Number.isInteger(total) || total < 1 || total > partitionsPerTopicMax) {
      throw new BrokerError(
        'partition-count-invalid',
        `a topic has 1 to ${partitionsPerTopicMax} partitions, not ${total}`,
      )
    }
    const left = partitionsMax - this.#machine.partitionCount
    if (added > left) {
      const detail = `${added} more partitions are more than the ${left} left of ${partitionsMax} for all topics`
      throw new BrokerError('limit-reached', detail)
    }
  }

  #defineStreams(count: number): StreamId[] {
    return Array.from({ length: count }, () => this.#ledger.define('stream'))
  }

  /** 16 random bytes. The first bit is 0, so that the id written in base64 never begins like an option of a command. */
  #newId(): string {
    const bytes = this.#random.bytes(16)
    bytes.writeUInt8(bytes.readUInt8(0) & 0x7f)
    return bytes.toString('hex')
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    const seq = this.#ledger.fact(machineKinds.directory, type, factOf(codec, value))
    this.#changedSeq = seq
    this.#unsettled++
    this.#ledger.whenDurable(seq, settleOne, this)
  }

  /** A fact has become durable. For `settleOne` alone. */
  factSettled(): void {
    this.#unsettled--
  }
}

function compactionOf(settings: TopicSettings): CompactionPolicy {
  const { dirtyRatioMin, deleteRetentionMs, compactionLagMinMs: lagMinMs, compactionLagMaxMs: lagMaxMs } = settings
  return { dirtyRatioMin, lagMinMs, lagMaxMs, deleteRetentionMs }
}

/** One function for all facts: none is made for each. */
function settleOne(topics: Topics): void {
  topics.factSettled()
}

function sameConfig(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false
  for (const [name, value] of a) if (b.get(name) !== value) return false
  return true
}
