import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import test from 'node:test'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import { Corrupt } from '../storage/errors.ts'
import { FileBlobStore, FileChainStore } from '../storage/file-store.ts'
import { FaultyDisk } from '../storage/testing/faulty-disk.ts'
import {
  abandon,
  closeStores,
  fetchOne,
  fileStores,
  openCell,
  publish,
  readAll,
  recordsIn,
  temporary,
} from './testing/cells.ts'
import { verifyDirectory } from './verify.ts'
import type { Finding } from './verify.ts'

const streamId = 1024

/** Two checkpoints, a segment for each of four flushes, and journal blocks behind the newer checkpoint. */
async function fill(directory: string): Promise<void> {
  const stores = fileStores(directory)
  const test = await openCell(stores)
  const stream = test.cell.define('stream')
  for (let round = 0; round < 4; round++) {
    for (let count = 0; count < 3; count++) await publish(test.client, stream, `round ${round} ${'x'.repeat(100)}`)
    await test.cell.checkpointer.flush()
  }
  for (let count = 0; count < 5; count++) await publish(test.client, stream, 'in the journal')
  await abandon(test)
  await closeStores(stores)
}

const verify = (directory: string) => verifyDirectory(realRuntime().disk, directory, {})

function names(directory: string, kind: string): string[] {
  const at = path.join(directory, 'cell/0', kind)
  return fs
    .readdirSync(at)
    .sort()
    .map(name => path.join(at, name))
}

function flip(file: string, at: number): void {
  const bytes = fs.readFileSync(file)
  bytes[at < 0 ? bytes.length + at : at]! ^= 1
  fs.writeFileSync(file, bytes)
}

/** Damages a fresh directory, and tells what is found there, the broker started after it, and what it then serves. */
async function after(
  t: { after(run: () => void): void },
  damage: (directory: string) => void,
): Promise<{ findings: Finding[]; directory: string }> {
  const directory = temporary(t)
  await fill(directory)
  damage(directory)
  const { findings } = await verify(directory)
  for (const { where } of findings) assert(where.startsWith(directory), where)
  return { findings, directory }
}

/** Offsets that cannot be read after a start, of the 17 that were written. */
async function refusedAfter(directory: string): Promise<number[]> {
  const stores = fileStores(directory)
  const test = await openCell(stores)
  const refused: number[] = []
  const { startOffset, endOffset } = test.client.bounds(streamId)!
  assert.deepEqual([startOffset, endOffset], [0, 17])
  for (let offset = 0; offset < 17; offset++) {
    const read = await fetchOne(test.client, streamId, offset)
    if (read.error === 'storage-corrupt') refused.push(offset)
    else assert.equal(read.error, undefined)
  }
  await abandon(test)
  await closeStores(stores)
  return refused
}

const told = (findings: Finding[]) => findings.map(({ level, what }) => `${level}: ${what}`)

test('a sound directory has no findings, and counts', async t => {
  const directory = temporary(t)
  await fill(directory)
  const report = await verify(directory)
  assert.deepEqual(report.findings, [])
  assert.deepEqual([report.checkpoints, report.segments, report.batches, report.records], [2, 4, 12, 12])
  assert(report.blocks >= 6)
  assert.deepEqual(await refusedAfter(directory), [])
})

test('a directory without any data is sound', async t => {
  const directory = temporary(t)
  assert.deepEqual((await verify(directory)).findings, [])
  fs.mkdirSync(path.join(directory, 'cell/0/c'), { recursive: true })
  assert.deepEqual((await verify(directory)).findings, [])
})

test('damage in the middle of the journal: told with its place, and the broker refuses', async t => {
  let at = 0
  const { findings, directory } = await after(t, directory => {
    const file = names(directory, 'b')[0]!
    const bytes = fs.readFileSync(file)
    at = ((bytes.lastIndexOf('in the journal') >> 12) << 12) - 8192
    flip(file, at + 120)
  })
  assert(
    told(findings).some(line => line.includes(`000000000001.blocks is damaged from byte ${at} on`)),
    told(findings).join(),
  )
  assert(findings.every(({ advice }) => /Restore the directory from a copy/.test(advice)))
  await assert.rejects(openCell(fileStores(directory)), Corrupt)
})

