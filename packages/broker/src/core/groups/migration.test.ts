import assert from 'node:assert/strict'
import test from 'node:test'
import type { HeartbeatResult } from './assigned/requests.ts'
import { jsonBridge } from './assigned/test-clients.ts'
import type { JoinRequest, JoinResult } from './requests.ts'
import type { GroupMigration } from './settings.ts'
import { Bench, group, namespace, valueOf, type Answer } from './test-bench.ts'

const said = (owned: number[] = []): Partial<JoinRequest> => {
  const subscription = { topics: ['t'], rackId: null, owned: [{ topic: 't', partitions: owned }] }
  return { offers: [{ name: 'range', metadata: Buffer.from(JSON.stringify(subscription)) }] }
}

const share = (partitions: number[]): string => JSON.stringify([{ topic: 't', partitions }])

/** Two members that assign among themselves, each with half of a topic. */
function classicGroup(migration: GroupMigration = 'bidirectional'): { bench: Bench; a: JoinResult; b: JoinResult } {
  const bench = new Bench({ settings: { migration } })
  bench.groups.useBridge(jsonBridge)
  bench.topics.create('t', 4)
  const [a, b] = bench.stable([share([0, 1]), share([2, 3])], () => said())
  assert(a !== undefined && b !== undefined)
  return { bench, a, b }
}

function settled<T>(bench: Bench, answer: Answer<T>): T {
  bench.pass(5)
  return valueOf(answer)
}

const join = (bench: Bench): HeartbeatResult => settled(bench, bench.beat({ memberId: 'new' }))
const kind = (bench: Bench): string => bench.groups.kindOf(namespace, group)

const held = (bench: Bench): Record<string, readonly number[]> =>
  Object.fromEntries(
    (bench.groups.describeAssigned(namespace, group)?.members ?? []).map(({ memberId, assigned }) => [
      memberId,
      [...assigned.values()].flat(),
    ]),
  )

test('Groups: a member to which the broker assigns takes the group over, and the others go on with what they have', () => {
  const { bench, a, b } = classicGroup()
  assert.equal(join(bench).error, undefined)
  assert.equal(kind(bench), 'exclusive')
  assert.deepEqual(held(bench), { [a.memberId]: [0, 1], [b.memberId]: [2, 3], new: [] })
  assert.equal(settled(bench, bench.commit({ memberId: a.memberId, instanceId: null, generation: 1 }, 5)), 'kept')
  assert.equal(
    settled(bench, bench.commit({ memberId: a.memberId, instanceId: null, generation: 2 }, 5)),
    'group-generation-stale',
  )
  assert.equal(bench.heartbeat(a), 'group-rebalancing')
  assert.equal(settled(bench, bench.sync(a)).error, 'group-rebalancing')

  // It is told what it keeps, gives up the rest and says so by joining again.
  const rejoin = (member: JoinResult, owned: number[]): JoinResult =>
    settled(bench, bench.join({ memberId: member.memberId, ...said(owned) }))
  const first = rejoin(a, [0, 1])
  const kept = JSON.parse(settled(bench, bench.sync(first)).assignment.toString())
  assert.equal(kept[0]?.partitions.length, 1 + Number(first.generation === 2))
  for (const member of [a, b]) {
    const told = rejoin(member, [0, 1, 2, 3])
    const now: { partitions: number[] }[] = JSON.parse(settled(bench, bench.sync(told)).assignment.toString())
    assert.equal(rejoin(member, now[0]?.partitions ?? []).generation, 2)
  }
  const late = settled(bench, bench.beat({ memberId: 'new', epoch: 2 }))
  assert.equal(late.assigned?.size, 1)
  assert.equal(bench.groups.describeAssigned(namespace, group)?.state, 'stable')

  bench.restart()
  bench.groups.useBridge(jsonBridge)
  assert.equal(bench.heartbeat({ ...a, generation: 2 }), undefined)
  assert.deepEqual(settled(bench, bench.leave({ memberId: 'new', instanceId: null })), ['member-unknown'])
})

test('Groups: when the last member to which the broker assigns goes or falls silent, the others are on their own again', () => {
  for (const isKilled of [false, true]) {
    const { bench, a, b } = classicGroup()
    join(bench)
    if (isKilled) {
      const joined = [a, b].map(({ memberId }) => settled(bench, bench.join({ memberId, ...said() })))
      for (const member of joined) settled(bench, bench.sync(member))
      for (let left = 5; left > 0; left--) {
        bench.pass(9_500)
        for (const member of joined) bench.heartbeat(member)
      }
    } else settled(bench, bench.beat({ memberId: 'new', epoch: -1 }))
    assert.equal(kind(bench), 'classic')
    assert.equal(bench.state, 'preparing-rebalance')
    assert.equal(bench.heartbeat({ ...a, generation: 2 }), 'group-rebalancing')
    const again = [a, b].map(({ memberId }) => bench.join({ memberId, ...said() }))
    bench.pass(5)
    assert.deepEqual(
      again.map(answer => valueOf(answer).generation),
      [3, 3],
    )
  }
})

test('Groups: a group whose subscriptions cannot be read, or that may not change, stays what it is', () => {
  for (const migration of ['disabled', 'downgrade'] as const) {
    const { bench, a } = classicGroup(migration)
    assert.equal(join(bench).error, 'group-not-found')
    assert.equal(bench.heartbeat(a), undefined)
  }
  const bench = new Bench()
  bench.groups.useBridge(jsonBridge)
  bench.stable(['x'], () => ({ protocolType: 'connect' }))
  assert.equal(join(bench).error, 'group-not-found')

  const { bench: upgraded, a, b } = classicGroup('upgrade')
  join(upgraded)
  settled(upgraded, upgraded.beat({ memberId: 'new', epoch: -1 }))
  assert.equal(kind(upgraded), 'exclusive')
  assert.deepEqual(Object.keys(held(upgraded)), [a.memberId, b.memberId])
})

test('Groups: without members, a group becomes whatever comes first', () => {
  const { bench, a, b } = classicGroup()
  settled(bench, bench.leave({ memberId: a.memberId, instanceId: null }, { memberId: b.memberId, instanceId: null }))
  assert.equal(join(bench).error, undefined)
  settled(bench, bench.beat({ memberId: 'new', epoch: -1 }))
  assert.equal(kind(bench), 'exclusive')
  bench.join(said())
  bench.pass(5)
  assert.equal(kind(bench), 'classic')
})

test('Groups: an id that nobody was given is not taken in a join, and one that does not fit is refused', () => {
  const { bench } = classicGroup()
  join(bench)
  const error = (request: Partial<JoinRequest>): string | undefined =>
    settled(bench, bench.join({ ...said(), ...request })).error
  assert.equal(error({ memberId: 'anybody' }), 'member-unknown')
  assert.equal(error({ protocolType: 'connect' }), 'group-protocol-mismatch')
  assert.equal(
    error({ offers: [{ name: 'other', metadata: Buffer.from('{"topics":[],"rackId":null,"owned":[]}') }] }),
    'group-protocol-mismatch',
  )
  const invited = settled(bench, bench.join({ ...said(), takesIdFirst: true }))
  assert.equal(invited.error, 'member-id-required')
  assert.equal(error({ memberId: invited.memberId }), undefined)
  assert.equal(error({ memberId: 'new', instanceId: 'nobody' }), 'member-unknown')
})
