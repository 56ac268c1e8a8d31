import assert from 'node:assert/strict'
import test from 'node:test'
import { BrokerError } from '../../errors.ts'
import { Bench, group, namespace, valueOf } from '../test-bench.ts'
import { noPartitions, partitionMap, type PartitionMap } from './partitions.ts'
import type { HeartbeatRequest, HeartbeatResult } from './requests.ts'

/** One member as its client would be: keeps what it was told and says it again. */
class Client {
  readonly bench: Bench
  readonly memberId: string
  readonly request: Partial<HeartbeatRequest>
  epoch = 0
  owned: PartitionMap = noPartitions

  constructor(bench: Bench, memberId: string, request: Partial<HeartbeatRequest> = {}) {
    this.bench = bench
    this.memberId = memberId
    this.request = request
  }

  #take(result: HeartbeatResult): HeartbeatResult {
    if (result.error === undefined) {
      this.epoch = result.epoch
      this.owned = result.assigned ?? this.owned
    }
    return result
  }

  #settled(request: Partial<HeartbeatRequest>): HeartbeatResult {
    const answer = this.bench.beat({ memberId: this.memberId, instanceId: this.request.instanceId ?? null, ...request })
    this.bench.pass(5)
    return this.#take(valueOf(answer))
  }

  join(): HeartbeatResult {
    return this.#settled(this.request)
  }

  beat(request: Partial<HeartbeatRequest> = {}): HeartbeatResult {
    return this.#settled({ epoch: this.epoch, owned: this.owned, ...request })
  }

  /** What it is told when it says that it is in this epoch. */
  error(epoch: number): string | undefined {
    return this.beat({ epoch }).error
  }

  get partitions(): readonly number[] {
    return this.owned.get(this.bench.topics.get('/', 't')?.id ?? '') ?? []
  }
}

function begin(partitions = 4, options: ConstructorParameters<typeof Bench>[0] = {}): Bench {
  const bench = new Bench(options)
  bench.topics.create('t', partitions)
  return bench
}

const stateOf = (bench: Bench): string | undefined => bench.groups.describeAssigned(namespace, group)?.state

test('AssignedGroups: a partition is handed over only when its former owner has given it up', () => {
  const bench = begin()
  const a = new Client(bench, 'a')
  assert.equal(a.join().epoch, 1)
  assert.deepEqual(a.partitions, [0, 1, 2, 3])
  assert.equal(stateOf(bench), 'stable')

  const b = new Client(bench, 'b')
  assert.deepEqual([b.join().epoch, b.partitions], [2, []])
  assert.equal(stateOf(bench), 'reconciling')
  const told = a.beat()
  assert.deepEqual([told.epoch, a.partitions], [1, [0, 1]])
  // It still says that it has all of them, and may commit what it gives up.
  a.owned = partitionMap([{ topicId: bench.topics.get('/', 't')?.id ?? '', partitions: [0, 1, 2, 3] }])
  assert.equal(a.beat().assigned, null)
  assert.equal(valueOf(commit(bench, 'a', 1)), 'kept')
  assert.deepEqual([b.beat().assigned, b.partitions], [null, []])

  a.owned = partitionMap([{ topicId: bench.topics.get('/', 't')?.id ?? '', partitions: [0, 1] }])
  assert.equal(a.beat().epoch, 2)
  b.beat()
  assert.deepEqual(
    [a.partitions, b.partitions],
    [
      [0, 1],
      [2, 3],
    ],
  )
  assert.equal(stateOf(bench), 'stable')
})

function commit(bench: Bench, memberId: string, generation: number): ReturnType<Bench['commit']> {
  const answer = bench.commit({ memberId, instanceId: null, generation }, 5)
  bench.pass(5)
  return answer
}

