import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { Runtime } from '../runtime/runtime.ts'
import { Simulator } from '../runtime/simulated/simulator.ts'
import { FileBlobStore, FileChainStore } from '../storage/file-store.ts'
import * as batches from '../storage/record-batch.ts'
import type { StreamRead } from './client.ts'
import type { Retention } from './options.ts'
import { append, fetch, openCell } from './testing/cells.ts'
import type { TestCell } from './testing/cells.ts'
import { keyedBatch, keyedRecords, readKeyed } from './testing/keyed.ts'
import type { FoundRecord, Keyed } from './testing/keyed.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const seeds = Number(process.env.SEEDS ?? 4)
const lives = 6
const steps = 60
const deleteRetentionMs = 3_000
const keyCount = 40
/** Reads in a row that find nothing where something is. */
const emptyMax = 10

interface Written extends Keyed {
  atMs: number
  /** Undefined: its transaction is open. */
  isCommitted: boolean | undefined
  producer: number
}

/** One stream, all that was ever written to it, and what may therefore be read from it. */
class Model {
  readonly random: Random
  readonly written = new Map<number, Written>()
  end = 0
  /** What was sent and is not answered yet: its records, or the end of a transaction. */
  sent: Written[] | { producer: number; isCommitted: boolean } | undefined
  readonly sequences = new Map<number, number>()
  readonly open = new Set<number>()
  readonly retention: Retention = {
    ms: -1,
    bytes: -1,
    compaction: { dirtyRatioMin: 0, lagMinMs: 0, lagMaxMs: 1e12, deleteRetentionMs },
  }

  constructor(random: Random) {
    this.random = random
  }

  /** What was sent has been taken. */
  settle(): void {
    const { sent } = this
    this.sent = undefined
    if (!sent) return
    if (!Array.isArray(sent)) {
      this.end++
      this.open.delete(sent.producer)
      for (const record of this.written.values())
        if (record.producer === sent.producer && record.isCommitted === undefined) record.isCommitted = sent.isCommitted
      return
    }
    for (const record of sent) this.written.set(this.end++, record)
    const [{ producer, isCommitted }] = sent as [Written]
    if (producer >= 0) this.sequences.set(producer, (this.sequences.get(producer) ?? 0) + sent.length)
    if (isCommitted === undefined) this.open.add(producer)
  }

  /** After a crash, `end` tells whether what was sent last had been taken. */
  recover(end: number): void {
    const taken = Array.isArray(this.sent) ? this.sent.length : 1
    if (this.sent && end === this.end + taken) this.settle()
    this.sent = undefined
    assert.equal(end, this.end, 'the end of the stream')
  }

  records(nowMs: number): Written[] {
    const { random } = this
    const producer = random.chance(0.5) ? -1 : random.below(4)
    const isCommitted = producer >= 0 && (this.open.has(producer) || random.chance(0.6)) ? undefined : true
    return Array.from({ length: random.pick([1, 1, 3, 20]) }, () => ({
      key: `key ${random.below(keyCount)}`,
      value: random.chance(0.15) ? null : `${random.u32()} `.repeat(random.below(30)),
      timestampMs: Math.floor(nowMs),
      atMs: nowMs,
      isCommitted,
      producer,
    }))
  }

  /** Of each key the newest record in [from, to) that counts must be among the found, unless it was a tombstone long enough. */
  check(found: readonly FoundRecord[], from: number, to: number, nowMs: number): void {
    const offsets = new Set<number>()
    const keys = new Set(
      found.filter(({ offset }) => this.written.get(offset)?.isCommitted !== false).map(({ key }) => key),
    )
    let before = -1
    for (const { offset, key, value, timestampMs } of found) {
      assert(offset > before, `offset ${offset} after ${before}`)
      before = offset
      offsets.add(offset)
      const is = this.written.get(offset)
      assert(is, `offset ${offset} was never written`)
      assert.deepEqual([key, value, timestampMs], [is.key, is.value, is.timestampMs], `offset ${offset}`)
    }
    const newest = new Map<string, number>()
    for (let offset = from; offset < to; offset++) {
      const record = this.written.get(offset)
      if (record && record.isCommitted !== false) newest.set(record.key!, offset)
    }
    for (const [key, offset] of newest) {
      const { value, atMs } = this.written.get(offset)!
      const mayBeGone = value === null && nowMs >= atMs + deleteRetentionMs
      assert(offsets.has(offset) || mayBeGone, `the newest record of ${key}, at ${offset}, is missing`)
      assert(offsets.has(offset) || !keys.has(key), `the deletion of ${key}, at ${offset}, is gone before its records`)
    }
  }
}

