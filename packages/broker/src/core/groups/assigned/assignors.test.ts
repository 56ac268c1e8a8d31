import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import type { Assignor, AssignorInput, AssignorMember } from './assignor.ts'
import { exclusiveAssignors } from './exclusive-assignors.ts'
import { countOf, noPartitions, type PartitionMap } from './partitions.ts'
import { assignRanges } from './range-assignor.ts'
import { assignUniformly } from './uniform-assignor.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const member = (memberId: string, topics: string[], more: Partial<AssignorMember> = {}): AssignorMember => ({
  memberId,
  instanceId: null,
  topics: new Set(topics),
  target: noPartitions,
  ...more,
})

const plain = (result: ReadonlyMap<string, PartitionMap>): Record<string, Record<string, readonly number[]>> =>
  Object.fromEntries(Array.from(result, ([id, map]) => [id, Object.fromEntries(map)]))

test('assignRanges gives the same partitions of topics of the same size to the same member', () => {
  const members = [member('b', ['t', 'u']), member('a', ['t', 'u'])]
  const partitionCounts = new Map([
    ['t', 3],
    ['u', 3],
  ])
  assert.deepEqual(plain(assignRanges({ members, partitionCounts })), {
    a: { t: [0, 1], u: [0, 1] },
    b: { t: [2], u: [2] },
  })
})

test('assignRanges goes by instance ids first, so that a member that comes back has its range again', () => {
  const input = (first: string, second: string): AssignorInput => ({
    members: [
      member(first, ['t'], { instanceId: 'one' }),
      member(second, ['t'], { instanceId: 'two' }),
      member('!', ['t']),
    ],
    partitionCounts: new Map([['t', 3]]),
  })
  assert.deepEqual(plain(assignRanges(input('x', 'y'))), { x: { t: [0] }, y: { t: [1] }, '!': { t: [2] } })
  assert.deepEqual(plain(assignRanges(input('z', 'a'))), { z: { t: [0] }, a: { t: [1] }, '!': { t: [2] } })
})

test('assignRanges: only subscribers count, and members without a partition have nothing', () => {
  const members = [member('a', ['t']), member('b', ['t', 'u']), member('c', ['u', 'gone'])]
  const partitionCounts = new Map([
    ['t', 1],
    ['u', 3],
  ])
  assert.deepEqual(plain(assignRanges({ members, partitionCounts })), {
    a: { t: [0] },
    b: { u: [0, 1] },
    c: { u: [2] },
  })
})

test('assignUniformly counts partitions of all topics together', () => {
  const members = [member('a', ['t', 'u']), member('b', ['t', 'u'])]
  const partitionCounts = new Map([
    ['t', 3],
    ['u', 3],
  ])
  const result = assignUniformly({ members, partitionCounts })
  assert.deepEqual(Array.from(result.values(), countOf), [3, 3])
})

test('assignUniformly moves to a newcomer only what it must have', () => {
  const target = new Map([['t', [0, 1, 2, 3, 4, 5, 6]]])
  const members = [member('a', ['t'], { target }), member('b', ['t'])]
  const result = assignUniformly({ members, partitionCounts: new Map([['t', 7]]) })
  assert.deepEqual(Array.from(result.values(), countOf), [4, 3])
  assert.deepEqual(result.get('a')?.get('t'), [0, 1, 2, 3])
})

test('assignUniformly evens out what only some subscribe to', () => {
  const members = [member('a', ['t', 'u']), member('b', ['t']), member('c', ['u', 'v'])]
  const partitionCounts = new Map([
    ['t', 4],
    ['u', 2],
    ['v', 3],
  ])
  const result = assignUniformly({ members, partitionCounts })
  assert.deepEqual(Array.from(result.values(), countOf), [3, 3, 3])
})

/** A group of members that come, go and change their minds, assigned anew after each change. */
class World {
  readonly random: Random
  readonly counts = new Map<string, number>()
  members: AssignorMember[] = []
  readonly isMixed: boolean
  #named = 0

  constructor(random: Random) {
    this.random = random
    this.isMixed = random.chance(0.5)
    for (let index = 0; index < 1 + random.below(4); index++) this.counts.set(`t${index}`, random.below(12))
  }

