import type { Infer, Write } from '@dragoman/wire'
import { clusterName } from '../../../core/identity/permissions.ts'
import { advertisedAddress, leaderEpochOf } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeQuorum.request>
type Answer = Write<typeof apis.describeQuorum.response>
type AnswerPartition = NonNullable<NonNullable<NonNullable<Answer['topics']>[number]['partitions']>[number]>

/** Under this name, tools ask for the log that holds the metadata: here it is the journal, which holds everything. */
const metadataTopic = '__cluster_metadata'

/** The name that tools expect of the listener through which controllers are reached. */
const controllerListener = 'CONTROLLER'

/**
 * DescribeQuorum 0-2: a quorum of one. Its log is the journal: positions in it are numbers of blocks, and its leader epoch
 * grows with each start.
 */
export const handler = defineHandler(apis.describeQuorum, handle)

function handle(exchange: Exchange<Answer>, { topics }: Request): Answer {
  const { broker, connection } = exchange
  if (!exchange.may('describe', 'cluster', clusterName)) {
    return refused(codes.clusterAuthorizationFailed, 'This needs the right to describe the cluster.')
  }
  const isKnown = (topicName: string, index: number): boolean => topicName === metadataTopic && index === 0
  const isTold = topics.some(({ topicName, partitions }) =>
    partitions.some(({ partitionIndex }) => isKnown(topicName, partitionIndex)),
  )
  const listener = { name: controllerListener, ...advertisedAddress(broker, connection) }
  return {
    errorCode: codes.none,
    topics: topics.map(({ topicName, partitions }) => ({
      topicName,
      partitions: partitions.map(({ partitionIndex }) => ({
        partitionIndex,
        ...(isKnown(topicName, partitionIndex) ? journal(exchange) : unknownPartition),
      })),
    })),
    nodes: isTold ? [{ nodeId: broker.brokerId, listeners: [listener] }] : [],
  }
}

const unknownPartition: AnswerPartition = refused(codes.unknownTopicOrPartition, 'There is no such partition.')

function journal({ broker, connection }: Exchange<Answer>): AnswerPartition {
  const { brokerId, cell } = broker
  const logEndOffset = cell.position
  const nowMs = connection.clock.nowMs()
  const leader = { replicaId: brokerId, logEndOffset, lastFetchTimestamp: nowMs, lastCaughtUpTimestamp: nowMs }
  return {
    errorCode: codes.none,
    leaderId: brokerId,
    leaderEpoch: leaderEpochOf(broker),
    highWatermark: logEndOffset,
    currentVoters: [leader],
  }
}
