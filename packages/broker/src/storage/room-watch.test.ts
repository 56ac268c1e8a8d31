import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import test from 'node:test'
import { realRuntime } from '../runtime/real/real-runtime.ts'
import { DiskError } from '../runtime/runtime.ts'
import { FileChain } from './file-chain.ts'
import { RoomWatch } from './room-watch.ts'

const full = new DiskError('full', 'no space left on device')

interface Bench {
  room: RoomWatch
  lines: string[]
  /** Runs what waits for its time. */
  elapse(): void
}

function bench(): Bench {
  const lines: string[] = []
  const timers = new Set<() => void>()
  const clock = {
    after: (_ms: number, run: () => void) => {
      timers.add(run)
      return () => void timers.delete(run)
    },
  }
  const log = (level: string, message: string): void => void lines.push(`${level} ${message}`)
  const elapse = (): void => {
    for (const run of timers) run()
    timers.clear()
  }
  return { room: new RoomWatch({ clock, log }), lines, elapse }
}

test('a shortage is told once, however many meet it, and its end when nobody does any more', () => {
  const { room, lines, elapse } = bench()
  room.missing('journal', full)
  room.missing('flush', full)
  room.missing('journal', full)
  assert.equal(lines.length, 1)
  assert.match(lines[0] ?? '', /^error The disk is full/)
  room.found('journal')
  elapse()
  assert.equal(lines.length, 1)
  assert.equal(room.shortage, 'space')
  room.found('flush')
  elapse()
  assert.match(lines[1] ?? '', /^warn There is room again/)
  assert.equal(room.shortage, undefined)
})

test('room that comes and goes is not told of', () => {
  const { room, lines, elapse } = bench()
  for (let round = 0; round < 10; round++) {
    room.low('reserve', 'little is left')
    room.found('reserve')
  }
  room.low('reserve', 'little is left')
  elapse()
  assert.equal(lines.length, 1)
})

test('a lack of descriptors is not called a full disk', () => {
  const { room, lines } = bench()
  const cause = Object.assign(new Error('too many open files'), { code: 'EMFILE' })
  room.missing('flush', new DiskError('full', 'Cannot open a file', { cause }))
  assert.equal(room.shortage, 'descriptors')
  assert.match(lines[0] ?? '', /^error No file descriptors are left/)
})

test('a directory that is gone ends the chain instead of being called full', async t => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dragoman-chain-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  const { disk, clock } = realRuntime()
  const chain = await FileChain.open(directory, { disk, clock, fileBytes: 32 * 1024, dsync: true, reserveBytes: 1024 })
  fs.rmSync(directory, { recursive: true })
  await chain.checkRoom()
  assert.equal(chain.full, false)
  await assert.rejects(chain.put(0, [Buffer.alloc(100)]), /The data directory is gone/)
  await chain.checkRoom()
  await assert.rejects(chain.put(0, [Buffer.alloc(100)]), /The data directory is gone/)
  await chain.close()
})

test('below the reserve the log says how much is free and how much is kept', async t => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'dragoman-chain-'))
  t.after(() => fs.rmSync(directory, { recursive: true, force: true }))
  const { disk, clock } = realRuntime()
  const reasons: unknown[] = []
  const room = new RoomWatch({ clock, log: (_level, _message, fields) => void reasons.push(fields?.['reason']) })
  const chain = await FileChain.open(directory, {
    disk,
    clock,
    fileBytes: 32 * 1024,
    dsync: true,
    reserveBytes: 2 ** 60,
    room,
  })
  assert.equal(chain.full, true)
  assert.match(String(reasons[0]), /^[\d.]+ MiB are free where .*, and --reserve-bytes keeps 1099511627776\.0 MiB$/)
  await chain.close()
  room.close()
})