test('AssignedGroups: offsets are taken and told only in the epoch of the member', () => {
  const bench = begin()
  const a = new Client(bench, 'a')
  a.join()
  const b = new Client(bench, 'b')
  b.join()
  assert.equal(valueOf(commit(bench, 'a', 2)), 'member-epoch-stale')
  assert.equal(valueOf(commit(bench, 'b', 1)), 'member-epoch-stale')
  assert.equal(valueOf(commit(bench, 'c', 2)), 'member-unknown')
  assert.equal(valueOf(commit(bench, '', -1)), 'member-unknown')
  assert.equal(valueOf(commit(bench, 'b', 2)), 'kept')
  const check = (memberId: string | null, epoch: number): string | undefined =>
    bench.groups.checkFetch(namespace, group, memberId, epoch)
  assert.deepEqual(
    [check('b', 2), check('b', 1), check('c', 1), check(null, -1)],
    [undefined, 'member-epoch-stale', 'member-unknown', undefined],
  )
})

test('AssignedGroups: a member of the wrong epoch is fenced, unless the answer may have been lost', () => {
  const bench = begin()
  const a = new Client(bench, 'a')
  a.join()
  new Client(bench, 'b').join()
  a.beat()
  a.beat()
  assert.equal(a.epoch, 2)
  assert.equal(a.beat({ epoch: 3 }).error, 'member-epoch-fenced')
  assert.equal(a.beat({ epoch: 1, owned: null }).error, 'member-epoch-fenced')
  assert.equal(a.beat({ epoch: 1 }).epoch, 2)
  assert.equal(new Client(bench, 'z').beat({ epoch: 2 }).error, 'member-unknown')
  assert.equal(a.beat({ epoch: 0, topics: ['t'], rebalanceTimeoutMs: 1000, owned: noPartitions }).epoch, 2)
  assert.deepEqual(a.partitions, [0, 1])
})

test('AssignedGroups: who says everything of itself is told everything', () => {
  const bench = begin()
  const a = new Client(bench, 'a')
  a.join()
  assert.equal(a.beat().assigned, null)
  const told = a.beat({ topics: ['t'], rebalanceTimeoutMs: 30_000 })
  assert.deepEqual(told.assigned?.size, 1)
})

test('AssignedGroups: members that give no sign of life, or do not give up partitions in time, are removed', () => {
  const bench = begin(4, { settings: { assignedSessionTimeoutMs: 45_000 } })
  const a = new Client(bench, 'a', { rebalanceTimeoutMs: 10_000, topics: ['t'], owned: noPartitions })
  const b = new Client(bench, 'b')
  a.join()
  b.join()
  a.beat()
  for (let left = 3; left > 0; left--) {
    bench.pass(4_000)
    a.beat({ owned: partitionMap([{ topicId: '0'.repeat(31) + '1', partitions: [0, 1, 2, 3] }]) })
  }
  assert.equal(a.beat().error, 'member-unknown')
  b.beat()
  assert.deepEqual(b.partitions, [0, 1, 2, 3])
  bench.pass(46_000)
  assert.equal(b.beat().error, 'member-unknown')
  assert.equal(stateOf(bench), 'empty')
  assert.equal(bench.ledger.timerCount, 1)
})

test('AssignedGroups: a static member that leaves for a while finds its partitions again under another id', () => {
  const bench = begin()
  const first = new Client(bench, 'a1', { instanceId: 'host-a' })
  const other = new Client(bench, 'b', { instanceId: 'host-b' })
  first.join()
  other.join()
  first.beat()
  first.beat()
  other.beat()
  const twin = new Client(bench, 'a2', { instanceId: 'host-a' })
  assert.equal(twin.join().error, 'member-instance-unreleased')
  assert.deepEqual([first.beat({ epoch: -2 }).epoch, first.error(2)], [-2, 'member-epoch-fenced'])
  assert.equal(other.beat().assigned, null)

  const epochBefore = bench.groups.describeAssigned(namespace, group)?.epoch
  assert.equal(twin.join().error, undefined)
  assert.deepEqual([twin.epoch, twin.partitions], [2, [0, 1]])
  assert.equal(bench.groups.describeAssigned(namespace, group)?.epoch, epochBefore)
  assert.equal(first.error(2), 'member-instance-fenced')
  assert.equal(twin.beat({ epoch: -1 }).error, undefined)
  assert.deepEqual([other.beat().assigned?.size, other.partitions], [1, [0, 1, 2, 3]])
})

