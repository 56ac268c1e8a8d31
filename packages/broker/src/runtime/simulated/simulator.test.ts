import assert from 'node:assert/strict'
import test from 'node:test'
import type { Connection, Runtime } from '../runtime.ts'
import { DiskError, NetworkError } from '../runtime.ts'
import { Simulator, Violation } from './simulator.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Runs `task` in a fresh world until it ends. */
async function inWorld(worldSeed: number, task: (simulator: Simulator) => Promise<void>): Promise<Simulator> {
  const simulator = new Simulator(worldSeed)
  let isDone = false
  const ended = task(simulator).finally(() => (isDone = true))
  ended.catch(() => {})
  await simulator.run(1e9, () => isDone)
  assert(isDone, 'nothing was planned any more and the task still waited')
  await ended
  return simulator
}

/** A little of everything: files, a connection, timers, two processes. */
async function exercise(simulator: Simulator): Promise<void> {
  const server = simulator.process('server')
  const runtime = server.start()
  await runtime.network.listen({ host: 'server', port: 7 }, connection => echo(connection))
  const client = simulator.process('client').start()
  const connection = await client.network.connect({ host: 'server', port: 7 })
  let received = 0
  connection.handle({ data: chunk => (received += chunk.length), ended() {}, drained() {}, closed() {} })
  for (let round = 0; round < 20; round++) {
    const bytes = client.random.bytes(client.random.between(1, 9000))
    connection.write([bytes])
    const file = await runtime.disk.open(`file-${round}`, 'create', { dsync: true })
    await Promise.all([file.write([bytes], 0), file.write([bytes], 20_000)])
  }
  await simulator.sleep(100)
  assert(received > 0)
  server.crash({ power: true })
  await simulator.sleep(100)
}

function echo(connection: Connection): void {
  connection.handle({
    data: chunk => connection.write([Buffer.from(chunk)]),
    ended: () => connection.end(),
    drained() {},
    closed() {},
  })
}

test(`Simulator gives the same trace for the same seed (SEED=${seed})`, async () => {
  const first = await inWorld(seed, exercise)
  const second = await inWorld(seed, exercise)
  const other = await inWorld(seed + 1, exercise)
  assert.equal(first.traceHash(), second.traceHash())
  assert.deepEqual(first.traceTail(), second.traceTail())
  assert.notEqual(first.traceHash(), other.traceHash())
})

test('Simulator runs all reactions of an event before the next one', async () => {
  await inWorld(seed, async simulator => {
    const order: string[] = []
    simulator.at(1, 'first', () => void chain(50).then(() => order.push('first')))
    simulator.at(1.000001, 'second', () => order.push('second'))
    await simulator.sleep(2)
    assert.deepEqual(order, ['first', 'second'])
  })
})

async function chain(length: number): Promise<void> {
  for (let count = 0; count < length; count++) await Promise.resolve()
}

test('Simulator reports what nobody caught, with its seed', async () => {
  const simulator = new Simulator(seed)
  simulator.at(1, 'fails', () => void Promise.reject(new Error('lost')))
  await assert.rejects(
    simulator.run(10),
    (error: unknown) => error instanceof Violation && error.seed === seed && error.message.includes('lost'),
  )
})

test(`a crashed process is not heard of again, and its files are there when it starts again (SEED=${seed})`, async () => {
  await inWorld(seed, async simulator => {
    const process = simulator.process('one')
    const runtime = process.start()
    const file = await runtime.disk.open('a', 'create')
    await file.write([Buffer.from('kept')], 0)
    let fired = false
    runtime.clock.after(5, () => (fired = true))
    process.crash({ power: false })
    await simulator.sleep(50)
    assert.equal(fired, false)
    assert.equal(await contents(process.start(), 'a'), 'kept')
  })
})

async function contents(runtime: Runtime, path: string): Promise<string> {
  const file = await runtime.disk.open(path, 'read')
  const target = Buffer.alloc(await file.size())
  return target.toString('latin1', 0, await file.read(target, 0))
}

test(`SimDisk keeps over a power loss exactly what was synced and some of the rest (SEED=${seed})`, async () => {
  const outcomes = new Set<string>()
  for (let round = 0; round < 200; round++) {
    await inWorld(seed + round, async simulator => {
      const process = simulator.process('one')
      const { disk } = process.start()
      const synced = await disk.open('synced', 'create', { dsync: true })
      await disk.syncDirectory('/')
      await synced.write([Buffer.alloc(8192, 'a')], 0)
      const loose = await disk.open('loose', 'create')
      await loose.write([Buffer.alloc(8192, 'b')], 0)
      void synced.write([Buffer.alloc(4096, 'c')], 0)
      if (simulator.random.chance(0.5)) await simulator.sleep(0.03)
      process.crash({ power: true })
      const again = process.start()
      const text = await contents(again, 'synced')
      assert.equal(text.length, 8192)
      assert.match(text, /^[ac]{4096}a{4096}$/)
      for (let at = 0; at < 4096; at += 512) assert.match(text.slice(at, at + 512), /^(a{512}|c{512})$/)
      outcomes.add(/^c+a{4096}$/.test(text) ? 'new' : /^a+$/.test(text) ? 'old' : 'torn')
      const names = await again.disk.list('/')
      outcomes.add(names.includes('loose') ? 'name kept' : 'name lost')
    })
  }
  assert.deepEqual([...outcomes].sort(), ['name kept', 'name lost', 'new', 'old', 'torn'])
})

