import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import type { Cluster, TopicPartitions } from './cluster.ts'
import { pause } from './cluster.ts'
import { CommandError } from './command.ts'
import { check, isPassing } from './errors.ts'
import { commitOffsets } from './group-offsets.ts'
import {
  assignRanges,
  readAssignment,
  readSubscription,
  writeAssignment,
  writeSubscription,
  type Assignment,
} from './group-protocol.ts'
import type { PartitionOffsets } from './positions.ts'

const sessionTimeoutMs = 10_000
const rebalanceTimeoutMs = 30_000
const heartbeatMs = 2_500
const protocolType = 'consumer'
const protocolName = 'range'

/** The membership is over: another generation has begun, or the group has forgotten this member. */
const ends = new Set<number>([codes.rebalanceInProgress, codes.illegalGeneration, codes.unknownMemberId])

/** A member of a group, as far as a reader on the command line needs one. */
export class GroupMember {
  readonly #cluster: Cluster
  readonly #group: string
  readonly #topics: readonly string[]
  #memberId = ''
  #generation = -1
  #beatMs = 0

  constructor(cluster: Cluster, group: string, topics: readonly string[]) {
    this.#cluster = cluster
    this.#group = group
    this.#topics = topics
  }

  /** Takes part in the next generation; resolves with what this member is to read. */
  async join(): Promise<Assignment> {
    for (;;) {
      const joined = await this.#cluster.request(
        apis.joinGroup,
        {
          groupId: this.#group,
          sessionTimeoutMs,
          rebalanceTimeoutMs,
          memberId: this.#memberId,
          protocolType,
          protocols: [{ name: protocolName, metadata: writeSubscription(this.#topics) }],
        },
        { timeoutMs: 2 * rebalanceTimeoutMs + 30_000 },
      )
      if (joined.errorCode === codes.memberIdRequired) this.#memberId = joined.memberId
      else if (joined.errorCode === codes.unknownMemberId) this.#memberId = ''
      else if (isPassing(joined.errorCode) || joined.errorCode === codes.rebalanceInProgress) await pause(200)
      else {
        check(joined.errorCode, `Cannot join group "${this.#group}"`)
        this.#memberId = joined.memberId
        this.#generation = joined.generationId
        const lead = joined.leader === joined.memberId && !joined.skipAssignment
        const assignment = await this.#sync(lead ? await this.#assign(joined.members) : [])
        if (assignment) return assignment
      }
    }
  }

  /** Resolves with undefined when yet another generation has begun. */
  async #sync(assignments: readonly { memberId: string; assignment: Buffer }[]): Promise<Assignment | undefined> {
    const answer = await this.#cluster.request(
      apis.syncGroup,
      {
        groupId: this.#group,
        generationId: this.#generation,
        memberId: this.#memberId,
        protocolType,
        protocolName,
        assignments: [...assignments],
      },
      { timeoutMs: 2 * rebalanceTimeoutMs },
    )
    if (ends.has(answer.errorCode)) return undefined
    check(answer.errorCode, `Cannot read what group "${this.#group}" assigns`)
    this.#beatMs = performance.now()
    return readAssignment(answer.assignment)
  }

  /** As the leader: shares out the partitions of all topics that any member wants. */
  async #assign(
    members: readonly { memberId: string; metadata: Buffer }[],
  ): Promise<{ memberId: string; assignment: Buffer }[]> {
    const subscribers = members.map(({ memberId, metadata }) => ({ memberId, topics: readSubscription(metadata) }))
    const wanted = new Set(subscribers.flatMap(({ topics }) => topics))
    const known: TopicPartitions[] = (await this.#cluster.topics(null)).filter(({ topic }) => wanted.has(topic))
    const assigned = assignRanges(subscribers, new Map(known.map(({ topic, partitions }) => [topic, partitions])))
    return [...assigned].map(([memberId, assignment]) => ({ memberId, assignment: writeAssignment(assignment) }))
  }

  /** A sign of life when one is due. False when the member must join again. */
  async beat(): Promise<boolean> {
    if (performance.now() - this.#beatMs < heartbeatMs) return true
    this.#beatMs = performance.now()
    const { errorCode } = await this.#cluster.request(apis.heartbeat, {
      groupId: this.#group,
      generationId: this.#generation,
      memberId: this.#memberId,
    })
    if (ends.has(errorCode)) return false
    check(errorCode, `Cannot stay in group "${this.#group}"`)
    return true
  }

  /** False when another member may have taken over, so that what was read may be read again. */
  async commit(offsets: PartitionOffsets): Promise<boolean> {
    const by = { generation: this.#generation, memberId: this.#memberId }
    for (let attempt = 0; ; attempt++) {
      const code = await commitOffsets(this.#cluster, this.#group, offsets, by)
      if (code === codes.none) return true
      // While members are called together, the old generation may still commit; anything else means that it is over.
      if (ends.has(code)) return false
      if (!isPassing(code) || attempt >= 20) check(code, `Cannot commit offsets of group "${this.#group}"`)
      await pause(250)
    }
  }

  async leave(): Promise<void> {
    if (this.#memberId === '') return
    const members = [{ memberId: this.#memberId, groupInstanceId: null }]
    await this.#cluster
      .request(apis.leaveGroup, { groupId: this.#group, memberId: this.#memberId, members })
      .catch((error: unknown) => {
        // The group notices by itself when the session times out.
        if (!(error instanceof CommandError)) throw error
      })
  }
}
