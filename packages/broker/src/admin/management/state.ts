import { Rates } from './rates.ts'

/** There is one node, and tools want it to have a name of this form. */
export const nodeName = 'dragoman@localhost'

/** The version of the API that is followed: some tools decide by it what they may ask for. */
export const compatibleVersion = '3.13.7'

/** What the API itself remembers, for all of its listeners. */
export class State {
  readonly rates = new Rates()
  /** As they were told last. */
  metrics: { readonly atMs: number; readonly text: string } | undefined
  /** Of the monotonic clock. */
  readonly startedMs: number

  constructor(startedMs: number) {
    this.startedMs = startedMs
  }
}
