import type { Infer, Write } from '@dragoman/wire'
import type { StreamId } from '../../../cell/client.ts'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { epochProblem } from '../cluster.ts'
import { codes, errorCodeOf } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { repeated } from '../outcome.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.listOffsets.request>
type Answer = Write<typeof apis.listOffsets.response>
type PartitionRequest = Request['topics'][number]['partitions'][number]

/** Negative times are places in the log; each may be asked for from a version on. */
const places = {
  latest: { time: -1, since: 1 },
  earliest: { time: -2, since: 1 },
  maxTimestamp: { time: -3, since: 7 },
  earliestLocal: { time: -4, since: 8 },
  latestTiered: { time: -5, since: 9 },
  earliestPendingUpload: { time: -6, since: 11 },
} as const

/**
 * ListOffsets 1-11: by time, the first record that is not older; and the places above. Nothing is kept elsewhere, so all is
 * local and nothing is tiered. Who reads only what is committed sees nothing from the last stable offset on.
 */
export const handler = defineHandler(apis.listOffsets, handle)

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { broker, connection, version } = exchange
  const isCommitted = request.isolationLevel === 1
  const repeats = repeated(
    request.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex }) => `${name}:${partitionIndex}`),
    ),
    key => key,
  )
  const wanted = request.topics.flatMap(({ name, partitions }) => partitions.map(partition => ({ name, partition })))
  const found = await inSlices(connection, wanted, async ({ name, partition }) => {
    const { partitionIndex } = partition
    if (!exchange.may('describe', 'topic', name)) return { partitionIndex, ...refusal(codes.topicAuthorizationFailed) }
    if (repeats.has(`${name}:${partitionIndex}`)) return { partitionIndex, ...refusal(codes.invalidRequest) }
    const stream = broker.topics.get(homeNamespace, name)?.partitions[partitionIndex]
    if (stream === undefined) return { partitionIndex, ...refusal(codes.unknownTopicOrPartition) }
    return { partitionIndex, ...(await find(broker, stream, partition, { version, isCommitted })) }
  })
  let at = 0
  return {
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: found.slice(at, (at += partitions.length)),
    })),
  }
}

interface Found {
  errorCode: number
  timestamp: number
  offset: number
  leaderEpoch: number
}

/** No error and no offset says that no record is as new as that. */
const nothing: Found = { errorCode: codes.none, timestamp: -1, offset: -1, leaderEpoch: -1 }
const refusal = (errorCode: number): Found => ({ ...nothing, errorCode })

async function find(
  broker: Broker,
  stream: StreamId,
  partition: PartitionRequest,
  { version, isCommitted }: { version: number; isCommitted: boolean },
): Promise<Found> {
  const { timestamp, currentLeaderEpoch } = partition
  const { cell } = broker
  const problem = epochProblem(broker, currentLeaderEpoch)
  if (problem !== undefined) return refusal(problem)
  const place = Object.values(places).find(({ time }) => time === timestamp)
  if (timestamp < 0 && (place === undefined || version < place.since)) return refusal(codes.unsupportedVersion)
  const bounds = cell.bounds(stream)
  if (bounds === undefined) return refusal(codes.unknownTopicOrPartition)
  const endOffset = isCommitted ? bounds.stableOffset : bounds.endOffset
  if (place === places.latest) return { ...nothing, offset: endOffset, leaderEpoch: bounds.epoch }
  if (place === places.earliest || place === places.earliestLocal) {
    return { ...nothing, offset: bounds.startOffset, leaderEpoch: bounds.startEpoch }
  }
  if (place === places.latestTiered || place === places.earliestPendingUpload) return nothing
  try {
    const at =
      place === undefined ? await cell.offsetAtTime(stream, timestamp) : await cell.offsetOfMaxTimestamp(stream)
    if (at === undefined || at.offset >= endOffset) return nothing
    return { errorCode: codes.none, timestamp: at.timestampMs, offset: at.offset, leaderEpoch: at.epoch }
  } catch (error) {
    return refusal(errorCodeOf(error))
  }
}
