import { list, struct, uuid, uvarint } from '@dragoman/wire'

/** Partitions by topic id: each list ascending, without repeats and not empty. Never changed once made. */
export type PartitionMap = ReadonlyMap<string, readonly number[]>

export const noPartitions: PartitionMap = new Map()

export interface TopicPartitionList {
  readonly topicId: string
  readonly partitions: readonly number[]
}

/** The same from lists in any order, with repeats. */
export function partitionMap(topics: Iterable<TopicPartitionList>): PartitionMap {
  const sets = new Map<string, Set<number>>()
  for (const { topicId, partitions } of topics) {
    const set = sets.get(topicId) ?? new Set()
    for (const partition of partitions) set.add(partition)
    if (set.size > 0) sets.set(topicId, set)
  }
  return fromSets(sets)
}

export function fromSets(sets: ReadonlyMap<string, ReadonlySet<number>>): PartitionMap {
  const map = new Map<string, readonly number[]>()
  for (const [topicId, set] of sets)
    if (set.size > 0)
      map.set(
        topicId,
        Array.from(set).sort((a, b) => a - b),
      )
  return map
}

/** What of `map` passes. Gives `map` itself when all does. */
export function filterPartitions(
  map: PartitionMap,
  passes: (topicId: string, partition: number) => boolean,
): PartitionMap {
  let same = true
  const result = new Map<string, readonly number[]>()
  for (const [topicId, partitions] of map) {
    const kept = partitions.filter(partition => passes(topicId, partition))
    if (kept.length < partitions.length) same = false
    if (kept.length > 0) result.set(topicId, kept)
  }
  return same ? map : result
}

export function intersect(a: PartitionMap, b: PartitionMap): PartitionMap {
  const has = finder(b)
  return filterPartitions(a, has)
}

export function subtract(a: PartitionMap, b: PartitionMap): PartitionMap {
  const has = finder(b)
  return filterPartitions(a, (topicId, partition) => !has(topicId, partition))
}

export function union(a: PartitionMap, b: PartitionMap): PartitionMap {
  if (b.size === 0) return a
  return a.size === 0 ? b : partitionMap([...listsOf(a), ...listsOf(b)])
}

/** Whether all of `part` is in `whole`. */
export const isPartOf = (part: PartitionMap, whole: PartitionMap): boolean => intersect(part, whole) === part

export const overlap = (a: PartitionMap, b: PartitionMap): boolean => intersect(a, b).size > 0

export function samePartitions(a: PartitionMap, b: PartitionMap): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [topicId, partitions] of a) {
    const others = b.get(topicId)
    if (others?.length !== partitions.length) return false
    if (partitions.some((partition, index) => partition !== others[index])) return false
  }
  return true
}

export function countOf(map: PartitionMap): number {
  let count = 0
  for (const partitions of map.values()) count += partitions.length
  return count
}

export const listsOf = (map: PartitionMap): TopicPartitionList[] =>
  Array.from(map, ([topicId, partitions]) => ({ topicId, partitions }))

function finder(map: PartitionMap): (topicId: string, partition: number) => boolean {
  const sets = new Map<string, Set<number>>()
  return (topicId, partition) => {
    let set = sets.get(topicId)
    if (set === undefined) sets.set(topicId, (set = new Set(map.get(topicId))))
    return set.has(partition)
  }
}

/** As written to disk: runs of neighbours. */
export const storedPartitions = list(struct({ topicId: uuid, runs: list(struct({ first: uvarint, count: uvarint })) }))

export function toStored(map: PartitionMap): { topicId: string; runs: { first: number; count: number }[] }[] {
  return Array.from(map, ([topicId, partitions]) => {
    const runs: { first: number; count: number }[] = []
    for (const partition of partitions) {
      const last = runs.at(-1)
      if (last !== undefined && last.first + last.count === partition) last.count++
      else runs.push({ first: partition, count: 1 })
    }
    return { topicId, runs }
  })
}

export function fromStored(
  stored: readonly { topicId: string; runs: readonly { first: number; count: number }[] }[],
): PartitionMap {
  const map = new Map<string, readonly number[]>()
  for (const { topicId, runs } of stored) {
    const partitions: number[] = []
    for (const { first, count } of runs) for (let offset = 0; offset < count; offset++) partitions.push(first + offset)
    if (partitions.length > 0) map.set(topicId, partitions)
  }
  return map
}
