interface Queued<S> {
  readonly spec: S
  readonly args: readonly Buffer[]
}

/** Bytes of commands that wait for their `EXEC`. */
const bytesMax = 64 * 1024 * 1024

/** What a connection has watched and queued. */
export class Transaction<S> {
  isOpen = false
  /** A command was refused when it was queued: nothing will be carried out. */
  hasFailed = false
  /** Something that is watched has changed. */
  isStale = false
  commands: Queued<S>[] = []
  readonly #watched = new Map<string, { version: string; unwatch: () => void }>()
  #bytes = 0

  begin(): void {
    this.isOpen = true
    this.hasFailed = false
    this.commands = []
    this.#bytes = 0
  }

  queue(spec: S, args: readonly Buffer[]): void {
    for (const part of args) this.#bytes += part.length + 64
    if (this.#bytes > bytesMax) this.fail()
    if (!this.hasFailed) this.commands.push({ spec, args: args.map(part => Buffer.from(part)) })
  }

  fail(): void {
    this.hasFailed = true
    this.commands = []
  }

  /** Nothing is queued nor watched any more. */
  end(): void {
    this.isOpen = false
    this.hasFailed = false
    this.commands = []
    this.unwatch()
  }

  get watchedCount(): number {
    return this.#watched.size
  }

  isWatching(key: string): boolean {
    return this.#watched.has(key)
  }

  watch(key: string, version: string, unwatch: () => void): void {
    this.#watched.set(key, { version, unwatch })
  }

  watched(): Iterable<[string, { version: string }]> {
    return this.#watched
  }

  unwatch(): void {
    for (const { unwatch } of this.#watched.values()) unwatch()
    this.#watched.clear()
    this.isStale = false
  }
}
