import type { Codec, Infer, Random } from '@dragoman/wire'
import type { Ledger } from '../../cell/machine.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { quote } from '../names.ts'
import { AssignedGroups, uuidOf } from './assigned/assigned-groups.ts'
import type { Assignor } from './assigned/assignor.ts'
import { exclusiveAssignors } from './assigned/exclusive-assignors.ts'
import { BridgedMembers } from './assigned/bridged-members.ts'
import { groupConfigured, membershipFacts } from './assigned/facts.ts'
import type { AssignedGroup } from './assigned/group.ts'
import type { TopicSight, TopicView } from './assigned/interests.ts'
import { settingsOf, type AssignedKind, type GroupConfig, type MembershipsMachine } from './assigned/machine.ts'
import {
  heartbeatRefused,
  type AssignedDescription,
  type GroupBridge,
  type HeartbeatRequest,
  type HeartbeatResult,
} from './assigned/requests.ts'
import type { stabilised } from './facts.ts'
import type { Group } from './group.ts'
import { checkGroupConfig } from './group-config.ts'
import { handBack, isLeftToItself, readMembers, takeOver } from './migration.ts'
import {
  joinRefused,
  syncRefused,
  type GroupName,
  type JoinRequest,
  type JoinResult,
  type ListedGroup,
  type MemberName,
  type SyncRequest,
  type SyncResult,
} from './requests.ts'
import type { GroupSettings } from './settings.ts'

/** The groups whose members assign among themselves, as far as they may become others. */
export interface ClassicGroups {
  /** With members, or members expected. */
  find(namespace: string, id: string): Group | undefined
  /** Whether there are offsets of the group. */
  hasOffsets(namespace: string, id: string): boolean
  /** Whether one more group may be. */
  hasRoom(): boolean
  /** Whether one more member may be. */
  hasRoomForMember(): boolean
  populated(by: number): void
  /** Writes that the group has no members any more, and forgets them. Those who wait are answered later, by `Group.end`. */
  empty(group: Group): void
  /** Writes a generation, and goes on with it. */
  restore(generation: Infer<typeof stabilised>): Group
}

export interface MembershipsOptions {
  readonly ledger: Ledger
  readonly machine: MembershipsMachine
  readonly random: Random
  readonly limits: Limits
  readonly settings: GroupSettings
  readonly topics: TopicView
  readonly sight: TopicSight
  readonly sharedAssignors: ReadonlyMap<string, Assignor>
  readonly classic: ClassicGroups
  /** A member is gone for good. */
  left(group: AssignedGroup, memberId: string): void
  /** Writes a fact of the memberships. */
  fact<T, W>(type: number, codec: Codec<T, W>, value: W): void
  /** Runs what writes facts. Why that cannot be, or undefined when it is done. */
  write(run: () => void): ErrorCode | undefined
}

/**
 * Groups to which the broker assigns, those of their members that still assign among their like, and how groups become the one or
 * the other kind. Part of `Groups`, which calls it in the order of the requests and waits for what was written.
 */
export class Memberships {
  readonly #options: MembershipsOptions
  readonly #assigned: AssignedGroups
  #bridge: { readonly form: GroupBridge; readonly members: BridgedMembers } | undefined

