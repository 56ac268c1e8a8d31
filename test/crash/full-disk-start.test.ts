import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { dragomanIsThere, repository, startDragoman } from '../support/dragoman.ts'
import { fillDisk, mountDisk, unmountDisk } from '../support/small-disk.ts'

const path = dragomanIsThere ? mountDisk(64) : undefined
const args = ['--reserve-bytes', '64KiB']

test('a start on a full disk waits for room', { skip: path === undefined, timeout: 60_000 }, async () => {
  assert(path !== undefined)
  const filler = join(path, '.filler')
  fillDisk(filler, 96 * 1024)
  const main = join(repository, 'packages', 'cli', 'src', 'dragoman.js')
  const words = [main, 'serve', '--data', join(path, 'data'), '--only', 'kafka', '--kafka', '0', ...args]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  try {
    const [told] = await once(child.stderr, 'data')
    assert.match(String(told), /The disk is full/)
    rmSync(filler)
    for (let said = ''; !said.includes('ready');) said += String((await once(child.stdout, 'data'))[0])
  } finally {
    child.kill()
    assert.deepEqual(await once(child, 'exit'), [0, null])
  }
})

test('who has run before starts without a byte of room', { skip: path === undefined }, async t => {
  assert(path !== undefined)
  t.after(() => unmountDisk(path))
  fillDisk(join(path, '.filler'), 0)
  for (let starts = 0; starts < 3; starts++) {
    const { process } = await startDragoman({ data: join(path, 'data'), args })
    t.after(() => process.kill())
    await assert.rejects(startDragoman({ data: join(path, 'data'), args }), /is in use by another process/)
    await process.stop()
  }
})
