import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import { hasName, keyOfName, nameOfKey } from '../../core/values/keys.ts'
import { NotLoaded } from '../../core/lists/elements.ts'
import type { List } from '../../core/lists/list.ts'
import { unlessFenced } from '../../core/refusals.ts'
import { CommandError, wrongType } from './errors.ts'
import { Events } from './events.ts'
import type { Waiter } from './waiting.ts'

/** A kind of value that keys may have. */
export interface KeyType {
  /** As `TYPE` tells it. */
  readonly name: string
  has(key: string): boolean
  /** Removes the value. Whether there was one. */
  remove(key: string): boolean
  keys(): Iterable<string>
  /** As `OBJECT ENCODING` tells it. */
  encodingOf(key: string): string
  /** Throws `CommandError` when no value of this kind can have the key, whatever it names now. */
  demand?(key: string): void
  /** Gives the value another key, which has none; throws `NotLoaded` or `CommandError`, with nothing changed. */
  rename?(from: string, to: string): void
  /** The same, and the first key keeps it. */
  copy?(from: string, to: string): void
  /** Whether it was made by a client of this protocol; absent: all are. */
  isOwn?(key: string): boolean
  /** Changes when the value does, by whatever protocol. */
  version?(key: string): string
  /** Calls `tell` in a later turn when there may be more for who waits, until the returned function is called. */
  await?(key: string, tell: () => void): () => void
}

/**
 * All keys and their values, whatever they are: strings are single values, lists are queues, streams are topics. Keys are any bytes, a character for
 * each; those of lists and streams must be names.
 */
export class Keyspace {
  readonly namespace = homeNamespace
  readonly types: KeyType[] = []
  readonly events: Events
  readonly #broker: Broker
  readonly #waiters = new Map<string, Set<Waiter>>()
  readonly #unwatch = new Map<string, (() => void)[]>()
  readonly #ready = new Set<string>()
  readonly #watched = new Map<string, Set<() => void>>()
  #isServing = false

  constructor(broker: Broker) {
    this.#broker = broker
    this.events = new Events(broker, this.namespace)
    this.types.push(this.#strings(), this.#lists())
    broker.values.beforeExpire((namespace, key) => {
      if (namespace === this.namespace) this.changed(key, 'x', 'expired')
    })
  }

  // Values

  /** What the key names; undefined: nothing. */
  typeOf(key: string): KeyType | undefined {
    this.#broker.values.touch(this.namespace, key)
    return this.types.find(type => type.has(key))
  }

  /** Removes whatever the key names. */
  remove(key: string): boolean {
    const type = this.typeOf(key)
    if (!type) return false
    type.remove(key)
    // When it would have ended.
    this.#broker.values.remove(this.namespace, key)
    return true
  }

  *keys(): Generator<string> {
    for (const type of this.types) yield* type.keys()
  }

  /** Undefined when there is no such key. Throws `CommandError` when it is something else. */
  string(key: string): Buffer | undefined {
    const { values } = this.#broker
    values.touch(this.namespace, key)
    const value = values.get(this.namespace, key)
    if (!value && this.typeOf(key)) throw wrongType()
    return value
  }

  /**
   * Whatever the key names is replaced. `expiresMs` undefined: for ever. `isTold`: who wants to know of new keys is told. Throws `CommandError` or
   * `BrokerError`, with nothing changed.
   */
  setString(key: string, value: Uint8Array, expiresMs?: number, isTold = true): void {
    const { values, ledger } = this.#broker
    if (values.get(this.namespace, key)) return values.set(this.namespace, key, value, expiresMs)
    this.#demandQueue(key, list => list.isMade)
    values.demandRoom(this.namespace, key, value.length)
    const isNew = !this.typeOf(key)
    const set = (): void => {
      if (!isNew) this.remove(key)
      this.discard(key)
      values.set(this.namespace, key, value, expiresMs)
    }
    if (isNew) set()
    else ledger.atomic(set)
    if (isNew && isTold) this.appeared(key)
  }

  /** An empty queue that only lists have used gives its name up. */
  discard(key: string): void {
    const { lists } = this.#broker
    const list = lists.find(this.namespace, nameOfKey(key))
    if (list) lists.discard(list)
  }

  /** Throws `CommandError` when the key can be that of no stream, whatever it names now: its queue is not that of a list alone, or somebody uses it. */
  demandTopic(key: string): void {
    this.#demandQueue(key, list => this.#broker.lists.mayDiscard(list))
  }

  #demandQueue(key: string, gives: (list: List) => boolean): void {
    const { queues, lists } = this.#broker
    const name = nameOfKey(key)
    if (!queues.get(this.namespace, name)) return
    const list = lists.find(this.namespace, name)
    if (!list || !gives(list)) throw wrongType()
  }

