import assert from 'node:assert/strict'
import test from 'node:test'
import type { MachineFactories } from '../../cell/state.ts'
import { abandon, ManualClock, memoryStores, openCell, type Stores, type TestCell } from '../../cell/testing/cells.ts'
import { TimerWheel } from '../timers/wheel.ts'
import type { Cursor, LeaseSink } from './cursor.ts'
import { Cursors } from './cursors.ts'
import { CursorMachine } from './machine.ts'

const machines: MachineFactories = { cursor: () => new CursorMachine() }

interface Node extends TestCell {
  cursors: Cursors
  clock: ManualClock
}

async function start(stores: Stores, clock = new ManualClock()): Promise<Node> {
  const cell = await openCell(stores, { machines, clock })
  return { ...cell, clock, cursors: new Cursors(cell.cell, new TimerWheel(clock)) }
}

/** Starts anew over the same stores, as after a kill or an orderly end. */
async function again(node: Node, stores: Stores, how: 'killed' | 'closed'): Promise<Node> {
  node.cursors.close()
  if (how === 'closed') await node.cell.close()
  else await abandon(node)
  return start(stores, node.clock)
}

class Runs implements LeaseSink {
  readonly all: [number, number, number][] = []
  run(first: number, last: number, deliveryCount: number): void {
    this.all.push([first, last, deliveryCount])
  }
}

function take(cursor: Cursor, consumer: number, max: number, leaseMs?: number): [number, number, number][] {
  const runs = new Runs()
  cursor.acquire(consumer, { max, to: 1000, leaseMs }, runs)
  return runs.all
}

for (const how of ['killed', 'closed'] as const) {
  test(`after the broker was ${how}, sessions are gone, leases with a time run on, and what was settled stays so`, async () => {
    const stores = memoryStores()
    let node = await start(stores)
    const stream = node.cell.define('stream')
    const { id } = node.cursors.create(stream, 5)
    let cursor = node.cursors.open(id)!
    const session = cursor.join('session', 'session')
    const lasting = cursor.join('lasting', 'lasting')
    assert.deepEqual(take(cursor, session, 10), [[5, 14, 1]])
    assert.deepEqual(take(cursor, lasting, 10, 5_000), [[15, 24, 1]])
    cursor.ack(session, 5, 9)
    cursor.release(session, 14, 14, 'uncounted')
    await node.cell.durable(cursor.seq)

    await node.clock.advance(1_000)
    node = await again(node, stores, how)
    cursor = node.cursors.open(id)!
    assert.equal(cursor.stream, stream)
    assert.equal(cursor.floor, 10)
    assert.deepEqual(
      [...cursor.consumers()].map(({ name }) => name),
      ['lasting'],
    )
    assert.deepEqual([cursor.inFlightCount, cursor.returnedCount], [10, 5])
    const other = cursor.join('other', 'session')
    assert.deepEqual(take(cursor, other, 5), [
      [10, 13, 2],
      [14, 14, 1],
    ])
    assert.equal(cursor.ack(lasting, 15), 1, 'the lease is still held')

    await node.clock.advance(3_900)
    assert.equal(cursor.inFlightCount, 14)
    await node.clock.advance(300)
    assert.deepEqual([cursor.inFlightCount, cursor.returnedCount], [5, 9])
    assert.deepEqual(take(cursor, other, 5), [[16, 20, 2]])
    await node.cell.close()
    node.cursors.close()
  })
}

test('a cursor that was removed is gone after a restart, and its id is not used again', async () => {
  const stores = memoryStores()
  let node = await start(stores)
  const first = node.cursors.create(1024, 0)
  first.acquire(first.join('c', 'lasting'), { max: 5, to: 10, leaseMs: 1_000 }, new Runs())
  node.cursors.remove(first.id)
  assert.equal(node.cursors.open(first.id), undefined)
  await node.clock.advance(5_000)
  const second = node.cursors.create(1024, 7)
  assert.notEqual(second.id, first.id)
  for (const how of ['killed', 'closed'] as const) {
    node = await again(node, stores, how)
    assert.equal(node.cursors.open(first.id), undefined)
    assert.equal(node.cursors.open(second.id)?.floor, 7)
  }
  assert.deepEqual(node.fatal, [])
  await node.cell.close()
  node.cursors.close()
})

test('a lease that runs out while the cell is closed does no harm', async () => {
  const node = await start(memoryStores())
  const cursor = node.cursors.create(1024, 0)
  cursor.acquire(cursor.join('c', 'session'), { max: 5, to: 10, leaseMs: 1_000 }, new Runs())
  await node.cell.close()
  await node.clock.advance(5_000)
  assert.equal(cursor.inFlightCount, 5)
})

test('trimPoint is the lowest floor of those who own the stream, and isLive asks each of them', async () => {
  const node = await start(memoryStores())
  const [one, two, stranger] = [0, 0, 0].map(() => node.cursors.create(1024, 0)) as [Cursor, Cursor, Cursor]
  assert.equal(node.cursors.trimPoint(1024), undefined)
  assert.equal(node.cursors.isLive(1024, 3), true)
  node.cursors.own(1024, one.id)
  node.cursors.own(1024, two.id)
  one.drop(0, 9, 'purged')
  two.drop(0, 4, 'purged')
  stranger.drop(0, 1, 'purged')
  assert.equal(node.cursors.trimPoint(1024), 5)
  assert.deepEqual(
    [4, 5, 10].map(offset => node.cursors.isLive(1024, offset)),
    [false, true, true],
  )
  node.cursors.remove(two.id)
  assert.equal(node.cursors.trimPoint(1024), 10)
  assert.equal(node.cursors.isLive(1024, 5), false)
  await node.cell.close()
  node.cursors.close()
})

test('an old message that is never acknowledged pins itself and nothing else', async () => {
  const node = await start(memoryStores())
  const cursor = node.cursors.create(1024, 0)
  node.cursors.own(1024, cursor.id)
  const stuck = cursor.join('stuck', 'session')
  const busy = cursor.join('busy', 'session')
  const sink = new Runs()
  cursor.acquire(stuck, { max: 1, to: 1e6 }, sink)
  for (let base = 1; base < 1_000_000; base += 1000) {
    cursor.acquire(busy, { max: 1000, to: 1e6 }, sink)
    cursor.ack(busy, base, base + 999)
  }
  assert.equal(cursor.floor, 0)
  assert.equal(cursor.settledAboveFloor, 999_999)
  assert.deepEqual(
    [...cursor.pending()].map(({ first, last }) => [first, last]),
    [[0, 0]],
  )
  assert.equal(node.cursors.isLive(1024, 0), true)
  assert.equal(node.cursors.isLive(1024, 500_000), false)
  await node.cell.close()
  node.cursors.close()
})
