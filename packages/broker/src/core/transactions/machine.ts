import type { Infer, Reader, Writer } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import type { FactContext, Machine } from '../../cell/machine.ts'
import {
  checkVersion,
  ended,
  factVersion,
  joined,
  readFact,
  registered,
  removed,
  stateNumbers,
  storedTransaction,
  transactionFacts,
} from './facts.ts'

export type TransactionState = keyof typeof stateNumbers

/** What is known of a transactional id: the producer that has it, and its transaction or how the last one ended. */
export interface TransactionRecord {
  readonly namespace: string
  readonly id: string
  readonly producerId: number
  /** Who comes with another one has been replaced, or speaks of an earlier transaction. */
  readonly epoch: number
  /** What `producerId` and `epoch` have replaced, if it was the same producer: its repeated requests still name these. Else -1. */
  readonly previousProducerId: number
  readonly previousEpoch: number
  readonly timeoutMs: number
  /** `empty`: nothing has happened since the producer took over. */
  readonly state: TransactionState
  /** Block time at which the ongoing transaction began; 0 when there is none. */
  readonly startedMs: number
  /** Block time of the last change. */
  readonly changedMs: number
  /** What takes part in the ongoing transaction: streams that may since have been dropped, and groups of the same namespace. */
  readonly streams: ReadonlySet<StreamId>
  readonly groups: ReadonlySet<string>
  /** The block of the last change: what an answer that reveals this state waits for. */
  readonly seq: number
}

type State = { -readonly [K in keyof TransactionRecord]: TransactionRecord[K] } & {
  streams: Set<StreamId>
  groups: Set<string>
}

/**
 * Transactional ids and their transactions, as the journal has them.
 *
 *   empty --joined--> ongoing --ended--> committed | aborted --joined--> ongoing …
 *     ^                                          |
 *     +---------------- registered --------------+
 *
 * There is no state between the decision and its markers: all of them are one block.
 */
export class TransactionsMachine implements Machine {
  readonly #namespaces = new Map<string, Map<string, State>>()
  readonly #ongoing = new Set<State>()
  #count = 0

  get count(): number {
    return this.#count
  }

  get(namespace: string, id: string): TransactionRecord | undefined {
    return this.#namespaces.get(namespace)?.get(id)
  }

  *all(): Generator<TransactionRecord> {
    for (const records of this.#namespaces.values()) yield* records.values()
  }

  /** Those of one namespace. */
  list(namespace: string): Iterable<TransactionRecord> {
    return this.#namespaces.get(namespace)?.values() ?? []
  }

  /** Those with an ongoing transaction. */
  get ongoing(): ReadonlySet<TransactionRecord> {
    return this.#ongoing
  }

  apply(type: number, payload: Buffer, at: FactContext): void {
    switch (type) {
      case transactionFacts.registered:
        return this.#register(readFact(registered, payload), at)
      case transactionFacts.joined:
        return this.#join(readFact(joined, payload), at)
      case transactionFacts.ended:
        return this.#end(readFact(ended, payload), at)
      case transactionFacts.removed:
        for (const { namespace, id } of readFact(removed, payload).ids) this.#remove(namespace, id)
        return
      default:
        throw new Error(`The transactions have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  #register({ namespace, id, ...producer }: Infer<typeof registered>, at: FactContext): void {
    const record = this.#open(namespace, id)
    Object.assign(record, producer)
    this.#settle(record, 'empty', at)
  }

  #join({ namespace, id, streams, groups }: Infer<typeof joined>, at: FactContext): void {
    const record = this.#open(namespace, id)
    for (const stream of streams) record.streams.add(stream)
    for (const group of groups) record.groups.add(group)
    if (record.state !== 'ongoing') record.startedMs = at.timeMs
    record.state = 'ongoing'
    record.changedMs = at.timeMs
    record.seq = at.seq
    this.#ongoing.add(record)
  }

  #end({ namespace, id, isCommitted, producerId, epoch }: Infer<typeof ended>, at: FactContext): void {
    const record = this.#open(namespace, id)
    const isSame = producerId === record.producerId && epoch === record.epoch
    record.previousProducerId = isSame ? -1 : record.producerId
    record.previousEpoch = isSame ? -1 : record.epoch
    record.producerId = producerId
    record.epoch = epoch
    this.#settle(record, isCommitted ? 'committed' : 'aborted', at)
  }

  #settle(record: State, state: TransactionState, at: FactContext): void {
    record.state = state
    record.startedMs = 0
    record.changedMs = at.timeMs
    record.seq = at.seq
    record.streams.clear()
    record.groups.clear()
    this.#ongoing.delete(record)
  }

  #remove(namespace: string, id: string): void {
    const records = this.#namespaces.get(namespace)
    const record = records?.get(id)
    if (records === undefined || record === undefined) return
    records.delete(id)
    if (records.size === 0) this.#namespaces.delete(namespace)
    this.#ongoing.delete(record)
    this.#count--
  }

  #open(namespace: string, id: string): State {
    let records = this.#namespaces.get(namespace)
    if (records === undefined) this.#namespaces.set(namespace, (records = new Map()))
    let record = records.get(id)
    if (record === undefined) {
      const nobody = { producerId: -1, epoch: -1, previousProducerId: -1, previousEpoch: -1, timeoutMs: 0 }
      const idle = { state: 'empty', startedMs: 0, changedMs: 0, seq: -1 } as const
      record = { namespace, id, ...nobody, ...idle, streams: new Set(), groups: new Set() }
      records.set(id, record)
      this.#count++
    }
    return record
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.#count)
    for (const { state, streams, groups, ...rest } of this.all()) {
      const stored = { ...rest, state: stateNumbers[state], streams: [...streams], groups: [...groups] }
      storedTransaction.write(out, stored, factVersion)
    }
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) {
      const { namespace, id, state, streams, groups, ...rest } = storedTransaction.read(from, version)
      const record = this.#open(namespace, id)
      Object.assign(record, rest, { state: stateOf(state), streams: new Set(streams), groups: new Set(groups) })
      if (record.state === 'ongoing') this.#ongoing.add(record)
    }
  }
}

function stateOf(number: number): TransactionState {
  for (const [state, known] of Object.entries(stateNumbers)) if (known === number) return state as TransactionState
  throw new Error(`There is no state ${number} of a transaction: this data was written by a newer broker`)
}
