import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { Address, Connection } from '../runtime.ts'
import { DiskError, NetworkError } from '../runtime.ts'
import { Backlog } from './backlog.ts'
import { RealConnection } from './connection.ts'
import { realRuntime } from './real-runtime.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const { disk, network, clock, random } = realRuntime()
const loopback = { host: '127.0.0.1', port: 0 }

const hasCode = (code: string) => (error: unknown) =>
  (error instanceof DiskError || error instanceof NetworkError) && error.code === code

function temporaryDirectory(context: { after(run: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-runtime-'))
  context.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test(`RealDisk reads back what many parts wrote at any place (SEED=${seed})`, async context => {
  const path = join(temporaryDirectory(context), 'file')
  const draw = new Random(seed)
  const expected = Buffer.alloc(2_000_000)
  for (const dsync of [true, false]) {
    const file = await disk.open(path, dsync ? 'create' : 'write', { dsync })
    for (const partCount of [0, 1, 2, 1024, 1025, 3000]) {
      const parts = Array.from({ length: partCount }, () => draw.bytes(draw.below(500)))
      const bytes = Buffer.concat(parts)
      const position = draw.below(expected.length - bytes.length)
      bytes.copy(expected, position)
      await file.write(parts, position)
    }
    await file.sync()
    await file.truncate(expected.length)
    assert.equal(await file.size(), expected.length)
    const target = Buffer.alloc(expected.length + 10)
    assert.equal(await file.read(target, 0), expected.length)
    assert(target.subarray(0, expected.length).equals(expected))
    await file.close()
  }
})

test('RealDisk names what went wrong', async context => {
  const directory = temporaryDirectory(context)
  await assert.rejects(disk.open(join(directory, 'absent'), 'read'), hasCode('not-found'))
  await assert.rejects(disk.list(join(directory, 'absent')), hasCode('not-found'))
  await (await disk.open(join(directory, 'a'), 'create')).close()
  await assert.rejects(disk.open(join(directory, 'a'), 'create'), hasCode('exists'))
  await assert.rejects(disk.remove(join(directory, 'b')), hasCode('not-found'))
  await disk.makeDirectory(join(directory, 'x/y'))
  await disk.makeDirectory(join(directory, 'x/y'))
  await disk.rename(join(directory, 'a'), join(directory, 'x/y/b'))
  await disk.syncDirectory(join(directory, 'x/y'))
  assert.deepEqual(await disk.list(join(directory, 'x')), ['y'])
  await disk.remove(join(directory, 'x/y/b'))
  await disk.remove(join(directory, 'x/y'))
  assert((await disk.freeBytes(directory)) > 0)
  assert((await disk.totalBytes(directory)) >= (await disk.freeBytes(directory)))
  const full = await disk.open('/dev/full', 'write').catch(() => undefined)
  if (full) await assert.rejects(full.write([Buffer.from('x')], 0), hasCode('full'))
})

test('RealDisk makes directories with those above them, and says why it cannot', async context => {
  const directory = temporaryDirectory(context)
  await disk.makeDirectory(join(directory, 'a/b/c/'))
  await disk.makeDirectory(join(directory, 'a'))
  assert.deepEqual(await disk.list(join(directory, 'a/b')), ['c'])
  await (await disk.open(join(directory, 'file'), 'create')).close()
  await assert.rejects(disk.makeDirectory(join(directory, 'file')), /file is not a directory$/)
  await assert.rejects(disk.makeDirectory(join(directory, 'file/x')), hasCode('io'))
  symlinkSync(join(directory, 'nowhere'), join(directory, 'link'))
  await assert.rejects(disk.makeDirectory(join(directory, 'link')), /link that leads nowhere$/)
  await assert.rejects(disk.makeDirectory(join(directory, 'x'.repeat(300))), /ENAMETOOLONG/)
  symlinkSync(join(directory, 'a'), join(directory, 'good'))
  await disk.makeDirectory(join(directory, 'good/d'))
  assert.deepEqual((await disk.list(join(directory, 'a'))).sort(), ['b', 'd'])
})

test('RealDisk does not try for ever where nothing can be made', { skip: process.platform !== 'linux' }, async () => {
  await assert.rejects(disk.makeDirectory('/proc/x/y'), hasCode('not-found'))
})

test('lock refuses a directory that is in use, in this process or another, and names the holder', async context => {
  const directory = temporaryDirectory(context)
  const lock = await disk.lock(directory)
  await assert.rejects(disk.lock(directory), new RegExp(`in use by process ${process.pid}`))
  await lock.release()
  assert.deepEqual(await disk.list(directory), [])
  const source = `import { realRuntime } from ${JSON.stringify(import.meta.resolve('./real-runtime.ts'))}
    await realRuntime().disk.lock(process.argv[1]); console.log('locked'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await new Promise(resolve => child.stdout.once('data', resolve))
  await assert.rejects(disk.lock(directory), new RegExp(`in use by process ${child.pid}`))
  const ended = new Promise(resolve => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
  await (await disk.lock(directory)).release()
})

test('lock takes a directory over from a lock file that names nobody alive', async context => {
  const directory = temporaryDirectory(context)
  for (const text of ['', '{"pid":', JSON.stringify({ pid: 1, bootId: 'another', startTicks: '1' })]) {
    writeFileSync(join(directory, 'lock'), text)
    await (await disk.lock(directory)).release()
  }
  await assert.rejects(disk.lock(join(directory, 'absent')), hasCode('not-found'))
})

/** Both ends of a connection over loopback, each with all that it was told. */
async function pair(context: { after(run: () => void): void }, isDirect = true): Promise<{ near: End; far: End }> {
  const accepted = Promise.withResolvers<Connection>()
  const listener = await network.listen(loopback, connection => accepted.resolve(connection))
  const near = new End(await (isDirect ? network.connect(listener.address) : connectThroughStream(listener.address)))
  const far = new End(await accepted.promise)
  await listener.close()
  context.after(() => {
    near.connection.destroy()
    far.connection.destroy()
  })
  return { near, far }
}

/** As where Node does not tell the descriptor of a socket. */
async function connectThroughStream(address: Address): Promise<Connection> {
  const socket = connect(address)
  await once(socket, 'connect')
  const { _handle: handle } = socket as { _handle?: object }
  assert(handle)
  Object.defineProperty(handle, 'fd', { value: -1 })
  return new RealConnection(socket)
}

class End {
  readonly connection: Connection
  readonly received: Buffer[] = []
  bytes = 0
  drained = 0
  onData = (): void => {}
  readonly ended = Promise.withResolvers<void>()
  readonly closed = Promise.withResolvers<Error | undefined>()
  #waiting: { bytes: number; resolve: () => void } | undefined

  constructor(connection: Connection) {
    this.connection = connection
    connection.handle({
      data: chunk => {
        this.received.push(Buffer.from(chunk))
        this.bytes += chunk.length
        this.onData()
        if (this.#waiting && this.bytes >= this.#waiting.bytes) this.#waiting.resolve()
      },
      ended: () => this.ended.resolve(),
      drained: () => this.drained++,
      closed: error => this.closed.resolve(error),
    })
  }

  receive(bytes: number): Promise<void> {
    return new Promise(resolve => {
      if (this.bytes >= bytes) resolve()
      else this.#waiting = { bytes, resolve }
    })
  }
}

const ways = [
  [true, ''],
  [false, ' through the stream of Node'],
] as const

for (const [isDirect, how] of ways) {
  test(`RealConnection carries writes of all sizes in their order and gives every one back${how} (SEED=${seed})`, async context => {
    const { near, far } = await pair(context, isDirect)
    const draw = new Random(seed)
    const sent: Buffer[] = []
    const written: number[] = []
    for (let round = 0; round < 300; round++) {
      const parts = Array.from({ length: draw.between(1, 8) }, () => draw.bytes(draw.pick([0, 3, 100, 3000, 70_000])))
      // More than the system takes from one peer for another that does not read.
      if (round === 150) parts.push(Buffer.alloc(10_000_000, 'm'))
      sent.push(...parts)
      if (round === 100) far.connection.pause()
      near.connection.write(parts, () => written.push(round))
      if (round === 200) far.connection.resume()
      if (draw.chance(0.1)) await new Promise<void>(resolve => clock.soon(resolve))
    }
    const expected = Buffer.concat(sent)
    await far.receive(expected.length)
    assert(Buffer.concat(far.received).equals(expected))
    near.connection.end()
    await far.ended.promise
    far.connection.end()
    await Promise.all([near.closed.promise, far.closed.promise])
    assert.deepEqual(
      written,
      Array.from({ length: 300 }, (_, index) => index),
    )
    assert.equal(near.connection.queuedBytes, 0)
    assert(near.drained > 0)
  })
}

test('RealConnection can answer a peer that has ended, and end gives the answer time to arrive', async context => {
  const { near, far } = await pair(context)
  near.connection.write([Buffer.from('question')])
  await far.receive(8)
  far.connection.write([Buffer.alloc(3_000_000, 'a')])
  far.connection.end()
  near.connection.write([Buffer.alloc(100_000)]) // Bytes that nobody reads must not cost the answer.
  await near.receive(3_000_000)
  await near.ended.promise
  near.connection.end()
  assert.equal(await near.closed.promise, undefined)
  assert.equal(await far.closed.promise, undefined)
})

test('RealConnection stops reading while paused, and gives queued writes back when it is destroyed', async context => {
  const { near, far } = await pair(context)
  far.connection.pause()
  let written = 0
  for (let round = 0; round < 100; round++) near.connection.write([Buffer.alloc(1_000_000)], () => written++)
  assert(near.connection.queuedBytes > 0)
  near.connection.destroy()
  await near.closed.promise
  assert.equal(written, 100)
  assert.equal(near.connection.queuedBytes, 0)
  await new Promise<void>(resolve => near.connection.write([Buffer.from('late')], resolve))
  far.connection.resume()
  await Promise.race([far.ended.promise, far.closed.promise])
})

for (const [isDirect, how] of ways) {
  test(`RealConnection gives a slow peer everything in its order, and every write back${how} (SEED=${seed})`, async context => {
    const { near, far } = await pair(context, isDirect)
    const draw = new Random(seed)
    far.connection.pause()
    const sent: Buffer[] = [Buffer.alloc(10_000_000)]
    near.connection.write(sent)
    // Small parts that are gathered, and stay where they were gathered until the system takes them.
    for (let round = 0; round < 8; round++) {
      const parts = [draw.bytes(1000), draw.bytes(2000), draw.bytes(500)]
      sent.push(...parts)
      near.connection.write(parts)
    }
    const written: number[] = []
    let asked = 0
    const write = (): void => {
      const parts = Array.from({ length: draw.below(4) }, () => draw.bytes(draw.pick([0, 17, 500, 5000, 40_000])))
      sent.push(...parts)
      const number = draw.chance(0.3) ? asked++ : -1
      near.connection.write(parts, number < 0 ? undefined : () => void written.push(number))
    }
    for (let round = 0; round < 3000; round++) write()
    assert.equal(near.connection.queuedBytes > 10_000_000, true)
    far.connection.resume()
    for (let round = 0; round < 300; round++) {
      write()
      if (draw.chance(0.3)) await new Promise<void>(resolve => clock.soon(resolve))
    }
    await new Promise<void>(resolve => near.connection.write([], resolve))
    assert.equal(near.connection.queuedBytes, 0)
    const expected = Buffer.concat(sent)
    await far.receive(expected.length)
    assert(Buffer.concat(far.received).equals(expected))
    assert.deepEqual(
      written,
      Array.from({ length: asked }, (_, index) => index),
    )
    // Once it has caught up, and when it ends with something left.
    far.connection.pause()
    for (let round = 0; round < 3000; round++) write()
    near.connection.end()
    far.connection.resume()
    await far.ended.promise
    assert(Buffer.concat(far.received).equals(Buffer.concat(sent)))
  })
}

test('what one peer has not taken yet is not touched by what others are sent', async context => {
  const slow = await pair(context)
  const quick = await pair(context)
  slow.far.connection.pause()
  const sent: Buffer[] = []
  const write = (near: typeof slow.near, fill: number): void => {
    const parts = Array.from({ length: 20 }, (_, index) => Buffer.alloc(1000, fill + index))
    if (near === slow.near) sent.push(...parts)
    near.connection.write(parts)
  }
  // Until the system has no room for all of one write.
  for (let round = 0; slow.near.connection.queuedBytes === 0 && round < 5000; round++) {
    write(slow.near, round)
    await new Promise<void>(resolve => clock.soon(resolve))
  }
  assert(slow.near.connection.queuedBytes > 0)
  write(slow.near, 100)
  for (let round = 0; round < 5; round++) write(quick.near, 200)
  slow.far.connection.resume()
  const expected = Buffer.concat(sent)
  await slow.far.receive(expected.length)
  assert(Buffer.concat(slow.far.received).equals(expected))
})

test('Backlog keeps what waits in as much memory as it takes', () => {
  const backlog = new Backlog()
  const around = Buffer.alloc(64 * 1024, 'ab')
  const parts = Array.from({ length: 5000 }, (_, at) => around.subarray(at, at + 17))
  backlog.add(parts.slice(0, 2000))
  const blocks = [backlog.take()!]
  backlog.add(parts.slice(2000))
  for (let block = backlog.take(); block; block = backlog.take()) blocks.push(block)
  assert(Buffer.concat(blocks).equals(Buffer.concat(parts)))
  const buffers = new Set(blocks.map(({ buffer }) => buffer))
  const bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
  assert(bytes < 4 * 17 * 5000, `${bytes} bytes`)
})

test('RealNetwork refuses a port that is taken, and one where nobody listens', async () => {
  const listener = await network.listen(loopback, connection => connection.destroy())
  await assert.rejects(
    network.listen(listener.address, () => {}),
    hasCode('in-use'),
  )
  await listener.close()
  await assert.rejects(network.connect(listener.address), hasCode('refused'))
  const again = await network.listen(listener.address, () => {})
  await again.close()
  await again.close()
})

test('realClock cancels, and random draws differ', async () => {
  const cancel = clock.after(0, () => assert.fail('cancelled'))
  cancel()
  clock.after(2 ** 40, () => {})()
  const keepAlive = setInterval(() => {}, 1000)
  await new Promise<void>(resolve => clock.after(1, resolve))
  clearInterval(keepAlive)
  assert.notEqual(random.bigint64(), random.bigint64())
  assert(random.float() < 1)
})

test('after a standstill, what peers have sent meanwhile comes before the timers that are late, and can cancel them', async context => {
  const { near, far } = await pair(context)
  const events: string[] = []
  const done = Promise.withResolvers<void>()
  clock.after(1, () => {
    events.push('timer')
    done.resolve()
  })
  const cancel = clock.after(1, () => events.push('cancelled timer'))
  far.onData = () => {
    events.push('data')
    cancel()
  }
  near.connection.write([Buffer.from('here')])
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
  await done.promise
  assert.deepEqual(events, ['data', 'timer'])
})

test('download brings a text, and says why it does not', async () => {
  const web = createServer((request, response) => {
    if (request.url === '/good') response.end('{"keys":[]}')
    else if (request.url === '/large') response.end('x'.repeat(2000))
    else if (request.url !== '/silent') response.writeHead(404).end()
  })
  await new Promise<void>(resolve => web.listen(0, '127.0.0.1', resolve))
  const at = `http://127.0.0.1:${(web.address() as AddressInfo).port}`
  const limits = { bytesMax: 1000, timeoutMs: 5000 }
  assert.equal(await network.download(`${at}/good`, limits), '{"keys":[]}')
  await assert.rejects(network.download(`${at}/large`, limits), /larger than 1000 bytes/)
  await assert.rejects(network.download(`${at}/absent`, limits), /404/)
  await assert.rejects(network.download(`${at}/silent`, { ...limits, timeoutMs: 50 }), hasCode('unavailable'))
  web.closeAllConnections()
  web.close()
  await assert.rejects(network.download(`${at}/good`, limits), hasCode('unavailable'))
})

test('a directory that got the inode of one that is still held can be locked as soon as that is given up', async context => {
  const path = temporaryDirectory(context)
  const first = await disk.lock(path)
  // As if the file were another directory's.
  rmSync(join(path, 'lock'))
  const second = disk.lock(path)
  await new Promise(resolve => setTimeout(resolve, 20))
  await first.release()
  await (await second).release()
})
