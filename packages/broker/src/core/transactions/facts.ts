import { bool, i16, i32, i64, list, Reader, string16, struct, u8, uvarint, Writer, type Codec } from '@dragoman/wire'

/**
 * What the transactions write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const transactionFacts = {
  /** A producer has taken over a transactional id. */
  registered: 1,
  /** Streams and groups take part from now on. The first that do begin the transaction. */
  joined: 2,
  /** The transaction has ended in all that took part: the markers are in the same block. */
  ended: 3,
  /** Transactional ids that nobody has used for long are gone. */
  removed: 4,
} as const

const name = { namespace: string16, id: string16 }

export const registered = struct({
  ...name,
  producerId: i64,
  epoch: i16,
  /** What the producer was before, by its own word; -1 when it has not said. */
  previousProducerId: i64,
  previousEpoch: i16,
  timeoutMs: i32,
})

export const joined = struct({ ...name, streams: list(uvarint), groups: list(string16) })

export const ended = struct({
  ...name,
  isCommitted: bool,
  /** Of the producer from now on. */
  producerId: i64,
  epoch: i16,
})

export const removed = struct({ ids: list(struct(name)) })

/** How states are written. */
export const stateNumbers = { empty: 0, ongoing: 1, committed: 2, aborted: 3 } as const

/** One transactional id in a checkpoint. */
export const storedTransaction = struct({
  ...name,
  producerId: i64,
  epoch: i16,
  previousProducerId: i64,
  previousEpoch: i16,
  timeoutMs: i32,
  state: u8,
  startedMs: i64,
  changedMs: i64,
  streams: list(uvarint),
  groups: list(string16),
})

/** The payload of a fact. */
export function factOf<T, W>(codec: Codec<T, W>, value: W): Buffer {
  const out = new Writer()
  out.u8(factVersion)
  codec.write(out, value, factVersion)
  return out.take()
}

export function readFact<T, W>(codec: Codec<T, W>, payload: Buffer): T {
  const reader = new Reader(payload)
  const value = codec.read(reader, checkVersion(reader.u8()))
  reader.expectEnd()
  return value
}

/** Throws when the version is one that is not known yet. */
export function checkVersion(version: number): number {
  if (version >= 1 && version <= factVersion) return version
  throw new Error(`The transactions were written in version ${version}, which only a newer broker can read`)
}
