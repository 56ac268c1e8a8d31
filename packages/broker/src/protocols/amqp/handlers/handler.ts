import type { Channel } from '../channel.ts'
import type { Method } from '../messages/method.ts'

/**
 * Carries out a method on its channel. What it throws ends the channel or the connection (`AmqpException`, `BrokerError`). When it returns a promise, the
 * methods behind it wait; decisions are to be taken before that.
 */
export type Handler<T = never> = (channel: Channel, fields: T) => Promise<void> | void

export type Entry = readonly [id: number, handler: Handler]

export const on = <T>(method: Method<T, never>, handler: Handler<T>): Entry => [method.id, handler]