test('a torn last block is a note, and is cut', async t => {
  const { findings, directory } = await after(t, directory => {
    const file = names(directory, 'b')[0]!
    flip(file, fs.readFileSync(file).lastIndexOf('in the journal'))
  })
  assert.match(
    told(findings).join(),
    /^note: .*000000000001\.blocks ends in a block that is not whole, \d+ at byte \d+\.$/,
  )
  const stores = fileStores(directory)
  const { cell, client } = await openCell(stores)
  assert.equal((await readAll(client, streamId)).length, 16)
  await cell.close()
  await closeStores(stores)
})

for (const [which, index] of [
  ['older', 0],
  ['newest', 1],
] as const) {
  for (const place of [0, 5, 40, 100, -1]) {
    test(`a flipped byte ${place} of the ${which} checkpoint: told, and nothing is lost`, async t => {
      const { findings, directory } = await after(t, directory => flip(names(directory, 'c')[index]!, place))
      assert.equal(findings.length >= 1, true)
      const finding = findings.find(({ where }) => where === names(directory, 'c')[index])!
      assert.match(finding.what, /^The checkpoint cannot be read: .*\.$/)
      assert.match(finding.advice, /uses the checkpoint before it/)
      assert.deepEqual(await refusedAfter(directory), [])
    })
  }
}

test('a draft of a checkpoint is a note', async t => {
  const { findings, directory } = await after(t, directory =>
    fs.writeFileSync(`${names(directory, 'c')[0]!}.draft`, 'half'),
  )
  assert.deepEqual(told(findings), ['note: A checkpoint that was not finished.'])
  assert.deepEqual(await refusedAfter(directory), [])
})

test('a damaged chunk: its range is named and refused, the rest is served', async t => {
  const { findings, directory } = await after(t, directory => flip(names(directory, 's')[1]!, 150))
  assert.equal(findings.length, 1)
  assert.match(findings[0]!.what, /^The checksum of bytes 32 to \d+ \(stream 1024 from offset 3\) is wrong\.$/)
  assert.match(findings[0]!.advice, /Reads of this range are refused, everything else is served/)
  assert.deepEqual(await refusedAfter(directory), [3, 4, 5])
})

test('damaged tables of a segment', async t => {
  const { findings, directory } = await after(t, directory => flip(names(directory, 's')[1]!, -40))
  assert.match(told(findings).join(), /^damage: the tables of cell\/0\/s\/1-1 are damaged\.$/)
  assert.deepEqual(await refusedAfter(directory), [], 'reads do not need the directory of a segment')
})

test('what a damaged table says of offsets is not believed: no record is passed over', async t => {
  const directory = temporary(t)
  const stores = fileStores(directory)
  const test = await openCell(stores, { sizes: { flushBytes: 1024 * 1024 } })
  const stream = test.cell.define('stream')
  for (let count = 0; count < 12; count++) await publish(test.client, stream, `${count} `.padEnd(20_000, 'x'))
  await test.cell.checkpointer.flush()
  await abandon(test)
  await closeStores(stores)
  const file = names(directory, 's')[0]!
  const sound = fs.readFileSync(file)
  const table = sound.readUInt32BE(sound.length - 32)
  const rows = sound.readUInt32BE(sound.length - 28)
  assert(rows >= 3, 'the test needs several chunks')
  for (let row = 0; row < rows; row++) {
    const at = table + row * 28 + 7
    for (const base of [sound[at]! - 1, sound[at]! + 1, 200]) {
      const bytes = Buffer.from(sound)
      bytes[at] = base & 0xff
      fs.writeFileSync(file, bytes)
      await expectAllOrRefused(directory)
    }
  }
})

/** Each of 12 records is given where it is asked for, or the read is refused. */
async function expectAllOrRefused(directory: string): Promise<void> {
  const stores = fileStores(directory)
  const test = await openCell(stores)
  let refused = 0
  for (let offset = 0; offset < 12; offset++) {
    const read = await fetchOne(test.client, streamId, offset, 1)
    if (read.error === undefined) assert.equal(recordsIn(read.batches, offset)[0]?.[0], offset)
    else refused++
    read.release()
  }
  assert(refused > 0, 'the damage was met')
  await abandon(test)
  await closeStores(stores)
}

