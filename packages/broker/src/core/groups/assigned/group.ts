import type { Codec } from '@dragoman/wire'
import { BrokerError } from '../../errors.ts'
import { quote } from '../../names.ts'
import { Alarm } from '../alarm.ts'
import type { AssignedSettings } from './settings.ts'
import type { Assignor } from './assignor.ts'
import {
  epochRaised,
  kindNumbers,
  memberMoved,
  memberRemoved,
  memberSet,
  memberStateNumbers,
  membershipFacts,
  targetsSet,
  type MemberFields,
} from './facts.ts'
import type { Interests, Subscriptions } from './interests.ts'
import type { AssignedKind, AssignedRecord, Membership } from './machine.ts'
import { isPartOf, noPartitions, samePartitions, toStored, type PartitionMap } from './partitions.ts'
import { nextStep, type Step } from './reconcile.ts'
import {
  departed,
  leavesForAWhile,
  type AssignedState,
  type HeartbeatRequest,
  type HeartbeatResult,
} from './requests.ts'

/** What an assigned group needs of its surroundings. */
export interface AssignedHost {
  readonly membersMax: number
  readonly groupBytesMax: number
  readonly subscriptions: Subscriptions
  /** Monotonic. */
  nowMs(): number
  after(delayMs: number, run: () => void): () => void
  newMemberId(): string
  /** The group's settings as they are now. */
  settings(group: AssignedGroup): AssignedSettings
  /** The group as the journal has it. */
  record(group: AssignedGroup): AssignedRecord | undefined
  assignors(kind: AssignedKind): ReadonlyMap<string, Assignor>
  /** Writes a fact. Throws when the disk has no room for it. */
  fact<T, W>(type: number, codec: Codec<T, W>, value: W): void
  /** Calls `run`, which writes facts that belong together. False when the disk has no room for them. */
  write(run: () => void): boolean
  /** The members that stay all assign among themselves: true when the group was handed over to them. */
  handOver(group: AssignedGroup, removed: ReadonlySet<string>): boolean
  /** A member is gone for good. */
  left(group: AssignedGroup, memberId: string): void
  /** The number of members has changed by so much. */
  populated(by: number): void
  /** The last member is gone. */
  idle(group: AssignedGroup): void
}

/** Monotonic times; Infinity: not awaited. */
interface Deadlines {
  /** A sign of life. */
  sessionMs: number
  /** Partitions given up. */
  revokeMs: number
  /** A member that assigns among its like: that it joins, or fetches what it is assigned. */
  joinMs: number
  syncMs: number
}

const newDeadlines = (): Deadlines => ({ sessionMs: Infinity, revokeMs: Infinity, joinMs: Infinity, syncMs: Infinity })
const storeRetryMs = 1000
/** What is kept of how a client calls itself. */
export const clientIdLengthMax = 1000

/**
 * A group among whose members the broker shares out the partitions.
 *
 * Everything that the assignment depends on (members, their subscriptions, the topics) raises the epoch of the group; for each
 * epoch a target is computed for every member; each member is led to its target step by step, with its own epoch, as its
 * heartbeats come. In an exclusive group a partition is given to a member only when no other one has it (`reconcile.ts`); in a
 * shared one members go to their targets at once.
 *
 * All state that matters is the machine's (`machine.ts`) and changes by facts; here are only the deadlines. After a restart
 * all sessions begin anew.
 *
 * Invariants: a member has deadlines exactly when the record has it; one timer, set not later than the earliest deadline.
 */
export class AssignedGroup {
  readonly namespace: string
  readonly id: string
  readonly kind: AssignedKind
  readonly #host: AssignedHost
  readonly #deadlines = new Map<string, Deadlines>()
  readonly #alarm: Alarm
  /** Ids that were handed out and have not joined yet, with the time until which they may. */
  readonly #invited = new Map<string, number>()
  #interests: Interests | undefined
  /** The topics' revision that the epoch takes account of. */
  #revision = -1
  #population = 0

  constructor(host: AssignedHost, namespace: string, id: string, kind: AssignedKind) {
    this.#host = host
    this.namespace = namespace
    this.id = id
    this.kind = kind
    this.#alarm = new Alarm(host, () => this.#tick())
    for (const member of this.members()) this.#await(member)
    this.#count()
  }

  get record(): AssignedRecord | undefined {
    return this.#host.record(this)
  }

  get size(): number {
    return this.record?.members.size ?? 0
  }

