import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { defaultLimits } from '../limits.ts'
import { groupFacts } from './facts.ts'
import { Groups } from './groups.ts'
import type { JoinRequest } from './requests.ts'
import { Bench, group, namespace, topicId, valueOf } from './test-bench.ts'
import { TestLedger } from './test-ledger.ts'
import { TestTopics } from './test-topics.ts'

const nobody = { memberId: '', instanceId: null, generation: -1 }

test("Groups: members that join together share one generation, one leader and the leader's assignment", () => {
  const bench = new Bench()
  const joined = bench.stable(['a', 'b', 'c'])
  assert.deepEqual(new Set(joined.map(({ generation }) => generation)), new Set([1]))
  assert.deepEqual(
    joined.map(({ members }) => members.length),
    [3, 0, 0],
  )
  assert.deepEqual(
    joined.map(member => bench.heartbeat(member)),
    [undefined, undefined, undefined],
  )
  assert.equal(bench.ledger.facts.length, 1)
})

test('Groups.join: a newcomer is given its id first when it can take it, and is expected for its session time-out', () => {
  const bench = new Bench()
  const first = valueOf(bench.join({ takesIdFirst: true }))
  assert.equal(first.error, 'member-id-required')
  assert.match(first.memberId, /^client-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  const second = bench.join({ takesIdFirst: true, memberId: first.memberId })
  bench.pass(1)
  assert.equal(valueOf(second).error, undefined)
  assert.equal(valueOf(second).memberId, first.memberId)

  const late = valueOf(bench.join({ takesIdFirst: true }))
  bench.pass(10_001)
  assert.equal(valueOf(bench.join({ takesIdFirst: true, memberId: late.memberId })).error, 'member-unknown')
})

test('Groups.join refuses what cannot be a member', () => {
  const bench = new Bench({ settings: { groupBytesMax: 1000 } })
  const errorOf = (request: Partial<JoinRequest>): ErrorCode | undefined => valueOf(bench.join(request)).error
  assert.equal(errorOf({ group: '' }), 'group-id-invalid')
  assert.equal(errorOf({ group: 'x'.repeat(5000) }), 'group-id-invalid')
  assert.equal(errorOf({ sessionTimeoutMs: 5_999 }), 'session-timeout-invalid')
  assert.equal(errorOf({ sessionTimeoutMs: 1_800_001 }), 'session-timeout-invalid')
  assert.equal(errorOf({ memberId: 'stranger' }), 'member-unknown')
  assert.equal(errorOf({ instanceId: 'x'.repeat(1001) }), 'request-invalid')
  assert.equal(errorOf({ protocolType: '' }), 'group-protocol-mismatch')
  assert.equal(errorOf({ offers: [] }), 'group-protocol-mismatch')
  assert.equal(errorOf({ offers: [{ name: 'range', metadata: Buffer.alloc(1001) }] }), 'group-full')
  assert.deepEqual(bench.groups.list(namespace), [])
  bench.stable(['a'])
  assert.equal(errorOf({ protocolType: 'connect' }), 'group-protocol-mismatch')
  assert.equal(errorOf({ offers: [{ name: 'sticky', metadata: Buffer.alloc(0) }] }), 'group-protocol-mismatch')
})

test('Groups.join chooses the protocol that all members can and most prefer', () => {
  const bench = new Bench()
  const offers = (...names: string[]): Partial<JoinRequest> => ({
    offers: names.map(name => ({ name, metadata: Buffer.from(name) })),
  })
  const joins = [offers('x', 'a', 'b'), offers('b', 'a'), offers('b', 'a', 'x')].map(request => bench.join(request))
  bench.pass(1)
  assert.deepEqual(
    joins.map(join => valueOf(join).protocol),
    ['b', 'b', 'b'],
  )
  const { members } = valueOf(joins[0] ?? { value: undefined })
  assert.deepEqual(
    members.map(({ subscription }) => subscription.toString()),
    ['b', 'b', 'b'],
  )
})

test('Groups: a newcomer makes the others join again, and they keep their ids', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  const late = bench.join({ takesIdFirst: false })
  assert.equal(late.value, undefined)
  assert.equal(bench.heartbeat(a), 'group-rebalancing')
  assert.equal(valueOf(bench.sync(b)).error, 'group-rebalancing')
  const again = [a, b].map(({ memberId }) => bench.join({ memberId }))
  const generations = [...again, late].map(join => valueOf(join).generation)
  assert.deepEqual(generations, [2, 2, 2])
  assert.equal(bench.heartbeat(a), 'group-generation-stale')
})

