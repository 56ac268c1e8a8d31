import type { StreamId } from '../../cell/client.ts'
import type { LiveRecords } from '../../cell/options.ts'

/**
 * Who has taken which single message of a stream. A queue is a stream and a cursor; any number of cursors may share one
 * stream, and know nothing of each other.
 *
 *   offsets:  … settled … | floor === settled, in flight or returned === | next ----- ready ----- end of the stream
 *
 * - *ready*: not yet given to anybody. Costs no memory, however many there are.
 * - *in flight*: one consumer holds a lease on it.
 * - *returned*: given back, or its lease ran out. Taken again before anything ready, lowest offset first.
 * - *settled*: acknowledged, or dropped for a `DropReason`. Never seen again.
 *
 * Every verb decides, adds its fact to the journal's open block and takes effect, all before it returns: two callers cannot
 * both win. Nothing here waits for the disk. A caller whose answer promises that a change will last waits for block `seq`
 * (`Ledger.whenDurable`); a delivery need not wait for the fact that records it. Verbs throw `Fenced` when the cell is closed.
 */
export interface Cursor {
  readonly id: CursorId
  readonly stream: StreamId
  /** All offsets below are settled: what a stream keeps for this cursor begins here. Never goes back but by `move`. */
  readonly floor: number
  /** The lowest offset that was never given to anybody; `floor <= next`. */
  readonly next: number
  readonly inFlightCount: number
  readonly returnedCount: number
  /** Offsets settled since the beginning by `ack`, and by anything else. Those passed over by `move` count in neither. */
  readonly ackedCount: number
  readonly droppedCount: number
  /** The block of the newest fact of this cursor: what an answer waits for that reveals or confirms state. -1: none since the start. */
  readonly seq: number
  /**
   * Deliveries after which a message is dropped instead of returned; 0 for no limit. Not durable: whoever opens the cursor
   * sets it, and may change it at any time.
   */
  deliveryLimit: number
  /**
   * Who is given what would be dropped for a reason, for as long as it takes: undefined, nobody, and it is settled. The consumer holds it without a
   * deadline until it says what becomes of it. Not durable, as `deliveryLimit` is not; what the consumer holds is.
   */
  heir: ((reason: DropReason) => ConsumerId | undefined) | undefined

  /** Is told, for each message that comes back from who held it, what it weighs: 0 when nobody has said so. Not durable. */
  givenBack: ((offset: number, bytes: number) => void) | undefined

  // Consumers

  /**
   * A new consumer. `name` is free text of at most 64 KiB, by which the consumer can be found again. What a `session` consumer holds
   * is returned after a restart of the broker, and the consumer is gone; a `lasting` one stays with its leases until it leaves.
   */
  join(name: string, kind: ConsumerKind): ConsumerId
  /** The consumer of that name that joined first. Takes time in proportion to the number of consumers. */
  consumerNamed(name: string): ConsumerId | undefined
  consumer(id: ConsumerId): CursorConsumer | undefined
  consumers(): Iterable<CursorConsumer>
  /**
   * The consumer is gone; what it holds is returned. `uncounted`: as if it had never been delivered to it.
   * An id that is not known is ignored.
   */
  leave(consumer: ConsumerId, how?: 'counted' | 'uncounted'): void

  // Taking

  /** The lowest offset at or above `from` that is returned or ready. It may lie at or beyond the stream's end. */
  nextAvailable(from?: number): number
  /**
   * Takes up to `wanted.max` available offsets of [from, to), lowest first, and tells `sink` the runs in ascending order.
   * A run is contiguous and has one delivery count, this delivery included. Returns the number of offsets taken.
   * `to` must not lie beyond the visible end of the stream; offsets at which the stream has no message are taken like others.
   * What is ready is taken in order only: none of it when `from` lies beyond `next`.
   */
  acquire(consumer: ConsumerId, wanted: AcquireRequest, sink: LeaseSink): number
  /**
   * Like `acquire`, and acknowledges at once: for who takes the risk that what is on its way may be lost. Nobody holds it, and it counts as
   * acknowledged.
   */
  take(wanted: Omit<AcquireRequest, 'leaseMs'>, sink: LeaseSink): number
  /** Gives what is in flight to another consumer, whoever holds it, and counts as a delivery. Returns the number of offsets. */
  claim(consumer: ConsumerId, first: number, last: number, leaseMs?: number): number

  // Settling: each returns how many offsets of [first, last] were in flight with the consumer, and touches no others.

  ack(consumer: ConsumerId, first: number, last?: number): number
  /** Back to the others. `uncounted`: as if it had not been delivered. Beyond the delivery limit it is dropped. */
  release(consumer: ConsumerId, first: number, last?: number, how?: 'counted' | 'uncounted'): number
  /** Settled without success. */
  reject(consumer: ConsumerId, first: number, last?: number): number
  /** Settled for the reason, whoever would be its heir. */
  discard(consumer: ConsumerId, first: number, last: number, reason: DropReason): number
  /** The leases run out `leaseMs` from now. */
  extend(consumer: ConsumerId, first: number, last: number, leaseMs: number): number
  /**
   * All of `settlements` in one block, or none: false when any of their offsets is not in flight with the consumer, or is
   * named twice. Their order is free.
   */
  settle(consumer: ConsumerId, settlements: readonly Settlement[]): boolean
  /** What a message in flight weighs. Not durable; of no effect when nobody holds it. */
  weigh(offset: number, bytes: number): void
  /** What all messages in flight weigh, as far as somebody has said so. */
  readonly heldBytes: number
  /** Whether all of [first, last] are in flight with the consumer. */
  holds(consumer: ConsumerId, first: number, last: number): boolean

  // Without a consumer

