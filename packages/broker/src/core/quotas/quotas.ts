import assert from 'node:assert/strict'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { atomically, durably } from '../refusals.ts'
import {
  checkEntity,
  entityId,
  normalAddress,
  quotaKeyNames,
  quotaKeys,
  valueProblem,
  type QuotaEntity,
  type QuotaKeyName,
} from './entity.ts'
import { burstMs } from './bucket.ts'
import { configured, factOf, quotaFacts } from './facts.ts'
import { QuotasMachine, written, type QuotaRecord } from './machine.ts'
import { Meters, type Meter } from './meters.ts'

export interface QuotasOptions {
  ledger: Ledger
  limits: Pick<Limits, 'quotasMax' | 'quotaMetersMax'>
}

/** Sets a quota, or removes it. */
export interface QuotaChange {
  readonly key: QuotaKeyName
  readonly value: number | undefined
}

/** Who does something: a user, and the client by the name that it gives itself. */
export interface Caller {
  readonly user: string
  readonly client: string | null
}

/**
 * The front door of the quotas: which are set, and how long somebody who has exceeded theirs should be held back.
 *
 * Nothing is ever refused or dropped here but structural changes, where the caller's protocol has a word for "later": who exceeds
 * a rate is answered, told to wait, and not listened to for that time. The most specific quota that is set counts:
 * user and client, user and any client, user, any user and client, any user and any client, any user, client, any client.
 * Whoever it is set for shares it: that of a user counts what all of the user's clients do together.
 */
export class Quotas {
  readonly #ledger: Ledger
  readonly #machine: QuotasMachine
  readonly #limits: QuotasOptions['limits']
  readonly #gauges: Record<QuotaKeyName, Gauge>
  #isActive = false

  constructor({ ledger, limits }: QuotasOptions) {
    const machine = ledger.machine(machineKinds.quotas)
    assert(machine instanceof QuotasMachine)
    this.#ledger = ledger
    this.#machine = machine
    this.#limits = limits
    const gauge = () => new Gauge(limits.quotaMetersMax)
    this.#gauges = {
      publishBytes: gauge(),
      fetchBytes: gauge(),
      workPercent: gauge(),
      changes: gauge(),
      connections: gauge(),
    }
    for (const { entity } of machine.all()) this.#tell(entity)
  }

  /** All entities that have quotas. What is shown may not be durable yet: an answer waits for `settle`. */
  list(): readonly QuotaRecord[] {
    return [...this.#machine.all()]
  }

  get(entity: QuotaEntity): QuotaRecord | undefined {
    return this.#machine.get(normalEntity(entity))
  }

  async settle(): Promise<void> {
    await durably(this.#ledger, this.#ledger.openSeq)
  }

  /**
   * Changes the quotas of one entity; keys that are not named stay. Decides before it first waits, and rejects with `BrokerError`.
   * `labelOf` says how a key is called where the change comes from.
   */
  async change(
    asked: QuotaEntity,
    changes: readonly QuotaChange[],
    { validateOnly = false, labelOf = (key: QuotaKeyName): string => key } = {},
  ): Promise<void> {
    checkEntity(asked)
    const entity = normalEntity(asked)
    const present = this.#machine.get(entity)
    const values = new Map(present?.values)
    for (const { key, value } of changes) {
      if (value === undefined) {
        values.delete(key)
        continue
      }
      const problem = valueProblem(key, entity, value, labelOf(key))
      if (problem !== undefined) throw new BrokerError('request-invalid', problem)
      values.set(key, quotaKeys[key].isWhole ? Math.round(value) : value)
    }
    if (present === undefined && values.size > 0 && this.#machine.count >= this.#limits.quotasMax) {
      throw new BrokerError('limit-reached', `there are ${this.#limits.quotasMax} quotas, which is the most allowed`)
    }
    if (validateOnly) return
    if (present === undefined && values.size === 0) return this.settle()
    const seq = this.#write({ entity, values })
    this.#tell(entity)
    await durably(this.#ledger, seq)
  }

  /** Whether anybody who calls may have to be held back: counting costs a little. */
  get isActive(): boolean {
    return this.#isActive
  }

  /** Counts published bytes. Returns the milliseconds for which the caller should be held back. */
  published(caller: Caller, bytes: number): number {
    return this.#count('publishBytes', caller, bytes)
  }

  /** Counts fetched bytes, as `published`. */
  fetched(caller: Caller, bytes: number): number {
    return this.#count('fetchBytes', caller, bytes)
  }

  /** Most bytes that should be given at once, so that the wait for them stays short. */
  fetchBytesMax(caller: Caller): number {
    const meter = this.#meter('fetchBytes', caller)
    return meter === undefined ? Infinity : meter.limit * (burstMs / 1000)
  }

  /** Whether anybody's work is limited: measuring it costs a little. */
  get measuresWork(): boolean {
    return this.#gauges.workPercent.isSet
  }

  /** Counts milliseconds of the broker's thread. Never says to wait for more than a second. */
  worked(caller: Caller, ms: number): number {
    const percentSeconds = ms / 10
    return Math.min(workThrottleMsMax, this.#count('workPercent', caller, percentSeconds))
  }

  /**
   * Counts structural changes. With `strict`, they are not to be made when this throws: `later.waitMs` says when they can be.
   * Otherwise returns the milliseconds for which the caller should be held back.
   */
  changed(caller: Caller, count: number, strict: boolean): { isAllowed: boolean; waitMs: number } {
    const meter = this.#meter('changes', caller)
    if (meter === undefined) return { isAllowed: true, waitMs: 0 }
    const nowMs = this.#nowMs()
    meter.usedMs = nowMs
    const waitMs = meter.bucket.waitMs(nowMs)
    if (strict && waitMs > 0) return { isAllowed: false, waitMs }
    return { isAllowed: true, waitMs: meter.bucket.spend(count, meter.limit, nowMs) }
  }

  /** Counts a connection. Returns the milliseconds for which it should not be listened to. */
  connected(address: string): number {
    const gauge = this.#gauges.connections
    if (!gauge.isSet) return 0
    const nowMs = this.#nowMs()
    const meter = gauge.ofAddress(normalAddress(address), nowMs)
    return meter === undefined ? 0 : add(meter, 1, nowMs)
  }

  #count(key: QuotaKeyName, caller: Caller, amount: number): number {
    const meter = this.#meter(key, caller)
    return meter === undefined ? 0 : add(meter, amount, this.#nowMs())
  }

  #meter(key: QuotaKeyName, caller: Caller): Meter | undefined {
    const gauge = this.#gauges[key]
    return gauge.isSet ? gauge.ofCaller(caller, this.#nowMs()) : undefined
  }

  #nowMs(): number {
    return this.#ledger.clock.monotonicMs()
  }

  /** Tells the gauges what is set for an entity now. */
  #tell(entity: QuotaEntity): void {
    const id = entityId(entity)
    const values = this.#machine.get(entity)?.values
    for (const key of quotaKeyNames) this.#gauges[key].limit(id, values?.get(key))
    this.#isActive = quotaKeyNames.some(key => quotaKeys[key].of === 'caller' && this.#gauges[key].isSet)
  }

  #write(record: QuotaRecord): number {
    return atomically(this.#ledger, () => {
      this.#ledger.fact(machineKinds.quotas, quotaFacts.configured, factOf(configured, written(record)))
    })
  }
}

