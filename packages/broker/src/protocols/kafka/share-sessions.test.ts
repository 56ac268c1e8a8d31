import assert from 'node:assert/strict'
import test from 'node:test'
import type { Infer } from '@dragoman/wire'
import { codes } from './errors.ts'
import type { apis } from './messages/index.ts'
import { ShareSessions, type SessionPlan } from './share-sessions.ts'

const topicId = 'a'.repeat(32)

const request = (shareSessionEpoch: number, partitions: number[], forgotten: number[] = []) =>
  ({
    shareSessionEpoch,
    topics: [
      { topicId, partitions: partitions.map(partitionIndex => ({ partitionIndex, acknowledgementBatches: [] })) },
    ],
    forgottenTopicsData: [{ topicId, partitions: forgotten }],
  }) as unknown as Infer<typeof apis.shareFetch.request>

const sessionOf = (plan: SessionPlan) => ('session' in plan ? plan.session : assert.fail(String(plan.errorCode)))

test('a session gathers what requests add and forget, and gives each partition its turn', () => {
  const sessions = new ShareSessions(10)
  const session = sessionOf(sessions.fetch('g', 'm', request(0, [0, 1])))
  assert.equal(sessionOf(sessions.fetch('g', 'm', request(1, [2], [0]))), session)
  const turns = [0, 1].map(
    () =>
      session
        .inTurn()
        .map(({ partition }) => partition)
        .join('') + session.epoch++,
  )
  assert.deepEqual(turns, ['122', '213'])
  assert.deepEqual(sessions.fetch('g', 'm', request(1, [])), { errorCode: codes.invalidShareSessionEpoch })
  sessions.end(session)
  assert.equal(sessions.size, 0)
  assert.deepEqual(sessions.acknowledge('g', 'm', 2), { errorCode: codes.shareSessionNotFound })
})

test('epochs go on at 1 after the last one', () => {
  const sessions = new ShareSessions(10)
  const session = sessionOf(sessions.fetch('g', 'm', request(0, [])))
  session.epoch = 0x7fff_ffff
  sessionOf(sessions.acknowledge('g', 'm', 0x7fff_ffff))
  assert.equal(session.epoch, 1)
})

test('sessions and their partitions are bounded, and a member has one', () => {
  const sessions = new ShareSessions(2, 4)
  const limit = { errorCode: codes.shareSessionLimitReached }
  sessionOf(sessions.fetch('g', 'm', request(0, [0, 1])))
  sessionOf(sessions.fetch('g', 'm', request(0, [0, 1])))
  sessionOf(sessions.fetch('1/g', 'm', request(0, [0, 1])))
  assert.equal(sessions.size, 2)
  assert.deepEqual(sessions.fetch('h', 'm', request(0, [0])), limit)
  assert.deepEqual(sessions.fetch('g', 'm', request(1, [2])), limit)
  assert.equal(sessions.size, 1)
  sessionOf(sessions.fetch('h', 'm', request(0, [0, 1])))
})
