import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import { StorageFull } from '../../cell/cell.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { storageFull, unlessFenced } from '../refusals.ts'
import { Heap, type Heaped } from '../work/heap.ts'
import { cleared, valueFacts, expires, factOf, removed, set } from './facts.ts'
import { ValuesMachine, valueOverhead } from './machine.ts'

export interface KeyedValuesOptions {
  ledger: Ledger
  cell: { readonly isFull: boolean }
  limits: Pick<Limits, 'valuesMax' | 'valueBytesMax'>
}

interface Deadline extends Heaped {
  readonly namespace: string
  readonly key: string
  readonly expiresMs: number
}

/** So many keys end in one turn. */
const expiredPerTurnMax = 1000
/** The wall clock is looked at again after this. */
const lookMsMax = 60_000

/**
 * Single values by their keys, and until when keys last, whatever they name. Keys are any bytes, a character for each. Everything is decided before
 * it returns; who promises that it lasts waits for the newest block.
 */
export class KeyedValues {
  readonly #options: KeyedValuesOptions
  readonly #machine: ValuesMachine
  readonly #heap = new Heap<Deadline>((a, b) => a.expiresMs < b.expiresMs)
  readonly #byKey = new Map<string, Map<string, Deadline>>()
  readonly #expiring: ((namespace: string, key: string) => void)[] = []
  #cancel: (() => void) | undefined
  #armedMs = Infinity
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: KeyedValuesOptions) {
    const machine = options.ledger.machine(machineKinds.values)
    assert(machine instanceof ValuesMachine)
    this.#options = options
    this.#machine = machine
    for (const [namespace, { deadlines }] of machine.spaces) {
      for (const [key, expiresMs] of deadlines) this.#note(namespace, key, expiresMs)
    }
  }

  get count(): number {
    return this.#machine.count
  }
  get bytes(): number {
    return this.#machine.bytes
  }
  /** Keys that do not last for ever. */
  expiringCount(namespace: string): number {
    return this.#byKey.get(namespace)?.size ?? 0
  }

  get(namespace: string, key: string): Buffer | undefined {
    return this.#machine.spaces.get(namespace)?.values.get(key)
  }

  keys(namespace: string): Iterable<string> {
    return this.#machine.spaces.get(namespace)?.values.keys() ?? []
  }

  /** Until when the key lasts, in milliseconds since 1970; undefined: for ever. */
  expiryOf(namespace: string, key: string): number | undefined {
    return this.#machine.spaces.get(namespace)?.deadlines.get(key)
  }

  /** `expiresMs` undefined: for ever. Throws `BrokerError`. */
  set(namespace: string, key: string, value: Uint8Array, expiresMs?: number): void {
    this.demandRoom(namespace, key, value.length)
    const bytes = Buffer.from(key, 'latin1')
    this.#write(valueFacts.set, set, { namespace, key: bytes, value: Buffer.from(value), expiresMs: expiresMs ?? 0 })
    this.#note(namespace, key, expiresMs)
  }

  /** Throws `BrokerError` when a value of that size could not be set. */
  demandRoom(namespace: string, key: string, valueBytes: number): void {
    const { valuesMax, valueBytesMax } = this.#options.limits
    const before = this.get(namespace, key)
    const more = valueBytes - (before?.length ?? -(key.length + valueOverhead))
    if (!before && this.#machine.count >= valuesMax) {
      throw new BrokerError('limit-reached', `there are ${valuesMax} values, which is the most allowed`)
    }
    if (more > 0 && this.#machine.bytes + more > valueBytesMax) {
      throw new BrokerError('limit-reached', `all values together would be more than ${valueBytesMax} bytes`)
    }
    if (this.#options.cell.isFull) throw storageFull()
  }

  /** Whether there was a value. The key lasts for ever again, whatever else it names. */
  remove(namespace: string, key: string): boolean {
    const space = this.#machine.spaces.get(namespace)
    const isThere = space?.values.has(key) === true
    if (!isThere && space?.deadlines.has(key) !== true) return false
    this.#write(valueFacts.removed, removed, { namespace, key: Buffer.from(key, 'latin1') })
    this.#note(namespace, key, undefined)
    return isThere
  }

  /** Until when the key lasts; undefined: for ever. */
  expire(namespace: string, key: string, expiresMs: number | undefined): void {
    this.#write(valueFacts.expires, expires, { namespace, key: Buffer.from(key, 'latin1'), expiresMs: expiresMs ?? 0 })
    this.#note(namespace, key, expiresMs)
  }

  /** Removes all of a namespace that is gone; whether there were any. */
  removeSome(namespace: string): boolean {
    const { values, deadlines } = this.#machine.spaces.get(namespace) ?? {}
    if ((values?.size ?? 0) + (deadlines?.size ?? 0) === 0) return false
    this.clear(namespace)
    return true
  }

  clear(namespace: string): void {
    this.#write(valueFacts.cleared, cleared, { namespace })
    for (const deadline of this.#byKey.get(namespace)?.values() ?? []) this.#heap.delete(deadline)
    this.#byKey.delete(namespace)
  }

  /** Calls `run` when the time of a key has come, within the block that ends it: who has something of that name removes it. */
  beforeExpire(run: (namespace: string, key: string) => void): void {
    this.#expiring.push(run)
  }

  /** Ends the key if its time has come. */
  touch(namespace: string, key: string): void {
    if (this.#heap.size === 0) return
    const expiresMs = this.expiryOf(namespace, key)
    if (expiresMs !== undefined && expiresMs <= this.#options.ledger.clock.nowMs()) this.#end(namespace, key)
  }

  close(): void {
    this.#isClosed = true
    this.#cancel?.()
  }

  #end(namespace: string, key: string): void {
    this.#options.ledger.atomic(() => {
      for (const run of this.#expiring) run(namespace, key)
      this.remove(namespace, key)
    })
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): void {
    const { ledger } = this.#options
    try {
      ledger.fact(machineKinds.values, type, factOf(codec, value))
    } catch (error) {
      if (error instanceof StorageFull) throw storageFull()
      throw error
    }
  }

  #note(namespace: string, key: string, expiresMs: number | undefined): void {
    let named = this.#byKey.get(namespace)
    const before = named?.get(key)
    if (before) {
      this.#heap.delete(before)
      named?.delete(key)
    }
    if (expiresMs === undefined) return
    if (!named) this.#byKey.set(namespace, (named = new Map()))
    const deadline: Deadline = { namespace, key, expiresMs, heapAt: -1 }
    named.set(key, deadline)
    this.#heap.add(deadline)
    this.#arm()
  }

  #arm(): void {
    const first = this.#heap.first
    if (!first || this.#isClosed || first.expiresMs >= this.#armedMs) return
    const { clock } = this.#options.ledger
    this.#cancel?.()
    this.#armedMs = first.expiresMs
    this.#cancel = clock.after(Math.max(0, Math.min(lookMsMax, first.expiresMs - clock.nowMs())), () => this.#look())
  }

  #look(): void {
    this.#armedMs = Infinity
    const nowMs = this.#options.ledger.clock.nowMs()
    unlessFenced(() => {
      for (let left = expiredPerTurnMax; left > 0; left--) {
        const first = this.#heap.first
        if (!first || first.expiresMs > nowMs) break
        this.#end(first.namespace, first.key)
      }
    })
    this.#arm()
  }
}
