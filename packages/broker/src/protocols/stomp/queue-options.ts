import type { Header, HeaderValue } from '../../core/message.ts'
import { argumentProblem, queueSettings, queueTypeOf, topicSettings } from '../../core/queues/arguments.ts'
import { declarationDifference } from '../../core/queues/queues.ts'
import type { Queue } from '../../core/queues/queue.ts'
import type { Connection } from './connection.ts'
import { StompError } from './errors.ts'
import { shown, type Headers } from './headers.ts'
import { demand } from './rights.ts'

const reservedPrefix = 'amq.'

/** Headers of SEND and SUBSCRIBE that say how a queue is made, and which of their values are numbers and truths. */
const integers = new Set([
  'x-expires',
  'x-message-ttl',
  'x-max-length',
  'x-max-length-bytes',
  'x-max-priority',
  'x-delivery-limit',
  'x-quorum-initial-group-size',
])
const truths = new Set(['x-single-active-consumer'])
const texts = new Set([
  'x-dead-letter-exchange',
  'x-dead-letter-routing-key',
  'x-dead-letter-strategy',
  'x-overflow',
  'x-queue-type',
  'x-queue-mode',
  'x-max-age',
])

/** Of a header that takes `true` or `false`; undefined: it is not there. Throws `StompError`. */
export function flagOf(headers: Headers, name: string): boolean | undefined {
  const value = headers.get(name)
  if (value === undefined) return undefined
  if (value === 'true' || value === 'false') return value === 'true'
  throw new StompError('invalid_header', `${name} takes true or false, not ${shown(value)}`)
}

/** Of a header that takes a whole number; undefined: it is not there. Throws `StompError`. */
export function numberOf(headers: Headers, name: string, max: number): number | undefined {
  const value = headers.get(name)
  if (value === undefined) return undefined
  if (/^\d{1,16}$/.test(value) && Number(value) <= max) return Number(value)
  throw new StompError('invalid_header', `${name} takes a whole number from 0 to ${max}, not ${shown(value)}`)
}

/** What a queue is to be like, where the headers say anything of it. */
export interface QueueWish {
  readonly arguments: readonly Header[]
  readonly isDurable: boolean | undefined
  readonly autoDelete: boolean | undefined
  readonly exclusive: boolean | undefined
}

export function argumentsOf(headers: Headers): Header[] {
  if (!headers.lines.some(line => line.startsWith('x-'))) return noArguments
  const found: Header[] = []
  for (const [name, value] of headers.entries()) {
    if (found.some(header => header.name === name)) continue
    if (integers.has(name)) found.push({ name, value: integer(value) })
    else if (truths.has(name)) found.push({ name, value: value === 'true' ? true : value === 'false' ? false : value })
    else if (texts.has(name)) found.push({ name, value })
  }
  return found
}

const noArguments: Header[] = []

const integer = (text: string): HeaderValue => (/^-?\d{1,18}$/.test(text) ? BigInt(text) : text)

/** Makes the queue, or the topic, of that name. It is there when this returns, and durable with the open block. Throws `StompError` and `BrokerError`. */
export function makeQueue(connection: Connection, name: string, wish: QueueWish): Promise<unknown> | undefined {
  const { broker, namespace, owner } = connection
  demand(connection, 'configure', 'queue', name)
  const given = wish.arguments
  checkArguments(connection, name, wish)
  const max = broker.namespaces.limitOf(namespace, 'queues')
  if (max !== undefined && broker.queues.list(namespace).length >= max) {
    throw new StompError('limit_reached', `Virtual host ${shown(namespace)} has ${max} queues, which is its limit`)
  }
  if (queueTypeOf(given) === 'stream') {
    return broker.topics.create(namespace, name, { partitions: 1, config: topicSettings(given) })
  }
  const isExclusive = wish.exclusive === true
  broker.queues.make(namespace, name, queueSettings(given), {
    isDurable: !isExclusive && wish.isDurable !== false,
    autoDelete: wish.autoDelete === true,
    exclusiveTo: isExclusive ? owner : undefined,
  })
  return undefined
}

function checkArguments(connection: Connection, name: string, wish: QueueWish): void {
  const given = wish.arguments
  if (name.startsWith(reservedPrefix)) {
    throw new StompError('access_refused', `Names that begin with ${reservedPrefix} are given by the broker alone`)
  }
  const problem = argumentProblem(given)
  if (problem) throw new StompError('precondition_failed', `${problem.name}: ${problem.text}`)
  const isKept = wish.isDurable !== false && wish.exclusive !== true && wish.autoDelete !== true
  if (queueTypeOf(given) !== 'classic' && !isKept) {
    const explanation = `A queue of the type ${queueTypeOf(given)} is durable, and neither exclusive nor auto-delete`
    throw new StompError('precondition_failed', explanation)
  }
  const deadLetters = given.findLast(each => each.name === 'x-dead-letter-exchange')?.value
  if (typeof deadLetters !== 'string') return
  // Who may have messages dead-lettered may as well take them out and put them there.
  demand(connection, 'read', 'queue', name)
  demand(connection, 'write', 'exchange', deadLetters)
}

/** Throws `StompError` when the headers say that the queue is to be another one than it is. */
export function checkSame({ definition }: Queue, wish: QueueWish): void {
  const isSilent = wish.arguments.length === 0 && wish.isDurable === undefined && wish.autoDelete === undefined
  if (isSilent) return
  const problem = argumentProblem(wish.arguments)
  if (problem) throw new StompError('precondition_failed', `${problem.name}: ${problem.text}`)
  const config = wish.arguments.length === 0 ? definition.config : queueSettings(wish.arguments)
  const difference = declarationDifference(definition, config, {
    isDurable: wish.isDurable ?? definition.isDurable,
    autoDelete: wish.autoDelete ?? definition.autoDelete,
  })
  if (!difference) return
  const [has, wants] = difference.values
  const explanation = `queue ${shown(definition.name)} has ${difference.name} ${String(has)}, not ${String(wants)}`
  throw new StompError('precondition_failed', explanation)
}
