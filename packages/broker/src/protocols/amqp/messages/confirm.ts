import { flags, struct, u8 } from '@dragoman/wire'
import { method } from './method.ts'

/** Class 85, an extension: the server tells which of the messages that were published it has. */
export const confirmSelect = method('confirm.select', 85, 10, struct({ flags: flags({ noWait: 0 }, u8) }))
export const confirmSelectOk = method('confirm.select-ok', 85, 11, struct({}))
