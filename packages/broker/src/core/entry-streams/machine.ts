import assert from 'node:assert/strict'
import { Reader, type Writer } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import type { FactContext, Machine } from '../../cell/machine.ts'
import { compareIds, idAfter, idMin, readId, writeId, type EntryId } from './entry-id.ts'
import { EntryIndex } from './entry-index.ts'
import { entryFacts, EntryLister, readIdAfter, readName, writeName } from './facts.ts'
import { PendingList, type HolderId } from './pending.ts'
import { RemovedOffsets } from './removed.ts'

const stateVersion = 1

/** One of those among whom a group shares out a stream. */
export class ConsumerState {
  readonly id: HolderId
  readonly name: string
  /** When it was heard of last, by what is written of it. */
  seenMs: number
  /** When it was given anything last; -1: never. */
  activeMs = -1
  /** Entries that it holds. */
  pendingCount = 0

  constructor(id: HolderId, name: string, seenMs: number) {
    this.id = id
    this.name = name
    this.seenMs = seenMs
  }
}

/** How far a group has come in a stream, and who of it has which entry. */
export class GroupState {
  readonly id: number
  readonly name: string
  lastId: EntryId = idMin
  /** No entry below has an id above `lastId`. */
  next = 0
  /** How many entries were read; -1: that is not known. */
  entriesRead = -1
  readonly consumers = new Map<HolderId, ConsumerState>()
  readonly byName = new Map<string, ConsumerState>()
  readonly pending = new PendingList()
  nextConsumer = 1

  constructor(id: number, name: string) {
    this.id = id
    this.name = name
  }

  add(consumer: ConsumerState): void {
    this.consumers.set(consumer.id, consumer)
    this.byName.set(consumer.name, consumer)
    this.nextConsumer = Math.max(this.nextConsumer, consumer.id + 1)
  }
}

/**
 * A stream whose records are entries with ids.
 *
 * Invariants: `first` is an entry that is left, or `end`; what lies in [first, end) and not in `removed` is an entry; ids ascend with offsets; no entry has an
 * id above `lastId`.
 */
export class EntryStreamState {
  readonly stream: StreamId
  first: number
  /** Records below have ids. */
  end: number
  lastId: EntryId = idMin
  maxRemoved: EntryId = idMin
  /** How many were ever added. */
  added = 0
  /** The newest entry brought no id. */
  endsInRun = false
  readonly index = new EntryIndex()
  readonly removed = new RemovedOffsets()
  readonly groups = new Map<number, GroupState>()
  readonly byName = new Map<string, GroupState>()
  nextGroup = 1

  constructor(stream: StreamId, first: number) {
    this.stream = stream
    this.first = this.end = first
  }

  get length(): number {
    return this.end - this.first - this.removed.size
  }

  /** Everything below is gone. */
  advance(offset: number): void {
    let first = Math.min(Math.max(offset, this.first), this.end)
    while (first < this.end && this.removed.has(first)) first++
    if (first === this.first) return
    this.first = first
    this.removed.dropBelow(first)
    this.index.dropBelow(first)
  }

  group(id: number): GroupState {
    const group = this.groups.get(id)
    assert(group, `there is no group ${id}`)
    return group
  }

  addGroup(group: GroupState): void {
    this.groups.set(group.id, group)
    this.byName.set(group.name, group)
    this.nextGroup = Math.max(this.nextGroup, group.id + 1)
  }
}

/** What is durable of all streams of entries. */
export class EntryStreamsMachine implements Machine {
  readonly streams = new Map<StreamId, EntryStreamState>()

  apply(type: number, payload: Buffer, at: FactContext): void {
    const from = new Reader(payload)
    const stream = from.uvarint()
    if (type === entryFacts.opened) {
      const state = new EntryStreamState(stream, from.varlong())
      state.lastId = readId(from)
      this.streams.set(stream, state)
      return
    }
    const state = this.streams.get(stream)
    assert(state, `stream ${stream} is none of entries`)
    if (type === entryFacts.added) add(state, from)
    else if (type === entryFacts.forgotten) this.streams.delete(stream)
    else if (type < entryFacts.groupCreated) changeEntries(state, type, from)
    else changeGroup(state, type, from, at)
  }

