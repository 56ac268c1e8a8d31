import assert from 'node:assert/strict'
import { keptCopy } from '@dragoman/wire'
import type { ErrorCode } from '../errors.ts'
import type { JoinDone, JoinRequest, Offer, SyncDone } from './requests.ts'

const noBytes = Buffer.alloc(0)
/** What is kept of how a client calls itself. */
const clientIdLengthMax = 1000

export interface Member {
  readonly id: string
  readonly instanceId: string | null
  clientId: string
  clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  offers: readonly Offer[]
  assignment: Buffer
  /** Monotonic time at which it is taken for dead. */
  deadlineMs: number
  /** It joined and has not been told its id yet: it cannot show that it lives. */
  isNew: boolean
  /** Its join that waits for the others. Set and taken only by the roster, which counts them. */
  joining: JoinDone | undefined
  /** Its sync that waits for the leader. */
  syncing: SyncDone | undefined
}

/**
 * Who is in a group.
 *
 * Invariants: `leader` is a member or undefined, and undefined only when there are none; each instance id belongs to at most
 * one member; `joiningCount` members wait in a join; the count of an offer is the number of members that make it.
 */
export class Roster {
  readonly #members = new Map<string, Member>()
  readonly #instances = new Map<string, string>()
  readonly #offerCounts = new Map<string, number>()
  #leader: string | undefined
  #joiningCount = 0
  #bytes = 0

  get size(): number {
    return this.#members.size
  }

  get joiningCount(): number {
    return this.#joiningCount
  }

  get leader(): string | undefined {
    return this.#leader
  }

  /** Bytes of what the members said of themselves and of what they were assigned. */
  get bytes(): number {
    return this.#bytes
  }

  get(id: string): Member | undefined {
    return this.#members.get(id)
  }

  /** In the order in which they came. */
  members(): Iterable<Member> {
    return this.#members.values()
  }

  holderOf(instanceId: string): string | undefined {
    return this.#instances.get(instanceId)
  }

  /** Why this is not a member, or undefined. */
  check(id: string, instanceId: string | null): ErrorCode | undefined {
    if (instanceId !== null) {
      const holder = this.#instances.get(instanceId)
      if (holder === undefined) return 'member-unknown'
      if (holder !== id) return 'member-instance-fenced'
    }
    return this.#members.has(id) ? undefined : 'member-unknown'
  }