  /**
   * Settles all of [first, last] that is not settled yet, in flight or not, delivered or never; what the heir for the reason holds already stays
   * with it. Returns how many offsets that were.
   * What is ready is settled in order only: none of it when `first` lies beyond `next`. `last` may lie beyond the stream's end.
   */
  drop(first: number, last: number, reason: DropReason): number
  /**
   * Acknowledges what nobody holds of [first, last], wherever it lies and durable or not. What is ready and lies before `first` can be taken out of
   * its order from then on, which costs two bits for each, and counts as delivered once. Returns how many offsets were acknowledged.
   */
  pick(first: number, last: number): number
  /** Settles what is ready or returned below `end` (exclusive) and leaves alone what is in flight. Returns how many offsets that were. */
  purge(end: number): number
  /** Begins anew at `offset`: nothing is in flight or returned, consumers stay. What they held is no longer theirs. */
  move(offset: number): void

  // Looking

  stateOf(offset: number): MessageState
  /** Deliveries so far, a present one included. 0 for what is settled. */
  deliveryCount(offset: number): number
  /** The holder of an offset in flight. */
  holder(offset: number): ConsumerId | undefined
  /** Offsets of [floor, next) that are settled: with `floor` and `next` it says how many are left. */
  readonly settledAboveFloor: number
  /** Runs of [from, to) that are in flight or returned, ascending, without changing anything. Not to be kept across a change. */
  pending(from?: number, to?: number): Iterable<PendingRun>

  /** Tells `watcher` of what happens, until the returned function is called. */
  watch(watcher: CursorWatcher): () => void
}

/** Names a cursor for as long as the data lives: the id of its machine. */
export type CursorId = number

/** Names a consumer within its cursor. Never used again. */
export type ConsumerId = number

export type ConsumerKind = 'session' | 'lasting'

export interface CursorConsumer {
  readonly id: ConsumerId
  readonly name: string
  readonly kind: ConsumerKind
  readonly inFlightCount: number
  /** What it holds is counted there, too, with what others hold. Not durable. */
  tally: Tally | undefined
}

/** How many messages several consumers hold, also those of different cursors. */
export interface Tally {
  count: number
}

export interface AcquireRequest {
  max: number
  /** Inclusive; 0 when absent. */
  from?: number
  /** Exclusive. */
  to: number
  /** After this time what is still in flight is returned, or dropped at its delivery limit. Absent: never. */
  leaseMs?: number | undefined
}

/** Is told of taken offsets run by run, so that nothing is made for each message. */
export interface LeaseSink {
  run(first: number, last: number, deliveryCount: number): void
}

/** What becomes of [first, last]. `release` is counted. */
export type Settlement = { first: number; last: number } & (
  | { outcome: 'ack' | 'release' | 'reject' }
  | { outcome: 'extend'; leaseMs: number }
)

export type MessageState = 'ready' | 'in-flight' | 'returned' | 'settled'

/** Why a message was settled without an acknowledgement. Written to disk: never renumber. */
export const dropReasons = {
  rejected: 1,
  'delivery-limit': 2,
  expired: 3,
  'over-length': 4,
  purged: 5,
  /** The stream has no message there, or none for consumers. */
  gap: 6,
  /** The stream's retention has removed it. */
  trimmed: 7,
  /** It has gone to another queue. */
  moved: 8,
} as const

export type DropReason = keyof typeof dropReasons

/** A run of offsets in one state. In flight, they also have one holder and one deadline. */
export interface PendingRun {
  first: number
  last: number
  state: 'in-flight' | 'returned'
  deliveryCount: number
  /** -1 when returned. */
  consumer: ConsumerId
  /** On the wall clock; Infinity for a lease that does not run out, and when returned. */
  deadlineMs: number
}

/** Called within the verb (or the timer) that caused it, after the state has changed. Must not call verbs of the same cursor. */
export interface CursorWatcher {
  /** Something at or above `from` has come back that can be acquired, or the cursor was moved. Not called for what is appended to the stream. */
  returned?(from: number): void
  /** Messages were settled without an acknowledgement: once for each run. */
  dropped?(first: number, last: number, reason: DropReason): void
  /** An heir has been given messages: once for each run. */
  inherited?(first: number, last: number, reason: DropReason): void
  /** Leases ran out: once for each run. */
  expired?(consumer: ConsumerId, first: number, last: number): void
  /** The floor has moved up: the stream may be trimmed below it. */
  floorMoved?(floor: number): void
}

/** All cursors of a cell. */
export interface CursorStore {
  /**
   * A new cursor over `stream` that begins at `start`. Facts like any other: atomic with their neighbours. Throws `StorageFull`.
   */
  create(stream: StreamId, start: number): Cursor
  /**
   * The cursor of that id; undefined when there is none. After a restart, whoever owns a cursor opens it: then leases of session consumers
   * are returned, and those with a deadline run out in time.
   */
  open(id: CursorId): Cursor | undefined
  /** Removes the cursor: a fact like any other. Its verbs must not be called any more. */
  remove(id: CursorId): void
  /**
   * Declares that `stream` is kept for its cursors alone: it may be trimmed below the lowest floor of its owners. Not durable.
   * Streams without owners keep what their own retention says.
   */
  own(stream: StreamId, cursor: CursorId): void
  /** Below this offset nothing of the stream is needed by its owners; undefined when it has none. */
  trimPoint(stream: StreamId): number | undefined
  /** Whether an owner still needs the message at `offset`; true for streams without owners. */
  isLive(stream: StreamId, offset: number): boolean
  /** Which messages of a stream its owners need; undefined when it has none. Of several owners' messages, `count` may count some twice. */
  liveOf(stream: StreamId): LiveRecords | undefined
  close(): void
}