test('what the medium does not give back is told, and all the rest is looked at', async t => {
  const directory = temporary(t)
  await fill(directory)
  const whole = await verify(directory)
  for (const [kind, index, what, blocks, records] of [
    ['b', 0, /Cannot read .*blocks/, 1, whole.records],
    ['c', 1, /The checkpoint cannot be read: Cannot read/, whole.blocks, whole.records],
    ['s', 1, /Cannot read .*1-1/, whole.blocks, whole.records - 3],
  ] as const) {
    const disk = new FaultyDisk(realRuntime().disk)
    const bad = names(directory, kind)[index]
    disk.fault = (operation, path) => (operation === 'read' && path === bad ? 'io' : undefined)
    const report = await verifyDirectory(disk, directory, {})
    const damages = report.findings.filter(({ level, where }) => level === 'damage' && where === bad)
    assert.equal(damages.length, 1, told(report.findings).join())
    assert.match(damages[0]!.what, what)
    assert.equal(report.blocks, blocks)
    if (kind !== 'c') assert.equal(report.findings.length, 1, told(report.findings).join())
    if (kind !== 'c') assert.equal(report.records, records)
  }
})

test('a missing and a short segment, and one that nothing names', async t => {
  const { findings, directory } = await after(t, directory => {
    const [first, second] = names(directory, 's')
    fs.rmSync(first!)
    fs.truncateSync(second!, 100)
    fs.writeFileSync(path.join(directory, 'cell/0/s/7-7'), 'left over')
  })
  const [short, missing, orphan] = told(findings).sort()
  assert.match(short!, /^damage: The segment has 100 bytes and should have \d+\.$/)
  assert.equal(missing, 'damage: The segment is missing.')
  assert.equal(orphan, 'note: No checkpoint names this segment.')
  assert.deepEqual(await refusedAfter(directory), [0, 1, 2, 3, 4, 5])
  assert(!fs.existsSync(path.join(directory, 'cell/0/s/7-7')))
})

test('without the end of its journal the broker does not start, unless it is told to go on without it', async t => {
  const { findings, directory } = await after(t, directory => {
    for (const file of names(directory, 'b')) fs.rmSync(file)
  })
  assert.match(
    told(findings).join(),
    /^damage: Block \d+, which the newest checkpoint holds, is missing: the end of the journal was lost\.$/,
  )
  const strict = fileStores(directory)
  await assert.rejects(openCell(strict), /the journal ends before block \d+, which a checkpoint holds/)
  await closeStores(strict)
  const stores = fileStores(directory, undefined, false)
  const { cell, client, log } = await openCell(stores)
  assert.match(log.join(), /its last blocks were lost/)
  assert.equal((await readAll(client, streamId)).length, 12)
  await cell.close()
  await closeStores(stores)
})

for (const [what, lose] of [
  ['cannot be read', (file: string) => flip(file, 40)],
  ['are gone', (file: string) => fs.rmSync(file)],
] as const) {
  test(`without syncs, a start does not take it for a power cut when the checkpoints ${what}`, async t => {
    const directory = temporary(t)
    const { disk, clock } = realRuntime()
    const open = () => {
      const options = { disk, clock, fileBytes: 16 * 1024, dsync: false, reserveBytes: 0 }
      return { chain: new FileChainStore(directory, options), blobs: new FileBlobStore(directory, disk, false) }
    }
    for (let life = 0; life < 2; life++) {
      const stores = open()
      const test = await openCell(stores)
      const stream = life === 0 ? test.cell.define('stream') : streamId
      for (let round = 0; round < 4; round++) {
        for (let count = 0; count < 8; count++) await publish(test.client, stream, 'x'.repeat(3000))
        await test.cell.checkpointer.flush()
      }
      await publish(test.client, stream, 'last')
      await abandon(test)
      await closeStores(stores)
    }
    for (const file of names(directory, 'c')) lose(file)
    const before = names(directory, 'b').map(file => fs.readFileSync(file))
    const stores = open()
    await assert.rejects(openCell(stores), Corrupt)
    await closeStores(stores)
    assert.deepEqual(
      names(directory, 'b').map(file => fs.readFileSync(file)),
      before,
      'nothing was cut off',
    )
  })
}
