import { flags, string8, struct, u16, u8 } from '@dragoman/wire'
import { table } from '../table.ts'
import { method } from './method.ts'

/** Class 40: exchanges and what leads from one to another. [AMQP 0-9-1 reference, 1.3] */
const classId = 40

export const exchangeDeclare = method(
  'exchange.declare',
  classId,
  10,
  struct({
    reserved1: u16,
    exchange: string8,
    type: string8,
    flags: flags({ passive: 0, durable: 1, autoDelete: 2, internal: 3, noWait: 4 }, u8),
    arguments: table,
  }),
)
export const exchangeDeclareOk = method('exchange.declare-ok', classId, 11, struct({}))

export const exchangeDelete = method(
  'exchange.delete',
  classId,
  20,
  struct({ reserved1: u16, exchange: string8, flags: flags({ ifUnused: 0, noWait: 1 }, u8) }),
)
export const exchangeDeleteOk = method('exchange.delete-ok', classId, 21, struct({}))

/** Extensions: messages of `source` go to the exchange `destination`, too. */
const binding = struct({
  reserved1: u16,
  destination: string8,
  source: string8,
  routingKey: string8,
  flags: flags({ noWait: 0 }, u8),
  arguments: table,
})
export const exchangeBind = method('exchange.bind', classId, 30, binding)
export const exchangeBindOk = method('exchange.bind-ok', classId, 31, struct({}))
export const exchangeUnbind = method('exchange.unbind', classId, 40, binding)
export const exchangeUnbindOk = method('exchange.unbind-ok', classId, 51, struct({}))
