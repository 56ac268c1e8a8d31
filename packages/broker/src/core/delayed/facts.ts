import { bytes32, compile, list, string16, struct, u32, u8, uvarint, varlong } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What is written of messages that wait for their time, and of schedules. Written to disk: to change one, raise `factVersion`, declare the
 * difference with `since` or `until`, and keep reading the older versions.
 */
export const factVersion = 1

/** Written to disk: never renumber. */
export const delayedFacts = {
  opened: 1,
  waiting: 2,
  indexed: 3,
  fired: 4,
  cancelled: 5,
  closed: 6,
  scheduleSet: 7,
  scheduleRemoved: 8,
  occurred: 9,
} as const

/** A new volume. */
export const opened = struct({
  volume: uvarint,
  /** The streams of its messages and of its index. */
  messages: uvarint,
  index: uvarint,
  /** Of what is in it, the due times are counted from here. */
  fromMs: varlong,
  /** Index in `tiers`. */
  tier: u8,
})
/** The next message of the volume is due `due` milliseconds after the volume's beginning. */
export const waiting = compile(struct({ volume: uvarint, due: u32, namespace: string16, exchange: string16 }))
/** All messages of the volume are in its index now, but those that have been fired or cancelled: a run of blocks from `first` on, or none. */
export const indexed = struct({ volume: uvarint, first: varlong, blocks: uvarint })
/** Whose messages, and how many, have gone. */
const gone = list(struct({ namespace: string16, exchange: string16, count: u32 }))
/** All that was due before `due`, and what was due then up to `offset`, has gone where it was to go. */
export const fired = struct({ volume: uvarint, due: u32, offset: u32, gone })
export const cancelled = struct({ volume: uvarint, offset: u32, namespace: string16, exchange: string16 })
export const closed = struct({ volume: uvarint })

/** The complete schedule. */
export const scheduleSet = struct({
  namespace: string16,
  name: string16,
  expression: string16,
  timeZone: string16,
  exchange: string16,
  key: string16,
  /** As `writeRepeated` writes it. */
  message: bytes32,
  /** Bits: `scheduleFlags`. */
  flags: u8,
  /** Occurrences up to this time are over. */
  fromMs: varlong,
})
export const scheduleFlags = {
  disabled: 1,
  /** What was missed while the broker was down is made good once. */
  once: 2,
} as const
export const scheduleRemoved = struct({ namespace: string16, name: string16 })
/** The schedule has published: `atMs` is the time that it was for, and all before it are over. */
export const occurred = struct({ namespace: string16, name: string16, atMs: varlong, publishedMs: varlong })

/** The whole state: what follows each head is counted there. */
export const savedHead = struct({ nextVolume: uvarint, volumes: uvarint, places: uvarint, schedules: uvarint })
export const savedVolume = struct({
  opened,
  count: uvarint,
  live: uvarint,
  indexedTo: uvarint,
  firedDue: u32,
  /** One more, so that it is never negative. */
  firedEnd: varlong,
  runs: list(struct({ first: uvarint, blocks: uvarint })),
  recent: u32,
})
export const savedPlace = struct({ namespace: string16, exchange: string16, count: varlong })
export const savedSchedule = struct({ set: scheduleSet, lastMs: varlong, publishedMs: varlong, count: varlong })

export const { factOf, readFact, checkVersion } = versioned('Delayed messages', factVersion)
