import assert from 'node:assert/strict'
import { keptCopy } from '@dragoman/wire'
import type { ErrorCode } from '../errors.ts'
import { Alarm } from './alarm.ts'
import type { ClassicMember } from './assigned/requests.ts'
import type { StoredMember } from './facts.ts'
import type { GroupRecord } from './machine.ts'
import {
  joinRefused,
  syncRefused,
  type Assignment,
  type GroupDescription,
  type GroupState,
  type JoinDone,
  type JoinRequest,
  type JoinResult,
  type MemberName,
  type Offer,
  type SyncDone,
  type SyncRequest,
} from './requests.ts'
import { deadlineOf, newMember, ownOffers, Roster, sameOffers, subscriptionOf, type Member } from './roster.ts'
import type { GroupSettings } from './settings.ts'

/** What a group needs of its surroundings. */
export interface GroupHost {
  readonly settings: GroupSettings
  readonly membersMax: number
  /** Monotonic. */
  nowMs(): number
  after(delayMs: number, run: () => void): () => void
  newMemberId(prefix: string): string
  /** Writes the present generation, or that the group is empty. False when the disk has no room for it. */
  store(group: Group): boolean
  /** Calls `run` when all that was written of the group is durable. */
  whenStored(group: Group, run: () => void): void
  /** The number of members and of ids given away has changed by so much. */
  populated(by: number): void
  /** Neither members nor anyone expected: the group may be forgotten. */
  idle(group: Group): void
}

type State =
  | { readonly kind: 'empty'; readonly stored: boolean }
  /** `firstUntilMs`: the group was empty, and waits a little after each newcomer, because members tend to be started together. */
  | { readonly kind: 'preparing-rebalance'; readonly firstUntilMs: number | undefined; readonly deadlineMs: number }
  | { readonly kind: 'completing-rebalance'; readonly unsynced: Set<string>; readonly deadlineMs: number }
  | { readonly kind: 'stable'; readonly unsynced: Set<string>; readonly deadlineMs: number }
  | { readonly kind: 'dead' }

const noBytes = Buffer.alloc(0)
const storeRetryMs = 1000

/**
 * Who shares the work of one group, and how they agree on it.
 *
 *   empty --join--> preparing-rebalance --all joined, or time is up--> completing-rebalance --leader's sync--> stable
 *     ^                |   ^   ^                                              |                                 |
 *     +--nobody left---+   |   +-------- join, leave, death, no sync ---------+                                 |
 *                          +---------------------------- join, leave, death, no sync ---------------------------+
 *
 * The members of a generation are those that joined before the preparation ended; the leader shares out the work; everybody
 * fetches its share by sync. Only a stable generation is written to the journal: after a restart members go on in it, and
 * one that was being formed is formed anew, possibly under the same number.
 *
 * Invariants: joins wait only in preparing-rebalance, syncs only in completing-rebalance; in completing-rebalance and stable
 * there is a leader and a protocol; one timer, set not later than the earliest deadline, so that a sign of life only
 * moves a number.
 */
export class Group {
  readonly namespace: string
  readonly id: string
  readonly #host: GroupHost
  readonly #roster = new Roster()
  /** Ids that were handed out and have not joined yet, with the time until which they are expected. */
  readonly #pending = new Map<string, number>()
  /** What to tell whom once the present change is complete. */
  readonly #effects: (() => void)[] = []
  #state: State = { kind: 'empty', stored: true }
  #generation = 0
  #protocolType: string | null = null
  #protocol: string | null = null
  #population = 0
  readonly #alarm: Alarm

