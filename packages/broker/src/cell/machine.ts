import type { Reader, Writer } from '@dragoman/wire'

/**
 * Deterministic state over facts. Pure: no clock, no randomness, no I/O, no validation. The owner decides, writes a fact and
 * applies it; replay applies the same facts in the same order and arrives at the same state.
 *
 * Invariant: `load(save())` followed by the facts after it equals all facts from the beginning.
 */
export interface Machine {
  /** `payload` is valid only during the call unless the machine says otherwise. Unknown `type`s are a bug of ours or a downgrade: throw. */
  apply(type: number, payload: Buffer, at: FactContext): void
  /** Writes the whole state, first a version byte. Called at block boundaries only. */
  save(out: Writer): void
  load(from: Reader): void
}

export interface FactContext {
  /** Sequence number of the block that holds the fact. */
  seq: number
  /** The block's time: the only clock that a machine sees. Goes back only when the broker's clock was set back. */
  timeMs: number
  epoch: number
}

/** What a decider (topics, groups, …) needs of the cell that owns its machine. Implemented by `Cell`. */
export interface Ledger {
  readonly epoch: number
  /**
   * Adds a fact to the open block and applies it to its machine before returning. All facts added without awaiting in between
   * by `atomic` are in one block, hence durable all or none. Returns the sequence number of the block.
   * Throws `StorageFull` when the disk has no room for it.
   */
  fact(machine: number, type: number, payload: Uint8Array): number
  atomic(run: () => void): number
  /** Calls `run` once, before the open block ends, which something was added to: what `run` adds is in that block, too. */
  beforeEnd(run: () => void): void
  /** Calls `run(argument)` when block `seq` is durable; at once if it is already. In order of blocks and of registration. */
  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void
  /** Resolves when block `seq` is durable. For the cold paths. */
  durable(seq: number): Promise<void>
  /** The block that would hold the next fact: what a reply must wait for that may have seen state not yet durable. */
  readonly openSeq: number
  /** The newest block that holds anything, or will: all that was decided is durable once it is. */
  readonly lastSeq: number
  /** Creates a machine of a registered kind; its id is never used again. A fact like any other: atomic with its neighbours. */
  define(kind: MachineKind): number
  /** Removes a machine and its data. */
  drop(machine: number): void
  machine(id: number): Machine | undefined
  readonly clock: { nowMs(): number; monotonicMs(): number; after(delayMs: number, run: () => void): () => void }
}

/**
 * Kinds are written to disk: never renumber. Most exist once, and their machine has the id of its kind; those from 16 to 31
 * are made by `define`, any number of them, with ids from 1024 on.
 */
export const machineKinds = {
  /** Names: topics and their partitions' streams, configuration, the next producer id. `core/topics.ts` */
  directory: 1,
  /** Committed offsets and memberships of all groups. `core/groups/` */
  groups: 2,
  /** Transactional ids: their producers, and what takes part in their transactions. `core/transactions/` */
  transactions: 3,
  /** Users and rules about what they may do. `core/identity/` */
  identity: 4,
  /** How much of what may be done by whom. `core/quotas/` */
  quotas: 5,
  /** Where groups whose members take single messages stand in which topics. `core/share/` */
  shareGroups: 6,
  /** Members of groups among whom the broker shares out the work, and settings of groups. `core/groups/assigned/` */
  memberships: 7,
  /** Lanes, numbers and histories of messages of work queues. `core/work/` */
  work: 8,
  /** Settings for queues and exchanges by the patterns of their names. `core/policies/` */
  policies: 9,
  /** Messages that are to be published later, and schedules. `core/delayed/` */
  delayed: 10,
  /** Which namespaces there are, and parameters. `core/namespaces/` */
  namespaces: 11,
  /** The last message of each subject: where it lies. `core/retained/` */
  retained: 12,
  /** Clients that may come back, and what is agreed with them. `core/sessions/` */
  sessions: 13,
  /** In which order the messages of queues are that are read from both ends. `core/lists/` */
  lists: 14,
  /** Single values by their keys, and until when keys last. `core/values/` */
  values: 15,
  /** One partition, queue or other container of messages. `cell/stream.ts` */
  stream: 16,
  /** Who has taken which message of a stream. `core/cursor/` */
  cursor: 17,
  /** Ids of the entries of streams, and the groups that share them out. `core/entry-streams/` */
  entryStreams: 32,
} as const

const manyKindsFrom = 16
const manyKindsTo = 31

/** Whether there is one machine of the kind, which has its number as its id. */
export const existsOnce = (kind: number): boolean => kind < manyKindsFrom || kind > manyKindsTo

export type MachineKind = keyof typeof machineKinds