  member(memberId: string): Membership | undefined {
    return this.record?.members.get(memberId)
  }

  members(): Iterable<Membership> {
    return this.record?.members.values() ?? []
  }

  /** Throws `BrokerError`. What it changed is in the journal, all or nothing of it. */
  heartbeat(request: HeartbeatRequest): HeartbeatResult {
    const memberId = request.memberId === '' ? this.#host.newMemberId() : request.memberId
    this.checkRoom(memberId, request.instanceId)
    const before = this.#claim(memberId, request)
    const { owned } = request
    this.enlist(fieldsOf(memberId, request, before))
    const member = this.reconcile(memberId, owned)
    this.touch(memberId)
    // Who says everything of itself has forgotten what it was told; who is behind has never heard it.
    const isWhole =
      request.epoch === 0 ||
      (this.kind === 'shared' && request.epoch !== member.epoch) ||
      (request.rebalanceTimeoutMs !== null && request.topics !== null && owned !== null)
    const changed = before === undefined || !samePartitions(before.assigned, member.assigned)
    return {
      ...departed(memberId, member.epoch),
      heartbeatIntervalMs: this.#host.settings(this).heartbeatIntervalMs,
      assigned: isWhole || changed ? member.assigned : null,
    }
  }

  checkRoom(memberId: string, instanceId: string | null): void {
    if (this.size < this.#host.membersMax || this.member(memberId) !== undefined) return
    if (instanceId !== null && this.record?.holderOf(instanceId) !== undefined) return
    throw new BrokerError('group-full', `it has ${this.size} members`)
  }

  /** Hands out an id, for a member that joins with it at once. */
  invite(memberId: string, timeoutMs: number): void {
    const now = this.#host.nowMs()
    for (const [id, untilMs] of this.#invited) if (untilMs <= now) this.#invited.delete(id)
    if (this.#invited.size >= this.#host.membersMax)
      throw new BrokerError('group-full', 'too many members are expected')
    this.#invited.set(memberId, now + timeoutMs)
  }

  /** Whether the id was handed out not long ago; it is then not handed out any more. */
  acceptInvited(memberId: string): boolean {
    const untilMs = this.#invited.get(memberId) ?? 0
    return this.#invited.delete(memberId) && untilMs > this.#host.nowMs()
  }

  /** The member that this is, if it is one already; one that comes back under its instance id takes its place first. */
  #claim(memberId: string, { epoch, instanceId, owned }: HeartbeatRequest): Membership | undefined {
    if (instanceId === null) {
      const member = this.member(memberId)
      if (member !== undefined) checkEpoch(this.kind, member, epoch, owned)
      else if (epoch !== 0) throw new BrokerError('member-unknown', quote(memberId))
      return member
    }
    const holder = this.record?.holderOf(instanceId)
    if (epoch !== 0) {
      const member = this.holder(memberId, instanceId)
      checkEpoch(this.kind, member, epoch, owned)
      return member
    }
    if (holder === undefined || holder.memberId === memberId) return holder ?? this.member(memberId)
    if (holder.epoch !== leavesForAWhile && holder.classic === null) {
      throw new BrokerError('member-instance-unreleased', `${quote(instanceId)} belongs to ${quote(holder.memberId)}`)
    }
    return this.replace(holder, memberId)
  }

  /** Who holds the instance id, which must be this member. Throws `BrokerError`. */
  holder(memberId: string, instanceId: string): Membership {
    const holder = this.record?.holderOf(instanceId)
    if (holder === undefined) throw new BrokerError('member-unknown', `nobody has the instance id ${quote(instanceId)}`)
    if (holder.memberId === memberId) return holder
    throw new BrokerError('member-instance-fenced', `${quote(instanceId)} belongs to ${quote(holder.memberId)}`)
  }

  /** A new member with all that the former holder of its instance id had and was to have. */
  replace(former: Membership, memberId: string): Membership {
    const { namespace, id: group } = this
    this.#host.fact(membershipFacts.memberRemoved, memberRemoved, { namespace, group, memberId: former.memberId })
    this.#deadlines.delete(former.memberId)
    this.#set({ ...former, memberId })
    const targets = [{ memberId, target: toStored(former.target) }]
    const { assignmentEpoch: epoch = 0 } = this.record ?? {}
    this.#host.fact(membershipFacts.targetsSet, targetsSet, { namespace, group, epoch, targets })
    this.#move({ ...former, memberId }, { ...former, epoch: 0, previousEpoch: 0 })
    return this.existing(memberId)
  }

  existing(memberId: string): Membership {
    const member = this.member(memberId)
    if (member === undefined) throw new BrokerError('member-unknown', quote(memberId))
    return member
  }

  /** Writes down what a member says of itself, if that is new, and brings epoch and targets up to date. */
  enlist(fields: MemberFields): void {
    const before = this.member(fields.memberId)
    const resubscribed = before === undefined || !sameSubscription(before, fields)
    if (before === undefined || !sameFields(before, fields)) {
      this.#checkBytes(fields)
      this.#set(fields)
    }
    if (!this.#deadlines.has(fields.memberId)) this.#deadlines.set(fields.memberId, newDeadlines())
    this.#count()
    this.refresh(resubscribed)
  }

  #checkBytes(fields: MemberFields): void {
    let bytes = bytesOf(fields)
    for (const member of this.members()) if (member.memberId !== fields.memberId) bytes += bytesOf(member)
    if (bytes <= this.#host.groupBytesMax) return
    throw new BrokerError('group-full', `what its members say of themselves takes ${bytes} bytes`)
  }

  /** Raises the epoch when the members or the topics have changed, and computes the targets of a new epoch. */
  refresh(changed: boolean): void {
    const { record } = this
    if (record === undefined || record.members.size === 0) return
    const { revision } = this.#host.subscriptions
    if (changed || this.#revision !== revision || this.#interests === undefined) {
      this.#interests = this.#host.subscriptions.of(this.namespace, record.members.values())
      this.#revision = revision
      if (changed || this.#interests.hash !== record.topicsHash) this.#raise(this.#interests.hash)
    }
    if (record.epoch > record.assignmentEpoch) this.#assign(record, this.#interests)
  }

  #raise(topicsHash: string): void {
    const epoch = (this.record?.epoch ?? 0) + 1
    const fact = { namespace: this.namespace, group: this.id, epoch, topicsHash }
    this.#host.fact(membershipFacts.epochRaised, epochRaised, fact)
  }

  #assign(record: AssignedRecord, interests: Interests): void {
    const members = Array.from(record.members.values(), member => {
      const { memberId, instanceId, target } = member
      return { memberId, instanceId, target, topics: interests.of(member) }
    })
    const assign = this.#host.assignors(this.kind).get(this.assignor)
    const assigned = assign?.({ members, partitionCounts: interests.partitionCounts })
    const targets: { memberId: string; target: ReturnType<typeof toStored> }[] = []
    for (const { memberId, target } of members) {
      const next = assigned?.get(memberId) ?? noPartitions
      if (!samePartitions(target, next)) targets.push({ memberId, target: toStored(next) })
    }
    const fact = { namespace: this.namespace, group: this.id, epoch: record.epoch, targets }
    this.#host.fact(membershipFacts.targetsSet, targetsSet, fact)
  }

  /** The one that most of those want who care; else the first that there is. */
  get assignor(): string {
    const votes = new Map<string, number>()
    for (const { assignor } of this.members())
      if (assignor !== null) votes.set(assignor, (votes.get(assignor) ?? 0) + 1)
    let [elected = ''] = this.#host.assignors(this.kind).keys()
    let most = 0
    for (const [name, count] of votes) if (count > most) [elected, most] = [name, count]
    return elected
  }

  /** Leads a member one step towards its target. */
  reconcile(memberId: string, owned: PartitionMap | null): Membership {
    const { record } = this
    const member = this.existing(memberId)
    if (record === undefined) return member
    const step = this.#stepOf(record, member, owned)
    if (step === undefined || sameStep(member, step)) return member
    this.#move(member, step)
    const deadlines = this.#deadlines.get(memberId)
    if (deadlines !== undefined && member.classic === null) {
      deadlines.revokeMs = step.state === 'revoking' ? this.#host.nowMs() + member.rebalanceTimeoutMs : Infinity
      this.#alarm.setAt(deadlines.revokeMs)
    }
    return this.existing(memberId)
  }

  #stepOf(record: AssignedRecord, member: Membership, owned: PartitionMap | null): Step | undefined {
    const { assignmentEpoch } = record
    if (this.kind === 'shared') {
      if (member.epoch === assignmentEpoch) return undefined
      const previousEpoch = member.epoch
      return { epoch: assignmentEpoch, previousEpoch, state: 'stable', assigned: member.target, revoking: noPartitions }
    }
    const topics = this.#interests?.of(member)
    return nextStep(member, {
      assignmentEpoch,
      owned,
      isSubscribed: topicId => topics === undefined || topics.has(topicId),
      isFree: (topicId, partition) => {
        const owner = record.ownerOf(topicId, partition)
        return owner === undefined || owner === member.memberId
      },
    })
  }

  /** Whether a member that waits would now get all that it is to have. */
  canHaveAll({ memberId, target }: Membership): boolean {
    const { record } = this
    for (const [topicId, partitions] of target) {
      for (const partition of partitions) {
        const owner = record?.ownerOf(topicId, partition)
        if (owner !== undefined && owner !== memberId) return false
      }
    }
    return true
  }

  #set(fields: MemberFields): void {
    const { namespace, id: group, kind } = this
    const fact = { ...fields, namespace, group, kind: kindNumbers[kind] }
    this.#host.fact(membershipFacts.memberSet, memberSet, fact)
  }

