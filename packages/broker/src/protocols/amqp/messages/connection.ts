import { bytes32, flags, string32, string8, struct, u16, u32, u8 } from '@dragoman/wire'
import { table } from '../table.ts'
import { method } from './method.ts'

/** Class 10: the connection itself, on channel 0. [AMQP 0-9-1 reference, 1.1] */
const classId = 10

/** The server tells what it is, and how clients may say who they are (words with blanks between them). */
export const connectionStart = method(
  'connection.start',
  classId,
  10,
  struct({ versionMajor: u8, versionMinor: u8, serverProperties: table, mechanisms: string32, locales: string32 }),
)
export const connectionStartOk = method(
  'connection.start-ok',
  classId,
  11,
  struct({ clientProperties: table, mechanism: string8, response: bytes32, locale: string8 }),
)
/** Another round of the mechanism. */
export const connectionSecure = method('connection.secure', classId, 20, struct({ challenge: bytes32 }))
export const connectionSecureOk = method('connection.secure-ok', classId, 21, struct({ response: bytes32 }))

const limits = struct({ channelMax: u16, frameMax: u32, heartbeat: u16 })
/** 0 is no limit; the heartbeat is in seconds, and 0 is none. */
export const connectionTune = method('connection.tune', classId, 30, limits)
export const connectionTuneOk = method('connection.tune-ok', classId, 31, limits)

export const connectionOpen = method(
  'connection.open',
  classId,
  40,
  struct({ virtualHost: string8, reserved1: string8, reserved2: flags({ insist: 0 }, u8) }),
)
export const connectionOpenOk = method('connection.open-ok', classId, 41, struct({ reserved1: string8 }))
export const connectionClose = method(
  'connection.close',
  classId,
  50,
  struct({ replyCode: u16, replyText: string8, classId: u16, methodId: u16 }),
)
export const connectionCloseOk = method('connection.close-ok', classId, 51, struct({}))
/** An extension: the server takes no messages for the moment. */
export const connectionBlocked = method('connection.blocked', classId, 60, struct({ reason: string8 }))
export const connectionUnblocked = method('connection.unblocked', classId, 61, struct({}))
/** An extension: a new password or token, before the old one is no longer worth anything. */
export const connectionUpdateSecret = method(
  'connection.update-secret',
  classId,
  70,
  struct({ newSecret: bytes32, reason: string8 }),
)
export const connectionUpdateSecretOk = method('connection.update-secret-ok', classId, 71, struct({}))
