import type { Infer, Write } from '@dragoman/wire'
import { homeNamespace } from '../../../core/broker.ts'
import { TopicPattern } from '../../../core/groups/assigned/topic-pattern.ts'
import type { TransactionState } from '../../../core/transactions/machine.ts'
import type { TransactionFilter } from '../../../core/transactions/requests.ts'
import { codes, errorCodeOf } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { foreignStates, stateNames } from '../transaction-words.ts'
import { defineHandler, type Exchange } from './handler.ts'

type Request = Infer<typeof apis.listTransactions.request>
type Answer = Write<typeof apis.listTransactions.response>

/** ListTransactions 0-2: transactional ids that pass all filters; the pattern must match the whole id. */
export const handler = defineHandler(apis.listTransactions, handle)

function handle(exchange: Exchange<Answer>, request: Request): Answer | undefined {
  const { transactions } = exchange.broker
  const { stateFilters, producerIdFilters, durationFilter, transactionalIdPattern: pattern } = request
  const filter: Mutable<TransactionFilter> = {}
  const unknownStateFilters = stateFilters.filter(name => !knownStates.has(name))
  if (stateFilters.length > 0) {
    if (unknownStateFilters.length === stateFilters.length) return { errorCode: codes.none, unknownStateFilters }
    filter.states = new Set(states.filter(state => stateFilters.includes(stateNames[state])))
  }
  if (producerIdFilters.length > 0) filter.producerIds = new Set(producerIdFilters)
  if (durationFilter >= 0) filter.longerThanMs = durationFilter
  try {
    if (pattern !== null && pattern !== '') {
      const expression = new TopicPattern(pattern)
      filter.id = id => expression.matches(id)
    }
    const found = [...transactions.list(homeNamespace, filter)]
    const shown = found.filter(({ id }) => exchange.may('describe', 'transactional-id', id))
    const transactionStates = shown.map(({ id, producerId, state }) => ({
      transactionalId: id,
      producerId,
      transactionState: stateNames[state],
    }))
    const answer = { errorCode: codes.none, unknownStateFilters, transactionStates }
    transactions.settled(() => exchange.reply(answer), undefined)
    return undefined
  } catch (error) {
    return { errorCode: errorCodeOf(error), unknownStateFilters }
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const states = Object.keys(stateNames) as TransactionState[]
const knownStates = new Set<string>([...Object.values(stateNames), ...foreignStates])