  #move({ memberId }: Membership, { epoch, previousEpoch, state, assigned, revoking }: Step): void {
    this.#host.fact(membershipFacts.memberMoved, memberMoved, {
      namespace: this.namespace,
      group: this.id,
      memberId,
      epoch,
      previousEpoch,
      state: memberStateNumbers[state],
      assigned: toStored(assigned),
      revoking: toStored(revoking),
    })
  }

  /** Throws `BrokerError` when this is no member. */
  leave({ memberId, instanceId, epoch }: HeartbeatRequest): HeartbeatResult {
    const member = instanceId === null ? this.existing(memberId) : this.holder(memberId, instanceId)
    if (epoch === leavesForAWhile) {
      this.#move(member, { ...member, epoch, revoking: noPartitions })
      const deadlines = this.#deadlines.get(memberId)
      if (deadlines !== undefined) deadlines.revokeMs = Infinity
    } else this.remove([member])
    return departed(memberId, epoch)
  }

  /** Ends memberships. What the members had is free at once; the others are told with their next heartbeats. */
  remove(members: readonly Membership[]): void {
    const removed = new Set(members.map(({ memberId }) => memberId))
    if (removed.size === 0 || this.#host.handOver(this, removed)) return
    for (const memberId of removed) {
      this.#host.fact(membershipFacts.memberRemoved, memberRemoved, {
        namespace: this.namespace,
        group: this.id,
        memberId,
      })
      this.#deadlines.delete(memberId)
      this.#host.left(this, memberId)
    }
    this.#interests = this.#host.subscriptions.of(this.namespace, this.members())
    this.#revision = this.#host.subscriptions.revision
    this.#raise(this.#interests.hash)
    this.#count()
    if (this.size === 0) this.#host.idle(this)
  }

  #await(member: Membership): void {
    const deadlines = newDeadlines()
    this.#deadlines.set(member.memberId, deadlines)
    if (member.state === 'revoking' && member.classic === null && member.epoch >= 0) {
      deadlines.revokeMs = this.#host.nowMs() + member.rebalanceTimeoutMs
      this.#alarm.setAt(deadlines.revokeMs)
    }
    this.touch(member.memberId)
  }

  /** A sign of life. */
  touch(memberId: string): void {
    const timeoutMs = this.member(memberId)?.classic?.sessionTimeoutMs ?? this.#host.settings(this).sessionTimeoutMs
    this.#setDeadline(memberId, 'sessionMs', timeoutMs)
  }

  #setDeadline(memberId: string, which: keyof Deadlines, delayMs: number): void {
    const deadlines = this.#deadlines.get(memberId)
    if (deadlines === undefined) return
    deadlines[which] = delayMs === Infinity ? Infinity : this.#host.nowMs() + delayMs
    this.#alarm.setAt(deadlines[which])
  }

  /** Awaits a member's next request of this kind within `delayMs`, counted from the first time that this was said. */
  expect(memberId: string, which: 'joinMs' | 'syncMs', delayMs: number): void {
    if (this.#deadlines.get(memberId)?.[which] === Infinity) this.#setDeadline(memberId, which, delayMs)
  }

  /** It has come. */
  came(memberId: string, which: 'joinMs' | 'syncMs'): void {
    this.#setDeadline(memberId, which, Infinity)
  }

  #tick(): void {
    const now = this.#host.nowMs()
    const expired: Membership[] = []
    let next = Infinity
    for (const [memberId, deadlines] of this.#deadlines) {
      const first = Math.min(deadlines.sessionMs, deadlines.revokeMs, deadlines.joinMs, deadlines.syncMs)
      const member = this.member(memberId)
      if (first <= now && member !== undefined) expired.push(member)
      else next = Math.min(next, first)
    }
    if (expired.length > 0 && !this.#host.write(() => this.remove(expired))) next = now + storeRetryMs
    // Large groups look less often, so that a look costs the same share of the time whatever their size.
    if (next < Infinity && this.#deadlines.size > 0) {
      this.#alarm.setAt(Math.max(next, now + Math.min(1000, this.#deadlines.size / 10)))
    }
  }

  get state(): AssignedState {
    const { record } = this
    if (record === undefined || record.members.size === 0) return 'empty'
    if (this.kind === 'shared') return 'stable'
    if (record.epoch > record.assignmentEpoch) return 'assigning'
    for (const member of record.members.values()) {
      if (member.state !== 'stable' || member.epoch !== record.assignmentEpoch) return 'reconciling'
    }
    return 'stable'
  }

  #count(): void {
    this.#host.populated(this.size - this.#population)
    this.#population = this.size
  }

  /** No timer is left, and no member counted. */
  end(): void {
    this.#alarm.stop()
    this.#deadlines.clear()
    this.#host.populated(-this.#population)
    this.#population = 0
  }
}

