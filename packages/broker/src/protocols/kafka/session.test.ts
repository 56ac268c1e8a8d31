import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError, Random, Reader, type Codec, type Infer, type Write } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import { IdentityBench } from '../../core/identity/test-bench.ts'
import { QuotasBench } from '../../core/quotas/test-bench.ts'
import type { SessionContext } from '../protocol.ts'
import { encodeRequest } from './client.ts'
import { codes } from './errors.ts'
import { RequestDecoder } from './framing.ts'
import * as apiVersions from './handlers/18-api-versions.ts'
import { defineHandler, type Exchange, type Handler } from './handlers/handler.ts'
import { apis, type Api } from './messages/index.ts'
import { KafkaSession } from './session.ts'

const limits = { frameBytesMax: 1_000_000, requestsInFlightMax: 4 }

type Asked = Exchange<{ errorCode?: number | undefined }> & { group: string }

/** A session whose heartbeats and (bulky) list-groups are answered when the test says so. */
class Bench {
  readonly asked: Asked[] = []
  readonly sent: { correlationId: number; rest: Reader }[] = []
  readonly written: (() => void)[] = []
  readonly logged: string[] = []
  closed = false
  queuedBytes = 0
  nowMs = 0
  readonly timers: { dueMs: number; run: () => void }[] = []
  readonly quotas = new QuotasBench()
  readonly session: KafkaSession
  readonly #decoder = new RequestDecoder(limits)
  #correlationId = 0

  constructor() {
    const hold = (exchange: Exchange<{ errorCode?: number | undefined }>, group: string): void => {
      this.asked.push(Object.assign(exchange, { group }))
    }
    const handlers = [
      apiVersions.handler,
      defineHandler(apis.heartbeat, (exchange, { groupId }) => hold(exchange, groupId)),
      defineHandler(apis.listGroups, (exchange, { statesFilter }) => hold(exchange, statesFilter[0] ?? ''), {
        bulky: true,
      }),
      defineHandler(apis.findCoordinator, async (_, { key }) => {
        await Promise.resolve()
        if (key === 'broken') throw new Error('a bug')
        return { host: key === 'long' ? 'x'.repeat(40_000) : key }
      }),
    ]
    const outbox = {
      write: (parts: readonly Uint8Array[], written?: () => void) => this.#sent(Buffer.concat(parts), written),
      queuedBytes: 0,
      isReading: true,
      progress: () => {},
      close: () => (this.closed = true),
      destroy: () => (this.closed = true),
    }
    Object.defineProperty(outbox, 'queuedBytes', { get: () => this.queuedBytes })
    const context: SessionContext = {
      ordinal: 1,
      remote: { host: '127.0.0.1', port: 1 },
      local: { host: '127.0.0.1', port: 2 },
      clock: {
        nowMs: () => this.nowMs,
        monotonicMs: () => this.nowMs,
        soon: run => run(),
        after: (delayMs, run) => {
          const timer = { dueMs: this.nowMs + delayMs, run }
          this.timers.push(timer)
          return () => void this.timers.splice(this.timers.indexOf(timer), 1)
        },
      },
      random: new Random(1),
      limits,
      log: (_, message) => this.logged.push(message),
    }
    const broker: Partial<Broker> = { quotas: this.quotas.quotas, identity: new IdentityBench().identity }
    const table: ReadonlyMap<number, Handler> = new Map(handlers.map(handler => [handler.key, handler]))
    this.session = new KafkaSession(broker as Broker, outbox, context, table)
  }

