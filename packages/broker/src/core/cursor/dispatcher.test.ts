import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { ManualClock, memoryStores, openCell, publish, turns, type TestCell } from '../../cell/testing/cells.ts'
import { TimerWheel } from '../timers/wheel.ts'
import type { Cursor } from './cursor.ts'
import { Cursors } from './cursors.ts'
import { Dispatcher, type DispatcherOptions } from './dispatcher.ts'
import { CursorMachine } from './machine.ts'
import { SharedPrefetch, type SubscribeOptions, type Subscription } from './subscription.ts'

interface Bench extends TestCell {
  clock: ManualClock
  cursors: Cursors
  cursor: Cursor
  dispatcher: Dispatcher
  /** What is published from now on continues the numbers: "0", "1", … */
  publish(count: number): Promise<void>
  close(): Promise<void>
}

async function bench(options: Partial<DispatcherOptions> = {}): Promise<Bench> {
  const clock = new ManualClock()
  const cell = await openCell(memoryStores(), { clock, machines: { cursor: () => new CursorMachine() } })
  const cursors = new Cursors(cell.cell, new TimerWheel(clock))
  const cursor = cursors.create(cell.cell.define('stream'), 0)
  const dispatcher = new Dispatcher({
    cursor,
    cell: cell.client,
    soon: run => void setImmediate(run),
    inFlightMax: 1_000,
    passedOverMax: 1_000,
    unreadable: (offset, error) => assert.fail(`${error} at ${offset}`),
    ...options,
  })
  let next = 0
  return {
    ...cell,
    clock,
    cursors,
    cursor,
    dispatcher,
    async publish(count) {
      for (let left = count; left > 0; left--) await publish(cell.client, cursor.stream, String(next++), clock.nowMs())
      await turns()
    },
    async close() {
      dispatcher.close()
      cursors.close()
      await cell.cell.close()
    },
  }
}

/** A consumer that notes what it is given. */
class Taker {
  readonly given: string[] = []
  readonly events: string[] = []
  readonly subscription: Subscription

  constructor({ dispatcher }: { dispatcher: Dispatcher }, options: SubscribeOptions = {}) {
    const subscription = dispatcher.subscribe(options, {
      deliver: (record, deliveryCount) => {
        assert.equal(record.value?.toString(), String(record.offset))
        this.given.push(deliveryCount === 1 ? `${record.offset}` : `${record.offset}×${deliveryCount}`)
      },
      activated: () => void this.events.push('activated'),
      ended: () => void this.events.push('ended'),
    })
    assert(subscription)
    this.subscription = subscription
  }

  get text(): string {
    return this.given.join(' ')
  }
}

test('who goes while it waits for shared room leaves the row', async () => {
  const at = await bench()
  const shared = new SharedPrefetch(1)
  const holder = new Taker(at, { shared })
  await at.publish(3)
  for (let count = 0; count < 50; count++) {
    const passing = new Taker(at, { shared })
    await turns(1)
    assert(shared.rowLength > 0)
    passing.subscription.cancel()
  }
  assert(shared.rowLength <= 1)
  const next = new Taker(at, { shared })
  holder.subscription.ack(0)
  await turns()
  assert.deepEqual([holder.given.length + next.given.length, shared.tally.count], [2, 1])
  await at.close()
})

test('consumers that come and go where there is nothing to take leave nothing behind', async () => {
  const at = await bench()
  const steady = new Taker(at)
  for (let count = 0; count < 500; count++) {
    const passing = [new Taker(at), new Taker(at, { priority: count })]
    await turns(1)
    for (const { subscription } of passing) subscription.cancel()
  }
  assert(at.dispatcher.lineLength <= 4, `${at.dispatcher.lineLength} are in line`)
  const others = [new Taker(at, { prefetch: 1 }), new Taker(at, { prefetch: 1 })]
  others[0]?.subscription.cancel()
  await at.publish(4)
  assert.deepEqual([steady.given.length, others[0]?.text, others[1]?.given.length], [3, '', 1])
  for (const { subscription } of [steady, ...others]) subscription.cancel()
  await turns()
  assert.equal(at.dispatcher.lineLength, 0)
  await at.close()
})

