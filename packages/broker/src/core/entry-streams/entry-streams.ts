import assert from 'node:assert/strict'
import type { CellClient, StreamId } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import type { LiveRecords, Retention } from '../../cell/options.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import { quote } from '../names.ts'
import type { Topic } from '../topic.ts'
import type { Topics } from '../topics.ts'
import { idMin, writeId } from './entry-id.ts'
import { EntryStream, type EntryHost } from './entry-stream.ts'
import { entryFacts, factFor, writer } from './facts.ts'
import { EntryStreamsMachine, type EntryStreamState } from './machine.ts'

export interface EntryStreamsOptions {
  ledger: Ledger
  cell: CellClient
  topics: Topics
  limits: Limits
}

/** Somebody who waits for entries. */
export interface EntryWaiter {
  /** Entries are there to be read, or the stream has gone: it looks again, and goes on waiting unless it leaves. */
  wake(): void
}

/** Who waits for what becomes of one name. */
interface Watch {
  readonly waiters: Set<EntryWaiter>
  /** Ends the watch of the stream that has the name now. */
  end: (() => void) | undefined
}

/** What a topic is made with that is made for its entries: they stay until they are removed. */
const ownConfig: ReadonlyMap<string, string> = new Map([
  ['retentionMs', '-1'],
  ['retentionBytes', '-1'],
])

/** Topics of one partition as streams of entries: each record has an id, by which it is found and removed. */
export class EntryStreams implements EntryHost {
  readonly ledger: Ledger
  readonly cell: CellClient
  readonly limits: Limits
  readonly #topics: Topics
  readonly #machine: EntryStreamsMachine
  readonly #open = new Map<StreamId, EntryStream>()
  readonly #watches = new Map<string, Watch>()

  /** Over a cell that has been recovered. */
  constructor({ ledger, cell, topics, limits }: EntryStreamsOptions) {
    const machine = ledger.machine(machineKinds.entryStreams)
    assert(machine instanceof EntryStreamsMachine)
    this.ledger = ledger
    this.cell = cell
    this.limits = limits
    this.#topics = topics
    this.#machine = machine
    topics.beforeRemove((topic, isRenamed) => (isRenamed ? undefined : this.#forget(topic)))
    topics.watchCreated(topic => this.#created(topic))
  }

  /** The topic of that name as a stream of entries; undefined when there is none. Throws `BrokerError` when it cannot be one. */
  get(namespace: string, name: string): EntryStream | undefined {
    const topic = this.#topics.get(namespace, name)
    if (!topic) return undefined
    const stream = this.#of(topic)
    stream.notice()
    return stream
  }

  /** The same; when there is none, it is made. */
  open(namespace: string, name: string): EntryStream {
    const known = this.get(namespace, name)
    if (known) return known
    const messageBytesMax = String(Math.min(this.limits.messageBytesMax, this.limits.frameBytesMax))
    const config = new Map([...ownConfig, ['messageBytesMax', messageBytesMax]])
    const topic = this.#topics.make(namespace, name, { partitions: 1, config, anyName: true })
    return this.#of(topic)
  }

  /** Whether the topic is one that `open` has made: it has entries, and exactly the settings that such a one is made with. */
  isOwn({ config, partitions: [stream] }: Topic): boolean {
    if (stream === undefined || !this.#machine.streams.has(stream)) return false
    for (const [name, value] of ownConfig) if (config.get(name) !== value) return false
    return config.size === ownConfig.size + 1 && config.has('messageBytesMax')
  }

  #of(topic: Topic): EntryStream {
    const [stream, more] = topic.partitions
    assert(stream !== undefined)
    const known = this.#open.get(stream)
    if (known) {
      known.topic = topic
      return known
    }
    if (more !== undefined) {
      throw new BrokerError(
        'unsupported',
        `${quote(topic.name)} has several partitions, whose records have no common order`,
      )
    }
    const state = this.#machine.streams.get(stream) ?? this.#begin(stream)
    const opened = new EntryStream(topic, state, this)
    this.#open.set(stream, opened)
    return opened
  }

  #begin(stream: StreamId): EntryStreamState {
    const out = factFor(stream)
    out.varlong(this.cell.bounds(stream)?.startOffset ?? 0)
    writeId(out, idMin)
    this.ledger.fact(machineKinds.entryStreams, entryFacts.opened, writer.take())
    const state = this.#machine.streams.get(stream)
    assert(state)
    return state
  }

  #forget({ partitions: [stream] }: Topic): void {
    if (stream === undefined || !this.#machine.streams.has(stream)) return
    factFor(stream)
    this.ledger.fact(machineKinds.entryStreams, entryFacts.forgotten, writer.take())
    this.#open.delete(stream)
  }

  /** How long and how much of a topic's stream is kept; undefined for streams that belong to no topic. */
  retentionOf(stream: StreamId): Retention | undefined {
    const retention = this.#topics.retentionOf(stream)
    const state = this.#machine.streams.get(stream)
    return state && retention ? { ...retention, neededFrom: state.first } : retention
  }

  liveOf(stream: StreamId): LiveRecords | undefined {
    const state = this.#machine.streams.get(stream)
    return state && new LiveEntries(state)
  }

  /** Wakes `waiter` when entries can be read that have come to one of the names, or a stream has gone, until the returned function is called. */
  wait(namespace: string, names: readonly string[], waiter: EntryWaiter): () => void {
    const keys = new Set(names.map(name => keyOf(namespace, name)))
    for (const name of names) this.#watch(namespace, name).waiters.add(waiter)
    return () => {
      for (const key of keys) {
        const watch = this.#watches.get(key)
        if (!watch?.waiters.delete(waiter) || watch.waiters.size > 0) continue
        watch.end?.()
        this.#watches.delete(key)
      }
    }
  }

  #watch(namespace: string, name: string): Watch {
    const key = keyOf(namespace, name)
    const known = this.#watches.get(key)
    if (known) return known
    const watch: Watch = { waiters: new Set(), end: undefined }
    this.#watches.set(key, watch)
    const topic = this.#topics.get(namespace, name)
    if (topic) this.#watchTopic(watch, topic)
    return watch
  }

  #watchTopic(watch: Watch, { partitions: [stream] }: Topic): void {
    if (stream !== undefined) watch.end = this.cell.watch(stream, true, () => wakeAll(watch))
  }

  #created(topic: Topic): void {
    const watch = this.#watches.get(keyOf(topic.namespace, topic.name))
    if (!watch) return
    watch.end?.()
    this.#watchTopic(watch, topic)
  }
}

const keyOf = (namespace: string, name: string): string => `${namespace}\0${name}`

/** In the order in which they came. */
function wakeAll({ waiters }: Watch): void {
  for (const waiter of [...waiters]) if (waiters.has(waiter)) waiter.wake()
}

/** What compaction leaves. The newest record stays, so that readers find where the stream ends. */
class LiveEntries implements LiveRecords {
  readonly #state: EntryStreamState

  constructor(state: EntryStreamState) {
    this.#state = state
  }

  isLive(offset: number): boolean {
    const { first, end, removed } = this.#state
    return offset >= end - 1 || (offset >= first && !removed.has(offset))
  }

  count(first: number, last: number, max: number): number {
    const { first: from, end, removed } = this.#state
    const low = Math.max(first, Math.min(from, end - 1))
    if (low > last) return 0
    const isNewestKept = last >= end - 1 && removed.has(end - 1) ? 1 : 0
    return Math.min(last - low + 1 - removed.count(low, last) + isNewestKept, max)
  }
}
