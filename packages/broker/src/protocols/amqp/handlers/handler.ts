import type { Basic } from '../basic.ts'
import type { ChannelHost } from '../channel-host.ts'
import type { Method } from '../messages/method.ts'

/** The channel of a method. */
interface Handling extends ChannelHost {
  readonly basic: Basic
}

/**
 * Carries out a method on its channel. What it throws ends the channel or the connection (`AmqpException`, `BrokerError`). When it returns a promise, the
 * methods behind it wait; decisions are to be taken before that.
 */
export type Handler<T = never> = (channel: Handling, fields: T) => Promise<void> | void

export type Entry = readonly [id: number, handler: Handler]

export const on = <T>(method: Method<T, never>, handler: Handler<T>): Entry => [method.id, handler]
