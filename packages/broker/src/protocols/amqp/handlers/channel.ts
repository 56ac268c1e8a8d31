import { AmqpException } from '../errors.ts'
import {
  accessRequest,
  accessRequestOk,
  channelClose,
  channelCloseOk,
  channelFlow,
  channelFlowOk,
  channelOpen,
} from '../messages/channel.ts'
import { on, type Entry } from './handler.ts'

export const channelHandlers: readonly Entry[] = [
  on(channelOpen, () => {
    throw new AmqpException('channelError', "second 'channel.open' seen")
  }),
  on(channelFlow, (channel, { flow: { active } }) => {
    // Who wants less at a time says so with basic.qos.
    if (!active) throw new AmqpException('notImplemented', 'active=false')
    channel.send(channelFlowOk, { flow: { active: true } })
  }),
  on(channelClose, channel => {
    channel.send(channelCloseOk, {})
    channel.end()
    channel.connection.channelClosed(channel.number)
  }),
  on(accessRequest, channel => channel.send(accessRequestOk, { ticket: 1 })),
]
