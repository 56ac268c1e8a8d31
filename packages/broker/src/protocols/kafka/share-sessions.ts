import type { Infer } from '@dragoman/wire'
import type { SharePartition } from '../../core/share/share-partition.ts'
import { perBroker } from '../per-broker.ts'
import type { SessionContext } from '../protocol.ts'
import { codes } from './errors.ts'
import type { apis } from './messages/index.ts'
import { epochAfter, finalEpoch, initialEpoch } from './session-epoch.ts'

type Request = Infer<typeof apis.shareFetch.request>

/** A partition that a member wants records of. */
export interface SessionPartition {
  readonly topicId: string
  readonly partition: number
  /** Kept from request to request. */
  share: SharePartition | undefined
}

/** Of all sessions together. */
const partitionsMax = 1_000_000

/** What one member of a share group fetches: each request says only what has changed. */
export class ShareSession {
  readonly key: string
  /** Epoch of the next request. */
  epoch = initialEpoch + 1
  /** By topic id and partition. */
  readonly partitions = new Map<string, SessionPartition>()
  /** The connection that used it last. */
  connection: SessionContext | undefined
  /** It has nothing to do with that connection any more. */
  detach: () => void = () => {}

  constructor(key: string) {
    this.key = key
  }

  update(request: Request): void {
    for (const { topicId, partitions } of request.topics) {
      for (const { partitionIndex: partition } of partitions) {
        const key = partitionKey(topicId, partition)
        if (!this.partitions.has(key)) this.partitions.set(key, { topicId, partition, share: undefined })
      }
    }
    for (const { topicId, partitions } of request.forgottenTopicsData) {
      for (const partition of partitions) this.partitions.delete(partitionKey(topicId, partition))
    }
  }

  /** Partitions in the order in which they are tried: each comes first in its turn. */
  inTurn(): SessionPartition[] {
    const all = [...this.partitions.values()]
    const first = all.length === 0 ? 0 : this.epoch % all.length
    return [...all.slice(first), ...all.slice(0, first)]
  }
}

const partitionKey = (topicId: string, partition: number): string => `${partition}/${topicId}`

/** What a request comes down to: a code that refuses it, or its session. `isFinal`: the session ends with it. */
export type SessionPlan = { errorCode: number } | { errorCode: 0; session: ShareSession; isFinal: boolean }

/** The share sessions of all connections of one broker, one for each member. */
export class ShareSessions {
  readonly #max: number
  readonly #partitionsMax: number
  readonly #sessions = new Map<string, ShareSession>()
  /** Of all sessions. */
  #partitions = 0

  constructor(sessionsMax: number, partitionsMaxOfAll = partitionsMax) {
    this.#max = sessionsMax
    this.#partitionsMax = partitionsMaxOfAll
  }

  static readonly of = perBroker(({ limits }) => new ShareSessions(limits.shareSessionsMax))

  get size(): number {
    return this.#sessions.size
  }

  /** For a fetch: finds, opens or is about to end the member's session, and brings it up to date. */
  fetch(groupId: string, memberId: string, request: Request): SessionPlan {
    const key = keyOf(groupId, memberId)
    const { shareSessionEpoch: epoch } = request
    if (epoch !== initialEpoch) {
      const plan = this.#use(key, epoch)
      if ('session' in plan && !plan.isFinal) return this.#updated(plan.session, request)
      return plan
    }
    const acknowledges = request.topics.some(({ partitions }) =>
      partitions.some(({ acknowledgementBatches }) => acknowledgementBatches.length > 0),
    )
    if (acknowledges) return { errorCode: codes.invalidRequest }
    this.end(this.#sessions.get(key))
    if (this.#sessions.size >= this.#max) return { errorCode: codes.shareSessionLimitReached }
    const session = new ShareSession(key)
    this.#sessions.set(key, session)
    return this.#updated(session, request)
  }

  #updated(session: ShareSession, request: Request): SessionPlan {
    const before = session.partitions.size
    session.update(request)
    this.#partitions += session.partitions.size - before
    if (this.#partitions <= this.#partitionsMax) return { errorCode: codes.none, session, isFinal: false }
    this.end(session)
    return { errorCode: codes.shareSessionLimitReached }
  }

  /** For an acknowledgement: it cannot open a session. */
  acknowledge(groupId: string, memberId: string, epoch: number): SessionPlan {
    if (epoch === initialEpoch) return { errorCode: codes.invalidShareSessionEpoch }
    return this.#use(keyOf(groupId, memberId), epoch)
  }

  #use(key: string, epoch: number): SessionPlan {
    const session = this.#sessions.get(key)
    if (session === undefined) return { errorCode: codes.shareSessionNotFound }
    if (epoch === finalEpoch) return { errorCode: codes.none, session, isFinal: true }
    if (session.epoch !== epoch) return { errorCode: codes.invalidShareSessionEpoch }
    session.epoch = epochAfter(epoch)
    return { errorCode: codes.none, session, isFinal: false }
  }

  end(session: ShareSession | undefined): void {
    if (session === undefined || this.#sessions.get(session.key) !== session) return
    this.#sessions.delete(session.key)
    this.#partitions -= session.partitions.size
    session.detach()
  }
}

/** Names of groups may hold any character: the length keeps them apart from those of members. */
const keyOf = (groupId: string, memberId: string): string => `${groupId.length}/${groupId}/${memberId}`
