import assert from 'node:assert/strict'
import { Random, Reader, Writer } from '@dragoman/wire'
import type { Cell } from '../../cell/cell.ts'
import type { MachineFactories } from '../../cell/state.ts'
import type { LocalCellClient } from '../../cell/local-client.ts'
import { abandon, memoryStores, openCell, type Stores, type TestCell } from '../../cell/testing/cells.ts'
import { makeBatch } from '../../storage/record-batch.ts'
import { DirectoryMachine } from '../directory.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { Topics } from '../topics.ts'
import type { EntryId } from './entry-id.ts'
import type { EntryStream, WantedId } from './entry-stream.ts'
import { EntryStreams } from './entry-streams.ts'
import { EntryStreamsMachine } from './machine.ts'

/** What tests of streams of entries share: a broker's core over stores that outlive it. */
export interface Bench extends TestCell {
  topics: Topics
  streams: EntryStreams
  stores: Stores
  /** Stops as a kill would, and starts again. */
  restart(): Promise<Bench>
}

const machines: MachineFactories = {
  directory: () => new DirectoryMachine(),
  entryStreams: () => new EntryStreamsMachine(),
}

export async function openBench(stores: Stores = memoryStores(), limits: Partial<Limits> = {}): Promise<Bench> {
  let streams: EntryStreams | undefined
  const test = await openCell(stores, {
    machines,
    retentionOf: stream => streams?.retentionOf(stream),
    liveOf: stream => streams?.liveOf(stream),
  })
  const all = { ...defaultLimits, ...limits }
  const topics = await Topics.open(test.cell, { limits: all, random: new Random(1) })
  streams = new EntryStreams({ ledger: test.cell, cell: test.client, topics, limits: all })
  const restart = async (): Promise<Bench> => {
    await abandon(test)
    return openBench(stores, limits)
  }
  return { ...test, topics, streams, stores, restart }
}

export const durable = (cell: Cell): Promise<void> => cell.durable(cell.lastSeq)

export const show = ({ ms, seq }: EntryId): string => `${ms}-${seq}`

export function id(text: string): EntryId {
  const [ms, seq = '0'] = text.split('-')
  return { ms: Number(ms), seq: Number(seq) }
}

/** Adds an entry and expects it to be taken. Returns its id. */
export function add(stream: EntryStream, text: string, wanted: WantedId = 'next'): string {
  assert.equal(stream.add({ value: Buffer.from(text) }, wanted), undefined)
  return show(stream.state.lastId)
}

/** Adds a record that brings no id. */
export const publish = (
  { client }: { client: LocalCellClient },
  stream: EntryStream,
  ...texts: string[]
): Promise<void> =>
  new Promise(resolve => {
    const records = texts.map(text => ({ key: null, value: Buffer.from(text), timestampMs: 5 }))
    client.append(stream.stream, makeBatch(records), ({ error }) => {
      assert.equal(error, undefined)
      resolve()
    })
  })

export interface Shown {
  id: string
  text: string
}

/** What there is from one id to another. */
export async function entriesOf(stream: EntryStream, from: EntryId, to: EntryId, isBack = false): Promise<Shown[]> {
  const found: Shown[] = []
  const visit = (entry: { id: EntryId; record: { value: Buffer | null } }): boolean => {
    found.push({ id: show(entry.id), text: String(entry.record.value) })
    return true
  }
  stream.notice()
  await (isBack ? stream.rangeBack(from, to, visit) : stream.range(from, to, visit))
  return found
}

/** What a machine would write into a checkpoint, and the same after it was read back. */
export function saved(machine: EntryStreamsMachine): [Buffer, Buffer] {
  const bytes = bytesOf(machine)
  const copy = new EntryStreamsMachine()
  const from = new Reader(bytes)
  copy.load(from)
  from.expectEnd()
  return [bytes, bytesOf(copy)]
}

function bytesOf(machine: EntryStreamsMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}
