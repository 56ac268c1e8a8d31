import assert from 'node:assert/strict'
import test from 'node:test'
import { machineKinds } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import { idMax, idMin, partMax } from './entry-id.ts'
import { EntryStreamsMachine } from './machine.ts'
import { add, durable, entriesOf, id, openBench, publish, saved, show, type Bench } from './test-bench.ts'

const texts = (found: readonly { text: string }[]): string[] => found.map(({ text }) => text)

function machineOf({ cell }: Bench): EntryStreamsMachine {
  const machine = cell.machine(machineKinds.entryStreams)
  assert(machine instanceof EntryStreamsMachine)
  return machine
}

test('ids are given in rising order, chosen or by the clock, and survive a restart', async () => {
  let bench = await openBench()
  let stream = bench.streams.open('/', 'clicks')
  assert.equal(add(stream, 'a', id('5-1')), '5-1')
  assert.equal(add(stream, 'b', { within: 5 }), '5-2')
  assert.equal(add(stream, 'c', { within: 7 }), '7-0')
  assert.equal(stream.add({ value: null }, id('7-0')), 'id-not-greater')
  assert.equal(stream.add({ value: null }, { within: 6 }), 'id-not-greater')
  assert.equal(stream.add({ value: null }, idMin), 'id-zero')
  const byClock = add(stream, 'd')
  assert.match(byClock, /^\d{13}-0$/)
  await durable(bench.cell)
  bench = await bench.restart()
  stream = bench.streams.open('/', 'clicks')
  assert.equal(show(stream.state.lastId), byClock)
  assert.deepEqual(await entriesOf(stream, idMin, idMax), [
    { id: '5-1', text: 'a' },
    { id: '5-2', text: 'b' },
    { id: '7-0', text: 'c' },
    { id: byClock, text: 'd' },
  ])
  assert.deepEqual(texts(await entriesOf(stream, id('5-2'), id('7-0'), true)), ['c', 'b'])
  await bench.cell.close()
})

test('the greatest ids are exact, and there are none behind them', async () => {
  const bench = await openBench()
  const stream = bench.streams.open('/', 'far')
  assert.equal(add(stream, 'a', { ms: partMax, seq: 2n ** 60n }), '18446744073709551615-1152921504606846976')
  assert.equal(add(stream, 'b', 'next'), '18446744073709551615-1152921504606846977')
  assert.equal(add(stream, 'c', idMax), '18446744073709551615-18446744073709551615')
  assert.equal(stream.add({ value: null }, 'next'), 'ids-exhausted')
  await durable(bench.cell)
  assert.deepEqual(texts(await entriesOf(stream, { ms: partMax, seq: 2n ** 60n + 1n }, idMax)), ['b', 'c'])
  const [before, after] = saved(machineOf(bench))
  assert.deepEqual(before, after)
  await bench.cell.close()
})

test('records that brought no ids have stable ones that rise with those of entries', async () => {
  let bench = await openBench()
  let stream = bench.streams.open('/', 'mixed')
  add(stream, 'own 1', id('10-0'))
  await publish(bench, stream, 'other 1', 'other 2')
  stream.notice()
  add(stream, 'own 2')
  await publish(bench, stream, 'other 3')
  await durable(bench.cell)
  const before = await entriesOf(stream, idMin, idMax)
  await durable(bench.cell)
  assert.deepEqual(texts(before), ['own 1', 'other 1', 'other 2', 'own 2', 'other 3'])
  const ids = before.map(entry => id(entry.id))
  for (const [index, { ms, seq }] of ids.entries()) {
    const previous = ids[index - 1]
    if (previous) assert(previous.ms < ms || (previous.ms === ms && previous.seq < seq), `${index} does not rise`)
  }
  bench = await bench.restart()
  stream = bench.streams.open('/', 'mixed')
  assert.deepEqual(await entriesOf(stream, idMin, idMax), before)
  for (const entry of before) assert.deepEqual(await entriesOf(stream, id(entry.id), id(entry.id)), [entry])
  await bench.cell.close()
})

test('a topic that was there before is a stream of entries; one with several partitions cannot be', async () => {
  const bench = await openBench()
  await bench.topics.create('/', 'wide', { partitions: 2 })
  await bench.topics.create('/', 'old')
  assert.throws(
    () => bench.streams.get('/', 'wide'),
    (error: unknown) => error instanceof BrokerError && error.code === 'unsupported',
  )
  assert.equal(bench.streams.get('/', 'none'), undefined)
  const stream = bench.streams.get('/', 'old')
  assert(stream)
  await publish(bench, stream, 'x', 'y')
  assert.deepEqual(texts(await entriesOf(stream, idMin, idMax)), ['x', 'y'])
  await bench.cell.close()
})

test('entries are removed from the middle and from the beginning', async () => {
  let bench = await openBench()
  let stream = bench.streams.open('/', 's')
  for (let ms = 1; ms <= 9; ms++) add(stream, String(ms), { ms, seq: 0 })
  await durable(bench.cell)
  const some = await stream.locate([id('5-0'), id('3-0'), id('3-0'), id('77-0')])
  assert.equal(stream.remove(some), 2)
  assert.equal(stream.remove(some), 0)
  assert.equal(stream.length, 7)
  assert.equal(show(stream.state.maxRemoved), '5-0')
  assert.deepEqual(texts(await entriesOf(stream, idMin, idMax)), ['1', '2', '4', '6', '7', '8', '9'])
  assert.equal(stream.trimTo(2), 2)
  assert.equal(stream.state.first, 3, 'what begins with a gap begins behind it')
  await durable(bench.cell)
  bench = await bench.restart()
  stream = bench.streams.open('/', 's')
  assert.equal(stream.length, 5)
  assert.deepEqual(texts(await entriesOf(stream, idMin, idMax, true)), ['9', '8', '7', '6', '4'])
  await bench.cell.close()
})