  /** The list, if it holds anything. Throws `CommandError` when the key is something else. */
  list(key: string): List | undefined {
    const { values, lists } = this.#broker
    values.touch(this.namespace, key)
    const list = lists.get(this.namespace, nameOfKey(key))
    if (list && list.length > 0) return list
    if (values.get(this.namespace, key) || this.typeOf(key)) throw wrongType()
    return undefined
  }

  /** The list, which is made when it is not there. Something has to be pushed to it then. */
  listForPush(key: string): List {
    const list = this.list(key)
    if (list) return list
    const made = this.#broker.lists.use(this.namespace, this.nameFor(key))
    this.appeared(key)
    return made
  }

  /** It was looked for, to tell of it, and is not there. */
  missed(key: string): void {
    if (this.events.tellsMisses) this.events.tell('m', 'keymiss', key)
  }

  /** There was no such key. */
  appeared(key: string): void {
    if (this.events.isOn) this.events.tell('n', 'new', key)
  }

  /** Something was taken out of the list: its key goes with its last element. */
  taken(key: string, list: List): void {
    if (list.length > 0) return
    this.#broker.values.remove(this.namespace, key)
    this.#broker.lists.emptied(list)
    this.changed(key, 'g', 'del')
  }

  /** What queues and topics are called by that key. Throws `CommandError` when there can be none. */
  nameFor(key: string): string {
    if (!hasName(key)) throw new CommandError('ERR keys of lists and streams must be UTF-8')
    return nameOfKey(key)
  }

  // Changes

  /** `event` is told to those who want to know; transactions that watch the key fail. */
  changed(key: string, kind: string, event: string): void {
    const watching = this.#watched.size > 0 ? this.#watched.get(key) : undefined
    if (watching) for (const run of watching) run()
    if (this.events.isOn) this.events.tell(kind, event, key)
  }

