import assert from 'node:assert/strict'
import { Random } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import { readCommitted } from '../../cell/testing/committed.ts'
import { ManualClock, memoryStores, openCell, type Stores, type TestCell } from '../../cell/testing/cells.ts'
import { attributeBits, makeBatch } from '../../storage/record-batch.ts'
import { homeNamespace } from '../broker.ts'
import { DirectoryMachine } from '../directory.ts'
import type { ErrorCode } from '../errors.ts'
import { MembershipsMachine } from '../groups/assigned/machine.ts'
import { Groups } from '../groups/groups.ts'
import { GroupsMachine } from '../groups/machine.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { Topics } from '../topics.ts'
import { TransactionsMachine, type TransactionRecord } from './machine.ts'
import type { Identified, ProducerIdentity } from './requests.ts'
import type { TransactionSettings } from './settings.ts'
import { Transactions, type AppendOutcome } from './transactions.ts'

export const namespace = homeNamespace
export const topicId = 'a'.repeat(32)

interface BenchOptions {
  limits?: Partial<Limits>
  settings?: Partial<TransactionSettings>
}

interface How {
  /** The newer of the two client protocols: an epoch for each transaction. */
  modern?: boolean
  connection?: number
}

interface Registration extends How {
  previous?: ProducerIdentity | undefined
  timeoutMs?: number
}

const sequenceKey = ({ producerId, epoch }: ProducerIdentity, stream: StreamId): string =>
  `${producerId} ${epoch} ${stream}`

/** Transactions over a whole cell on memory and a clock that the test moves. */
export class Bench {
  readonly clock = new ManualClock()
  readonly #stores: Stores = memoryStores()
  readonly #options: BenchOptions
  readonly #sequences = new Map<string, number>()
  test!: TestCell
  topics!: Topics
  groups!: Groups
  transactions!: Transactions

  static async open(options: BenchOptions = {}): Promise<Bench> {
    const bench = new Bench(options)
    await bench.#start()
    return bench
  }

  private constructor(options: BenchOptions) {
    this.#options = options
  }

  async #start(): Promise<void> {
    const machines = {
      directory: () => new DirectoryMachine(),
      groups: () => new GroupsMachine(),
      memberships: () => new MembershipsMachine(),
      transactions: () => new TransactionsMachine(),
    }
    this.test = await openCell(this.#stores, { machines, clock: this.clock })
    const { cell, client } = this.test
    const limits = { ...defaultLimits, ...this.#options.limits }
    const random = new Random(7)
    const topics = await Topics.open(cell, { limits, random })
    this.topics = topics
    this.groups = new Groups({ ledger: cell, random, limits, topics })
    const { groups } = this
    const settings = { ...this.#options.settings }
    this.transactions = new Transactions({ ledger: cell, cell: client, groups, producerIds: topics, limits, settings })
  }

  stream(): StreamId {
    return this.test.cell.define('stream')
  }

  /** In an orderly way, with a checkpoint; or as a kill does, which may lose what is not durable. */
  async restart(how: 'orderly' | 'killed' = 'killed'): Promise<void> {
    this.transactions.close()
    this.groups.close()
    const { cell } = this.test
    if (how === 'orderly') await cell.close()
    else {
      cell.journal.abandon()
      await cell.checkpointer.abandon()
    }
    assert.deepEqual(this.test.fatal, [])
    await this.#start()
  }

  register(id: string, { previous, timeoutMs = 60_000, connection = 1 }: Registration = {}): Promise<Identified> {
    return new Promise(resolve =>
      this.transactions.register({ namespace, id, timeoutMs, previous, connection }, resolve),
    )
  }

  /** Registers and expects that to work. */
  async producer(id: string, timeoutMs?: number): Promise<ProducerIdentity> {
    const { error, ...producer } = await this.register(id, timeoutMs === undefined ? {} : { timeoutMs })
    assert.equal(error, undefined)
    return producer
  }

  join(
    id: string,
    producer: ProducerIdentity,
    what: { streams?: StreamId[]; groups?: string[] },
    how: How = {},
  ): Promise<ErrorCode | undefined> {
    const parts = { streams: [], groups: [], ...what }
    return new Promise(resolve => this.transactions.join({ ...this.#request(id, producer, how), ...parts }, resolve))
  }

  /** Appends one record of text for each name. Sequence numbers go on by themselves from where that producer is, or from `sequence`. */
  append(
    id: string,
    producer: ProducerIdentity,
    stream: StreamId,
    texts: string[],
    { sequence, ...how }: How & { sequence?: number } = {},
  ): Promise<AppendOutcome> {
    const key = sequenceKey(producer, stream)
    const baseSequence = sequence ?? this.nextSequence(producer, stream)
    const records = texts.map(text => ({ key: null, value: Buffer.from(text), timestampMs: 1000 }))
    const { producerId, epoch: producerEpoch } = producer
    const attributes = attributeBits.transactional
    const batch = makeBatch(records, { producerId, producerEpoch, baseSequence, attributes })
    return new Promise(resolve =>
      this.transactions.append(this.#request(id, producer, how), stream, batch, result => {
        if (result.error === undefined && sequence === undefined) this.#sequences.set(key, baseSequence + texts.length)
        resolve(result)
      }),
    )
  }

  nextSequence(producer: ProducerIdentity, stream: StreamId): number {
    return this.#sequences.get(sequenceKey(producer, stream)) ?? 0
  }

  commitOffset(
    id: string,
    producer: ProducerIdentity,
    group: string,
    offset: number,
    { partition = 0, ...how }: How & { partition?: number } = {},
  ): Promise<ErrorCode | undefined> {
    const topics = [{ topicId, partitions: [{ partition, offset, leaderEpoch: -1, metadata: '' }] }]
    const nobody = { memberId: '', instanceId: null, generation: -1 }
    const request = { ...this.#request(id, producer, how), ...nobody, group, topics }
    return new Promise(resolve => this.transactions.commitOffsets(request, resolve))
  }

  end(id: string, producer: ProducerIdentity, isCommitted: boolean, how: How = {}): Promise<Identified> {
    const request = { ...this.#request(id, producer, how), isCommitted }
    return new Promise(resolve => this.transactions.end(request, resolve))
  }

  #request(id: string, { producerId, epoch }: ProducerIdentity, { modern = true, connection = 1 }: How) {
    return { namespace, id, producerId, epoch, epochPerTransaction: modern, connection }
  }

  record(id: string): TransactionRecord | undefined {
    return this.transactions.get(namespace, id)
  }

  async committed(stream: StreamId): Promise<string[]> {
    return (await readCommitted(this.test.client, stream)).map(({ text }) => text)
  }

  committedOffset(group: string, partition = 0): number | undefined {
    return this.groups.offsets(namespace, group)?.get(topicId)?.get(partition)?.offset
  }

  async close(): Promise<void> {
    this.transactions.close()
    this.groups.close()
    await this.test.cell.close()
    assert.deepEqual(this.test.fatal, [])
  }
}
