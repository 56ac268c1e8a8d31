import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import { createTopic } from './churn.ts'
import { Client } from './client.ts'
import { CommitHistory } from './history.ts'
import type { Shared } from './workload.ts'

const topic = 'assigned'
const group = 'assigned'
const partitionCount = 4
const leaves = -1

/** From a join to whatever ends it: what a member has been told since. */
interface Membership {
  readonly memberId: string
  epoch: number
  /** Partitions that it was told are its own, and when. */
  readonly owned: Map<number, number>
  isOver: boolean
  /** What must not have been true if the broker still took the member for one after `afterMs`. */
  readonly doubts: { afterMs: number; message: string }[]
}

/**
 * A group to which the broker assigns partitions, with members that come, go, vanish and freeze, and commit what they have.
 *
 * Holds: a member that was told that a partition is its own, and has not said that it gives it up, is not taken for a member
 * any more once the partition is another's. A commit in an epoch before the one that the member was told is refused. A
 * committed offset is the last that was acknowledged, or one whose answer was lost since. In the end each partition has an owner.
 */
export class AssignedGroups {
  readonly #shared: Shared
  readonly #sessionMs: number
  readonly #commits: CommitHistory[]
  readonly #offsets = Array.from({ length: partitionCount }, () => 0)
  readonly #memberships = new Set<Membership>()
  #topicId = ''
  #members = 0
  #isDone = false