  /** There may be something for who waits for the key: they are served when `serve` is called. */
  grown(key: string): void {
    if (this.#waiters.size > 0 && this.#waiters.has(key)) this.#ready.add(key)
  }

  /** Calls `run` when the key is changed here, until the returned function is called. */
  watch(key: string, run: () => void): () => void {
    const known = this.#watched.get(key)
    if (known) known.add(run)
    else this.#watched.set(key, new Set([run]))
    return () => {
      const runs = this.#watched.get(key)
      if (runs?.delete(run) === true && runs.size === 0) this.#watched.delete(key)
    }
  }

  /** Everybody who watches a key is told. */
  changedAll(): void {
    for (const runs of this.#watched.values()) for (const run of runs) run()
  }

  /** Changes when the value of the key does, by whatever protocol. */
  versionOf(key: string): string {
    const type = this.typeOf(key)
    return type ? `${type.name} ${type.version?.(key) ?? ''}` : ''
  }

  // Waiting

  get waitingCount(): number {
    let count = 0
    for (const waiters of this.#waiters.values()) count += waiters.size
    return count
  }

  /** How many keys somebody waits for; `isThere`: those that have to be there. */
  waitedCount(isThere = false): number {
    if (!isThere) return this.#waiters.size
    const holds = (waiters: Set<Waiter>): boolean => [...waiters].some(({ wait }) => wait.needsKey === true)
    return [...this.#waiters.values()].filter(holds).length
  }

  await(waiter: Waiter): void {
    for (const key of waiter.wait.keys) {
      const known = this.#waiters.get(key)
      if (known) known.add(waiter)
      else {
        this.#waiters.set(key, new Set([waiter]))
        const tell = (): void => {
          this.grown(key)
          this.serve()
        }
        this.#unwatch.set(
          key,
          this.types.flatMap(type => type.await?.(key, tell) ?? []),
        )
      }
    }
  }

  forget(waiter: Waiter): void {
    for (const key of waiter.wait.keys) {
      const waiters = this.#waiters.get(key)
      if (waiters?.delete(waiter) !== true || waiters.size > 0) continue
      this.#waiters.delete(key)
      for (const run of this.#unwatch.get(key) ?? []) run()
      this.#unwatch.delete(key)
    }
  }

  /** Serves those who wait for keys that have grown: for each key, who came first. */
  serve(): void {
    if (this.#isServing || this.#ready.size === 0) return
    this.#isServing = true
    try {
      unlessFenced(() => {
        for (const key of this.#ready) {
          this.#ready.delete(key)
          this.#serveKey(key)
        }
      })
    } finally {
      this.#isServing = false
    }
  }

  #serveKey(key: string): void {
    for (const waiter of [...(this.#waiters.get(key) ?? [])]) {
      // It may have gone while others were served.
      if (this.#waiters.get(key)?.has(waiter) !== true) continue
      try {
        if (waiter.wait.serve(key)) waiter.served()
      } catch (error) {
        if (!(error instanceof NotLoaded)) {
          waiter.refused(error)
          continue
        }
        error.load(() => {
          this.grown(key)
          this.serve()
        })
        return
      }
    }
  }

  // Kinds

  #strings(): KeyType {
    const { values } = this.#broker
    const { namespace } = this
    return {
      name: 'string',
      has: key => values.get(namespace, key) !== undefined,
      remove: key => values.remove(namespace, key),
      keys: () => values.keys(namespace),
      encodingOf: key => encodingOf(values.get(namespace, key)),
      demand: key => this.#demandQueue(key, list => list.isMade),
      rename: (from, to) => {
        const value = values.get(namespace, from)
        const expiresMs = values.expiryOf(namespace, from)
        values.remove(namespace, from)
        if (value) this.setString(to, value, expiresMs, false)
      },
      copy: (from, to) => {
        const value = values.get(namespace, from)
        if (value) this.setString(to, value, values.expiryOf(namespace, from), false)
      },
    }
  }

  #lists(): KeyType {
    const { lists } = this.#broker
    const { namespace } = this
    const find = (key: string): List | undefined => (hasName(key) ? lists.find(namespace, nameOfKey(key)) : undefined)
    const copy = (from: string, to: string): List | undefined => {
      const list = find(from)
      if (!list) return undefined
      const values = list.valuesOf(list.offsets('left', list.length))
      lists.use(namespace, this.nameFor(to)).push('right', values)
      return list
    }
    const keys = function* (): Generator<string> {
      for (const name of lists.names(namespace)) yield keyOfName(name)
    }
    return {
      name: 'list',
      has: key => (find(key)?.length ?? 0) > 0,
      remove: key => {
        const list = find(key)
        if (list) lists.clear(list)
        return list !== undefined
      },
      keys,
      encodingOf: key => ((find(key)?.length ?? 0) > 128 ? 'quicklist' : 'listpack'),
      rename: (from, to) => {
        const list = copy(from, to)
        if (list) lists.clear(list)
      },
      copy,
      isOwn: key => find(key)?.isMade === true,
      version: key => find(key)?.version ?? '',
      await: (key, tell) => lists.await(namespace, nameOfKey(key), tell),
    }
  }
}

function encodingOf(value: Buffer | undefined): string {
  if (value && /^-?[1-9]\d{0,18}$|^0$/.test(value.toString('latin1', 0, 21)) && value.length < 20) return 'int'
  return (value?.length ?? 0) <= 44 ? 'embstr' : 'raw'
}
