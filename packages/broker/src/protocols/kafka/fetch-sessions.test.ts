import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer, type Infer, type Write } from '@dragoman/wire'
import { codes } from './errors.ts'
import { FetchSessions } from './fetch-sessions.ts'
import { apis } from './messages/index.ts'

const version = 12
let nowMs = 0
const context = {
  clock: { nowMs: () => nowMs, monotonicMs: () => nowMs, after: () => () => {}, soon: (run: () => void) => run() },
  random: new Random(1),
}

/** The request as it would be read from the wire, with all its fields. */
function request(body: Write<typeof apis.fetch.request>): Infer<typeof apis.fetch.request> {
  const out = new Writer()
  apis.fetch.request.write(out, body, version)
  return apis.fetch.request.read(new Reader(out.take()), version)
}

const wanting = (count: number): Write<typeof apis.fetch.request> => ({
  sessionEpoch: 0,
  topics: [{ topic: 't', partitions: Array.from({ length: count }, (_, partition) => ({ partition })) }],
})

test('a new session takes the place of the least recently used one only after two minutes', () => {
  const sessions = new FetchSessions(2)
  const open = (): number => sessions.plan(request(wanting(1)), version, context).sessionId
  const use = (sessionId: number, sessionEpoch: number): number =>
    sessions.plan(request({ sessionId, sessionEpoch }), version, context).errorCode
  const [first, second] = [open(), open()]
  assert(first > 0 && second > 0 && first !== second)
  assert.equal(open(), 0)
  nowMs += 119_000
  assert.equal(use(first, 1), codes.none)
  nowMs += 1000
  const third = open()
  assert(third > 0)
  assert.equal(use(second, 1), codes.fetchSessionIdNotFound)
  assert.equal(use(first, 2), codes.none)
  assert.equal(sessions.size, 2)
})

test('a session ends with its last partition', () => {
  const sessions = new FetchSessions(100)
  const { sessionId } = sessions.plan(request(wanting(2)), version, context)
  const forgottenTopicsData = [{ topic: 't', partitions: [0, 1] }]
  const plan = sessions.plan(request({ sessionId, sessionEpoch: 1, forgottenTopicsData }), version, context)
  assert.deepEqual([plan.sessionId, plan.errorCode, [...plan.partitions]], [0, codes.none, []])
  assert.equal(sessions.size, 0)
})

test('no session is made for more partitions than the bound', () => {
  const sessions = new FetchSessions(100, 10)
  const open = (count: number): boolean => sessions.plan(request(wanting(count)), version, context).sessionId > 0
  assert.deepEqual([open(11), open(6), open(5), open(4), open(1)], [false, true, false, true, false])
  assert.equal(sessions.size, 2)
})

test('the epoch goes from the greatest to 1', () => {
  const sessions = new FetchSessions(1)
  const { session } = sessions.plan(request(wanting(1)), version, context)
  assert(session)
  session.epoch = 0x7fff_ffff
  const next = (sessionEpoch: number): number =>
    sessions.plan(request({ sessionId: session.id, sessionEpoch }), version, context).errorCode
  assert.deepEqual([next(0x7fff_ffff), next(1), next(2)], [codes.none, codes.none, codes.none])
})
