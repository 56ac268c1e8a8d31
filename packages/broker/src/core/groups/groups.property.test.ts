import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader } from '@dragoman/wire'
import { homeNamespace } from '../topic.ts'
import type { ErrorCode } from '../errors.ts'
import { defaultLimits } from '../limits.ts'
import { groupFacts, readFact, stabilised } from './facts.ts'
import { Groups } from './groups.ts'
import { GroupsMachine } from './machine.ts'
import type { JoinResult, SyncResult } from './requests.ts'
import { TestLedger } from './test-ledger.ts'
import { TestTopics } from './test-topics.ts'

const namespace = homeNamespace
const group = 'g'
const topicId = 'c'.repeat(32)
const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

type ClientState =
  | { kind: 'out' }
  /** Waits for the answer to a request of the broker's life `life`. */
  | { kind: 'waiting'; life: number; sinceMs: number }
  | { kind: 'joined'; join: JoinResult }
  | { kind: 'member'; join: JoinResult; heartbeatMs: number }
  /** The process has been killed: it says nothing more. */
  | { kind: 'killed' }

/** A consumer as real ones behave, one step at a time. */
class Client {
  readonly world: World
  readonly name: string
  readonly instanceId: string | null
  readonly version: number
  memberId = ''
  state: ClientState = { kind: 'out' }

  constructor(world: World, name: string, instanceId: string | null) {
    this.world = world
    this.name = name
    this.instanceId = instanceId
    this.version = world.random.between(0, 9)
  }

  step(): void {
    const { state, world } = this
    switch (state.kind) {
      case 'out':
        return this.#join()
      case 'waiting':
        // The broker that was asked is gone: the connection breaks and the client begins again with what it knows.
        if (state.life !== world.life) this.state = { kind: 'out' }
        return
      case 'joined':
        return this.#sync(state.join)
      case 'member':
        if (world.ledger.now - state.heartbeatMs < 3_000) return
        state.heartbeatMs = world.ledger.now
        return this.#heed(
          world.groups.heartbeat(namespace, group, this.memberId, this.instanceId, state.join.generation),
        )
      case 'killed':
        return
    }
  }

  #wait<T>(take: (answer: T) => void): (answer: T) => void {
    const { world } = this
    const waiting: ClientState = { kind: 'waiting', life: world.life, sinceMs: world.ledger.now }
    this.state = waiting
    return answer => {
      assert.equal(waiting.life, world.life, 'an answer from a former life')
      if (this.state === waiting) take(answer)
    }
  }

  #join(): void {
    const { world, memberId, instanceId, version } = this
    const metadata = Buffer.from(world.random.chance(0.9) ? 'same' : `other ${world.random.below(3)}`)
    const names = version % 2 === 0 ? ['range', 'sticky'] : ['sticky', 'range']
    const request = {
      namespace,
      group,
      memberId,
      instanceId,
      clientId: this.name,
      clientHost: '/h',
      principal: 'p',
      host: 'h',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 20_000,
      protocolType: 'consumer',
      offers: names.map(name => ({ name, metadata })),
      takesIdFirst: version >= 4,
      maySkipAssignment: version >= 9,
    }
    world.groups.join(
      request,
      this.#wait<JoinResult>(result => {
        if (result.error !== undefined) {
          this.state = { kind: 'out' }
          if (result.error === 'member-id-required') this.memberId = result.memberId
          else this.#heed(result.error)
          return
        }
        this.memberId = result.memberId
        this.state = { kind: 'joined', join: result }
        world.joined(result)
      }),
    )
  }

  #sync(join: JoinResult): void {
    const { world, memberId, instanceId } = this
    const { generation, protocolType, protocol, leader, skipAssignment, members } = join
    const leads = leader === memberId && !skipAssignment
    const nonce = `${generation}/${memberId}/${world.random.u32()}`
    const assignments = leads
      ? members.map(member => ({ memberId: member.memberId, assignment: Buffer.from(nonce) }))
      : []
    const request = { namespace, group, memberId, instanceId, generation, protocolType, protocol, assignments }
    world.groups.sync(
      request,
      this.#wait<SyncResult>(result => {
        if (result.error !== undefined) {
          this.state = { kind: 'out' }
          return this.#heed(result.error)
        }
        world.synced(generation, result.assignment.toString())
        this.state = { kind: 'member', join, heartbeatMs: world.ledger.now }
      }),
    )
  }

  /** Does what the protocol asks of a member that is told this. */
  #heed(error: ErrorCode | undefined): void {
    if (error === undefined) return
    if (error === 'member-unknown' || error === 'member-instance-fenced') this.memberId = ''
    this.state = error === 'member-instance-fenced' ? { kind: 'killed' } : { kind: 'out' }
  }

  commit(): void {
    const { state, world, memberId, instanceId } = this
    if (state.kind === 'member') world.commit(memberId, instanceId, state.join.generation)
  }

  leave(): void {
    const { world, memberId, instanceId } = this
    if (this.state.kind !== 'member') return
    world.groups.leave({ namespace, group }, [{ memberId, instanceId }], () => {})
    this.state = { kind: 'killed' }
  }
}

/** The broker, its disk, its clients, and what must hold of them. */
class World {
  readonly random: Random
  readonly ledger = new TestLedger()
  groups: Groups
  clients: Client[] = []
  life = 0
  #named = 0
  /** By generation of this life: its leader. */
  #leaders = new Map<number, string>()
  /** By generation: what its leader assigned. For ever, as only durable assignments are seen. */
  readonly #nonces = new Map<number, string>()
  #committing = 0
  #acknowledged = 0

  constructor(random: Random) {
    this.random = random
    this.groups = this.#start()
    for (let i = 0; i < 3; i++) this.addClient()
  }

