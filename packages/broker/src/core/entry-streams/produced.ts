import { hash } from 'node:crypto'
import type { StreamId } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import type { Topic } from '../topic.ts'
import type { KeyedValues } from '../values/keyed-values.ts'
import { partOf, type EntryId } from './entry-id.ts'

export interface ProducedOptions {
  readonly values: KeyedValues
  readonly ledger: Pick<Ledger, 'clock'>
  readonly topics: { beforeRemove(run: (topic: Topic, isRenamed: boolean) => void): void }
}

/** For how long and how many of the newest entries of each producer are remembered. */
export interface ProducedSettings {
  readonly durationMs: number
  readonly countMax: number
}

/** One entry that somebody wants to add, by his own name for it. */
export interface Production {
  readonly stream: StreamId
  /** Any bytes. */
  readonly producer: Uint8Array
  /** Any bytes: the same for the same entry. */
  readonly name: Uint8Array
}

/** What is known of one stream. */
interface Known {
  settings: ProducedSettings
  /** So many entries were added by names, and so many were there already. */
  addedCount: number
  repeatedCount: number
  /** Of each producer the keys of what is remembered, oldest first. */
  readonly producers: Map<string, Set<string>>
}

const producedDefaults: ProducedSettings = { durationMs: 100_000, countMax: 100 }

/** Where values are that belong to nobody's namespace: no namespace has such a name. */
const space = '\u0001produced'
/** Longer names are known by their digests. */
const nameBytesMax = 32

/**
 * Which entries producers have added, by the names that they gave them, so that one that is sent again is not added again. What is remembered is kept as single
 * values that end by themselves: on the disk in the block of the entry, and within the bounds of values.
 */
export class Produced {
  readonly #options: ProducedOptions
  readonly #known = new Map<StreamId, Known>()

  /** Over a cell that has been recovered. */
  constructor(options: ProducedOptions) {
    this.#options = options
    const { values, topics } = options
    for (const key of values.keys(space)) this.#restore(key, String(values.get(space, key)))
    values.beforeExpire((namespace, key) => {
      if (namespace === space) this.#drop(key)
    })
    topics.beforeRemove(({ partitions }, isRenamed) => {
      if (!isRenamed) for (const stream of partitions) this.#forget(stream)
    })
  }

  /** Undefined: there is nothing to tell of the stream. */
  about(stream: StreamId): (ProducedSettings & Record<ProducedCount, number>) | undefined {
    const known = this.#known.get(stream)
    if (!known) return undefined
    const { settings, producers, addedCount, repeatedCount } = known
    let trackedCount = 0
    for (const keys of producers.values()) trackedCount += keys.size
    return { ...settings, addedCount, repeatedCount, trackedCount, producerCount: producers.size }
  }

  /** The id of the entry that was added by that name; undefined when there is none, or none any more. */
  find(production: Production): EntryId | undefined {
    const known = this.#known.get(production.stream)
    if (!known) return undefined
    const { values } = this.#options
    const key = keyOf(production)
    values.touch(space, key)
    const value = values.get(space, key)
    if (!value) return undefined
    known.repeatedCount++
    const [ms = '', seq = ''] = String(value).split(/[- ]/)
    return { ms: partOf(BigInt(ms)), seq: partOf(BigInt(seq)) }
  }

  /** Throws `BrokerError` when `note` would. */
  demandRoom(production: Production): void {
    this.#options.values.demandRoom(space, keyOf(production), valueBytesMax)
  }

  /** The entry was added by that name, in the same block. */
  note(production: Production, id: EntryId): void {
    const known = this.#of(production.stream)
    const key = keyOf(production)
    const keys = keysOf(known, wordOf(production.producer))
    while (keys.size >= known.settings.countMax) {
      const [oldest] = keys
      if (oldest === undefined) break
      this.#options.values.remove(space, oldest)
      keys.delete(oldest)
    }
    const value = `${id.ms}-${id.seq} ${++known.addedCount}`
    const { values, ledger } = this.#options
    values.set(space, key, Buffer.from(value), ledger.clock.nowMs() + known.settings.durationMs)
    keys.add(key)
  }

  /** Other settings make forget what was remembered. */
  configure(stream: StreamId, settings: Partial<ProducedSettings>): void {
    const known = this.#of(stream)
    const { durationMs, countMax } = { ...known.settings, ...settings }
    const isSame = durationMs === known.settings.durationMs && countMax === known.settings.countMax
    known.settings = { durationMs, countMax }
    if (!isSame) this.#forgetNames(known)
    const text = [durationMs, countMax, known.addedCount, known.repeatedCount].join(' ')
    this.#options.values.set(space, String(stream), Buffer.from(text))
  }

  #of(stream: StreamId): Known {
    const known = this.#known.get(stream)
    if (known) return known
    const made: Known = { settings: producedDefaults, addedCount: 0, repeatedCount: 0, producers: new Map() }
    this.#known.set(stream, made)
    return made
  }

  #restore(key: string, value: string): void {
    const { stream, producer } = partsOf(key)
    const known = this.#of(stream)
    if (producer === undefined) {
      const [durationMs = 0, countMax = 0, addedCount = 0, repeatedCount = 0] = value.split(' ').map(Number)
      known.settings = { durationMs, countMax }
      known.addedCount = Math.max(known.addedCount, addedCount)
      known.repeatedCount = repeatedCount
      return
    }
    keysOf(known, producer).add(key)
    known.addedCount = Math.max(known.addedCount, Number(value.split(' ')[1]))
  }

  /** The time of a name is over. */
  #drop(key: string): void {
    const { stream, producer } = partsOf(key)
    const known = this.#known.get(stream)
    if (!known || producer === undefined) return
    const keys = known.producers.get(producer)
    if (keys?.delete(key) === true && keys.size === 0) known.producers.delete(producer)
  }

  #forgetNames({ producers }: Known): void {
    for (const keys of producers.values()) for (const key of keys) this.#options.values.remove(space, key)
    producers.clear()
  }

  /** Within the block that removes the topic. */
  #forget(stream: StreamId): void {
    const known = this.#known.get(stream)
    if (!known) return
    this.#forgetNames(known)
    this.#options.values.remove(space, String(stream))
    this.#known.delete(stream)
  }
}

type ProducedCount = 'addedCount' | 'repeatedCount' | 'trackedCount' | 'producerCount'

/** An id and a count. */
const valueBytesMax = 64

function keysOf({ producers }: Known, producer: string): Set<string> {
  const keys = producers.get(producer) ?? new Set()
  producers.set(producer, keys)
  return keys
}

/** Bytes as a part of a key, a character for each: themselves, or their digest; told apart by what they begin with. */
function wordOf(bytes: Uint8Array): string {
  if (bytes.length > nameBytesMax) return `#${hash('sha256', bytes, 'hex')}`
  return `=${Buffer.from(bytes).toString('hex')}`
}

const keyOf = ({ stream, producer, name }: Production): string => `${stream} ${wordOf(producer)} ${wordOf(name)}`

function partsOf(key: string): { stream: StreamId; producer: string | undefined } {
  const [stream, producer] = key.split(' ')
  return { stream: Number(stream), producer }
}
