import type { Infer, Write } from '@dragoman/wire'
import { advertisedAddress } from '../cluster.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { refused, succeeded, type Outcome } from '../outcome.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.findCoordinator.request>
type Answer = Write<typeof apis.findCoordinator.response>

const keyTypes = { group: 0, transaction: 1, share: 2 } as const

/**
 * FindCoordinator 0-6: this broker, for groups and transactional ids. Share groups are refused, not put off, because clients would
 * ask for ever.
 */
export const handler = defineHandler(apis.findCoordinator, handle)

function handle({ broker, connection }: Exchange<Answer>, request: Request, version: number): Answer {
  const outcome = outcomeFor(request.keyType)
  const isFine = outcome === succeeded
  const { host, port } = isFine ? advertisedAddress(broker, connection) : { host: '', port: -1 }
  const place = { ...outcome, nodeId: isFine ? broker.brokerId : -1, host, port }
  return version < 4 ? place : { coordinators: request.coordinatorKeys.map(key => ({ key, ...place })) }
}

function outcomeFor(keyType: number): Outcome {
  switch (keyType) {
    case keyTypes.group:
    case keyTypes.transaction:
      return succeeded
    case keyTypes.share:
      return refused(codes.invalidRequest, 'This broker has no share groups.')
    default:
      return refused(codes.invalidRequest, `There are no coordinators of type ${keyType}.`)
  }
}