test('AssignedGroups: topics that are made, grow, go or come to match change what members have', () => {
  const bench = begin(2)
  const a = new Client(bench, 'a', { topics: ['t', 'later'], rebalanceTimeoutMs: 1000, owned: noPartitions })
  const b = new Client(bench, 'b', {
    pattern: 'metrics-[a-z]+',
    topics: null,
    rebalanceTimeoutMs: 1000,
    owned: noPartitions,
  })
  a.join()
  b.join()
  assert.deepEqual([a.partitions, b.owned.size], [[0, 1], 0])
  a.beat()
  bench.topics.grow('t', 1)
  a.beat()
  assert.deepEqual(a.partitions, [0, 1, 2])
  bench.topics.create('later', 1)
  bench.topics.create('metrics-x', 2)
  bench.topics.create('metrics-1', 2)
  a.beat()
  b.beat()
  assert.deepEqual([a.owned.size, b.owned.size], [2, 1])
  bench.topics.remove('t')
  a.beat()
  a.beat()
  assert.equal(a.owned.size, 1)
  const { epoch } = a
  bench.topics.create('nobody-cares', 1)
  a.beat()
  assert.equal(a.epoch, epoch)
  assert.equal(b.beat({ pattern: '(' }).error, 'pattern-invalid')
  b.beat({ pattern: '', topics: ['metrics-1'] })
  b.beat()
  b.beat()
  assert.deepEqual([...b.owned.keys()], [bench.topics.get('/', 'metrics-1')?.id])
})

test('AssignedGroups: all that members rely on is there after a restart', () => {
  const bench = begin()
  const a = new Client(bench, 'a')
  const b = new Client(bench, 'b')
  a.join()
  b.join()
  a.beat()
  const before = bench.groups.describeAssigned(namespace, group)
  bench.restart()
  assert.deepEqual(bench.groups.describeAssigned(namespace, group), before)
  a.beat()
  b.beat()
  assert.deepEqual(
    [a.partitions, b.partitions],
    [
      [0, 1],
      [2, 3],
    ],
  )
  bench.restart()
  bench.pass(44_000)
  assert.equal(stateOf(bench), 'stable')
  bench.pass(2_000)
  assert.equal(stateOf(bench), 'empty')
})

test('AssignedGroups: nothing is told before it is durable', () => {
  const bench = begin()
  const answer = bench.beat({ memberId: 'a' })
  assert.equal(answer.value, undefined)
  bench.pass(5)
  assert.equal(valueOf(answer).epoch, 1)
  bench.ledger.full = true
  const refused = bench.beat({ memberId: 'b' })
  bench.pass(5)
  assert.equal(valueOf(refused).error, 'storage-full')
  assert.equal(valueOf(bench.beat({ memberId: 'a', epoch: 1 })).error, undefined)
})