  /** `sessionMs`: without a sign of life for so long, a member is removed. */
  constructor(shared: Shared, sessionMs: number) {
    this.#shared = shared
    this.#sessionMs = sessionMs
    this.#commits = Array.from(
      { length: partitionCount },
      (_, index) => new CommitHistory(shared.simulator, `group ${group} on ${topic}/${index}`),
    )
  }

  async create(): Promise<void> {
    const client = new Client(this.#shared.simulator, 'assigned-setup')
    this.#topicId = await createTopic(client, topic, partitionCount, [])
    client.drop()
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const clients = Array.from(
      { length: simulator.random.between(1, 5) },
      (_, at) => new Client(simulator, `assigned-member-${at}`),
    )
    await Promise.all(
      clients.map(async client => {
        while (!(await this.#live(client)));
        client.drop()
      }),
    )
  }

  /** True when the run is over, and every partition has an owner. */
  async #live(client: Client): Promise<boolean> {
    const { simulator } = this.#shared
    const { random } = simulator
    const one: Membership = {
      ...{ memberId: `member-${++this.#members}`, epoch: 0, isOver: false },
      ...{ owned: new Map(), doubts: [] },
    }
    this.#memberships.add(one)
    await this.#beat(client, one)
    while (!one.isOver) {
      this.#isDone ||= this.#shared.isEnding && this.#isWhole()
      if (this.#isDone) return true
      await simulator.sleep(random.float() * 250)
      if (!this.#shared.isEnding && random.chance(0.02)) await this.#part(client, one)
      else if (random.chance(0.02)) await simulator.sleep(random.float() * 2 * this.#sessionMs)
      else if (random.chance(0.4)) await this.#beat(client, one)
      else if (one.owned.size > 0) await this.#commit(client, one)
      else await this.#beat(client, one)
    }
    return false
  }

  #isWhole(): boolean {
    const all = [...this.#memberships].flatMap(({ owned }) => [...owned.keys()])
    return all.length === partitionCount && new Set(all).size === partitionCount
  }

  #over(one: Membership): void {
    one.isOver = true
    one.owned.clear()
    this.#memberships.delete(one)
  }

  /** Goes with a word, or without. */
  async #part(client: Client, one: Membership): Promise<void> {
    const { random } = this.#shared.simulator
    const { memberId } = one
    this.#over(one)
    if (random.chance(0.5)) return client.drop()
    const asked = { groupId: group, memberId, memberEpoch: leaves, rebalanceTimeoutMs: -1 }
    await client.request(apis.consumerGroupHeartbeat, {
      ...asked,
      ...{ instanceId: null, rackId: null, subscribedTopicNames: null, subscribedTopicRegex: null },
      ...{ serverAssignor: null, topicPartitions: null },
    })
  }

  async #beat(client: Client, one: Membership): Promise<void> {
    const { simulator } = this.#shared
    const { memberId, epoch, owned } = one
    const askedMs = simulator.nowMs
    const topicPartitions = owned.size === 0 ? [] : [{ topicId: this.#topicId, partitions: [...owned.keys()] }]
    const answer = await client.request(apis.consumerGroupHeartbeat, {
      ...{ groupId: group, memberId, memberEpoch: epoch, instanceId: null, rackId: null },
      ...{ rebalanceTimeoutMs: 1_000, subscribedTopicNames: [topic], subscribedTopicRegex: null },
      ...{ serverAssignor: null, topicPartitions },
    })
    if (answer === undefined || one.isOver) return
    this.#shared.operations++
    const { errorCode, memberEpoch, assignment } = answer
    if (errorCode === codes.none) {
      this.#used(one, askedMs)
      if (memberEpoch < epoch) simulator.fail(`${memberId} was in epoch ${epoch}, and is now in ${memberEpoch}`)
      one.epoch = memberEpoch
      if (assignment !== null) await this.#assigned(client, one, assignment.topicPartitions, askedMs)
      return
    }
    if (errorCode === codes.coordinatorNotAvailable) return
    const expected: number[] = [codes.unknownMemberId, codes.fencedMemberEpoch]
    if (!expected.includes(errorCode)) simulator.fail(`a heartbeat of ${memberId} is refused with error ${errorCode}`)
    this.#over(one)
  }

  /** The broker took it for a member up to the request at least. */
  #used({ doubts }: Membership, askedMs: number): void {
    const doubt = doubts.find(({ afterMs }) => askedMs >= afterMs)
    if (doubt !== undefined) this.#shared.simulator.fail(doubt.message)
  }

  async #assigned(
    client: Client,
    one: Membership,
    topics: readonly { topicId: string; partitions: readonly number[] }[],
    askedMs: number,
  ): Promise<void> {
    const { nowMs } = this.#shared.simulator
    const told = new Set(topics.flatMap(({ partitions }) => partitions))
    for (const partition of one.owned.keys()) if (!told.has(partition)) one.owned.delete(partition)
    const fresh = [...told].filter(partition => !one.owned.has(partition))
    for (const partition of told) {
      for (const other of this.#memberships) {
        if (other === one || (other.owned.get(partition) ?? Infinity) >= askedMs) continue
        const message = `partition ${partition} is assigned to ${one.memberId} while ${other.memberId} had it`
        other.doubts.push({ afterMs: nowMs, message })
      }
    }
    for (const partition of fresh) one.owned.set(partition, nowMs)
    for (const partition of fresh) await this.#find(client, partition)
  }

  async #commit(client: Client, one: Membership): Promise<void> {
    const { simulator } = this.#shared
    const { memberId, epoch } = one
    const partition = simulator.random.pick([...one.owned.keys()])
    const offset = ++this.#offsets[partition]!
    const isLate = epoch > 1 && simulator.random.chance(0.1)
    const askedMs = simulator.nowMs
    if (!isLate) this.#commits[partition]?.attempt(offset)
    const partitions = [{ partitionIndex: partition, committedOffset: offset, committedMetadata: null }]
    const answer = await client.request(apis.offsetCommit, {
      ...{ groupId: group, generationIdOrMemberEpoch: isLate ? epoch - 1 : epoch, memberId },
      topics: [{ name: topic, topicId: this.#topicId, partitions }],
    })
    const code = answer?.topics[0]?.partitions[0]?.errorCode
    this.#shared.operations++
    if (code === codes.none) {
      if (isLate) simulator.fail(`${memberId} is in epoch ${epoch}, and its commit in the one before is taken`)
      this.#used(one, askedMs)
      this.#commits[partition]?.acknowledged(offset)
    }
  }

  /** What a new owner begins with. */
  async #find(client: Client, partition: number): Promise<boolean> {
    const wanted = [{ name: topic, topicId: this.#topicId, partitionIndexes: [partition] }]
    const answer = await client.request(apis.offsetFetch, { groups: [{ groupId: group, topics: wanted }] })
    const found = answer?.groups[0]?.topics[0]?.partitions[0]
    if (found === undefined || found.errorCode !== codes.none) return false
    this.#commits[partition]?.found(found.committedOffset)
    return true
  }

  /** Compares all committed offsets. Nothing is under way. */
  async check(client: Client): Promise<void> {
    for (let partition = 0; partition < partitionCount; partition++) while (!(await this.#find(client, partition)));
  }
}
