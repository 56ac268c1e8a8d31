import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  closeStores,
  fileStores,
  openCell,
  append,
  readAll,
  temporary,
} from '../../packages/broker/src/cell/testing/cells.ts'
import { verifyDirectory } from '../../packages/broker/src/cell/verify.ts'
import { dataFormat, openDirectory } from '../../packages/broker/src/data-directory.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import * as batches from '../../packages/broker/src/storage/record-batch.ts'

const here = path.dirname(fileURLToPath(import.meta.url))

/** A copy that may be written to. */
function copyOf(format: string, t: { after(run: () => void): void }): string {
  const directory = temporary(t)
  fs.cpSync(path.join(here, format), directory, { recursive: true })
  return directory
}

test('format 1: every kind of file is there and sound', async t => {
  const directory = copyOf('format-1', t)
  const names = fs.readdirSync(directory, { recursive: true }).map(String).sort()
  for (const kind of [
    /^format\.json$/,
    /^cell\/0\/b\/kept$/,
    /^cell\/0\/b\/\d{12}\.blocks$/,
    /^cell\/0\/c\/[0-9a-f]{16}$/,
    /^cell\/0\/s\/1-\d+$/,
  ]) {
    assert(
      names.some(name => kind.test(name)),
      `${kind} in ${names.join()}`,
    )
  }
  assert.deepEqual((await verifyDirectory(realRuntime().disk, directory, {})).findings, [])
})

test('format 1: its directory is taken', async t => {
  const { disk, clock } = realRuntime()
  const directory = copyOf('format-1', t)
  const stores = await openDirectory({ path: directory, disk, clock, dsync: false, reserveBytes: 0 })
  await stores.close()
  // From now on an older release would misread what is written here.
  assert.deepEqual(JSON.parse(fs.readFileSync(path.join(directory, 'format.json'), 'utf8')), { format: dataFormat })
})

for (const damaged of [false, true]) {
  test(`format 1: records, bounds, epochs and producers are found ${damaged ? 'from the older checkpoint' : 'from the newest checkpoint'}`, async t => {
    const directory = copyOf('format-1', t)
    if (damaged) {
      const newest = fs.readdirSync(path.join(directory, 'cell/0/c')).sort().at(-1)!
      fs.writeFileSync(path.join(directory, 'cell/0/c', newest), 'rotten')
    }
    const stores = fileStores(directory)
    const { cell, client } = await openCell(stores)
    assert.equal(cell.epoch, 3)
    assert.deepEqual([...cell.state.streams.keys()], [1024, 1025, 1027])
    const first = [1, 2, 3, 4, 5].flatMap(round => [`first ${round} a`, `first ${round} b`])
    const texts = [...first, 'second life', 'in the journal'].map((text, index): [number, string] => [index + 2, text])
    assert.deepEqual(await readAll(client, 1024), texts)
    assert.deepEqual(client.bounds(1024), { startOffset: 2, endOffset: 14, stableOffset: 14, epoch: 2, startEpoch: 1 })
    assert.deepEqual(client.epochEnd(1024, 1), { epoch: 1, endOffset: 12 })
    const second = await readAll(client, 1025)
    assert.deepEqual(
      second.map(([offset]) => offset),
      [3, 4, 5, 6, 7, 8, 9, 10, 11],
    )
    assert.deepEqual(second.slice(0, 2), [
      [3, 'null'],
      [4, 'x'.repeat(500)],
    ])
    assert.deepEqual(await readAll(client, 1027), [[0, 'a stream of the journal']])
    assert.deepEqual(await client.offsetAtTime(1024, 1_700_000_000_001), {
      offset: 3,
      timestampMs: 1_700_000_000_001,
      epoch: 1,
    })
    const repeated = batches.makeBatch([{ value: Buffer.from('in the journal'), timestampMs: 0 }], {
      producerId: 4001,
      producerEpoch: 2,
      baseSequence: 12,
    })
    assert.equal((await append(client, 1024, repeated)).baseOffset, 13)
    assert.equal(cell.define('stream'), 1028)
    await cell.close()
    await closeStores(stores)
  })
}