const workThrottleMsMax = 1000

function add(meter: Meter, amount: number, nowMs: number): number {
  meter.usedMs = nowMs
  return meter.bucket.spend(amount, meter.limit, nowMs)
}

function normalEntity(entity: QuotaEntity): QuotaEntity {
  return typeof entity.address === 'string' ? { ...entity, address: normalAddress(entity.address) } : entity
}

/** One quota: its limits, and what has been used of it. */
class Gauge {
  readonly #meters: Meters
  readonly #callersMax: number
  readonly #limits = new Map<string, number>()
  /** What `ofCaller` has found before. */
  readonly #byCaller = new Map<string, Meter | undefined>()

  constructor(metersMax: number) {
    this.#meters = new Meters(metersMax)
    this.#callersMax = metersMax
  }

  /** Sets what the entity may do per second, or that nothing is set for it. */
  limit(entity: string, limit: number | undefined): void {
    if (this.#limits.get(entity) === limit) return
    if (limit === undefined) this.#limits.delete(entity)
    else this.#limits.set(entity, limit)
    this.#byCaller.clear()
    if (!this.isSet) this.#meters.clear()
  }

  get isSet(): boolean {
    return this.#limits.size > 0
  }

  ofCaller({ user, client }: Caller, nowMs: number): Meter | undefined {
    const id = `${user}\n${client ?? ''}`
    const known = this.#byCaller.get(id)
    if (known !== undefined || this.#byCaller.has(id)) return known
    if (this.#byCaller.size >= this.#callersMax) this.#byCaller.clear()
    const meter = this.#resolve(user, client ?? '', nowMs)
    this.#byCaller.set(id, meter)
    return meter
  }

  ofAddress(address: string, nowMs: number): Meter | undefined {
    const limit = this.#limits.get(entityId({ address })) ?? this.#limits.get(entityId({ address: null }))
    return limit === undefined ? undefined : this.#meter({ address }, limit, nowMs)
  }

  /** The most specific limit that is set, with the meter of those who share it. */
  #resolve(user: string, client: string, nowMs: number): Meter | undefined {
    const both = { user, client }
    const levels: readonly (readonly [set: QuotaEntity, shared: QuotaEntity])[] = [
      [both, both],
      [{ user, client: null }, both],
      [{ user }, { user }],
      [{ user: null, client }, both],
      [{ user: null, client: null }, both],
      [{ user: null }, { user }],
      [{ client }, { client }],
      [{ client: null }, { client }],
    ]
    for (const [set, shared] of levels) {
      const limit = this.#limits.get(entityId(set))
      if (limit !== undefined) return this.#meter(shared, limit, nowMs)
    }
    return undefined
  }

  #meter(shared: QuotaEntity, limit: number, nowMs: number): Meter {
    return this.#meters.of(entityId(shared), limit, nowMs, () => this.#byCaller.clear())
  }
}
