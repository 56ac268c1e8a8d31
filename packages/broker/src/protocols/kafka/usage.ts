import type { Caller, Quotas } from '../../core/quotas/quotas.ts'
import type { SessionContext } from '../protocol.ts'
import type { Handler } from './handlers/handler.ts'

type Clock = Pick<SessionContext['clock'], 'monotonicMs'>

/**
 * What one request uses of its client's quotas: bytes, and time of the broker's thread.
 *
 * The time is that of taking the request and of putting its answer into bytes, waiting left out. It is measured only while
 * somebody's is limited.
 */
export class Usage {
  readonly #quotas: Quotas
  readonly #clock: Clock
  readonly #requestBytes: number
  readonly #measures: boolean
  #workMs = 0
  #sinceMs: number | undefined

  /** Undefined while nobody has a quota. */
  static begin(quotas: Quotas, clock: Clock, requestBytes: number): Usage | undefined {
    return quotas.isActive ? new Usage(quotas, clock, requestBytes) : undefined
  }

  private constructor(quotas: Quotas, clock: Clock, requestBytes: number) {
    this.#quotas = quotas
    this.#clock = clock
    this.#requestBytes = requestBytes
    this.#measures = quotas.measuresWork
    this.resume()
  }

  resume(): void {
    if (this.#measures) this.#sinceMs ??= this.#clock.monotonicMs()
  }

  pause(): void {
    if (this.#sinceMs === undefined) return
    this.#workMs += this.#clock.monotonicMs() - this.#sinceMs
    this.#sinceMs = undefined
  }

  /** Counts it all. Returns the milliseconds for which the client is to be held back. */
  end(caller: Caller, counts: Handler['counts'], answerBytes: number): number {
    this.pause()
    let ms = this.#measures ? this.#quotas.worked(caller, this.#workMs) : 0
    if (counts === 'published') ms = Math.max(ms, this.#quotas.published(caller, this.#requestBytes))
    if (counts === 'fetched') ms = Math.max(ms, this.#quotas.fetched(caller, answerBytes))
    return ms
  }
}