test('who asks for a message gets the next one when the first becomes too old just then', async () => {
  const asked = new Map<number, number>()
  const at = await bench({
    // Not yet when it is looked at, but when it is given.
    isExpired({ offset }) {
      asked.set(offset, (asked.get(offset) ?? 0) + 1)
      return offset === 0 && asked.get(offset) === 2
    },
  })
  await at.publish(2)
  const one = new Taker(at, { passive: true })
  const pulled: (number | undefined)[] = []
  for (let times = 0; times < 2; times++) one.subscription.pull(record => void pulled.push(record?.offset))
  await turns()
  assert.deepEqual(pulled, [1, undefined])
  assert.deepEqual([at.cursor.inFlightCount, at.cursor.droppedCount], [1, 1])
  await at.close()
})

test('messages go to consumers in turns, and none gets more than its prefetch', async () => {
  const at = await bench()
  const [one, two] = [new Taker(at, { prefetch: 2 }), new Taker(at, { prefetch: 3 })]
  for (let count = 0; count < 7; count++) await at.publish(1)
  assert.equal(one.text, '0 2')
  assert.equal(two.text, '1 3 4')
  one.subscription.ack(2)
  await turns()
  assert.equal(one.text, '0 2 5')
  two.subscription.prefetch = 4
  await turns()
  assert.equal(two.text, '1 3 4 6')
  await at.close()
})

test('a shallow backlog is shared, a deep one is given out in runs', async () => {
  const at = await bench()
  await at.publish(9)
  const takers = [0, 1, 2].map(() => new Taker(at))
  await turns()
  for (const { given } of takers) assert(given.length > 0)
  assert.equal(takers.flatMap(({ given }) => given).length, 9)
  await at.publish(300)
  assert.equal(takers.flatMap(({ given }) => given).length, 309)
  await at.close()
})

test('what was returned comes before what is ready, in the order of the stream, and is counted', async () => {
  const at = await bench()
  await at.publish(10)
  const one = new Taker(at, { prefetch: 6 })
  await turns()
  assert.equal(one.text, '0 1 2 3 4 5')
  one.subscription.release(4)
  one.subscription.release(1)
  one.subscription.release(2, 2, 'uncounted')
  one.subscription.cancel()
  const two = new Taker(at, { prefetch: 8 })
  await turns()
  assert.equal(two.text, '0×2 1×2 2 3×2 4×2 5×2 6 7')
  await at.close()
})

test('consumers of a higher priority are served first, as long as they have room', async () => {
  const at = await bench()
  const [low, high, middle] = [0, 10, 5].map(priority => new Taker(at, { priority, prefetch: 2 }))
  await at.publish(5)
  assert.deepEqual([high?.text, middle?.text, low?.text], ['0 1', '2 3', '4'])
  high?.subscription.ack(0, 1)
  await at.publish(3)
  assert.deepEqual([high?.text, middle?.text, low?.text], ['0 1 5 6', '2 3', '4 7'])
  await at.close()
})

test('an exclusive consumer is alone, and only one is active where only one may be', async () => {
  const at = await bench()
  const alone = new Taker(at, { exclusive: true })
  const nobody = { deliver: () => assert.fail('delivered') }
  assert.equal(at.dispatcher.subscribe({}, nobody), undefined)
  assert(at.dispatcher.subscribe({ passive: true }, nobody), 'who only pulls disturbs nobody')
  alone.subscription.cancel()
  const other = new Taker(at)
  assert.equal(at.dispatcher.subscribe({ exclusive: true }, nobody), undefined)
  assert.equal(at.dispatcher.consumerCount, 1)
  other.subscription.cancel()
  await at.close()

  const single = await bench({ singleActive: true })
  const [first, second, third] = [new Taker(single), new Taker(single), new Taker(single, { priority: 1 })]
  await single.publish(3)
  assert.equal(first.text, '0 1 2')
  first.subscription.ack(0)
  first.subscription.cancel()
  await turns()
  assert.deepEqual([second.text, third.text], ['', '1×2 2×2'])
  assert.deepEqual([first.events, second.events, third.events], [['activated'], [], ['activated']])
  await single.close()
})

test('credit is used up by deliveries and raised by grants; who is paused is left alone', async () => {
  const at = await bench()
  await at.publish(10)
  const one = new Taker(at, { credit: 2 })
  await turns()
  one.subscription.ack(0, 1)
  await turns()
  assert.equal(one.text, '0 1')
  one.subscription.grant(1)
  await turns()
  assert.equal(one.text, '0 1 2')
  one.subscription.pause()
  one.subscription.grant(2)
  await turns()
  assert.equal(one.text, '0 1 2')
  one.subscription.resume()
  await turns()
  assert.equal(one.text, '0 1 2 3 4')
  assert.equal(one.subscription.credit, 0)
  await at.close()
})