  /** A new group, or one as the journal knows it: its members' sessions then start now. */
  constructor(host: GroupHost, namespace: string, id: string, record: GroupRecord | undefined) {
    this.#host = host
    this.#alarm = new Alarm(host, () => this.#tick())
    this.namespace = namespace
    this.id = id
    if (record === undefined) return
    this.#generation = record.generation
    this.#protocolType = record.protocolType
    this.#protocol = record.protocol
    for (const stored of record.members) {
      const offers = [{ name: record.protocol ?? '', metadata: stored.subscription }]
      const deadlineMs = host.nowMs() + stored.sessionTimeoutMs
      const idle = { joining: undefined, syncing: undefined, isNew: false }
      this.#roster.add({ ...stored, id: stored.memberId, offers, deadlineMs, ...idle })
      this.#alarm.setAt(deadlineMs)
    }
    if (record.leader !== null) this.#roster.lead(record.leader)
    if (this.#roster.size > 0) this.#state = { kind: 'stable', unsynced: new Set(), deadlineMs: Infinity }
    this.#flush()
  }

  get state(): GroupState {
    return this.#state.kind
  }

  get generation(): number {
    return this.#generation
  }

  get protocolType(): string | null {
    return this.#protocolType
  }

  get protocol(): string | null {
    return this.#protocol
  }

  get leader(): string {
    return this.#roster.leader ?? ''
  }

  /** Bytes that its members make it hold. */
  get bytes(): number {
    return this.#roster.bytes
  }

  join(request: JoinRequest, done: JoinDone): void {
    assert(this.#state.kind !== 'dead')
    this.#join(request, done)
    this.#flush()
  }

  #join(request: JoinRequest, done: JoinDone): void {
    const { memberId } = request
    const offers = ownOffers(request.offers)
    if (!this.#hasRoomFor(memberId)) {
      this.#dismiss(memberId)
      return this.#answerJoin(done, joinRefused('group-full', ''))
    }
    if (!this.#supports(request.protocolType, offers)) {
      return this.#answerJoin(done, joinRefused('group-protocol-mismatch', memberId))
    }
    if (memberId === '') return this.#joinUnknown(request, offers, done)
    if (this.#pending.has(memberId)) {
      // An id is handed out first only to members without an instance id.
      if (request.instanceId !== null) return this.#answerJoin(done, joinRefused('member-unknown', memberId))
      return this.#admit(memberId, request, offers, done)
    }
    const error = this.#roster.check(memberId, request.instanceId)
    const member = this.#roster.get(memberId)
    if (error !== undefined || member === undefined) {
      return this.#answerJoin(done, joinRefused(error ?? 'member-unknown', memberId))
    }
    this.#rejoin(member, request, offers, done)
  }

  /** While members gather, places are for those who have come; those who are late may lose theirs. */
  #hasRoomFor(memberId: string): boolean {
    const max = this.#host.membersMax
    const member = this.#roster.get(memberId)
    if (memberId === '' && this.#pending.size >= max) return false
    switch (this.#state.kind) {
      case 'preparing-rebalance':
        return member?.joining !== undefined || this.#roster.joiningCount < max
      case 'completing-rebalance':
      case 'stable':
        return member !== undefined || this.#roster.size < max
      default:
        return true
    }
  }

  #supports(protocolType: string, offers: readonly Offer[]): boolean {
    if (this.#state.kind === 'empty') return protocolType !== '' && offers.length > 0
    return protocolType === this.#protocolType && this.#roster.supports(offers)
  }

  #joinUnknown(request: JoinRequest, offers: readonly Offer[], done: JoinDone): void {
    const { instanceId } = request
    const memberId = this.#host.newMemberId(instanceId ?? request.clientId)
    if (instanceId !== null) {
      const holder = this.#roster.holderOf(instanceId)
      if (holder === undefined) return this.#admit(memberId, request, offers, done)
      return this.#replace(holder, memberId, request, offers, done)
    }
    if (!request.takesIdFirst) return this.#admit(memberId, request, offers, done)
    const untilMs = this.#host.nowMs() + request.sessionTimeoutMs
    this.#pending.set(memberId, untilMs)
    this.#alarm.setAt(untilMs)
    this.#answerJoin(done, joinRefused('member-id-required', memberId))
  }

  #admit(memberId: string, request: JoinRequest, offers: readonly Offer[], done: JoinDone): void {
    this.#pending.delete(memberId)
    if (this.#roster.size === 0) this.#protocolType = request.protocolType
    // It cannot give signs of life before it knows its id, nor is it noticed when its connection goes.
    const deadlineMs = this.#host.nowMs() + this.#host.settings.newMemberJoinTimeoutMs
    this.#roster.add({ ...newMember(memberId, request, offers), deadlineMs, isNew: true, joining: done })
    this.#alarm.setAt(deadlineMs)
    this.#rebalance()
  }

