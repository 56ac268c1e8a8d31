import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import {
  closeStores,
  ManualClock,
  memoryStores,
  openCell,
  record,
  turns,
  type Stores,
  type TestCell,
} from '../../cell/testing/cells.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import { Cursors } from '../cursor/cursors.ts'
import { CursorMachine } from '../cursor/machine.ts'
import type { Settlement } from '../cursor/cursor.ts'
import { DirectoryMachine } from '../directory.ts'
import { MembershipsMachine } from '../groups/assigned/machine.ts'
import { Groups } from '../groups/groups.ts'
import { GroupsMachine } from '../groups/machine.ts'
import { defaultLimits } from '../limits.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { homeNamespace } from '../topic.ts'
import { Topics } from '../topics.ts'
import { ShareGroupsMachine } from './machine.ts'
import { ShareGroups } from './share-groups.ts'
import type { TakeResult } from './taking.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const deliveryLimit = 4
const lockMs = 1000
const name = { namespace: homeNamespace, group: 'workers' }
const members = ['ann', 'bob', 'cyn']

/** A broker's core over stores that outlive it. */
class Core {
  readonly clock: ManualClock
  readonly stores: Stores
  readonly opened: TestCell
  readonly topics: Topics
  readonly groups: Groups
  readonly shares: ShareGroups

  static async open(stores: Stores, atMs: number): Promise<Core> {
    const clock = new ManualClock()
    await clock.advance(Math.max(0, atMs - clock.nowMs()))
    const machines = {
      directory: () => new DirectoryMachine(),
      groups: () => new GroupsMachine(),
      memberships: () => new MembershipsMachine(),
      shareGroups: () => new ShareGroupsMachine(),
      cursor: () => new CursorMachine(),
    }
    const opened = await openCell(stores, { clock, machines })
    const topics = await Topics.open(opened.cell, { limits: defaultLimits, random: new Random(1) })
    return new Core(stores, clock, opened, topics)
  }

  constructor(stores: Stores, clock: ManualClock, opened: TestCell, topics: Topics) {
    this.stores = stores
    this.clock = clock
    this.opened = opened
    this.topics = topics
    const { cell: ledger, client: cell } = opened
    const settings = { shareDeliveryLimit: deliveryLimit, shareLockDurationMs: lockMs }
    this.groups = new Groups({ ledger, random: new Random(2), limits: defaultLimits, topics, settings })
    const cursors = new Cursors(ledger, new TimerWheel(clock))
    this.shares = new ShareGroups({ ledger, cell, cursors, topics, groups: this.groups, limits: defaultLimits })
  }

  get topicId(): string {
    return this.topics.get(homeNamespace, 'work')?.id ?? ''
  }

  partition(index: number) {
    return this.shares.partition(name, this.topicId, index) ?? assert.fail('no partition')
  }

  async close(): Promise<void> {
    this.shares.close()
    this.groups.close()
    await this.opened.cell.close()
  }
}

/** What is known of one record, whatever the broker forgets. */
interface Fate {
  deliveries: number
  /** Somebody was told that its acceptance is durable. */
  accepted: boolean
  /** Somebody has said that it is done with it, which may have been lost. */
  finished: boolean
  /** The count that the next delivery must exceed, as far as this is known since the last crash. */
  count: number
}

/** Random work of three members over two partitions, checked against what they saw. */
class Work {
  readonly random: Random
  readonly stores: Stores
  readonly fates = [new Map<number, Fate>(), new Map<number, Fate>()]
  readonly held = new Map<string, Set<number>>()
  core: Core

  static async begin(seedOf: number): Promise<Work> {
    const stores = memoryStores()
    const core = await Core.open(stores, 0)
    await core.topics.create(homeNamespace, 'work', { partitions: 2 })
    await core.groups.configure(name, new Map([['shareStart', 'earliest']]))
    await core.shares.prepare(name, [core.topicId])
    return new Work(new Random(seedOf), stores, core)
  }

  constructor(random: Random, stores: Stores, core: Core) {
    this.random = random
    this.stores = stores
    this.core = core
  }

  heldBy(memberId: string, partition: number): Set<number> {
    const key = `${memberId}/${partition}`
    let held = this.held.get(key)
    if (held === undefined) this.held.set(key, (held = new Set()))
    return held
  }

  async step(): Promise<void> {
    const { random } = this
    const memberId = random.pick(members)
    switch (
      random.pick(['publish', 'take', 'take', 'settle', 'settle', 'settle', 'release', 'time', 'crash', 'close'])
    ) {
      case 'publish':
        return this.publish()
      case 'take':
        await this.take(memberId)
        return undefined
      case 'settle':
        return this.settle(memberId, random.below(2))
      case 'release':
        this.core.shares.release(name, memberId)
        return this.forget(memberId)
      case 'time':
        return this.core.clock.advance(random.between(1, lockMs / 2))
      case 'crash':
        return random.chance(0.2) ? this.restart(false) : undefined
      case 'close':
        return random.chance(0.2) ? this.restart(true) : undefined
    }
  }

  forget(memberId: string): void {
    for (const partition of [0, 1]) this.heldBy(memberId, partition).clear()
  }

