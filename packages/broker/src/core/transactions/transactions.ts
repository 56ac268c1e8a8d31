import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import type { AppendError, AppendResult, CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { Fenced } from '../../storage/errors.ts'
import type { ErrorCode } from '../errors.ts'
import { Alarm } from '../groups/alarm.ts'
import type { Groups } from '../groups/groups.ts'
import type { Limits } from '../limits.ts'
import { ProducerConnections, type Lane } from './connections.ts'
import { ended, factOf, joined, registered, removed, transactionFacts } from './facts.ts'
import { TransactionsMachine, type TransactionRecord } from './machine.ts'
import type {
  Done,
  EndRequest,
  Identified,
  IdentifiedDone,
  JoinRequest,
  PendingCommitRequest,
  ProducerIdentity,
  RegisterRequest,
  TransactionFilter,
  TransactionName,
  TransactionRequest,
} from './requests.ts'
import { defaultTransactionSettings, type TransactionSettings } from './settings.ts'

export interface TransactionsOptions {
  ledger: Ledger
  cell: CellClient
  groups: Groups
  /** Gives a producer id that nobody had; durable when what is written after it is. */
  producerIds: { takeProducerId(): number }
  limits: Limits
  settings?: Partial<TransactionSettings>
}

/** From this epoch on a producer gets a new id: one more epoch is kept for the marker that shuts out the last. */
const lastEpoch = 32_766
/** Transactions aborted, and transactional ids looked at, without letting others in between. */
const abortsPerTurn = 100
const idsPerSweep = 500

/**
 * The front door of transactions: writes to streams, and offsets of groups, that count all or none.
 *
 * A transaction begins when the first stream or group joins it. Its end is one block: the decision, a marker in each stream, and the
 * offsets of each group. So nothing can be half ended, and there is nothing to finish after a restart.
 *
 * Requests are decided before the call returns, hence in the order of the calls. An error is answered like a success: when what it
 * rests on is durable.
 */
export class Transactions {
  readonly settings: TransactionSettings
  readonly #ledger: Ledger
  readonly #machine: TransactionsMachine
  readonly #cell: CellClient
  readonly #groups: Groups
  readonly #producerIds: TransactionsOptions['producerIds']
  readonly #limits: Limits
  readonly #connections = new ProducerConnections()
  readonly #alarm: Alarm
  /** When those that begin later than now were seen first. */
  readonly #future = new WeakMap<TransactionRecord, { startedMs: number; seenMs: number }>()
  #cancelSweep: (() => void) | undefined
  #closed = false
  #lastSeq = -1

  /** Over a cell that has been recovered: the time-outs of ongoing transactions go on from where they began. */
  constructor({ ledger, cell, groups, producerIds, limits, settings }: TransactionsOptions) {
    const machine = ledger.machine(machineKinds.transactions)
    assert(machine instanceof TransactionsMachine)
    this.#ledger = ledger
    this.#machine = machine
    this.#cell = cell
    this.#groups = groups
    this.#producerIds = producerIds
    this.#limits = limits
    this.settings = { ...defaultTransactionSettings, ...settings }
    this.#alarm = new Alarm(ledger.clock, () => this.#abortOverdue())
    if (machine.ongoing.size > 0) this.#alarm.setAt(0)
    this.#scheduleSweep(machine.all(), this.settings.sweepIntervalMs)
  }

  /** Makes the caller the producer of the transactional id. Who was it before is shut out, and its transaction aborted. */
  register(request: RegisterRequest, done: IdentifiedDone): void {
    const record = this.#machine.get(request.namespace, request.id)
    const error = this.#checkRegister(request, record)
    if (error !== undefined) return this.#refuse(record, done, error)
    // Nothing has been done in the epoch that its last request gave it: that was this request, whose answer was lost.
    if (record?.state === 'empty' && isPrevious(record, request.previous)) return this.#identify(record, done)
    const failure = this.#write(() => this.#takeOver(request, record))
    if (failure !== undefined) return this.#refuse(record, done, failure)
    this.#connections.forget(keyOf(request))
    this.#identify(this.#existing(request), done)
  }

  #checkRegister(request: RegisterRequest, record: TransactionRecord | undefined): ErrorCode | undefined {
    const { id, timeoutMs, previous } = request
    if (id === '' || id.length > this.settings.idLengthMax) return 'request-invalid'
    if (timeoutMs <= 0 || timeoutMs > this.settings.timeoutMaxMs) return 'transaction-timeout-invalid'
    if (record === undefined) {
      return this.#machine.count < this.#limits.transactionalIdsMax ? undefined : 'limit-reached'
    }
    if (previous === undefined || isCurrent(record, previous)) return undefined
    return isPrevious(record, previous) && record.state !== 'ongoing' ? undefined : 'producer-fenced'
  }

  #takeOver({ namespace, id, timeoutMs, previous }: RegisterRequest, record: TransactionRecord | undefined): void {
    let next: ProducerIdentity
    if (record?.state === 'ongoing') {
      // The epoch that the abort leaves behind was never given to anybody.
      this.#end(record, false, true)
      next = { producerId: record.producerId, epoch: record.epoch }
    } else next = this.#successor(record)
    this.#fact(transactionFacts.registered, registered, {
      namespace,
      id,
      ...next,
      previousProducerId: previous?.producerId ?? -1,
      previousEpoch: previous?.epoch ?? -1,
      timeoutMs,
    })
  }

  #successor(record: TransactionRecord | undefined): ProducerIdentity {
    if (record === undefined || record.epoch >= lastEpoch) {
      return { producerId: this.#producerIds.takeProducerId(), epoch: 0 }
    }
    return { producerId: record.producerId, epoch: record.epoch + 1 }
  }

  /** Lets streams and groups take part in the producer's transaction, which begins with the first. */
  join(request: JoinRequest, done: Done): void {
    const record = this.#machine.get(request.namespace, request.id)
    const error =
      this.#check(request, record, 'control') ?? this.#join(request, record, request.streams, request.groups)
    this.#settled(record, done, error)
  }

  /** Writes who takes part, unless all do already. */
  #join(
    name: TransactionName,
    record: TransactionRecord | undefined,
    streams: readonly StreamId[],
    groups: readonly string[],
  ): ErrorCode | undefined {
    const { namespace, id } = name
    const newStreams = streams.filter(stream => record?.streams.has(stream) !== true)
    const newGroups = groups.filter(group => record?.groups.has(group) !== true)
    if (newStreams.length + newGroups.length === 0) return undefined
    const present = record === undefined ? 0 : record.streams.size + record.groups.size
    if (present + newStreams.length + newGroups.length > this.#limits.transactionPartitionsMax) return 'limit-reached'
    return this.#write(() => {
      this.#fact(transactionFacts.joined, joined, { namespace, id, streams: newStreams, groups: newGroups })
      this.#watch(this.#existing(name))
    })
  }

  /** Whether streams take part in the producer's transaction; asks and changes nothing. */
  verify(request: TransactionRequest, stream: StreamId): ErrorCode | undefined {
    const record = this.#machine.get(request.namespace, request.id)
    const error = this.#identityError(request, record)
    return error ?? (record?.streams.has(stream) === true ? undefined : 'transaction-abortable')
  }

  /** Appends a batch in the producer's transaction. `CellClient.append` says how. */
  append(request: TransactionRequest, stream: StreamId, batch: Buffer, done: (result: AppendOutcome) => void): void {
    const record = this.#machine.get(request.namespace, request.id)
    const error = this.#check(request, record, 'data') ?? this.#admit(request, record, stream)
    if (error === undefined) return this.#cell.append(stream, batch, done)
    const startOffset = this.#cell.bounds(stream)?.startOffset ?? -1
    this.#settled(record, done, { error, baseOffset: -1, appendTimeMs: -1, startOffset })
  }

  #admit(request: TransactionRequest, record: TransactionRecord | undefined, stream: StreamId): AdmitError | undefined {
    if (record?.streams.has(stream) === true) return undefined
    if (!request.epochPerTransaction) return 'transaction-abortable'
    return this.#join(request, record, [stream], noGroups) as AdmitError | undefined
  }

  /** Keeps offsets of a group that count once the transaction is committed. */
  commitOffsets(request: PendingCommitRequest, done: Done): void {
    const { group, producerId, epochPerTransaction } = request
    const record = this.#machine.get(request.namespace, request.id)
    const error = this.#check(request, record, 'offsets')
    if (error !== undefined) return this.#settled(record, done, error)
    if (!epochPerTransaction && record?.groups.has(group) !== true) {
      return this.#settled(record, done, 'transaction-abortable')
    }
    let refusal: ErrorCode | undefined
    const failure = this.#write(() => {
      refusal =
        this.#join(request, record, noStreams, [group]) ??
        this.#groups.commitPending({ ...request, expiresMs: -1 }, producerId)
    })
    this.#groups.settled(request.namespace, group, () => this.#settled(record, done, failure ?? refusal), undefined)
  }

  /** Ends the producer's transaction. With an epoch for each transaction, the result is who the producer is in the next one. */
  end(request: EndRequest, done: IdentifiedDone): void {
    const { isCommitted, epochPerTransaction } = request
    const record = this.#machine.get(request.namespace, request.id)
    const outcome = isCommitted ? 'committed' : 'aborted'
    // The end was decided before, and its answer lost; or the time was over, which has aborted it.
    const isRepeated = epochPerTransaction && record?.state === outcome && isPrevious(record, request)
    if (record !== undefined && isRepeated) return this.#identify(record, done)
    const error = this.#check(request, record, 'control')
    if (error !== undefined || record === undefined) return this.#refuse(record, done, error ?? 'producer-unmapped')
    if (record.state !== 'ongoing') {
      if (!epochPerTransaction && record.state === outcome) return this.#identify(record, done)
      // Aborting nothing gives a new epoch all the same: the producer may not know whether anything of it has arrived.
      if (!epochPerTransaction || isCommitted) return this.#refuse(record, done, 'transaction-state-invalid')
    }
    const failure = this.#write(() => this.#end(record, isCommitted, epochPerTransaction))
    if (failure !== undefined) return this.#refuse(record, done, failure)
    this.#identify(record, done)
  }

  /**
   * Aborts the transaction that an administrator has found open in a stream, as a whole, and shuts its producer out. Nothing happens
   * when there is none.
   */
  abort(stream: StreamId, { producerId, epoch }: ProducerIdentity, done: Done): void {
    const record = this.#cell.openTransaction(stream, producerId) === undefined ? undefined : this.#owner(producerId)
    if (record === undefined) return this.#ledger.whenDurable(this.#lastSeq, done, undefined)
    if (epoch < record.epoch) return this.#settled(record, done, 'producer-fenced')
    this.#settled(
      record,
      done,
      this.#write(() => this.#end(record, false, true)),
    )
  }

  #owner(producerId: number): TransactionRecord | undefined {
    for (const record of this.#machine.ongoing) if (record.producerId === producerId) return record
    return undefined
  }

  /** Everything that ends a transaction, in one block. */
  #end(record: TransactionRecord, isCommitted: boolean, shutsOut: boolean): void {
    const { namespace, id, producerId, epoch } = record
    const next = shutsOut ? this.#successor(record) : { producerId, epoch }
    const marker = { producerId, producerEpoch: shutsOut ? epoch + 1 : epoch, isCommitted }
    for (const stream of record.streams) {
      if (this.#cell.openTransaction(stream, producerId) !== undefined) this.#cell.endTransaction(stream, marker)
    }
    for (const group of record.groups) this.#groups.endPending({ namespace, group }, producerId, isCommitted)
    this.#fact(transactionFacts.ended, ended, { namespace, id, isCommitted, ...next })
  }

  get(namespace: string, id: string): TransactionRecord | undefined {
    return this.#machine.get(namespace, id)
  }

  /** What is told of it waits for `settled`. */
  *list(namespace: string, { states, producerIds, longerThanMs, id }: TransactionFilter): Generator<TransactionRecord> {
    const nowMs = this.#ledger.clock.nowMs()
    for (const record of this.#machine.list(namespace)) {
      if (states?.has(record.state) === false || producerIds?.has(record.producerId) === false) continue
      if (id?.(record.id) === false) continue
      if (longerThanMs !== undefined && !(record.startedMs > 0 && nowMs - record.startedMs > longerThanMs)) continue
      yield record
    }
  }

  /** Calls `run(argument)` when all that can be seen of any transaction now is durable. */
  settled<A>(run: (argument: A) => void, argument: A): void {
    this.#ledger.whenDurable(this.#lastSeq, run, argument)
  }

  /** Stops all timers. Ongoing transactions go on after a restart. */
  close(): void {
    this.#closed = true
    this.#cancelSweep?.()
    this.#alarm.stop()
  }

  #check(request: TransactionRequest, record: TransactionRecord | undefined, lane: Lane): IdentityError | undefined {
    const error = this.#identityError(request, record)
    if (error !== undefined || !this.settings.strictConnections) return error
    // With an epoch for each transaction, only offsets can still go wrong: those of the same transaction that come late are older.
    if (request.epochPerTransaction && lane !== 'offsets') return undefined
    return this.#connections.admits(keyOf(request), lane, request.connection) ? undefined : 'producer-fenced'
  }

  #identityError(request: ProducerIdentity, record: TransactionRecord | undefined): IdentityError | undefined {
    if (this.#closed) return 'shutting-down'
    if (record === undefined || record.producerId !== request.producerId) return 'producer-unmapped'
    return record.epoch === request.epoch ? undefined : 'producer-fenced'
  }

  #existing({ namespace, id }: TransactionName): TransactionRecord {
    const record = this.#machine.get(namespace, id)
    assert(record !== undefined)
    return record
  }

  #identify(record: TransactionRecord, done: IdentifiedDone): void {
    const { producerId, epoch } = record
    this.#settled<Identified>(record, done, { error: undefined, producerId, epoch })
  }

  #refuse(record: TransactionRecord | undefined, done: IdentifiedDone, error: ErrorCode): void {
    this.#settled<Identified>(record, done, { error, producerId: -1, epoch: -1 })
  }

  #settled<A>(record: TransactionRecord | undefined, done: (result: A) => void, result: A): void {
    this.#ledger.whenDurable(record?.seq ?? this.#lastSeq, done, result)
  }

  #fact<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    this.#lastSeq = this.#ledger.fact(machineKinds.transactions, type, factOf(codec, value))
  }

  /** Writes facts, all of them in one block. Why that cannot be, or undefined when it is done. */
  #write(run: () => void): WriteError | undefined {
    try {
      this.#ledger.atomic(run)
      return undefined
    } catch (error) {
      if (error instanceof Fenced) return 'shutting-down'
      throw error
    }
  }

  #watch(record: TransactionRecord): void {
    this.#alarm.setAt(this.#dueMsOf(record))
  }

  #dueMsOf(record: TransactionRecord): number {
    const { startedMs, timeoutMs } = record
    const nowMs = this.#ledger.clock.nowMs()
    if (startedMs <= nowMs) return startedMs + timeoutMs
    // It began in the future, so the clock was set back: at the latest it begins now.
    let seen = this.#future.get(record)
    if (seen?.startedMs !== startedMs) this.#future.set(record, (seen = { startedMs, seenMs: nowMs }))
    return seen.seenMs + timeoutMs
  }

  /** Aborts what has taken longer than its producer said, a few at a time. The producer is shut out until it asks again. */
  #abortOverdue(): void {
    const nowMs = this.#ledger.clock.nowMs()
    let left = abortsPerTurn
    let nextMs = Infinity
    for (const record of this.#machine.ongoing) {
      const dueMs = this.#dueMsOf(record)
      if (dueMs > nowMs || left === 0) {
        nextMs = Math.min(nextMs, dueMs)
        continue
      }
      left--
      if (this.#write(() => this.#end(record, false, true)) !== undefined) return
    }
    // Many transactions are looked at less often, so that a look costs the same share of the time however many there are.
    const restMs = left === 0 ? 1 : Math.min(1000, this.#machine.ongoing.size / 10)
    if (nextMs < Infinity) this.#alarm.setAt(Math.max(nextMs, nowMs + restMs))
  }

  /** Goes through all transactional ids a few at a time, then rests. */
  #scheduleSweep(records: Iterator<TransactionRecord>, delayMs: number): void {
    this.#cancelSweep = this.#ledger.clock.after(delayMs, () => {
      const before = this.#ledger.clock.nowMs() - this.settings.idExpirationMs
      const ids: TransactionName[] = []
      let isDone = false
      for (let left = idsPerSweep; left > 0 && !isDone; left--) {
        const next = records.next()
        isDone = next.done === true
        if (next.done === true) continue
        const { namespace, id, state, changedMs } = next.value
        if (state !== 'ongoing' && changedMs < before) ids.push({ namespace, id })
      }
      this.#forget(ids)
      if (isDone) this.#scheduleSweep(this.#machine.all(), this.settings.sweepIntervalMs)
      else this.#scheduleSweep(records, 1)
    })
  }

  #forget(ids: TransactionName[]): void {
    if (ids.length === 0) return
    for (const name of ids) this.#connections.forget(keyOf(name))
    this.#write(() => this.#fact(transactionFacts.removed, removed, { ids }))
  }
}

/** As the cell answers, or with why the transaction does not take the batch. */
export type AppendOutcome = Omit<AppendResult, 'error'> & { error?: AppendError | IdentityError | AdmitError }

type WriteError = 'shutting-down'
type IdentityError = 'producer-unmapped' | 'producer-fenced' | 'shutting-down'
type AdmitError = 'transaction-abortable' | 'limit-reached' | WriteError

const noStreams: readonly StreamId[] = []
const noGroups: readonly string[] = []

const keyOf = ({ namespace, id }: TransactionName): string => `${namespace}\0${id}`

const isCurrent = (record: TransactionRecord, { producerId, epoch }: ProducerIdentity): boolean =>
  record.producerId === producerId && record.epoch === epoch

const isPrevious = (record: TransactionRecord, producer: ProducerIdentity | undefined): boolean =>
  producer !== undefined &&
  record.previousEpoch >= 0 &&
  record.previousProducerId === producer.producerId &&
  record.previousEpoch === producer.epoch
