import type { DiskError } from '../runtime/runtime.ts'

/** What is missing when nothing that grows the data can be written. */
type Shortage = 'space' | 'descriptors'

export interface RoomWatchOptions {
  clock: { after(delayMs: number, run: () => void): () => void }
  log(level: 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}

/** Room that lasts for less is not told of: at the limit it comes and goes. */
const lastingMs = 5000

const beginning: Readonly<Record<Shortage, string>> = {
  space: 'The disk is full: what grows the data is refused until there is room',
  descriptors: 'No file descriptors are left: what grows the data is refused until there are some ("ulimit -n")',
}

/** Who finds no room to write, and why. Tells people when it begins, and when it is over. */
export class RoomWatch {
  readonly #options: RoomWatchOptions
  readonly #found = new Map<string, Shortage>()
  #isTold = false
  #cancelEnd: (() => void) | undefined

  constructor(options: RoomWatchOptions) {
    this.#options = options
  }

  /** What is missing at present. */
  get shortage(): Shortage | undefined {
    const [first] = this.#found.values()
    return first
  }

  /** A write of `who` has found no room. */
  missing(who: string, error: DiskError): void {
    this.#begin(who, shortageOf(error), error.message)
  }

  /** `who` has found that little space is left. */
  low(who: string, reason: string): void {
    this.#begin(who, 'space', reason)
  }

  #begin(who: string, shortage: Shortage, reason: string): void {
    this.#found.set(who, shortage)
    this.#cancelEnd?.()
    this.#cancelEnd = undefined
    if (this.#isTold) return
    this.#isTold = true
    this.#options.log('error', beginning[shortage], { reason })
  }

  /** `who` has found room. */
  found(who: string): void {
    if (!this.#found.delete(who) || this.#found.size > 0) return
    this.#cancelEnd = this.#options.clock.after(lastingMs, () => {
      this.#cancelEnd = undefined
      this.#isTold = false
      this.#options.log('warn', 'There is room again: everything is taken')
    })
  }

  close(): void {
    this.#cancelEnd?.()
  }
}

/** What a write needed that found no room. */
function shortageOf({ cause }: DiskError): Shortage {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  return code === 'EMFILE' || code === 'ENFILE' ? 'descriptors' : 'space'
}