test('Groups: who does not come back within the rebalance time-out is out', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  const again = bench.join({ memberId: a.memberId })
  for (let i = 0; i < 6; i++) {
    bench.pass(4_900)
    assert.equal(bench.heartbeat(b), 'group-rebalancing')
  }
  assert.equal(again.value, undefined)
  bench.pass(2_000)
  assert.equal(valueOf(again).generation, 2)
  assert.equal(valueOf(again).members.length, 1)
  assert.equal(bench.heartbeat(b), 'member-unknown')
})

test('Groups: a member without a sign of life is removed, and the rest is shared anew', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  bench.pass(6_000)
  assert.equal(bench.heartbeat(a), undefined)
  bench.pass(6_000)
  assert.equal(bench.heartbeat(b), 'member-unknown')
  assert.equal(bench.heartbeat(a), 'group-rebalancing')
  const again = bench.join({ memberId: a.memberId })
  assert.equal(valueOf(again).generation, 2)
  bench.pass(60_000)
  assert.equal(bench.state, 'empty')
  assert.equal(bench.heartbeat(valueOf(again)), 'member-unknown')
})

test('Groups: a commit is a sign of life', () => {
  const bench = new Bench()
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  for (let offset = 1; offset < 5; offset++) {
    bench.pass(9_000)
    bench.commit({ ...a, instanceId: null }, offset)
  }
  assert.equal(bench.state, 'stable')
})

test('Groups: a member that joined and never fetches its share is removed', () => {
  const bench = new Bench()
  const joins = [bench.join(), bench.join()]
  bench.pass(1)
  const [a, b] = joins.map(valueOf)
  assert(a !== undefined && b !== undefined)
  const sync = bench.sync(a, { [a.memberId]: 'all' })
  bench.pass(5)
  assert.equal(valueOf(sync).assignment.toString(), 'all')
  for (let i = 0; i < 5; i++) {
    bench.pass(6_000)
    assert.deepEqual(
      [bench.heartbeat(a), bench.heartbeat(b)],
      i < 4 ? [undefined, undefined] : ['group-rebalancing', 'member-unknown'],
    )
  }
})

test('Groups.sync is answered only when the assignment is durable', () => {
  const bench = new Bench()
  const join = bench.join()
  bench.pass(1)
  const a = valueOf(join)
  const sync = bench.sync(a, { [a.memberId]: 'all' })
  bench.pass(1)
  assert.equal(sync.value, undefined)
  bench.pass(1)
  assert.equal(valueOf(sync).assignment.toString(), 'all')
})

test('Groups.sync checks the generation and what the member takes for granted', () => {
  const bench = new Bench()
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  assert.equal(valueOf(bench.sync({ ...a, generation: 7 })).error, 'group-generation-stale')
  assert.equal(valueOf(bench.sync({ ...a, protocol: 'sticky' })).error, 'group-protocol-mismatch')
  assert.equal(valueOf(bench.sync({ ...a, protocolType: 'connect' })).error, 'group-protocol-mismatch')
  assert.equal(valueOf(bench.sync({ ...a, memberId: 'x' })).error, 'member-unknown')
  assert.equal(valueOf(bench.sync({ ...a, protocol: null, protocolType: null })).assignment.toString(), 'a')
})

test('Groups.join: an unchanged follower is told the present generation, a leader or a changed member rebalances', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  assert.equal(valueOf(bench.join({ memberId: b.memberId })).generation, 1)
  assert.equal(bench.state, 'stable')
  const changed = bench.join({ memberId: b.memberId, offers: [{ name: 'range', metadata: Buffer.from('more') }] })
  assert.equal(bench.state, 'preparing-rebalance')
  const leader = bench.join({ memberId: a.memberId })
  assert.deepEqual([valueOf(changed).generation, valueOf(leader).generation], [2, 2])
  // The answer got lost: the leader asks again while the others wait for its assignment.
  assert.equal(valueOf(bench.join({ memberId: a.memberId })).members.length, 2)
})

test('Groups.join: what waits is answered when the member asks again, and the new request waits', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  const first = bench.join({ memberId: a.memberId })
  const second = bench.join({ memberId: a.memberId })
  assert.equal(valueOf(first).error, 'group-rebalancing')
  assert.equal(second.value, undefined)
  bench.join({ memberId: b.memberId })
  assert.equal(valueOf(second).generation, 2)
})

test('Groups.leave: the others share what is left; the last one leaves the group empty', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  const left = bench.leave({ memberId: a.memberId, instanceId: null }, { memberId: 'x', instanceId: null })
  assert.deepEqual(valueOf(left), [undefined, 'member-unknown'])
  const again = bench.join({ memberId: b.memberId })
  assert.equal(valueOf(again).leader, b.memberId)
  const last = bench.leave({ memberId: b.memberId, instanceId: null })
  assert.equal(last.value, undefined)
  bench.pass(5)
  assert.deepEqual(valueOf(last), [undefined])
  assert.equal(bench.state, 'empty')
  assert.equal(bench.ledger.facts.at(-1)?.type, groupFacts.emptied)
})