test('a shared limit holds over several cursors', async () => {
  const [at, other] = [await bench(), await bench()]
  const shared = new SharedPrefetch(3)
  const [here, there] = [new Taker(at, { shared }), new Taker(other, { shared, prefetch: 2 })]
  await at.publish(2)
  await other.publish(4)
  assert.deepEqual([here.text, there.text], ['0 1', '0'])
  here.subscription.ack(0)
  await turns()
  assert.equal(there.text, '0 1')
  shared.max = 0
  there.subscription.ack(0)
  await turns()
  assert.equal(there.text, '0 1 2')
  await at.close()
  await other.close()
})

test('a shared limit starves nobody: who has nothing to take does not keep others from it', async () => {
  const benches = await Promise.all(Array.from({ length: 12 }, () => bench()))
  const shared = new SharedPrefetch(2)
  const takers = benches.map(at => new Taker(at, { shared }))
  // Every third has messages.
  const busy = takers.filter((_, at) => at % 3 === 0)
  for (const [at, each] of benches.entries()) if (at % 3 === 0) await each.publish(5)
  for (let left = 5 * busy.length; left > 0;) {
    await turns()
    assert.equal(shared.tally.count, Math.min(2, left))
    const holding = takers.filter(({ subscription }) => subscription.heldCount > 0)
    assert(holding.length > 0, `${left} are left, and nobody is given any`)
    for (const { subscription } of holding) left -= subscription.ack(0, 9)
  }
  assert.deepEqual(new Set(busy.map(({ text }) => text)), new Set(['0 1 2 3 4']))
  assert.equal(shared.tally.count, 0)
  // What the queue takes with it is not held any more.
  await benches[1]!.publish(3)
  assert.equal(shared.tally.count, 2)
  benches[1]!.dispatcher.close()
  assert.equal(shared.tally.count, 0)
  await benches[2]!.publish(1)
  assert.equal(takers[2]!.text, '0')
  takers[2]!.subscription.cancel()
  assert.equal(shared.tally.count, 0)
  for (const each of benches) await each.close()
})

test('all consumers together hold no more than is allowed', async () => {
  const at = await bench({ inFlightMax: 5 })
  await at.publish(10)
  const [one, two] = [new Taker(at), new Taker(at)]
  await turns()
  assert.equal(at.cursor.inFlightCount, 5)
  one.subscription.ack(0, 9)
  two.subscription.ack(0, 9)
  await turns()
  assert.equal(at.cursor.inFlightCount, 5)
  assert.equal(at.cursor.next, 10)
  await at.close()
})

test('a lease that runs out makes room, and the message goes to the next', async () => {
  const at = await bench()
  await at.publish(3)
  const [slow, other] = [new Taker(at, { leaseMs: 1_000, prefetch: 1 }), new Taker(at, { prefetch: 1 })]
  await turns()
  assert.deepEqual([slow.text, other.text], ['0', '1'])
  other.subscription.ack(1)
  await turns()
  assert.equal(other.text, '1 2')
  await at.clock.advance(1_200)
  await turns()
  assert.equal(slow.text, '0 0×2')
  await at.close()
})

test('for some, given out is acknowledged', async () => {
  const at = await bench()
  const taker = new Taker(at, { settled: true })
  await at.publish(5)
  assert.equal(taker.text, '0 1 2 3 4')
  assert.deepEqual([at.cursor.floor, at.cursor.ackedCount, at.cursor.inFlightCount], [5, 5, 0])
  await at.close()
})

test('pull gives one message or says that there is none, also from what was flushed', async () => {
  const at = await bench()
  await at.publish(3)
  await at.cell.checkpointer.flush()
  const { subscription } = new Taker(at, { passive: true })
  const pulled: (number | undefined)[] = []
  const pull = (): void => subscription.pull(record => void pulled.push(record?.offset))
  for (let count = 0; count < 5; count++) pull()
  await turns(50)
  assert.deepEqual(pulled, [0, 1, 2, undefined, undefined])
  subscription.release(1)
  pull()
  pull()
  await turns(50)
  subscription.cancel()
  pull()
  await turns()
  assert.deepEqual(pulled.slice(5), [1, undefined, undefined])
  assert.equal(at.dispatcher.consumerCount, 0)
  await at.close()
})

