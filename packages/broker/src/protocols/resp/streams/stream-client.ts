import type { ConsumerState } from '../../../core/entry-streams/machine.ts'
import { hasName, nameOfKey } from '../../../core/values/keys.ts'
import type { EntryId } from '../../../core/entry-streams/entry-id.ts'
import type { EntryGroup } from '../../../core/entry-streams/entry-group.ts'
import type { EntryReader, EntryVisitor } from '../../../core/entry-streams/entry-reader.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import { NotLoaded } from '../../../core/lists/elements.ts'
import type { Client } from '../commands/command.ts'
import { CommandError, wrongType } from '../errors.ts'
import { bytesOf, copyOf, toldEntry, writeEntry, type ToldEntry } from './fields.ts'
import { idText } from './ids.ts'

/** An answer is not made longer than this: fewer entries are told where that is allowed, else there is an error. */
const answerBytesMax = 512 * 1024 * 1024
export const someBytesMax = 64 * 1024 * 1024

/** The stream that a key names; undefined when there is none. Throws `CommandError` when it is something else. */
export function streamAt({ broker, namespace, keys }: Client, key: string): EntryStream | undefined {
  broker.values.touch(namespace, key)
  const stream = hasName(key) ? broker.entryStreams.get(namespace, nameOfKey(key)) : undefined
  if (stream) return stream
  if (keys.typeOf(key)) throw wrongType()
  return undefined
}

/** The same; it is made when there is none. */
export function streamFor(client: Client, key: string): EntryStream {
  const { broker, namespace, keys } = client
  const known = streamAt(client, key)
  if (known) return known
  const name = keys.nameFor(key)
  keys.demandTopic(key)
  keys.discard(key)
  const made = broker.entryStreams.open(namespace, name)
  keys.appeared(key)
  return made
}

/** Commands whose work is under way, or was done while they waited. */
const works = new WeakMap<object, Promise<void> | { value: unknown } | { error: unknown }>()

/** Whether the work of a command has begun, and it waits. */
export const isAtWork = (owner: object): boolean => works.get(owner) instanceof Promise

/**
 * What `work` gives: at once, or when the command is called again. It is called once for each time that a command is sent, must change
 * nothing before it has waited for the last time, and is the only one of its owner: the connection, or a command that it does not wait for.
 */
export function worked<T>(owner: object, work: () => T | Promise<T>): T {
  const kept = works.get(owner)
  if (kept instanceof Promise) throw new NotLoaded(tell => void kept.then(tell))
  if (kept) {
    works.delete(owner)
    if ('error' in kept) throw kept.error
    return kept.value as T
  }
  const result = work()
  if (!(result instanceof Promise)) return result
  const settled = result.then(
    value => void works.set(owner, { value }),
    (error: unknown) => void works.set(owner, { error }),
  )
  works.set(owner, settled)
  throw new NotLoaded(tell => void settled.then(tell))
}

/** The command is over: what was done for it and it had no use for, because its stream had gone meanwhile, is not for the next one. */
export function dropWork(owner: object): void {
  const kept = works.get(owner)
  if (!kept || kept instanceof Promise) return
  works.delete(owner)
  if ('value' in kept && kept.value instanceof Gathering) kept.value.done()
}

/** For each connection, the block of what it added last. */
const added = new WeakMap<Client, number>()

export function noteAdded(client: Client): void {
  added.set(client, client.broker.ledger.lastSeq)
}

/** Who has added an entry reads it, though it is not durable yet: reading waits until it is. */
export function afterOwn(client: Client): void {
  const { ledger, cell } = client.broker
  const seq = added.get(client)
  if (seq === undefined || client.isExecuting) return
  if (seq > cell.position) throw new NotLoaded(tell => ledger.whenDurable(seq, tell, undefined))
  added.delete(client)
}

/** Takes entries for an answer. Their bytes are those of the stream until `done`, which has to follow when they are written. */
export class Gathering {
  readonly entries: ToldEntry[] = []
  readonly reader: EntryReader
  readonly #client: Client
  readonly #countMax: number
  readonly #bytesMax: number
  #bytes = 0

  /** `bytesMax`: it stops there; else what is too much is an error. */
  constructor(client: Client, stream: EntryStream, countMax: number, bytesMax = Infinity) {
    this.#client = client
    this.reader = stream.reader()
    this.#countMax = countMax
    this.#bytesMax = bytesMax
  }

  readonly visit: EntryVisitor = ({ id, record }) => {
    const entry = toldEntry(idText(id), record, this.#client.broker.origins)
    this.entries.push(entry)
    this.#bytes += bytesOf(entry)
    if (this.#bytes > answerBytesMax) throw new CommandError('ERR the answer would be too long, use COUNT')
    return this.entries.length < this.#countMax && this.#bytes < this.#bytesMax
  }

  write(): void {
    const { reply } = this.#client
    reply.array(this.entries.length)
    for (const entry of this.entries) writeEntry(reply, entry)
    this.done()
  }

  /** The first of them, with bytes of its own. */
  only(): ToldEntry | undefined {
    const [entry] = this.entries
    const own = entry && copyOf(entry)
    this.done()
    return own
  }

  done(): void {
    this.reader.clear()
  }
}

/** Entries from one id to another, at the most `countMax`. */
export function gather(
  client: Client,
  stream: EntryStream,
  { from, to, countMax, isBack = false }: { from: EntryId; to: EntryId; countMax: number; isBack?: boolean },
): Gathering | Promise<Gathering> {
  const gathering = new Gathering(client, stream, countMax)
  const { visit, reader } = gathering
  const later = isBack ? stream.rangeBack(from, to, visit, reader) : stream.range(from, to, visit, reader)
  return later ? later.then(() => gathering) : gathering
}

export const noGroup = (key: string, group: string): CommandError =>
  new CommandError(`NOGROUP No such key '${shown(key)}' or consumer group '${shown(group)}'`)

/** Bytes as text for people. */
export const shown = (latin1: string): string => Buffer.from(latin1, 'latin1').toString()

/** Throws `CommandError` when there is no such group. */
export function groupAt(client: Client, key: string, name: string): { stream: EntryStream; group: EntryGroup } {
  const stream = streamAt(client, key)
  const group = stream?.group(name)
  if (!stream || !group) throw noGroup(key, name)
  return { stream, group }
}

/** The consumer of that name, which is made when it is not there; undefined when there are too many. */
export function consumerOf(client: Client, key: string, group: EntryGroup, name: string): ConsumerState | undefined {
  const known = group.consumer(name)
  if (known) return known
  const made = group.createConsumer(name)
  if (made) client.keys.changed(key, 't', 'xgroup-createconsumer')
  return made
}