  /** A member that comes back. Rebalances only when that can change who does what. */
  #rejoin(member: Member, request: JoinRequest, offers: readonly Offer[], done: JoinDone): void {
    const same = sameOffers(member.offers, offers)
    const { kind } = this.#state
    // A leader that joins again has seen something that changes the assignment.
    const mustRebalance = !same || kind === 'preparing-rebalance' || (kind === 'stable' && this.leader === member.id)
    if (!mustRebalance) {
      this.#touch(member)
      // It has probably missed the answer to its last join: only the leader of an unfinished generation needs the others.
      const members = kind === 'completing-rebalance' && this.leader === member.id ? this.#joinedMembers() : []
      return this.#answerJoin(done, { ...this.#joined(member.id), members })
    }
    this.#roster.update(member, request, offers)
    this.#park(member, done)
    this.#rebalance()
  }

  /** A new process takes the place of the one that holds its instance id. */
  #replace(oldId: string, memberId: string, request: JoinRequest, offers: readonly Offer[], done: JoinDone): void {
    const before = this.#roster.get(oldId)
    assert(before !== undefined)
    const oldLeader = this.leader
    this.#refuse(before, 'member-instance-fenced', oldId)
    const member = { ...newMember(memberId, request, offers), assignment: before.assignment }
    this.#roster.replace(oldId, member)
    this.#touch(member)
    const state = this.#state
    if ((state.kind === 'stable' || state.kind === 'completing-rebalance') && state.unsynced.delete(oldId)) {
      state.unsynced.add(memberId)
    }
    if (state.kind !== 'stable' || this.#roster.elect() !== this.#protocol) {
      this.#park(member, done)
      return this.#rebalance()
    }
    if (!this.#host.store(this)) return this.#answerJoin(done, joinRefused('storage-full', memberId))
    // A peer that knows nothing of skipping is told the former leader's id, so that it does not assign anew.
    const isLeader = this.leader === memberId
    const result = request.maySkipAssignment
      ? { ...this.#joined(memberId), skipAssignment: isLeader, members: isLeader ? this.#joinedMembers() : [] }
      : { ...this.#joined(memberId), leader: oldLeader }
    this.#effects.push(() => this.#host.whenStored(this, () => done(result)))
  }

  sync(request: SyncRequest, done: SyncDone): void {
    this.#sync(request, done)
    this.#flush()
  }

  #sync(request: SyncRequest, done: SyncDone): void {
    const error = this.#checkSync(request)
    const member = this.#roster.get(request.memberId)
    if (error !== undefined || member === undefined) return this.#answerSync(done, error ?? 'member-unknown')
    const state = this.#state
    if (state.kind === 'stable') {
      state.unsynced.delete(member.id)
      this.#touch(member)
      return this.#answerAssignment(done, member)
    }
    assert(state.kind === 'completing-rebalance')
    state.unsynced.delete(member.id)
    this.#touch(member)
    if (member.syncing !== undefined) this.#answerSync(member.syncing, 'group-rebalancing')
    member.syncing = done
    if (this.leader === member.id) this.#stabilise(request.assignments, state)
  }

  #checkSync({ memberId, instanceId, generation, protocolType, protocol }: SyncRequest): ErrorCode | undefined {
    const error = this.#roster.check(memberId, instanceId)
    if (error !== undefined) return error
    if (generation !== this.#generation) return 'group-generation-stale'
    if (protocolType !== null && this.#protocolType !== null && protocolType !== this.#protocolType) {
      return 'group-protocol-mismatch'
    }
    if (protocol !== null && this.#protocol !== null && protocol !== this.#protocol) return 'group-protocol-mismatch'
    return this.#state.kind === 'preparing-rebalance' ? 'group-rebalancing' : undefined
  }

  /** Gives everybody what the leader assigned, once it is durable; members that it forgot get nothing to do. */
  #stabilise(
    assignments: readonly Assignment[],
    { unsynced, deadlineMs }: State & { kind: 'completing-rebalance' },
  ): void {
    const shares = new Map(assignments.map(({ memberId, assignment }) => [memberId, assignment]))
    for (const member of this.#roster.members()) {
      this.#roster.assign(member, keptCopy(shares.get(member.id) ?? noBytes))
    }
    this.#state = { kind: 'stable', unsynced, deadlineMs: unsynced.size === 0 ? Infinity : deadlineMs }
    const tooLarge = this.bytes > this.#host.settings.groupBytesMax
    if (tooLarge || !this.#host.store(this)) {
      this.#refuseSyncs(tooLarge ? 'limit-reached' : 'storage-full')
      return this.#rebalance()
    }
    for (const member of this.#roster.members()) {
      const { syncing } = member
      if (syncing === undefined) continue
      member.syncing = undefined
      this.#touch(member)
      this.#answerAssignment(syncing, member)
    }
  }

  /** A sign of life. What the member has to know of, or undefined when it may go on. */
  heartbeat(memberId: string, instanceId: string | null, generation: number): ErrorCode | undefined {
    const error = this.#roster.check(memberId, instanceId)
    if (error !== undefined) return error
    if (generation !== this.#generation) return 'group-generation-stale'
    const member = this.#roster.get(memberId)
    if (member !== undefined) this.#touch(member)
    return this.#state.kind === 'preparing-rebalance' ? 'group-rebalancing' : undefined
  }

  /** Removes members. An empty member id stands for whoever holds the instance id. Gives one result for each. */
  leave(members: readonly MemberName[]): (ErrorCode | undefined)[] {
    const countBefore = this.#roster.size
    const results = members.map(({ memberId, instanceId }): ErrorCode | undefined => {
      if (this.#pending.delete(memberId)) return undefined
      const id = memberId === '' && instanceId !== null ? this.#roster.holderOf(instanceId) : memberId
      const error = id === undefined ? 'member-unknown' : this.#roster.check(id, instanceId)
      if (error === undefined && id !== undefined) this.#dismiss(id)
      return error
    })
    if (this.#roster.size < countBefore) this.#rebalance()
    else this.#maybeComplete()
    this.#flush()
    return results
  }

  /** Whether this sender may commit offsets now. Counts as a sign of life. */
  checkCommit({ memberId, instanceId }: MemberName, generation: number): ErrorCode | undefined {
    const { kind } = this.#state
    if (generation < 0 && kind === 'empty') return undefined
    if (generation < 0 && memberId === '' && instanceId === null) return kind === 'empty' ? undefined : 'member-unknown'
    const error = this.#roster.check(memberId, instanceId)
    if (error !== undefined) return error
    if (generation !== this.#generation) return 'group-generation-stale'
    if (kind === 'completing-rebalance') return 'group-rebalancing'
    const member = this.#roster.get(memberId)
    if (member !== undefined) this.#touch(member)
    return undefined
  }

  #rebalance(): void {
    const state = this.#state
    const now = this.#host.nowMs()
    if (state.kind === 'completing-rebalance') this.#refuseSyncs('group-rebalancing')
    if (state.kind === 'empty') this.#prepare(now, now + this.#roster.rebalanceTimeoutMs())
    else if (state.kind !== 'preparing-rebalance') this.#prepare(now, undefined)
    else if (state.firstUntilMs !== undefined) this.#prepare(now, state.firstUntilMs)
    this.#maybeComplete()
  }

  #prepare(now: number, firstUntilMs: number | undefined): void {
    const deadlineMs =
      firstUntilMs === undefined
        ? now + this.#roster.rebalanceTimeoutMs()
        : Math.min(now + this.#host.settings.initialRebalanceDelayMs, firstUntilMs)
    this.#state = { kind: 'preparing-rebalance', firstUntilMs, deadlineMs }
    this.#alarm.setAt(deadlineMs)
  }

  #maybeComplete(): void {
    if (this.#state.kind !== 'preparing-rebalance' || this.#state.firstUntilMs !== undefined) return
    if (this.#roster.joiningCount === this.#roster.size && this.#pending.size === 0) this.#complete()
  }

  /** Ends the preparation with those who have come. Members with an instance id keep their place without coming. */
  #complete(): void {
    for (const member of [...this.#roster.members()]) {
      if (member.joining === undefined && member.instanceId === null) this.#roster.remove(member.id)
    }
    const now = this.#host.nowMs()
    const timeoutMs = this.#roster.rebalanceTimeoutMs()
    if (!this.#roster.electJoining() && this.#roster.size > 0) {
      // Nobody could lead. Wait until somebody comes or the last session has run out.
      return this.#prepare(now, undefined)
    }
    this.#generation = this.#generation === 0x7fffffff ? 1 : this.#generation + 1
    if (this.#roster.size === 0) return this.#becomeEmpty()
    this.#protocol = this.#roster.elect()
    const unsynced = new Set<string>()
    this.#state = { kind: 'completing-rebalance', unsynced, deadlineMs: now + timeoutMs }
    this.#alarm.setAt(now + timeoutMs)
    for (const member of this.#roster.members()) {
      unsynced.add(member.id)
      member.isNew = false
      this.#roster.assign(member, noBytes)
      this.#touch(member)
      const done = this.#roster.unpark(member)
      if (done === undefined) continue
      const members = this.leader === member.id ? this.#joinedMembers() : []
      this.#answerJoin(done, { ...this.#joined(member.id), members })
    }
  }

  #becomeEmpty(): void {
    this.#protocol = null
    this.#state = { kind: 'empty', stored: false }
    this.#storeEmpty()
  }

  /** Tries until the disk has room for it: else the former members would come back after a restart. */
  #storeEmpty(): void {
    this.#state = { kind: 'empty', stored: this.#host.store(this) }
    if (!this.#state.stored) this.#alarm.setAt(this.#host.nowMs() + storeRetryMs)
  }

  /** Looks at all deadlines. Early calls do no harm. */
  #tick(): void {
    const now = this.#host.nowMs()
    for (const [id, untilMs] of this.#pending) if (untilMs <= now) this.#pending.delete(id)
    const expired: Member[] = []
    for (const member of this.#roster.members()) if (deadlineOf(member) <= now) expired.push(member)
    for (const member of expired) this.#dismiss(member.id)
    if (expired.length > 0) this.#rebalance()
    else this.#maybeComplete()
    this.#checkPhase(now)
    this.#wakeAtNextDeadline(now)
    this.#flush()
  }

  #checkPhase(now: number): void {
    const state = this.#state
    if (state.kind === 'empty' && !state.stored) return this.#storeEmpty()
    if (state.kind === 'preparing-rebalance' && state.deadlineMs <= now) return this.#complete()
    if ((state.kind === 'completing-rebalance' || state.kind === 'stable') && state.deadlineMs <= now) {
      if (state.unsynced.size === 0) return
      for (const id of state.unsynced) this.#dismiss(id)
      this.#rebalance()
    }
  }

  #wakeAtNextDeadline(now: number): void {
    const state = this.#state
    let next = 'deadlineMs' in state ? state.deadlineMs : Infinity
    if ((state.kind === 'completing-rebalance' || state.kind === 'stable') && state.unsynced.size === 0) next = Infinity
    for (const untilMs of this.#pending.values()) next = Math.min(next, untilMs)
    for (const member of this.#roster.members()) next = Math.min(next, deadlineOf(member))
    // Large groups look less often, so that a look costs the same share of the time whatever their size.
    if (next < Infinity) this.#alarm.setAt(Math.max(next, now + Math.min(1000, this.#roster.size / 10)))
  }

  #touch(member: Member): void {
    member.deadlineMs = this.#host.nowMs() + member.sessionTimeoutMs
    this.#alarm.setAt(member.deadlineMs)
  }

  #park(member: Member, done: JoinDone): void {
    const before = this.#roster.park(member, done)
    // The peer has given up its former request, or it would not have sent another.
    if (before !== undefined) this.#answerJoin(before, joinRefused('group-rebalancing', member.id))
  }

  #dismiss(memberId: string): void {
    this.#pending.delete(memberId)
    const member = this.#roster.get(memberId)
    if (member === undefined) return
    this.#refuse(member, 'member-unknown', '')
    const state = this.#state
    if (state.kind === 'completing-rebalance' || state.kind === 'stable') state.unsynced.delete(memberId)
    this.#roster.remove(memberId)
  }

  #refuse(member: Member, error: ErrorCode, memberId: string): void {
    const joining = this.#roster.unpark(member)
    if (joining !== undefined) this.#answerJoin(joining, joinRefused(error, memberId))
    if (member.syncing !== undefined) this.#answerSync(member.syncing, error)
    member.syncing = undefined
  }

  #refuseSyncs(error: ErrorCode): void {
    for (const member of this.#roster.members()) {
      this.#roster.assign(member, noBytes)
      if (member.syncing === undefined) continue
      this.#answerSync(member.syncing, error)
      member.syncing = undefined
      this.#touch(member)
    }
  }

  #joined(memberId: string): JoinResult {
    const { generation, protocolType, protocol, leader } = this
    return {
      error: undefined,
      memberId,
      generation,
      protocolType,
      protocol,
      leader,
      skipAssignment: false,
      members: [],
    }
  }

  #joinedMembers(): JoinResult['members'] {
    return Array.from(this.#roster.members(), member => ({
      memberId: member.id,
      instanceId: member.instanceId,
      subscription: subscriptionOf(member, this.#protocol),
    }))
  }

  #answerJoin(done: JoinDone, result: JoinResult): void {
    this.#effects.push(() => done(result))
  }

  #answerSync(done: SyncDone, error: ErrorCode): void {
    this.#effects.push(() => done(syncRefused(error)))
  }

  #answerAssignment(done: SyncDone, { assignment }: Member): void {
    const { protocolType, protocol } = this
    const answer = (): void => done({ error: undefined, protocolType, protocol, assignment })
    this.#effects.push(() => this.#host.whenStored(this, answer))
  }

  /** Answers come last, because they may bring the next request with them. */
  #flush(): void {
    const population = this.#roster.size + this.#pending.size
    this.#host.populated(population - this.#population)
    this.#population = population
    for (let effect = this.#effects.shift(); effect !== undefined; effect = this.#effects.shift()) effect()
    if (this.#state.kind === 'empty' && this.#state.stored && this.#pending.size === 0) this.#host.idle(this)
  }

  /** What the journal keeps of the members. */
  storedMembers(): StoredMember[] {
    return Array.from(this.#roster.members(), member => ({
      memberId: member.id,
      instanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.sessionTimeoutMs,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      subscription: subscriptionOf(member, this.#protocol),
      assignment: member.assignment,
    }))
  }

  describe(): GroupDescription {
    const settled = this.#state.kind === 'stable'
    const members = this.storedMembers().map(
      ({ memberId, instanceId, clientId, clientHost, subscription, assignment }) => ({
        memberId,
        instanceId,
        clientId,
        clientHost,
        subscription: settled ? subscription : noBytes,
        assignment: settled ? assignment : noBytes,
      }),
    )
    const { id, state, generation, protocolType, protocol } = this
    return { id, state, generation, protocolType, protocol, members }
  }

  /** Subscriptions of all members for the present protocol, whatever the state. */
  subscriptions(): Buffer[] {
    return Array.from(this.#roster.members(), member => subscriptionOf(member, this.#protocol))
  }

  /** All members, as another kind of group takes them over. */
  handedOver(): { generation: number; isBetweenGenerations: boolean; members: ClassicMember[] } {
    const isBetweenGenerations = this.#state.kind === 'completing-rebalance'
    const members = Array.from(this.#roster.members(), ({ id: memberId, ...member }) => {
      const { instanceId, clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, offers, assignment } = member
      const subscription = (offers.find(({ name }) => name === this.#protocol) ?? offers[0])?.metadata ?? noBytes
      const timeouts = { sessionTimeoutMs, rebalanceTimeoutMs }
      return { memberId, instanceId, clientId, clientHost, ...timeouts, offers, subscription, assignment }
    })
    return { generation: this.#generation, isBetweenGenerations, members }
  }

  /** Has all members join anew. */
  regroup(): void {
    this.#rebalance()
    this.#flush()
  }

  /** Ends it: all who wait are told `reason`, and no timer is left. */
  end(reason: ErrorCode): void {
    for (const member of [...this.#roster.members()]) {
      this.#refuse(member, reason, member.id)
      this.#roster.remove(member.id)
    }
    this.#pending.clear()
    this.#state = { kind: 'dead' }
    this.#alarm.stop()
    this.#flush()
  }
}
