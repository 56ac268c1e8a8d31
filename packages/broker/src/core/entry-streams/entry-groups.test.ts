import assert from 'node:assert/strict'
import test from 'node:test'
import { machineKinds } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { EntryGroup } from './entry-group.ts'
import { idMin } from './entry-id.ts'
import type { EntryStream } from './entry-stream.ts'
import { lagOf } from './lag.ts'
import { EntryStreamsMachine } from './machine.ts'
import { add, durable, id, openBench, saved, show, type Bench } from './test-bench.ts'

interface Setting {
  bench: Bench
  stream: EntryStream
  group: EntryGroup
}

async function begin(count: number): Promise<Setting> {
  const bench = await openBench()
  const stream = bench.streams.open('/', 's')
  for (let ms = 1; ms <= count; ms++) add(stream, String(ms), { ms, seq: 0 })
  await durable(bench.cell)
  const group = stream.createGroup('g', idMin)
  assert(group)
  return { bench, stream, group }
}

async function restart({ bench }: Setting): Promise<Setting> {
  await durable(bench.cell)
  const again = await bench.restart()
  const stream = again.streams.open('/', 's')
  const group = stream.group('g')
  assert(group)
  return { bench: again, stream, group }
}

async function read(group: EntryGroup, name: string, countMax: number, isForgotten = false): Promise<string[]> {
  const consumer = group.consumer(name) ?? group.createConsumer(name)
  assert(consumer)
  const found: string[] = []
  await group.readNew(consumer, { countMax, isForgotten }, entry => found.push(show(entry.id)) > 0)
  return found
}

const held = ({ state }: EntryGroup): string[] =>
  Array.from(state.pending.from(undefined), row => `${show(row)} ${state.consumers.get(row.holder)!.name} ${row.count}`)

test('each entry goes to one consumer, which holds it until it is acknowledged, also after a kill', async () => {
  let at = await begin(5)
  assert.deepEqual(await read(at.group, 'a', 2), ['1-0', '2-0'])
  assert.deepEqual(await read(at.group, 'b', 2), ['3-0', '4-0'])
  assert.equal(at.group.ack([id('2-0'), id('2-0'), id('5-0')]), 1)
  at = await restart(at)
  assert.deepEqual(held(at.group), ['1-0 a 1', '3-0 b 1', '4-0 b 1'])
  assert.equal(at.group.consumer('b')?.pendingCount, 2)
  assert.equal(at.group.state.entriesRead, 4)
  assert.deepEqual(await read(at.group, 'c', 9), ['5-0'])
  assert.deepEqual(await read(at.group, 'c', 9), [])
  const machine = at.bench.cell.machine(machineKinds.entryStreams)
  assert(machine instanceof EntryStreamsMachine)
  const [before, after] = saved(machine)
  assert.deepEqual(before, after)
  await at.bench.cell.close()
})

test('what nobody is to hold is read and forgotten', async () => {
  const { group, bench } = await begin(3)
  assert.deepEqual(await read(group, 'a', 2, true), ['1-0', '2-0'])
  assert.deepEqual(held(group), [])
  assert.deepEqual(await read(group, 'a', 2), ['3-0'])
  await bench.cell.close()
})

test('a consumer takes over what another one holds, and who goes gives all up', async () => {
  let at = await begin(4)
  await read(at.group, 'a', 4)
  const b = at.group.createConsumer('b')
  assert(b)
  at.group.claim(b, [{ offset: 1, id: id('2-0'), count: 7 }], 1234)
  assert.deepEqual(held(at.group), ['1-0 a 1', '2-0 b 7', '3-0 a 1', '4-0 a 1'])
  at = await restart(at)
  const a = at.group.consumer('a')
  assert(a)
  assert.equal(a.pendingCount, 3)
  at.group.removeConsumer(a)
  assert.deepEqual(held(at.group), ['2-0 b 7'])
  assert.equal(at.group.state.pending.first?.timeMs, 1234)
  at.stream.removeGroup(at.group)
  assert.equal(at.stream.group('g'), undefined)
  await at.bench.cell.close()
})

test('a group that is set back reads again what its consumers may hold', async () => {
  const { stream, group, bench } = await begin(3)
  await read(group, 'a', 3)
  stream.setGroup(group, id('1-0'))
  assert.deepEqual(await read(group, 'b', 9), ['2-0', '3-0'])
  assert.deepEqual(held(group), ['1-0 a 1', '2-0 b 1', '3-0 b 1'])
  assert.equal(group.consumer('a')?.pendingCount, 1)
  await bench.cell.close()
})

test('the lag of a group is told where it can be', async () => {
  const { stream, group, bench } = await begin(5)
  const lag = (): number | undefined => lagOf(stream.state, group.state, id('1-0'))
  assert.equal(lag(), 5)
  await read(group, 'a', 1)
  assert.equal(lag(), 4)
  stream.remove(await stream.locate([id('3-0')]))
  assert.equal(lag(), undefined)
  await read(group, 'a', 9)
  assert.equal(lag(), 0)
  await bench.cell.close()
})

test('groups, consumers and what these hold are bounded', async () => {
  const bench = await openBench(undefined, { entryGroupsMax: 1, entryConsumersMax: 1, entryPendingMax: 2 })
  const stream = bench.streams.open('/', 's')
  for (let count = 0; count < 3; count++) add(stream, 'x')
  await durable(bench.cell)
  const group = stream.createGroup('g', idMin)
  assert(group)
  const refused = (error: unknown): boolean => error instanceof BrokerError && error.code === 'limit-reached'
  assert.throws(() => stream.createGroup('h', idMin), refused)
  assert.equal((await read(group, 'a', 9)).length, 2)
  await assert.rejects(read(group, 'a', 9), refused)
  assert.throws(() => group.createConsumer('b'), refused)
  await bench.cell.close()
})

test('ids that come again after all entries are gone are found, and nobody holds those of before', async () => {
  const { stream, group, bench } = await begin(3)
  await read(group, 'a', 3)
  stream.trimTo(3)
  stream.setLastId(id('1-0'))
  assert.deepEqual(held(group), ['1-0 a 1'])
  add(stream, 'again', id('2-0'))
  await durable(bench.cell)
  assert.deepEqual(await stream.locate([id('2-0')]), [{ offset: 3, id: id('2-0') }])
  stream.setGroup(group, idMin)
  assert.deepEqual(await read(group, 'b', 9), ['2-0'])
  await bench.cell.close()
})
