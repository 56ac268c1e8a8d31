import type { Codec, Infer, Write } from '@dragoman/wire'
import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis, type Api } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import { ShareMember, type Acknowledgement } from '../../packages/broker/src/protocols/kafka/share-member.ts'
import { createTopic } from './churn.ts'
import { Client } from './client.ts'
import { setGroupConfig } from './group-config.ts'
import { PartitionHistory } from './history.ts'
import { batchOf, recordsOf } from './records.ts'
import { ShareHistory, ShareHold, type Settling, type Span } from './share-history.ts'
import type { Shared } from './workload.ts'

const topic = 'shared'
const group = 'shared'
const partitionCount = 2
const producer = 800

/** The answer did not come. */
class Lost extends Error {
  override name = 'Lost'
}

/** A client as `ShareMember` wants it. */
class Asking {
  readonly client: Client

  constructor(client: Client) {
    this.client = client
  }

  async request<Q extends Codec<unknown>, A extends Codec<unknown>>(api: Api<Q, A>, body: Write<Q>): Promise<Infer<A>> {
    const answer = await this.client.request(api, body)
    if (answer === undefined) throw new Lost()
    return answer
  }
}

/** A topic of its own, whose records the members of one share group work on; what they may rely on is said in `ShareHistory`. */
export class ShareGroups {
  readonly #shared: Shared
  readonly #sessionMs: number
  readonly #lockMs: number
  readonly #deliveryLimit: number
  readonly #history: ShareHistory
  readonly #records: PartitionHistory[]
  #topicId = ''
  #members = 0
  #next = 0
  #isProduced = false

