import type { Infer, Write } from '@dragoman/wire'
import type { StreamId } from '../../../cell/client.ts'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { codes, errorCodeOf } from '../errors.ts'
import { inTime } from '../in-time.ts'
import { apis } from '../messages/index.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.deleteRecords.request>
type Answer = Write<typeof apis.deleteRecords.response>

/** Stands for the end of the log. */
const allRecords = -1

/** DeleteRecords 0-2. An offset below the start of the log changes nothing and is no error. */
export const handler = defineHandler(apis.deleteRecords, handle)

function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const late = (): Answer => ({
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, ...refusal(codes.requestTimedOut) })),
    })),
  })
  return inTime(exchange, request.timeoutMs, trimAll(exchange, request), late)
}

async function trimAll(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { broker, connection } = exchange
  const wanted = request.topics.flatMap(({ name, partitions }) => partitions.map(partition => ({ name, ...partition })))
  const trimmed = await inSlices(connection, wanted, async ({ name, partitionIndex, offset }) => {
    if (!exchange.may('delete', 'topic', name)) return { partitionIndex, ...refusal(codes.topicAuthorizationFailed) }
    const stream = broker.topics.get(homeNamespace, name)?.partitions[partitionIndex]
    return { partitionIndex, ...(await trim(broker, stream, offset)) }
  })
  let at = 0
  return {
    topics: request.topics.map(({ name, partitions }) => ({
      name,
      partitions: trimmed.slice(at, (at += partitions.length)),
    })),
  }
}

interface Trimmed {
  lowWatermark: number
  errorCode: number
}

const refusal = (errorCode: number): Trimmed => ({ lowWatermark: -1, errorCode })

async function trim(broker: Broker, stream: StreamId | undefined, wanted: number): Promise<Trimmed> {
  const bounds = stream === undefined ? undefined : broker.cell.bounds(stream)
  if (stream === undefined || bounds === undefined) return refusal(codes.unknownTopicOrPartition)
  const offset = wanted === allRecords ? bounds.endOffset : wanted
  if (offset < 0 || offset > bounds.endOffset) return refusal(codes.offsetOutOfRange)
  if (offset <= bounds.startOffset) return { lowWatermark: bounds.startOffset, errorCode: codes.none }
  try {
    return { lowWatermark: await broker.cell.trim(stream, offset), errorCode: codes.none }
  } catch (error) {
    return refusal(errorCodeOf(error))
  }
}