test('SimDisk gives back a renamed file under its old or its new name, never neither', async () => {
  for (let round = 0; round < 100; round++) {
    await inWorld(seed + round, async simulator => {
      const process = simulator.process('one')
      const { disk } = process.start()
      await disk.makeDirectory('d')
      await disk.syncDirectory('/')
      await (await disk.open('d/old', 'create', { dsync: true })).write([Buffer.from('x')], 0)
      await disk.syncDirectory('d')
      await disk.rename('d/old', 'd/new')
      process.crash({ power: true })
      assert.equal((await process.start().disk.list('d')).length, 1)
    })
  }
})

test('SimDisk refuses what does not fit, and takes it again when there is room', async () => {
  await inWorld(seed, async simulator => {
    const process = simulator.process('one')
    const { disk } = process.start()
    process.disk.capacityBytes = 64 * 1024
    const file = await disk.open('a', 'create')
    await assert.rejects(
      file.write([Buffer.alloc(100_000)], 0),
      (error: unknown) => error instanceof DiskError && error.code === 'full',
    )
    await file.truncate(0)
    assert.equal(await disk.freeBytes('/'), 64 * 1024)
    await file.write([Buffer.alloc(60_000, 1)], 0)
    assert.equal(await file.size(), 60_000)
  })
})

test('SimDisk reports input/output errors and lets one living process hold a directory', async () => {
  await inWorld(seed, async simulator => {
    const process = simulator.process('one')
    const other = simulator.process('two', { disk: process.disk })
    const { disk } = process.start()
    await disk.lock('data')
    await assert.rejects(other.start().disk.lock('data'), /in use by process 1/)
    process.crash({ power: false })
    other.crash({ power: false })
    await other.start().disk.lock('data')
    process.disk.faults.ioErrorChance = 1
    await assert.rejects(
      process.start().disk.open('a', 'create'),
      (error: unknown) => error instanceof DiskError && error.code === 'io',
    )
  })
})

test('SimDisk tells when bytes change under a write', async () => {
  const simulator = new Simulator(seed)
  const { disk } = simulator.process('one').start()
  void disk.open('a', 'create').then(file => {
    const bytes = Buffer.alloc(100)
    void file.write([bytes], 0)
    bytes[5] = 1
  })
  await assert.rejects(simulator.run(100), /changed before it was done/)
})

test(`SimNetwork keeps the order of bytes through pauses and cuts (SEED=${seed})`, async () => {
  await inWorld(seed, async simulator => {
    const server = simulator.process('server')
    const client = simulator.process('client')
    const received: Buffer[] = []
    let accepted: Connection | undefined
    let ended = false
    await server.start().network.listen({ host: '', port: 9 }, connection => {
      accepted = connection
      connection.handle({
        data: chunk => received.push(Buffer.from(chunk)),
        ended: () => (ended = true),
        drained() {},
        closed() {},
      })
    })
    const connection = await client.start().network.connect({ host: '', port: 9 })
    let drained = 0
    let written = 0
    connection.handle({ data() {}, ended() {}, drained: () => drained++, closed() {} })
    const sent: Buffer[] = []
    for (let round = 0; round < 50; round++) {
      const bytes = simulator.random.bytes(simulator.random.between(1, 40_000))
      sent.push(bytes)
      connection.write([bytes.subarray(0, 3), bytes.subarray(3)], () => written++)
      if (round === 10) accepted!.pause()
      if (round === 20) simulator.network.cut(client, server)
      await simulator.sleep(1)
    }
    assert(connection.queuedBytes > 0 && written < 50)
    accepted!.resume()
    simulator.network.heal()
    connection.end()
    await simulator.sleep(500)
    assert(Buffer.concat(received).equals(Buffer.concat(sent)))
    assert.equal(written, 50)
    assert.equal(ended, true)
  })
})

test('SimNetwork tells the peers of a crashed process, and refuses new connections to it', async () => {
  await inWorld(seed, async simulator => {
    const server = simulator.process('server')
    const client = simulator.process('client').start()
    await server.start().network.listen({ host: '', port: 9 }, echo)
    const connection = await client.network.connect({ host: '', port: 9 })
    let closed = 0
    connection.handle({ data() {}, ended() {}, drained() {}, closed: () => closed++ })
    server.crash({ power: false })
    await simulator.sleep(10)
    assert.equal(closed, 1)
    await assert.rejects(
      client.network.connect({ host: '', port: 9 }),
      (error: unknown) => error instanceof NetworkError && error.code === 'refused',
    )
  })
})