function open({ disk, clock, random }: Runtime, model: Model): Promise<TestCell> {
  const options = { disk, clock, fileBytes: 64 * 1024, dsync: true, reserveBytes: 0, warn: () => {} }
  const stores = { chain: new FileChainStore('data', options), blobs: new FileBlobStore('data', disk) }
  const sizes = { flushBytes: 8 * 1024, flushIntervalMs: 200, retentionCheckMs: 500, keyMapBytes: 20 * 25 }
  return openCell(stores, {
    clock,
    random: new Random(random.u32()),
    retentionOf: stream => (stream === 1024 ? model.retention : undefined),
    sizes,
  })
}

const stream = 1024

async function step(opened: TestCell, model: Model, simulator: Simulator): Promise<void> {
  const { cell, client } = opened
  const { random } = model
  const kind = random.below(100)
  if (kind < 55) {
    const sent = (model.sent = model.records(simulator.nowMs))
    const [{ producer, isCommitted }] = sent as [Written]
    const attributes = isCommitted === undefined ? batches.attributeBits.transactional : 0
    const identity = { producerId: producer, producerEpoch: 0, baseSequence: model.sequences.get(producer) ?? 0 }
    const compression = random.pick(batches.compressionNames)
    const batch = keyedBatch(sent, { compression, attributes, ...(producer < 0 ? {} : identity) })
    const { error } = await append(client, stream, batch)
    assert.equal(error, undefined)
    model.settle()
    if (producer >= 0 && random.chance(0.2)) await repeat(opened, batch, model.end)
  } else if (kind < 70 && model.open.size > 0) {
    const end = (model.sent = { producer: random.pick([...model.open]), isCommitted: random.chance(0.5) })
    await cell.durable(
      cell.atomic(() =>
        client.endTransaction(stream, { producerId: end.producer, producerEpoch: 0, isCommitted: end.isCommitted }),
      ),
    )
    model.settle()
  } else if (kind < 80) {
    await simulator.sleep(random.pick([1, 50, 500, 2000]))
  } else if (kind < 82) {
    await client.trim(stream, random.below(model.end + 1))
  } else if (kind < 84) {
    Object.assign(model.retention, { bytes: random.chance(0.5) ? random.below(20_000) : -1 })
  } else if (kind < 92) {
    const { endOffset } = client.bounds(stream)!
    const found = await readKeyed(client, stream, random.pick([1, 500, 100_000]))
    model.check(found, client.bounds(stream)!.startOffset, endOffset, simulator.nowMs)
  } else {
    const { stableOffset } = client.bounds(stream)!
    const found = await readCommitted(opened, stableOffset)
    for (const { offset } of found) assert(model.written.get(offset)?.isCommitted, `offset ${offset} was not committed`)
    model.check(found, client.bounds(stream)!.startOffset, stableOffset, simulator.nowMs)
  }
}

/** A repetition is recognised, whatever has become of the records. */
async function repeat({ client }: TestCell, batch: Buffer, end: number): Promise<void> {
  const { error, baseOffset } = await append(client, stream, batch)
  assert.deepEqual([error, baseOffset], [undefined, end - batches.lastOffsetDelta(batch) - 1])
}

