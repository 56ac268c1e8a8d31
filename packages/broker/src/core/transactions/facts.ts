import { bool, i16, i32, i64, list, string16, struct, u8, uvarint } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

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

export const { factOf, readFact, checkVersion } = versioned('The transactions', factVersion)
