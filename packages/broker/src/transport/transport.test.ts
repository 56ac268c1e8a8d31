import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError } from '@dragoman/wire'
import type { Broker } from '../core/broker.ts'
import { QuotasBench } from '../core/quotas/test-bench.ts'
import type { Decoder, Outbox, Protocol, Session } from '../protocols/protocol.ts'
import type { Connection, Runtime } from '../runtime/runtime.ts'
import { Simulator } from '../runtime/simulated/simulator.ts'
import { Admission, ProtocolListener, type TransportLimits } from './listener.ts'
import { muchBytes, ReadingTurns } from './reading-turns.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** A protocol of lines, made for these tests. A line is answered with itself, except for the words below. */
class LineSession implements Session<string> {
  readonly #outbox: Outbox
  readonly #world: World
  #held: string[] = []
  feeds = false
  muted = false

  constructor(outbox: Outbox, world: World) {
    this.#outbox = outbox
    this.#world = world
    world.sessions.push(this)
  }

  get inFlight(): number {
    return this.#held.length
  }

  receive(line: string): void {
    this.#world.received.push(line)
    if (line.startsWith('feed')) this.feeds = true
    if (line === 'breach') throw new ProtocolError('Cannot take a breach')
    if (line.startsWith('work')) this.#world.workedMs += 15
    if (line === 'bug') throw new TypeError('A bug')
    if (line === 'mute') this.muted = true
    if (line === 'bye') return this.#outbox.close()
    if (line.startsWith('hold')) return void this.#held.push(line)
    if (line.startsWith('big')) return this.#answer('x'.repeat(Number(line.slice(3)) - 1))
    this.#answer(line)
  }

  unmute(): void {
    this.muted = false
    this.#outbox.progress()
  }

  release(): void {
    for (const line of this.#held.splice(0)) this.#answer(line)
    this.#outbox.progress()
  }

  closed(): void {
    this.#world.closedSessions++
  }

  #answer(line: string): void {
    this.#world.lent++
    this.#outbox.write([Buffer.from(line), Buffer.from('\n')], () => this.#world.lent--)
  }
}

class LineDecoder implements Decoder<string> {
  #kept = ''

  get pendingBytes(): number {
    return this.#kept.length
  }

  push(chunk: Buffer, packet: (line: string) => void): void {
    const lines = (this.#kept + chunk.toString('latin1')).split('\n')
    this.#kept = lines.pop() ?? ''
    for (const line of lines) packet(line)
  }
}

const limits: TransportLimits = {
  frameBytesMax: 1 << 20,
  requestsInFlightMax: 4,
  outboxBytesMax: 256 * 1024,
  firstRequestTimeoutMs: 1000,
  frameTimeoutMs: 2000,
  writeTimeoutMs: 5000,
}

/** A listener, what its sessions saw, and clients. */
class World {
  readonly simulator: Simulator
  readonly received: string[] = []
  readonly sessions: LineSession[] = []
  readonly logged: string[] = []
  closedSessions = 0
  /** Time that has gone by while sessions worked. */
  workedMs = 0
  /** Buffers that sessions have lent to the transport and not got back. */
  lent = 0
  listener!: ProtocolListener<string>
  readonly admission = new Admission(() => 3)
  readonly quotas = new QuotasBench()
  readonly pressure = {
    saturated: false,
    run: [] as (() => void)[],
    onRelief: (run: () => void): void => void this.pressure.run.push(run),
  }
  /** Writes that reached a connection of the server. */
  writes = 0
  /** How often a connection of the server was paused. */
  pauses = 0
  #client!: Runtime

  constructor() {
    this.simulator = new Simulator(seed)
  }

