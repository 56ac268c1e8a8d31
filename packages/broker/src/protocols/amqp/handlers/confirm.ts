import { confirmSelect, confirmSelectOk } from '../messages/confirm.ts'
import { on, type Entry } from './handler.ts'

export const confirmHandlers: readonly Entry[] = [
  on(confirmSelect, (channel, { flags: { noWait } }) => {
    channel.basic.confirm()
    if (!noWait) channel.send(confirmSelectOk, {})
  }),
]
