import type { Broker } from '../../core/broker.ts'
import { Glob } from '../../core/routing/glob.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { storageFull } from '../../core/refusals.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'
import type { Attachment, Passing, Sink } from '../../core/routing/sink.ts'
import { ReplyWriter } from './reply.ts'

/** `shard`: channels of another set, which no pattern is about, nor anybody of another protocol. */
export type ChannelKind = 'channel' | 'pattern' | 'shard'

/** Somebody who is given what is published. */
export interface Listener {
  readonly protocolVersion: 2 | 3
  /** Whole messages, one behind the other; they do not change. */
  deliver(bytes: Buffer): void
}

/** Messages of one turn that are gathered for the members of a channel before they are handed on. */
const gatheredBytesMax = 64 * 1024

/**
 * Who is subscribed to what. A channel or pattern with any number of members is one sink: what comes is written once for each version of the protocol,
 * and all that comes within one turn is handed to each member at once.
 */
export class PubSub {
  readonly #broker: Broker
  readonly #namespace: string
  readonly #clock: Clock
  readonly #fans: Readonly<Record<ChannelKind, Map<string, Fan>>> = {
    channel: new Map(),
    pattern: new Map(),
    shard: new Map(),
  }
  /** The one that has gathered something: one at a time, so that the members of several get all in its order. */
  #gathering: Fan | undefined
  #isScheduled = false

  constructor(broker: Broker, namespace: string, clock: Clock) {
    this.#broker = broker
    this.#namespace = namespace
    this.#clock = clock
  }

  /** `name` has a character for each byte. Throws `BrokerError`. */
  subscribe(kind: ChannelKind, name: string, listener: Listener): void {
    const fans = this.#fans[kind]
    let fan = fans.get(name)
    if (!fan) {
      fan = new Fan(kind, name, this)
      if (kind !== 'shard') this.#attach(fan, subjectOf(name), kind)
      fans.set(name, fan)
    }
    // What was published before is not for those who come now.
    if (this.#gathering === fan) this.flush()
    fan.add(listener)
  }

  #attach(fan: Fan, subject: string, kind: 'channel' | 'pattern'): void {
    const attachment = this.#broker.router.attach(this.#namespace, fan)
    try {
      attachment.bind(subjectExchange, subject, kind === 'pattern' ? 'glob' : 'literal')
    } catch (error) {
      attachment.detach()
      throw error
    }
    fan.attachment = attachment
  }

  unsubscribe(kind: ChannelKind, name: string, listener: Listener): void {
    const fan = this.#fans[kind].get(name)
    if (!fan) return
    if (this.#gathering === fan) this.flush()
    fan.delete(listener)
    if (fan.size > 0) return
    fan.attachment?.detach()
    this.#fans[kind].delete(name)
  }

  /** Returns how many have been given it, and the block that its answer waits for. Throws `BrokerError` when nobody is: what stores it has no room. */
  publish(name: string, value: Buffer): { count: number; seq: number } {
    const { router } = this.#broker
    const key = subjectOf(name)
    const fan = this.#fans.channel.get(name)
    // A sink of ours counts as one there, and has so many members.
    let count = (fan?.size ?? 0) + router.reach(this.#namespace, subjectExchange, key) - (fan ? 1 : 0)
    for (const { glob, size } of this.#fans.pattern.values()) if (glob.matches(key)) count += size - 1
    const message = { key: Buffer.from(key), value }
    const posted = router.post({ namespace: this.#namespace, exchange: subjectExchange, key, message })
    const { seq, error } = posted
    if (error === 'storage-full') throw storageFull()
    return { count, seq }
  }

  /** Returns how many have been given it. */
  publishToShard(name: string, value: Buffer): number {
    const fan = this.#fans.shard.get(name)
    fan?.give(name, value)
    return fan?.size ?? 0
  }

  /** Channels with members that match. */
  channels(kind: 'channel' | 'shard', pattern: string | undefined): string[] {
    const names = [...this.#fans[kind].keys()]
    if (pattern === undefined) return names
    const glob = new Glob(pattern)
    return names.filter(name => glob.matches(name))
  }

  memberCount(kind: ChannelKind, name: string): number {
    return this.#fans[kind].get(name)?.size ?? 0
  }

  get patternCount(): number {
    return this.#fans.pattern.size
  }

  get channelCount(): number {
    return this.#fans.channel.size
  }

  get shardCount(): number {
    return this.#fans.shard.size
  }

  /** A fan has something for its members. For fans alone. */
  gathers(fan: Fan): void {
    if (this.#gathering !== fan) {
      this.flush()
      this.#gathering = fan
    }
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#clock.soon(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  /** What was gathered is handed to those whom it is for. */
  flush(): void {
    const fan = this.#gathering
    this.#gathering = undefined
    fan?.handOut()
  }
}

/** The members of one channel or pattern. */
class Fan implements Sink {
  attachment: Attachment | undefined
  readonly #pubsub: PubSub
  /** Of a pattern. */
  readonly glob: Glob
  readonly #kind: ChannelKind
  readonly #name: Buffer
  readonly #members = { 2: new Set<Listener>(), 3: new Set<Listener>() }
  readonly #writers: Record<2 | 3, ReplyWriter | undefined> = { 2: undefined, 3: undefined }

  constructor(kind: ChannelKind, name: string, pubsub: PubSub) {
    this.#kind = kind
    this.#name = Buffer.from(name, 'latin1')
    this.glob = new Glob(this.#name.toString())
    this.#pubsub = pubsub
  }

  get size(): number {
    return this.#members[2].size + this.#members[3].size
  }

  add(listener: Listener): void {
    this.#members[listener.protocolVersion].add(listener)
  }

  delete(listener: Listener): void {
    this.#members[2].delete(listener)
    this.#members[3].delete(listener)
  }

  take(passing: Passing): void {
    this.give(passing.key, passing.message.value ?? nothing)
  }

  give(subject: string, value: Uint8Array): void {
    this.#pubsub.gathers(this)
    let isMuch = false
    for (const version of versions) {
      if (this.#members[version].size === 0) continue
      const writer = (this.#writers[version] ??= newWriter(version))
      this.#write(writer, subject, value)
      isMuch ||= writer.length >= gatheredBytesMax
    }
    if (isMuch) this.#pubsub.flush()
  }

  #write(writer: ReplyWriter, subject: string, value: Uint8Array): void {
    if (this.#kind === 'pattern') {
      writer.push(4)
      writer.raw(pmessageWord)
      writer.bulk(this.#name)
      writer.text(subject)
    } else {
      writer.push(3)
      writer.raw(this.#kind === 'shard' ? smessageWord : messageWord)
      writer.bulk(this.#name)
    }
    // What is lent may change; what is large is not copied by the writer.
    writer.bulk(value.length < 8192 ? value : Buffer.from(value))
  }

  handOut(): void {
    for (const version of versions) {
      const parts = this.#writers[version]?.take()
      if (!parts) continue
      for (const part of parts) for (const listener of this.#members[version]) listener.deliver(part)
    }
  }
}

const versions = [2, 3] as const

function newWriter(version: 2 | 3): ReplyWriter {
  const writer = new ReplyWriter()
  writer.version = version
  return writer
}

const subjectOf = (name: string): string => Buffer.from(name, 'latin1').toString()

const messageWord = Buffer.from('$7\r\nmessage\r\n')
const pmessageWord = Buffer.from('$8\r\npmessage\r\n')
const smessageWord = Buffer.from('$8\r\nsmessage\r\n')
const nothing = Buffer.alloc(0)
