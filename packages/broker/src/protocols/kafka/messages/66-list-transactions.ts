import { array, i16, i32, i64, message, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'ListTransactionsRequest', versions: [0, 2], flexible: 0, doc: 'Asks for transactional ids.' },
  {
    stateFilters: array(str),
    producerIdFilters: array(i64),
    /** Milliseconds that a transaction has at least been going on; below 0: all. */
    durationFilter: since(1, i64, -1),
    /** A regular expression that the transactional id must match; null: all. */
    transactionalIdPattern: since(2, nullableStr, null),
  },
)

export const response = message(
  {
    name: 'ListTransactionsResponse',
    versions: [0, 2],
    flexible: 0,
    doc: 'The transactional ids that pass all filters, with their state.',
  },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    unknownStateFilters: array(str),
    transactionStates: array(struct({ transactionalId: str, producerId: i64, transactionState: str })),
  },
)
