import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import {
  epochRaised,
  factOf,
  groupConfigured,
  groupRemoved,
  memberMoved,
  memberRemoved,
  memberSet,
  membershipFacts,
  targetsSet,
} from './facts.ts'
import { MembershipsMachine } from './machine.ts'
import { partitionMap, toStored } from './partitions.ts'

const topicId = '0123456789abcdef'.repeat(2)
const at = { seq: 9, timeMs: 0x1122, epoch: 1 }
const place = { namespace: '/', group: 'g' }
const held = toStored(partitionMap([{ topicId, partitions: [7, 1, 2, 3, 300] }]))

const classic = { sessionTimeoutMs: 3, offers: [{ name: 'range', metadata: Buffer.from('x') }] }
const set = factOf(memberSet, {
  ...place,
  kind: 1,
  memberId: 'm',
  instanceId: 'i',
  rackId: null,
  clientId: 'c',
  clientHost: 'h',
  principal: 'p',
  host: 'o',
  rebalanceTimeoutMs: 2,
  topics: ['t'],
  pattern: 'a.*',
  assignor: null,
  classic,
})
const raised = factOf(epochRaised, { ...place, epoch: 5, topicsHash: topicId })
const targets = factOf(targetsSet, { ...place, epoch: 5, targets: [{ memberId: 'm', target: held }] })
const position = { memberId: 'm', epoch: 5, previousEpoch: 4, state: 2 }
const moved = factOf(memberMoved, { ...place, ...position, assigned: held, revoking: [] })
const configured = factOf(groupConfigured, { ...place, config: [{ name: 'n', value: 'v' }] })

// What is on disks must stay readable: these bytes never change, only new versions are added.
test('facts of version 1 have the bytes that are on disks', () => {
  const group = '01 00012f 000167'
  const one = '00000001'
  const stored = `${one} ${topicId} 00000003 01 03 07 01 ac02 01`
  assert.deepEqual(
    [set, raised, targets, moved, configured].map(fact => fact.toString('hex')),
    [
      `${group} 01 00016d 000169 ffff 000163 000168 000170 00016f 00000002 ${one} 000174 0003612e2a ffff` +
        ` 01 00000003 ${one} 000572616e6765 ${one}78`,
      `${group} 00000005 ${topicId}`,
      `${group} 00000005 ${one} 00016d ${stored}`,
      `${group} 00016d 00000005 00000004 02 ${stored} 00000000`,
      `${group} ${one} 00016e 000176`,
    ].map(hex => hex.replaceAll(' ', '')),
  )
  assert.equal(factOf(memberRemoved, { ...place, memberId: 'm' }).toString('hex'), '0100012f00016700016d')
  assert.equal(factOf(groupRemoved, place).toString('hex'), '0100012f000167')
})

test('MembershipsMachine saves what it loads, and each fact undoes what it should', () => {
  const machine = new MembershipsMachine()
  machine.apply(membershipFacts.memberSet, set, at)
  machine.apply(membershipFacts.epochRaised, raised, at)
  machine.apply(membershipFacts.targetsSet, targets, at)
  machine.apply(membershipFacts.memberMoved, moved, at)
  machine.apply(membershipFacts.groupConfigured, configured, at)
  const saved = bytesOf(machine)
  const restored = new MembershipsMachine()
  restored.load(new Reader(saved))
  assert.equal(bytesOf(restored).toString('hex'), saved.toString('hex'))

  const group = restored.get('/', 'g')
  assert(group !== undefined)
  const member = group.holderOf('i')
  assert.equal(member, group.members.get('m'))
  assert.deepEqual([member?.epoch, member?.previousEpoch, member?.state, member?.topics], [5, 4, 'waiting', ['t']])
  assert.deepEqual(member?.assigned, new Map([[topicId, [1, 2, 3, 7, 300]]]))
  assert.deepEqual(member?.target, member?.assigned)
  assert.deepEqual([group.ownerOf(topicId, 300), group.ownerOf(topicId, 4)], ['m', undefined])
  assert.deepEqual([group.epoch, group.assignmentEpoch, group.topicsHash], [5, 5, topicId])

  restored.apply(membershipFacts.memberRemoved, factOf(memberRemoved, { ...place, memberId: 'm' }), at)
  assert.deepEqual([group.members.size, group.emptiedMs, group.holderOf('i')], [0, 0x1122, undefined])
  assert.equal(group.ownerOf(topicId, 300), undefined)
  restored.apply(membershipFacts.groupRemoved, factOf(groupRemoved, place), at)
  assert.equal(restored.count, 0)
  assert.equal(restored.config('/', 'g').get('n'), 'v')
  restored.apply(membershipFacts.groupConfigured, factOf(groupConfigured, { ...place, config: [] }), at)
  assert.equal(restored.configuredCount, 0)
})

test('MembershipsMachine tells a newer broker from damage', () => {
  const machine = new MembershipsMachine()
  assert.throws(() => machine.apply(99, groupRemovedBytes, at), /newer broker/)
  assert.throws(() => machine.apply(membershipFacts.groupRemoved, Buffer.from([2]), at), /newer broker/)
  assert.throws(() => machine.apply(membershipFacts.epochRaised, raised, at), /does not exist/)
})

const groupRemovedBytes = factOf(groupRemoved, place)

function bytesOf(machine: MembershipsMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}
