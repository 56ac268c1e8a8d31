import assert from 'node:assert/strict'
import { list, since, string16, struct, u8, uuid, uvarint, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { StreamId } from '../cell/client.ts'
import type { Machine } from '../cell/machine.ts'
import { QueueTable, type QueueDefinition } from './queues/table.ts'
import { bound, exchangeDeclared, exchangeDeleted, exchangeUsed } from './routing/facts.ts'
import { definitionOf, RoutingTable } from './routing/table.ts'
import { isSettingName } from './topic-config.ts'
import type { Topic } from './topic.ts'
import { versioned } from './versioned.ts'

/**
 * What the directory writes into the journal and into checkpoints. Written to disk: to change one, raise `factVersion`,
 * declare the difference with `since` or `until`, and keep reading the older versions.
 *
 * Every payload is a version byte and then the declared struct.
 */
export const factVersion = 5

export const factTypes = {
  identified: 1,
  topicCreated: 2,
  topicDeleted: 3,
  partitionsAdded: 4,
  topicConfigured: 5,
  producerIdsReserved: 6,
  overridden: 7,
  queueDeclared: 8,
  queueDeleted: 9,
  exchangeDeclared: 10,
  exchangeDeleted: 11,
  bound: 12,
  unbound: 13,
  laneOpened: 14,
  exchangeUsed: 15,
} as const

const settings = list(struct({ name: string16, value: string16 }))

/** The identity of the data, chosen once: the cluster id that clients see. */
export const identified = struct({ clusterId: uuid })
export const topicCreated = struct({
  id: uuid,
  namespace: string16,
  name: string16,
  partitions: list(uvarint),
  config: settings,
})
export const topicDeleted = struct({ id: uuid })
export const partitionsAdded = struct({ id: uuid, partitions: list(uvarint) })
/** `config` is the complete set: what it does not name has its default again. */
export const topicConfigured = struct({ id: uuid, config: settings })
/** Producer ids below `end`, counted in blocks so that 32 bits last for ever, have been given away or are about to be. */
export const producerIdsReserved = struct({ blocks: uvarint })

/** Where settings of the broker are overridden while it runs: for all brokers, and for this one, which wins. Written to disk as their index. */
export const overrideScopes = ['cluster', 'broker'] as const
export type OverrideScope = (typeof overrideScopes)[number]
/** `config` is the complete set of the scope. */
export const overridden = struct({ scope: u8, config: settings })

export const queueFlags = { autoDelete: 1 } as const
const queueLane = struct({ priority: uvarint, stream: uvarint, cursor: uvarint })

/** A name is a topic's or a queue's, never both. Queues that a restart is to leave nothing of are in no fact. */
export const queueDeclared = struct({
  id: uuid,
  namespace: string16,
  name: string16,
  stream: uvarint,
  cursor: uvarint,
  config: settings,
  /** Bits: `queueFlags`. */
  flags: since(5, u8),
  /** In checkpoints: those that `laneOpened` has told of. */
  lanes: since(5, list(queueLane)),
})
/** A queue has a stream and a cursor more, for messages of a priority. */
export const laneOpened = struct({ id: uuid, lane: queueLane })
export const queueDeleted = struct({ id: uuid })

/** Producer ids are reserved in blocks, so that giving one away costs no fact of its own. */
export const producerIdBlock = 1000

export const { factOf, readFact, checkVersion } = versioned('The directory', factVersion)

/** Where a stream belongs. */
export interface TopicPartition {
  readonly topic: Topic
  readonly partition: number
}

/**
 * Which topics and queues there are, under which ids, over which streams; exchanges and bindings; the cluster's identity; the producer ids
 * given away.
 *
 * Invariants: a topic is found by name exactly when it is found by id and by each of its streams; a stream belongs to one
 * topic; topics are immutable values, replaced as a whole when a fact changes them.
 */
export class DirectoryMachine implements Machine {
  /** 32 hexadecimal digits; empty until the first start has written it. */
  clusterId = ''
  /** Blocks of producer ids reserved so far. */
  producerIdBlocks = 0
  partitionCount = 0
  readonly #overrides: Record<OverrideScope, ReadonlyMap<string, string>> = { cluster: new Map(), broker: new Map() }
  /** What topics have that do not say otherwise. */
  #defaults: ReadonlyMap<string, string> = new Map()
  /** Changes with each topic that is made, changed or removed. Not kept. */
  revision = 0
  readonly #byId = new Map<string, Topic>()
  /** By namespace, then by name, in the order of creation. */
  readonly #byName = new Map<string, Map<string, Topic>>()
  readonly #byStream = new Map<StreamId, TopicPartition>()
  readonly queues = new QueueTable()
  readonly routing = new RoutingTable()
  /** One topic for each name in which dots and underscores are the same, where there are any. */
  readonly #byFolded = new Map<string, Topic>()

  get defaults(): ReadonlyMap<string, string> {
    return this.#defaults
  }

  overrides(scope: OverrideScope): ReadonlyMap<string, string> {
    return this.#overrides[scope]
  }

  get topicCount(): number {
    return this.#byId.size
  }

  get(namespace: string, name: string): Topic | undefined {
    return this.#byName.get(namespace)?.get(name)
  }

  /** Another topic whose name differs in nothing but dots and underscores. */
  similarTo(namespace: string, name: string): Topic | undefined {
    const found = this.#byFolded.get(folded(namespace, name))
    return found?.name === name ? undefined : found
  }

  byId(id: string): Topic | undefined {
    return this.#byId.get(id)
  }

  ofStream(stream: StreamId): TopicPartition | undefined {
    return this.#byStream.get(stream)
  }

  /** Topics of one namespace, or of all, oldest first within a namespace. */
  list(namespace?: string): Topic[] {
    if (namespace !== undefined) return [...(this.#byName.get(namespace)?.values() ?? [])]
    return [...this.#byId.values()]
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case factTypes.identified:
        this.clusterId = readFact(identified, payload).clusterId
        return
      case factTypes.topicCreated:
        return this.#add(readFact(topicCreated, payload))
      case factTypes.topicDeleted:
        return this.#remove(this.#existing(readFact(topicDeleted, payload).id))
      case factTypes.partitionsAdded: {
        const { id, partitions } = readFact(partitionsAdded, payload)
        const topic = this.#existing(id)
        return this.#replace({ ...topic, partitions: [...topic.partitions, ...partitions] })
      }
      case factTypes.topicConfigured: {
        const { id, config } = readFact(topicConfigured, payload)
        return this.#replace({ ...this.#existing(id), config: mapOf(config) })
      }
      case factTypes.producerIdsReserved:
        this.producerIdBlocks = readFact(producerIdsReserved, payload).blocks
        return
      case factTypes.overridden: {
        const { scope, config } = readFact(overridden, payload)
        return this.#override(overrideScopes[scope], mapOf(config))
      }
      case factTypes.queueDeclared:
        return this.#declareQueue(readFact(queueDeclared, payload))
      case factTypes.queueDeleted:
        return this.removeQueue(readFact(queueDeleted, payload).id)
      case factTypes.laneOpened: {
        const { id, lane } = readFact(laneOpened, payload)
        return this.queues.addLane(id, lane)
      }
      case factTypes.exchangeDeclared:
        return this.routing.declare(definitionOf(readFact(exchangeDeclared, payload)))
      case factTypes.exchangeDeleted: {
        const { namespace, name } = readFact(exchangeDeleted, payload)
        return this.routing.remove(namespace, name)
      }
      case factTypes.exchangeUsed: {
        const { namespace, name } = readFact(exchangeUsed, payload)
        return this.routing.use(namespace, name)
      }
      case factTypes.bound:
        return this.routing.bind(readFact(bound, payload))
      case factTypes.unbound:
        return this.routing.unbind(readFact(bound, payload))
      default:
        throw new Error(`The directory has no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.bool(this.clusterId !== '')
    if (this.clusterId !== '') identified.write(out, { clusterId: this.clusterId }, factVersion)
    producerIdsReserved.write(out, { blocks: this.producerIdBlocks }, factVersion)
    for (const scope of overrideScopes) settings.write(out, settingsOf(this.#overrides[scope]), factVersion)
    out.u32(this.#byId.size)
    for (const topic of this.#byId.values()) topicCreated.write(out, declared(topic), factVersion)
    const kept = this.queues.list().filter(({ isKept }) => isKept)
    out.u32(kept.length)
    for (const queue of kept) {
      queueDeclared.write(out, { ...queueFact(queue), lanes: this.queues.lanesOf(queue.id) }, factVersion)
    }
    this.routing.save(out, factVersion)
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    if (from.bool()) this.clusterId = identified.read(from, version).clusterId
    this.producerIdBlocks = producerIdsReserved.read(from, version).blocks
    // Version 1 had none.
    if (version >= 2) for (const scope of overrideScopes) this.#override(scope, mapOf(settings.read(from, version)))
    for (let left = from.u32(); left > 0; left--) this.#add(topicCreated.read(from, version))
    // Versions before 3 had no queues.
    for (let left = version >= 3 ? from.u32() : 0; left > 0; left--) {
      this.#declareQueue(queueDeclared.read(from, version))
    }
    // Versions before 4 had no exchanges.
    if (version >= 4) this.routing.load(from, version)
  }

  #declareQueue(fact: QueueFact): void {
    this.addQueue(queueOf(fact))
    for (const lane of fact.lanes) this.queues.addLane(fact.id, lane)
  }

  /** For facts, and for queues that are in none. */
  addQueue(queue: QueueDefinition): void {
    this.queues.add(queue)
    this.routing.addPlace('queue', queue.namespace, queue.name, queue.isKept)
  }

  removeQueue(id: string): void {
    const { namespace, name } = this.queues.remove(id)
    this.routing.removePlace(namespace, name)
  }

  #add({ id, namespace, name, partitions, config }: ReturnType<typeof declared>): void {
    assert(!this.#byId.has(id) && this.get(namespace, name) === undefined, `Topic ${name} cannot be there already`)
    this.#insert({ id, namespace, name, partitions, config: mapOf(config), defaults: this.#defaults })
    this.routing.addPlace('topic', namespace, name)
  }

  #override(scope: OverrideScope | undefined, config: ReadonlyMap<string, string>): void {
    assert(scope !== undefined, 'Settings were overridden by a newer broker')
    this.#overrides[scope] = config
    const all = overrideScopes.flatMap(one => [...this.#overrides[one]])
    this.#defaults = new Map(all.filter(([name]) => isSettingName(name)))
    for (const topic of [...this.#byId.values()]) this.#replace({ ...topic, defaults: this.#defaults })
  }

  #insert(topic: Topic): void {
    this.revision++
    this.#byId.set(topic.id, topic)
    let names = this.#byName.get(topic.namespace)
    if (names === undefined) this.#byName.set(topic.namespace, (names = new Map()))
    names.set(topic.name, topic)
    if (hasFoldable.test(topic.name)) this.#byFolded.set(folded(topic.namespace, topic.name), topic)
    for (const [partition, stream] of topic.partitions.entries()) this.#byStream.set(stream, { topic, partition })
    this.partitionCount += topic.partitions.length
  }

  /** Keeps the topic's place in the order. */
  #replace(topic: Topic): void {
    this.partitionCount -= this.#existing(topic.id).partitions.length
    this.#insert(topic)
  }

  #remove(topic: Topic): void {
    this.revision++
    this.#byId.delete(topic.id)
    this.routing.removePlace(topic.namespace, topic.name)
    const names = this.#byName.get(topic.namespace)
    names?.delete(topic.name)
    const fold = folded(topic.namespace, topic.name)
    if (this.#byFolded.get(fold)?.id === topic.id) this.#byFolded.delete(fold)
    if (names?.size === 0) this.#byName.delete(topic.namespace)
    for (const stream of topic.partitions) this.#byStream.delete(stream)
    this.partitionCount -= topic.partitions.length
  }

  #existing(id: string): Topic {
    const topic = this.#byId.get(id)
    assert(topic !== undefined, `No topic has the id ${id}`)
    return topic
  }
}

const hasFoldable = /[._]/
const folded = (namespace: string, name: string): string => `${namespace}\n${name.replaceAll('.', '_')}`

/** A topic as `topicCreated` declares it. */
function declared(topic: Topic): {
  id: string
  namespace: string
  name: string
  partitions: StreamId[]
  config: { name: string; value: string }[]
} {
  const { id, namespace, name, partitions, config } = topic
  return { id, namespace, name, partitions: [...partitions], config: settingsOf(config) }
}

/** A queue as `queueDeclared` declares it. */
export function queueFact({ id, namespace, name, stream, cursor, config, autoDelete }: QueueDefinition): QueueFact {
  const flags = autoDelete ? queueFlags.autoDelete : 0
  return { id, namespace, name, stream, cursor, config: settingsOf(config), flags, lanes: [] }
}

type QueueFact = Infer<typeof queueDeclared>

function queueOf({ id, namespace, name, stream, cursor, config, flags }: QueueFact): QueueDefinition {
  const autoDelete = (flags & queueFlags.autoDelete) !== 0
  return { id, namespace, name, stream, cursor, config: mapOf(config), isDurable: true, autoDelete, isKept: true }
}

export function settingsOf(config: ReadonlyMap<string, string>): { name: string; value: string }[] {
  return Array.from(config, ([name, value]) => ({ name, value }))
}

function mapOf(config: readonly { name: string; value: string }[]): ReadonlyMap<string, string> {
  return new Map(config.map(({ name, value }) => [name, value]))
}
