import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Writer } from '@dragoman/wire'
import { Corrupt } from '../storage/errors.ts'
import type { Extent } from '../storage/segment.ts'
import {
  checkpointName,
  checkpointSeq,
  readCheckpoint,
  saveCompacted,
  saveExtents,
  writeCheckpoint,
} from './checkpoint.ts'
import type { CheckpointParts } from './checkpoint.ts'
import { CellState } from './state.ts'
import { extent, Stream } from './stream.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

function sample(random: Random): { parts: CheckpointParts; state: CellState } {
  const state = new CellState({})
  state.fences = [0, 5, 2 ** 40]
  const segments = new Map(
    Array.from({ length: 4 }, (_, id) => [id, { id, name: `cell/0/s/1-${id}`, bytes: random.below(1e9) }]),
  )
  for (let id = 1024; id < 1030; id++) {
    const stream = new Stream(id)
    stream.startOffset = random.below(10)
    stream.endOffset = 2 ** 45
    for (let row = random.below(5); row > 0; row--)
      stream.place(placed(random, id, 2 ** 40 - row * 100), random.below(3))
    const epoch = stream.epochs.add()
    stream.epochs.set(epoch, 0, 2 ** 31 - 1)
    stream.epochs.set(epoch, 1, 7)
    stream.producers.append(2 ** 50, 3, 4, 5, 6, 7)
    stream.compactedTo = random.chance(0.5) ? random.below(2 ** 50) : 0
    state.streams.set(id, stream)
  }
  const out = new Writer()
  state.save(out)
  const parts: CheckpointParts = {
    cell: 3,
    point: { seq: 2 ** 41, epoch: 9, timeMs: 1.7e12, link: { writer: 2n ** 64n - 5n, crc: 0xffff_fffe } },
    state: out.take(),
    extents: saveExtents(state).bytes,
    compacted: saveCompacted(state),
    flushed: [placed(random, 1024, 2 ** 41), placed(random, 1029, 2 ** 41)],
    flushedSegment: 3,
    placement: { nextSegment: 77, segments },
  }
  return { parts, state }
}

function placed(random: Random, stream: number, first: number): Extent {
  const small = () => random.below(2 ** 32)
  return {
    stream,
    firstOffset: first,
    lastOffset: first + 99,
    maxTimestamp: random.chance(0.2) ? -1 : 1.7e12 + small(),
    position: small(),
    bytes: small(),
    chunkPosition: small(),
    chunkCount: random.below(1000),
  }
}

function extentsOf(state: CellState): Record<number, number[][]> {
  const columns = Object.values(extent)
  const rowsOf = ({ extents }: Stream) =>
    Array.from({ length: extents.count }, (_, row) => columns.map(column => extents.get(row, column)))
  return Object.fromEntries([...state.streams].map(([id, stream]) => [id, rowsOf(stream)]))
}

test(`a checkpoint gives back the state, the place in the chain and where the bytes lie (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 20; round++) {
    const { parts, state } = sample(random)
    const loaded = new CellState({})
    const { point, placement } = readCheckpoint(Buffer.concat(writeCheckpoint(parts)), loaded)
    assert.deepEqual({ point, placement }, { point: parts.point, placement: { ...parts.placement, open: new Map() } })
    for (const added of parts.flushed) state.streams.get(added.stream)!.place(added, parts.flushedSegment)
    assert.deepEqual(extentsOf(loaded), extentsOf(state))
    assert.deepEqual(saveCompacted(loaded), saveCompacted(state))
    assert.deepEqual(loaded.fences, state.fences)
    const out = new Writer()
    loaded.save(out)
    assert(out.take().equals(parts.state))
  }
})

test(`damage anywhere in a checkpoint, or its end missing, is found (SEED=${seed})`, () => {
  const random = new Random(seed)
  const whole = Buffer.concat(writeCheckpoint(sample(random).parts))
  for (let count = 0; count < 500; count++) {
    const damaged = Buffer.from(whole)
    damaged[random.below(whole.length)]! ^= 1 << random.below(8)
    assert.throws(() => readCheckpoint(damaged, new CellState({})), Corrupt)
    assert.throws(() => readCheckpoint(whole.subarray(0, random.below(whole.length)), new CellState({})), Corrupt)
  }
})

test('names of checkpoints sort like their numbers, and other files are none', () => {
  assert.equal(checkpointName(2, 2 ** 52), 'cell/2/c/0010000000000000')
  assert.equal(checkpointSeq(checkpointName(2, 12345)), 12345)
  for (const name of ['cell/0/c/0000000000000001.draft', 'cell/0/c/1', 'cell/0/c/'])
    assert.equal(checkpointSeq(name), undefined)
})
