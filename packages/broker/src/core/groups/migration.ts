import type { Codec, Infer } from '@dragoman/wire'
import { identified } from './assigned/bridged-members.ts'
import {
  epochRaised,
  kindNumbers,
  memberMoved,
  memberSet,
  memberStateNumbers,
  membershipFacts,
  targetsSet,
} from './assigned/facts.ts'
import { sortedOnce } from './assigned/group.ts'
import type { TopicView } from './assigned/interests.ts'
import type { AssignedRecord, Membership } from './assigned/machine.ts'
import { noPartitions, subtract, toStored, union, type PartitionMap } from './assigned/partitions.ts'
import type { BridgedSubscription, ClassicMember, GroupBridge, NamedPartitions } from './assigned/requests.ts'
import type { StoredMember, stabilised } from './facts.ts'
import type { Offer } from './requests.ts'

/** Groups of members that assign among their like become groups to which the broker assigns, and back. */

/** What is needed to take a group over, or undefined when a member says something that cannot be read. */
export function readMembers(
  members: readonly ClassicMember[],
  isBetweenGenerations: boolean,
  bridge: GroupBridge,
): TakenOver[] | undefined {
  const taken: TakenOver[] = []
  for (const member of members) {
    const subscription = bridge.readSubscription(member.subscription)
    const assignment = bridge.readAssignment(member.assignment)
    if (subscription === undefined || assignment === undefined) return undefined
    // While the leader has not assigned yet, what a member may still have is what it said when it joined.
    taken.push({ member, subscription, assigned: isBetweenGenerations ? subscription.owned : assignment })
  }
  return taken
}

export interface TakenOver {
  readonly member: ClassicMember
  readonly subscription: BridgedSubscription
  readonly assigned: readonly NamedPartitions[]
}

type WriteFact = <T, W>(type: number, codec: Codec<T, W>, value: W) => void

/**
 * Writes the members of a generation as members of an assigned group, each with what it has: the generation goes on as their
 * epoch. The next member that comes raises it, and they are sent to join again.
 */
export function takeOver(
  fact: WriteFact,
  topics: TopicView,
  { namespace, group, generation }: { namespace: string; group: string; generation: number },
  members: readonly TakenOver[],
): void {
  const idsOf = (named: readonly NamedPartitions[]): PartitionMap => identified(topics, namespace, named)
  let taken: PartitionMap = noPartitions
  const shares = members.map(({ assigned }) => {
    // A leader may have given a partition to two members; the broker does not.
    const own = subtract(idsOf(assigned), taken)
    taken = union(taken, own)
    return own
  })
  const targets: { memberId: string; target: ReturnType<typeof toStored> }[] = []
  const moves: Infer<typeof memberMoved>[] = []
  for (const [index, { member, subscription }] of members.entries()) {
    const { memberId, instanceId, clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, offers } = member
    const said = { topics: sortedOnce(subscription.topics), rackId: subscription.rackId, pattern: null, assignor: null }
    const from = { clientId, clientHost, principal: '', host: '' }
    const who = {
      memberId,
      instanceId,
      ...from,
      rebalanceTimeoutMs,
      classic: { sessionTimeoutMs, offers: [...offers] },
    }
    fact(membershipFacts.memberSet, memberSet, { namespace, group, kind: kindNumbers.exclusive, ...who, ...said })
    // What it had when it joined and was not assigned again, it may not have given up yet.
    const had = subtract(idsOf(subscription.owned), taken)
    taken = union(taken, had)
    const assigned = toStored(shares[index] ?? noPartitions)
    targets.push({ memberId, target: assigned })
    const state = had.size > 0 ? memberStateNumbers.revoking : memberStateNumbers.stable
    const position = { epoch: generation, previousEpoch: generation, state, revoking: toStored(had) }
    moves.push({ namespace, group, memberId, ...position, assigned })
  }
  const topicsHash = '0'.repeat(32)
  fact(membershipFacts.epochRaised, epochRaised, { namespace, group, epoch: generation, topicsHash })
  fact(membershipFacts.targetsSet, targetsSet, { namespace, group, epoch: generation, targets })
  for (const move of moves) fact(membershipFacts.memberMoved, memberMoved, move)
}

/** Whether all members that stay assign among their like, and one goes to whom the broker assigned. */
export function isLeftToItself({ kind, members }: AssignedRecord, removed: ReadonlySet<string>): boolean {
  let staying = 0
  let lost = 0
  for (const { memberId, classic } of members.values()) {
    if (!removed.has(memberId)) {
      if (classic === null) return false
      staying++
    } else if (classic === null) lost++
  }
  return kind === 'exclusive' && staying > 0 && lost > 0
}

/**
 * The members that stay, as a generation of their own with what they have. What they were to have is not theirs yet: somebody else
 * may have it still, and would not know of this.
 */
export function handBack(
  { namespace, id: group, epoch, members }: AssignedRecord,
  removed: ReadonlySet<string>,
  bridge: GroupBridge,
  named: (partitions: PartitionMap) => NamedPartitions[],
): Infer<typeof stabilised> {
  const staying = Array.from(members.values()).filter(({ memberId }) => !removed.has(memberId))
  const protocol = commonOffer(staying)
  const stored = staying.map((member): StoredMember => {
    const { memberId, instanceId, clientId, clientHost, rebalanceTimeoutMs, classic } = member
    const subscription = offersOf(member).find(({ name }) => name === protocol)?.metadata ?? Buffer.alloc(0)
    const assignment = bridge.writeAssignment(named(union(member.assigned, member.revoking)), subscription)
    const sessionTimeoutMs = classic?.sessionTimeoutMs ?? 0
    return {
      memberId,
      instanceId,
      clientId,
      clientHost,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      subscription,
      assignment,
    }
  })
  const leader = stored[0]?.memberId ?? ''
  return { namespace, group, generation: epoch, protocolType: bridge.protocolType, protocol, leader, members: stored }
}

/** The first offer of the oldest member that all make. There is one: nobody joins without. */
function commonOffer(members: readonly Membership[]): string {
  const [oldest] = members
  const offers = oldest === undefined ? [] : offersOf(oldest)
  const all = ({ name }: Offer): boolean => members.every(member => offersOf(member).some(offer => offer.name === name))
  return (offers.find(all) ?? offers[0])?.name ?? ''
}

const offersOf = ({ classic }: Membership): readonly Offer[] => classic?.offers ?? []