  /** `sessionMs`: without a sign of life for so long, a member loses what it holds. */
  constructor(shared: Shared, sessionMs: number) {
    const { simulator } = shared
    this.#shared = shared
    this.#sessionMs = sessionMs
    this.#lockMs = simulator.random.pick([200, 1000, 4000])
    this.#deliveryLimit = simulator.random.pick([0, 2, 5])
    this.#history = new ShareHistory(simulator, this.#deliveryLimit)
    this.#records = Array.from(
      { length: partitionCount },
      (_, index) => new PartitionHistory(simulator, `${topic}/${index}`),
    )
  }

  async create(): Promise<void> {
    const client = new Client(this.#shared.simulator, 'share-setup')
    await setGroupConfig(client, group, {
      'share.auto.offset.reset': 'earliest',
      'share.record.lock.duration.ms': String(this.#lockMs),
      'share.delivery.count.limit': String(this.#deliveryLimit),
    })
    this.#topicId = await createTopic(client, topic, partitionCount, [{ name: 'retention.ms', value: '-1' }])
    client.drop()
  }

  async run(): Promise<void> {
    const { random } = this.#shared.simulator
    const tasks = Array.from({ length: random.between(1, 4) }, (_, at) =>
      this.#work(new Client(this.#shared.simulator, `share-member-${at}`)),
    )
    await this.#produce()
    this.#isProduced = true
    await Promise.all(tasks)
  }

  async #produce(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const client = new Client(simulator, 'share-producer')
    while (!this.#shared.isEnding) {
      const index = random.below(partitionCount)
      const ids = Array.from({ length: random.between(1, 8) }, () => ({ producer, index: this.#next++ }))
      for (;;) {
        const records = batchOf(ids, 1_767_225_600_000 + Math.floor(simulator.nowMs))
        const topicData = [{ name: topic, topicId: this.#topicId, partitionData: [{ index, records }] }]
        const answer = await client.request(apis.produce, { acks: -1, timeoutMs: 5_000, topicData })
        const found = answer?.responses[0]?.partitionResponses[0]
        if (found?.errorCode !== codes.none) continue
        for (const [at, id] of ids.entries()) {
          this.#records[index]?.saw(found.baseOffset + at, id, 'acknowledged')
          this.#history.produced(index, found.baseOffset + at)
        }
        break
      }
      this.#shared.operations += ids.length
      await simulator.sleep(random.float() * 100)
    }
    client.drop()
  }

  async #work(client: Client): Promise<void> {
    while (!this.#shared.isEnding || !this.#isProduced) await this.#live(client, false)
    client.drop()
  }

  #newMember(client: Client): Member {
    const { random, nowMs } = this.#shared.simulator
    const member = new ShareMember(new Asking(client), group, `member-${++this.#members}`)
    return { member, session: new ShareHold(), held: [], aliveMs: nowMs, beatMs: 150 + random.float() * 100 }
  }

  /** From a join to whatever ends it, or until the group has nothing left to do. */
  async #live(client: Client, drains: boolean): Promise<boolean> {
    const { simulator } = this.#shared
    const one = this.#newMember(client)
    try {
      if (!(await this.#beat(one, [topic]))) return false
      while (!one.session.isOver && (drains || !this.#shared.isEnding || !this.#isProduced)) {
        if (simulator.nowMs > one.aliveMs + one.beatMs && !(await this.#beat(one, null))) break
        if (!drains && simulator.random.chance(0.02)) await this.#leave(one)
        else if (one.held.length === 0 || simulator.random.chance(0.2)) await this.#fetch(one, drains)
        else await this.#acknowledge(one, drains)
        if (drains && one.held.length === 0 && (await this.#lag(client)) === 0) return true
        if (simulator.random.chance(0.3)) await simulator.sleep(simulator.random.float() * 50)
      }
    } catch (error) {
      if (!(error instanceof Lost)) throw error
    }
    this.#history.over(one.session)
    if (simulator.random.chance(0.5)) client.drop()
    return false
  }

  /** False: the group does not know it any more, or does not take it now. */
  async #beat(one: Member, topics: string[] | null): Promise<boolean> {
    const { simulator } = this.#shared
    const askedMs = simulator.nowMs
    const code = await one.member.heartbeat(topics)
    if (code === codes.none) {
      one.aliveMs = askedMs
      return true
    }
    const expected: number[] = [codes.unknownMemberId, codes.fencedMemberEpoch, codes.coordinatorNotAvailable]
    if (!expected.includes(code)) simulator.fail(`a share group refuses a heartbeat with error ${code}`)
    if (code === codes.coordinatorNotAvailable) await simulator.sleep(100)
    return false
  }

  async #leave(one: Member): Promise<void> {
    const { random } = this.#shared.simulator
    this.#history.over(one.session)
    if (random.chance(0.5)) one.member.connection.client.drop()
    if (random.chance(0.5)) await one.member.leave()
  }

  async #fetch(one: Member, drains: boolean): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const { member, session } = one
    const askedMs = simulator.nowMs
    const maxRecords = drains ? 500 : random.pick([1, 5, 500])
    const options = { maxWaitMs: random.pick([0, 50, 300]), maxRecords, exact: random.chance(0.5) }
    // Part of what it holds goes with the fetch.
    const acks = member.sessionEpoch === 0 || random.chance(0.5) ? [] : this.#decide(one, drains)
    const answer = await member
      .fetch(
        options,
        acks.flatMap(({ list }) => list),
      )
      .catch((error: unknown) => {
        this.#history.lostFetches++
        this.#unknown(acks, { askedMs, nowMs: simulator.nowMs })
        throw error
      })
    const span = { askedMs, nowMs: simulator.nowMs }
    if (answer.errorCode !== codes.none) {
      this.#unknown(acks, span)
      return this.#sessionEnded(one, answer.errorCode)
    }
    this.#history.used(session, span)
    const partitions = answer.responses.flatMap(response => response.partitions)
    for (const ack of acks) {
      const found = partitions.find(({ partitionIndex }) => partitionIndex === ack.partition)
      this.#acknowledged(ack, found?.acknowledgeErrorCode ?? codes.none, span)
    }
    for (const partition of partitions) this.#take(one, partition, span)
  }

  #take({ session, held, aliveMs }: Member, found: AnswerPartition, span: Span): void {
    const { simulator } = this.#shared
    const { partitionIndex: partition, errorCode, records, acquiredRecords } = found
    const passing: number[] = [codes.none, codes.unknownTopicOrPartition, codes.kafkaStorageError]
    if (!passing.includes(errorCode)) simulator.fail(`a share fetch has error ${errorCode}`)
    const bytes = Buffer.concat(records === null ? [] : ([records].flat() as Buffer[]))
    const there = new Map(recordsOf(bytes).map(({ offset, id }) => [offset, id]))
    const lockMs = Math.min(this.#lockMs, aliveMs + this.#sessionMs - span.askedMs)
    for (const { firstOffset, lastOffset, deliveryCount: count } of acquiredRecords) {
      for (let offset = firstOffset; offset <= lastOffset; offset++) {
        const id = there.get(offset)
        if (id === undefined)
          return simulator.fail(`offset ${offset} of ${topic}/${partition} is acquired and not there`)
        this.#records[partition]?.saw(offset, id, 'acquired')
        this.#history.handedOut({ session, partition, offset, count }, lockMs, span)
        held.push({ partition, offset })
        this.#shared.operations++
      }
    }
  }

  /** What to say of some of what it holds: it is not held any more then. Now and then it meddles with what others hold. */
  #decide(one: Member, drains: boolean): Ack[] {
    const { random } = this.#shared.simulator
    const acks: Ack[] = []
    for (let partition = 0; partition < partitionCount; partition++) {
      const others = random.chance(0.05) ? this.#history.heldByOthers(one.session, partition) : undefined
      const own = one.held.filter(held => held.partition === partition).map(({ offset }) => offset)
      const chosen = drains ? own : own.filter(() => random.chance(0.7))
      const offsets = others === undefined ? [...new Set(chosen)].sort((a, b) => a - b) : [others]
      if (offsets.length === 0) continue
      const as = drains ? 'accept' : random.pick(['accept', 'accept', 'accept', 'release', 'reject'] as const)
      const list = offsets.map(first => ({ topicId: this.#topicId, partition, first, as }))
      acks.push({ partition, list, settling: this.#history.settle(one.session, partition, offsets, as) })
      one.held = one.held.filter(held => held.partition !== partition || !offsets.includes(held.offset))
    }
    // The order in which the request names the partitions, and the answer their codes.
    return acks.sort((a, b) => (a.list[0]?.first ?? 0) - (b.list[0]?.first ?? 0))
  }

  async #acknowledge(one: Member, drains: boolean): Promise<void> {
    const { simulator } = this.#shared
    const { member, session } = one
    const acks = this.#decide(one, drains)
    if (acks.length === 0) return
    const askedMs = simulator.nowMs
    const list = acks.flatMap(ack => ack.list)
    const [code, ...found] = await member.acknowledge(list).catch((error: unknown) => {
      this.#unknown(acks, { askedMs, nowMs: simulator.nowMs })
      throw error
    })
    const span = { askedMs, nowMs: simulator.nowMs }
    if (code !== codes.none) {
      this.#unknown(acks, span)
      return this.#sessionEnded(one, code ?? -1)
    }
    this.#history.used(session, span)
    for (const [at, ack] of acks.entries()) this.#acknowledged(ack, found[at] ?? -1, span)
  }

  #acknowledged({ settling }: Ack, code: number, span: Span): void {
    if (code !== codes.none && code !== codes.invalidRecordState) {
      this.#shared.simulator.fail(`an acknowledgement is refused with error ${code}`)
    }
    this.#history.settled(settling, code === codes.none, span)
    this.#shared.operations += settling.entries.length
  }

  #unknown(acks: readonly Ack[], span: Span): void {
    for (const { settling } of acks) this.#history.settled(settling, undefined, span)
  }

  /** It begins anew, as another member. */
  #sessionEnded(one: Member, code: number): void {
    const expected: number[] = [
      codes.shareSessionNotFound,
      codes.invalidShareSessionEpoch,
      codes.kafkaStorageError,
      codes.coordinatorNotAvailable,
    ]
    if (!expected.includes(code)) this.#shared.simulator.fail(`a share session ends with error ${code}`)
    this.#history.over(one.session)
  }

  /** Undefined when there is no answer. */
  async #lag(client: Client): Promise<number | undefined> {
    const topics = [{ topicName: topic, partitions: [...this.#records.keys()] }]
    const answer = await client.request(apis.describeShareGroupOffsets, { groups: [{ groupId: group, topics }] })
    const partitions = answer?.groups[0]?.topics[0]?.partitions
    if (partitions === undefined || partitions.some(({ errorCode, lag }) => errorCode !== codes.none || lag < 0))
      return undefined
    return partitions.reduce((sum, { lag }) => sum + lag, 0)
  }

  /** Works on all that is left, then compares. Nothing is under way. */
  async check(client: Client): Promise<void> {
    while (!(await this.#live(client, true)));
    this.#history.checkDone()
  }
}

interface Member {
  readonly member: ShareMember<Asking>
  readonly session: ShareHold
  held: { partition: number; offset: number }[]
  /** When its last sign of life was sent that was taken. */
  aliveMs: number
  readonly beatMs: number
}

interface Ack {
  readonly partition: number
  readonly list: readonly Acknowledgement[]
  readonly settling: Settling
}

type AnswerPartition = Infer<typeof apis.shareFetch.response>['responses'][number]['partitions'][number]
