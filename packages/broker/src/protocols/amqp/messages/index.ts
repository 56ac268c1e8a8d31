import type { Codec } from '@dragoman/wire'
import * as basic from './basic.ts'
import * as channel from './channel.ts'
import * as confirm from './confirm.ts'
import * as connection from './connection.ts'
import * as exchange from './exchange.ts'
import type { Method } from './method.ts'
import * as queue from './queue.ts'
import * as tx from './tx.ts'

const isMethod = (declared: unknown): declared is Method =>
  typeof declared === 'object' && declared !== null && 'methodId' in declared

/** Every method, in the order of classes. */
export const methods: readonly Method[] = [connection, channel, exchange, queue, basic, confirm, tx].flatMap(module =>
  Object.values<unknown>(module).filter(isMethod),
)

export const methodsById: ReadonlyMap<number, Method> = new Map(methods.map(method => [method.id, method]))

/** Every method and the header of messages by name: docs, fuzz and `dragoman decode`. */
export const messages: Record<string, Codec<unknown, never>> = {
  ...Object.fromEntries(methods.map(({ name, codec }) => [name, codec])),
  'content-header': basic.contentHeader,
}
