import { struct } from '@dragoman/wire'
import { method } from './method.ts'

/** Class 90: what is published and acknowledged counts at the commit. [AMQP 0-9-1 reference, 1.6] */
const classId = 90
const nothing = struct({})

export const txSelect = method('tx.select', classId, 10, nothing)
export const txSelectOk = method('tx.select-ok', classId, 11, nothing)
export const txCommit = method('tx.commit', classId, 20, nothing)
export const txCommitOk = method('tx.commit-ok', classId, 21, nothing)
export const txRollback = method('tx.rollback', classId, 30, nothing)
export const txRollbackOk = method('tx.rollback-ok', classId, 31, nothing)
