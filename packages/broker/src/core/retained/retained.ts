import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import type { AppendError, CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import type { LiveRecords, Retention } from '../../cell/options.ts'
import { bodyOf, releaseBodies } from '../../storage/batch-builder.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { recordOf, type QueueMessage } from '../queues/message.ts'
import { atomically, unlessRefused } from '../refusals.ts'
import { factOf, kept, opened, removed, retainedFacts } from './facts.ts'
import { RetainedMachine, type RetainedEntry } from './machine.ts'

export interface RetainedOptions {
  ledger: Ledger
  cell: CellClient
  limits: Pick<Limits, 'retainedMax'>
}

/** What has expired is looked for so often. */
const sweepMs = 30_000
/** So much of it is removed in one turn. */
const sweptAtOnce = 1000

/**
 * The last message of each subject, for those who come later. All of them lie in one stream, whose memory is an entry for each subject; what
 * was replaced is left out when its segment is rewritten.
 */
export class Retained {
  readonly #options: RetainedOptions
  readonly #machine: RetainedMachine
  /** Offset of the next message. */
  #next: number
  #cancelSweep: (() => void) | undefined

  /** Over a cell that has been recovered. */
  constructor(options: RetainedOptions) {
    const machine = options.ledger.machine(machineKinds.retained)
    assert(machine instanceof RetainedMachine)
    this.#options = options
    this.#machine = machine
    this.#next = machine.stream === undefined ? 0 : (options.cell.bounds(machine.stream)?.endOffset ?? 0)
    this.#sweepLater()
  }

  get count(): number {
    return this.#machine.byOffset.size
  }

  countIn(namespace: string): number {
    return this.#machine.countIn(namespace)
  }

  /**
   * From now on this is the last message of the subject, which is what it was published by. Returns the number of the block that makes it
   * durable, or why it is refused.
   */
  keep(namespace: string, key: string, message: QueueMessage): number | AppendError | 'limit-reached' {
    const { ledger, cell } = this.#options
    const machine = this.#machine
    if (!this.mayKeep(namespace, key)) return 'limit-reached'
    let refusal: AppendError | undefined
    try {
      const seq = atomically(ledger, () => {
        const stream = machine.stream ?? this.#open()
        const taken = cell.gather(stream, bodyOf(recordOf(message, ledger.clock.nowMs())))
        if (typeof taken !== 'number') return void (refusal = taken)
        const { expiresMs = -1 } = message
        this.#write(retainedFacts.kept, kept, { namespace, key, offset: this.#next++, expiresMs })
      })
      if (machine.expiring.size > 0) this.#sweepLater()
      return refusal ?? seq
    } catch (error) {
      if (error instanceof BrokerError && (error.code === 'storage-full' || error.code === 'shutting-down'))
        return error.code
      throw error
    } finally {
      releaseBodies()
    }
  }

  /** Whether there is room for the last message of one more subject, or it has one. */
  mayKeep(namespace: string, key: string): boolean {
    const { byOffset } = this.#machine
    return byOffset.size < this.#options.limits.retainedMax || this.#machine.get(namespace, key) !== undefined
  }

  /** The subject has no last message any more. Returns the block that makes that durable; -1 when it had none. */
  remove(namespace: string, key: string): number {
    if (!this.#machine.get(namespace, key)) return -1
    return this.#write(retainedFacts.removed, removed, { namespace, key })
  }

  /** The block with which all that is shown is durable. */
  get seq(): number {
    return this.#options.ledger.lastSeq
  }

  /** Those whose subjects match, as bindings of subjects do, oldest first. */
  find(namespace: string, pattern: string): RetainedEntry[] {
    const nowMs = this.#options.ledger.clock.nowMs()
    return this.#machine
      .match(namespace, pattern)
      .filter(({ expiresMs }) => expiresMs < 0 || expiresMs > nowMs)
      .sort((one, other) => one.offset - other.offset)
  }

  /** Whether it is still the last message of its subject. */
  isCurrent({ offset }: RetainedEntry): boolean {
    return this.#machine.byOffset.has(offset)
  }

  /** Reads messages, best in the order in which `find` tells them. */
  reader(): RetainedReader {
    return new RetainedReader(this.#options, this.#machine.stream ?? -1)
  }

  /** Removes some of a namespace that is gone; whether there were any. */
  removeSome(namespace: string): boolean {
    const some = this.#machine.match(namespace, '#').slice(0, sweptAtOnce)
    for (const { key } of some) this.remove(namespace, key)
    return some.length > 0
  }

  retentionOf(stream: StreamId): Retention | undefined {
    if (stream !== this.#machine.stream) return undefined
    const [oldest = this.#next] = this.#machine.byOffset.keys()
    return { ms: -1, bytes: -1, neededFrom: oldest }
  }

  liveOf(stream: StreamId): LiveRecords | undefined {
    const { byOffset, stream: own } = this.#machine
    if (stream !== own) return undefined
    return {
      // What is not in a fact yet has come since.
      isLive: offset => byOffset.has(offset) || offset >= this.#next,
      count: (first, last, max) => {
        let count = 0
        for (let offset = first; offset <= last && count < max; offset++) if (byOffset.has(offset)) count++
        return count
      },
    }
  }

  close(): void {
    this.#cancelSweep?.()
  }

  #open(): StreamId {
    const stream = this.#options.ledger.define('stream')
    this.#write(retainedFacts.opened, opened, { stream })
    return stream
  }

  #sweepLater(): void {
    if (this.#machine.expiring.size === 0) return
    this.#cancelSweep ??= this.#options.ledger.clock.after(sweepMs, () => {
      this.#cancelSweep = undefined
      unlessRefused(() => this.#sweep())
      this.#sweepLater()
    })
  }

  #sweep(): void {
    const nowMs = this.#options.ledger.clock.nowMs()
    let left = sweptAtOnce
    for (const { namespace, key, expiresMs } of this.#machine.expiring) {
      if (expiresMs > nowMs) continue
      this.remove(namespace, key)
      if (--left === 0) return
    }
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): number {
    const { ledger } = this.#options
    return atomically(ledger, () => void ledger.fact(machineKinds.retained, type, factOf(codec, value)))
  }
}

/** Reads retained messages one after the other. */
export class RetainedReader {
  readonly #ledger: Ledger
  readonly #reader: RecordReader

  constructor({ ledger, cell }: RetainedOptions, stream: StreamId) {
    this.#ledger = ledger
    this.#reader = new RecordReader(cell, stream)
  }

  /** The message, whose bytes are valid until the next one is read; undefined: it is gone. It is durable. */
  async read({ offset }: RetainedEntry): Promise<RecordView | undefined> {
    await this.#ledger.durable(this.#ledger.lastSeq)
    if (this.#reader.find(offset) === 'unread') {
      const error = await new Promise<ReadError | undefined>(resolve => {
        if (this.#reader.read(offset, true, resolve)) resolve(undefined)
      })
      if (error !== undefined) return undefined
    }
    return this.#reader.find(offset) === 'found' ? this.#reader.record : undefined
  }

  close(): void {
    this.#reader.clear()
  }
}
