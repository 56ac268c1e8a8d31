import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import {
  emptied,
  factOf,
  groupFacts,
  offsetsCommitted,
  offsetsRemoved,
  removed,
  stabilised,
  topicForgotten,
} from './facts.ts'
import { GroupsMachine } from './machine.ts'

const topicId = '0123456789abcdef'.repeat(2)
const at = { seq: 9, timeMs: 0x1122, epoch: 1 }

const commit = factOf(offsetsCommitted, {
  namespace: '/',
  group: 'g',
  expiresMs: -1,
  topics: [{ topicId, partitions: [{ partition: 300, offset: 5, leaderEpoch: -1, metadata: 'm' }] }],
})
const stable = factOf(stabilised, {
  namespace: '/',
  group: 'g',
  generation: 7,
  protocolType: 't',
  protocol: 'p',
  leader: 'm',
  members: [
    {
      memberId: 'm',
      instanceId: null,
      clientId: 'c',
      clientHost: 'h',
      sessionTimeoutMs: 1,
      rebalanceTimeoutMs: 2,
      subscription: Buffer.from('s'),
      assignment: Buffer.from('a'),
    },
  ],
})
const parts = factOf(offsetsRemoved, { namespace: '/', group: 'g', topics: [{ topicId, partitions: [300] }] })
const nobody = factOf(emptied, { namespace: '/', group: 'g', generation: 8, protocolType: null })

// What is on disks must stay readable: these bytes never change, only new versions are added.
test('facts of version 1 have the bytes that are on disks', () => {
  const one = '00000001'
  const member = `00016d ffff 000163 000168 00000001 00000002 ${one}73 ${one}61`
  assert.deepEqual(
    [commit, stable, parts, nobody].map(fact => fact.toString('hex')),
    [
      `01 00012f 000167 ffffffffffffffff ${one} ${topicId} ${one} ac02 0000000000000005 ffffffff ${one}6d`,
      `01 00012f 000167 00000007 000174 000170 00016d ${one} ${member}`,
      `01 00012f 000167 ${one} ${topicId} ${one} ac02`,
      '01 00012f 000167 00000008 ffff',
    ].map(hex => hex.replaceAll(' ', '')),
  )
  assert.equal(factOf(topicForgotten, { topicId }).toString('hex'), `01${topicId}`)
  assert.equal(factOf(removed, { namespace: '/', group: 'g' }).toString('hex'), '0100012f000167')
})

test('GroupsMachine saves what it loads, and each fact undoes what it should', () => {
  const machine = new GroupsMachine()
  machine.apply(groupFacts.offsetsCommitted, commit, at)
  machine.apply(groupFacts.stabilised, stable, at)
  const saved = bytesOf(machine)
  const restored = new GroupsMachine()
  restored.load(new Reader(saved))
  assert.equal(bytesOf(restored).toString('hex'), saved.toString('hex'))
  const group = restored.get('/', 'g')
  assert.equal(group?.leader, 'm')
  assert.deepEqual(group.offsets.get(topicId)?.get(300), {
    offset: 5,
    leaderEpoch: -1,
    metadata: 'm',
    committedMs: 0x1122,
    expiresMs: -1,
  })
  restored.apply(groupFacts.offsetsRemoved, parts, at)
  assert.equal(group.offsets.size, 0)
  restored.apply(groupFacts.emptied, nobody, at)
  assert.deepEqual([group.members, group.emptiedMs, group.generation], [[], 0x1122, 8])
  restored.apply(groupFacts.removed, factOf(removed, { namespace: '/', group: 'g' }), at)
  assert.equal(restored.count, 0)
})

function bytesOf(machine: GroupsMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}
