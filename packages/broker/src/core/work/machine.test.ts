import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { factOf, forgotten, laneOpened, noted, numbered, queueForgotten, runsDropped, workFacts } from './facts.ts'
import { Heap } from './heap.ts'
import { factOfNote, WorkMachine } from './machine.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const queues = ['00', '11', '22'].map(byte => byte.repeat(16))

function stateOf(machine: WorkMachine): unknown {
  const lanes = Array.from(machine.lanes.values(), lane => {
    const { queue, stream, cursor, priority, flags, end, numbers, offsets } = lane
    const notes = Array.from(lane.notes.values(), note => [note.number, factOfNote(note)])
    return { queue, stream, cursor, priority, flags, end, numbers, offsets, notes }
  })
  const byQueue = Array.from(machine.byQueue, ([queue, of]) => [queue, of.map(({ stream }) => stream)])
  return { next: machine.nextNumber, lanes, byQueue }
}

test(`WorkMachine: load(save()) and the facts after it equal all facts, and numbers lead to offsets (SEED=${seed})`, () => {
  const random = new Random(seed)
  const machine = new WorkMachine()
  let copy = new WorkMachine()
  let stream = 100
  const expected = new Map<number, [number, number]>()
  const tell = (type: number, payload: Buffer): void => {
    machine.apply(type, payload)
    copy.apply(type, payload)
  }
  for (let step = 0; step < 6000; step++) {
    const lane = random.pick([...machine.lanes.values(), undefined])
    const what = random.below(100)
    if (!lane || what < 3) {
      const opened = {
        queue: random.pick(queues),
        stream: stream++,
        cursor: stream,
        start: random.below(9),
        priority: random.u32(),
      }
      tell(workFacts.laneOpened, factOf(laneOpened, { ...opened, flags: random.below(4) }))
    } else if (what < 60) {
      const count = random.between(1, 4)
      for (let at = 0; at < count; at++) expected.set(machine.nextNumber + at, [lane.stream, lane.end + at])
      tell(workFacts.numbered, factOf(numbered, { stream: lane.stream, count }))
    } else if (what < 85 && lane.numberOf(lane.end - 1) !== undefined) {
      const counts = { reserves: random.below(9), timeouts: 1, releases: 2, asides: 3, kicks: random.below(9) }
      const times = { dueMs: random.below(2 ** 40), delayMs: random.below(5) }
      const place = { stream: lane.stream, offset: lane.end - 1, priority: random.u32(), place: random.below(3) }
      tell(workFacts.noted, factOf(noted, { ...place, ...times, ...counts }))
    } else if (what < 92) {
      const [note] = lane.notes.values()
      if (note) tell(workFacts.forgotten, factOf(forgotten, { stream: lane.stream, offset: note.offset }))
    } else if (what < 96 && lane.notes.size === 0) {
      const below = lane.start + random.below(lane.end - lane.start + 1)
      const dropped = lane.offsets[lane.runsBelow(below)] ?? 0
      for (const [number, [of, offset]] of expected) if (of === lane.stream && offset < dropped) expected.delete(number)
      tell(workFacts.runsDropped, factOf(runsDropped, { stream: lane.stream, below }))
    } else if (what === 99) {
      for (const { stream: gone } of machine.byQueue.get(lane.queue) ?? [])
        for (const [number, [of]] of expected) if (of === gone) expected.delete(number)
      tell(workFacts.queueForgotten, factOf(queueForgotten, { queue: lane.queue }))
    }
    if (random.chance(0.02)) {
      const out = new Writer()
      copy.save(out)
      copy = new WorkMachine()
      copy.load(new Reader(out.take()))
    }
  }
  assert.deepEqual(stateOf(copy), stateOf(machine))
  for (const [number, [of, offset]] of expected) {
    for (const each of [machine, copy]) {
      const found = each.find(number)
      assert.deepEqual([found?.state.stream, found?.offset], [of, offset])
    }
    assert.equal(machine.lanes.get(of)?.offsetOf(number), offset)
    assert.equal(machine.lanes.get(of)?.numberOf(offset), number)
  }
  for (let number = 0; number <= machine.nextNumber; number++) {
    if (!expected.has(number)) assert.deepEqual([machine.find(number), copy.find(number)], [undefined, undefined])
  }
  for (const lane of machine.lanes.values()) assert.equal(lane.offsetOf(machine.nextNumber), undefined)
})

test(`Heap gives the least first, whatever is taken out of the middle (SEED=${seed})`, () => {
  const random = new Random(seed)
  const heap = new Heap<{ value: number; heapAt: number }>((a, b) => a.value < b.value)
  const items: { value: number; heapAt: number }[] = []
  for (let step = 0; step < 3000; step++) {
    if (items.length === 0 || random.chance(0.6)) {
      const item = { value: random.below(100), heapAt: -1 }
      items.push(item)
      heap.add(item)
    } else {
      const [item] = items.splice(random.below(items.length), 1)
      if (item) assert(heap.delete(item) && !heap.delete(item))
    }
    assert.equal(heap.size, items.length)
    const least = items.reduce((least, { value }) => Math.min(least, value), Infinity)
    assert.equal(heap.first?.value ?? Infinity, least)
  }
})