  add(member: Member): void {
    assert(!this.#members.has(member.id))
    if (member.instanceId !== null) {
      assert(!this.#instances.has(member.instanceId))
      this.#instances.set(member.instanceId, member.id)
    }
    this.#members.set(member.id, member)
    this.#leader ??= member.id
    if (member.joining !== undefined) this.#joiningCount++
    this.#count(member.offers, 1)
    this.#bytes += offerBytes(member.offers) + member.assignment.length
  }

  remove(id: string): Member | undefined {
    const member = this.#members.get(id)
    if (member === undefined) return undefined
    this.#members.delete(id)
    if (member.instanceId !== null) this.#instances.delete(member.instanceId)
    if (member.joining !== undefined) this.#joiningCount--
    this.#count(member.offers, -1)
    this.#bytes -= offerBytes(member.offers) + member.assignment.length
    if (this.#leader === id) this.#leader = this.#members.keys().next().value
    return member
  }

  /** Puts a new member in the place of the one that holds its instance id, the leadership included. */
  replace(oldId: string, member: Member): void {
    const wasLeader = this.#leader === oldId
    this.remove(oldId)
    this.add(member)
    if (wasLeader) this.#leader = member.id
  }

  /** Takes over what the member says of itself now. */
  update(member: Member, request: JoinRequest, offers: readonly Offer[]): void {
    this.#count(member.offers, -1)
    this.#bytes += offerBytes(offers) - offerBytes(member.offers)
    member.offers = offers
    this.#count(offers, 1)
    member.clientId = request.clientId.slice(0, clientIdLengthMax)
    member.clientHost = request.clientHost
    member.sessionTimeoutMs = request.sessionTimeoutMs
    member.rebalanceTimeoutMs = request.rebalanceTimeoutMs
  }

  assign(member: Member, assignment: Buffer): void {
    this.#bytes += assignment.length - member.assignment.length
    member.assignment = assignment
  }

  /** Lets the member's join wait. Returns the one that waited before, which nobody will answer otherwise. */
  park(member: Member, done: JoinDone): JoinDone | undefined {
    const before = member.joining
    if (before === undefined) this.#joiningCount++
    member.joining = done
    return before
  }

  /** Takes the member's waiting join, if there is one. */
  unpark(member: Member): JoinDone | undefined {
    const done = member.joining
    if (done !== undefined) this.#joiningCount--
    member.joining = undefined
    return done
  }

  /** Whether someone who makes these offers could work with all the members. */
  supports(offers: readonly Offer[]): boolean {
    return offers.some(offer => (this.#offerCounts.get(offer.name) ?? 0) === this.size)
  }

  /** The offer that all members make and that most of them prefer; of equals the one that the oldest members prefer. */
  elect(): string {
    const votes = new Map<string, number>()
    for (const member of this.members()) {
      const vote = member.offers.find(offer => this.#offerCounts.get(offer.name) === this.size)
      assert(vote !== undefined, 'members with nothing in common')
      votes.set(vote.name, (votes.get(vote.name) ?? 0) + 1)
    }
    let elected = ''
    let most = 0
    for (const [name, count] of votes) if (count > most) [elected, most] = [name, count]
    return elected
  }

  /** Gives the leadership to a member that waits in a join, preferably to who has it. False when none waits. */
  electJoining(): boolean {
    if (this.#leader === undefined) return false
    if (this.#members.get(this.#leader)?.joining !== undefined) return true
    for (const member of this.members()) {
      if (member.joining === undefined) continue
      this.#leader = member.id
      return true
    }
    return false
  }

  /** Restores who was the leader. */
  lead(id: string): void {
    if (this.#members.has(id)) this.#leader = id
  }

  /** How long a rebalance waits: as long as the most patient member asks. */
  rebalanceTimeoutMs(): number {
    let longest = 0
    for (const member of this.members()) longest = Math.max(longest, member.rebalanceTimeoutMs)
    return longest
  }

  #count(offers: readonly Offer[], by: 1 | -1): void {
    for (const { name } of offers) {
      const count = (this.#offerCounts.get(name) ?? 0) + by
      if (count === 0) this.#offerCounts.delete(name)
      else this.#offerCounts.set(name, count)
    }
  }
}

/** What offers cost, names and a little for each one included. */
export const offerBytes = (offers: readonly Offer[]): number => {
  let bytes = 0
  for (const { name, metadata } of offers) bytes += name.length + metadata.length + 32
  return bytes
}

export const sameOffers = (a: readonly Offer[], b: readonly Offer[]): boolean =>
  a.length === b.length &&
  a.every((offer, index) => {
    const other = b[index]
    return other !== undefined && offer.name === other.name && offer.metadata.equals(other.metadata)
  })

/** What the member said for this way of sharing. */
export const subscriptionOf = (member: Member, protocol: string | null): Buffer =>
  member.offers.find(offer => offer.name === protocol)?.metadata ?? noBytes

/** A member that waits for the others is alive by definition, except one that was never told its id. */
export const deadlineOf = (member: Member): number =>
  !member.isNew && (member.joining !== undefined || member.syncing !== undefined) ? Infinity : member.deadlineMs

export const newMember = (id: string, request: JoinRequest, offers: readonly Offer[]): Member => ({
  id,
  instanceId: request.instanceId,
  clientId: request.clientId.slice(0, clientIdLengthMax),
  clientHost: request.clientHost,
  sessionTimeoutMs: request.sessionTimeoutMs,
  rebalanceTimeoutMs: request.rebalanceTimeoutMs,
  offers,
  assignment: noBytes,
  deadlineMs: Infinity,
  isNew: false,
  joining: undefined,
  syncing: undefined,
})

/** The offers with bytes of our own, each name once. */
export function ownOffers(offers: readonly Offer[]): Offer[] {
  const byName = new Map<string, Offer>()
  for (const { name, metadata } of offers) {
    if (!byName.has(name)) byName.set(name, { name, metadata: keptCopy(metadata) })
  }
  return [...byName.values()]
}
