import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { transactionCodeOf } from '../transaction-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.writeTxnMarkers.request>
type Answer = Write<typeof apis.writeTxnMarkers.response>
type Marker = Request['markers'][number]

/** Every version has neither code. */
const never = { fenced: Infinity, abortable: Infinity }

/**
 * WriteTxnMarkers 1-2, for the tools with which an administrator aborts a transaction: it is aborted as a whole, in all its
 * partitions, and its producer is shut out. Where none is open, nothing happens. Committing is for the producer alone.
 */
export const handler = defineHandler(apis.writeTxnMarkers, handle)

function handle(exchange: Exchange<Answer>, request: Request): void {
  const isAllowed =
    exchange.may('alter', 'cluster', clusterName) || exchange.may('cluster-action', 'cluster', clusterName)
  let open = 1
  const settle = (): void => {
    if (--open === 0) exchange.reply({ markers })
  }
  const markers = request.markers.map(marker => ({
    producerId: marker.producerId,
    topics: marker.topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map(partitionIndex => {
        const answer = {
          partitionIndex,
          errorCode: (isAllowed ? codes.none : codes.clusterAuthorizationFailed) as number,
        }
        if (!isAllowed) return answer
        open++
        end(exchange, marker, name, partitionIndex, errorCode => {
          answer.errorCode = errorCode
          settle()
        })
        return answer
      }),
    })),
  }))
  settle()
}

function end(
  { broker, version }: Exchange<Answer>,
  { producerId, producerEpoch: epoch, transactionResult: isCommitted }: Marker,
  topic: string,
  partition: number,
  done: (errorCode: number) => void,
): void {
  const stream = broker.topics.get(homeNamespace, topic)?.partitions[partition]
  if (stream === undefined) return done(codes.unknownTopicOrPartition)
  if (isCommitted) return done(codes.invalidTransactionState)
  broker.transactions.abort(stream, { producerId, epoch }, error => done(transactionCodeOf(error, version, never)))
}