/** A member in an epoch of the past, or of no time, must give up everything and join again. */
function checkEpoch(kind: AssignedKind, member: Membership, epoch: number, owned: PartitionMap | null): void {
  if (epoch === 0 || epoch === member.epoch) return
  // The answer that told it of the newer epoch may have been lost.
  if (epoch === member.previousEpoch && (kind === 'shared' || (owned !== null && isPartOf(owned, member.assigned))))
    return
  throw new BrokerError('member-epoch-fenced', `${quote(member.memberId)} is in epoch ${member.epoch}, not in ${epoch}`)
}

/** What a member has said of itself up to now. */
function fieldsOf(memberId: string, request: HeartbeatRequest, before: Membership | undefined): MemberFields {
  const pattern = request.pattern ?? before?.pattern ?? null
  return {
    memberId,
    instanceId: request.instanceId ?? before?.instanceId ?? null,
    rackId: request.rackId ?? before?.rackId ?? null,
    clientId: request.clientId.slice(0, clientIdLengthMax),
    clientHost: request.clientHost,
    principal: request.principal,
    host: request.host,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs ?? before?.rebalanceTimeoutMs ?? 0,
    topics: request.topics === null ? (before?.topics ?? []) : sortedOnce(request.topics),
    pattern: pattern === '' ? null : pattern,
    assignor: request.assignor ?? before?.assignor ?? null,
    classic: null,
  }
}