  #start(): Groups {
    const settings = { initialRebalanceDelayMs: this.random.pick([0, 100]) }
    return new Groups({
      ledger: this.ledger,
      random: this.random.fork(),
      limits: defaultLimits,
      settings,
      topics: new TestTopics(),
    })
  }

  addClient(instanceId: string | null = null): void {
    const name = `client${this.#named++}`
    this.clients.push(new Client(this, name, instanceId ?? (this.random.chance(0.3) ? `instance-${name}` : null)))
  }

  restart(): void {
    this.life++
    this.#leaders = new Map()
    this.ledger.crash()
    this.ledger.full = false
    this.groups = this.#start()
    const kept = this.committed()
    assert(kept >= this.#acknowledged, `commit ${this.#acknowledged} was acknowledged, ${kept} was kept`)
    assert(this.ledger.saved().equals(this.ledger.replayed()), 'a checkpoint and the facts after it equal all facts')
  }

  committed(): number {
    return this.groups.offsets(namespace, group)?.get(topicId)?.get(0)?.offset ?? 0
  }

  commit(memberId: string, instanceId: string | null, generation: number): void {
    const offset = ++this.#committing
    const topics = [{ topicId, partitions: [{ partition: 0, offset, leaderEpoch: -1, metadata: '' }] }]
    const { life } = this
    this.groups.commit({ namespace, group, memberId, instanceId, generation, expiresMs: -1, topics }, error => {
      assert.equal(life, this.life)
      if (error === undefined) this.#acknowledged = Math.max(this.#acknowledged, offset)
    })
  }

  joined({ generation, leader, memberId, skipAssignment, members }: JoinResult): void {
    // A static member that came back is told about the present generation in a way of its own.
    if (skipAssignment) return
    if (members.length > 0) assert.equal(leader, memberId, 'only the leader sees the members')
    const known = this.#leaders.get(generation)
    if (known === undefined || members.length > 0) this.#leaders.set(generation, leader)
    if (members.length > 0) assert(members.some(member => member.memberId === leader))
  }

  synced(generation: number, nonce: string): void {
    // Empty: the leader of the generation did not know the member.
    if (nonce === '') return
    assert.equal(this.#nonces.get(generation) ?? nonce, nonce, `two assignments in generation ${generation}`)
    assert.equal(Number(nonce.split('/')[0]), generation)
    this.#nonces.set(generation, nonce)
  }

  /** One random thing happens, and time passes. */
  step(): void {
    const { random } = this
    const client = random.pick(this.clients)
    const dice = random.below(1000)
    if (dice < 3) this.restart()
    else if (dice < 10) client.state = { kind: 'killed' }
    else if (dice < 15) client.leave()
    else if (dice < 25 && this.clients.length < 8) this.addClient()
    else if (dice < 30) this.clients = this.clients.filter(other => other.state.kind !== 'killed' || random.chance(0.5))
    else if (dice < 35 && client.instanceId !== null) this.addClient(client.instanceId)
    else if (dice < 38) this.ledger.full = random.chance(0.5)
    else if (dice < 200) client.commit()
    else client.step()
    if (this.clients.length === 0) this.addClient()
    this.ledger.pass(random.below(random.chance(0.05) ? 8_000 : 300))
  }

  /** All who are left behave; nobody dies any more. */
  settle(): void {
    this.ledger.full = false
    const untilMs = this.ledger.now + 150_000
    while (this.ledger.now < untilMs) {
      for (const client of this.clients) client.step()
      this.ledger.pass(100)
    }
  }

  checkSettled(): void {
    const living = this.clients.filter(({ state }) => state.kind !== 'killed')
    const described = this.groups.describe(namespace, group)
    if (living.length === 0) return assert.notEqual(described?.state, 'stable')
    assert.equal(described?.state, 'stable')
    const members = living.map(({ memberId }) => memberId).sort()
    assert.deepEqual(described.members.map(({ memberId }) => memberId).sort(), members)
    for (const { state } of living) {
      assert(state.kind === 'member', state.kind)
      assert.equal(state.join.generation, described.generation)
    }
    const shares = new Set(described.members.map(({ assignment }) => assignment.toString()))
    assert.equal(shares.size, 1, 'all shares come from one leader')
    this.#checkGenerations()
  }

  /** Stable generations only grow; one is written again only when a static member comes back under another id. */
  #checkGenerations(): void {
    let last = 0
    let nonces = ''
    for (const { type, payload } of this.ledger.facts) {
      if (type !== groupFacts.stabilised) continue
      const { generation, members } = readFact(stabilised, payload)
      const now = String(members.map(({ assignment }) => assignment.toString()).sort())
      assert(generation > last || (generation === last && now === nonces), `generation ${generation} after ${last}`)
      last = generation
      nonces = now
    }
  }
}

test(`Groups: whatever members, disk and broker do, generations are consistent and end stable (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let run = 0; run < 40; run++) {
    const world = new World(random.fork())
    for (let phase = 0; phase < 3; phase++) {
      for (let i = 0; i < 400; i++) world.step()
      world.settle()
      world.checkSettled()
    }
    world.restart()
    world.groups.close()
  }
})

test(`GroupsMachine refuses what it cannot know (SEED=${seed})`, () => {
  const machine = new GroupsMachine()
  const at = { seq: 1, timeMs: 1, epoch: 1 }
  assert.throws(() => machine.apply(99, Buffer.from([1]), at), /no facts of type 99/)
  assert.throws(() => machine.apply(groupFacts.removed, Buffer.from([2, 0, 0, 0, 0]), at), /newer broker/)
  assert.throws(() => machine.load(new Reader(Buffer.from([9, 0, 0, 0, 0]))), /newer broker/)
})