test('messages that are too old or that the stream has trimmed are dropped on the way', async () => {
  const dropped: string[] = []
  const at = await bench({ isExpired: record => record.offset % 3 === 1 })
  at.cursor.watch({ dropped: (first, last, reason) => void dropped.push(`${first}-${last} ${reason}`) })
  await at.publish(8)
  await at.client.trim(at.cursor.stream, 2)
  const taker = new Taker(at)
  await turns()
  assert.equal(taker.text, '2 3 5 6')
  assert.deepEqual(dropped, ['0-1 trimmed', '4-4 expired', '7-7 expired'])
  await at.close()
})

test('a consumer that goes while it is told of messages gets no more of them', async () => {
  const at = await bench()
  const given: number[] = []
  const subscription = at.dispatcher.subscribe(
    {},
    {
      deliver(record) {
        given.push(record.offset)
        if (given.length === 3) subscription?.cancel()
      },
    },
  )
  await at.publish(1)
  subscription?.pause()
  await at.publish(9)
  subscription?.resume()
  await turns()
  assert.deepEqual(given, [0, 1, 2])
  assert.deepEqual([at.cursor.inFlightCount, at.cursor.nextAvailable()], [0, 0])
  await at.close()
})

test('those who consume are told when it is over', async () => {
  const at = await bench()
  const taker = new Taker(at)
  at.dispatcher.close()
  assert.deepEqual(taker.events, ['ended'])
  taker.subscription.cancel()
  await at.publish(1)
  assert.equal(taker.text, '')
  await at.close()
})

const seed = Number(process.env['SEED'] ?? 31)

test(`whatever consumers do, every message is acknowledged, dropped, held or still there, once (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const at = await bench({ inFlightMax: 60 })
  at.cursor.deliveryLimit = 4
  const acked = new Set<number>()
  const dropped = new Set<number>()
  at.cursor.watch({
    dropped(first, last) {
      for (let offset = first; offset <= last; offset++) dropped.add(offset)
    },
  })
  const shared = new SharedPrefetch(20)
  const takers: { subscription: Subscription; held: Set<number> }[] = []
  const join = (): void => {
    const held = new Set<number>()
    const subscription = at.dispatcher.subscribe(
      {
        prefetch: random.pick([0, 1, 7]),
        priority: random.below(3),
        ...(random.chance(0.3) ? { shared } : {}),
        ...(random.chance(0.3) ? { leaseMs: 500 } : {}),
      },
      { deliver: record => void held.add(record.offset) },
    )
    if (subscription) takers.push({ subscription, held })
  }
  let published = 0
  for (let step = 0; step < 400; step++) {
    const count = random.below(12)
    await at.publish(count)
    published += count
    if (random.chance(0.1)) await at.cell.checkpointer.flush()
    if (random.chance(0.1)) await at.clock.advance(700)
    if (takers.length < 6) join()
    const taker = random.pick(takers)
    const { subscription, held } = taker
    for (const offset of held) {
      if (random.chance(0.4)) continue
      held.delete(offset)
      if (random.chance(0.8)) {
        if (subscription.ack(offset) === 1) {
          assert(!acked.has(offset) && !dropped.has(offset))
          acked.add(offset)
        }
      } else if (random.chance(0.5)) subscription.release(offset)
      else subscription.reject(offset)
    }
    if (random.chance(0.05)) {
      subscription.cancel()
      takers.splice(takers.indexOf(taker), 1)
    }
    await turns(5)
    const { cursor } = at
    const pending = [...cursor.pending()].reduce((sum, { first, last }) => sum + last - first + 1, 0)
    assert.equal(cursor.ackedCount, acked.size)
    assert.equal(cursor.droppedCount, dropped.size)
    assert.equal(acked.size + dropped.size + pending + (published - cursor.next), published)
    assert(cursor.inFlightCount <= 60)
  }
  assert(acked.size > 1_000 && dropped.size > 10, `${acked.size} acknowledged, ${dropped.size} dropped`)
  while (takers.length > 0) takers.pop()?.subscription.cancel()
  const rest = new Taker(at, { settled: true })
  await turns(500)
  assert.equal(at.cursor.floor, published)
  assert(rest.given.length > 0)
  await at.close()
})