  constructor(options: MembershipsOptions) {
    this.#options = options
    const { ledger, machine, random, limits, settings, topics, sight, classic, sharedAssignors } = options
    const newMemberId = (): string => uuidOf(random.bytes(16))
    this.#assigned = new AssignedGroups({
      ...{ machine, clock: ledger.clock, newMemberId, limits, settings, topics, sight },
      assignors: { exclusive: exclusiveAssignors, shared: sharedAssignors },
      fact: (type, codec, value) => options.fact(type, codec, value),
      write: run => this.#write(run) === undefined,
      handOver: (group, removed) => this.#handOver(group, removed),
      left: (group, memberId) => options.left(group, memberId),
      populated: by => classic.populated(by),
    })
  }

  /** How members that assign among themselves put it. Until it is known, they and others cannot be in one group. */
  useBridge(form: GroupBridge): void {
    const { topics, random } = this.#options
    const newMemberId = (): string => uuidOf(random.bytes(16))
    this.#bridge = { form, members: new BridgedMembers({ bridge: form, topics, newMemberId }) }
  }

  /** The kind of a group to which the broker assigns, with members or not. */
  kindOf(namespace: string, id: string): AssignedKind | undefined {
    return this.#options.machine.get(namespace, id)?.kind
  }

  /** The block of the last change of the group's members, or -1. */
  seqOf(namespace: string, id: string): number {
    return this.#options.machine.get(namespace, id)?.seq ?? -1
  }

  /** Block time at which the last member left; 0 before that. */
  emptiedMsOf(namespace: string, id: string): number {
    return this.#options.machine.get(namespace, id)?.emptiedMs ?? 0
  }

  get count(): number {
    return this.#options.machine.count
  }

  hasMembers(namespace: string, id: string): boolean {
    return this.#assigned.find(namespace, id) !== undefined
  }

  /** Groups without members that may be forgotten in time. Where shared groups stand is kept until somebody removes it. */
  *abandoned(): Generator<GroupName> {
    for (const { namespace, id, kind, members } of this.#options.machine.all()) {
      if (members.size === 0 && kind !== 'shared') yield { namespace, group: id }
    }
  }

  heartbeat(request: HeartbeatRequest): HeartbeatResult {
    let result: HeartbeatResult | undefined
    let former: Group | undefined
    try {
      const refusal = this.#write(() => {
        this.#assigned.check(request)
        former = this.#makeWay(request)
        result = this.#assigned.heartbeat(request)
      })
      if (refusal !== undefined) return heartbeatRefused(refusal, 'nothing can be written')
    } catch (error) {
      if (error instanceof BrokerError) return heartbeatRefused(error.code, error.message)
      throw error
    } finally {
      // Who waits is answered last: with the answer may come the next request.
      former?.end('group-rebalancing')
    }
    return result ?? heartbeatRefused('unsupported', '')
  }

  /** A group of the other kind under this id becomes one of this kind, if it may. Gives what is left of it. */
  #makeWay({ namespace, group: id, kind, epoch, memberId }: HeartbeatRequest): Group | undefined {
    const { classic } = this.#options
    const present = this.kindOf(namespace, id)
    if (epoch !== 0 || present !== undefined) {
      const isNew = epoch === 0 && this.#assigned.find(namespace, id)?.member(memberId) === undefined
      if (isNew && !classic.hasRoomForMember()) throw new BrokerError('group-full', 'the broker has too many members')
      return undefined
    }
    if (!classic.hasRoomForMember()) throw new BrokerError('group-full', 'the broker has too many members')
    const group = classic.find(namespace, id)
    const isKnown = group !== undefined || classic.hasOffsets(namespace, id)
    if (!isKnown && !classic.hasRoom()) throw new BrokerError('limit-reached', 'there are too many groups')
    if (kind !== 'exclusive' && isKnown) throw new BrokerError('group-not-found', `${quote(id)} is of another kind`)
    if (group === undefined) return undefined
    // Members may be expected that have not come.
    if (group.handedOver().members.length === 0) classic.empty(group)
    else this.#upgrade(group)
    return group
  }

  #upgrade(group: Group): void {
    const { settings, limits, topics, classic } = this.#options
    const form = this.#bridge?.form
    const { namespace, id } = group
    const { generation, isBetweenGenerations, members } = group.handedOver()
    const isAllowed = settings.migration === 'bidirectional' || settings.migration === 'upgrade'
    const isBridged = form !== undefined && group.protocolType === form.protocolType
    const taken = isBridged ? readMembers(members, isBetweenGenerations, form) : undefined
    if (!isAllowed || taken === undefined || members.length >= limits.groupMembersMax) {
      throw new BrokerError('group-not-found', `in ${quote(id)} the members assign among themselves`)
    }
    classic.empty(group)
    const name = { namespace, group: id, generation }
    takeOver((type, codec, value) => this.#options.fact(type, codec, value), topics, name, taken)
    this.#assigned.open(namespace, id)
  }

  /** To be called before the members in `removed` are. */
  #handOver({ namespace, id, record }: AssignedGroup, removed: ReadonlySet<string>): boolean {
    return record !== undefined && isLeftToItself(record, removed) && this.#downgrade({ namespace, group: id }, removed)
  }

  #downgrade(name: GroupName, removed: ReadonlySet<string>): boolean {
    const { settings, classic, machine } = this.#options
    const bridge = this.#bridge
    const record = machine.get(name.namespace, name.group)
    const isAllowed = settings.migration === 'bidirectional' || settings.migration === 'downgrade'
    if (!isAllowed || bridge === undefined || record === undefined) return false
    const generation = handBack(record, removed, bridge.form, partitions => bridge.members.named(partitions))
    const isSettled = removed.size === 0 && this.#assigned.find(name.namespace, name.group)?.state === 'stable'
    this.#assigned.remove(name)
    const group = classic.restore(generation)
    // Else somebody may still have what is another's now.
    if (!isSettled) group.regroup()
    return true
  }

  /** Undefined: the group is not one of these, and may be had by members that assign among themselves. */
  join(request: JoinRequest): JoinResult | undefined {
    const { namespace, group: id, memberId } = request
    const kind = this.kindOf(namespace, id)
    if (kind === undefined) return undefined
    const group = this.#assigned.find(namespace, id)
    const bridged = this.#bridge?.members
    if (kind === 'shared' || bridged === undefined) return joinRefused('group-protocol-mismatch', memberId)
    if (group === undefined) {
      const refusal = this.#write(() => this.#assigned.remove({ namespace, group: id }))
      return refusal && joinRefused(refusal, memberId)
    }
    return this.#try<JoinResult>(
      () => {
        const { result, replaced } = bridged.join(group, request)
        const isLast = replaced?.classic === null && [...group.members()].every(({ classic }) => classic !== null)
        if (isLast) this.#downgrade({ namespace, group: id }, new Set())
        return result
      },
      error => joinRefused(error, memberId),
    )
  }

  /** Undefined: the group is not one of these. */
  sync(request: SyncRequest): SyncResult | undefined {
    const group = this.#assigned.find(request.namespace, request.group)
    const bridged = this.#bridge?.members
    if (group === undefined || bridged === undefined) return undefined
    return this.#try(() => bridged.sync(group, request), syncRefused)
  }

  /** A sign of life of a member that assigns among its like. 'none': the group is not one of these. */
  heartbeatBridged(
    namespace: string,
    id: string,
    name: MemberName,
    generation: number,
  ): ErrorCode | 'none' | undefined {
    const group = this.#assigned.find(namespace, id)
    const bridged = this.#bridge?.members
    if (group === undefined || bridged === undefined) return 'none'
    return this.#try<ErrorCode | undefined>(
      () => {
        bridged.heartbeat(group, name, generation)
        return undefined
      },
      error => error,
    )
  }

  /** Undefined: the group is not one of these. */
  leave({ namespace, group: id }: GroupName, names: readonly MemberName[]): (ErrorCode | undefined)[] | undefined {
    const group = this.#assigned.find(namespace, id)
    const bridged = this.#bridge?.members
    if (group === undefined || bridged === undefined) return undefined
    return this.#try<(ErrorCode | undefined)[]>(
      () => bridged.leave(group, names),
      error => names.map(() => error),
    )
  }

  /** Runs what may write facts and be refused. */
  #try<T>(run: () => T, refused: (error: ErrorCode) => T): T {
    let result: T | undefined
    try {
      const refusal = this.#write(() => {
        result = run()
      })
      return refusal === undefined ? (result as T) : refused(refusal)
    } catch (error) {
      if (error instanceof BrokerError) return refused(error.code)
      throw error
    }
  }

  #write(run: () => void): ErrorCode | undefined {
    return this.#options.write(() => void this.#options.ledger.atomic(run))
  }

  /** Whether this sender may commit offsets, or read them, in a group to which the broker assigns. */
  checkMember(name: GroupName, memberId: string, epoch: number, knowsEpochs: boolean): ErrorCode | undefined {
    const group = this.#assigned.find(name.namespace, name.group)
    if (group === undefined) return epoch < 0 ? undefined : 'member-unknown'
    const member = group.member(memberId)
    if (member === undefined) return 'member-unknown'
    if (member.classic === null && !knowsEpochs) return 'unsupported'
    if (member.epoch === epoch) return undefined
    return member.classic === null ? 'member-epoch-stale' : 'group-generation-stale'
  }

  describe(namespace: string, id: string): AssignedDescription | undefined {
    return this.#assigned.describe(namespace, id)
  }

  list(namespace: string): ListedGroup[] {
    return Array.from(this.#options.machine.list(namespace), ({ id, kind }) => ({
      id,
      kind,
      protocolType: null,
      state: this.#assigned.find(namespace, id)?.state ?? 'empty',
    }))
  }

  subscribedTopics(namespace: string, id: string): Set<string> {
    return this.#assigned.subscribedTopics(namespace, id)
  }

  /** Writes that the group is gone. */
  remove(name: GroupName): void {
    this.#assigned.remove(name)
  }

  config(namespace: string, group: string): GroupConfig {
    return this.#options.machine.config(namespace, group)
  }

  /** Groups that have settings, whether they exist or not. */
  *configured(namespace: string): Generator<string> {
    for (const { group } of this.#options.machine.configured(namespace)) yield group
  }

  /** Writes the settings of a group: the complete set. Throws `BrokerError`. */
  configure({ namespace, group }: GroupName, config: GroupConfig, validateOnly: boolean): void {
    const { machine, settings, limits, fact } = this.#options
    checkGroupConfig(config, settings)
    const isNew = machine.config(namespace, group).size === 0 && config.size > 0
    if (isNew && machine.configuredCount >= limits.groupsMax) {
      throw new BrokerError('limit-reached', `${limits.groupsMax} groups have settings`)
    }
    if (validateOnly) return
    const refusal = this.#write(() =>
      fact(membershipFacts.groupConfigured, groupConfigured, { namespace, group, config: settingsOf(config) }),
    )
    if (refusal !== undefined) throw new BrokerError(refusal, `the settings of ${quote(group)} cannot be changed`)
  }

  close(): void {
    this.#assigned.close()
  }
}
