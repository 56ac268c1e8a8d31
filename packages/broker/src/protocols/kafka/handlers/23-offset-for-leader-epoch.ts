import type { Write } from '@dragoman/wire'
import type { StreamId } from '../../../cell/client.ts'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { epochProblem, leaderEpochOf } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler } from './handler.ts'

type Answer = Write<typeof apis.offsetForLeaderEpoch.response>
type EpochEnd = { errorCode: number; leaderEpoch: number; endOffset: number }

/** OffsetForLeaderEpoch 2-4: how consumers find out after a restart of the broker whether what they have read is still there. */
export const handler = defineHandler(apis.offsetForLeaderEpoch, (exchange, request): Answer => ({
  topics: request.topics.map(({ topic: name, partitions }) => {
    const { broker } = exchange
    const topic = broker.topics.get(homeNamespace, name)
    const isAllowed = exchange.may('cluster-action', 'cluster', clusterName) || exchange.may('describe', 'topic', name)
    return {
      topic: name,
      partitions: partitions.map(({ partition, currentLeaderEpoch, leaderEpoch }) => {
        if (!isAllowed) return { partition, ...refusal(codes.topicAuthorizationFailed) }
        const stream = topic?.partitions[partition]
        return { partition, ...epochEnd(broker, stream, currentLeaderEpoch, leaderEpoch) }
      }),
    }
  }),
}))

const refusal = (errorCode: number): EpochEnd => ({ errorCode, leaderEpoch: -1, endOffset: -1 })

function epochEnd(
  broker: Broker,
  stream: StreamId | undefined,
  currentLeaderEpoch: number,
  leaderEpoch: number,
): EpochEnd {
  const bounds = stream === undefined ? undefined : broker.cell.bounds(stream)
  if (stream === undefined || bounds === undefined) return refusal(codes.unknownTopicOrPartition)
  const problem = epochProblem(broker, currentLeaderEpoch)
  if (problem !== undefined) return refusal(problem)
  if (leaderEpoch < 0 || leaderEpoch > leaderEpochOf(broker)) return refusal(codes.none)
  const end = broker.cell.epochEnd(stream, leaderEpoch)
  // Of an epoch older than all that is kept, nothing is left: it ended where the log begins now.
  if (end === undefined) return { errorCode: codes.none, leaderEpoch, endOffset: bounds.startOffset }
  return { errorCode: codes.none, leaderEpoch: end.epoch, endOffset: end.endOffset }
}
