import assert from 'node:assert/strict'
import test from 'node:test'
import type { JoinRequest } from './requests.ts'
import { Bench, valueOf } from './test-bench.ts'

test('Groups: a static member that comes back takes its old place without a rebalance', () => {
  const bench = new Bench()
  const instances = (index: number): Partial<JoinRequest> => ({ instanceId: `host-${index}`, takesIdFirst: true })
  const [a, b] = bench.stable(['a', 'b'], instances)
  assert(a !== undefined && b !== undefined)
  const back = bench.join(instances(1))
  bench.pass(5)
  const returned = valueOf(back)
  assert.equal(returned.error, undefined)
  assert.equal(returned.generation, 1)
  assert.notEqual(returned.memberId, b.memberId)
  assert.equal(valueOf(bench.sync(returned, {}, 'host-1')).assignment.toString(), 'b')
  assert.equal(bench.heartbeat(b, 'host-1'), 'member-instance-fenced')
  assert.equal(bench.heartbeat(returned, 'host-1'), undefined)
  assert.equal(bench.heartbeat(a, 'host-0'), undefined)
})

test('Groups: a static leader that comes back does not assign anew, whatever its peer understands', () => {
  const bench = new Bench()
  const instances = (index: number): Partial<JoinRequest> => ({ instanceId: `host-${index}` })
  const [a] = bench.stable(['a', 'b'], instances)
  assert(a !== undefined)
  const knows = bench.join({ instanceId: 'host-0' })
  bench.pass(5)
  const first = valueOf(knows)
  assert.deepEqual([first.skipAssignment, first.leader === first.memberId, first.members.length], [true, true, 2])
  const knowsNot = bench.join({ instanceId: 'host-0', maySkipAssignment: false })
  bench.pass(5)
  const second = valueOf(knowsNot)
  assert.deepEqual([second.skipAssignment, second.leader === first.memberId, second.members.length], [false, true, 0])
  assert.equal(valueOf(bench.sync(second, {}, 'host-0')).assignment.toString(), 'a')
})

test('Groups: two processes under one instance id, the former is fenced in whatever it waits for', () => {
  const bench = new Bench({ settings: { initialRebalanceDelayMs: 100 } })
  const former = bench.join({ instanceId: 'host' })
  const latter = bench.join({ instanceId: 'host' })
  assert.equal(valueOf(former).error, 'member-instance-fenced')
  bench.pass(1_000)
  assert.equal(valueOf(latter).generation, 1)
  const third = bench.join({ instanceId: 'host', memberId: 'x' })
  assert.equal(valueOf(third).error, 'member-instance-fenced')
})

test('Groups: static members that do not come keep their place until their session ends; administrators can remove them', () => {
  const bench = new Bench()
  const instances = (index: number): Partial<JoinRequest> => ({ instanceId: `host-${index}`, sessionTimeoutMs: 60_000 })
  const [a, b] = bench.stable(['a', 'b'], instances)
  assert(a !== undefined && b !== undefined)
  const again = bench.join({ ...instances(0), memberId: a.memberId })
  bench.pass(31_000)
  assert.equal(valueOf(again).members.length, 2)
  const left = bench.leave({ memberId: '', instanceId: 'host-1' }, { memberId: 'x', instanceId: 'host-0' })
  assert.deepEqual(valueOf(left), [undefined, 'member-instance-fenced'])
  assert.equal(bench.heartbeat(b, 'host-1'), 'member-unknown')
})
