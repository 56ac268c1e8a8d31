import assert from 'node:assert/strict'
import type { Codec, Random } from '@dragoman/wire'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { Fenced } from '../../storage/errors.ts'
import type { Topic } from '../topic.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { quote } from '../names.ts'
import { uuidOf } from './assigned/assigned-groups.ts'
import type { Assignor } from './assigned/assignor.ts'
import { factOf as membershipFactOf } from './assigned/facts.ts'
import { seesAll, type TopicSight, type TopicView } from './assigned/interests.ts'
import { MembershipsMachine, type GroupConfig } from './assigned/machine.ts'
import {
  heartbeatRefused,
  type AssignedDescription,
  type GroupBridge,
  type HeartbeatRequest,
  type HeartbeatResult,
} from './assigned/requests.ts'
import {
  emptied,
  factOf,
  groupFacts,
  offsetsCommitted,
  offsetsPending,
  offsetsRemoved,
  removed,
  stabilised,
  topicForgotten,
  transactionEnded,
} from './facts.ts'
import { Group, type GroupHost } from './group.ts'
import { GroupsMachine, type GroupOffsets, type GroupRecord } from './machine.ts'
import {
  joinRefused,
  syncRefused,
  type CommitRequest,
  type GroupDescription,
  type GroupKind,
  type GroupName,
  type JoinDone,
  type JoinRequest,
  type ListedGroup,
  type MemberName,
  type SyncDone,
  type SyncRequest,
  type TopicCommits,
  type TopicPartitions,
} from './requests.ts'
import { Memberships, type ClassicGroups } from './memberships.ts'
import { OffsetsSweep, type SweepHost } from './offsets-sweep.ts'
import { offerBytes } from './roster.ts'
import { defaultGroupSettings, type GroupSettings } from './settings.ts'

export interface GroupsOptions {
  ledger: Ledger
  /** Where member ids come from. */
  random: Random
  limits: Limits
  settings?: Partial<GroupSettings>
  /** Offsets of topics that are about to be removed go in the same block. */
  topics: TopicView & { beforeRemove(run: (topic: Topic) => void): void }
  /** Who may know of which topics; all of all unless given. */
  sight?: TopicSight
  /** Ways of assigning to the members of shared groups. */
  sharedAssignors?: ReadonlyMap<string, Assignor>
}

/** Is told within the change, and may add facts to its block. */
export interface SharedWatcher {
  /** A member is gone for good. */
  left(name: GroupName, memberId: string): void
  removing(name: GroupName): void
}

/** Partitions in one fact: what a peer commits at once may be larger than a block. */
const partitionsPerFact = 500
/** Characters of what a member calls itself, its protocols and their type. */
const nameLengthMax = 1000

/**
 * The front door of the groups: members that share work, and the offsets that they have committed.
 *
 * Requests are decided before the call returns, hence in the order of the calls. Callbacks (`done`) come once each, when the
 * answer may be shown: after the other members have come, and after what it rests on is durable. Errors are codes in
 * the answers; the methods for administrators return promises and reject with `BrokerError`.
 */
export class Groups {
  readonly settings: GroupSettings
  readonly #ledger: Ledger
  readonly #machine: GroupsMachine
  readonly #limits: Limits
  readonly #random: Random
  readonly #host: GroupHost
  /** Groups with members, or with members expected, by namespace and id. The others are in the machine only. */
  readonly #live = new Map<string, Map<string, Group>>()
  /** Groups to which the broker assigns. */
  readonly #memberships: Memberships
  #liveCount = 0
  /** Members and ids given away, of all groups. */
  #population = 0
  /** The block of the last change of any group. */
  #lastSeq = -1
  #sharedWatcher: SharedWatcher | undefined
  #closed = false
  readonly #sweep: OffsetsSweep

