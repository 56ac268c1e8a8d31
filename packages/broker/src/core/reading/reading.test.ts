import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import {
  closeStores,
  ManualClock,
  memoryStores,
  openCell,
  turns,
  type Stores,
  type TestCell,
} from '../../cell/testing/cells.ts'
import { attributeBits, makeBatch } from '../../storage/record-batch.ts'
import { Cursors } from '../cursor/cursors.ts'
import { CursorMachine } from '../cursor/machine.ts'
import { DirectoryMachine } from '../directory.ts'
import { Queues } from '../queues/queues.ts'
import { MembershipsMachine } from '../groups/assigned/machine.ts'
import { Groups } from '../groups/groups.ts'
import { GroupsMachine } from '../groups/machine.ts'
import { defaultLimits } from '../limits.ts'
import { ShareGroupsMachine } from '../share/machine.ts'
import { ShareGroups } from '../share/share-groups.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { homeNamespace } from '../topic.ts'
import { Topics } from '../topics.ts'
import type { ReadFrom } from './log-reader.ts'
import { TopicConsumers } from './topic-consumers.ts'

const group = { namespace: homeNamespace, group: 'workers' }

class Bench {
  readonly opened: TestCell
  readonly clock: ManualClock
  readonly topics: Topics
  readonly shares: ShareGroups
  readonly consumers: TopicConsumers

  static async open(stores: Stores = memoryStores(), clock = new ManualClock()): Promise<Bench> {
    const machines = {
      directory: () => new DirectoryMachine(),
      groups: () => new GroupsMachine(),
      memberships: () => new MembershipsMachine(),
      shareGroups: () => new ShareGroupsMachine(),
      cursor: () => new CursorMachine(),
    }
    const opened = await openCell(stores, { clock, machines })
    return new Bench(opened, clock, await Topics.open(opened.cell, { limits: defaultLimits, random: new Random(1) }))
  }

  constructor(opened: TestCell, clock: ManualClock, topics: Topics) {
    const { cell: ledger, client: cell } = opened
    this.opened = opened
    this.clock = clock
    this.topics = topics
    const settings = { shareDeliveryLimit: 3 }
    const groups = new Groups({ ledger, random: new Random(2), limits: defaultLimits, topics, settings })
    const wheel = new TimerWheel(clock)
    const cursors = new Cursors(ledger, wheel)
    const random = new Random(3)
    this.shares = new ShareGroups({ ledger, cell, cursors, topics, groups, limits: defaultLimits })
    const soon = (run: () => void): void => void setImmediate(run)
    const log = (_level: string, message: string): never => assert.fail(message)
    const queues = new Queues({ ledger, cell, cursors, wheel, random, limits: defaultLimits, soon, log })
    this.consumers = new TopicConsumers({ ledger, cell, topics, shareGroups: this.shares, queues, soon })
  }

  get topic() {
    return this.topics.get(homeNamespace, 'log') ?? assert.fail('no topic')
  }

  async append(partition: number, values: string[], options: Parameters<typeof makeBatch>[1] = {}): Promise<void> {
    const stream = this.topic.partitions[partition] ?? assert.fail('no partition')
    const records = values.map(value => ({ value: Buffer.from(value), timestampMs: this.clock.nowMs() }))
    const batch = makeBatch(records, options)
    const { error } = await new Promise<{ error?: string }>(done => this.opened.client.append(stream, batch, done))
    assert.equal(error, undefined)
  }

  async read(from: ReadFrom, prefetch = 0) {
    const seen = new Seen()
    return { seen, reader: await this.consumers.read(this.topic, from, { prefetch }, seen) }
  }

  async share(prefetch = 0, isSettled = false) {
    const seen = new Seen()
    const options = { name: 'test', prefetch, isSettled }
    return { seen, reader: await this.consumers.share(this.topic, group, options, seen) }
  }
}

class Seen {
  readonly values: string[] = []
  readonly tickets: number[] = []
  readonly counts: number[] = []
  hasEnded = false
  deliver(record: { value: Buffer | null }, _partition: number, ticket: number, deliveryCount: number): void {
    this.values.push(String(record.value))
    this.tickets.push(ticket)
    this.counts.push(deliveryCount)
  }
  ended(): void {
    this.hasEnded = true
  }
}

test('every reader of a log gets every record, from where it begins, and holds no more than it may', async () => {
  const bench = await Bench.open()
  await bench.topics.create(homeNamespace, 'log')
  await bench.append(0, ['a', 'b'])
  await bench.clock.advance(1000)
  const timeMs = bench.clock.nowMs()
  await bench.append(0, ['c', 'd'])
  const begins: [ReadFrom, string[]][] = [
    ['first', ['a', 'b', 'c', 'd', 'e']],
    ['next', ['e']],
    ['last', ['d', 'e']],
    [{ offset: 1 }, ['b', 'c', 'd', 'e']],
    [{ timeMs }, ['c', 'd', 'e']],
    [{ timeMs: timeMs + 5000 }, ['e']],
  ]
  const readers = await Promise.all(begins.map(([from]) => bench.read(from)))
  const { seen, reader } = await bench.read('first', 2)
  await bench.append(0, ['e'])
  await turns(50)
  for (const [index, [, values]] of begins.entries()) assert.deepEqual(readers[index]?.seen.values, values)
  assert.deepEqual(seen.values, ['a', 'b'])
  assert.equal(reader.ack(0, 1), 2)
  await turns(50)
  assert.deepEqual([seen.values, reader.heldCount], [['a', 'b', 'c', 'd'], 2])
  reader.cancel()
  reader.ack(2, 3)
  await bench.topics.remove(homeNamespace, 'log')
  await turns(50)
  assert(readers.every(each => each.seen.hasEnded))
  assert(!seen.hasEnded && seen.values.length === 4)
  await bench.opened.cell.close()
})