test('ids are found among many entries on disk', async () => {
  const bench = await openBench()
  const stream = bench.streams.open('/', 's')
  const body = 'x'.repeat(100)
  for (let ms = 1; ms <= 5000; ms++) {
    add(stream, `${ms} ${body}`, { ms: ms * 10, seq: 0 })
    if (ms % 500 === 0) await durable(bench.cell)
  }
  for (const ms of [1, 2, 130, 2571, 4999, 5000]) {
    const [entry, none] = await entriesOf(stream, { ms: ms * 10 - 1, seq: 0 }, { ms: ms * 10 + 1, seq: 0 })
    assert.equal(entry?.id, `${ms * 10}-0`)
    assert.equal(none, undefined)
    assert.equal((await entriesOf(stream, { ms: ms * 10, seq: 0 }, { ms: ms * 10, seq: 0 }, true)).length, 1)
  }
  assert.equal((await entriesOf(stream, idMin, idMax)).length, 5000)
  assert.equal((await entriesOf(stream, idMin, idMax, true)).length, 5000)
  assert(stream.state.index.size <= 5000 / 128 + 1)
  await bench.cell.close()
})

test('many ids are located together, and each entry is looked at once', async t => {
  const bench = await openBench()
  const stream = bench.streams.open('/', 's')
  for (let ms = 1; ms <= 4000; ms++) {
    add(stream, String(ms), { ms: ms * 2, seq: 0 })
    if (ms % 500 === 0) await durable(bench.cell)
  }
  const { state } = stream
  stream.remove(await stream.locate([{ ms: 200, seq: 0 }]))
  const looked = t.mock.method(state.removed, 'has')
  const offsetsOf = async (all: readonly number[]): Promise<number[]> => {
    looked.mock.resetCalls()
    return (await stream.locate(all.map(ms => ({ ms, seq: 0 })))).map(({ offset }) => offset)
  }
  const every = Array.from({ length: 9000 }, (_, ms) => ms)
  const there = every.slice(1, 4001).filter(ms => ms !== 100)
  assert.deepEqual(
    await offsetsOf(every.toReversed()),
    there.map(ms => ms - 1),
  )
  assert(looked.mock.callCount() <= 2 * 4000, `looked at ${looked.mock.callCount()} entries`)
  assert.deepEqual(await offsetsOf([7, 1, 8000, 6000, 6001, 8001, 200]), [2999, 3999])
  assert(looked.mock.callCount() <= 8 * 128, `looked at ${looked.mock.callCount()} entries`)
  assert.deepEqual(await offsetsOf([]), [])
  await bench.cell.close()
})

test('what is removed and trimmed leaves the disk, and the newest record stays', async () => {
  const bench = await openBench()
  const stream = bench.streams.open('/', 's')
  const live = bench.streams.liveOf(stream.stream)
  assert(live)
  for (let ms = 1; ms <= 100; ms++) add(stream, 'x', { ms, seq: 0 })
  await durable(bench.cell)
  stream.trimTo(10)
  stream.remove(await stream.locate([id('50-0'), id('100-0')]))
  assert.deepEqual(
    [9, 10, 49, 50, 99].map(offset => live.isLive(offset)),
    [false, true, false, true, true],
  )
  assert.equal(live.count(0, 99, 1000), 89)
  assert.equal(live.count(0, 9, 1000), 0)
  assert.equal(live.count(49, 49, 1000), 0)
  assert.equal(bench.streams.retentionOf(stream.stream)?.neededFrom, 10)
  await bench.cell.close()
})

test('who waits is woken when an entry is durable, and when the stream has gone', async () => {
  const bench = await openBench()
  const seen: number[] = []
  const leave = bench.streams.wait('/', ['late', 'other'], {
    wake: () => void seen.push(bench.streams.get('/', 'late')?.length ?? -1),
  })
  const stream = bench.streams.open('/', 'late')
  add(stream, 'a')
  await durable(bench.cell)
  assert.equal(seen.at(-1), 1)
  await bench.topics.remove('/', 'late')
  assert.equal(seen.at(-1), -1)
  add(bench.streams.open('/', 'late'), 'b')
  await durable(bench.cell)
  assert.equal(seen.at(-1), 1)
  leave()
  const count = seen.length
  add(bench.streams.open('/', 'late'), 'b')
  await durable(bench.cell)
  assert.equal(seen.length, count)
  await bench.cell.close()
})

test('a stream that gets another name keeps its entries and groups', async () => {
  let bench = await openBench()
  const stream = bench.streams.open('/', 'old')
  add(stream, 'a', id('1-1'))
  assert(stream.createGroup('g', idMin))
  bench.topics.rename('/', 'old', 'new')
  assert.equal(bench.streams.get('/', 'old'), undefined)
  add(bench.streams.open('/', 'new'), 'b', id('2-1'))
  await durable(bench.cell)
  bench = await bench.restart()
  assert.equal(bench.topics.get('/', 'old'), undefined)
  const renamed = bench.streams.open('/', 'new')
  assert.deepEqual(texts(await entriesOf(renamed, idMin, idMax)), ['a', 'b'])
  assert(renamed.group('g'))
  await bench.cell.close()
})
