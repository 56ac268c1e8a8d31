import { basicHandlers } from './basic.ts'
import { channelHandlers } from './channel.ts'
import { confirmHandlers } from './confirm.ts'
import { exchangeHandlers } from './exchange.ts'
import type { Handler } from './handler.ts'
import { queueHandlers } from './queue.ts'
import { txHandlers } from './tx.ts'

/** What is done for each method that a client may send on a channel, by the number of the method. */
export const handlers: ReadonlyMap<number, Handler> = new Map([
  ...channelHandlers,
  ...exchangeHandlers,
  ...queueHandlers,
  ...basicHandlers,
  ...confirmHandlers,
  ...txHandlers,
])
