import type { AssignorInput } from './assignor.ts'
import { fromSets, type PartitionMap } from './partitions.ts'

/** Rounds through all topics after which the balance is good enough. */
const roundsMax = 16

/**
 * Gives all members as nearly the same number of partitions as their subscriptions allow, and moves as few as possible for it.
 */
export function assignUniformly(input: AssignorInput): Map<string, PartitionMap> {
  const shares = input.members.map((member, index) => new Share(member.memberId, index))
  const plan = new Plan(input, shares)
  plan.keep()
  if (plan.sameTopics) plan.level()
  else {
    plan.fill()
    plan.balance()
  }
  return new Map(shares.map(share => [share.memberId, fromSets(share.topics)]))
}

class Share {
  readonly memberId: string
  readonly index: number
  readonly topics = new Map<string, Set<number>>()
  size = 0

  constructor(memberId: string, index: number) {
    this.memberId = memberId
    this.index = index
  }

  of(topicId: string): Set<number> | undefined {
    return this.topics.get(topicId)
  }

  add(topicId: string, partition: number): void {
    const partitions = this.topics.get(topicId)
    if (partitions === undefined) this.topics.set(topicId, new Set([partition]))
    else partitions.add(partition)
    this.size++
  }

  /** The one that it would rather miss, taken away. */
  drop(topicId: string): number | undefined {
    let last: number | undefined
    const partitions = this.topics.get(topicId)
    for (const partition of partitions ?? []) last = partition
    if (last === undefined) return undefined
    partitions?.delete(last)
    this.size--
    return last
  }
}

interface PlannedTopic {
  readonly topicId: string
  readonly count: number
  readonly subscribers: Share[]
  readonly taken: Set<number>
}

class Plan {
  readonly #input: AssignorInput
  readonly #shares: readonly Share[]
  /** Those with the most partitions for each subscriber first, because they leave the least choice. */
  readonly #topics: PlannedTopic[]

  constructor(input: AssignorInput, shares: readonly Share[]) {
    this.#input = input
    this.#shares = shares
    const topics = new Map<string, PlannedTopic>()
    input.members.forEach((member, index) => {
      const share = shares[index]
      for (const topicId of member.topics) {
        let topic = topics.get(topicId)
        if (topic === undefined) {
          const count = input.partitionCounts.get(topicId) ?? 0
          topics.set(topicId, (topic = { topicId, count, subscribers: [], taken: new Set() }))
        }
        if (share !== undefined) topic.subscribers.push(share)
      }
    })
    this.#topics = [...topics.values()].sort(
      (a, b) =>
        b.count / b.subscribers.length - a.count / a.subscribers.length ||
        a.subscribers.length - b.subscribers.length ||
        (a.topicId < b.topicId ? -1 : 1),
    )
  }

  get sameTopics(): boolean {
    return this.#topics.every(({ subscribers }) => subscribers.length === this.#shares.length)
  }

  /** What members have and still subscribe to stays theirs for now. */
  keep(): void {
    const topics = new Map(this.#topics.map(topic => [topic.topicId, topic]))
    this.#input.members.forEach((member, index) => {
      for (const [topicId, partitions] of member.target) {
        const topic = member.topics.has(topicId) ? topics.get(topicId) : undefined
        if (topic === undefined) continue
        for (const partition of partitions) {
          if (partition >= topic.count || topic.taken.has(partition)) continue
          topic.taken.add(partition)
          this.#shares[index]?.add(topicId, partition)
        }
      }
    })
  }

  /** Everybody may have everything: each gets its quota. Those who have the most get what does not come out even. */
  level(): void {
    const total = this.#topics.reduce((sum, { count }) => sum + count, 0)
    const quota = Math.floor(total / this.#shares.length)
    const extra = total % this.#shares.length
    const byHeld = [...this.#shares].sort((a, b) => b.size - a.size || a.index - b.index)
    const quotas = new Map(byHeld.map((share, place) => [share, place < extra ? quota + 1 : quota]))
    for (const share of this.#shares) {
      const most = quotas.get(share) ?? 0
      for (const { topicId, taken } of [...this.#topics].reverse()) {
        while (share.size > most) {
          const partition = share.drop(topicId)
          if (partition === undefined) break
          taken.delete(partition)
        }
      }
    }
    const open = this.#open()
    for (const share of this.#shares) {
      for (let left = (quotas.get(share) ?? 0) - share.size; left > 0; left--) {
        const next = open.next()
        if (next.done === true) return
        share.add(next.value.topicId, next.value.partition)
      }
    }
  }

  *#open(): Generator<{ topicId: string; partition: number }> {
    for (const { topicId, count, taken } of this.#topics) {
      for (let partition = 0; partition < count; partition++) if (!taken.has(partition)) yield { topicId, partition }
    }
  }

  /** What nobody has goes to whoever of the subscribers has the least. */
  fill(): void {
    for (const { topicId, count, subscribers, taken } of this.#topics) {
      const queue = new LeastLoaded(subscribers)
      for (let partition = 0; partition < count; partition++) {
        if (!taken.has(partition)) queue.first.add(topicId, partition)
        queue.settle()
      }
    }
  }

  /** Moves partitions from those who have more to those who have less, as long as that makes the difference smaller. */
  balance(): void {
    for (let round = 0; round < roundsMax; round++) {
      let moves = 0
      for (const topic of this.#topics) moves += balanceTopic(topic)
      if (moves === 0) return
    }
  }
}

function balanceTopic({ topicId, subscribers }: PlannedTopic): number {
  for (let moves = 0; ; moves++) {
    let most: Share | undefined
    let least: Share | undefined
    for (const share of subscribers) {
      if (least === undefined || share.size < least.size) least = share
      if ((share.of(topicId)?.size ?? 0) > 0 && (most === undefined || share.size > most.size)) most = share
    }
    if (most === undefined || least === undefined || most.size - least.size <= 1) return moves
    const partition = most.drop(topicId)
    if (partition === undefined) return moves
    least.add(topicId, partition)
  }
}

/** Shares by their size, then by the order of the members: a binary heap whose first entry alone grows. */
class LeastLoaded {
  readonly #heap: Share[]

  constructor(shares: readonly Share[]) {
    this.#heap = [...shares].sort((a, b) => (comesFirst(a, b) ? -1 : 1))
  }

  get first(): Share {
    const [first] = this.#heap
    if (first === undefined) throw new RangeError('a topic without subscribers')
    return first
  }

  /** To be called when the first has grown. */
  settle(): void {
    const heap = this.#heap
    for (let at = 0; ;) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2]) {
        const share = heap[child]
        const best = heap[least]
        if (share !== undefined && best !== undefined && comesFirst(share, best)) least = child
      }
      const [share, best] = [heap[at], heap[least]]
      if (least === at || share === undefined || best === undefined) return
      heap[at] = best
      heap[least] = share
      at = least
    }
  }
}

const comesFirst = (a: Share, b: Share): boolean => a.size < b.size || (a.size === b.size && a.index < b.index)