  change(): void {
    const { random, members } = this
    const kind = members.length === 0 ? 'come' : random.pick(['come', 'go', 'grow', 'subscribe'] as const)
    if (kind === 'come') {
      const instanceId = random.chance(0.3) ? `i${this.#named}` : null
      members.push(member(`m${this.#named++}`, this.#topics(), { instanceId }))
    } else if (kind === 'go') members.splice(random.below(members.length), 1)
    else if (kind === 'grow') this.counts.set('t0', (this.counts.get('t0') ?? 0) + random.below(3))
    else if (this.isMixed) {
      const index = random.below(members.length)
      const before = members[index]
      if (before !== undefined) members[index] = { ...before, topics: new Set(this.#topics()) }
    }
  }

  #topics(): string[] {
    const all = [...this.counts.keys()]
    return this.isMixed ? all.filter(() => this.random.chance(0.6)) : all
  }

  assign(assignor: Assignor): ReadonlyMap<string, PartitionMap> {
    const result = assignor({ members: this.members, partitionCounts: this.counts })
    this.members = this.members.map(each => ({ ...each, target: result.get(each.memberId) ?? noPartitions }))
    return result
  }
}

for (const [name, assignor] of exclusiveAssignors) {
  test(`${name}: each partition that anybody subscribes to has one owner, a subscriber (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const world = new World(random)
      for (let step = 0; step < 12; step++) {
        world.change()
        checkComplete(world, world.assign(assignor))
      }
    }
  })
}

function checkComplete({ members, counts }: World, result: ReadonlyMap<string, PartitionMap>): void {
  const owners = new Map<string, string>()
  for (const { memberId, topics } of members) {
    for (const [topicId, partitions] of result.get(memberId) ?? noPartitions) {
      assert(topics.has(topicId), `${memberId} does not subscribe to ${topicId}`)
      for (const partition of partitions) {
        assert.equal(owners.get(`${topicId}/${partition}`), undefined, 'two owners')
        owners.set(`${topicId}/${partition}`, memberId)
      }
    }
  }
  let wanted = 0
  for (const [topicId, count] of counts) if (members.some(({ topics }) => topics.has(topicId))) wanted += count
  assert.equal(owners.size, wanted)
}

test(`uniform: nobody could take one from another and be better off for it (SEED=${seed})`, () => {
  const random = new Random(seed + 1)
  for (let round = 0; round < 200; round++) {
    const world = new World(random)
    for (let step = 0; step < 12; step++) {
      world.change()
      const result = world.assign(assignUniformly)
      for (const rich of world.members) {
        const held = result.get(rich.memberId) ?? noPartitions
        for (const poor of world.members) {
          const canTake = [...held.keys()].some(topicId => poor.topics.has(topicId))
          const difference = countOf(held) - countOf(result.get(poor.memberId) ?? noPartitions)
          assert(!canTake || difference <= 1, `${rich.memberId} has ${difference} more than ${poor.memberId}`)
        }
      }
    }
  }
})

test(`uniform: with one subscription no more is moved than balance needs (SEED=${seed})`, () => {
  const random = new Random(seed + 2)
  for (let round = 0; round < 200; round++) {
    const count = 1 + random.below(40)
    const partitionCounts = new Map([['t', count]])
    let members = Array.from({ length: 1 + random.below(6) }, (_, index) => member(`m${index}`, ['t']))
    for (let step = 0; step < 6; step++) {
      const result = assignUniformly({ members, partitionCounts })
      let moved = 0
      for (const { memberId, target } of members) {
        const kept = new Set(target.get('t'))
        for (const partition of result.get(memberId)?.get('t') ?? []) if (!kept.has(partition)) moved++
      }
      assert.equal(
        moved,
        leastMoves(
          members.map(({ target }) => countOf(target)),
          count,
        ),
      )
      members = members.map(each => ({ ...each, target: result.get(each.memberId) ?? noPartitions }))
      if (random.chance(0.5)) members.push(member(`n${round}-${step}`, ['t']))
      else if (members.length > 1) members.splice(random.below(members.length), 1)
    }
  }
})

/** Partitions that must change hands, or find one, so that no two differ by more than one. */
function leastMoves(held: number[], count: number): number {
  const quota = Math.floor(count / held.length)
  let extra = count % held.length
  let kept = 0
  for (const size of held.sort((a, b) => b - a)) {
    const mine = extra > 0 ? quota + 1 : quota
    extra--
    kept += Math.min(size, mine)
  }
  return count - kept
}
