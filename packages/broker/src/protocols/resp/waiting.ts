/** What a command waits for. */
export interface Wait {
  readonly keys: readonly string[]
  /** 0: for ever. */
  readonly timeoutMs: number
  /** It is not for a key to come: it has to be there. */
  readonly needsKey?: boolean
  /** A key has changed: writes the answer if it can be given now, and returns whether it did. May throw `NotLoaded`. */
  serve(key: string): boolean
  /** What may be the answer is being read: nobody can say yet that it has waited in vain. */
  isBusy?(): boolean
  /** It is to end without being served, or its connection has: nothing is taken for it from now on. False: it was, and is the answer at once. */
  abandon?(): boolean
  /** Writes the answer of who has waited in vain. */
  timedOut(): void
}

/** Somebody who waits for keys. */
export interface Waiter {
  readonly wait: Wait
  /** Its answer is written. */
  served(): void
  /** It is refused: that is its answer. Throws what is no refusal. */
  refused(error: unknown): void
}
