import { CommandError } from './command.ts'
import { countOfMessages } from './table.ts'

/** A line on stderr that is written over, when a person looks at it. */
export class Progress {
  readonly #shown = process.stderr.isTTY === true
  readonly #startMs = performance.now()
  #nextMs = 0

  update(count: number, bytes: number): void {
    const now = performance.now()
    if (!this.#shown || now < this.#nextMs) return
    this.#nextMs = now + 200
    process.stderr.write(`\r${this.#text(count, bytes)}\u001b[K`)
  }

  /** The last word, also when nobody looks on. */
  finish(count: number, bytes: number, verb: string): void {
    process.stderr.write(`${this.#shown ? '\r\u001b[K' : ''}${verb} ${this.#text(count, bytes)}\n`)
  }

  #text(count: number, bytes: number): string {
    const seconds = (performance.now() - this.#startMs) / 1000
    const perSecond = seconds > 0 ? Math.round(count / seconds) : 0
    return `${countOfMessages(count)}, ${(bytes / 2 ** 20).toFixed(1)} MiB, ${perSecond}/s`
  }
}

/** What ended a command that had published so many messages. */
export function afterPublishing(error: unknown, count: number): unknown {
  if (!(error instanceof CommandError)) return error
  return new CommandError(`${error.message} (${countOfMessages(count)} ${count === 1 ? 'was' : 'were'} published)`)
}
