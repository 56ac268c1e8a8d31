import { AmqpException } from '../errors.ts'
import type { Connection } from '../connection.ts'
import { headerOf } from '../mapping.ts'
import { cleanName, findQueue, findTopic } from '../names.ts'
import { demand, demandKey, resource } from '../rights.ts'
import type { Table } from '../table.ts'

interface Binding {
  readonly kind: 'queue' | 'exchange'
  readonly name: string
  readonly source: string
  readonly key: string
  readonly given: Table
}

/** Makes a binding or removes it, and resolves when that is durable. Throws `AmqpException` and `BrokerError`. */
export async function changeBinding(
  change: 'bind' | 'unbind',
  connection: Connection,
  binding: Binding,
): Promise<void> {
  const { broker, namespace } = connection
  const { kind, key, given } = binding
  const [name, source] = [cleanName(binding.name), cleanName(binding.source)]
  demand(connection, 'write', kind, name)
  if (source === '' || (kind === 'exchange' && name === '')) {
    throw new AmqpException('accessRefused', 'operation not permitted on the default exchange')
  }
  demand(connection, 'read', 'exchange', source)
  demandKey(connection, 'read', source, key)
  const isThere = checkEnds(change, connection, kind, name, source)
  if (!isThere) return connection.settled()
  const toTopic = kind === 'queue' && findTopic(connection, name) !== undefined
  const definition = {
    source,
    kind: toTopic ? 'topic' : kind,
    destination: name,
    key,
    arguments: given.map(headerOf),
  } as const
  if (change === 'bind') await broker.router.bind(namespace, definition)
  else await broker.router.unbind(namespace, definition)
}

/** Whether both ends are there. Only what is to be bound has to be. */
function checkEnds(
  change: 'bind' | 'unbind',
  connection: Connection,
  kind: 'queue' | 'exchange',
  name: string,
  source: string,
): boolean {
  const { broker, namespace } = connection
  const missing = (what: 'queue' | 'exchange', which: string): boolean => {
    if (change === 'unbind') return false
    throw new AmqpException('notFound', `no ${resource(what, which, namespace)}`)
  }
  if (!broker.router.get(namespace, source)) return missing('exchange', source)
  if (kind === 'exchange') return broker.router.get(namespace, name) !== undefined || missing('exchange', name)
  if (findTopic(connection, name)) return true
  if (!broker.queues.get(namespace, name)) return missing('queue', name)
  findQueue(connection, name)
  return true
}
