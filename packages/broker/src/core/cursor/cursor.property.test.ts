import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { ConsumerId, Cursor, CursorStore, PendingRun, Settlement } from './cursor.ts'
import { bytesOf, copyOf, CursorLedger } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? 20)

interface Entry {
  state: 'in-flight' | 'returned'
  count: number
  consumer: ConsumerId
  deadlineMs: number
}

/** What a cursor should be: one entry for each pending offset. What is below `next` and has none is settled. */
class Model {
  next = 0
  acked = 0
  dropped = 0
  limit = 0
  readonly entries = new Map<number, Entry>()
  readonly consumers = new Map<ConsumerId, 'session' | 'lasting'>()

  sorted(): [number, Entry][] {
    return [...this.entries].sort(([a], [b]) => a - b)
  }
  floor(): number {
    let floor = this.next
    for (const offset of this.entries.keys()) if (offset < floor) floor = offset
    return floor
  }
  heldBy(consumer: ConsumerId, first: number, last: number): number[] {
    const held = this.sorted().filter(
      ([offset, entry]) => offset >= first && offset <= last && entry.state === 'in-flight',
    )
    return held.filter(([, entry]) => entry.consumer === consumer).map(([offset]) => offset)
  }
  settle(offsets: readonly number[], how: 'acked' | 'dropped'): void {
    for (const offset of offsets) this.entries.delete(offset)
    this[how] += offsets.length
  }
  giveBack(offsets: readonly number[], isCounted: boolean): void {
    for (const offset of offsets) {
      const entry = this.entries.get(offset)!
      if (isCounted && this.limit > 0 && entry.count >= this.limit) this.settle([offset], 'dropped')
      else {
        const count = entry.count - (isCounted ? 0 : 1)
        this.entries.set(offset, { state: 'returned', count, consumer: -1, deadlineMs: Infinity })
      }
    }
  }
  leave(consumer: ConsumerId, isCounted: boolean): void {
    this.giveBack(this.heldBy(consumer, 0, Infinity), isCounted)
    this.consumers.delete(consumer)
  }
  acquire(consumer: ConsumerId, max: number, from: number, to: number, deadlineMs: number): [number, number][] {
    const taken: [number, number][] = []
    const take = (offset: number, count: number): void => {
      this.entries.set(offset, { state: 'in-flight', count, consumer, deadlineMs })
      taken.push([offset, count])
    }
    for (const [offset, { state, count }] of this.sorted()) {
      if (taken.length >= max || state !== 'returned' || offset < from || offset >= to) continue
      if (this.limit > 0 && count >= this.limit) this.settle([offset], 'dropped')
      else take(offset, count + 1)
    }
    if (from > this.next) return taken
    while (this.next < to && taken.length < max) take(this.next++, 1)
    return taken
  }
  runs(): PendingRun[] {
    const runs: PendingRun[] = []
    for (const [offset, { state, count, consumer, deadlineMs }] of this.sorted()) {
      const run: PendingRun = { first: offset, last: offset, state, deliveryCount: count, consumer, deadlineMs }
      const before = runs.at(-1)
      if (before?.last === offset - 1 && sameRun(before, run)) before.last = offset
      else runs.push(run)
    }
    return runs
  }
}

const sameRun = (a: PendingRun, b: PendingRun): boolean =>
  a.state === b.state &&
  a.deliveryCount === b.deliveryCount &&
  a.consumer === b.consumer &&
  a.deadlineMs === b.deadlineMs

/** Drives a cursor and its model with the same random operations. */
class Trial {
  readonly random: Random
  readonly ledger = new CursorLedger()
  readonly model = new Model()
  store: CursorStore = this.ledger.open()
  cursor: Cursor
  end = 0
  /** How wide the ranges are: some trials stay within a chunk, others cross many. */
  readonly width: number
  readonly told = { dropped: 0, expired: 0, floor: 0 }