  async publish(): Promise<void> {
    const partition = this.random.below(2)
    const { topics, opened } = this.core
    const stream = topics.get(homeNamespace, 'work')?.partitions[partition] ?? assert.fail()
    const count = this.random.between(1, 6)
    const { promise, resolve } = Promise.withResolvers<number>()
    const batch = makeBatch(Array.from({ length: count }, () => record('x'.repeat(this.random.between(1, 3000)))))
    opened.client.append(stream, batch, ({ baseOffset }) => resolve(baseOffset))
    const base = await promise
    for (let offset = base; offset < base + count; offset++) {
      this.fates[partition]?.set(offset, { deliveries: 0, accepted: false, finished: false, count: 0 })
    }
  }

  async take(memberId: string, recordsMax = this.random.between(1, 8)): Promise<number> {
    const partitions = [this.core.partition(0), this.core.partition(1)]
    const request = {
      partitions: this.random.chance(0.5) ? partitions : partitions.toReversed(),
      recordsMax,
      runRecords: this.random.between(1, 5),
      wholeBatches: this.random.chance(0.5),
      bytesMin: 1,
      bytesMax: this.random.pick([1000, 100_000]),
      waitMsMax: 0,
    }
    const { promise, resolve } = Promise.withResolvers<TakeResult>()
    this.core.shares.take(name, memberId, request, resolve)
    const { taken, release } = await promise
    let count = 0
    for (const { partition, error, runs } of taken) {
      assert.equal(error, undefined)
      for (const { first, last, deliveryCount } of runs) {
        for (let offset = first; offset <= last; offset++)
          this.delivered(memberId, partition.partition, offset, deliveryCount)
        count += last - first + 1
      }
    }
    if (!request.wholeBatches) assert(count <= recordsMax)
    release()
    return count
  }

  delivered(memberId: string, partition: number, offset: number, count: number): void {
    const fate = this.fates[partition]?.get(offset) ?? assert.fail(`no record ${offset} was published`)
    assert(!fate.accepted, `${partition}/${offset} was accepted and is delivered again`)
    assert(count > fate.count && count <= deliveryLimit, `${partition}/${offset}: ${count} after ${fate.count}`)
    fate.count = count
    fate.deliveries++
    for (const other of members) this.heldBy(other, partition).delete(offset)
    this.heldBy(memberId, partition).add(offset)
  }

  async settle(memberId: string, index: number, outcomeOf?: () => Settlement['outcome']): Promise<void> {
    const held = this.heldBy(memberId, index)
    const offsets = [...held].filter(() => outcomeOf !== undefined || this.random.chance(0.5))
    const pick = outcomeOf ?? (() => this.random.pick(['ack', 'ack', 'release', 'reject', 'extend'] as const))
    const settlements = offsets.map(offset => ({ first: offset, last: offset, outcome: pick(), leaseMs: lockMs }))
    const share = this.core.partition(index)
    if (settlements.length === 0) return
    if (!this.core.shares.settle(name, memberId, share, settlements)) {
      // Some lock had run out: the member finds out that it holds nothing for sure any more.
      for (const offset of offsets) held.delete(offset)
      return
    }
    const { seq } = share.cursor
    const { core } = this
    for (const { first, outcome } of settlements) {
      const fate = this.fates[index]?.get(first) ?? assert.fail()
      if (outcome !== 'extend') held.delete(first)
      if (outcome === 'ack' || outcome === 'reject') fate.finished = true
      if (outcome === 'ack') core.shares.whenDurable(seq, () => this.core === core && this.accepted(fate), undefined)
    }
    if (this.random.chance(0.7)) await turns(3)
  }

  accepted(fate: Fate): void {
    assert(!fate.accepted, 'accepted twice')
    fate.accepted = true
  }

  /** A broker that is killed loses what is not durable, the counts of deliveries among it. */
  async restart(isClean: boolean): Promise<void> {
    const { core } = this
    if (isClean) await core.close()
    else core.groups.close()
    this.core = await Core.open(this.stores, core.clock.nowMs())
    for (const memberId of members) this.forget(memberId)
    if (!isClean) for (const fates of this.fates) for (const fate of fates.values()) fate.count = 0
  }

  /** Everybody accepts what there is until nothing is left. */
  async finish(): Promise<void> {
    for (let idle = 0; idle < 3;) {
      await this.core.clock.advance(lockMs + 100)
      for (const memberId of members) {
        this.forget(memberId)
        idle = (await this.take(memberId, 1000)) === 0 ? idle + 1 : 0
        for (const partition of [0, 1]) await this.settle(memberId, partition, () => 'ack')
      }
      await turns(5)
    }
    for (const [index, fates] of this.fates.entries()) {
      const { cursor, end, lag } = this.core.partition(index)
      assert.deepEqual([cursor.floor, lag, cursor.inFlightCount], [end, 0, 0])
      assert.equal(end, fates.size)
      for (const [offset, { accepted, finished, deliveries }] of fates) {
        assert(accepted || finished || deliveries >= deliveryLimit, `${index}/${offset} was lost`)
      }
    }
    await this.core.close()
    await closeStores(this.stores)
  }
}

test(`every record is accepted once, or given up after the limit, whatever fails (SEED=${seed})`, async () => {
  for (let round = 0; round < 12; round++) {
    const work = await Work.begin(seed + round)
    for (let step = 0; step < 150; step++) await work.step()
    await work.finish()
  }
})