export const sortedOnce = (names: readonly string[]): string[] => Array.from(new Set(names)).sort()

const sameSubscription = (a: MemberFields, b: MemberFields): boolean =>
  a.pattern === b.pattern && sameNames(a.topics, b.topics)

const sameNames = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((name, index) => name === b[index]))

function sameFields(a: MemberFields, b: MemberFields): boolean {
  return (
    a.instanceId === b.instanceId &&
    a.rackId === b.rackId &&
    a.clientId === b.clientId &&
    a.clientHost === b.clientHost &&
    a.principal === b.principal &&
    a.host === b.host &&
    a.rebalanceTimeoutMs === b.rebalanceTimeoutMs &&
    a.assignor === b.assignor &&
    sameSubscription(a, b) &&
    sameClassic(a.classic, b.classic)
  )
}

function sameClassic(a: MemberFields['classic'], b: MemberFields['classic']): boolean {
  if (a === null || b === null) return a === b
  return (
    a.sessionTimeoutMs === b.sessionTimeoutMs &&
    a.offers.length === b.offers.length &&
    a.offers.every(({ name, metadata }, index) => {
      const other = b.offers[index]
      return other !== undefined && name === other.name && metadata.equals(other.metadata)
    })
  )
}

const sameStep = (a: Step, b: Step): boolean =>
  a.epoch === b.epoch &&
  a.previousEpoch === b.previousEpoch &&
  a.state === b.state &&
  samePartitions(a.assigned, b.assigned) &&
  samePartitions(a.revoking, b.revoking)

/** Bytes that a member makes its group hold. */
function bytesOf({ topics, pattern, classic }: MemberFields): number {
  let bytes = 64 + (pattern?.length ?? 0)
  for (const name of topics) bytes += name.length
  for (const { name, metadata } of classic?.offers ?? []) bytes += name.length + metadata.length
  return bytes
}