  constructor(random: Random) {
    this.random = random
    this.width = random.pick([5, 60, 3000])
    const start = random.pick([0, 4090, 2 ** 40])
    this.end = start
    this.cursor = this.store.create(77, start)
    this.model.next = start
    this.watch()
  }

  watch(): void {
    this.cursor.deliveryLimit = this.model.limit
    this.told.floor = this.cursor.floor
    this.cursor.watch({
      dropped: (first, last) => {
        this.told.dropped += last - first + 1
      },
      expired: (_consumer, first, last) => {
        this.told.expired += last - first + 1
      },
      floorMoved: floor => {
        this.told.floor = floor
      },
    })
  }

  consumer(): ConsumerId {
    const known = [...this.model.consumers.keys()]
    if (known.length > 0 && !this.random.chance(0.1)) return this.random.pick(known)
    const kind = this.random.pick(['session', 'lasting'] as const)
    const id = this.cursor.join(`consumer ${this.ledger.factCount}`, kind)
    assert(!this.model.consumers.has(id))
    this.model.consumers.set(id, kind)
    return id
  }

  offset(floor = this.model.floor()): number {
    const low = floor - 3
    return Math.max(0, low + this.random.below(this.end - low + 5))
  }

  range(): [number, number] {
    const first = this.random.chance(0.2) ? 0 : this.offset()
    return [
      first,
      this.random.chance(0.3) ? first : first + this.random.below(this.random.chance(0.1) ? 1e9 : this.width),
    ]
  }

  deadline(leaseMs: number | undefined): number {
    return leaseMs === undefined ? Infinity : this.ledger.clock.nowMs() + leaseMs
  }

  step(): void {
    const { random } = this
    this.end += random.below(this.width)
    const action = random.pick(actions)
    this[action]()
  }

  acquire(): void {
    const consumer = this.consumer()
    const max = this.random.below(this.width) + 1
    const from = this.random.chance(0.7) ? 0 : this.offset()
    const to = this.random.chance(0.7) ? this.end : Math.min(this.end, from + this.random.below(this.width))
    const leaseMs = this.random.pick([undefined, 300, 5_000])
    const taken: [number, number][] = []
    const next = this.cursor.nextAvailable()
    const count = this.cursor.acquire(
      consumer,
      { max, from, to, leaseMs },
      {
        run(first, last, deliveryCount) {
          for (let offset = first; offset <= last; offset++) taken.push([offset, deliveryCount])
        },
      },
    )
    assert.deepEqual(taken, this.model.acquire(consumer, max, from, to, this.deadline(leaseMs)))
    assert.equal(count, taken.length)
    if (from === 0 && taken.length > 0 && this.model.limit === 0) assert.equal(taken[0]![0], next)
  }

  take(): void {
    const max = this.random.below(this.width) + 1
    const from = this.random.chance(0.7) ? 0 : this.offset()
    const taken: [number, number][] = []
    const sink = {
      run(first: number, last: number, deliveryCount: number): void {
        for (let offset = first; offset <= last; offset++) taken.push([offset, deliveryCount])
      },
    }
    assert.equal(this.cursor.take({ max, from, to: this.end }, sink), taken.length)
    assert.deepEqual(taken, this.model.acquire(0, max, from, this.end, Infinity))
    this.model.settle(
      taken.map(([offset]) => offset),
      'acked',
    )
  }

  ack(): void {
    const consumer = this.consumer()
    const [first, last] = this.range()
    const held = this.model.heldBy(consumer, first, last)
    assert.equal(this.cursor.holds(consumer, first, last), held.length === last - first + 1)
    assert.equal(this.cursor.ack(consumer, first, last), held.length)
    this.model.settle(held, 'acked')
  }

  reject(): void {
    const consumer = this.consumer()
    const [first, last] = this.range()
    const held = this.model.heldBy(consumer, first, last)
    assert.equal(this.cursor.reject(consumer, first, last), held.length)
    this.model.settle(held, 'dropped')
  }

