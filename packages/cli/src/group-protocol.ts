import { ProtocolError, Reader, Writer } from '@dragoman/wire'

/** What members of a group tell each other; the broker does not look inside. Topics and partitions by topic. */
export type Assignment = Map<string, number[]>

const version = 0

export function writeSubscription(topics: readonly string[]): Buffer {
  const out = new Writer()
  out.i16(version)
  out.i32(topics.length)
  for (const topic of topics) out.string16(topic)
  out.i32(-1) // No user data.
  return out.take()
}

export function readSubscription(bytes: Buffer): string[] {
  const reader = new Reader(bytes)
  reader.i16()
  return readCount(reader, () => reader.string16())
}

export function writeAssignment(assignment: Assignment): Buffer {
  const out = new Writer()
  out.i16(version)
  out.i32(assignment.size)
  for (const [topic, partitions] of assignment) {
    out.string16(topic)
    out.i32(partitions.length)
    for (const partition of partitions) out.i32(partition)
  }
  out.i32(-1) // No user data.
  return out.take()
}

/** A member that has not been assigned anything yet has no bytes. */
export function readAssignment(bytes: Buffer): Assignment {
  if (bytes.length === 0) return new Map()
  const reader = new Reader(bytes)
  reader.i16()
  return new Map(readCount(reader, () => [reader.string16(), readCount(reader, () => reader.i32())]))
}

function readCount<T>(reader: Reader, read: () => T): T[] {
  const count = reader.i32()
  if (count < 0 || count > reader.remaining) throw new ProtocolError(`Cannot take a list of ${count}`)
  return Array.from({ length: count }, read)
}

export interface Subscriber {
  memberId: string
  topics: readonly string[]
}

/** Gives each member a run of neighbouring partitions of every topic; the first ones get one more where it does not come out even. */
export function assignRanges(
  members: readonly Subscriber[],
  partitionsOf: ReadonlyMap<string, readonly number[]>,
): Map<string, Assignment> {
  const assignments = new Map(members.map(({ memberId }) => [memberId, new Map() as Assignment]))
  for (const [topic, partitions] of partitionsOf) {
    const takers = members
      .filter(({ topics }) => topics.includes(topic))
      .map(({ memberId }) => memberId)
      .sort()
    let from = 0
    for (const [index, memberId] of takers.entries()) {
      const count = Math.floor(partitions.length / takers.length) + (index < partitions.length % takers.length ? 1 : 0)
      if (count > 0) assignments.get(memberId)?.set(topic, partitions.slice(from, from + count))
      from += count
    }
  }
  return assignments
}
