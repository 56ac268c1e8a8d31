import type { Infer } from '@dragoman/wire'
import { perBroker } from '../per-broker.ts'
import type { SessionContext } from '../protocol.ts'
import { codes } from './errors.ts'
import type { apis } from './messages/index.ts'
import { epochAfter, finalEpoch, initialEpoch } from './session-epoch.ts'

type Request = Infer<typeof apis.fetch.request>

/** What a client wants of one partition, and what it knows of it from the last answer. */
export interface FetchPartition {
  /** Empty when the topic is named by its id. */
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  currentLeaderEpoch: number
  fetchOffset: number
  lastFetchedEpoch: number
  maxBytes: number
  /** -1 until told. */
  knownEnd: number
  knownStart: number
}

/** What one request comes down to. */
export interface FetchPlan {
  errorCode: number
  sessionId: number
  /** In the order in which they are read: those that gave data last come last. */
  partitions: Iterable<FetchPartition>
  /** Only what has changed is answered, and what is answered is remembered. */
  session: FetchSession | undefined
}

/** A session may be evicted for another one when it was not used for so long. */
const idleMsMin = 120_000
/** A client with more partitions sends them each time. */
const partitionsMax = 100_000
/** Of all sessions together: beyond it no session is made. */
const partitionsTotalMax = 1_000_000

/** One client's standing wish, so that each request and answer carries only what has changed (KIP-227). */
export class FetchSession {
  readonly id: number
  readonly byId: boolean
  /** Epoch of the next request. */
  epoch = initialEpoch
  usedMs = 0
  /** In the order in which they are read. */
  readonly partitions = new Map<string, FetchPartition>()

  constructor(id: number, byId: boolean) {
    this.id = id
    this.byId = byId
  }

  update(request: Request): void {
    for (const { topic, topicId, partitions } of request.forgottenTopicsData) {
      for (const partition of partitions) this.partitions.delete(keyOf(this.byId ? topicId : topic, partition))
    }
    for (const wanted of partitionsOf(request)) {
      const key = keyOf(this.byId ? wanted.topicId : wanted.topic, wanted.partition)
      const known = this.partitions.get(key)
      if (known === undefined) this.partitions.set(key, wanted)
      else {
        known.currentLeaderEpoch = wanted.currentLeaderEpoch
        known.fetchOffset = wanted.fetchOffset
        known.lastFetchedEpoch = wanted.lastFetchedEpoch
        known.maxBytes = wanted.maxBytes
      }
    }
  }

  /** Reads this partition last from now on, so that a busy one does not starve the others. */
  moveToEnd(partition: FetchPartition): void {
    const key = keyOf(this.byId ? partition.topicId : partition.topic, partition.partition)
    if (this.partitions.delete(key)) this.partitions.set(key, partition)
  }
}

/**
 * The fetch sessions of all connections of one broker: a client may go on with its session on another connection.
 *
 * Invariant: least recently used first.
 */
export class FetchSessions {
  readonly #max: number
  readonly #partitionsMax: number
  readonly #sessions = new Map<number, FetchSession>()
  /** Of all sessions. */
  #partitions = 0

  constructor(sessionsMax: number, partitionsMaxOfAll = partitionsTotalMax) {
    this.#max = sessionsMax
    this.#partitionsMax = partitionsMaxOfAll
  }

  static readonly of = perBroker(({ limits }) => new FetchSessions(limits.fetchSessionsMax))

  get size(): number {
    return this.#sessions.size
  }

  /** Finds, makes or ends the session that the request names, and brings it up to date. */
  plan(request: Request, version: number, context: Pick<SessionContext, 'clock' | 'random'>): FetchPlan {
    const { sessionId, sessionEpoch } = request
    const nowMs = context.clock.monotonicMs()
    const byId = version >= 13
    if (sessionEpoch === finalEpoch || sessionEpoch === initialEpoch) {
      this.#end(this.#sessions.get(sessionId))
      const session = sessionEpoch === initialEpoch ? this.#make(request, byId, nowMs, context) : undefined
      return this.#planOf(session, session?.partitions.values() ?? partitionsOf(request))
    }
    const session = this.#sessions.get(sessionId)
    if (session === undefined) return refusal(codes.fetchSessionIdNotFound)
    if (session.epoch !== sessionEpoch) return refusal(codes.invalidFetchSessionEpoch, sessionId)
    if (session.byId !== byId) return refusal(codes.fetchSessionTopicIdError, sessionId)
    const before = session.partitions.size
    session.update(request)
    this.#partitions += session.partitions.size - before
    if (session.partitions.size === 0 || session.partitions.size > partitionsMax) {
      this.#end(session)
      return this.#planOf(undefined, session.partitions.values())
    }
    this.#use(session, nowMs)
    return this.#planOf(session, session.partitions.values())
  }

  #planOf(session: FetchSession | undefined, partitions: Iterable<FetchPartition>): FetchPlan {
    return { errorCode: codes.none, sessionId: session?.id ?? 0, partitions, session }
  }

  /** Undefined when there is nothing to remember, or no room: the client then sends all each time. */
  #make(
    request: Request,
    byId: boolean,
    nowMs: number,
    { random }: Pick<SessionContext, 'random'>,
  ): FetchSession | undefined {
    if (request.topics.length === 0 || !this.#makeRoom(nowMs)) return undefined
    let id = 0
    while (id === 0 || this.#sessions.has(id)) id = random.u32() >>> 1
    const session = new FetchSession(id, byId)
    session.update(request)
    const { size } = session.partitions
    if (size === 0 || size > partitionsMax || this.#partitions + size > this.#partitionsMax) return undefined
    this.#partitions += size
    this.#use(session, nowMs)
    return session
  }

  #makeRoom(nowMs: number): boolean {
    if (this.#sessions.size < this.#max) return true
    const [oldest] = this.#sessions.values()
    if (oldest === undefined || nowMs - oldest.usedMs < idleMsMin) return false
    this.#end(oldest)
    return true
  }

  #end(session: FetchSession | undefined): void {
    if (session !== undefined && this.#sessions.delete(session.id)) this.#partitions -= session.partitions.size
  }

  #use(session: FetchSession, nowMs: number): void {
    session.usedMs = nowMs
    session.epoch = epochAfter(session.epoch)
    this.#sessions.delete(session.id)
    this.#sessions.set(session.id, session)
  }
}

function refusal(errorCode: number, sessionId = 0): FetchPlan {
  return { errorCode, sessionId, partitions: [], session: undefined }
}

const keyOf = (topic: string, partition: number): string => `${partition}/${topic}`

function partitionsOf(request: Request): FetchPartition[] {
  const found: FetchPartition[] = []
  for (const { topic, topicId, partitions } of request.topics) {
    for (const { partition, currentLeaderEpoch, fetchOffset, lastFetchedEpoch, partitionMaxBytes } of partitions) {
      const maxBytes = Math.max(0, partitionMaxBytes)
      const told = { knownEnd: -1, knownStart: -1 }
      found.push({ topic, topicId, partition, currentLeaderEpoch, fetchOffset, lastFetchedEpoch, maxBytes, ...told })
    }
  }
  return found
}
