import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import { turns } from '../../cell/testing/cells.ts'
import { Bench } from './test-bench.ts'
import type { ProducerIdentity } from './requests.ts'

const seed = Number(process.env.SEED ?? 20_261)
const rounds = Number(process.env.ROUNDS ?? 12)
const stepsPerRound = 150

/** One producer as its client sees it. Odd ones speak the older protocol. */
interface Client {
  readonly id: string
  readonly modern: boolean
  connection: number
  /** The newest connection that the broker must know of. */
  known: number
  identity: ProducerIdentity | undefined
  /** Appended in the transaction that is open as far as the client knows. */
  open: { stream: StreamId; offset: number; text: string }[]
  offset: number | undefined
}

const timeoutMs = 20_000

/**
 * A random schedule of everything that can happen to transactions, against a model that is a list of what was committed: producers
 * that write, commit, abort, are replaced and come back; answers that are lost; requests that arrive late; time-outs; flushes;
 * restarts, after which what was not acknowledged may or may not be there, but all or none of it.
 */
class Schedule {
  readonly #random: Random
  readonly #bench: Bench
  readonly #streams: StreamId[]
  readonly #clients: Client[]
  readonly #committed = new Map<StreamId, { offset: number; text: string }[]>()
  /** Requests of the past, to be sent again by the network. */
  readonly #late: (() => unknown)[] = []
  #committedOffset: number | undefined
  #texts = 0
  #connections = 10

