import { createHash } from 'node:crypto'
import { BrokerError } from '../../errors.ts'
import { topicNameProblem } from '../../names.ts'
import type { Topic } from '../../topic.ts'
import type { Membership } from './machine.ts'
import { TopicPattern } from './topic-pattern.ts'

/** What groups must know of topics. */
export interface TopicView {
  get(namespace: string, name: string): Topic | undefined
  byId(id: string): Topic | undefined
  list(namespace: string): readonly Topic[]
  /** Changes whenever a topic is made or removed or gets more partitions. */
  readonly revision: number
}

/** Who may know of which topics. */
export interface TopicSight {
  /** Grows whenever `sees` might say something else. */
  readonly version: number
  sees(namespace: string, principal: string, host: string, topic: string): boolean
}

export const seesAll: TopicSight = { version: 0, sees: () => true }

type Subscriber = Pick<Membership, 'topics' | 'pattern' | 'principal' | 'host'>

/** What the members of a group subscribe to, as the topics are now. */
export interface Interests {
  /** The topics of one member. The same set for members of the same subscription. */
  of(member: Subscriber): ReadonlySet<string>
  /** Of all topics that any member subscribes to. */
  readonly partitionCounts: ReadonlyMap<string, number>
  /** Stands for `partitionCounts`. */
  readonly hash: string
}

/** Expressions whose matches are remembered; the least recently used one gives way. */
const patternsMax = 1000

interface KnownPattern {
  readonly pattern: TopicPattern
  /** Ids of the topics that match. */
  readonly matching: Set<string>
  revision: number
  /** Topics whose first stream is not newer were looked at: streams are numbered as they are made. */
  newestStream: number
}

/** Turns subscriptions into topics. */
export class Subscriptions {
  readonly #topics: TopicView
  readonly #sight: TopicSight
  readonly #patterns = new Map<string, KnownPattern>()

  constructor(topics: TopicView, sight: TopicSight) {
    this.#topics = topics
    this.#sight = sight
  }

  /** Changes whenever a subscription might mean something else. */
  get revision(): number {
    return this.#topics.revision + this.#sight.version
  }

  /** Throws `BrokerError` `pattern-invalid` when it cannot be used. An empty one is none. */
  checkPattern(namespace: string, pattern: string): void {
    if (pattern !== '') this.#refresh(namespace, this.#known(namespace, pattern))
  }

  of(namespace: string, members: Iterable<Membership>): Interests {
    const sets = new Map<string, ReadonlySet<string>>()
    const counts = new Map<string, number>()
    const interestOf = (member: Subscriber): ReadonlySet<string> => {
      const { topics, pattern, principal, host } = member
      const key = JSON.stringify(pattern === null ? [topics] : [topics, pattern, principal, host])
      let set = sets.get(key)
      if (set === undefined) sets.set(key, (set = this.#resolve(namespace, member)))
      return set
    }
    for (const member of members) {
      for (const id of interestOf(member)) {
        if (!counts.has(id)) counts.set(id, this.#topics.byId(id)?.partitions.length ?? 0)
      }
    }
    return { of: interestOf, partitionCounts: counts, hash: hashOf(counts) }
  }

  #resolve(namespace: string, { topics, pattern, principal, host }: Subscriber): ReadonlySet<string> {
    const ids = new Set<string>()
    for (const name of topics) {
      const topic = this.#topics.get(namespace, name)
      if (topic !== undefined) ids.add(topic.id)
    }
    if (pattern === null || pattern === '') return ids
    const known = this.#known(namespace, pattern)
    try {
      this.#refresh(namespace, known)
    } catch (error) {
      // It was fine when the member came, and has become too costly: it matches what it matched then.
      if (!(error instanceof BrokerError)) throw error
    }
    for (const id of known.matching) {
      const topic = this.#topics.byId(id)
      if (topic !== undefined && this.#sight.sees(namespace, principal, host, topic.name)) ids.add(id)
    }
    return ids
  }

  #known(namespace: string, text: string): KnownPattern {
    const key = `${namespace}\0${text}`
    const known = this.#patterns.get(key) ?? fresh(text)
    this.#patterns.delete(key)
    this.#patterns.set(key, known)
    if (this.#patterns.size > patternsMax) {
      for (const [oldest] of this.#patterns) {
        this.#patterns.delete(oldest)
        break
      }
    }
    return known
  }

  #refresh(namespace: string, known: KnownPattern): void {
    if (known.revision === this.#topics.revision) return
    for (const id of known.matching) if (this.#topics.byId(id) === undefined) known.matching.delete(id)
    let newest = known.newestStream
    for (const { id, name, partitions } of this.#topics.list(namespace)) {
      const stream = partitions[0] ?? 0
      if (stream <= known.newestStream) continue
      // Members are told names, which not all of their clients could write.
      if (topicNameProblem(name) === undefined && known.pattern.matches(name)) known.matching.add(id)
      newest = Math.max(newest, stream)
    }
    known.newestStream = newest
    known.revision = this.#topics.revision
  }
}

const fresh = (text: string): KnownPattern => ({
  pattern: new TopicPattern(text),
  matching: new Set(),
  revision: -1,
  newestStream: -1,
})

function hashOf(counts: ReadonlyMap<string, number>): string {
  const hash = createHash('sha256')
  for (const [id, count] of Array.from(counts).sort(([a], [b]) => (a < b ? -1 : 1))) hash.update(`${id}:${count};`)
  return hash.digest('hex').slice(0, 32)
}
