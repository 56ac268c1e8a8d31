import type { Random } from '@dragoman/wire'
import type { Cancel } from '../runtime.ts'

/** What the parts of a simulated world know of the simulator. */
export interface World {
  readonly random: Random
  /** Virtual milliseconds since the world began. */
  readonly nowMs: number
  /** Plans an event `delayMs` from now. One with an owner is dropped when the owner crashes, and waits while it is paused. */
  at(delayMs: number, label: string, run: () => void, owner?: Owner): Cancel
  /** Puts a value that was handed out into the hash, and a line into the trace. */
  note(label: string, value?: number): void
  /** A rule was broken: the run ends with a `Violation`. Only the first counts. */
  fail(message: string, cause?: unknown): void
}

/** Whose an event is: a process. */
export interface Owner {
  readonly name: string
  readonly id: number
  /** Raised by each start and each end: what belongs to an older one never happens. */
  readonly incarnation: number
  /** Until when nothing of it runs. */
  readonly pausedUntilMs: number
  /** Whether `incarnation` still runs: code of an ended one may run on until its next wait, and must not have an effect. */
  isRunning(incarnation: number): boolean
}