  ask<Q extends Codec<unknown>>(api: Api<Q>, body: Write<Q>, version = api.versions[1]): number {
    const bytes = Buffer.concat(encodeRequest(api, version, ++this.#correlationId, 'c', body))
    this.#decoder.push(bytes, frame => this.session.receive(frame))
    bytes.fill(0xee) // The receive buffer is used again.
    return this.#correlationId
  }

  heartbeat(groupId: string): number {
    return this.ask(apis.heartbeat, { groupId })
  }

  answered<A extends Codec<unknown>>(index: number, api: Api<Codec<unknown>, A>, version: number): Infer<A> {
    const { rest } = this.sent[index] ?? assert.fail('not sent')
    return api.response.read(rest, version) as Infer<A>
  }

  get order(): number[] {
    return this.sent.map(({ correlationId }) => correlationId)
  }

  /** Moves the clock and runs what is due by then. */
  advance(byMs: number): void {
    this.nowMs += byMs
    for (const timer of this.timers.filter(({ dueMs }) => dueMs <= this.nowMs)) {
      this.timers.splice(this.timers.indexOf(timer), 1)
      timer.run()
    }
  }

  #sent(bytes: Buffer, written: (() => void) | undefined): void {
    assert.equal(bytes.readInt32BE(), bytes.length - 4)
    const rest = new Reader(bytes, 4)
    this.sent.push({ correlationId: rest.i32(), rest })
    if (written) this.written.push(written)
  }
}

const turns = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('answers leave in the order of the requests, whenever they are ready', () => {
  const bench = new Bench()
  for (const group of ['a', 'b', 'c']) bench.heartbeat(group)
  assert.deepEqual(
    bench.asked.map(({ group, clientId }) => group + clientId),
    ['ac', 'bc', 'cc'],
  )
  bench.asked[2]?.reply({})
  bench.asked[1]?.reply({ errorCode: 5 })
  assert.deepEqual(bench.order, [])
  bench.asked[0]?.reply({})
  assert.deepEqual(bench.order, [1, 2, 3])
  bench.sent[1]?.rest.u8()
  assert.equal(bench.answered(1, apis.heartbeat, 4).errorCode, 5)
  assert.equal(bench.session.inFlight, 3)
  for (const written of bench.written) written()
  assert.equal(bench.session.inFlight, 0)
})

test('a request that is not answered in its time is answered as it wished, once it is the oldest', () => {
  const bench = new Bench()
  for (const group of ['first', 'second', 'untimed']) bench.heartbeat(group)
  const [first, second] = bench.asked
  first?.answerWithin(1000, () => first.reply({ errorCode: 7 }))
  second?.answerWithin(500, () => second.reply({ errorCode: 7 }))
  assert.equal(bench.timers.length, 1, 'one timer for a connection')
  bench.advance(999)
  assert.deepEqual(bench.order, [])
  bench.advance(1)
  assert.deepEqual(bench.order, [1])
  bench.advance(1)
  assert.deepEqual(bench.order, [1, 2])
  bench.advance(100_000)
  assert.deepEqual(bench.order, [1, 2])
  assert.equal(bench.timers.length, 0)
  bench.asked[2]?.answerWithin(10, () => assert.fail('closed'))
  bench.session.closed()
  assert.equal(bench.timers.length, 0)
})

test('more requests than allowed wait, and their bytes outlive the receive buffer', () => {
  const bench = new Bench()
  for (let index = 0; index < 7; index++) bench.heartbeat(`g${index}`)
  assert.equal(bench.asked.length, 4)
  assert.equal(bench.session.inFlight, 7)
  for (let index = 0; index < 7; index++) bench.asked[index]?.reply({})
  assert.deepEqual(
    bench.asked.map(({ group }) => group),
    ['g0', 'g1', 'g2', 'g3', 'g4', 'g5', 'g6'],
  )
  assert.deepEqual(bench.order, [1, 2, 3, 4, 5, 6, 7])
})

test('one bulky request is under way at a time, until its answer is written', () => {
  const bench = new Bench()
  bench.ask(apis.listGroups, { statesFilter: ['first'] })
  bench.ask(apis.listGroups, { statesFilter: ['second'] })
  bench.heartbeat('behind')
  assert.deepEqual(
    bench.asked.map(({ group }) => group),
    ['first'],
  )
  bench.asked[0]?.reply({})
  assert.deepEqual(
    bench.asked.map(({ group }) => group),
    ['first'],
  )
  bench.written[0]?.()
  assert.deepEqual(
    bench.asked.map(({ group }) => group),
    ['first', 'second', 'behind'],
  )
})

test('a peer that does not read its answers gets no further ones', () => {
  const bench = new Bench()
  bench.heartbeat('a')
  bench.asked[0]?.reply({})
  bench.queuedBytes = 100_000_000
  bench.heartbeat('b')
  assert.equal(bench.asked.length, 1)
  bench.queuedBytes = 0
  bench.written[0]?.()
  assert.equal(bench.asked.length, 2)
})

test('ApiVersions in an unknown version is answered in version 0', () => {
  const bench = new Bench()
  const bytes = Buffer.concat(encodeRequest(apis.apiVersions, 4, 9, 'c', {}))
  bytes.writeInt16BE(77, 6)
  new RequestDecoder(limits).push(bytes, frame => bench.session.receive(frame))
  const answer = bench.answered(0, apis.apiVersions, 0)
  assert.equal(answer.errorCode, codes.unsupportedVersion)
  assert.deepEqual(answer.apiKeys[0], { apiKey: 18, minVersion: 0, maxVersion: 4 })
  bench.sent[0]?.rest.expectEnd()
})

test('ApiVersions of flexible versions has a header without tags', () => {
  const bench = new Bench()
  bench.ask(apis.apiVersions, { clientSoftwareName: 'x', clientSoftwareVersion: '1' }, 3)
  assert.equal(bench.answered(0, apis.apiVersions, 3).apiKeys.length, 4)
  bench.sent[0]?.rest.expectEnd()
})

test('an unknown api key, an unknown version and a body that is cut off break the protocol', () => {
  const bytes = (edit: (bytes: Buffer) => void): Buffer => {
    const made = Buffer.concat(encodeRequest(apis.heartbeat, 4, 1, 'c', {}))
    edit(made)
    return made
  }
  for (const bad of [
    bytes(made => made.writeInt16BE(999, 4)),
    bytes(made => made.writeInt16BE(5, 6)),
    bytes(made => made.writeInt16BE(-1, 6)),
    bytes(made => made.writeInt16BE(30_000, 12)),
  ]) {
    const bench = new Bench()
    const push = (): void => new RequestDecoder(limits).push(bad, frame => bench.session.receive(frame))
    assert.throws(push, ProtocolError)
    bench.session.closed()
  }
})

test('a request without an answer lets the next ones through', () => {
  const bench = new Bench()
  bench.heartbeat('silent')
  bench.heartbeat('b')
  bench.asked[1]?.reply({})
  bench.asked[0]?.replyNothing()
  assert.deepEqual(bench.order, [2])
})

test('disconnect waits for the answers before it and lets none after it through', () => {
  const bench = new Bench()
  for (const group of ['a', 'refused', 'c']) bench.heartbeat(group)
  bench.asked[1]?.disconnect('cannot be told')
  bench.asked[2]?.reply({})
  assert.equal(bench.closed, false)
  bench.asked[0]?.reply({})
  assert.equal(bench.closed, true)
  assert.deepEqual(bench.order, [1])
  bench.heartbeat('late')
  assert.equal(bench.asked.length, 3)
})

for (const key of ['broken', 'long']) {
  test(`a handler that fails (${key}) closes the connection after earlier answers and is logged`, async () => {
    const bench = new Bench()
    bench.ask(apis.findCoordinator, { key: 'fine' }, 0)
    bench.ask(apis.findCoordinator, { key }, 0)
    await turns()
    assert.deepEqual(bench.order, [1])
    assert(bench.closed)
    assert.deepEqual(bench.logged, ['Request failed'])
  })
}

test('closed cancels what waits, gives lent bytes back and ignores late answers', () => {
  const bench = new Bench()
  for (const group of ['a', 'b']) bench.heartbeat(group)
  const calls: string[] = []
  const [first, second] = bench.asked
  assert(first && second)
  first.cancel = () => calls.push('cancelled')
  second.reply({}, () => calls.push('written'))
  bench.session.closed()
  first.reply({}, () => calls.push('late'))
  assert.deepEqual(calls, ['cancelled', 'written', 'late'])
  assert.deepEqual(bench.order, [])
})

test('who is to wait is told so, and not listened to for that time', () => {
  const bench = new Bench()
  for (const group of ['a', 'b']) bench.heartbeat(group)
  bench.asked[0]?.holdBack(400)
  bench.asked[0]?.reply({})
  assert.equal(bench.session.muted, true)
  bench.sent[0]?.rest.u8()
  assert.equal(bench.answered(0, apis.heartbeat, 4).throttleTimeMs, 400)
  bench.heartbeat('c')
  assert.equal(bench.asked.length, 2, 'what comes meanwhile waits')
  bench.asked[1]?.reply({})
  assert.deepEqual(bench.order, [1, 2], 'what had begun is answered')
  bench.advance(399)
  assert.equal(bench.asked.length, 2)
  bench.advance(1)
  assert.equal(bench.session.muted, false)
  assert.deepEqual(bench.asked[2]?.group, 'c')
  bench.asked[2]?.reply({})
  bench.sent[2]?.rest.u8()
  assert.equal(bench.answered(2, apis.heartbeat, 4).throttleTimeMs, 0)
})

test('what a request uses is counted only for the requests that it is about', async () => {
  const bench = new Bench()
  await bench.quotas.set({ client: 'c' }, 'fetchBytes', 1)
  bench.ask(apis.findCoordinator, { key: 'long' }, 3)
  await turns()
  assert.equal(bench.session.muted, false, 'what is not counted')
  const who = { user: 'ANONYMOUS', client: 'c' }
  assert.equal(bench.quotas.quotas.fetched(who, 11), 1000, 'the whole burst was there')
})

test('a connection that closes while it is held back leaves no timer', () => {
  const bench = new Bench()
  bench.heartbeat('a')
  bench.asked[0]?.holdBack(400)
  bench.asked[0]?.reply({})
  bench.session.closed()
  assert.deepEqual(bench.timers, [])
})
