import type { NamespacePermission } from '../../core/identity/namespace-access.ts'
import type { ResourceKind } from '../../core/identity/permissions.ts'
import type { Connection } from './connection.ts'
import { AmqpException } from './errors.ts'

/** What the default exchange is called where it needs a name. */
const defaultExchangeName = 'amq.default'

/** Throws `AmqpException` when the connection's user may not do this to the queue or the exchange. */
export function demand(
  connection: Connection,
  permission: NamespacePermission,
  kind: 'queue' | 'exchange',
  name: string,
): void {
  const shown = kind === 'exchange' && name === '' ? defaultExchangeName : name
  if (connection.rights.may(permission, shown, ruledAs(connection, kind, name))) return
  throw refused(connection, permission, resource(kind, shown, connection.namespace))
}

/** For those who only look: any of the rights will do. */
export function demandAny(connection: Connection, kind: 'queue' | 'exchange', name: string): void {
  const { rights, namespace } = connection
  const ruled = ruledAs(connection, kind, name)
  if ((['configure', 'write', 'read'] as const).some(permission => rights.may(permission, name, ruled))) return
  throw refused(connection, 'configure', resource(kind, name, namespace))
}

/** A topic is a queue to clients, but rules are about topics. */
function ruledAs({ broker, namespace }: Connection, kind: 'queue' | 'exchange', name: string): ResourceKind {
  return kind === 'queue' && broker.topics.get(namespace, name) !== undefined ? 'topic' : kind
}

/** Of a binding's key, at an exchange whose keys are patterns. */
export function demandKey(connection: Connection, permission: 'write' | 'read', exchange: string, key: string): void {
  const { rights, broker, namespace } = connection
  if (broker.router.get(namespace, exchange)?.kind !== 'topic') return
  if (rights.mayUseKey(permission, exchange, key)) return
  throw refused(connection, permission, `topic '${key}' in ${resource('exchange', exchange, namespace)}`)
}

/** As clients know it from messages: `queue 'q' in vhost '/'`. */
export const resource = (kind: 'queue' | 'exchange', name: string, namespace: string): string =>
  `${kind} '${name}' in vhost '${namespace}'`

function refused({ user }: Connection, permission: string, what: string): AmqpException {
  return new AmqpException('accessRefused', `${permission} access to ${what} refused for user '${user}'`)
}