  /** Over a cell that has been recovered: the sessions of all known members begin now. */
  constructor({ ledger, random, limits, settings, topics, sight = seesAll, ...more }: GroupsOptions) {
    const machine = ledger.machine(machineKinds.groups)
    const members = ledger.machine(machineKinds.memberships)
    assert(machine instanceof GroupsMachine && members instanceof MembershipsMachine)
    this.#ledger = ledger
    this.#machine = machine
    this.#limits = limits
    this.#random = random
    this.settings = { ...defaultGroupSettings, ...settings }
    this.#host = this.#hosting()
    topics.beforeRemove(topic => this.#forget(topic.id))
    this.#memberships = new Memberships({
      ...{ ledger, machine: members, random, limits, settings: this.settings, topics, sight },
      sharedAssignors: more.sharedAssignors ?? new Map(),
      classic: this.#classic(),
      left: ({ namespace, id: group, kind }, memberId) => {
        if (kind === 'shared') this.#sharedWatcher?.left({ namespace, group }, memberId)
      },
      write: run => this.#write(run),
      fact: (type, codec, value) => {
        this.#lastSeq = ledger.fact(machineKinds.memberships, type, membershipFactOf(codec, value))
      },
    })
    for (const record of machine.all()) this.#find(record.namespace, record.id)
    this.#sweep = new OffsetsSweep(this.#sweeping())
  }

  /** How members that assign among themselves put it. Until it is known, they and others cannot be in one group. */
  useBridge(bridge: GroupBridge): void {
    this.#memberships.useBridge(bridge)
  }

  join(request: JoinRequest, done: JoinDone): void {
    const error = this.#checkJoin(request)
    if (error !== undefined) return done(joinRefused(error, request.memberId))
    const { namespace, memberId } = request
    const result = this.#memberships.join(request)
    if (result !== undefined) return this.settled(namespace, request.group, done, result)
    const known = this.#find(namespace, request.group)
    const bytes = (known?.bytes ?? 0) + offerBytes(request.offers)
    if (bytes > this.settings.groupBytesMax) return done(joinRefused('group-full', ''))
    // Only newcomers can make a group; and one that nobody gets into is forgotten at once.
    const group = known ?? (memberId === '' ? this.#open(namespace, request.group) : undefined)
    if (group === undefined) return done(joinRefused(memberId === '' ? 'limit-reached' : 'member-unknown', memberId))
    group.join(request, done)
  }

  #checkJoin(request: JoinRequest): ErrorCode | undefined {
    const { sessionTimeoutMinMs, sessionTimeoutMaxMs } = this.settings
    if (this.#closed) return 'shutting-down'
    if (!this.#nameAllowed(request.group)) return 'group-id-invalid'
    if (request.sessionTimeoutMs < sessionTimeoutMinMs || request.sessionTimeoutMs > sessionTimeoutMaxMs) {
      return 'session-timeout-invalid'
    }
    const names = [request.protocolType, request.instanceId ?? '', ...request.offers.map(({ name }) => name)]
    if (names.some(name => name.length > nameLengthMax)) return 'request-invalid'
    if (request.memberId === '' && this.#population >= this.#limits.membersMax) return 'limit-reached'
    return undefined
  }

  sync(request: SyncRequest, done: SyncDone): void {
    if (this.#closed) return done(syncRefused('shutting-down'))
    if (!this.#nameAllowed(request.group)) return done(syncRefused('group-id-invalid'))
    const result = this.#memberships.sync(request)
    if (result !== undefined) return this.settled(request.namespace, request.group, done, result)
    const group = this.#find(request.namespace, request.group)
    if (group === undefined) return done(syncRefused('member-unknown'))
    group.sync(request, done)
  }

  /** A sign of life. What the member has to know of, or undefined when it may go on. */
  heartbeat(
    namespace: string,
    group: string,
    memberId: string,
    instanceId: string | null,
    generation: number,
  ): ErrorCode | undefined {
    if (this.#closed) return 'shutting-down'
    if (!this.#nameAllowed(group)) return 'group-id-invalid'
    const found = this.#live.get(namespace)?.get(group)
    if (found !== undefined) return found.heartbeat(memberId, instanceId, generation)
    const result = this.#memberships.heartbeatBridged(namespace, group, { memberId, instanceId }, generation)
    return result === 'none' ? 'member-unknown' : result
  }

  /** A sign of life of a member to which the broker assigns; it joins and leaves by the same. */
  heartbeatAssigned(request: HeartbeatRequest, done: (result: HeartbeatResult) => void): void {
    if (this.#closed) return done(heartbeatRefused('shutting-down', ''))
    if (!this.#nameAllowed(request.group)) return done(heartbeatRefused('group-id-invalid', ''))
    const result = this.#memberships.heartbeat(request)
    this.settled(request.namespace, request.group, done, result)
  }

  /** Removes members; an empty member id stands for whoever holds the instance id. Gives one result for each, in order. */
  leave(name: GroupName, members: readonly MemberName[], done: (results: (ErrorCode | undefined)[]) => void): void {
    const absent = this.#closed ? 'shutting-down' : 'member-unknown'
    const results =
      (this.#closed ? undefined : this.#memberships.leave(name, members)) ??
      this.#find(name.namespace, name.group)?.leave(members) ??
      members.map((): ErrorCode => absent)
    this.settled(name.namespace, name.group, done, results)
  }

  /** Keeps the offsets and calls `done` when they are durable; or calls it with why they were not, or not all, kept. */
  commit(request: CommitRequest, done: (error: ErrorCode | undefined) => void): void {
    const error = this.#checkCommit(request)
    if (error !== undefined) return done(error)
    const { namespace, group, expiresMs } = request
    const refusal = this.#write(() => {
      for (const topics of inParts(request.topics)) {
        this.#fact(groupFacts.offsetsCommitted, offsetsCommitted, { namespace, group, expiresMs, topics })
      }
    })
    if (refusal !== undefined) return done(refusal)
    this.settled(namespace, group, done, undefined)
  }

  /**
   * Keeps offsets that count once the producer's transaction is committed. Why they are not kept, or undefined; what was kept is
   * durable when `settled` says so. Within a transaction nobody need be a member.
   */
  commitPending(request: CommitRequest, producerId: number): ErrorCode | undefined {
    const { namespace, group, memberId, instanceId, generation } = request
    const isOutside = generation < 0 && memberId === '' && instanceId === null
    const isThere =
      this.#find(namespace, group) !== undefined || this.#memberships.kindOf(namespace, group) === 'exclusive'
    const error = isOutside && isThere ? undefined : this.#checkCommit(request)
    if (error !== undefined) return error
    return this.#write(() => {
      for (const topics of inParts(request.topics)) {
        this.#fact(groupFacts.offsetsPending, offsetsPending, { namespace, group, producerId, topics })
      }
    })
  }

  /** The producer's transaction has ended. To be called in the block that ends it everywhere. */
  endPending({ namespace, group }: GroupName, producerId: number, isCommitted: boolean): void {
    if (this.#machine.get(namespace, group)?.pending?.has(producerId) !== true) return
    this.#fact(groupFacts.transactionEnded, transactionEnded, { namespace, group, producerId, isCommitted })
  }

  /** Whether an open transaction may yet change the committed offset of a partition. */
  isPending({ namespace, group }: GroupName, topicId: string, partition: number): boolean {
    for (const offsets of this.#machine.get(namespace, group)?.pending?.values() ?? []) {
      if (offsets.get(topicId)?.has(partition) === true) return true
    }
    return false
  }

  #checkCommit(request: CommitRequest): ErrorCode | undefined {
    const { namespace, group, generation } = request
    if (this.#closed) return 'shutting-down'
    if (group.length > this.settings.groupIdLengthMax) return 'group-id-invalid'
    if (this.#memberships.kindOf(namespace, group) !== undefined) {
      return this.#memberships.checkMember(request, request.memberId, generation, request.knowsEpochs ?? true)
    }
    const live = this.#find(request.namespace, request.group)
    if (live !== undefined) return live.checkCommit(request, generation)
    const known = this.#machine.get(namespace, group) !== undefined
    if (generation >= 0) return known ? 'member-unknown' : 'group-not-found'
    return known || this.#hasRoom() ? undefined : 'limit-reached'
  }

  /** Committed offsets as they are now. What is told of them waits for `settled`. */
  offsets(namespace: string, group: string): GroupOffsets | undefined {
    return this.#machine.get(namespace, group)?.offsets
  }

  /** Calls `run(argument)` when all that can be seen of the group now is durable. */
  settled<A>(namespace: string, group: string, run: (argument: A) => void, argument: A): void {
    const seq = Math.max(this.#machine.get(namespace, group)?.seq ?? -1, this.#memberships.seqOf(namespace, group))
    this.#ledger.whenDurable(seq < 0 ? this.#lastSeq : seq, run, argument)
  }

  /** Calls `run(argument)` when all that can be seen of any group now is durable. */
  allSettled<A>(run: (argument: A) => void, argument: A): void {
    this.#ledger.whenDurable(this.#lastSeq, run, argument)
  }

  /** Removes offsets and resolves when that is durable. Whether the group still uses them is the caller's to decide. */
  async removeOffsets({ namespace, group }: GroupName, topics: readonly TopicPartitions[]): Promise<void> {
    if (this.#closed) throw unchanged('shutting-down', group)
    const record = this.#machine.get(namespace, group)
    const present = topics
      .map(({ topicId, partitions }) => ({
        topicId,
        partitions: partitions.filter(partition => record?.offsets.get(topicId)?.has(partition)),
      }))
      .filter(({ partitions }) => partitions.length > 0)
    if (present.length === 0) return
    const removal = { namespace, group, topics: present }
    const refusal = this.#write(() => this.#fact(groupFacts.offsetsRemoved, offsetsRemoved, removal))
    if (refusal !== undefined) throw unchanged(refusal, group)
    await this.#settle()
  }

  /** Removes a group that has no members, with its offsets. */
  async remove({ namespace, group }: GroupName): Promise<void> {
    if (this.#closed) throw unchanged('shutting-down', group)
    const live = this.#find(namespace, group)
    const known = this.#machine.get(namespace, group) !== undefined
    const assigned = this.#memberships.kindOf(namespace, group) !== undefined
    if (this.#memberships.hasMembers(namespace, group)) throw new BrokerError('group-not-empty', quote(group))
    if (live === undefined && !known && !assigned) throw new BrokerError('group-not-found', quote(group))
    if (live !== undefined && live.state !== 'empty') throw new BrokerError('group-not-empty', quote(group))
    const removal = { namespace, group }
    const refusal = this.#write(() => void this.#ledger.atomic(() => this.#removeAll(removal)))
    if (refusal !== undefined) throw unchanged(refusal, group)
    if (live !== undefined) {
      this.#drop(live)
      live.end('member-unknown')
    }
    await this.#settle()
  }

  list(namespace: string): ListedGroup[] {
    const listed = this.#memberships.list(namespace)
    for (const { id, state, protocolType } of this.#live.get(namespace)?.values() ?? []) {
      listed.push({ id, kind: 'classic', state, protocolType })
    }
    for (const { id, protocolType } of this.#machine.list(namespace)) {
      const isListed = this.#live.get(namespace)?.has(id) === true || this.kindOf(namespace, id) !== 'classic'
      if (!isListed) listed.push({ id, kind: 'classic', state: 'empty', protocolType })
    }
    return listed
  }

  /** There is one: who looks after what the members of shared groups have taken. */
  watchShared(watcher: SharedWatcher): void {
    this.#sharedWatcher = watcher
  }

  /** `classic` also when there is no such group. */
  kindOf(namespace: string, group: string): GroupKind {
    return this.#memberships.kindOf(namespace, group) ?? 'classic'
  }

  /** A group to which the broker assigns; undefined when there is none or it is of another kind. */
  describeAssigned(namespace: string, group: string): AssignedDescription | undefined {
    return this.#memberships.describe(namespace, group)
  }

  /** Names of all topics that members subscribe to, in a group to which the broker assigns. */
  subscribedTopics(namespace: string, group: string): Set<string> {
    return this.#memberships.subscribedTopics(namespace, group)
  }

  /** Why offsets are not for this member's eyes, or undefined. A null id: somebody outside the group. */
  checkFetch(namespace: string, group: string, memberId: string | null, epoch: number): ErrorCode | undefined {
    if (this.kindOf(namespace, group) === 'classic' || (memberId === null && epoch < 0)) return undefined
    return this.#memberships.checkMember({ namespace, group }, memberId ?? '', epoch, true)
  }

  /** The settings of a group, of whatever kind; only what was set. See `group-config.ts`. */
  config(namespace: string, group: string): GroupConfig {
    return this.#memberships.config(namespace, group)
  }

  /** Groups that have settings, whether they exist or not. */
  configured(namespace: string): string[] {
    return [...this.#memberships.configured(namespace)]
  }

  /** Sets the settings of a group, whether it exists or not: `config` is the complete set. Resolves when that is durable. */
  async configure(name: GroupName, config: GroupConfig, { validateOnly = false } = {}): Promise<void> {
    if (this.#closed) throw unchanged('shutting-down', name.group)
    if (!this.#nameAllowed(name.group)) throw new BrokerError('group-id-invalid', quote(name.group))
    this.#memberships.configure(name, config, validateOnly)
    await this.#settle()
  }

  /** Undefined also for a group to which the broker assigns: see `describeAssigned`. */
  describe(namespace: string, group: string): GroupDescription | undefined {
    if (this.kindOf(namespace, group) !== 'classic') return undefined
    const live = this.#find(namespace, group)
    if (live !== undefined) return live.describe()
    const record = this.#machine.get(namespace, group)
    if (record === undefined) return undefined
    const { id, generation, protocolType } = record
    return { id, state: 'empty', generation, protocolType, protocol: null, members: [] }
  }

  /** What the members of a group have said of themselves for the protocol that it uses. */
  subscriptions(namespace: string, group: string): Buffer[] {
    return this.#find(namespace, group)?.subscriptions() ?? []
  }

  /** Tells all who wait that the broker goes, and stops all timers. Members find their generation again after the restart. */
  close(): void {
    this.#closed = true
    this.#sweep.stop()
    this.#memberships.close()
    for (const groups of this.#live.values()) for (const group of groups.values()) group.end('shutting-down')
    this.#live.clear()
  }

  #nameAllowed(group: string): boolean {
    return group !== '' && group.length <= this.settings.groupIdLengthMax
  }

  #hasRoom(): boolean {
    return Math.max(this.#machine.count, this.#liveCount) + this.#memberships.count < this.#limits.groupsMax
  }

  /** The group if it has members or expects some. */
  #find(namespace: string, id: string): Group | undefined {
    const live = this.#live.get(namespace)?.get(id)
    if (live !== undefined || this.#closed) return live
    const record = this.#machine.get(namespace, id)
    return record === undefined || record.members.length === 0 ? undefined : this.#revive(namespace, id, record)
  }

  /** The group for a newcomer. */
  #open(namespace: string, id: string): Group | undefined {
    const record = this.#machine.get(namespace, id)
    return record === undefined && !this.#hasRoom() ? undefined : this.#revive(namespace, id, record)
  }

  #revive(namespace: string, id: string, record: GroupRecord | undefined): Group {
    const group = new Group(this.#host, namespace, id, record)
    let groups = this.#live.get(namespace)
    if (groups === undefined) this.#live.set(namespace, (groups = new Map()))
    groups.set(id, group)
    this.#liveCount++
    return group
  }

  #drop(group: Group): void {
    const groups = this.#live.get(group.namespace)
    if (groups?.get(group.id) !== group) return
    groups.delete(group.id)
    this.#liveCount--
    if (groups.size === 0) this.#live.delete(group.namespace)
  }

  #hosting(): GroupHost {
    const { clock } = this.#ledger
    return {
      settings: this.settings,
      membersMax: this.#limits.groupMembersMax,
      nowMs: () => clock.monotonicMs(),
      after: (delayMs, run) => clock.after(delayMs, run),
      newMemberId: prefix => `${prefix.slice(0, nameLengthMax)}-${uuidOf(this.#random.bytes(16))}`,
      store: group => this.#store(group),
      whenStored: (group, run) => this.settled(group.namespace, group.id, run, undefined),
      populated: by => void (this.#population += by),
      idle: group => this.#drop(group),
    }
  }

  #classic(): ClassicGroups {
    return {
      find: (namespace, id) => this.#find(namespace, id),
      hasOffsets: (namespace, id) => this.#machine.get(namespace, id) !== undefined,
      hasRoom: () => this.#hasRoom(),
      hasRoomForMember: () => this.#population < this.#limits.membersMax,
      populated: by => void (this.#population += by),
      empty: ({ namespace, id: group, generation, protocolType }) => {
        if ((this.#machine.get(namespace, group)?.members.length ?? 0) > 0) {
          this.#fact(groupFacts.emptied, emptied, { namespace, group, generation, protocolType })
        }
        const live = this.#live.get(namespace)?.get(group)
        if (live !== undefined) this.#drop(live)
      },
      restore: generation => {
        this.#fact(groupFacts.stabilised, stabilised, generation)
        const { namespace, group } = generation
        return this.#revive(namespace, group, this.#machine.get(namespace, group))
      },
    }
  }

  #sweeping(): SweepHost {
    const { sweepIntervalMs: intervalMs, offsetsRetentionMs: retentionMs } = this.settings
    return {
      ...{ clock: this.#ledger.clock, intervalMs, retentionMs },
      records: () => this.#machine.all(),
      abandoned: () => this.#memberships.abandoned(),
      record: ({ namespace, group }) => this.#machine.get(namespace, group),
      hasMembers: ({ namespace, group }) =>
        this.#find(namespace, group) !== undefined || this.#memberships.hasMembers(namespace, group),
      emptiedMs: ({ namespace, group }) => this.#memberships.emptiedMsOf(namespace, group),
      remove: name => void this.#write(() => void this.#ledger.atomic(() => this.#removeAll(name))),
      removeOffsets: (name, topics) =>
        void this.#write(() =>
          this.#fact(groupFacts.offsetsRemoved, offsetsRemoved, { ...name, topics: writable(topics) }),
        ),
    }
  }

  #removeAll({ namespace, group }: GroupName): void {
    if (this.#machine.get(namespace, group) !== undefined) {
      this.#fact(groupFacts.removed, removed, { namespace, group })
    }
    const kind = this.#memberships.kindOf(namespace, group)
    if (kind === 'shared') this.#sharedWatcher?.removing({ namespace, group })
    if (kind !== undefined) this.#memberships.remove({ namespace, group })
  }

  #store(group: Group): boolean {
    const { namespace, id, generation, protocolType, protocol, leader } = group
    if (group.state !== 'stable') {
      const fact = { namespace, group: id, generation, protocolType }
      return this.#write(() => this.#fact(groupFacts.emptied, emptied, fact)) === undefined
    }
    assert(protocolType !== null && protocol !== null)
    const fact = { namespace, group: id, generation, protocolType, protocol, leader, members: group.storedMembers() }
    return this.#write(() => this.#fact(groupFacts.stabilised, stabilised, fact)) === undefined
  }

  #fact<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    this.#lastSeq = this.#ledger.fact(machineKinds.groups, type, factOf(codec, value))
  }

  /** Writes facts. Why that cannot be, or undefined when it is done. */
  #write(run: () => void): ErrorCode | undefined {
    try {
      run()
      return undefined
    } catch (error) {
      return refusalOf(error)
    }
  }

  async #settle(): Promise<void> {
    try {
      await this.#ledger.durable(this.#lastSeq)
    } catch (error) {
      throw new BrokerError(refusalOf(error), 'the change may or may not have been made')
    }
  }

  #forget(topicId: string): void {
    for (const { offsets, pending } of this.#machine.all()) {
      const isPending = pending !== undefined && [...pending.values()].some(open => open.has(topicId))
      if (offsets.has(topicId) || isPending) return this.#fact(groupFacts.topicForgotten, topicForgotten, { topicId })
    }
  }
}

const unchanged = (code: ErrorCode, group: string): BrokerError =>
  new BrokerError(code, `group ${quote(group)} cannot be changed`)

/** What the ledger refuses, in the words of the core. Anything else is a bug and is thrown on. */
function refusalOf(error: unknown): ErrorCode {
  if (error instanceof Fenced) return 'shutting-down'
  if (error instanceof Error && error.name === 'StorageFull') return 'storage-full'
  throw error
}

const writable = (topics: readonly TopicPartitions[]): { topicId: string; partitions: number[] }[] =>
  topics.map(({ topicId, partitions }) => ({ topicId, partitions: [...partitions] }))

/** The same commits in portions that fit into a fact. */
function* inParts(
  topics: readonly TopicCommits[],
): Generator<{ topicId: string; partitions: TopicCommits['partitions'][number][] }[]> {
  let part: { topicId: string; partitions: TopicCommits['partitions'][number][] }[] = []
  let left = partitionsPerFact
  for (const { topicId, partitions } of topics) {
    for (let at = 0; at < partitions.length;) {
      const taken = partitions.slice(at, at + left)
      part.push({ topicId, partitions: taken })
      at += taken.length
      left -= taken.length
      if (left > 0) continue
      yield part
      part = []
      left = partitionsPerFact
    }
  }
  if (part.length > 0) yield part
}
