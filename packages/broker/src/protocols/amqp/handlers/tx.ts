import { txCommit, txCommitOk, txRollback, txRollbackOk, txSelect, txSelectOk } from '../messages/tx.ts'
import { on, type Entry } from './handler.ts'

export const txHandlers: readonly Entry[] = [
  on(txSelect, channel => {
    channel.basic.transact()
    channel.send(txSelectOk, {})
  }),
  on(txCommit, async channel => {
    await channel.basic.transaction.commit()
    channel.send(txCommitOk, {})
  }),
  on(txRollback, channel => {
    channel.basic.transaction.rollback()
    channel.send(txRollbackOk, {})
  }),
]
