import type { Assignor, AssignorInput } from '../groups/assigned/assignor.ts'
import { partitionMap, type PartitionMap } from '../groups/assigned/partitions.ts'

interface Place {
  readonly topicId: string
  readonly partition: number
  /** Indexes of the members that have it. */
  readonly members: Set<number>
}

interface Share {
  readonly memberId: string
  readonly topics: ReadonlySet<Topic>
  readonly target: PartitionMap
  readonly places: Set<Place>
}

interface Topic {
  readonly places: readonly Place[]
  /** Indexes of its subscribers. */
  readonly subscribers: number[]
  /** How many members a partition is to have, on average. */
  membersPerPlace: number
}

/**
 * For groups in which a partition may have several members: every partition has one, and every member has a partition, whenever
 * that is possible. With fewer members than partitions nobody shares; with more, each has one. If all subscribe to the same, loads differ
 * by one at most. Members keep what they have as far as that allows.
 */
export function assignShared(input: AssignorInput): ReadonlyMap<string, PartitionMap> {
  const topics = topicsOf(input)
  const shares = input.members.map((member, index): Share => {
    const subscribed = new Set([...member.topics].map(id => topics.get(id)).filter(topic => topic !== undefined))
    for (const topic of subscribed) topic.subscribers.push(index)
    return { memberId: member.memberId, topics: subscribed, target: member.target, places: new Set() }
  })
  keep(shares, topics)
  cover(shares, topics)
  employ(shares, topics)
  return new Map(
    shares.map(({ memberId, places }) => [
      memberId,
      partitionMap(Array.from(places, ({ topicId, partition }) => ({ topicId, partitions: [partition] }))),
    ]),
  )
}

function topicsOf({ partitionCounts }: AssignorInput): Map<string, Topic> {
  const topics = new Map<string, Topic>()
  for (const [topicId, count] of partitionCounts) {
    const places = Array.from({ length: count }, (_, partition) => ({ topicId, partition, members: new Set<number>() }))
    topics.set(topicId, { places, subscribers: [], membersPerPlace: 0 })
  }
  return topics
}

function give(shares: readonly Share[], index: number, place: Place): void {
  place.members.add(index)
  shares[index]?.places.add(place)
}

/** What the member was to have so far and may have again. */
function* placesBefore({ target, topics: own }: Share, topics: ReadonlyMap<string, Topic>): Generator<Place> {
  for (const [topicId, partitions] of target) {
    const topic = topics.get(topicId)
    if (topic === undefined || !own.has(topic)) continue
    for (const partition of partitions) {
      const place = topic.places[partition]
      if (place !== undefined) yield place
    }
  }
}

/** Each member keeps of what it had alone as much as everybody is to have at least. */
function keep(shares: readonly Share[], topics: ReadonlyMap<string, Topic>): void {
  for (const [index, share] of shares.entries()) {
    let due = 0
    for (const { places, subscribers } of share.topics) due += places.length / subscribers.length
    const most = Math.floor(due + 1e-9)
    for (const place of placesBefore(share, topics)) {
      if (share.places.size >= most) break
      if (place.members.size === 0) give(shares, index, place)
    }
  }
}

/** Every partition gets a member: who had it before if that has no more than others, else one that has least. */
function cover(shares: readonly Share[], topics: ReadonlyMap<string, Topic>): void {
  const before = new Map<Place, number[]>()
  for (const [index, share] of shares.entries()) {
    for (const place of placesBefore(share, topics)) {
      const known = before.get(place)
      if (known === undefined) before.set(place, [index])
      else known.push(index)
    }
  }
  const loadOf = (index: number): number => shares[index]?.places.size ?? 0
  for (const { places, subscribers } of topics.values()) {
    const least = new LeastFirst(subscribers, loadOf)
    for (const place of places) {
      if (place.members.size > 0) continue
      const idlest = least.first()
      if (idlest === undefined) break
      const same = before.get(place)?.find(index => loadOf(index) <= loadOf(idlest))
      give(shares, same ?? idlest, place)
    }
  }
}

/** Every member gets a partition: the one that it had unless too many have that, else one that the fewest have. */
function employ(shares: readonly Share[], topics: ReadonlyMap<string, Topic>): void {
  for (const { topics: own } of shares) {
    let count = 0
    for (const { places } of own) count += places.length
    for (const topic of own) topic.membersPerPlace += 1 / count
  }
  const least = new Map<Topic, LeastFirst<Place>>()
  for (const [index, share] of shares.entries()) {
    if (share.places.size > 0) continue
    let place = [...placesBefore(share, topics)].find(({ topicId, members }) => {
      const most = Math.ceil((topics.get(topicId)?.membersPerPlace ?? 0) - 1e-9)
      return members.size < most
    })
    for (const topic of place === undefined ? share.topics : []) {
      let order = least.get(topic)
      if (order === undefined) least.set(topic, (order = new LeastFirst(topic.places, one => one.members.size)))
      const candidate = order.first()
      if (candidate === undefined) continue
      if (place === undefined || candidate.members.size < place.members.size) place = candidate
    }
    if (place !== undefined) give(shares, index, place)
  }
}

/** Finds what has least, where nothing ever gets less. */
class LeastFirst<T> {
  readonly #levelOf: (item: T) => number
  readonly #levels: T[][] = []
  #low = 0

  constructor(items: Iterable<T>, levelOf: (item: T) => number) {
    this.#levelOf = levelOf
    for (const item of items) this.#put(item, levelOf(item))
    for (const level of this.#levels) level?.reverse()
  }

  #put(item: T, level: number): void {
    const items = this.#levels[level]
    if (items === undefined) this.#levels[level] = [item]
    else items.push(item)
  }

  first(): T | undefined {
    for (; this.#low < this.#levels.length; this.#low++) {
      const items = this.#levels[this.#low]
      for (let item = items?.at(-1); items !== undefined && item !== undefined; item = items.at(-1)) {
        const level = this.#levelOf(item)
        if (level <= this.#low) return item
        items.pop()
        this.#put(item, level)
      }
    }
    return undefined
  }
}

/** For groups whose partitions may have several members. */
export const sharedAssignors: ReadonlyMap<string, Assignor> = new Map([['simple', assignShared]])