  save(out: Writer): void {
    out.u8(stateVersion)
    out.u32(this.streams.size)
    for (const state of this.streams.values()) saveStream(out, state)
  }

  load(from: Reader): void {
    const version = from.u8()
    if (version !== stateVersion) throw new Error(`Streams of entries cannot be read in version ${version}`)
    for (let left = from.u32(); left > 0; left--) {
      const state = loadStream(from)
      this.streams.set(state.stream, state)
    }
  }
}

function add(state: EntryStreamState, from: Reader): void {
  const id = readIdAfter(from, state.lastId.ms, state.lastId.seq)
  state.index.noteOwn(state.end, id.ms, id.seq)
  state.end++
  state.added++
  state.lastId = id
  state.endsInRun = false
}

function changeEntries(state: EntryStreamState, type: number, from: Reader): void {
  switch (type) {
    case entryFacts.adopted:
      return adopt(state, from.varlong(), readId(from))
    case entryFacts.removed: {
      const greatest = readId(from)
      if (compareIds(greatest, state.maxRemoved) > 0) state.maxRemoved = greatest
      for (let offset = 0; from.remaining > 0;) {
        offset += from.varlong()
        if (offset >= state.first && offset < state.end) state.removed.add(offset)
      }
      return state.advance(state.first)
    }
    case entryFacts.trimmed:
      return state.advance(from.varlong())
    case entryFacts.idSet: {
      state.lastId = readId(from)
      const added = from.varlong()
      if (added >= 0) state.added = added
      state.maxRemoved = readId(from)
      state.endsInRun = false
      state.index.dropAbove(state.lastId)
      for (const group of state.groups.values()) releaseAbove(group, state.lastId)
      return
    }
    default:
      throw new Error(`Streams of entries have no facts of type ${type}: this data was written by a newer broker`)
  }
}

function adopt(state: EntryStreamState, count: number, id: EntryId): void {
  const next = idAfter(state.lastId)
  const isContinued = state.endsInRun && next !== undefined && compareIds(next, id) === 0
  state.index.noteRun(state.end, id, isContinued)
  state.end += count
  state.added += count
  state.lastId = idAfter(id, count - 1)!
  state.endsInRun = true
}

function changeGroup(state: EntryStreamState, type: number, from: Reader, { timeMs }: FactContext): void {
  const id = from.uvarint()
  if (type === entryFacts.groupCreated) {
    const position = readPosition(from)
    return state.addGroup(Object.assign(new GroupState(id, readName(from)), position))
  }
  const group = state.group(id)
  switch (type) {
    case entryFacts.groupSet:
      Object.assign(group, readPosition(from))
      return
    case entryFacts.groupRemoved:
      state.groups.delete(id)
      state.byName.delete(group.name)
      return
    case entryFacts.acked: {
      for (let offset = 0; from.remaining > 0;) {
        offset += from.varlong()
        release(group, offset)
      }
      return
    }
    case entryFacts.consumerCreated: {
      const consumer = from.uvarint()
      return group.add(new ConsumerState(consumer, readName(from), timeMs))
    }
    default:
      changeConsumer(group, type, from, timeMs)
  }
}

function changeConsumer(group: GroupState, type: number, from: Reader, timeMs: number): void {
  const consumer = group.consumers.get(from.uvarint())
  assert(consumer, 'there is no such consumer')
  switch (type) {
    case entryFacts.consumerRemoved: {
      for (const { offset } of [...group.pending.from(undefined, consumer.id)]) release(group, offset)
      group.consumers.delete(consumer.id)
      group.byName.delete(consumer.name)
      return
    }
    case entryFacts.delivered: {
      Object.assign(group, readPosition(from))
      consumer.seenMs = consumer.activeMs = timeMs
      const lister = new EntryLister()
      while (from.remaining > 0) {
        lister.read(from)
        hold(group, consumer, lister, timeMs, 1)
      }
      return
    }
    case entryFacts.claimed: {
      consumer.seenMs = consumer.activeMs = timeMs
      const deliveredMs = from.varlong()
      const lister = new EntryLister()
      while (from.remaining > 0) {
        lister.read(from)
        hold(group, consumer, lister, deliveredMs, from.uvarint())
      }
      return
    }
    default:
      throw new Error(`Groups of entries have no facts of type ${type}: this data was written by a newer broker`)
  }
}