test('a reader of a log goes through all partitions, those that come later too, and what retention took is passed over', async () => {
  const bench = await Bench.open()
  await bench.topics.create(homeNamespace, 'log', { partitions: 2 })
  await bench.append(0, ['a0', 'a1', 'a2'])
  await bench.append(1, ['b0'])
  await bench.opened.client.trim(bench.topic.partitions[0] ?? -1, 2)
  const { seen } = await bench.read('first')
  await turns(50)
  assert.deepEqual(seen.values.sort(), ['a2', 'b0'])
  await bench.topics.addPartitions(homeNamespace, 'log', 3)
  await bench.append(2, ['c0'])
  await turns(50)
  assert.deepEqual(seen.values.sort(), ['a2', 'b0', 'c0'])
  await bench.opened.cell.close()
})

test('records of transactions come when these are committed, and never when they are aborted', async () => {
  const bench = await Bench.open()
  await bench.topics.create(homeNamespace, 'log')
  const { seen } = await bench.read('first')
  const { transactional: attributes } = attributeBits
  const stream = bench.topic.partitions[0] ?? -1
  for (const [producerId, isCommitted] of [
    [7, false],
    [8, true],
  ] as const) {
    await bench.append(0, [`of ${producerId}`], { producerId, producerEpoch: 0, baseSequence: 0, attributes })
    await turns(50)
    assert(!seen.values.includes(`of ${producerId}`))
    const { client, cell } = bench.opened
    cell.atomic(() => client.endTransaction(stream, { producerId, producerEpoch: 0, isCommitted }))
    await turns(50)
  }
  assert.deepEqual(seen.values, ['of 8'])
  await bench.opened.cell.close()
})

test('the consumers of a group share the records, and what one gives back or leaves behind the others get', async () => {
  const bench = await Bench.open()
  await bench.topics.create(homeNamespace, 'log', { partitions: 2 })
  const one = await bench.share(3)
  const two = await bench.share(3)
  await bench.append(0, ['a', 'b', 'c'])
  await bench.append(1, ['d', 'e', 'f'])
  await turns(100)
  assert.deepEqual([...one.seen.values, ...two.seen.values].sort(), ['a', 'b', 'c', 'd', 'e', 'f'])
  assert.deepEqual([one.reader.heldCount, two.reader.heldCount], [3, 3])
  const [first] = one.seen.values
  one.reader.release(0)
  two.reader.ack(0, 2)
  assert.equal(two.reader.ack(0, 2), 0, 'what is settled is not settled again')
  one.reader.pause()
  await turns(100)
  assert.deepEqual(two.seen.values.slice(3), [first])
  assert.equal(two.seen.counts.at(-1), 2)
  const left = one.seen.values.slice(1)
  one.reader.cancel()
  await bench.clock.advance(1)
  await turns(100)
  assert.deepEqual(two.seen.values.slice(4).sort(), left.sort())
  two.reader.reject(3, 5)
  await turns(100)
  assert.equal(two.reader.heldCount, 0)
  const { lag } = bench.shares.positions(group)[0] ?? {}
  assert.equal(lag, 0)
  await bench.opened.cell.close()
})

test('what a group has settled stays settled after a restart, and the rest is delivered again', async () => {
  const stores = memoryStores()
  let bench = await Bench.open(stores)
  await bench.topics.create(homeNamespace, 'log')
  const first = await bench.share()
  await bench.append(0, ['a', 'b', 'c', 'd'])
  await turns(100)
  first.reader.ack(0)
  first.reader.ack(2)
  const settled = await bench.share(0, true)
  await bench.append(0, ['e'])
  await turns(100)
  const all = [...first.seen.values, ...settled.seen.values]
  assert.equal(all.length, 5)
  await bench.opened.cell.close()
  bench = await Bench.open(stores, bench.clock)
  const again = await bench.share()
  await turns(100)
  const expected = settled.seen.values.includes('e') ? ['b', 'd'] : ['b', 'd', 'e']
  assert.deepEqual(again.seen.values, expected)
  await bench.topics.remove(homeNamespace, 'log')
  await bench.clock.advance(1)
  await turns(100)
  assert(again.seen.hasEnded)
  await bench.opened.cell.close()
  await closeStores(stores)
})

test('a record that nobody can take is given up after its deliveries', async () => {
  const bench = await Bench.open()
  await bench.topics.create(homeNamespace, 'log')
  const { seen, reader } = await bench.share(1)
  await bench.append(0, ['bad', 'good'])
  for (let ticket = 0; ticket < 3; ticket++) {
    await turns(100)
    reader.release(ticket)
  }
  await turns(100)
  assert.deepEqual(seen.values, ['bad', 'bad', 'bad', 'good'])
  await bench.opened.cell.close()
})
