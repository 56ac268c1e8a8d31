import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import {
  cancelled,
  closed,
  delayedFacts,
  factOf,
  fired,
  indexed,
  occurred,
  opened,
  scheduleRemoved,
  scheduleSet,
  waiting,
} from './facts.ts'
import { DueClock } from './due-clock.ts'
import { KeyHeap } from './key-heap.ts'
import { DelayedMachine } from './machine.ts'
import { OffsetSet } from './offset-set.ts'
import { delayMaxMs, tierOf, tiers } from './tiers.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

function stateOf(machine: DelayedMachine): unknown {
  const volumes = Array.from(machine.volumes.values(), volume => {
    const { number, messages, index, fromMs, tier, count, live, indexedTo, firedDue, firedOffset, runs } = volume
    const recent = Array.from({ length: volume.recentCount }, (_, at) => volume.recentDue(indexedTo + at))
    const gone = Array.from({ length: count }, (_, at) => volume.cancelled.has(at))
    const head = [number, messages, index, fromMs, tier, count, live, indexedTo, firedDue, firedOffset]
    return { head, runs, recent, gone, cancelled: volume.cancelled.size }
  })
  const schedules = Array.from(machine.schedules.values(), ({ set, lastMs, publishedMs, count }) => {
    return { set, lastMs, publishedMs, count }
  })
  const places = [...machine.places()].map(({ namespace, exchange, count }) => [namespace, exchange, count])
  return { next: machine.nextVolume, live: machine.live, places: places.map(String).sort(), volumes, schedules }
}

function copyOf(machine: DelayedMachine): DelayedMachine {
  const out = new Writer()
  machine.save(out)
  const copy = new DelayedMachine()
  const from = new Reader(out.take())
  copy.load(from)
  from.expectEnd()
  return copy
}

test(`DelayedMachine: load(save()) and the facts after it equal all facts (SEED=${seed})`, () => {
  const random = new Random(seed)
  const machine = new DelayedMachine()
  let copy = new DelayedMachine()
  const tell = (type: number, payload: Buffer): void => {
    machine.apply(type, payload)
    copy.apply(type, payload)
  }
  const namespace = '/'
  for (let step = 0; step < 3000; step++) {
    const volume = random.pick([...machine.volumes.values(), undefined])
    const exchange = random.pick(['', 'a', 'b'])
    const what = random.below(100)
    if (!volume || what < 2) {
      const [messages, index] = [random.u32() >>> 1, random.u32() >>> 1]
      const fact = { volume: machine.nextVolume, messages, index, fromMs: random.below(2 ** 41), tier: random.below(5) }
      tell(delayedFacts.opened, factOf(opened, fact))
    } else if (what < 60) {
      tell(delayedFacts.waiting, factOf(waiting, { volume: volume.number, due: random.u32(), namespace, exchange }))
    } else if (what < 65) {
      tell(delayedFacts.indexed, factOf(indexed, { volume: volume.number, first: step, blocks: random.below(3) }))
    } else if (what < 75 && machine.count(namespace, exchange) > 0 && volume.live > 0) {
      const gone = [{ namespace, exchange, count: 1 }]
      const at = { due: random.u32(), offset: random.u32() }
      tell(delayedFacts.fired, factOf(fired, { volume: volume.number, ...at, gone }))
    } else if (what < 90 && machine.count(namespace, exchange) > 0 && volume.live > 0) {
      const offset = random.below(volume.count)
      if (volume.cancelled.has(offset)) continue
      tell(delayedFacts.cancelled, factOf(cancelled, { volume: volume.number, offset, namespace, exchange }))
    } else if (what < 92 && volume.live === 0) tell(delayedFacts.closed, factOf(closed, { volume: volume.number }))
    else if (what < 95) {
      const text = { expression: '* * * * *', timeZone: 'UTC', exchange, key: 'k', message: random.bytes(20) }
      const fact = { namespace, name: exchange, flags: random.below(4), fromMs: step, ...text }
      tell(delayedFacts.scheduleSet, factOf(scheduleSet, fact))
    } else if (what < 98 && machine.schedules.get(namespace, exchange)) {
      const fact = { namespace, name: exchange, atMs: random.below(5000), publishedMs: random.below(3) - 1 }
      tell(delayedFacts.occurred, factOf(occurred, fact))
    } else if (what === 99) tell(delayedFacts.scheduleRemoved, factOf(scheduleRemoved, { namespace, name: exchange }))
    if (random.chance(0.02)) copy = copyOf(copy)
  }
  assert.deepEqual(stateOf(copy), stateOf(machine))
  assert.deepEqual(stateOf(copyOf(copy)), stateOf(machine))
  assert.equal(
    machine.live,
    Array.from(machine.volumes.values(), ({ live }) => live).reduce((sum, live) => sum + live, 0),
  )
  assert.equal(machine.count(namespace), machine.live)
  assert.throws(() => machine.apply(200, Buffer.alloc(0)), /newer broker/)
})

test(`OffsetSet holds what was added, alone or in crowds (SEED=${seed})`, () => {
  const random = new Random(seed)
  let set = new OffsetSet()
  const model = new Set<number>()
  for (let step = 0; step < 5000; step++) {
    const offset = random.pick([
      random.below(3000),
      4096 * random.below(500_000) + random.below(20),
      2 ** 32 - 1 - step,
    ])
    set.add(offset)
    model.add(offset)
    if (random.chance(0.01)) {
      const out = new Writer()
      set.save(out)
      set = new OffsetSet()
      set.load(new Reader(out.take()))
    }
  }
  assert.equal(set.size, model.size)
  for (const offset of model) assert(set.has(offset) && set.has(offset + 1) === model.has(offset + 1))
})

test(`KeyHeap gives the least first (SEED=${seed})`, () => {
  const random = new Random(seed)
  const heap = new KeyHeap()
  const model: number[] = []
  for (let step = 0; step < 3000; step++) {
    if (random.chance(0.6)) {
      const key = random.below(2 ** 50)
      heap.add(key)
      model.push(key)
      model.sort((a, b) => a - b)
    } else if (heap.size > 0) {
      heap.removeFirst()
      model.shift()
    }
    assert.deepEqual([heap.size, heap.first], [model.length, model[0]])
  }
  heap.clear()
  assert.equal(heap.first, undefined)
})

test('DueClock follows a wall clock that is set forward, and never goes back', () => {
  const clock = { wall: 1000.25, monotonic: 5, nowMs: () => clock.wall, monotonicMs: () => clock.monotonic }
  const due = new DueClock(clock)
  const pass = (wall: number, monotonic: number): number => {
    clock.wall += wall
    clock.monotonic += monotonic
    return due.nowMs()
  }
  assert.equal(pass(0, 0), 1000)
  assert.equal(pass(10, 10), 1010)
  assert.equal(pass(3_600_000, 10), 3_601_010)
  assert.equal(pass(-7_200_000, 10), 3_601_020)
  assert.equal(pass(1000, 1000), 3_602_020)
  assert.equal(pass(7_200_000, 0), 3_602_020)
})

test('each delay has a tier, whose span fits into 32 bits', () => {
  for (const delayMs of [0, 1, 60_000, 60_001, 86_400_000, delayMaxMs]) assert(tiers[tierOf(delayMs)])
  for (const { spanMs } of tiers) assert(spanMs < 2 ** 32)
})
