import { bytes32, flags, string8, struct, u16, u8 } from '@dragoman/wire'
import { method } from './method.ts'

/** Class 20: one of the conversations that a connection carries. [AMQP 0-9-1 reference, 1.2] */
const classId = 20

export const channelOpen = method('channel.open', classId, 10, struct({ reserved1: string8 }))
export const channelOpenOk = method('channel.open-ok', classId, 11, struct({ reserved1: bytes32 }))

const flow = struct({ flow: flags({ active: 0 }, u8) })
export const channelFlow = method('channel.flow', classId, 20, flow)
export const channelFlowOk = method('channel.flow-ok', classId, 21, flow)

export const channelClose = method(
  'channel.close',
  classId,
  40,
  struct({ replyCode: u16, replyText: string8, classId: u16, methodId: u16 }),
)
export const channelCloseOk = method('channel.close-ok', classId, 41, struct({}))

/** Class 30, of older versions: some clients still ask for a ticket. */
export const accessRequest = method(
  'access.request',
  30,
  10,
  struct({ realm: string8, flags: flags({ exclusive: 0, passive: 1, active: 2, write: 3, read: 4 }, u8) }),
)
export const accessRequestOk = method('access.request-ok', 30, 11, struct({ ticket: u16 }))
