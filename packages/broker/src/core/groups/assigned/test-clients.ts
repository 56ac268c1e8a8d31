import type { Random } from '@dragoman/wire'
import type { Groups } from '../groups.ts'
import type { JoinResult, SyncResult } from '../requests.ts'
import { answering, group, namespace, type Answer } from '../test-bench.ts'
import { noPartitions, partitionMap, type PartitionMap } from './partitions.ts'
import { assignRanges } from './range-assignor.ts'
import type { GroupBridge, HeartbeatRequest, HeartbeatResult, NamedPartitions } from './requests.ts'

/** Clients as real ones would be, one step of each at a time; for the property tests of groups. */

/** What the world does to a request: it is `lost`, its answer is, or it comes `twice`. */
export type Fate = 'fine' | 'lost' | 'unheard' | 'twice'

export interface ClientWorld {
  readonly random: Random
  readonly groups: Groups
  /** Ids of topics by name. */
  topicId(name: string): string | undefined
  nameOf(topicId: string): string | undefined
  partitionCount(name: string): number
  fate(): Fate
}

export interface Client {
  readonly memberId: string
  /** What it believes to have, and reads. */
  readonly owned: PartitionMap
  /** The epoch or generation that it would commit offsets in; -1 when it has none. */
  readonly epoch: number
  /** Does what is its turn; to be called when all that was decided is durable. */
  step(): void
  /** Ends as a client that is shut down does. */
  leave(): void
}

/** A client to which the broker assigns. */
export class AssignedClient implements Client {
  memberId: string
  owned: PartitionMap = noPartitions
  epoch = 0
  readonly #world: ClientWorld
  readonly #subscription: { topics: string[]; pattern: string | null }
  readonly #instanceId: string | null
  #answer: Answer<HeartbeatResult> | undefined
  #incarnation = 0
  readonly #name: string

  constructor(world: ClientWorld, name: string, instanceId: string | null) {
    this.#world = world
    this.#name = name
    this.memberId = `${name}-0`
    this.#instanceId = instanceId
    const { random } = world
    const topics = ['t0', 't1', 't2'].filter(() => random.chance(0.8))
    this.#subscription = random.chance(0.2) ? { topics: [], pattern: 't[0-9]' } : { topics, pattern: null }
  }

  step(): void {
    const { value } = this.#answer ?? {}
    this.#answer = undefined
    if (value !== undefined) this.#take(value)
    // Without an answer it may have missed something: it says everything of itself, and is told everything.
    const isWhole = this.epoch <= 0 || value === undefined
    const request: HeartbeatRequest = {
      ...{
        namespace,
        group,
        kind: 'exclusive',
        memberId: this.memberId,
        epoch: this.epoch,
        assignor: null,
        rackId: null,
      },
      instanceId: this.#instanceId,
      rebalanceTimeoutMs: isWhole ? 20_000 : null,
      topics: isWhole ? this.#subscription.topics : null,
      pattern: isWhole ? this.#subscription.pattern : null,
      owned: this.owned,
      ...{ clientId: 'c', clientHost: '/h', principal: 'p', host: 'h' },
    }
    this.#send(request)
  }

  #send(request: HeartbeatRequest): void {
    const fate = this.#world.fate()
    if (fate === 'lost') return
    const answer: Answer<HeartbeatResult> = { value: undefined }
    this.#world.groups.heartbeatAssigned(request, answering(answer))
    if (fate === 'twice') this.#world.groups.heartbeatAssigned(request, () => {})
    if (fate !== 'unheard') this.#answer = answer
  }

  #take({ error, epoch, assigned }: HeartbeatResult): void {
    if (error === undefined) {
      this.epoch = epoch
      this.owned = assigned ?? this.owned
    } else if (error === 'member-epoch-fenced' || error === 'member-unknown' || error === 'group-not-found') {
      this.#abandon()
    } else if (error === 'member-instance-fenced' || error === 'member-instance-unreleased') {
      this.#abandon()
      this.memberId = `${this.#name}-${++this.#incarnation}`
    }
  }

  #abandon(): void {
    this.epoch = 0
    this.owned = noPartitions
  }

  leave(): void {
    const nothing = { rebalanceTimeoutMs: null, topics: null, pattern: null, owned: null, assignor: null, rackId: null }
    const who = { clientId: 'c', clientHost: '/h', principal: 'p', host: 'h' }
    const epoch = this.#instanceId === null ? -1 : -2
    const { memberId } = this
    this.#abandon()
    this.#answer = undefined
    const request = { namespace, group, kind: 'exclusive', memberId, epoch, instanceId: this.#instanceId } as const
    this.#world.groups.heartbeatAssigned({ ...request, ...nothing, ...who }, () => {})
    this.memberId = `${this.#name}-${++this.#incarnation}`
  }
}

/** How the clients here put what they subscribe to and are assigned. */
export const jsonBridge: GroupBridge = {
  protocolType: 'consumer',
  readSubscription: bytes => JSON.parse(bytes.toString()),
  readAssignment: bytes => (bytes.length === 0 ? [] : JSON.parse(bytes.toString())),
  writeAssignment: topics => Buffer.from(JSON.stringify(topics)),
}

interface Subscription {
  topics: string[]
  rackId: null
  owned: readonly NamedPartitions[]
}

/** A client that assigns among its like. An eager one gives up everything before it joins, another only what it must. */
export class ClassicClient implements Client {
  memberId = ''
  owned: PartitionMap = noPartitions
  epoch = -1
  readonly #world: ClientWorld
  readonly #topics: string[]
  readonly #isEager: boolean
  #state: 'out' | 'joining' | 'syncing' | 'in' = 'out'
  #joined: Answer<JoinResult> = { value: undefined }
  #synced: Answer<SyncResult> = { value: undefined }
  #patience = 0
  /** What the assignment took account of, if this is the leader. */
  #counted: string | undefined

