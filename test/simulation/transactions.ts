import { readMarker } from '../../packages/broker/src/cell/marker.ts'
import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import {
  attributeBits,
  attributes,
  batchBytes,
  lastOffset,
  makeBatch,
  producerId,
} from '../../packages/broker/src/storage/record-batch.ts'
import { createTopic } from './churn.ts'
import { Client } from './client.ts'
import { recordsOf, valueOf } from './records.ts'
import type { Shared } from './workload.ts'

const topic = 'in-transactions'
const group = 'in-transactions'
const partitionCount = 3

interface Identity {
  producerId: number
  producerEpoch: number
}

/** Each transaction has a number, which it writes to some partitions and commits as the offset of a group. */
interface Transaction {
  number: number
  /** Of its records. Nobody else commits any by this key. */
  key: number
  partitions: Set<number>
  hasOffset: boolean
  /** `unknown`: its end was asked for, and the answer was lost. */
  outcome: 'open' | 'committed' | 'aborted' | 'unknown'
}

/**
 * A transactional producer, one that now and then takes its place, and readers of what is committed. The topic may be compacted.
 *
 * Holds at any time: an offset that a reader of committed records has once seen with a record has it for ever; no such reader ever
 * sees a record of a transaction that was aborted or is open. In the end: a committed transaction is in all of its
 * partitions once, an unknown one in all or in none, and the group's offset is that of the last one that has any.
 */
export class Transactions {
  readonly #shared: Shared
  readonly #client: Client
  readonly #transactions: Transaction[] = []
  readonly #seen = Array.from({ length: partitionCount }, () => new Map<number, number>())
  #topicId = ''
  #identity: Identity | undefined

  constructor(shared: Shared) {
    this.#shared = shared
    this.#client = new Client(shared.simulator, 'transactions')
  }