test('Groups: the first rebalance waits for members that are started together', () => {
  const bench = new Bench({ settings: { initialRebalanceDelayMs: 100 } })
  const joins = [bench.join()]
  for (let i = 0; i < 4; i++) {
    bench.pass(80)
    joins.push(bench.join())
  }
  bench.pass(99)
  assert.equal(joins[0]?.value, undefined)
  bench.pass(1)
  assert.deepEqual(
    joins.map(join => valueOf(join).generation),
    [1, 1, 1, 1, 1],
  )
})

test('Groups: members and offsets survive a restart, and members go on without a rebalance', () => {
  const bench = new Bench()
  const [a, b] = bench.stable(['a', 'b'])
  assert(a !== undefined && b !== undefined)
  bench.commit({ ...a, instanceId: null }, 41)
  const lost = bench.commit({ ...a, instanceId: null }, 42)
  bench.restart()
  assert.equal(lost.value, undefined)
  assert.equal(bench.committed(), undefined)
  bench.commit({ ...a, instanceId: null }, 43)
  bench.pass(5)
  bench.restart()
  assert.equal(bench.committed(), 43)
  bench.pass(9_000)
  assert.deepEqual([bench.heartbeat(a), bench.heartbeat(b)], [undefined, undefined])
  assert.equal(valueOf(bench.sync(b)).assignment.toString(), 'b')
  bench.pass(9_000)
  assert.equal(bench.state, 'stable')
  bench.pass(60_000)
  assert.equal(bench.state, 'empty')
})

test('Groups.commit: from members of the generation, or from anyone while the group is empty', () => {
  const bench = new Bench()
  const outside = bench.commit(nobody, 1)
  assert.equal(outside.value, undefined)
  bench.pass(5)
  assert.equal(valueOf(outside), 'kept')
  assert.equal(valueOf(bench.commit({ ...nobody, memberId: 'x', generation: 1 }, 2)), 'member-unknown')
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  assert.equal(valueOf(bench.commit(nobody, 2)), 'member-unknown')
  assert.equal(valueOf(bench.commit({ ...a, instanceId: null, generation: 9 }, 2)), 'group-generation-stale')
  const inside = bench.commit({ ...a, instanceId: null }, 3)
  bench.pass(5)
  assert.equal(valueOf(inside), 'kept')
  assert.equal(bench.committed(), 3)
  const again = bench.join({ memberId: a.memberId })
  assert.equal(valueOf(bench.commit({ ...valueOf(again), instanceId: null }, 4)), 'group-rebalancing')
})

test('Groups.commit of more than a fact holds keeps everything', () => {
  const bench = new Bench()
  const partitions = Array.from({ length: 1201 }, (_, partition) => ({
    partition,
    offset: partition,
    leaderEpoch: 1,
    metadata: 'm',
  }))
  const topics = [
    { topicId, partitions },
    { topicId: 'b'.repeat(32), partitions: partitions.slice(0, 3) },
  ]
  bench.groups.commit(
    { namespace, group, memberId: '', instanceId: null, generation: -1, expiresMs: -1, topics },
    () => {},
  )
  assert.equal(bench.ledger.facts.length, 3)
  const offsets = bench.groups.offsets(namespace, group)
  assert.deepEqual(
    [...(offsets?.values() ?? [])].map(({ size }) => size),
    [1201, 3],
  )
  assert.equal(offsets?.get(topicId)?.get(1200)?.offset, 1200)
})

test('Groups: offsets go when they have been of no use for long enough, and the group with them', () => {
  const hour = 3_600_000
  const bench = new Bench({ settings: { offsetsRetentionMs: 24 * hour } })
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  bench.commit({ ...a, instanceId: null }, 5)
  for (let i = 0; i < 36 * 360; i++) {
    bench.pass(9_999)
    bench.heartbeat(a)
  }
  assert.equal(bench.committed(), 5)
  bench.pass(23 * hour)
  assert.equal(bench.state, 'empty')
  assert.equal(bench.committed(), 5)
  bench.pass(2 * hour)
  assert.equal(bench.committed(), undefined)
  assert.equal(bench.state, undefined)

  bench.commit(nobody, 6, bench.ledger.now + hour)
  bench.pass(2 * hour)
  assert.equal(bench.committed(), undefined)
})

test('Groups: administrators remove offsets and groups, but not groups in use', async () => {
  const bench = new Bench()
  bench.ledger.syncMs = 0
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  bench.commit({ ...a, instanceId: null }, 5)
  await assert.rejects(bench.groups.remove({ namespace, group }), refusal('group-not-empty'))
  await assert.rejects(bench.groups.remove({ namespace, group: 'other' }), refusal('group-not-found'))
  const removal = bench.groups.removeOffsets({ namespace, group }, [{ topicId, partitions: [0, 1] }])
  bench.pass(1)
  await removal
  assert.equal(bench.committed(), undefined)
  bench.leave({ memberId: a.memberId, instanceId: null })
  const gone = bench.groups.remove({ namespace, group })
  bench.pass(1)
  await gone
  assert.equal(bench.groups.describe(namespace, group), undefined)
  assert.deepEqual(bench.groups.list(namespace), [])
})