  constructor(world: ClientWorld, isEager: boolean) {
    this.#world = world
    this.#isEager = isEager
    this.#topics = ['t0', 't1'].filter(() => world.random.chance(0.9))
  }

  step(): void {
    switch (this.#state) {
      case 'out':
        return this.#join()
      case 'joining':
        return this.#takeJoin()
      case 'syncing':
        return this.#takeSync()
      case 'in':
        return this.#beat()
    }
  }

  #join(): void {
    if (this.#isEager) this.owned = noPartitions
    const subscription: Subscription = { topics: this.#topics, rackId: null, owned: this.#named(this.owned) }
    this.#joined = { value: undefined }
    this.#patience = 40
    this.#state = 'joining'
    const answer = this.#joined
    const done = answering(answer)
    if (this.#world.fate() === 'lost') return
    const times = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 20_000 }
    const who = { instanceId: null, clientId: 'c', clientHost: '/h', principal: 'p', host: 'h' }
    const offers = [{ name: 'range', metadata: Buffer.from(JSON.stringify(subscription)) }]
    const how = { protocolType: 'consumer', offers, takesIdFirst: true, maySkipAssignment: true }
    this.#world.groups.join({ namespace, group, memberId: this.memberId, ...who, ...times, ...how }, done)
  }

  #takeJoin(): void {
    const { value } = this.#joined
    if (value === undefined) {
      if (--this.#patience === 0) this.#start(this.memberId)
      return
    }
    if (value.error === 'member-id-required') return this.#start(value.memberId)
    if (value.error !== undefined) return this.#start(value.error === 'group-rebalancing' ? this.memberId : '')
    const { memberId, generation, leader, members } = value
    this.memberId = memberId
    this.epoch = generation
    const isLeader = leader === memberId
    this.#counted = isLeader ? this.#count() : undefined
    const assignments = isLeader ? this.#assign(members) : []
    this.#synced = { value: undefined }
    this.#patience = 40
    this.#state = 'syncing'
    const sync = { namespace, group, memberId, instanceId: null, generation, protocolType: null, protocol: null }
    this.#world.groups.sync({ ...sync, assignments }, answering(this.#synced))
  }

  #count(): string {
    return ['t0', 't1', 't2'].map(name => this.#world.partitionCount(name)).join()
  }

  #assign(members: JoinResult['members']): { memberId: string; assignment: Buffer }[] {
    const subscriptions = members.map(({ memberId, subscription }) => {
      const { topics }: Subscription = JSON.parse(subscription.toString())
      return { memberId, instanceId: null, topics: new Set(topics), target: noPartitions }
    })
    const counts = new Map(['t0', 't1', 't2'].map(name => [name, this.#world.partitionCount(name)]))
    const shares = assignRanges({ members: subscriptions, partitionCounts: counts })
    // What somebody still has is given to nobody else before it was given up.
    const owners = new Map<string, string>()
    for (const { memberId, subscription } of members) {
      const { owned }: Subscription = JSON.parse(subscription.toString())
      for (const { topic, partitions } of owned) for (const one of partitions) owners.set(`${topic}/${one}`, memberId)
    }
    return Array.from(shares, ([memberId, share]) => {
      const isFree = (topic: string, one: number): boolean => (owners.get(`${topic}/${one}`) ?? memberId) === memberId
      const named = Array.from(share, ([topic, all]) => ({ topic, partitions: all.filter(one => isFree(topic, one)) }))
      return { memberId, assignment: Buffer.from(JSON.stringify(named)) }
    })
  }

  #takeSync(): void {
    const { value } = this.#synced
    if (value === undefined) {
      if (--this.#patience === 0) this.#start(this.memberId)
      return
    }
    if (value.error !== undefined) return this.#refused(value.error)
    const named = jsonBridge.readAssignment(value.assignment) ?? []
    const told = partitionMap(
      named.map(({ topic, partitions }) => ({ topicId: this.#world.topicId(topic) ?? '', partitions })),
    )
    const hadMore = Array.from(this.owned).some(([id, had]) => had.some(one => told.get(id)?.includes(one) !== true))
    this.owned = told
    this.#state = 'in'
    // It says that it has given something up by joining again.
    if (hadMore) this.#start(this.memberId)
  }

  #beat(): void {
    // A leader sees to it that new partitions find somebody.
    if (this.#counted !== undefined && this.#counted !== this.#count()) return this.#start(this.memberId)
    const fate = this.#world.fate()
    if (fate === 'lost') return
    const error = this.#world.groups.heartbeat(namespace, group, this.memberId, null, this.epoch)
    if (error !== undefined && fate !== 'unheard') this.#refused(error)
  }

  #refused(error: string): void {
    if (error === 'group-rebalancing') return this.#start(this.memberId)
    // Who is not in the group any more has lost what it had.
    this.owned = noPartitions
    this.#start(error === 'group-generation-stale' ? this.memberId : '')
  }

  #start(memberId: string): void {
    if (memberId === '') this.owned = noPartitions
    this.memberId = memberId
    this.epoch = -1
    this.#state = 'out'
  }

  #named(map: PartitionMap): NamedPartitions[] {
    return Array.from(map, ([id, partitions]) => ({ topic: this.#world.nameOf(id) ?? '', partitions }))
  }

  leave(): void {
    this.#world.groups.leave({ namespace, group }, [{ memberId: this.memberId, instanceId: null }], () => {})
    this.#joined = { value: undefined }
    this.#synced = { value: undefined }
    this.#start('')
  }
}