test('AssignedGroups refuse what makes no sense', () => {
  const bench = begin(4, { limits: { groupMembersMax: 2, membersMax: 3 } })
  const error = (request: Partial<HeartbeatRequest>): string | undefined => {
    const answer = bench.beat(request)
    bench.pass(5)
    return valueOf(answer).error
  }
  assert.equal(error({ epoch: 5, memberId: 'a' }), 'group-not-found')
  assert.equal(error({ group: '' }), 'group-id-invalid')
  assert.equal(error({ topics: null }), 'request-invalid')
  assert.equal(error({ rebalanceTimeoutMs: null }), 'request-invalid')
  assert.equal(error({ owned: partitionMap([{ topicId: 'x', partitions: [0] }]) }), 'request-invalid')
  assert.equal(error({ instanceId: '' }), 'request-invalid')
  assert.equal(error({ epoch: -3, memberId: 'a' }), 'request-invalid')
  assert.equal(error({ epoch: -2, memberId: 'a' }), 'request-invalid')
  assert.equal(error({ epoch: -1 }), 'request-invalid')
  assert.equal(error({ assignor: 'random' }), 'assignor-unknown')
  assert.equal(error({ pattern: '(' }), 'pattern-invalid')
  assert.equal(error({ memberId: 'x'.repeat(1001) }), 'request-invalid')
  assert.equal(bench.groups.list(namespace).length, 0)
  assert.equal(error({ memberId: 'a' }), undefined)
  assert.equal(error({ memberId: 'b', assignor: 'range' }), undefined)
  assert.equal(bench.groups.describeAssigned(namespace, group)?.assignor, 'range')
  assert.equal(error({ memberId: 'c' }), 'group-full')
  assert.equal(error({ memberId: 'a', epoch: -1 }), undefined)
  assert.equal(error({ memberId: 'a', epoch: -1 }), 'member-unknown')
  assert.equal(error({ memberId: 'c', group: 'second' }), undefined)
  assert.equal(error({ memberId: 'd', group: 'second' }), undefined)
  assert.equal(error({ memberId: 'e', group: 'third' }), 'group-full')
})

test('AssignedGroups: settings of a group go before those of the broker, and survive', async () => {
  const bench = begin()
  const set = async (config: Record<string, string>): Promise<void> => {
    const done = bench.groups.configure({ namespace, group }, new Map(Object.entries(config)))
    bench.pass(5)
    return done
  }
  await set({ heartbeatIntervalMs: '7000', sessionTimeoutMs: '50000' })
  bench.restart()
  assert.deepEqual(bench.groups.configured(namespace), [group])
  const a = new Client(bench, 'a')
  assert.equal(a.join().heartbeatIntervalMs, 7000)
  bench.pass(46_000)
  assert.equal(a.beat().error, undefined)
  bench.pass(51_000)
  assert.equal(a.beat().error, 'member-unknown')
  const refused = (error: unknown): boolean => error instanceof BrokerError && error.code === 'config-invalid'
  await assert.rejects(set({ heartbeatIntervalMs: '1' }), refused)
  await assert.rejects(set({ nonsense: '1' }), refused)
  await assert.rejects(set({ sessionTimeoutMs: '1e9' }), refused)
  await set({})
  assert.deepEqual(bench.groups.configured(namespace), [])
})

test('AssignedGroups: a group without members is removed with its offsets, by hand or when nobody has needed them for long', async () => {
  const bench = begin(4, { settings: { offsetsRetentionMs: 100_000, sweepIntervalMs: 1_000 } })
  const a = new Client(bench, 'a')
  a.join()
  assert.equal(valueOf(commit(bench, 'a', 1)), 'kept')
  await assert.rejects(bench.groups.remove({ namespace, group }), { code: 'group-not-empty' })
  a.beat({ epoch: -1 })
  bench.pass(90_000)
  assert.deepEqual(bench.groups.list(namespace), [{ id: group, kind: 'exclusive', protocolType: null, state: 'empty' }])
  bench.pass(12_000)
  assert.deepEqual(bench.groups.list(namespace), [])

  a.join()
  a.beat({ epoch: -1 })
  bench.pass(2_000)
  assert.deepEqual(bench.groups.list(namespace), [])

  a.join()
  assert.equal(valueOf(commit(bench, 'a', 1)), 'kept')
  a.beat({ epoch: -1 })
  const gone = bench.groups.remove({ namespace, group })
  bench.pass(5)
  await gone
  assert.deepEqual([bench.groups.list(namespace), bench.committed()], [[], undefined])
})
