import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker, type Topic } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { inSlices } from '../slices.ts'
import { defineHandler, type Exchange } from './handler.ts'
import { topicsOf } from '../topic-names.ts'

type Request = Infer<typeof apis.describeLogDirs.request>
type Answer = Write<typeof apis.describeLogDirs.response>

/**
 * DescribeLogDirs 1-4: the one place where the data is. Sizes are those of the batches that each partition keeps; journal and
 * checkpoints are shared by all and belong to none. In memory there is no volume to tell the size of.
 */
export const handler = defineHandler(apis.describeLogDirs, handle, { bulky: true })

async function handle(exchange: Exchange<Answer>, request: Request): Promise<Answer> {
  const { broker, connection } = exchange
  if (!exchange.may('describe', 'cluster', clusterName)) return { errorCode: codes.clusterAuthorizationFailed }
  const topics = await inSlices(connection, wantedTopics(broker, request), async ({ topic, indexes }) => ({
    name: topic.name,
    partitions: indexes.flatMap(partitionIndex => {
      const stream = topic.partitions[partitionIndex]
      if (stream === undefined) return []
      const { cell } = broker
      return [{ partitionIndex, partitionSize: cell.sizeBytes(stream), offsetLag: cell.unsettled(stream) }]
    }),
  }))
  const space = await broker.volume.space()
  const result = {
    errorCode: codes.none,
    logDir: broker.volume.name,
    topics: topics.filter(({ partitions }) => partitions.length > 0),
    totalBytes: space?.totalBytes ?? -1,
    usableBytes: space?.freeBytes ?? -1,
  }
  return { errorCode: codes.none, results: [result] }
}

interface Wanted {
  topic: Topic
  indexes: readonly number[]
}

/** Null means all; what is not there is left out. */
function wantedTopics(broker: Broker, { topics }: Request): Wanted[] {
  if (topics === null) {
    return topicsOf(broker).map(topic => ({ topic, indexes: [...topic.partitions.keys()] }))
  }
  return topics.flatMap(({ topic: name, partitions }) => {
    const topic = broker.topics.get(homeNamespace, name)
    return topic === undefined ? [] : [{ topic, indexes: [...new Set(partitions)] }]
  })
}
