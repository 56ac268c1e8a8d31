import type { Codec } from '@dragoman/wire'
import { BrokerError } from '../../errors.ts'
import type { Limits } from '../../limits.ts'
import { quote } from '../../names.ts'
import { groupSettingOf } from '../group-config.ts'
import type { GroupName } from '../requests.ts'
import type { GroupSettings } from '../settings.ts'
import type { Assignor } from './assignor.ts'
import { groupRemoved, membershipFacts } from './facts.ts'
import { AssignedGroup, type AssignedHost } from './group.ts'
import { Subscriptions, type TopicSight, type TopicView } from './interests.ts'
import type { AssignedKind, AssignedRecord, MembershipsMachine } from './machine.ts'
import {
  leaves,
  leavesForAWhile,
  type AssignedDescription,
  type HeartbeatRequest,
  type HeartbeatResult,
} from './requests.ts'

export interface AssignedGroupsOptions {
  readonly machine: MembershipsMachine
  readonly clock: { monotonicMs(): number; after(delayMs: number, run: () => void): () => void }
  newMemberId(): string
  readonly limits: Limits
  readonly settings: GroupSettings
  readonly topics: TopicView
  readonly sight: TopicSight
  readonly assignors: Readonly<Record<AssignedKind, ReadonlyMap<string, Assignor>>>
  /** See `AssignedHost`. */
  readonly fact: <T, W>(type: number, codec: Codec<T, W>, value: W) => void
  readonly write: (run: () => void) => boolean
  readonly handOver: (group: AssignedGroup, removed: ReadonlySet<string>) => boolean
  /** See `AssignedHost`. */
  readonly left: (group: AssignedGroup, memberId: string) => void
  readonly populated: (by: number) => void
}

/** Characters of what a member calls itself. */
const nameLengthMax = 1000
const topicNameLengthMax = 1000

/** The groups to which the broker assigns, by namespace and id. The front door is `Groups`, which writes their facts. */
export class AssignedGroups {
  readonly #options: AssignedGroupsOptions
  readonly #host: AssignedHost
  /** Those with members. The others are in the machine only. */
  readonly #live = new Map<string, Map<string, AssignedGroup>>()

  /** Over a machine that has been recovered: the sessions of all members begin now. */
  constructor(options: AssignedGroupsOptions) {
    this.#options = options
    this.#host = this.#hosting()
    for (const { namespace, id, kind, members } of options.machine.all()) {
      if (members.size > 0) this.#revive(namespace, id, kind)
    }
  }

  record(namespace: string, id: string): AssignedRecord | undefined {
    return this.#options.machine.get(namespace, id)
  }

  /** The group, if there is one with members. */
  find(namespace: string, id: string): AssignedGroup | undefined {
    return this.#live.get(namespace)?.get(id)
  }

