import type { Infer } from '@dragoman/wire'
import { homeNamespace } from '../../core/broker.ts'
import type { Settlement } from '../../core/cursor/cursor.ts'
import type { GroupName } from '../../core/groups/requests.ts'
import { codes } from './errors.ts'
import type { Exchange } from './handlers/handler.ts'
import type { apis } from './messages/index.ts'

type Topics = Infer<typeof apis.shareAcknowledge.request>['topics']
type Batch = Topics[number]['partitions'][number]['acknowledgementBatches'][number]

/** What the types of an acknowledgement are to the cursor. What does not exist (a gap) is as good as rejected. */
const outcomes: readonly Settlement['outcome'][] = ['reject', 'ack', 'release', 'reject', 'extend']
const renew = 4

/** How one partition took what was said of its records. */
export interface AcknowledgedPartition {
  readonly topicId: string
  readonly partition: number
  readonly errorCode: number
}

export interface Acknowledged {
  readonly partitions: AcknowledgedPartition[]
  /** The block to wait for before it is told; -1: none. */
  readonly seq: number
}

/** Takes all acknowledgements of a request: of each partition all, or none and the code that says why. */
export function acknowledge(
  exchange: Pick<Exchange<unknown>, 'broker' | 'may'>,
  group: GroupName,
  memberId: string,
  topics: Topics,
  mayRenew: boolean,
): Acknowledged {
  const { broker } = exchange
  const partitions: AcknowledgedPartition[] = []
  let seq = -1
  const take = (topicId: string, partition: number, batches: readonly Batch[]): number => {
    const settlements = settlementsOf(batches, mayRenew, broker.shareGroups.settings(group).lockDurationMs)
    if (settlements === undefined) return codes.invalidRequest
    const topic = broker.topics.byId(topicId)
    if (topic?.namespace !== homeNamespace) return codes.unknownTopicOrPartition
    if (!exchange.may('read', 'topic', topic.name)) return codes.topicAuthorizationFailed
    const share = broker.shareGroups.partition(group, topicId, partition)
    if (share === undefined) return codes.unknownTopicOrPartition
    // Nobody can have been given what is not there yet.
    if ((settlements.at(-1)?.last ?? -1) >= share.end) return codes.invalidRequest
    if (!broker.shareGroups.settle(group, memberId, share, settlements)) return codes.invalidRecordState
    seq = Math.max(seq, share.cursor.seq)
    return codes.none
  }
  for (const { topicId, partitions: wanted } of topics) {
    for (const { partitionIndex: partition, acknowledgementBatches: batches } of wanted) {
      if (batches.length === 0) continue
      partitions.push({ topicId, partition, errorCode: take(topicId, partition, batches) })
    }
  }
  return { partitions, seq }
}

/** The same for the cursor, neighbours of one kind joined. Undefined when the batches are not in order or make no sense; two that meet in an offset are left to the cursor. */
export function settlementsOf(batches: readonly Batch[], mayRenew: boolean, leaseMs: number): Settlement[] | undefined {
  const settlements: Settlement[] = []
  let previous = -1
  const add = (first: number, last: number, type: number): boolean => {
    const outcome = outcomes[type]
    if (outcome === undefined || (type === renew && !mayRenew)) return false
    const before = settlements.at(-1)
    if (before !== undefined && before.outcome === outcome && before.last + 1 === first) before.last = last
    else settlements.push({ first, last, outcome, leaseMs })
    return true
  }
  for (const { firstOffset, lastOffset, acknowledgeTypes: types } of batches) {
    const [only] = types
    if (firstOffset < previous || lastOffset < firstOffset || only === undefined) return undefined
    previous = lastOffset
    if (types.length === 1) {
      if (!add(firstOffset, lastOffset, only)) return undefined
      continue
    }
    if (types.length !== lastOffset - firstOffset + 1) return undefined
    for (const [index, type] of types.entries()) {
      if (!add(firstOffset + index, firstOffset + index, type)) return undefined
    }
  }
  return settlements
}

/** Members name themselves: a UUID as a rule. */
const memberIdLengthMax = 36

/** The code that refuses a request of a member, whatever it wants, or none. */
export function memberProblem(exchange: Exchange<unknown>, groupId: string, memberId: string): number {
  if (!exchange.may('read', 'group', groupId)) return codes.groupAuthorizationFailed
  return memberId === '' || memberId.length > memberIdLengthMax ? codes.invalidRequest : codes.none
}
