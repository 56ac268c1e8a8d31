import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes, errorCodeOf } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { transactionCodeOf } from '../transaction-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.initProducerId.request>
type Answer = Write<typeof apis.initProducerId.response>

/**
 * InitProducerId 0-5. Without a transactional id, each request gets a new id with epoch 0. With one, the producer takes it over:
 * with the next epoch, which shuts out who had it before, and aborts the transaction that was left open.
 */
export const handler = defineHandler(apis.initProducerId, handle)

const since = { fenced: 4, abortable: 5 }
const nobody = { producerId: -1, producerEpoch: -1 }

function handle(exchange: Exchange<Answer>, request: Request, version: number): Promise<Answer> | undefined {
  const { broker, connection } = exchange
  const { transactionalId: id, transactionTimeoutMs: timeoutMs, producerId, producerEpoch: epoch } = request
  if (!mayProduce(exchange, id)) {
    const denied = id === null ? codes.clusterAuthorizationFailed : codes.transactionalIdAuthorizationFailed
    exchange.reply({ errorCode: denied, ...nobody })
    return undefined
  }
  if (id === null) return newProducer(exchange)
  if (producerId < 0 !== epoch < 0) {
    exchange.reply({ errorCode: codes.invalidRequest, ...nobody })
    return undefined
  }
  const previous = producerId < 0 ? undefined : { producerId, epoch }
  const registration = { namespace: homeNamespace, id, timeoutMs, previous, connection: connection.ordinal }
  broker.transactions.register(registration, ({ error, ...producer }) => {
    const errorCode = transactionCodeOf(error, version, since)
    exchange.reply({ errorCode, producerId: producer.producerId, producerEpoch: producer.epoch })
  })
  return undefined
}

/** Who may write to any topic may number its records. */
function mayProduce(exchange: Exchange<Answer>, id: string | null): boolean {
  if (id !== null) return exchange.may('write', 'transactional-id', id)
  return exchange.may('idempotent-write', 'cluster', clusterName) || exchange.mayAny('write', 'topic')
}

async function newProducer({ broker }: Exchange<Answer>): Promise<Answer> {
  try {
    return { errorCode: codes.none, producerId: await broker.topics.nextProducerId(), producerEpoch: 0 }
  } catch (error) {
    return { errorCode: errorCodeOf(error), ...nobody }
  }
}
