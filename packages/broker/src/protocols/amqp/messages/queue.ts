import { flags, string8, struct, u16, u32, u8 } from '@dragoman/wire'
import { table } from '../table.ts'
import { method } from './method.ts'

/** Class 50: queues and what leads to them. [AMQP 0-9-1 reference, 1.4] */
const classId = 50

export const queueDeclare = method(
  'queue.declare',
  classId,
  10,
  struct({
    reserved1: u16,
    queue: string8,
    flags: flags({ passive: 0, durable: 1, exclusive: 2, autoDelete: 3, noWait: 4 }, u8),
    arguments: table,
  }),
)
export const queueDeclareOk = method(
  'queue.declare-ok',
  classId,
  11,
  struct({ queue: string8, messageCount: u32, consumerCount: u32 }),
)
export const queueBind = method(
  'queue.bind',
  classId,
  20,
  struct({
    reserved1: u16,
    queue: string8,
    exchange: string8,
    routingKey: string8,
    flags: flags({ noWait: 0 }, u8),
    arguments: table,
  }),
)
export const queueBindOk = method('queue.bind-ok', classId, 21, struct({}))

export const queuePurge = method(
  'queue.purge',
  classId,
  30,
  struct({ reserved1: u16, queue: string8, flags: flags({ noWait: 0 }, u8) }),
)
export const queuePurgeOk = method('queue.purge-ok', classId, 31, struct({ messageCount: u32 }))

export const queueDelete = method(
  'queue.delete',
  classId,
  40,
  struct({ reserved1: u16, queue: string8, flags: flags({ ifUnused: 0, ifEmpty: 1, noWait: 2 }, u8) }),
)
export const queueDeleteOk = method('queue.delete-ok', classId, 41, struct({ messageCount: u32 }))

export const queueUnbind = method(
  'queue.unbind',
  classId,
  50,
  struct({ reserved1: u16, queue: string8, exchange: string8, routingKey: string8, arguments: table }),
)
export const queueUnbindOk = method('queue.unbind-ok', classId, 51, struct({}))
