import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { defaultLimits } from '../../limits.ts'
import { Groups } from '../groups.ts'
import { group, namespace } from '../test-bench.ts'
import { TestLedger } from '../test-ledger.ts'
import { TestTopics } from '../test-topics.ts'
import type { Membership } from './machine.ts'
import type { PartitionMap } from './partitions.ts'
import { AssignedClient, ClassicClient, jsonBridge, type Client, type ClientWorld, type Fate } from './test-clients.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Members that come, leave, pause, are cut and come twice, and brokers that crash, in virtual time. */
class World implements ClientWorld {
  readonly random: Random
  readonly ledger = new TestLedger()
  readonly topics = new TestTopics()
  groups: Groups
  clients: Client[] = []
  isCalm = false
  accepted = 0
  refused = 0
  readonly #isMixed: boolean
  readonly #paused = new Map<Client, number>()
  #named = 0

  constructor(random: Random) {
    this.random = random
    this.#isMixed = random.chance(0.6)
    this.groups = this.#start()
    for (const name of ['t0', 't1']) this.topics.create(name, 1 + random.below(6))
    for (let left = 1 + random.below(3); left > 0; left--) this.#add()
  }

  #start(): Groups {
    const settings = { initialRebalanceDelayMs: 0, assignedSessionTimeoutMs: 10_000 }
    const { ledger, topics } = this
    const groups = new Groups({ ledger, topics, random: this.random.fork(), limits: defaultLimits, settings })
    groups.useBridge(jsonBridge)
    return groups
  }

  #add(): void {
    const { random } = this
    if (this.#isMixed && random.chance(0.5)) this.clients.push(new ClassicClient(this, random.chance(0.5)))
    else {
      const name = `m${this.#named++}`
      this.clients.push(new AssignedClient(this, name, random.chance(0.3) ? `i-${name}` : null))
    }
  }

  topicId(name: string): string | undefined {
    return this.topics.get(namespace, name)?.id
  }

  nameOf(topicId: string): string | undefined {
    return this.topics.byId(topicId)?.name
  }

  partitionCount(name: string): number {
    return this.topics.get(namespace, name)?.partitions.length ?? 0
  }

  fate(): Fate {
    return this.isCalm || this.random.chance(0.8) ? 'fine' : this.random.pick(['lost', 'unheard', 'twice'] as const)
  }

  turn(): void {
    const { random } = this
    if (!this.isCalm && random.chance(0.15)) this.#disturb()
    for (const client of this.clients) {
      const until = this.#paused.get(client) ?? 0
      if (until > this.ledger.now && !this.isCalm) continue
      if (random.chance(0.7) || this.isCalm) client.step()
      if (random.chance(0.2)) this.#commit(client)
      this.check()
    }
    this.ledger.pass(this.isCalm ? 100 : 10 + random.below(1_500))
    this.check()
  }

  #disturb(): void {
    const { random, clients } = this
    const client = clients.length > 0 ? random.pick(clients) : undefined
    switch (random.below(7)) {
      case 0:
        return this.#add()
      case 1:
        client?.leave()
        if (random.chance(0.5)) this.clients = clients.filter(other => other !== client)
        return
      case 2:
        if (client !== undefined) this.#paused.set(client, this.ledger.now + random.below(30_000))
        return
      case 3:
        // Killed: it never says that it goes.
        this.clients = clients.filter(other => other !== client)
        return
      case 4:
        return random.chance(0.5) ? this.#crash() : this.topics.grow('t0', 1)
      case 5:
        if (this.topics.get(namespace, 't2') === undefined) this.topics.create('t2', 1 + random.below(3))
        else this.topics.remove('t2')
        return
      default:
        return this.#crash()
    }
  }

  #crash(): void {
    this.groups.close()
    this.ledger.crash()
    this.groups = this.#start()
  }

  /** Offsets are taken only from a member in its present epoch. */
  #commit({ memberId, epoch }: Client): void {
    const generation = this.random.chance(0.7) ? epoch : epoch - 1 + this.random.below(3)
    const member = this.memberOf(memberId)
    const isAssigned = this.groups.kindOf(namespace, group) === 'exclusive'
    const topicId = this.topicId('t0') ?? ''
    const topics = [{ topicId, partitions: [{ partition: 0, offset: 1, leaderEpoch: -1, metadata: '' }] }]
    const factsBefore = this.ledger.facts.length
    const who = { namespace, group, memberId, instanceId: null, generation, expiresMs: -1 }
    this.groups.commit({ ...who, topics }, () => {})
    if (!isAssigned) return
    const isTaken = this.ledger.facts.length > factsBefore
    const isAllowed = member?.epoch === generation || (generation < 0 && this.members().length === 0)
    assert.equal(isTaken, isAllowed)
    if (isTaken) this.accepted++
    else this.refused++
  }

  members(): readonly Membership[] {
    return this.groups.describeAssigned(namespace, group)?.members ?? []
  }

  memberOf(memberId: string): Membership | undefined {
    return this.members().find(member => member.memberId === memberId)
  }

  /** No two members have one partition, as the broker knows it; and no client believes to have more than the broker knows. */
  check(): void {
    const owners = new Map<string, string>()
    for (const { memberId, assigned, revoking } of this.members()) {
      claim(assigned, memberId, owners)
      claim(revoking, memberId, owners)
    }
    const classic = new Set(this.groups.describe(namespace, group)?.members.map(({ memberId }) => memberId))
    for (const { memberId, owned } of this.clients) {
      if (classic.has(memberId)) claim(owned, memberId, owners)
      if (this.memberOf(memberId) === undefined) continue
      for (const [topicId, partitions] of owned) {
        for (const partition of partitions) {
          assert.equal(owners.get(`${topicId}/${partition}`), memberId, `${memberId} has ${topicId}/${partition}`)
        }
      }
    }
  }

  /** When nothing disturbs any more, each partition that anybody subscribes to is read by exactly one client. */
  settle(): void {
    this.isCalm = true
    if (this.clients.length === 0) this.#add()
    for (let left = 900; left > 0; left--) this.turn()
    const readers = new Map<string, number>()
    for (const { owned } of this.clients) {
      for (const [topicId, partitions] of owned) {
        for (const partition of partitions) {
          const key = `${topicId}/${partition}`
          readers.set(key, (readers.get(key) ?? 0) + 1)
        }
      }
    }
    const { state } = this.groups.describeAssigned(namespace, group) ?? this.groups.describe(namespace, group) ?? {}
    assert.equal(state, 'stable')
    for (const name of this.#wanted()) {
      const id = this.topicId(name) ?? ''
      for (let partition = 0; partition < this.partitionCount(name); partition++) {
        assert.equal(readers.get(`${id}/${partition}`), 1, `readers of ${name}/${partition}`)
      }
    }
    this.ledger.pass(100)
    assert.deepEqual(this.ledger.saved(), this.ledger.replayed())
  }

  *#wanted(): Generator<string> {
    if (this.groups.kindOf(namespace, group) === 'exclusive') yield* this.groups.subscribedTopics(namespace, group)
    else {
      const topics = this.groups
        .subscriptions(namespace, group)
        .map(bytes => jsonBridge.readSubscription(bytes)?.topics)
      yield* new Set(topics.flatMap(names => names ?? []))
    }
  }
}

function claim(partitions: PartitionMap, memberId: string, owners: Map<string, string>): void {
  for (const [topicId, list] of partitions) {
    for (const partition of list) {
      const key = `${topicId}/${partition}`
      assert.equal(owners.get(key) ?? memberId, memberId, `${key} belongs to two`)
      owners.set(key, memberId)
    }
  }
}

test(`Groups of all kinds of members keep their promises (SEED=${seed})`, () => {
  let accepted = 0
  let refused = 0
  for (let round = 0; round < 25; round++) {
    const world = new World(new Random(seed + round))
    try {
      for (let turn = 0; turn < 150; turn++) world.turn()
      world.settle()
    } catch (error) {
      throw new Error(`with SEED=${seed + round}`, { cause: error })
    }
    accepted += world.accepted
    refused += world.refused
  }
  assert(accepted > 0 && refused > 0)
})
