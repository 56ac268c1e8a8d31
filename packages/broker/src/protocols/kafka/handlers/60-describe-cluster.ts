import type { Infer, Write } from '@dragoman/wire'
import { clusterOperationsOf } from '../acls.ts'
import { advertisedAddress, clusterIdText } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded, type Outcome } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.describeCluster.request>
type Answer = Write<typeof apis.describeCluster.response>

const endpointTypes = { brokers: 1, controllers: 2 } as const

/** DescribeCluster 0-2: this broker, which is also the controller. There is no separate controller endpoint to describe. */
export const handler = defineHandler(apis.describeCluster, handle)

function handle(exchange: Exchange<Answer>, request: Request): Answer {
  const { broker, connection } = exchange
  const outcome = outcomeFor(request.endpointType)
  const isFine = outcome === succeeded
  const { host, port } = advertisedAddress(broker, connection)
  return {
    ...outcome,
    endpointType: endpointTypes.brokers,
    clusterId: isFine ? clusterIdText(broker) : '',
    controllerId: isFine ? broker.brokerId : -1,
    brokers: isFine ? [{ brokerId: broker.brokerId, host, port, rack: null, isFenced: false }] : [],
    clusterAuthorizedOperations: clusterOperationsOf(exchange, request.includeClusterAuthorizedOperations),
  }
}

function outcomeFor(endpointType: number): Outcome {
  if (endpointType === endpointTypes.brokers) return succeeded
  if (endpointType === endpointTypes.controllers) {
    return refused(codes.mismatchedEndpointType, 'This is the endpoint of a broker, not of a controller.')
  }
  return refused(codes.unsupportedEndpointType, `There are no endpoints of type ${endpointType}.`)
}
