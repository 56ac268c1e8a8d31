import type { BrowsedMessage, MessageFilter } from '../../../core/queues/browse.ts'
import type { MoveOptions, MoveProgress } from '../../../core/queues/move.ts'
import type { Queue } from '../../../core/queues/queue.ts'
import { deathReasons, type Death } from '../../../core/queues/stamp.ts'
import { quote } from '../../../core/names.ts'
import { jsonAnswer } from '../../http/message.ts'
import { integerOf, isFields, required, textOf, type Call } from '../call.ts'
import { badRequest, notFound } from '../errors.ts'
import type { Item } from '../listing.ts'
import { Result, noContent, type Route } from '../route.ts'
import { contentItem } from './content.ts'

const browsedDefault = 100
const browsedMax = 1000

/** What can be done with the messages of a queue, besides what RabbitMQ has words for. */
export const ownQueueRoutes: readonly Route[] = [
  { path: '/api/dragoman/queues/:vhost/:queue/messages', need: 'vhost', on: { GET: browse } },
  { path: '/api/dragoman/queues/:vhost/:queue/move', need: 'vhost', on: { GET: progress, POST: move, DELETE: cancel } },
]

/** Throws `Refusal`. */
function queueOf(call: Call): Queue {
  const { core, vhost } = call
  const name = call.param('queue')
  const queue = core.queues.get(vhost, name)
  if (!queue) throw notFound()
  call.need('read', vhost, 'queue', name)
  return queue
}

/** Looks at messages without taking them. */
async function browse(call: Call): Promise<unknown> {
  const queue = queueOf(call)
  const numberOf = (name: string, otherwise: number): number => {
    const number = Number(call.query.get(name) ?? otherwise)
    if (Number.isSafeInteger(number) && number >= 0) return number
    throw badRequest(`${name} must be a number`)
  }
  const max = Math.min(browsedMax, numberOf('max', browsedDefault))
  const filter = filterOf(Object.fromEntries(call.query))
  const { messages, next = null } = await queue.search(numberOf('from', 0), max, filter)
  return { messages: messages.map(message => browsedItem(call, message)), next }
}

function browsedItem(call: Call, message: BrowsedMessage): Item {
  const { offset, state, holder, deliveryCount, timestampMs, stamp } = message
  return {
    ...contentItem(call, message),
    offset,
    state,
    holder: holder ?? null,
    delivery_count: deliveryCount,
    timestamp_ms: timestampMs,
    exchange: stamp.exchange,
    expires_ms: stamp.expiresMs < 0 ? null : stamp.expiresMs,
    deaths: stamp.deaths.map(deathItem),
  }
}

const deathItem = ({ reason, queue, exchange, keys, count, firstMs, lastMs }: Death): Item => {
  return { reason, queue, exchange, routing_keys: keys, count, first_ms: firstMs, last_ms: lastMs }
}

/** Throws `Refusal`. */
function filterOf({ reason, from_queue: queue, routing_key: key }: Readonly<Record<string, unknown>>): MessageFilter {
  const known = deathReasons.find(each => each === reason)
  if (reason !== undefined && known === undefined) throw badRequest(`reason is one of ${deathReasons.join(', ')}`)
  return {
    ...(known === undefined ? {} : { reason: known }),
    ...(typeof queue === 'string' ? { queue } : {}),
    ...(typeof key === 'string' ? { key } : {}),
  }
}

/** Begins to bring messages elsewhere, and answers how far that is. */
function move(call: Call): unknown {
  const queue = queueOf(call)
  const { fields, vhost } = call
  required(fields, 'to')
  const to = targetOf(fields.to)
  // Messages come to the other queue as if they were published to it.
  if (to === 'nowhere') call.need('configure', vhost, 'queue', queue.definition.name)
  else call.needExchange('write', vhost, '')
  if (typeof to === 'object' && !call.core.queues.get(vhost, to.queue))
    throw notFound(`there is no queue ${quote(to.queue)} to move messages to`)
  const max = fields.max === undefined ? {} : { max: integerOf(fields, 'max') }
  const begun = queue.move({ to, ...max, filter: filterOf(fields) })
  return new Result(jsonAnswer(202, progressItem(begun.progress)))
}

function targetOf(given: unknown): MoveOptions['to'] {
  if (given === 'origins' || given === 'nowhere') return given
  if (isFields(given) && typeof given.queue === 'string') return { queue: textOf(given, 'queue', '') }
  throw badRequest('to is {"queue": NAME}, "origins" or "nowhere"')
}

const progressItem = ({ state, movedCount, passedCount, total }: MoveProgress): Item => {
  return { state, moved: movedCount, passed: passedCount, total }
}

function progress(call: Call): unknown {
  const { moving } = queueOf(call)
  if (!moving) throw notFound('no messages of the queue were moved since the start')
  return progressItem(moving.progress)
}

function cancel(call: Call): unknown {
  const { moving } = queueOf(call)
  if (!moving) throw notFound('no messages of the queue were moved since the start')
  moving.cancel()
  return noContent
}
