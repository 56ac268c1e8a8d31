import { apis } from '@dragoman/broker/kafka-messages'
import type { Kind } from '@dragoman/broker/options'
import { duration } from '@dragoman/broker/options'
import type { Cluster, TopicPartitions } from './cluster.ts'
import { check } from './errors.ts'

/** A place in each partition of a topic. */
export type Position =
  | { kind: 'beginning' | 'end' }
  | { kind: 'offset'; offset: number }
  | { kind: 'time'; atMs: number }
  | { kind: 'last'; count: number }

/** Offsets by topic and partition. */
export type PartitionOffsets = Map<string, Map<number, number>>

const back = duration(1, 3650 * 86_400_000)

export const position: Kind<Position> = {
  placeholder: 'POSITION',
  takes: 'beginning, end, an OFFSET, a time (2026-01-31T12:00:00Z, @MILLISECONDS, or ago:15m), or last:COUNT',
  parse: parsePosition,
  show: shown => {
    if (shown.kind === 'offset') return String(shown.offset)
    if (shown.kind === 'last') return `last:${shown.count}`
    return shown.kind === 'time' ? new Date(shown.atMs).toISOString() : shown.kind
  },
}

function parsePosition(text: string): Position | undefined {
  if (text === 'beginning' || text === 'end') return { kind: text }
  if (/^\d{1,15}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  if (/^last:\d{1,15}$/.test(text)) return { kind: 'last', count: Number(text.slice(5)) }
  if (/^@\d{1,15}$/.test(text)) return { kind: 'time', atMs: Number(text.slice(1)) }
  if (text.startsWith('ago:')) {
    const ms = back.parse(text.slice(4))
    return ms === undefined ? undefined : { kind: 'time', atMs: Date.now() - ms }
  }
  if (!/^\d{4}-\d\d-\d\d/.test(text)) return undefined
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? undefined : { kind: 'time', atMs }
}

/** What ListOffsets calls the places that are no times. */
const special = { end: -1, beginning: -2 } as const

/** The offset of a position in each partition. What lies outside is moved to the nearest end. */
export async function offsetsAt(
  cluster: Cluster,
  topics: readonly TopicPartitions[],
  at: Position,
): Promise<PartitionOffsets> {
  if (at.kind === 'beginning' || at.kind === 'end') return listOffsets(cluster, topics, special[at.kind])
  const starts = await listOffsets(cluster, topics, special.beginning)
  const ends = await listOffsets(cluster, topics, special.end)
  const found = at.kind === 'time' ? await listOffsets(cluster, topics, at.atMs) : undefined
  const placed: PartitionOffsets = new Map()
  for (const [topic, partitions] of ends) {
    const offsets = new Map<number, number>()
    for (const [partition, end] of partitions) {
      const start = starts.get(topic)?.get(partition) ?? 0
      const wanted =
        at.kind === 'offset'
          ? at.offset
          : at.kind === 'last'
            ? end - at.count
            : (found?.get(topic)?.get(partition) ?? -1)
      // No record is as young as that time: its place is the end.
      offsets.set(partition, wanted < 0 && at.kind === 'time' ? end : Math.min(end, Math.max(start, wanted)))
    }
    placed.set(topic, offsets)
  }
  return placed
}

async function listOffsets(
  cluster: Cluster,
  topics: readonly TopicPartitions[],
  timestamp: number,
): Promise<PartitionOffsets> {
  const answer = await cluster.request(apis.listOffsets, {
    replicaId: -1,
    topics: topics.map(({ topic, partitions }) => ({
      name: topic,
      partitions: partitions.map(partitionIndex => ({ partitionIndex, timestamp })),
    })),
    timeoutMs: 30_000,
  })
  const offsets: PartitionOffsets = new Map()
  for (const { name, partitions } of answer.topics) {
    const byPartition = new Map<number, number>()
    for (const { partitionIndex, errorCode, offset } of partitions) {
      check(errorCode, `Cannot find an offset of ${name}/${partitionIndex}`)
      byPartition.set(partitionIndex, offset)
    }
    offsets.set(name, byPartition)
  }
  return offsets
}
