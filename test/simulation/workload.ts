import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import type { RunningBroker } from '../../packages/broker/src/index.ts'
import type { SimProcess } from '../../packages/broker/src/runtime/simulated/process.ts'
import type { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'
import { Client } from './client.ts'
import { CommitHistory, type PartitionHistory, type ProducerTraits, type RecordId } from './history.ts'
import { batchOf, recordsOf, type FoundRecord } from './records.ts'

/** One partition that the whole run is about. */
export interface Partition {
  topic: string
  topicId: string
  index: number
  history: PartitionHistory
}

/** What all tasks of a run share. */
export interface Shared {
  simulator: Simulator
  partitions: Partition[]
  traits: Map<number, ProducerTraits>
  /** New work stops; what was begun is finished. */
  isEnding: boolean
  /** The disk fails now and then: so may a read. */
  mayFail(): boolean
  /** The disk is full, or was a moment ago: writes may be refused. */
  mayBeFull(): boolean
  readonly broker: SimProcess
  /** What runs in that process; undefined while nothing does. */
  running(): RunningBroker | undefined
  /** How often the broker was started, and how often its wall clock had been set by then; NaN: it is not known. */
  readonly starts: number
  readonly clockJumps: number
  /** How often its wall clock was set. */
  readonly clockSets: number
  /** What the clock of the broker shows. */
  wallMs(): number
  operations: number
  acknowledged: number
}

/** Something that clients do to a broker, and what must hold in the end. */
export interface Workload {
  /** What must be there before anything begins. */
  create?(): Promise<void>
  /** Until the run ends. */
  run(): Promise<void>
  /** Nothing else is under way: compares what is there with all that was told. Called twice, with a crash in between. */
  check?(client: Client): Promise<void>
}

/** What a broker may answer when it cannot now, and could later. */
const passing: readonly number[] = [codes.kafkaStorageError, codes.requestTimedOut, codes.notEnoughReplicas]

interface Batch {
  ids: RecordId[]
  bytes: Buffer
}

/** Sends batches to one partition at a time until each is acknowledged. */
export class Producer {
  readonly #shared: Shared
  readonly #client: Client
  readonly #number: number
  readonly #idempotent: boolean
  readonly #nextIndex = new Map<Partition, number>()
  #producerId = -1
  #producerEpoch = -1

  constructor(shared: Shared, number: number, idempotent: boolean) {
    this.#shared = shared
    this.#number = number
    this.#idempotent = idempotent
    this.#client = new Client(shared.simulator, `producer-${number}`)
    shared.traits.set(number, { idempotent })
  }

  async run(): Promise<void> {
    const { simulator, partitions } = this.#shared
    const { random } = simulator
    if (this.#idempotent) await this.#identify()
    while (!this.#shared.isEnding) {
      await this.#produce(random.pick(partitions))
      await simulator.sleep(random.chance(0.1) ? random.float() * 200 : random.float())
    }
    this.#client.drop()
  }

  async #identify(): Promise<void> {
    while (this.#producerId < 0) {
      const answer = await this.#client.request(apis.initProducerId, { transactionalId: null, transactionTimeoutMs: 0 })
      if (answer?.errorCode !== codes.none) continue
      this.#producerId = answer.producerId
      this.#producerEpoch = answer.producerEpoch
    }
  }

  /** A few batches, pipelined as far as that is safe, and again until all are acknowledged. */
  async #produce(partition: Partition): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const waiting: Batch[] = []
    for (let count = this.#idempotent ? random.between(1, 5) : 1; count > 0; count--)
      waiting.push(this.#makeBatch(partition))
    while (waiting.length > 0) {
      const answers = await Promise.all(waiting.map(batch => this.#send(partition, batch)))
      let isFirst = true
      for (const answer of answers) {
        if (answer?.errorCode !== codes.none && answer?.errorCode !== codes.duplicateSequenceNumber) {
          if (answer !== undefined) this.#checkRefusal(partition, answer.errorCode, isFirst)
          break
        }
        isFirst = false
        this.#acknowledged(partition, waiting.shift()!, answer.errorCode === codes.none ? answer.baseOffset : -1)
      }
      if (waiting.length > 0) await simulator.sleep(random.float() * 100)
    }
  }

  #makeBatch(partition: Partition): Batch {
    const { random, nowMs } = this.#shared.simulator
    const first = this.#nextIndex.get(partition) ?? 0
    const count = random.chance(0.1) ? random.between(10, 60) : random.between(1, 6)
    this.#nextIndex.set(partition, first + count)
    const ids = Array.from({ length: count }, (_, at) => ({ producer: this.#number, index: first + at }))
    const options = this.#idempotent
      ? { producerId: this.#producerId, producerEpoch: this.#producerEpoch, baseSequence: first }
      : {}
    return { ids, bytes: batchOf(ids, 1_767_225_600_000 + Math.floor(nowMs), options) }
  }

  async #send(
    { topic, topicId, index }: Partition,
    { bytes }: Batch,
  ): Promise<{ errorCode: number; baseOffset: number } | undefined> {
    const answer = await this.#client.request(apis.produce, {
      transactionalId: null,
      acks: this.#shared.simulator.random.chance(0.2) ? 1 : -1,
      timeoutMs: 5_000,
      topicData: [{ name: topic, topicId, partitionData: [{ index, records: bytes }] }],
    })
    return answer?.responses[0]?.partitionResponses[0]
  }

  #checkRefusal({ history }: Partition, code: number, isFirst: boolean): void {
    if (passing.includes(code)) return
    if (code === codes.outOfOrderSequenceNumber && !isFirst) return // One before it in the pipeline was refused.
    this.#shared.simulator.fail(`${history.name}: producer ${this.#number} was refused with error ${code}`)
  }

  #acknowledged({ history }: Partition, { ids }: Batch, baseOffset: number): void {
    this.#shared.operations += ids.length
    this.#shared.acknowledged += ids.length
    if (baseOffset < 0) return
    for (const [at, id] of ids.entries()) history.saw(baseOffset + at, id, 'acknowledged')
  }
}

/** Reads one partition from some place on, again and again; commits now and then as a group of its own. */
export class Consumer {
  readonly #shared: Shared
  readonly #client: Client
  readonly #partition: Partition
  readonly #group: string
  readonly #commits: CommitHistory
  #position = 0

  constructor(shared: Shared, number: number, partition: Partition) {
    this.#shared = shared
    this.#partition = partition
    this.#group = `group-${number}`
    this.#client = new Client(shared.simulator, `consumer-${number}`)
    this.#commits = new CommitHistory(shared.simulator, `${this.#group} on ${partition.history.name}`)
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    while (!this.#shared.isEnding) {
      await this.#fetch()
      if (random.chance(0.1)) await this.#commit()
      if (random.chance(0.03)) await this.#startOver()
      if (random.chance(0.3)) await simulator.sleep(random.float() * 20)
    }
    await this.#checkCommit()
    this.#client.drop()
  }

  async #fetch(): Promise<void> {
    const { random } = this.#shared.simulator
    const { history } = this.#partition
    const { startMin } = history
    const answer = await fetchOnce(this.#client, this.#partition, this.#position, {
      maxWaitMs: random.pick([0, 50, 500]),
      maxBytes: random.pick([1, 2000, 100_000]),
    })
    if (!answer) return
    if (answer.errorCode === codes.offsetOutOfRange) return this.#toStart()
    if (answer.errorCode === codes.kafkaStorageError && this.#shared.mayFail()) return
    if (answer.errorCode !== codes.none)
      return this.#shared.simulator.fail(`${history.name}: fetch was refused with ${answer.errorCode}`)
    history.checkStart(answer.start, startMin)
    for (const { offset, id } of answer.records) {
      if (offset < this.#position) continue
      if (offset !== this.#position)
        return this.#shared.simulator.fail(`${history.name}: fetched offset ${offset} after ${this.#position - 1}`)
      history.saw(offset, id, 'fetched')
      this.#position = offset + 1
      this.#shared.operations++
    }
  }

  async #toStart(): Promise<void> {
    const { startMin } = this.#partition.history
    const start = await listOffset(this.#client, this.#partition, -2)
    if (start === undefined) return
    this.#partition.history.checkStart(start, startMin)
    this.#position = start
  }

  async #commit(): Promise<void> {
    const { topic, topicId, index } = this.#partition
    const committedOffset = this.#position
    this.#commits.attempt(committedOffset)
    const answer = await this.#client.request(apis.offsetCommit, {
      groupId: this.#group,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      topics: [
        { name: topic, topicId, partitions: [{ partitionIndex: index, committedOffset, committedMetadata: null }] },
      ],
    })
    const code = answer?.topics[0]?.partitions[0]?.errorCode
    this.#shared.operations++
    if (code === codes.none) this.#commits.acknowledged(committedOffset)
  }

  async #startOver(): Promise<void> {
    const found = await this.#checkCommit()
    this.#position = Math.max(0, found ?? 0)
    if (this.#shared.simulator.random.chance(0.5)) this.#client.drop()
  }

  async #checkCommit(): Promise<number | undefined> {
    const { topic, topicId, index } = this.#partition
    const answer = await this.#client.request(apis.offsetFetch, {
      groupId: this.#group,
      topics: [{ name: topic, partitionIndexes: [index] }],
      groups: [{ groupId: this.#group, topics: [{ name: topic, topicId, partitionIndexes: [index] }] }],
    })
    if (!answer) return undefined
    const found = (answer.groups[0]?.topics[0] ?? answer.topics[0])?.partitions[0]
    const groupError = answer.groups[0]?.errorCode ?? answer.errorCode
    if (groupError !== codes.none || found?.errorCode !== codes.none) return undefined
    this.#commits.found(found.committedOffset)
    return found.committedOffset
  }
}

