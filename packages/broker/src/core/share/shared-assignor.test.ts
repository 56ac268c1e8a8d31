import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { AssignorMember } from '../groups/assigned/assignor.ts'
import { countOf, noPartitions, type PartitionMap } from '../groups/assigned/partitions.ts'
import { assignShared } from './shared-assignor.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const topicId = (index: number): string => index.toString(16).padStart(32, '0')

function member(index: number, topics: Iterable<string>, target: PartitionMap = noPartitions): AssignorMember {
  return { memberId: `member-${index}`, instanceId: null, topics: new Set(topics), target }
}

function membersOf(result: ReadonlyMap<string, PartitionMap>): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const [memberId, map] of result) {
    for (const [topic, partitions] of map) {
      for (const partition of partitions) {
        const place = `${topic}/${partition}`
        found.set(place, [...(found.get(place) ?? []), memberId])
      }
    }
  }
  return found
}

const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts)

test(`assignShared gives everybody a partition and every partition somebody, evenly (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 100; round++) {
    const partitionCounts = new Map(
      Array.from({ length: random.between(1, 3) }, (_, index) => [topicId(index), random.between(1, 8)]),
    )
    let targets = new Map<string, PartitionMap>()
    for (let step = 0; step < 5; step++) {
      const members = Array.from({ length: random.between(1, 20) }, (_, index) =>
        member(index, partitionCounts.keys(), targets.get(`member-${index}`)),
      )
      const result = assignShared({ members, partitionCounts })
      const places = membersOf(result)
      const total = [...partitionCounts.values()].reduce((sum, count) => sum + count, 0)
      assert.equal(places.size, total)
      assert(spread(members.map(({ memberId }) => countOf(result.get(memberId) ?? noPartitions))) <= 1)
      assert(spread([...places.values()].map(({ length }) => length)) <= 1)
      targets = new Map(result)
    }
  }
})

test(`assignShared keeps to subscriptions, and covers what anybody subscribes to (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 100; round++) {
    const partitionCounts = new Map(Array.from({ length: 4 }, (_, index) => [topicId(index), random.between(1, 5)]))
    const members = Array.from({ length: random.between(1, 12) }, (_, index) =>
      member(
        index,
        [...partitionCounts.keys()].filter(() => random.chance(0.5)),
      ),
    )
    const result = assignShared({ members, partitionCounts })
    for (const { memberId, topics } of members) {
      const map = result.get(memberId) ?? noPartitions
      for (const topic of map.keys()) assert(topics.has(topic))
      assert.equal(map.size > 0, topics.size > 0)
    }
    const places = membersOf(result)
    for (const [topic, count] of partitionCounts) {
      if (!members.some(({ topics }) => topics.has(topic))) continue
      for (let partition = 0; partition < count; partition++) assert(places.has(`${topic}/${partition}`))
    }
  }
})

test('assignShared moves nothing when nothing has changed, and little when one comes', () => {
  const partitionCounts = new Map([[topicId(1), 12]])
  for (const count of [1, 3, 5, 12, 13, 30]) {
    const members = Array.from({ length: count }, (_, index) => member(index, partitionCounts.keys()))
    const first = assignShared({ members, partitionCounts })
    const again = members.map(one => ({ ...one, target: first.get(one.memberId) ?? noPartitions }))
    assert.deepEqual(assignShared({ members: again, partitionCounts }), first)
    const more = assignShared({ members: [...again, member(count, partitionCounts.keys())], partitionCounts })
    let moved = 0
    for (const { memberId } of again) {
      const now = more.get(memberId)?.get(topicId(1)) ?? []
      moved += now.filter(partition => first.get(memberId)?.get(topicId(1))?.includes(partition) !== true).length
    }
    assert.equal(moved, 0, `${count} members`)
  }
})

test('assignShared takes thousands of members and partitions', () => {
  const partitionCounts = new Map([[topicId(1), 3000]])
  const members = Array.from({ length: 5000 }, (_, index) => member(index, partitionCounts.keys()))
  assert.equal(membersOf(assignShared({ members, partitionCounts })).size, 3000)
})