/** An entry is the consumer's from now on, whoever has had it. */
function hold(
  { pending, consumers }: GroupState,
  consumer: ConsumerState,
  { offset, ms, seq }: EntryLister,
  timeMs: number,
  count: number,
): void {
  if (!pending.isBehind(offset) && pending.find(offset)) {
    const before = consumers.get(pending.row.holder)
    if (before) before.pendingCount--
  }
  pending.set({ offset, ms, seq, holder: consumer.id, timeMs, count })
  consumer.pendingCount++
}

function release(group: GroupState, offset: number): void {
  if (group.pending.find(offset)) group.consumers.get(group.pending.remove())!.pendingCount--
}

/** Entries with these ids are gone, and others may come that have them: nobody holds them any more. */
function releaseAbove(group: GroupState, id: EntryId): void {
  const above = idAfter(id)
  if (above) for (const { offset } of [...group.pending.from(above)]) release(group, offset)
}

/** Where a group stands. */
export interface GroupPosition {
  lastId: EntryId
  next: number
  entriesRead: number
}

export function writePosition(out: Writer, { lastId, next, entriesRead }: GroupPosition): void {
  writeId(out, lastId)
  out.varlong(next)
  out.varlong(entriesRead)
}

function readPosition(from: Reader): GroupPosition {
  const lastId = readId(from)
  const next = from.varlong()
  return { lastId, next, entriesRead: from.varlong() }
}

function saveStream(out: Writer, state: EntryStreamState): void {
  out.uvarint(state.stream)
  out.varlong(state.first)
  out.varlong(state.end)
  writeId(out, state.lastId)
  writeId(out, state.maxRemoved)
  out.varlong(state.added)
  out.bool(state.endsInRun)
  state.index.save(out)
  state.removed.save(out)
  out.u32(state.nextGroup)
  out.u32(state.groups.size)
  for (const group of state.groups.values()) saveGroup(out, group)
}

function saveGroup(out: Writer, group: GroupState): void {
  out.u32(group.id)
  writeName(out, group.name)
  writePosition(out, group)
  out.u32(group.nextConsumer)
  out.u32(group.consumers.size)
  for (const { id, name, seenMs, activeMs } of group.consumers.values()) {
    out.u32(id)
    writeName(out, name)
    out.varlong(seenMs)
    out.varlong(activeMs)
  }
  group.pending.save(out)
}

function loadStream(from: Reader): EntryStreamState {
  const state = new EntryStreamState(from.uvarint(), from.varlong())
  state.end = from.varlong()
  state.lastId = readId(from)
  state.maxRemoved = readId(from)
  state.added = from.varlong()
  state.endsInRun = from.bool()
  state.index.load(from)
  state.removed.load(from)
  const nextGroup = from.u32()
  for (let left = from.u32(); left > 0; left--) state.addGroup(loadGroup(from))
  state.nextGroup = nextGroup
  return state
}

function loadGroup(from: Reader): GroupState {
  const group = new GroupState(from.u32(), readName(from))
  Object.assign(group, readPosition(from))
  const nextConsumer = from.u32()
  for (let left = from.u32(); left > 0; left--) {
    const consumer = new ConsumerState(from.u32(), readName(from), from.varlong())
    consumer.activeMs = from.varlong()
    group.add(consumer)
  }
  group.nextConsumer = nextConsumer
  group.pending.load(from)
  for (const { holder } of group.pending.from(undefined)) group.consumers.get(holder)!.pendingCount++
  return group
}
