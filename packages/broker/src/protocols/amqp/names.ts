import type { Queue } from '../../core/queues/queue.ts'
import type { Topic } from '../../core/topic.ts'
import type { ChannelHost } from './channel-host.ts'
import type { Connection } from './connection.ts'
import { AmqpException } from './errors.ts'
import { resource } from './rights.ts'

const reservedPrefix = 'amq.'
const shortBytesMax = 255

/** Ends of lines in names are passed over. */
export const cleanName = (name: string): string => name.replaceAll(/[\r\n]/g, '')

/** The queue that a method means: the one that was declared last, when it names none. Throws `AmqpException`. */
export function queueNamed(channel: ChannelHost, given: string): string {
  const name = cleanName(given)
  if (name !== '') return name
  if (channel.lastQueue !== undefined) return channel.lastQueue
  throw new AmqpException('notFound', 'no previously declared queue')
}

/** What is not UTF-8 can become longer than it was, and longer than it can be told again. Throws `AmqpException`. */
export function checkShort(text: string): void {
  if (text.length * 3 > shortBytesMax && Buffer.byteLength(text) > shortBytesMax)
    throw new AmqpException('syntaxError', 'a name is not UTF-8')
}

/** Names that begin like this are given by the server alone. */
export function checkReserved(kind: 'queue' | 'exchange', name: string): void {
  if (!name.startsWith(reservedPrefix)) return
  throw new AmqpException('accessRefused', `${kind} name '${name}' contains reserved prefix 'amq.*'`)
}

export const noQueue = (name: string, namespace: string): AmqpException =>
  new AmqpException('notFound', `no ${resource('queue', name, namespace)}`)

/** Throws `AmqpException` when it is not there, or belongs to another connection. */
export function findQueue({ broker, namespace, owner }: Connection, name: string): Queue {
  const queue = broker.queues.get(namespace, name)
  if (!queue) throw noQueue(name, namespace)
  if (queue.isLockedFor(owner)) throw locked(name, namespace)
  return queue
}

export function locked(name: string, namespace: string): AmqpException {
  const explanation =
    `cannot obtain exclusive access to locked ${resource('queue', name, namespace)}. It could be originally declared on ` +
    'another connection or the exclusive property value does not match that of the original declaration.'
  return new AmqpException('resourceLocked', explanation)
}

/** A topic is to clients a queue of the type stream. */
export const findTopic = ({ broker, namespace }: Connection, name: string): Topic | undefined =>
  broker.topics.get(namespace, name)
