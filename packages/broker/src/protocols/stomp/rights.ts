import type { NamespacePermission } from '../../core/identity/namespace-access.ts'
import type { Connection } from './connection.ts'
import { StompError } from './errors.ts'

/** What the default exchange is called where it needs a name. */
const defaultExchangeName = 'amq.default'

/** Throws `StompError` when the connection's user may not do this to the queue, the topic or the exchange. */
export function demand(
  connection: Connection,
  permission: NamespacePermission,
  kind: 'queue' | 'exchange',
  name: string,
): void {
  const { rights, broker, namespace } = connection
  const shown = kind === 'exchange' && name === '' ? defaultExchangeName : name
  const ruled = kind === 'queue' && broker.topics.get(namespace, name) !== undefined ? 'topic' : kind
  if (!rights.may(permission, shown, ruled)) throw refused(connection, permission, `${kind} '${shown}'`)
}

/** Of a message's or a binding's key, at an exchange whose keys are patterns. */
export function demandKey(connection: Connection, permission: 'write' | 'read', exchange: string, key: string): void {
  const { rights, broker, namespace } = connection
  if (broker.router.get(namespace, exchange)?.kind !== 'topic') return
  if (!rights.mayUseKey(permission, exchange, key)) {
    throw refused(connection, permission, `topic '${key}' in exchange '${exchange}'`)
  }
}

function refused({ user, namespace }: Connection, permission: string, what: string): StompError {
  return new StompError(
    'access_refused',
    `${permission} access to ${what} in virtual host '${namespace}' refused for user '${user}'`,
  )
}
