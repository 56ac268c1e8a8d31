import type { ChannelKind, Listener, PubSub } from './pubsub.ts'
import type { ReplyWriter } from './reply.ts'

/** The channels and patterns of one connection. */
export class Subscriptions implements Listener {
  readonly #client: { readonly reply: ReplyWriter }
  readonly #pubsub: PubSub
  readonly #deliver: (bytes: Buffer) => void
  readonly #names: Readonly<Record<ChannelKind, Set<string>>> = {
    channel: new Set(),
    pattern: new Set(),
    shard: new Set(),
  }

  constructor(client: { readonly reply: ReplyWriter }, pubsub: PubSub, deliver: (bytes: Buffer) => void) {
    this.#client = client
    this.#pubsub = pubsub
    this.#deliver = deliver
  }

  get protocolVersion(): 2 | 3 {
    return this.#client.reply.version
  }

  get count(): number {
    const { channel, pattern, shard } = this.#names
    return channel.size + pattern.size + shard.size
  }

  /** What is told with each change: shards are counted for themselves. */
  countOf(kind: ChannelKind): number {
    const { channel, pattern, shard } = this.#names
    return kind === 'shard' ? shard.size : channel.size + pattern.size
  }

  sizeOf(kind: ChannelKind): number {
    return this.#names[kind].size
  }

  add(kind: ChannelKind, name: string): void {
    if (this.#names[kind].has(name)) return
    this.#pubsub.subscribe(kind, name, this)
    this.#names[kind].add(name)
  }

  remove(kind: ChannelKind, name: string): void {
    if (this.#names[kind].delete(name)) this.#pubsub.unsubscribe(kind, name, this)
  }

  names(kind: ChannelKind): string[] {
    return [...this.#names[kind]]
  }

  deliver(bytes: Buffer): void {
    this.#deliver(bytes)
  }

  /** The protocol's version changes: what comes is written in another form from now on. */
  moved(change: () => void): void {
    const all = (['channel', 'pattern', 'shard'] as const).flatMap(kind =>
      this.names(kind).map(name => ({ kind, name })),
    )
    for (const { kind, name } of all) this.remove(kind, name)
    change()
    for (const { kind, name } of all) this.add(kind, name)
  }

  clear(): void {
    for (const kind of ['channel', 'pattern', 'shard'] as const)
      for (const name of this.names(kind)) this.remove(kind, name)
  }
}