  async create(): Promise<void> {
    const keepsAll = [{ name: 'retention.ms', value: '-1' }]
    const compacts = [
      { name: 'cleanup.policy', value: 'compact' },
      { name: 'min.cleanable.dirty.ratio', value: '0' },
      { name: 'delete.retention.ms', value: this.#shared.simulator.random.pick(['0', '2000']) },
    ]
    const config = this.#shared.simulator.random.chance(0.5) ? compacts : keepsAll
    this.#topicId = await createTopic(this.#client, topic, partitionCount, config)
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const reading = this.#read()
    while (!this.#shared.isEnding) {
      if (this.#identity === undefined || simulator.random.chance(0.05)) await this.#register()
      else await this.#transact(this.#identity)
      if (simulator.random.chance(0.3)) await simulator.sleep(simulator.random.float() * 50)
    }
    await reading
    // Whatever was left open is aborted by this.
    this.#identity = undefined
    while (this.#identity === undefined) await this.#register()
    this.#client.drop()
  }

  async #register(): Promise<void> {
    const { random } = this.#shared.simulator
    // Without its former name it is somebody else, who takes over.
    const former = random.chance(0.5) ? this.#identity : undefined
    const asked = { transactionalId: 'tx', transactionTimeoutMs: random.pick([1_000, 60_000]) }
    const answer = await this.#client.request(apis.initProducerId, { ...asked, ...former })
    if (answer === undefined) return
    this.#identity = undefined
    if (answer.errorCode !== codes.none) return
    this.#identity = { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
    for (const transaction of this.#transactions) if (transaction.outcome === 'open') transaction.outcome = 'aborted'
  }

  async #transact(identity: Identity): Promise<void> {
    const { random } = this.#shared.simulator
    const number = this.#transactions.length
    const commits = random.chance(0.7)
    // One that is aborted replaces nothing, whatever its key.
    const key = commits ? number : random.below(number + 1)
    const transaction: Transaction = { number, key, partitions: new Set(), hasOffset: false, outcome: 'open' }
    this.#transactions.push(transaction)
    for (let count = random.between(1, 4); count > 0; count--) {
      const index = random.below(partitionCount)
      if (transaction.partitions.has(index)) continue
      if (!(await this.#produce(identity, transaction, index))) return this.#giveUp()
    }
    if (random.chance(0.5) && !(await this.#commitOffset(identity, transaction))) return this.#giveUp()
    await this.#end(identity, transaction, commits)
  }

  /** It asks for a new epoch next, which aborts what is open. */
  #giveUp(): void {
    this.#identity = undefined
  }

  async #produce(identity: Identity, transaction: Transaction, index: number): Promise<boolean> {
    const { nowMs, random } = this.#shared.simulator
    const value = valueOf({ producer: index, index: transaction.number })
    const record = { key: Buffer.from(String(transaction.key)), value }
    const options = { ...identity, baseSequence: 0, attributes: attributeBits.transactional }
    const records = makeBatch([{ ...record, timestampMs: 1_767_225_600_000 + Math.floor(nowMs) }], options)
    const topicData = [{ name: topic, topicId: this.#topicId, partitionData: [{ index, records }] }]
    const asked = { transactionalId: 'tx', acks: -1, timeoutMs: 5_000, topicData }
    transaction.partitions.add(index)
    for (let attempts = 3; attempts > 0; attempts--) {
      const answer = await this.#client.request(apis.produce, asked)
      const code = answer?.responses[0]?.partitionResponses[0]?.errorCode
      if (code === codes.none) return true
      if (code !== undefined && code !== codes.kafkaStorageError) return false
      await this.#shared.simulator.sleep(random.float() * 50)
    }
    return false
  }

  async #commitOffset(identity: Identity, transaction: Transaction): Promise<boolean> {
    const partitions = [{ partitionIndex: 0, committedOffset: transaction.number, committedMetadata: null }]
    const asked = { transactionalId: 'tx', groupId: group, ...identity, topics: [{ name: topic, partitions }] }
    transaction.hasOffset = true
    const answer = await this.#client.request(apis.txnOffsetCommit, asked)
    return answer?.topics[0]?.partitions[0]?.errorCode === codes.none
  }

  /** Repeats itself while answers are lost, as clients do. */
  async #end(identity: Identity, transaction: Transaction, committed: boolean): Promise<void> {
    if (committed) transaction.outcome = 'unknown'
    for (let attempts = 3; attempts > 0; attempts--) {
      const answer = await this.#client.request(apis.endTxn, { transactionalId: 'tx', ...identity, committed })
      if (answer === undefined || answer.errorCode === codes.coordinatorNotAvailable) continue
      if (answer.errorCode !== codes.none) break
      transaction.outcome = committed ? 'committed' : 'aborted'
      this.#shared.operations++
      this.#identity = { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
      return
    }
    this.#giveUp()
  }

  async #read(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const client = new Client(simulator, 'committed-reader')
    while (!this.#shared.isEnding) {
      const index = random.below(partitionCount)
      await this.#readFrom(
        client,
        index,
        random.chance(0.7) ? 0 : random.below(100),
        random.pick([100, 3_000, 100_000]),
      )
      await simulator.sleep(random.float() * 100)
    }
    client.drop()
  }

  /** Returns the offset behind what it has found; undefined when there was no answer. */
  async #readFrom(client: Client, index: number, from: number, maxBytes: number): Promise<number | undefined> {
    const partitions = [{ partition: index, fetchOffset: from, partitionMaxBytes: maxBytes }]
    const topics = [{ topic, topicId: this.#topicId, partitions }]
    const asked = { maxWaitMs: 50, minBytes: 1, maxBytes, isolationLevel: 1, sessionId: 0, sessionEpoch: -1, topics }
    const answer = await client.request(apis.fetch, asked)
    const found = answer?.responses[0]?.partitions[0]
    if (found === undefined || found.errorCode !== codes.none) return undefined
    const bytes = Buffer.concat(found.records === null ? [] : ([found.records].flat() as Buffer[]))
    const waiting = (found.abortedTransactions ?? []).toSorted((a, b) => a.firstOffset - b.firstOffset)
    const skipped = new Set<number>()
    let next = from
    for (let at = 0; at < bytes.length; at += batchBytes(bytes, at)) {
      const batch = bytes.subarray(at, at + batchBytes(bytes, at))
      next = lastOffset(batch) + 1
      if (next > found.lastStableOffset) this.#shared.simulator.fail(`I9: offset ${next - 1} is not stable`)
      while (waiting[0] !== undefined && waiting[0].firstOffset < next) skipped.add(waiting.shift()!.producerId)
      if (attributes(batch) & attributeBits.control) {
        if (readMarker(batch)?.isCommitted === false) skipped.delete(producerId(batch))
      } else if (!skipped.has(producerId(batch))) {
        for (const { offset, id } of recordsOf(batch)) this.#saw(index, offset, id.index)
      }
    }
    return next
  }

  #saw(index: number, offset: number, number: number): void {
    const { simulator } = this.#shared
    const known = this.#seen[index]?.get(offset)
    const transaction = this.#transactions[number]
    const where = `offset ${offset} of partition ${index}`
    if (known !== undefined && known !== number) {
      simulator.fail(`I5: ${where} holds transaction ${number}, and was ${known}`)
    }
    if (transaction === undefined || transaction.outcome === 'aborted' || transaction.outcome === 'open') {
      simulator.fail(`I9: ${where} shows transaction ${number}, which is ${transaction?.outcome}`)
    }
    this.#seen[index]?.set(offset, number)
  }

  /** Reads everything, and compares it with what was told. Nothing is under way. */
  async check(client: Client): Promise<void> {
    const { simulator } = this.#shared
    const found: number[][] = []
    for (let index = 0; index < partitionCount; index++) {
      const before = new Map(this.#seen[index])
      this.#seen[index]?.clear()
      for (let from = 0; ;) {
        const next = await this.#readFrom(client, index, from, 1_000_000)
        if (next === from) break
        from = next ?? from
      }
      const now = this.#seen[index] ?? new Map<number, number>()
      for (const [offset, number] of before) {
        if (now.get(offset) !== number) simulator.fail(`I9: transaction ${number} is gone from partition ${index}`)
      }
      found.push([...now.values()])
    }
    let last = -1
    for (const { number, partitions, hasOffset, outcome } of this.#transactions) {
      const places = [...partitions].map(index => found[index]?.filter(other => other === number).length ?? 0)
      const isThere = places.length > 0 && places.every(count => count === 1)
      const isWhole = isThere || places.every(count => count === 0)
      if (!isWhole || (outcome === 'committed' && !isThere)) {
        simulator.fail(`I9: transaction ${number} (${outcome}) is there ${places.join(', ')} times`)
      }
      if (isThere && hasOffset) last = number
    }
    await this.#checkOffset(client, last)
  }

  async #checkOffset(client: Client, expected: number): Promise<void> {
    const wanted = [{ name: topic, topicId: this.#topicId, partitionIndexes: [0] }]
    const asked = { groups: [{ groupId: group, topics: wanted }], requireStable: true }
    for (;;) {
      const answer = await client.request(apis.offsetFetch, asked)
      const found = answer?.groups[0]?.topics?.[0]?.partitions[0]
      if (found === undefined) continue
      if (found.errorCode === codes.none && found.committedOffset === expected) return
      const { errorCode, committedOffset } = found
      const told = `the group is at ${committedOffset} (error ${errorCode})`
      return this.#shared.simulator.fail(`I9: transaction ${expected} was the last with an offset, and ${told}`)
    }
  }
}
