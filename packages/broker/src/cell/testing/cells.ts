import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { Random } from '@dragoman/wire'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { Clock } from '../../runtime/runtime.ts'
import type { BlobStore } from '../../storage/blob-store.ts'
import type { ChainStore } from '../../storage/chain-store.ts'
import { FileBlobStore, FileChainStore } from '../../storage/file-store.ts'
import { MemoryBlobStore, MemoryChainStore } from '../../storage/memory-store.ts'
import * as batches from '../../storage/record-batch.ts'
import { Cell } from '../cell.ts'
import type { AppendResult, FetchRequest, FetchResult, StreamRead } from '../client.ts'
import { LocalCellClient } from '../local-client.ts'
import { defaultCellSizes } from '../options.ts'
import type { CellOptions, CellSizes } from '../options.ts'

/** What tests of the cell share: cells on memory, on files and on a clock that the test moves. */

export interface Stores {
  chain: ChainStore
  blobs: BlobStore
}

export const memoryStores = (): Stores => ({ chain: new MemoryChainStore(), blobs: new MemoryBlobStore() })

export function fileStores(directory: string, fileBytes = 256 * 1024, dsync = true): Stores {
  const { disk, clock } = realRuntime()
  const options = { disk, clock, fileBytes, dsync, reserveBytes: 0 }
  return { chain: new FileChainStore(directory, options), blobs: new FileBlobStore(directory, disk) }
}

export async function closeStores({ chain, blobs }: Stores): Promise<void> {
  await chain.close()
  await blobs.close()
}

/** A directory that goes with the test. */
export function temporary(t: { after(run: () => void): void }): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dragoman-test-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A clock that stands still until the test moves it; `soon` is the real event loop's. */
export class ManualClock implements Clock {
  #nowMs = 1_000_000
  #timers: { dueMs: number; run: () => void }[] = []
  /** By so much the wall clock was set. */
  setMs = 0

  nowMs(): number {
    return this.#nowMs + this.setMs
  }
  monotonicMs(): number {
    return this.#nowMs
  }
  after(delayMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer)
    }
  }
  soon(run: () => void): void {
    setImmediate(run)
  }
  /** Runs what is due until then, and what follows from it, in order of time. */
  async advance(byMs: number): Promise<void> {
    const goalMs = this.#nowMs + byMs
    for (;;) {
      await turns()
      const due = this.#timers.filter(({ dueMs }) => dueMs <= goalMs).sort((a, b) => a.dueMs - b.dueMs)[0]
      if (!due) break
      this.#timers = this.#timers.filter(timer => timer !== due)
      this.#nowMs = Math.max(this.#nowMs, due.dueMs)
      due.run()
    }
    this.#nowMs = goalMs
  }
}

/** Lets everything happen that memory and the event loop have ready. */
export async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>(resolve => setImmediate(resolve))
}

/** Small enough that a few hundred kilobytes meet every edge. */
export const smallSizes: Partial<CellSizes> = {
  flushBytes: 64 * 1024,
  slabBytes: 64 * 1024,
  blockBytesMax: 32 * 1024,
  flushIntervalMs: 60_000,
}

export interface TestCell {
  cell: Cell
  client: LocalCellClient
  /** What the cell has logged, and that it has stopped. */
  log: string[]
  fatal: Error[]
}

export async function openCell(
  stores: Stores,
  more: Partial<Omit<CellOptions, 'sizes'>> & { sizes?: Partial<CellSizes> } = {},
): Promise<TestCell> {
  const log: string[] = []
  const fatal: Error[] = []
  const cell = await Cell.open({
    cell: 0,
    ...stores,
    clock: realRuntime().clock,
    random: new Random(Math.floor(process.hrtime()[1])),
    machines: {},
    exclusive: true,
    retentionOf: () => undefined,
    onFatal: error => fatal.push(error),
    onFenced: () => fatal.push(new Error('fenced')),
    log: (level, message) => void log.push(`${level} ${message}`),
    ...more,
    sizes: { ...defaultCellSizes, ...smallSizes, ...more.sizes },
  })
  return { cell, client: new LocalCellClient(cell), log, fatal }
}

/** Stops a cell as a kill would, but for what is under way. */
export async function abandon({ cell }: TestCell): Promise<void> {
  await cell.journal.close()
  await cell.checkpointer.abandon()
}

export const record = (text: string, timestampMs = 1000) => ({ key: null, value: Buffer.from(text), timestampMs })

export const append = (client: LocalCellClient, stream: number, batch: Buffer): Promise<AppendResult> =>
  new Promise(resolve => client.append(stream, batch, resolve))

/** Appends one record of text and expects it to be taken. */
export async function publish(
  client: LocalCellClient,
  stream: number,
  text: string,
  timestampMs = 1000,
): Promise<number> {
  const { error, baseOffset } = await append(client, stream, batches.makeBatch([record(text, timestampMs)]))
  assert.equal(error, undefined)
  return baseOffset
}

export const fetch = (client: LocalCellClient, request: Partial<FetchRequest>): Promise<FetchResult> =>
  new Promise(resolve =>
    client.fetch({ streams: [], minBytes: 0, maxBytes: 1024 * 1024, maxWaitMs: 0, ...request }, resolve),
  )

export async function fetchOne(
  client: LocalCellClient,
  stream: number,
  offset: number,
  maxBytes = 1024 * 1024,
): Promise<StreamRead & { release(): void }> {
  const result = await fetch(client, { streams: [{ stream, offset, maxBytes }], maxBytes })
  return { ...result.streams[0]!, release: () => result.release() }
}

/** Records of whole, uncompressed batches from `offset` on. */
export function recordsIn(pieces: readonly Buffer[], offset = 0): [number, string][] {
  const found: [number, string][] = []
  for (const bytes of pieces) {
    for (let at = 0; at < bytes.length; at += batches.batchBytes(bytes, at)) {
      const batch = bytes.subarray(at, at + batches.batchBytes(bytes, at))
      assert.equal(batches.checkBatch(batch, 1e9), undefined)
      for (const stored of batches.readRecords(batch, batch.subarray(batches.batchHeaderBytes))) {
        if (stored.offset >= offset) found.push([stored.offset, String(stored.value)])
      }
    }
  }
  return found
}

/** All records of a stream, read in steps of `maxBytes`. */
export async function readAll(client: LocalCellClient, stream: number, maxBytes = 10_000): Promise<[number, string][]> {
  const found: [number, string][] = []
  for (let offset = client.bounds(stream)!.startOffset; offset < client.bounds(stream)!.endOffset;) {
    const read = await fetchOne(client, stream, offset, maxBytes)
    assert.equal(read.error, undefined)
    const records = recordsIn(read.batches, offset)
    assert(records.length > 0, `nothing at ${offset}`)
    found.push(...records)
    offset = records.at(-1)![0] + 1
    read.release()
  }
  return found
}