  release(): void {
    const consumer = this.consumer()
    const [first, last] = this.range()
    const held = this.model.heldBy(consumer, first, last)
    const how = this.random.pick(['counted', 'uncounted'] as const)
    assert.equal(this.cursor.release(consumer, first, last, how), held.length)
    this.model.giveBack(held, how === 'counted')
  }

  extend(): void {
    const consumer = this.consumer()
    const [first, last] = this.range()
    const held = this.model.heldBy(consumer, first, last)
    assert.equal(this.cursor.extend(consumer, first, last, 700), held.length)
    for (const offset of held) this.model.entries.get(offset)!.deadlineMs = this.deadline(700)
  }

  claim(): void {
    const consumer = this.consumer()
    const [first, last] = this.range()
    const found = this.model
      .sorted()
      .filter(([offset, { state }]) => state === 'in-flight' && offset >= first && offset <= last)
    assert.equal(this.cursor.claim(consumer, first, last, 900), found.length)
    for (const [, entry] of found)
      Object.assign(entry, { consumer, count: entry.count + 1, deadlineMs: this.deadline(900) })
  }

  settle(): void {
    const consumer = this.consumer()
    const held = this.model.heldBy(consumer, 0, Infinity).filter(() => this.random.chance(0.3))
    const steps: Settlement[] = held.map(offset => ({
      first: offset,
      last: offset,
      ...this.random.pick([
        { outcome: 'ack' as const },
        { outcome: 'reject' as const },
        { outcome: 'release' as const },
        { outcome: 'extend' as const, leaseMs: 1_000 },
      ]),
    }))
    if (this.random.chance(0.3) && steps.length > 0) {
      const before = bytesOf(this.ledger.machine(this.cursor.id)!)
      const broken = this.random.pick([this.model.next, held[0]!])
      assert(!this.cursor.settle(consumer, [...steps, { first: broken, last: broken, outcome: 'ack' }]))
      assert.deepEqual(bytesOf(this.ledger.machine(this.cursor.id)!), before)
      return
    }
    assert(this.cursor.settle(consumer, this.random.shuffle([...steps])))
    for (const { first, outcome } of steps) {
      if (outcome === 'ack') this.model.settle([first], 'acked')
      else if (outcome === 'reject') this.model.settle([first], 'dropped')
      else if (outcome === 'release') this.model.giveBack([first], true)
      else this.model.entries.get(first)!.deadlineMs = this.deadline(1_000)
    }
  }

  drop(): void {
    const [first, last] = this.range()
    const { next } = this.model
    const end = Math.min(last, this.end)
    const offsets = [...this.model.entries.keys()].filter(offset => offset >= first && offset <= end)
    if (first <= next) while (this.model.next <= end) offsets.push(this.model.next++)
    assert.equal(this.cursor.drop(first, end, 'gap'), offsets.length)
    this.model.settle(offsets, 'dropped')
  }

  purge(): void {
    if (!this.random.chance(0.2)) return
    const end = this.random.chance(0.5) ? this.end : this.offset()
    const offsets = this.model.sorted().filter(([offset, { state }]) => state === 'returned' && offset < end)
    let count = offsets.length + Math.max(0, end - this.model.next)
    assert.equal(this.cursor.purge(end), count)
    this.model.settle(
      offsets.map(([offset]) => offset),
      'dropped',
    )
    count -= offsets.length
    this.model.next += count
    this.model.dropped += count
  }

  move(): void {
    if (!this.random.chance(0.1)) return
    const offset = this.random.chance(0.5) ? this.end : this.offset()
    this.cursor.move(offset)
    this.model.entries.clear()
    this.model.next = offset
    this.end = Math.max(this.end, offset)
  }

  leave(): void {
    if (!this.random.chance(0.3)) return
    const consumer = this.consumer()
    const how = this.random.pick(['counted', 'uncounted'] as const)
    this.cursor.leave(consumer, how)
    this.cursor.leave(consumer, how)
    this.model.leave(consumer, how === 'counted')
  }