test('Groups: a removed topic takes its offsets with it', () => {
  const ledger = new TestLedger()
  const topics = new TestTopics()
  const { id } = topics.create('t', 4)
  const groups = new Groups({ ledger, random: new Random(1), limits: defaultLimits, topics })
  const partitions = [{ partition: 3, offset: 4, leaderEpoch: -1, metadata: '' }]
  groups.commit({ ...nobody, namespace, group, expiresMs: -1, topics: [{ topicId: id, partitions }] }, () => {})
  topics.remove('t')
  topics.create('t', 4)
  topics.remove('t')
  assert.equal(groups.offsets(namespace, group)?.size, 0)
  assert.equal(ledger.facts.length, 2)
})

test('Groups: bounds of members, of ids given away and of groups', () => {
  const bench = new Bench({ limits: { groupMembersMax: 2, groupsMax: 2 } })
  bench.stable(['a', 'b'])
  assert.equal(valueOf(bench.join()).error, 'group-full')
  bench.join({ group: 'second', takesIdFirst: true })
  bench.join({ group: 'second', takesIdFirst: true })
  assert.equal(valueOf(bench.join({ group: 'second', takesIdFirst: true })).error, 'group-full')
  assert.equal(valueOf(bench.join({ group: 'third' })).error, 'limit-reached')
  bench.pass(10_001)
  assert.equal(valueOf(bench.join({ group: 'third', takesIdFirst: true })).error, 'member-id-required')
})

test('Groups: a bound of members of all groups together, and places are free again when members go', () => {
  const bench = new Bench({ limits: { membersMax: 2 } })
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  assert.equal(valueOf(bench.join({ group: 'second', takesIdFirst: true })).error, 'member-id-required')
  assert.equal(valueOf(bench.join({ group: 'third', takesIdFirst: true })).error, 'limit-reached')
  bench.restart()
  assert.equal(valueOf(bench.join({ group: 'third', takesIdFirst: true })).error, 'member-id-required')
  bench.pass(10_001)
  for (const group of ['x', 'y'])
    assert.equal(valueOf(bench.join({ group, takesIdFirst: true })).error, 'member-id-required')
  assert.equal(valueOf(bench.join({ group: 'z', takesIdFirst: true })).error, 'limit-reached')
})

test('Groups: a full disk refuses commits and new assignments, and both work again when there is room', () => {
  const bench = new Bench()
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  bench.ledger.full = true
  assert.equal(valueOf(bench.commit({ ...a, instanceId: null }, 1)), 'storage-full')
  assert.equal(bench.heartbeat(a), undefined)
  const joined = valueOf(bench.join({ memberId: a.memberId }))
  assert.equal(valueOf(bench.sync(joined, { [a.memberId]: 'all' })).error, 'storage-full')
  bench.ledger.full = false
  const again = valueOf(bench.join({ memberId: a.memberId }))
  const sync = bench.sync(again, { [a.memberId]: 'all' })
  bench.pass(5)
  assert.equal(valueOf(sync).assignment.toString(), 'all')
})

test('Groups.close answers all who wait, leaves no timer, and members find their generation again', async () => {
  const bench = new Bench()
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  const waiting = bench.join()
  bench.groups.close()
  assert.equal(valueOf(waiting).error, 'shutting-down')
  assert.equal(valueOf(bench.join()).error, 'shutting-down')
  assert.equal(bench.heartbeat(a), 'shutting-down')
  assert.equal(valueOf(bench.commit({ ...a, instanceId: null }, 1)), 'shutting-down')
  assert.deepEqual(valueOf(bench.leave({ memberId: a.memberId, instanceId: null })), ['shutting-down'])
  await assert.rejects(bench.groups.remove({ namespace, group }), refusal('shutting-down'))
  assert.equal(bench.ledger.timerCount, 0)
  bench.restart()
  assert.equal(bench.heartbeat(a), undefined)
})

test('Groups: a heartbeat sets no timer', () => {
  const bench = new Bench()
  const [a] = bench.stable(['a'])
  assert(a !== undefined)
  const set = bench.ledger.clock.after
  let timers = 0
  bench.ledger.clock.after = (delayMs, run) => {
    timers++
    return set(delayMs, run)
  }
  for (let i = 0; i < 1000; i++) {
    bench.pass(10)
    bench.heartbeat(a)
  }
  assert(timers <= 3, `${timers} timers`)
})

const refusal =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    error instanceof BrokerError && error.code === code