  /** Throws `BrokerError` for what can be refused whatever is in the group. */
  check(request: HeartbeatRequest): void {
    checkHeartbeat(request)
    const { namespace, kind, assignor, pattern } = request
    const names = [...this.#options.assignors[kind].keys()]
    if (assignor !== null && !names.includes(assignor)) {
      throw new BrokerError('assignor-unknown', `${quote(assignor)} is none of ${names.join(', ')}`)
    }
    if (pattern !== null) this.#host.subscriptions.checkPattern(namespace, pattern)
  }

  /** Throws `BrokerError`. To be called when `check` was, and when the id belongs to no group of another kind. */
  heartbeat(request: HeartbeatRequest): HeartbeatResult {
    const { namespace, group: id, kind, epoch } = request
    const present = this.record(namespace, id)
    const isJoin = epoch === 0
    if (present === undefined ? !isJoin : present.kind !== kind) {
      throw new BrokerError('group-not-found', quote(id))
    }
    const found = this.find(namespace, id)
    if (epoch === leaves || epoch === leavesForAWhile || !isJoin) {
      if (found === undefined) throw new BrokerError('member-unknown', quote(request.memberId))
      return epoch < 0 ? found.leave(request) : found.heartbeat(request)
    }
    const group = found ?? this.#revive(namespace, id, kind)
    try {
      return group.heartbeat(request)
    } finally {
      if (group.size === 0) this.#drop(group)
    }
  }

  /** The group for members that are about to be taken over. */
  open(namespace: string, id: string): AssignedGroup {
    return this.find(namespace, id) ?? this.#revive(namespace, id, 'exclusive')
  }

  /** Forgets the group with its members. */
  remove({ namespace, group: id }: GroupName): void {
    this.#options.fact(membershipFacts.groupRemoved, groupRemoved, { namespace, group: id })
    const group = this.find(namespace, id)
    if (group !== undefined) this.#drop(group)
  }

  describe(namespace: string, id: string): AssignedDescription | undefined {
    const record = this.record(namespace, id)
    if (record === undefined) return undefined
    const { kind, epoch, assignmentEpoch } = record
    const group = this.find(namespace, id)
    const [none = ''] = this.#options.assignors[kind].keys()
    const state = group?.state ?? 'empty'
    const members = [...record.members.values()]
    return { id, kind, state, epoch, assignmentEpoch, assignor: group?.assignor ?? none, members }
  }

  /** Names of all topics that a member subscribes to. */
  subscribedTopics(namespace: string, id: string): Set<string> {
    const { topics, machine } = this.#options
    const members = machine.get(namespace, id)?.members.values() ?? []
    const names = new Set<string>()
    for (const topicId of this.#host.subscriptions.of(namespace, members).partitionCounts.keys()) {
      names.add(topics.byId(topicId)?.name ?? '')
    }
    return names
  }

  close(): void {
    for (const groups of this.#live.values()) for (const group of groups.values()) group.end()
    this.#live.clear()
  }

  #revive(namespace: string, id: string, kind: AssignedKind): AssignedGroup {
    const group = new AssignedGroup(this.#host, namespace, id, kind)
    let groups = this.#live.get(namespace)
    if (groups === undefined) this.#live.set(namespace, (groups = new Map()))
    groups.set(id, group)
    return group
  }

  #drop(group: AssignedGroup): void {
    group.end()
    const groups = this.#live.get(group.namespace)
    if (groups?.get(group.id) !== group) return
    groups.delete(group.id)
    if (groups.size === 0) this.#live.delete(group.namespace)
  }

  #hosting(): AssignedHost {
    const { clock, limits, settings, machine, topics, sight, assignors } = this.#options
    return {
      membersMax: limits.groupMembersMax,
      groupBytesMax: settings.groupBytesMax,
      subscriptions: new Subscriptions(topics, sight),
      nowMs: () => clock.monotonicMs(),
      after: (delayMs, run) => clock.after(delayMs, run),
      newMemberId: () => this.#options.newMemberId(),
      settings: ({ namespace, id }) => {
        const config = machine.config(namespace, id)
        return {
          sessionTimeoutMs: Number(groupSettingOf(config, 'sessionTimeoutMs', settings)),
          heartbeatIntervalMs: Number(groupSettingOf(config, 'heartbeatIntervalMs', settings)),
        }
      },
      record: ({ namespace, id }) => machine.get(namespace, id),
      assignors: kind => assignors[kind],
      fact: this.#options.fact,
      write: this.#options.write,
      handOver: this.#options.handOver,
      left: this.#options.left,
      populated: this.#options.populated,
      idle: group => this.#drop(group),
    }
  }
}

/** What a request must say whatever the state of the group. Throws `BrokerError`. */
function checkHeartbeat(request: HeartbeatRequest): void {
  const { epoch, memberId, instanceId, rackId, topics, pattern } = request
  const problem =
    epoch !== 0 && memberId === ''
      ? 'a member needs an id'
      : instanceId === '' || rackId === ''
        ? 'an instance id or a rack id is not empty'
        : epoch < leavesForAWhile
          ? `there is no epoch ${epoch}`
          : epoch === leavesForAWhile && instanceId === null
            ? 'only a member with an instance id leaves for a while'
            : epoch === 0
              ? joinProblem(request)
              : undefined
  if (problem !== undefined) throw new BrokerError('request-invalid', problem)
  const names = [memberId, instanceId, rackId, pattern]
  if (names.some(name => name !== null && name.length > nameLengthMax)) {
    throw new BrokerError('request-invalid', `names have at most ${nameLengthMax} characters`)
  }
  if (topics?.some(name => name.length > topicNameLengthMax) === true) {
    throw new BrokerError('request-invalid', `names of topics have at most ${topicNameLengthMax} characters`)
  }
}

function joinProblem({ kind, rebalanceTimeoutMs, topics, pattern, owned }: HeartbeatRequest): string | undefined {
  if (topics === null && pattern === null) return 'who joins says what it subscribes to'
  if (kind === 'shared') return undefined
  if (rebalanceTimeoutMs === null) return 'who joins says how long it may take to give up partitions'
  return owned === null || owned.size > 0 ? 'who joins has no partitions' : undefined
}

/** Random bytes in the usual form of a random UUID (version 4). */
export function uuidOf(bytes: Buffer): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
