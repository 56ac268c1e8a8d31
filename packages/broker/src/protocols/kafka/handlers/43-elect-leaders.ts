import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, type Outcome } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'
import { topicsOf } from '../topic-names.ts'

type Request = Infer<typeof apis.electLeaders.request>
type Answer = Write<typeof apis.electLeaders.response>

/** 0 elects the preferred replica, 1 any live one: both are this broker. */
const electionTypeMax = 1

/**
 * ElectLeaders 0-2: this broker leads all partitions already, so that no election is ever needed. Asked for all partitions, it
 * names those that have a new leader: none.
 */
export const handler = defineHandler(apis.electLeaders, handle)

function handle(exchange: Exchange<Answer>, request: Request): Answer {
  const { broker } = exchange
  const refusal = refusalOf(exchange, request)
  const wanted = request.topicPartitions ?? topicsOf(broker).map(({ name }) => ({ topic: name, partitions: [] }))
  return {
    errorCode: refusal?.errorCode ?? codes.none,
    replicaElectionResults: wanted.map(({ topic, partitions }) => ({
      topic,
      partitionResult: partitions.map(partitionId => ({
        partitionId,
        ...(refusal ?? outcomeOfElection(broker, topic, partitionId)),
      })),
    })),
  }
}

function refusalOf(exchange: Exchange<Answer>, { electionType }: Request): Outcome | undefined {
  if (!exchange.may('alter', 'cluster', clusterName)) {
    return refused(codes.clusterAuthorizationFailed, 'Elections need the right to alter the cluster.')
  }
  if (electionType >= 0 && electionType <= electionTypeMax) return undefined
  return refused(codes.invalidRequest, `There is no election of type ${electionType}.`)
}

function outcomeOfElection({ topics }: Broker, name: string, partition: number): Outcome {
  if (topics.get(homeNamespace, name)?.partitions[partition] === undefined) {
    return refused(codes.unknownTopicOrPartition, 'There is no such partition.')
  }
  return refused(codes.electionNotNeeded, 'This broker leads the partition already.')
}
