import assert from 'node:assert/strict'
import { Random } from '@dragoman/wire'
import { homeNamespace } from '../broker.ts'
import type { ErrorCode } from '../errors.ts'
import { noPartitions } from './assigned/partitions.ts'
import type { HeartbeatRequest, HeartbeatResult } from './assigned/requests.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { Groups } from './groups.ts'
import type { JoinRequest, JoinResult, MemberName, SyncResult } from './requests.ts'
import type { GroupSettings } from './settings.ts'
import { TestLedger } from './test-ledger.ts'
import { TestTopics } from './test-topics.ts'

export const namespace = homeNamespace
export const group = 'workers'
export const topicId = 'a'.repeat(32)

/** A broker's groups on a ledger of virtual time, with the answers to members as values. */
export class Bench {
  readonly ledger = new TestLedger()
  readonly topics = new TestTopics()
  groups: Groups
  readonly #options: { settings?: Partial<GroupSettings>; limits?: Partial<Limits> }

  constructor(options: { settings?: Partial<GroupSettings>; limits?: Partial<Limits> } = {}) {
    this.#options = options
    this.groups = this.#start()
  }

  #start(): Groups {
    const limits = { ...defaultLimits, ...this.#options.limits }
    const settings = { initialRebalanceDelayMs: 0, ...this.#options.settings }
    return new Groups({ ledger: this.ledger, random: new Random(7), limits, settings, topics: this.topics })
  }

  restart(): void {
    this.ledger.crash()
    this.groups = this.#start()
  }

  pass(ms: number): void {
    this.ledger.pass(ms)
  }

  join(request: Partial<JoinRequest> = {}): Answer<JoinResult> {
    const answer: Answer<JoinResult> = { value: undefined }
    const whole: JoinRequest = {
      namespace,
      group,
      memberId: '',
      instanceId: null,
      clientId: 'client',
      clientHost: '/127.0.0.1',
      principal: 'ANONYMOUS',
      host: '127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 30_000,
      protocolType: 'consumer',
      offers: [{ name: 'range', metadata: Buffer.from('topics') }],
      takesIdFirst: false,
      maySkipAssignment: true,
      ...request,
    }
    this.groups.join(whole, answering(answer))
    return answer
  }

  sync(member: JoinResult, shares: Record<string, string> = {}, instanceId: string | null = null): Answer<SyncResult> {
    const answer: Answer<SyncResult> = { value: undefined }
    const assignments = Object.entries(shares).map(([memberId, share]) => ({
      memberId,
      assignment: Buffer.from(share),
    }))
    const { memberId, generation, protocolType, protocol } = member
    const request = { namespace, group, memberId, instanceId, generation, protocolType, protocol, assignments }
    this.groups.sync(request, answering(answer))
    return answer
  }

  heartbeat({ memberId, generation }: JoinResult, instanceId: string | null = null): ErrorCode | undefined {
    return this.groups.heartbeat(namespace, group, memberId, instanceId, generation)
  }

  /** A sign of life of a member to which the broker assigns; joins unless told otherwise. */
  beat(request: Partial<HeartbeatRequest> = {}): Answer<HeartbeatResult> {
    const answer: Answer<HeartbeatResult> = { value: undefined }
    const whole: HeartbeatRequest = { ...(request.epoch === undefined ? newcomer : oldHand), ...request }
    this.groups.heartbeatAssigned(whole, answering(answer))
    return answer
  }

  leave(...members: MemberName[]): Answer<(ErrorCode | undefined)[]> {
    const answer: Answer<(ErrorCode | undefined)[]> = { value: undefined }
    this.groups.leave({ namespace, group }, members, answering(answer))
    return answer
  }

  commit(member: MemberName & { generation: number }, offset: number, expiresMs = -1): Answer<ErrorCode | 'kept'> {
    const answer: Answer<ErrorCode | 'kept'> = { value: undefined }
    const partitions = [{ partition: 0, offset, leaderEpoch: -1, metadata: '' }]
    const { memberId, instanceId, generation } = member
    const request = { namespace, group, memberId, instanceId, generation, expiresMs, topics: [{ topicId, partitions }] }
    this.groups.commit(request, error => answering(answer)(error ?? 'kept'))
    return answer
  }

  committed(): number | undefined {
    return this.groups.offsets(namespace, group)?.get(topicId)?.get(0)?.offset
  }

  get state(): string | undefined {
    return this.groups.describe(namespace, group)?.state
  }

  /** Members with these shares, all in one stable generation. */
  stable(shares: string[], request: (index: number) => Partial<JoinRequest> = () => ({})): JoinResult[] {
    const joins = shares.map((_share, index) => this.join(request(index)))
    this.pass(1)
    const joined = joins.map(valueOf)
    const leader = joined.find(({ memberId, leader }) => memberId === leader)
    assert(leader !== undefined)
    const instanceOf = (index: number): string | null => request(index).instanceId ?? null
    const all = Object.fromEntries(joined.map(({ memberId }, index) => [memberId, shares[index] ?? '']))
    const syncs = joined.map((member, index) => this.sync(member, member === leader ? all : {}, instanceOf(index)))
    this.pass(5)
    assert.deepEqual(
      syncs.map(sync => valueOf(sync).assignment.toString()),
      shares,
    )
    assert.equal(this.state, 'stable')
    return joined
  }
}

const oldHand: HeartbeatRequest = {
  namespace,
  group,
  kind: 'exclusive',
  memberId: '',
  epoch: 0,
  instanceId: null,
  rackId: null,
  rebalanceTimeoutMs: null,
  topics: null,
  pattern: null,
  assignor: null,
  owned: null,
  clientId: 'client',
  clientHost: '/127.0.0.1',
  principal: 'ANONYMOUS',
  host: '127.0.0.1',
}

const newcomer: HeartbeatRequest = { ...oldHand, rebalanceTimeoutMs: 30_000, topics: ['t'], owned: noPartitions }

export interface Answer<T> {
  value: T | undefined
}

/** Keeps the answer and checks that it comes once. */
export const answering =
  <T>(answer: Answer<T>) =>
  (value: T): void => {
    assert.equal(answer.value, undefined, 'answered twice')
    answer.value = value
  }

export function valueOf<T>(answer: Answer<T>): T {
  assert(answer.value !== undefined, 'not answered')
  return answer.value
}
