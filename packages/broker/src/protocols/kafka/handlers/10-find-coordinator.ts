import type { Infer, Write } from '@dragoman/wire'
import { clusterName } from '../../../core/identity/permissions.ts'
import { quote } from '../../../core/names.ts'
import { advertisedAddress } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded, type Outcome } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.findCoordinator.request>
type Answer = Write<typeof apis.findCoordinator.response>

const keyTypes = { group: 0, transaction: 1, share: 2 } as const

/**
 * FindCoordinator 0-6: this broker, for groups, transactional ids and partitions of share groups. Others are refused, not put off,
 * because clients would ask for ever.
 */
export const handler = defineHandler(apis.findCoordinator, handle)

function handle(exchange: Exchange<Answer>, request: Request, version: number): Answer {
  const place = (key: string): Place => placeOf(exchange, outcomeFor(exchange, request.keyType, key))
  if (version < 4) return place(request.key)
  return { coordinators: request.coordinatorKeys.map(key => ({ key, ...place(key) })) }
}

type Place = Outcome & { nodeId: number; host: string; port: number }

function placeOf({ broker, connection }: Exchange<Answer>, outcome: Outcome): Place {
  if (outcome !== succeeded) return { ...outcome, nodeId: -1, host: '', port: -1 }
  return { ...outcome, nodeId: broker.brokerId, ...advertisedAddress(broker, connection) }
}

function outcomeFor(exchange: Exchange<Answer>, keyType: number, key: string): Outcome {
  switch (keyType) {
    case keyTypes.group:
      return exchange.may('describe', 'group', key)
        ? succeeded
        : refused(codes.groupAuthorizationFailed, 'Group authorization failed.')
    case keyTypes.transaction:
      return exchange.may('describe', 'transactional-id', key)
        ? succeeded
        : refused(codes.transactionalIdAuthorizationFailed, 'Transactional id authorization failed.')
    case keyTypes.share:
      if (!exchange.may('cluster-action', 'cluster', clusterName)) {
        return refused(codes.clusterAuthorizationFailed, 'Cluster authorization failed.')
      }
      return /^.+:[\w-]{22}:\d{1,10}$/s.test(key)
        ? succeeded
        : refused(codes.invalidRequest, `${quote(key)} is not of the form group:topicId:partition.`)
    default:
      return refused(codes.invalidRequest, `There are no coordinators of type ${keyType}.`)
  }
}
