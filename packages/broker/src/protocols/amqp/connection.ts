import type { Access } from '../../core/identity/authorizer.ts'
import type { NamespaceAccess } from '../../core/identity/namespace-access.ts'
import type { Broker } from '../../core/broker.ts'
import type { SessionContext } from '../protocol.ts'
import type { BodyBudget } from './body-budget.ts'
import type { AmqpException } from './errors.ts'
import type { Method } from './messages/method.ts'
import type { Table } from './table.ts'

/** What a channel needs of its connection. */
export interface Connection {
  readonly broker: Broker
  readonly context: SessionContext
  /** `127.0.0.1:51234 -> 127.0.0.1:5672`. */
  readonly name: string
  /** The virtual host. */
  readonly namespace: string
  /** Who has logged in. */
  readonly user: string
  /** What they may do here. */
  readonly access: Access
  /** What permissions let them do in the namespace. */
  readonly rights: NamespaceAccess
  readonly capabilities: Capabilities
  /** As agreed upon: no frame that leaves is larger, with its head and end. */
  readonly frameMax: number
  /** Bytes that the peer has not taken yet. */
  readonly queuedBytes: number
  /** The peer publishes: it is not read while the broker has more than the disk can take. */
  feeds: boolean
  /** What its channels keep of messages. */
  readonly bodies: BodyBudget
  /** The queue that was declared last in this connection's channel is the channel's; those that are exclusive are the connection's: this object. */
  readonly owner: object
  /** Queues a method frame. */
  send<W>(channel: number, method: Method<unknown, W>, fields: W): void
  /** Queues bytes of whole frames; they must not change until `written` is called. */
  write(parts: readonly Uint8Array[], written?: () => void): void
  /** Resolves when all that was decided is durable: what is answered may build on it. */
  settled(): Promise<void>
  /** Ends the connection. `failed` is the method that caused it. */
  fail(exception: AmqpException, failed: Method | undefined): void
  /** Ends the connection after a bug of ours. */
  broken(error: unknown): void
  /** The channel is over, and its number is free. */
  channelClosed(channel: number): void
  /** Requests begun and not ended; bytes that wait behind them. */
  waiting(requests: number, bytes: number): void
}

/** What a client says of itself. */
export interface Capabilities {
  /** It is told by connection.close that it could not log in. */
  readonly authenticationFailureClose: boolean
  /** It is told when it must wait with messages. */
  readonly connectionBlocked: boolean
  /** It is told when a queue that it consumes from is gone. */
  readonly consumerCancelNotify: boolean
  readonly publisherConfirms: boolean
  readonly exchangeExchangeBindings: boolean
  readonly basicNack: boolean
}

export function capabilitiesOf(clientProperties: Table): Capabilities {
  const found = clientProperties.findLast(({ name }) => name === 'capabilities')
  const has = (name: string): boolean => {
    if (found?.type !== 'F') return false
    const field = found.value.findLast(candidate => candidate.name === name)
    return field?.type === 't' && field.value
  }
  return {
    authenticationFailureClose: has('authentication_failure_close'),
    connectionBlocked: has('connection.blocked'),
    consumerCancelNotify: has('consumer_cancel_notify'),
    publisherConfirms: has('publisher_confirms'),
    exchangeExchangeBindings: has('exchange_exchange_bindings'),
    basicNack: has('basic.nack'),
  }
}
