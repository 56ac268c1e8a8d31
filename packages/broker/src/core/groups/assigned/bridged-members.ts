import { BrokerError, type ErrorCode } from '../../errors.ts'
import { quote } from '../../names.ts'
import type { JoinRequest, JoinResult, MemberName, Offer, SyncRequest, SyncResult } from '../requests.ts'
import { clientIdLengthMax, sortedOnce, type AssignedGroup } from './group.ts'
import type { TopicView } from './interests.ts'
import type { Membership } from './machine.ts'
import { partitionMap, type PartitionMap } from './partitions.ts'
import type { GroupBridge, NamedPartitions } from './requests.ts'

type Classic = Membership & { readonly classic: NonNullable<Membership['classic']> }

export interface BridgeSurroundings {
  readonly bridge: GroupBridge
  readonly topics: TopicView
  newMemberId(): string
}

/**
 * Members that assign among their like, in a group to which the broker assigns: they join, fetch what the broker has assigned to
 * them, and are sent to join again whenever their next step is due. None of them is the leader, none waits for the others.
 *
 * All methods throw `BrokerError`.
 */
export class BridgedMembers {
  readonly #around: BridgeSurroundings

  constructor(around: BridgeSurroundings) {
    this.#around = around
  }

  /** `replaced`: a member of the same instance id whose place this one has taken. */
  join(group: AssignedGroup, request: JoinRequest): { result: JoinResult; replaced: Membership | undefined } {
    const { instanceId, protocolType } = request
    const isNew = request.memberId === ''
    const memberId = isNew ? this.#around.newMemberId() : request.memberId
    group.checkRoom(memberId, instanceId)
    const [offer] = request.offers
    const subscription = offer && this.#around.bridge.readSubscription(offer.metadata)
    if (offer === undefined || subscription === undefined || !this.#supports(group, protocolType, request.offers)) {
      throw new BrokerError('group-protocol-mismatch', quote(protocolType))
    }
    if (isNew && instanceId === null && request.takesIdFirst) {
      group.invite(memberId, request.sessionTimeoutMs)
      return { result: { ...refusal, error: 'member-id-required', memberId }, replaced: undefined }
    }
    const replaced = this.#claim(group, memberId, instanceId, isNew)
    group.enlist({
      memberId,
      instanceId,
      rackId: subscription.rackId,
      clientId: request.clientId.slice(0, clientIdLengthMax),
      clientHost: request.clientHost,
      principal: request.principal,
      host: request.host,
      rebalanceTimeoutMs: request.rebalanceTimeoutMs,
      topics: sortedOnce(subscription.topics),
      pattern: null,
      assignor: null,
      classic: { sessionTimeoutMs: request.sessionTimeoutMs, offers: [...request.offers] },
    })
    const { epoch: generation } = group.reconcile(memberId, this.#identified(group.namespace, subscription.owned))
    group.came(memberId, 'joinMs')
    group.came(memberId, 'syncMs')
    group.expect(memberId, 'syncMs', request.rebalanceTimeoutMs)
    group.touch(memberId)
    const protocol = offer.name
    return { result: { ...refusal, error: undefined, memberId, generation, protocolType, protocol }, replaced }
  }

  #supports(group: AssignedGroup, protocolType: string, offers: readonly Offer[]): boolean {
    if (protocolType !== this.#around.bridge.protocolType) return false
    let common = new Set(offers.map(({ name }) => name))
    for (const { classic } of group.members()) {
      if (classic !== null) common = new Set(classic.offers.map(({ name }) => name).filter(name => common.has(name)))
    }
    return common.size > 0
  }

  #claim(group: AssignedGroup, memberId: string, instanceId: string | null, isNew: boolean): Membership | undefined {
    if (instanceId === null) {
      // Who was removed and comes again under its old id may still believe to have what is another's now.
      if (!isNew && !group.acceptInvited(memberId)) group.existing(memberId)
      return undefined
    }
    const holder = group.record?.holderOf(instanceId)
    if (!isNew) {
      group.holder(memberId, instanceId)
      return undefined
    }
    if (holder !== undefined) group.replace(holder, memberId)
    return holder
  }