  limit(): void {
    if (this.random.chance(0.1)) this.cursor.deliveryLimit = this.model.limit = this.random.pick([0, 2, 5])
  }

  /** To a whole tick of the wheel, so that the model need not know when exactly it turns. */
  pass(): void {
    const ms = this.random.pick([100, 400, 2_000])
    const before = this.told.expired
    this.ledger.clock.pass(ms)
    const now = this.ledger.clock.nowMs()
    const due = this.model.sorted().filter(([, { deadlineMs }]) => deadlineMs <= now)
    this.model.giveBack(
      due.map(([offset]) => offset),
      true,
    )
    assert.equal(this.told.expired - before, due.length)
  }

  restart(): void {
    if (!this.random.chance(0.2)) return
    this.store.close()
    this.store = this.ledger.restart()
    const cursor = this.store.open(this.cursor.id)
    assert(cursor)
    this.cursor = cursor
    this.watch()
    const { limit } = this.model
    this.model.limit = 0
    for (const [id, kind] of [...this.model.consumers]) if (kind === 'session') this.model.leave(id, true)
    this.model.limit = limit
  }

  check(): void {
    const { cursor, model } = this
    const floor = model.floor()
    assert.equal(cursor.floor, floor)
    assert.equal(this.told.floor, cursor.floor)
    assert.equal(cursor.next, model.next)
    assert.deepEqual([cursor.ackedCount, cursor.droppedCount], [model.acked, model.dropped])
    const states = [...model.entries.values()].filter(({ state }) => state === 'returned').length
    assert.deepEqual([cursor.returnedCount, cursor.inFlightCount], [states, model.entries.size - states])
    assert.equal(cursor.settledAboveFloor, cursor.next - cursor.floor - model.entries.size)
    for (let count = 0; count < 5; count++) {
      const offset = this.offset(floor)
      const entry = model.entries.get(offset)
      assert.equal(cursor.stateOf(offset), offset >= model.next ? 'ready' : (entry?.state ?? 'settled'))
      assert.equal(cursor.deliveryCount(offset), entry?.count ?? 0)
      assert.equal(cursor.holder(offset), entry?.state === 'in-flight' ? entry.consumer : undefined)
    }
  }

  checkAll(): void {
    assert.deepEqual([...this.cursor.pending()], this.model.runs())
    const counts = new Map<ConsumerId, number>()
    for (const { consumer } of this.model.entries.values()) counts.set(consumer, (counts.get(consumer) ?? 0) + 1)
    const consumers = [...this.cursor.consumers()].map(({ id, kind, inFlightCount }) => [id, kind, inFlightCount])
    assert.deepEqual(
      consumers,
      [...this.model.consumers].map(([id, kind]) => [id, kind, counts.get(id) ?? 0]),
    )
    const { id } = this.cursor
    const [replayed, loaded] = this.ledger.shadows.get(id)!
    const bytes = bytesOf(this.ledger.machine(id)!)
    assert.deepEqual(bytesOf(replayed), bytes, 'the facts alone lead to the same state')
    assert.deepEqual(bytesOf(loaded), bytes, 'a checkpoint and the facts after it lead to the same state')
    this.ledger.shadows.set(id, [replayed, copyOf(loaded)])
  }
}

const actions = [
  ...([
    'acquire',
    'acquire',
    'acquire',
    'ack',
    'ack',
    'ack',
    'ack',
    'release',
    'reject',
    'extend',
    'claim',
    'settle',
  ] as const),
  ...(['take', 'drop', 'purge', 'move', 'leave', 'limit', 'pass', 'restart'] as const),
]

for (let trial = 0; trial < 9; trial++) {
  test(`a cursor is what a table of all messages would be, through restarts (SEED=${seed}, ${trial})`, () => {
    const run = new Trial(new Random(seed * 1000 + trial))
    for (let step = 0; step < 400; step++) {
      run.step()
      run.check()
      if (step % (run.width > 1000 ? 50 : 10) === 0) run.checkAll()
    }
    run.checkAll()
  })
}