  constructor(random: Random, bench: Bench) {
    this.#random = random
    this.#bench = bench
    this.#streams = [bench.stream(), bench.stream(), bench.stream()]
    for (const stream of this.#streams) this.#committed.set(stream, [])
    this.#clients = [0, 1, 2, 3].map(index => ({
      ...{ id: `t${index}`, modern: index % 2 === 0, connection: index, known: index, identity: undefined },
      ...{ open: [], offset: undefined },
    }))
  }

  async run(): Promise<void> {
    for (let step = 0; step < stepsPerRound; step++) {
      const client = this.#random.pick(this.#clients)
      const dice = this.#random.below(100)
      if (client.identity === undefined || dice < 4) await this.#register(client)
      else if (dice < 45) await this.#append(client)
      else if (dice < 55) await this.#commitOffset(client)
      else if (dice < 75) await this.#end(client)
      else if (dice < 87) await this.#network()
      else if (dice < 91) await this.#pass()
      else if (dice < 94) await this.#bench.test.cell.checkpointer.flush()
      else if (dice < 96) this.#reconnect(client)
      else if (dice < 98) await this.#restart()
      else await this.#crashDuringEnd(client)
      await this.#check()
    }
  }

  async #register(client: Client): Promise<void> {
    const previous = client.identity !== undefined && this.#random.chance(0.5) ? client.identity : undefined
    const isOver = this.#isOver(client)
    const { error, ...identity } = await this.#bench.register(client.id, { previous, timeoutMs })
    // Who was aborted by its time-out may come back under its old name.
    assert.equal(error, undefined, `${client.id} ${isOver}`)
    this.#forgetOpen(client)
    client.identity = identity
  }

  async #append(client: Client): Promise<void> {
    const { id, identity, modern, connection } = client
    assert(identity)
    const stream = this.#random.pick(this.#streams)
    const text = `${id}-${this.#texts++}`
    const how = { modern, connection }
    const isOver = this.#isOver(client)
    if (!modern) {
      this.#arrivesLate(client, () => this.#bench.join(id, identity, { streams: [stream] }, how))
      const error = await this.#bench.join(id, identity, { streams: [stream] }, how)
      if (isOver) return assert.equal(error, 'producer-fenced')
      assert.equal(error, undefined)
      client.known = connection
    }
    const sequence = this.#bench.nextSequence(identity, stream)
    const result = await this.#bench.append(id, identity, stream, [text], how)
    if (isOver) {
      this.#forgetOpen(client)
      return assert.equal(result.error, 'producer-fenced')
    }
    assert.equal(result.error, undefined)
    client.open.push({ stream, offset: result.baseOffset, text })
    this.#arrivesLate(client, () => this.#bench.append(id, identity, stream, [text], { ...how, sequence }))
  }

  async #commitOffset(client: Client): Promise<void> {
    const { id, identity, modern, connection } = client
    assert(identity)
    const how = { modern, connection }
    const isOver = this.#isOver(client)
    // One at a time, so that the order of commits is that of the ends.
    if (this.#clients.some(other => other !== client && other.offset !== undefined)) return
    if (!modern) await this.#bench.join(id, identity, { groups: ['g'] }, how)
    const offset = this.#texts++
    const error = await this.#bench.commitOffset(id, identity, 'g', offset, how)
    if (isOver) {
      this.#forgetOpen(client)
      return assert.equal(error, 'producer-fenced')
    }
    assert.equal(error, undefined)
    client.offset = offset
    client.known = connection
    this.#arrivesLate(client, () => this.#bench.commitOffset(id, identity, 'g', offset, how), true)
  }

  async #end(client: Client): Promise<void> {
    const { id, identity, modern, connection } = client
    assert(identity)
    const how = { modern, connection }
    const isCommitted = this.#random.chance(0.6)
    const isEmpty = client.open.length === 0 && client.offset === undefined
    const isOver = this.#isOver(client)
    const { error, ...next } = await this.#bench.end(id, identity, isCommitted, how)
    if (!modern) client.known = connection
    if (isOver) {
      // The time-out has aborted it, and a producer of the newer protocol that wants the same is told how to go on.
      this.#forgetOpen(client)
      if (!modern || isCommitted) return assert.equal(error, 'producer-fenced')
    }
    // A client that has written nothing has nothing to commit, and does not ask.
    if (error !== undefined) return assert(isEmpty, error)
    this.#arrivesLate(client, () => this.#bench.end(id, identity, isCommitted, how))
    this.#arrivesLate(client, () => this.#bench.end(id, identity, !isCommitted, how))
    if (!isEmpty && isCommitted) this.#commit(client)
    this.#forgetOpen(client)
    client.identity = next
  }

  #commit(client: Client): void {
    for (const { stream, ...record } of client.open) this.#committed.get(stream)?.push(record)
    this.#committedOffset = client.offset ?? this.#committedOffset
  }

  /** Whether the time-out has aborted its transaction. */
  #isOver(client: Client): boolean {
    const record = this.#bench.record(client.id)
    return client.identity !== undefined && record?.epoch !== client.identity.epoch
  }

  #forgetOpen(client: Client): void {
    client.open = []
    client.offset = undefined
  }

  /**
   * The request may arrive again, at any time. In the older protocol nothing tells that it is late but the connection, once the
   * producer has gone on over another; the same holds for offsets.
   */
  #arrivesLate(client: Client, send: () => unknown, needsConnection = !client.modern): void {
    const { connection } = client
    this.#late.push(() => (!needsConnection || client.known > connection ? send() : undefined))
  }

  /** What was on the network arrives: some of it once more, in any order. */
  async #network(): Promise<void> {
    for (let left = 5; left > 0 && this.#late.length > 0; left--) await this.#random.pick(this.#late)()
    this.#late.splice(0, this.#late.length - 60)
  }

  async #pass(): Promise<void> {
    const ms = this.#random.pick([10, 5_000, 30_000])
    await this.#bench.clock.advance(ms)
    await turns()
  }

  /** The producer goes on over a new connection; what it sent over the old one may yet arrive. */
  #reconnect(client: Client): void {
    client.connection = ++this.#connections
  }

  async #restart(): Promise<void> {
    await this.#bench.restart(this.#random.pick(['orderly', 'killed']))
    // Every connection is a new one now, and nothing that was sent to the old process arrives any more.
    this.#late.length = 0
    for (const client of this.#clients) this.#reconnect(client)
  }

  /** The answer to a commit is lost with the broker: afterwards it is there as a whole or not at all. */
  async #crashDuringEnd(client: Client): Promise<void> {
    const { id, identity, modern, connection } = client
    assert(identity)
    if (this.#isOver(client)) return
    void this.#bench.end(id, identity, true, { modern, connection })
    if (this.#random.chance(0.5)) await turns(this.#random.below(4))
    await this.#restart()
    const isOngoing = this.#bench.record(id)?.state === 'ongoing'
    if (!isOngoing && (client.open.length > 0 || client.offset !== undefined)) this.#commit(client)
    const { error, ...next } = await this.#bench.register(id, { timeoutMs })
    assert.equal(error, undefined)
    this.#forgetOpen(client)
    client.identity = next
  }

  async #check(): Promise<void> {
    const { cell } = this.#bench.test
    await cell.durable(cell.journal.lastSeq)
    const overdue = new Set(this.#clients.filter(client => this.#isOver(client)))
    for (const stream of this.#streams) {
      const open = this.#clients.filter(client => !overdue.has(client)).flatMap(client => client.open)
      const stable = Math.min(Infinity, ...open.filter(record => record.stream === stream).map(({ offset }) => offset))
      const committed = this.#committed.get(stream) ?? []
      const expected = committed.toSorted((a, b) => a.offset - b.offset).filter(({ offset }) => offset < stable)
      assert.deepEqual(
        await this.#bench.committed(stream),
        expected.map(({ text }) => text),
      )
    }
    assert.equal(this.#bench.committedOffset('g'), this.#committedOffset)
  }
}

for (let round = 0; round < rounds; round++) {
  test(`what is committed is what is read, in order and at once (SEED=${seed + round})`, async () => {
    const bench = await Bench.open({ settings: { timeoutMaxMs: 60_000 } })
    await new Schedule(new Random(seed + round), bench).run()
    await bench.close()
  })
}