  sync(group: AssignedGroup, request: SyncRequest): SyncResult {
    const member = this.#member(group, request)
    if (request.generation !== member.epoch) throw stale(member)
    const [offer] = member.classic.offers
    const { protocolType } = this.#around.bridge
    const differs = (asked: string | null, is: string | undefined): boolean => asked !== null && asked !== is
    if (differs(request.protocolType, protocolType) || differs(request.protocol, offer?.name)) {
      throw new BrokerError('group-protocol-mismatch', quote(request.protocol ?? ''))
    }
    const { epoch = 0 } = group.record ?? {}
    // Who gives up partitions has joined for that already, and joins again once that is done.
    if (epoch > member.epoch && member.state !== 'revoking') throw this.#sendsToJoin(group, member)
    group.came(member.memberId, 'syncMs')
    group.touch(member.memberId)
    const assignment = this.#around.bridge.writeAssignment(this.named(member.assigned), offer?.metadata ?? noBytes)
    return { error: undefined, protocolType: request.protocolType, protocol: request.protocol, assignment }
  }

  heartbeat(group: AssignedGroup, name: MemberName, generation: number): void {
    const member = this.#member(group, name)
    if (generation !== member.epoch) throw stale(member)
    group.touch(member.memberId)
    const { record } = group
    const isBehind = record !== undefined && member.epoch < record.epoch
    if (isBehind || member.state === 'revoking' || (member.state === 'waiting' && group.canHaveAll(member))) {
      throw this.#sendsToJoin(group, member)
    }
  }

  /** An empty member id stands for whoever holds the instance id. Gives one result for each. */
  leave(group: AssignedGroup, names: readonly MemberName[]): (ErrorCode | undefined)[] {
    const leaving = new Set<Membership>()
    const results = names.map((name): ErrorCode | undefined => {
      const { memberId, instanceId } = name
      const holder = instanceId === null ? undefined : group.record?.holderOf(instanceId)
      try {
        leaving.add(
          this.#member(group, { memberId: memberId === '' ? (holder?.memberId ?? '') : memberId, instanceId }),
        )
        return undefined
      } catch (error) {
        if (error instanceof BrokerError) return error.code
        throw error
      }
    })
    group.remove([...leaving])
    return results
  }

  #member(group: AssignedGroup, { memberId, instanceId }: MemberName): Classic {
    const member = instanceId === null ? group.existing(memberId) : group.holder(memberId, instanceId)
    const { classic } = member
    if (classic === null) throw new BrokerError('member-unknown', `to ${quote(memberId)} the broker assigns`)
    return { ...member, classic }
  }

  #sendsToJoin(group: AssignedGroup, member: Membership): BrokerError {
    group.expect(member.memberId, 'joinMs', member.rebalanceTimeoutMs)
    return new BrokerError('group-rebalancing', quote(group.id))
  }

  /** Partitions by the names of their topics; those of topics that are gone are left out. */
  named(partitions: PartitionMap): NamedPartitions[] {
    const named: NamedPartitions[] = []
    for (const [topicId, list] of partitions) {
      const topic = this.#around.topics.byId(topicId)
      if (topic !== undefined) named.push({ topic: topic.name, partitions: list })
    }
    return named
  }

  #identified(namespace: string, named: readonly NamedPartitions[]): PartitionMap {
    return identified(this.#around.topics, namespace, named)
  }
}

/** Partitions by the ids of their topics; what does not exist is left out. */
export function identified(topics: TopicView, namespace: string, named: readonly NamedPartitions[]): PartitionMap {
  return partitionMap(
    named.flatMap(({ topic: name, partitions }) => {
      const topic = topics.get(namespace, name)
      if (topic === undefined) return []
      return [
        { topicId: topic.id, partitions: partitions.filter(partition => topic.partitions[partition] !== undefined) },
      ]
    }),
  )
}

const noBytes = Buffer.alloc(0)

const stale = ({ memberId, epoch }: Membership): BrokerError =>
  new BrokerError('group-generation-stale', `${quote(memberId)} is in generation ${epoch}`)

const refusal = {
  memberId: '',
  generation: -1,
  protocolType: null,
  protocol: null,
  leader: '',
  skipAssignment: false,
  members: [],
} as const