/** As clients do: what a producer wrote from where an aborted transaction of it begins is left out up to the marker that ends it. */
async function readCommitted({ client }: TestCell, to: number): Promise<FoundRecord[]> {
  const found: FoundRecord[] = []
  let empty = 0
  for (let offset = client.bounds(stream)!.startOffset; offset < to;) {
    const request = { streams: [{ stream, offset, maxBytes: 2000 }], committed: true, maxBytes: 2000 }
    const result = await fetch(client, request)
    const read = result.streams[0] as StreamRead
    if (read.error === 'offset-out-of-range' && client.bounds(stream)!.startOffset > offset) {
      offset = client.bounds(stream)!.startOffset // Trimmed meanwhile.
      continue
    }
    assert.equal(read.error, undefined)
    const waiting = read.aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
    const aborting = new Set<number>()
    const before = offset
    for (const bytes of read.batches) {
      for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
        const batch = Buffer.from(bytes.subarray(at, at + batches.batchBytes(bytes, at)))
        offset = batches.lastOffset(batch) + 1
        while (waiting[0] && waiting[0].firstOffset <= batches.lastOffset(batch))
          aborting.add(waiting.shift()!.producerId)
        const producer = batches.producerId(batch)
        const bits = batches.attributes(batch)
        const isAbort = bits & batches.attributeBits.control && batch.readInt16BE(batch.length - 6 - 1 - 1 - 2) === 0
        if (isAbort) aborting.delete(producer)
        const isAborted = bits & batches.attributeBits.transactional && aborting.has(producer)
        if (!isAborted) found.push(...keyedRecords([batch], before))
      }
    }
    result.release()
    // Now and then: what was aborted there may have been forgotten under the read, and under the next one, too.
    empty = offset > before ? 0 : empty + 1
    assert(empty < emptyMax, `nothing committed to read at ${before} before ${to}`)
  }
  return found
}

/** With nothing left to do, no key has two records in what is compacted. */
async function checkCompacted({ cell, client, fatal }: TestCell, model: Model): Promise<number> {
  for (let round = 0; round < 3; round++) await cell.checkpointer.settle()
  assert.deepEqual(fatal, [])
  const { compactedTo, stableEnd, tailStart, startOffset } = cell.state.streams.get(stream)!
  const end = Math.max(startOffset, Math.min(tailStart, stableEnd - 1))
  assert(compactedTo >= end || startOffset >= end, `${compactedTo} and not ${end}`)
  const isLeft = ({ offset }: FoundRecord) => offset < compactedTo && model.written.get(offset)?.isCommitted !== false
  const keys = (await readKeyed(client, stream)).filter(isLeft).map(({ key }) => key)
  assert.equal(new Set(keys).size, keys.length, `two records of a key below ${compactedTo}`)
  return model.end - keys.length
}

test(`of each key the newest record is there, whatever happens (SEED=${seed})`, async () => {
  let removed = 0
  for (let index = 0; index < seeds; index++) {
    const simulator = new Simulator(seed + index)
    const model = new Model(new Random(seed + index))
    const machine = simulator.process('broker')
    const story = async (): Promise<void> => {
      for (let life = 0; life < lives; life++) {
        const opened = await open(machine.start(), model)
        if (!opened.cell.state.streams.has(stream)) await opened.cell.durable(opened.cell.define('stream'))
        await opened.cell.durable(opened.cell.openSeq)
        model.recover(opened.client.bounds(stream)!.endOffset)
        const isCrash = model.random.chance(0.7)
        let isOver = false
        const work = async (): Promise<void> => {
          for (let count = 0; count < steps && !isOver; count++) await step(opened, model, simulator)
        }
        if (isCrash) {
          let failure: Error | undefined
          work().catch((error: unknown) => (failure = error instanceof Error ? error : new Error(String(error))))
          await simulator.sleep(model.random.below(4_000))
          if (failure) throw failure
          isOver = true
          machine.crash({ power: model.random.chance(0.5) })
        } else {
          await work()
          removed += await checkCompacted(opened, model)
          await opened.cell.close()
          machine.crash({ power: true })
        }
      }
    }
    let outcome: Error | true | undefined
    story().then(
      () => (outcome = true),
      (error: unknown) => (outcome = error instanceof Error ? error : new Error(String(error))),
    )
    await simulator.run(3_600_000, () => outcome !== undefined)
    if (outcome instanceof Error) {
      outcome.message = `seed ${seed + index}: ${outcome.message}`
      throw outcome
    }
    assert(outcome, `seed ${seed + index} came to no end`)
  }
  assert(removed > 0, 'nothing was compacted: the test tries nothing')
})