  async start(changed: Partial<TransportLimits> = {}): Promise<void> {
    const runtime = this.simulator.process('server').start()
    this.#client = this.simulator.process('client').start()
    const protocol: Protocol<string> = {
      name: 'lines',
      title: 'Lines',
      ports: { plain: 1, tls: 2 },
      messages: {},
      decoder: () => new LineDecoder(),
      session: (_broker, outbox) => new LineSession(outbox, this),
      explain: () => '',
    }
    const { clock, random } = runtime
    const { admission, pressure } = this
    const turns = new ReadingTurns({
      monotonicMs: () => clock.monotonicMs() + this.workedMs,
      soon: run => clock.soon(run),
    })
    const network: Runtime['network'] = {
      ...runtime.network,
      listen: (address, accept) => runtime.network.listen(address, connection => accept(this.#counted(connection))),
    }
    const log = (level: string, message: string): void => void this.logged.push(`${level}: ${message}`)
    const options = {
      protocol,
      network,
      clock,
      random,
      admission,
      turns,
      pressure,
      log,
      limits: { ...limits, ...changed },
    }
    this.listener = await ProtocolListener.bind(options, { host: 'server', port: 0 })
  }

  // The toy sessions ask nothing of the broker.
  serve(): void {
    this.listener.serve({ quotas: this.quotas.quotas } as Broker, this.listener.address)
  }

  async connect(): Promise<Client> {
    return new Client(await this.#client.network.connect(this.listener.address))
  }

  relieve(): void {
    this.pressure.saturated = false
    for (const run of this.pressure.run.splice(0)) run()
  }

  #counted(connection: Connection): Connection {
    const write = connection.write.bind(connection)
    const pause = connection.pause.bind(connection)
    connection.pause = () => {
      this.pauses++
      pause()
    }
    connection.write = (parts, written) => {
      if (parts.length > 0) this.writes++
      write(parts, written)
    }
    return connection
  }
}

class Client {
  readonly connection: Connection
  text = ''
  closed = false

  constructor(connection: Connection) {
    this.connection = connection
    connection.handle({
      data: chunk => void (this.text += chunk.toString('latin1')),
      ended: () => connection.end(),
      drained() {},
      closed: () => void (this.closed = true),
    })
  }

  send(text: string): void {
    this.connection.write([Buffer.from(text)])
  }
}

function transportTest(
  promise: string,
  task: (world: World) => Promise<void>,
  changed: Partial<TransportLimits> = {},
): void {
  test(`${promise} (SEED=${seed})`, async () => {
    const world = new World()
    let done = false
    const ended = world
      .start(changed)
      .then(() => task(world))
      .finally(() => (done = true))
    await Promise.all([world.simulator.run(1e7, () => done), ended])
    assert.ok(done, 'nothing was planned any more and the task still waited')
  })
}

transportTest('Pump answers in order, and what is answered in one turn leaves in one write', async world => {
  world.serve()
  const client = await world.connect()
  world.simulator.network.faults.splitChance = 0
  const lines = Array.from({ length: 100 }, (_, index) => `line ${index}\n`).join('')
  client.send(lines)
  await world.simulator.sleep(100)
  assert.equal(client.text, lines)
  assert.equal(world.writes, 1)
  assert.equal(world.lent, 0)
})

transportTest('Pump stops reading while too much is in flight, and goes on after progress', async world => {
  world.serve()
  const client = await world.connect()
  for (let index = 0; index < 6; index++) {
    client.send(`hold ${index}\n`)
    await world.simulator.sleep(10)
  }
  assert.equal(world.received.length, 4)
  world.sessions[0]?.release()
  await world.simulator.sleep(100)
  assert.equal(world.received.length, 6)
  assert.equal(client.text, 'hold 0\nhold 1\nhold 2\nhold 3\n')
})

transportTest('Pump stops reading from a peer that does not take its answers', async world => {
  world.serve()
  const client = await world.connect()
  client.connection.pause()
  for (let index = 0; index < 20; index++) {
    client.send('big 100000\n')
    await world.simulator.sleep(10)
  }
  assert.ok(world.received.length < 10, `${world.received.length} requests were taken`)
  client.connection.resume()
  await world.simulator.sleep(1000)
  assert.equal(world.received.length, 20)
  assert.equal(client.text.length, 2_000_000)
})

transportTest('Pump does not read one that brings data while the broker is saturated', async world => {
  world.serve()
  const client = await world.connect()
  const reader = await world.connect()
  client.send('feed 1\n')
  await world.simulator.sleep(10)
  world.pressure.saturated = true
  client.send('feed 2\n')
  await world.simulator.sleep(10)
  client.send('feed 3\n')
  reader.send('read\n')
  await world.simulator.sleep(10)
  reader.send('more\n')
  await world.simulator.sleep(500)
  assert.ok(!world.received.includes('feed 3'))
  assert.ok(world.received.includes('more'))
  world.relieve()
  await world.simulator.sleep(100)
  assert.deepEqual(
    world.received.filter(line => line.startsWith('feed')),
    ['feed 1', 'feed 2', 'feed 3'],
  )
})

transportTest('Pump rests after a long turn if it has brought much, and goes on in its turn', async world => {
  world.serve()
  world.simulator.network.faults.splitChance = 0
  const [busy, other, small] = [await world.connect(), await world.connect(), await world.connect()]
  const much = `work ${'x'.repeat(muchBytes)}\n`
  // All of it lies there before anything is read.
  for (const client of [busy, other]) for (let index = 0; index < 20; index++) client.send(much)
  for (let index = 0; index < 20; index++) small.send('small\n')
  await world.simulator.sleep(5000)
  assert.equal(world.received.filter(line => line.startsWith('work')).length, 40)
  assert.equal(world.received.filter(line => line === 'small').length, 20)
  assert.ok(world.pauses > 0, 'nobody had to rest')
  const before = world.pauses
  for (let index = 0; index < 20; index++) small.send('work\n')
  await world.simulator.sleep(500)
  assert.equal(world.pauses, before, 'who brings little is not held up')
})

transportTest('a breach of the protocol closes after what is queued was sent', async world => {
  world.serve()
  const client = await world.connect()
  client.send('one\nbreach\ntwo\n')
  await world.simulator.sleep(3000)
  assert.equal(client.text, 'one\n')
  assert.ok(client.closed)
  assert.ok(!world.received.includes('two'))
  assert.equal(world.closedSessions, 1)
  assert.deepEqual(world.logged, ['info: Connection closed: the peer broke the protocol'])
})

transportTest('a bug in a session closes its connection only', async world => {
  world.serve()
  const [faulty, other] = [await world.connect(), await world.connect()]
  other.send('here\n')
  faulty.send('bug\n')
  await world.simulator.sleep(3000)
  other.send('still here\n')
  await world.simulator.sleep(100)
  assert.ok(faulty.closed)
  assert.equal(other.text, 'here\nstill here\n')
  assert.deepEqual(world.logged, ['error: Connection closed: a session failed'])
})

transportTest('a session may close its connection', async world => {
  world.serve()
  const client = await world.connect()
  client.send('one\nbye\ntwo\n')
  await world.simulator.sleep(3000)
  assert.equal(client.text, 'one\n')
  assert.ok(client.closed)
  assert.equal(world.closedSessions, 1)
})

transportTest('a peer that has ended still gets the answers that it waits for', async world => {
  world.serve()
  const client = await world.connect()
  client.send('hold\n')
  client.connection.end()
  await world.simulator.sleep(500)
  assert.equal(world.closedSessions, 0)
  world.sessions[0]?.release()
  await world.simulator.sleep(3000)
  assert.equal(world.closedSessions, 1)
  assert.equal(world.lent, 0)
})

transportTest('a peer that has ended is not waited for without end', async world => {
  world.serve()
  const client = await world.connect()
  client.send('hold\n')
  client.connection.end()
  await world.simulator.sleep(10_000)
  assert.equal(world.closedSessions, 1)
  assert.deepEqual(world.logged, ['info: Connection closed: the peer left before it was answered'])
})

transportTest('a connection that sends no request is closed', async world => {
  world.serve()
  const client = await world.connect()
  await world.simulator.sleep(900)
  assert.ok(!client.closed)
  await world.simulator.sleep(3000)
  assert.ok(client.closed)
  assert.deepEqual(world.logged, ['info: Connection closed: no request came'])
})

transportTest('a request that comes a byte at a time is cut off', async world => {
  world.serve()
  const client = await world.connect()
  client.send('first\n')
  for (let index = 0; index < 50 && !client.closed; index++) {
    await world.simulator.sleep(100)
    client.send('x')
  }
  await world.simulator.sleep(3000)
  assert.ok(client.closed)
  assert.deepEqual(world.logged, ['info: Connection closed: a request was not finished'])
})

transportTest('a slow request that goes on growing is not cut off, nor is an idle connection', async world => {
  world.serve()
  const client = await world.connect()
  for (let index = 0; index < 50; index++) {
    await world.simulator.sleep(200)
    client.send('x'.repeat(300))
  }
  client.send('\n')
  await world.simulator.sleep(60_000)
  assert.equal(client.text.length, 15_001)
  assert.ok(!client.closed)
})

transportTest(
  'a peer that takes no bytes is cut off, and buffers lent for it come back',
  async world => {
    world.serve()
    const client = await world.connect()
    client.connection.pause()
    client.send('big 500000\n')
    await world.simulator.sleep(10)
    client.send('big 500000\n')
    await world.simulator.sleep(4000)
    assert.ok(world.lent > 0 && world.closedSessions === 0)
    await world.simulator.sleep(5000)
    assert.equal(world.closedSessions, 1)
    assert.equal(world.lent, 0)
    assert.deepEqual(world.logged, ['info: Connection closed: the peer takes no bytes'])
  },
  { outboxBytesMax: 1 << 23 },
)

transportTest('connections above the limit are turned away until others leave', async world => {
  world.serve()
  const clients = [await world.connect(), await world.connect(), await world.connect(), await world.connect()]
  for (const client of clients) client.send('hello\n')
  await world.simulator.sleep(500)
  assert.deepEqual(
    clients.map(({ text }) => text),
    ['hello\n', 'hello\n', 'hello\n', ''],
  )
  assert.equal(world.listener.connectionCount, 3)
  clients[0]?.connection.end()
  await world.simulator.sleep(3000)
  const late = await world.connect()
  late.send('hello\n')
  await world.simulator.sleep(500)
  assert.equal(late.text, 'hello\n')
})

transportTest('connections wait until the listener serves', async world => {
  const client = await world.connect()
  client.send('early\n')
  await world.simulator.sleep(500)
  assert.equal(world.received.length, 0)
  world.serve()
  await world.simulator.sleep(500)
  assert.equal(client.text, 'early\n')
})

transportTest('close lets what is in flight be answered, takes nothing new, and frees the port', async world => {
  world.serve()
  const [busy, idle] = [await world.connect(), await world.connect()]
  busy.send('hold\n')
  idle.send('done\n')
  await world.simulator.sleep(100)
  await world.listener.close()
  busy.send('too late\n')
  await world.simulator.sleep(1500)
  assert.ok(idle.closed && !busy.closed)
  world.sessions[0]?.release()
  await world.simulator.sleep(1500)
  assert.ok(busy.closed)
  assert.equal(busy.text, 'hold\n')
  assert.ok(!world.received.includes('too late'))
  assert.equal(world.listener.connectionCount, 0)
  assert.equal(world.admission.count, 0)
  await assert.rejects(world.connect())
})

transportTest('a session that is muted is not read until it is over, and then goes on', async world => {
  await world.start()
  world.serve()
  const client = await world.connect()
  client.send('one\nmute\n')
  await world.simulator.sleep(100)
  client.send('two\n')
  await world.simulator.sleep(10_000)
  assert.equal(client.text, 'one\nmute\n')
  world.sessions[0]?.unmute()
  await world.simulator.sleep(100)
  assert.equal(client.text, 'one\nmute\ntwo\n')
})

transportTest('who opens connections too fast is served later, not refused', async world => {
  await world.quotas.set({ address: null }, 'connections', 1)
  await world.start()
  world.serve()
  const clients: Client[] = []
  for (let count = 0; count < 12; count++) {
    const client = await world.connect()
    client.send('hello\n')
    await world.simulator.sleep(50)
    if (count < 10) {
      assert.equal(client.text, 'hello\n')
      client.connection.end()
      await world.simulator.sleep(50)
    } else clients.push(client)
  }
  await world.simulator.sleep(500)
  assert.deepEqual(
    clients.map(({ text }) => text),
    ['', ''],
  )
  await world.simulator.sleep(2000)
  assert.deepEqual(
    clients.map(({ text }) => text),
    ['hello\n', 'hello\n'],
  )
})

test('Admission: nobody comes in beyond what the system allows, whatever the option says', () => {
  let max = 3
  const admission = new Admission(() => max, 2)
  assert.deepEqual([admission.enter(), admission.enter(), admission.isAtCeiling], [true, true, true])
  assert.equal(admission.enter(), false)
  admission.leave()
  max = 1
  assert.deepEqual([admission.enter(), admission.isAtCeiling], [false, false])
})
