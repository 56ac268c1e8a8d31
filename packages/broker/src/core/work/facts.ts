import { struct, u32, u8, uuid, varlong } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What work queues write into the journal. Written to disk: to change one, raise `factVersion`, declare the difference with `since` or
 * `until`, and keep reading the older versions.
 */
export const factVersion = 1

export const workFacts = {
  laneOpened: 1,
  numbered: 2,
  noted: 3,
  forgotten: 4,
  runsDropped: 5,
  queueForgotten: 6,
} as const

/** A stream holds messages of one priority. `start`: offsets below have no numbers. */
export const laneOpened = struct({
  queue: uuid,
  stream: varlong,
  cursor: varlong,
  start: varlong,
  priority: u32,
  /** Bits: `laneFlags`. */
  flags: u8,
})
export const laneFlags = {
  /** Messages come here that may not be given out at once. */
  side: 1,
  /** The queue was made for its first message, and goes with its last. */
  passing: 2,
} as const

/** The next `count` messages of the stream have the next numbers. */
export const numbered = struct({ stream: varlong, count: varlong })

export const noted = struct({
  stream: varlong,
  offset: varlong,
  priority: u32,
  place: u8,
  /** On the wall clock; 0: at once. */
  dueMs: varlong,
  delayMs: varlong,
  reserves: u32,
  timeouts: u32,
  releases: u32,
  asides: u32,
  kicks: u32,
})
export type NotedFact = ReturnType<(typeof noted)['read']>

export const forgotten = struct({ stream: varlong, offset: varlong })
/** No number of a message below `below` is needed any more. */
export const runsDropped = struct({ stream: varlong, below: varlong })
export const queueForgotten = struct({ queue: uuid })

/** The whole state: what is behind each lane's facts. */
export const savedHead = struct({ nextNumber: varlong, lanes: u32 })
export const savedLane = struct({ opened: laneOpened, end: varlong, runs: u32, notes: u32 })
export const savedRun = struct({ number: varlong, offset: varlong })

/** By which a lane's cursor finds the consumer that holds what is not to be given out. Written to disk: never rename. */
export const asideName = 'aside'

export const { factOf, readFact, checkVersion } = versioned('The work queues', factVersion)