/** Removes old records now and then. */
export async function trim(shared: Shared): Promise<void> {
  const { simulator, partitions } = shared
  const { random } = simulator
  const client = new Client(simulator, 'trimmer')
  while (!shared.isEnding) {
    await simulator.sleep(random.float() * 2000)
    const { topic, index, history } = random.pick(partitions)
    const offset = random.below(history.end + 1)
    history.mayTrimTo(offset)
    const answer = await client.request(apis.deleteRecords, {
      topics: [{ name: topic, partitions: [{ partitionIndex: index, offset }] }],
      timeoutMs: 5000,
    })
    shared.operations++
    const result = answer?.topics[0]?.partitions[0]
    if (!result || passing.includes(result.errorCode)) continue
    if (result.errorCode !== codes.none)
      simulator.fail(`${history.name}: trimming to ${offset} was refused with ${result.errorCode}`)
    else history.trimmedTo(result.lowWatermark)
  }
  client.drop()
}

export interface Fetched {
  errorCode: number
  start: number
  end: number
  records: FoundRecord[]
}

export async function fetchOnce(
  client: Client,
  { topic, topicId, index, history }: Partition,
  offset: number,
  { maxWaitMs, maxBytes }: { maxWaitMs: number; maxBytes: number },
): Promise<Fetched | undefined> {
  const answer = await client.request(apis.fetch, {
    replicaId: -1,
    maxWaitMs,
    minBytes: 1,
    maxBytes,
    isolationLevel: 0,
    sessionId: 0,
    sessionEpoch: -1,
    topics: [{ topic, topicId, partitions: [{ partition: index, fetchOffset: offset, partitionMaxBytes: maxBytes }] }],
    forgottenTopicsData: [],
    rackId: '',
  })
  const found = answer?.responses[0]?.partitions[0]
  if (!found) return undefined
  try {
    const bytes = Buffer.concat(found.records === null ? [] : ([found.records].flat() as Buffer[]))
    const { errorCode, logStartOffset, highWatermark } = found
    return { errorCode, start: logStartOffset, end: highWatermark, records: recordsOf(bytes) }
  } catch (error) {
    client.simulator.fail(`${history.name}: fetched from ${offset}: ${String(error)}`, error)
    return undefined
  }
}

export async function listOffset(
  client: Client,
  { topic, index }: Partition,
  timestamp: number,
): Promise<number | undefined> {
  const answer = await client.request(apis.listOffsets, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: topic, partitions: [{ partitionIndex: index, timestamp }] }],
    timeoutMs: 5000,
  })
  const found = answer?.topics[0]?.partitions[0]
  return found?.errorCode === codes.none ? found.offset : undefined
}
