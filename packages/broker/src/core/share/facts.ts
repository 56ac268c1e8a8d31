import { list, Reader, string16, struct, u32, uuid, uvarint, Writer, type Codec } from '@dragoman/wire'

/**
 * What share groups write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
const factVersion = 1

export const shareFacts = {
  /** Partitions of a topic have cursors from now on. */
  cursorsMade: 1,
  /** The group has forgotten a topic. */
  topicDropped: 2,
  /** A topic is gone: so are its cursors in all groups. */
  topicForgotten: 3,
  /** The group is gone, with all its cursors. */
  groupRemoved: 4,
} as const

const partitionCursor = struct({ partition: uvarint, cursor: u32 })

export const cursorsMade = struct({
  namespace: string16,
  group: string16,
  topicId: uuid,
  cursors: list(partitionCursor),
})
export const topicDropped = struct({ namespace: string16, group: string16, topicId: uuid })
export const topicForgotten = struct({ topicId: uuid })
export const groupRemoved = struct({ namespace: string16, group: string16 })

/** One group in a checkpoint. */
export const storedShareGroup = struct({
  namespace: string16,
  group: string16,
  topics: list(struct({ topicId: uuid, cursors: list(partitionCursor) })),
})

/** The payload of a fact, or a part of a checkpoint. */
export function factOf<T, W>(codec: Codec<T, W>, value: W): Buffer {
  const out = new Writer()
  out.u8(factVersion)
  codec.write(out, value, factVersion)
  return out.take()
}

export function readFact<T, W>(codec: Codec<T, W>, payload: Buffer): T {
  const reader = new Reader(payload)
  const value = readVersioned(codec, reader)
  reader.expectEnd()
  return value
}

/** Throws when the version is one that is not known yet. */
export function readVersioned<T, W>(codec: Codec<T, W>, reader: Reader): T {
  const version = reader.u8()
  if (version >= 1 && version <= factVersion) return codec.read(reader, version)
  throw new Error(`The share groups were written in version ${version}, which only a newer broker can read`)
}
