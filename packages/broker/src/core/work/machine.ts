import assert from 'node:assert/strict'
import type { Reader, Writer } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import type { Machine } from '../../cell/machine.ts'
import { lastNotAbove, NumberIndex } from './number-index.ts'
import type { CursorId } from '../cursor/cursor.ts'
import {
  checkVersion,
  factVersion,
  forgotten,
  laneFlags,
  laneOpened,
  noted,
  numbered,
  queueForgotten,
  readFact,
  runsDropped,
  savedHead,
  savedLane,
  savedRun,
  workFacts,
  type NotedFact,
} from './facts.ts'

/** Names a message for as long as the data lives: 1, 2, 3, … over all queues. */
export type MessageNumber = number

/** Where a message is kept that is not simply in its lane. Written to disk as the index: never reorder. */
export const places = [
  /** Taken in its lane's order. */
  'lane',
  /** Held back until it is due; then it is taken by the priority of its note. */
  'waiting',
  /** Put aside until somebody asks for it. */
  'aside',
] as const
export type Place = (typeof places)[number]

/** What is remembered of a message that has a history: that of most is that they wait in their lane. */
export interface Note {
  readonly number: MessageNumber
  readonly lane: LaneState
  readonly offset: number
  priority: number
  place: Place
  /** On the wall clock; 0: at once. */
  dueMs: number
  delayMs: number
  reserves: number
  timeouts: number
  releases: number
  asides: number
  kicks: number
  /** Position in the heap that it is in; -1: in none. Not durable. */
  heapAt: number
}

/** One stream of a queue: messages of one priority, or those that were to wait from the beginning. */
export class LaneState {
  readonly queue: string
  readonly stream: StreamId
  readonly cursor: CursorId
  readonly priority: number
  readonly flags: number
  /** Where numbered messages begin. */
  readonly start: number
  /** All offsets below have numbers. */
  end: number
  /** Runs of messages with consecutive numbers: the first number and the first offset of each. Both ascend. */
  numbers: number[] = []
  offsets: number[] = []
  readonly notes = new Map<number, Note>()
  /** It belongs to no queue any more. */
  isGone = false

  constructor(fact: ReturnType<(typeof laneOpened)['read']>) {
    this.queue = fact.queue
    this.stream = fact.stream
    this.cursor = fact.cursor
    this.priority = fact.priority
    this.flags = fact.flags
    this.start = this.end = fact.start
  }

  get isSide(): boolean {
    return (this.flags & laneFlags.side) !== 0
  }
  get isPassing(): boolean {
    return (this.flags & laneFlags.passing) !== 0
  }

  add(number: MessageNumber, count: number): void {
    const { numbers, offsets, end } = this
    const run = numbers.length - 1
    if (run < 0 || numbers[run]! + (end - offsets[run]!) !== number) {
      numbers.push(number)
      offsets.push(end)
    }
    this.end = end + count
  }

  /** Undefined for an offset without a number. */
  numberOf(offset: number): MessageNumber | undefined {
    const run = lastNotAbove(this.offsets, offset)
    return run < 0 || offset >= this.end ? undefined : this.numbers[run]! + offset - this.offsets[run]!
  }

  offsetOf(number: MessageNumber): number | undefined {
    const run = lastNotAbove(this.numbers, number)
    if (run < 0) return undefined
    const offset = this.offsets[run]! + number - this.numbers[run]!
    return offset < (this.offsets[run + 1] ?? this.end) ? offset : undefined
  }

  /** Runs that lie wholly below the offset. */
  runsBelow(offset: number): number {
    return Math.max(0, lastNotAbove(this.offsets, offset))
  }
}

/**
 * The durable side of work queues: which lanes each has, the numbers of messages, and the notes.
 *
 * Invariants: a stream is the lane of one queue; numbers ascend with the offsets of a lane; a note's offset has a number.
 */
export class WorkMachine implements Machine {
  readonly lanes = new Map<StreamId, LaneState>()
  readonly byQueue = new Map<string, LaneState[]>()
  nextNumber = 1
  readonly #index = new NumberIndex<LaneState>()

  /** Where the message is; undefined when none has the number, or none any more. */
  find(number: MessageNumber): { readonly state: LaneState; readonly offset: number } | undefined {
    const state = number < this.nextNumber ? this.#index.laneOf(number) : undefined
    const offset = state?.isGone === false ? state.offsetOf(number) : undefined
    return state && offset !== undefined ? { state, offset } : undefined
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case workFacts.laneOpened:
        return this.#open(new LaneState(readFact(laneOpened, payload)))
      case workFacts.numbered: {
        const { stream, count } = readFact(numbered, payload)
        const lane = this.#lane(stream)
        lane.add(this.nextNumber, count)
        this.#index.add(this.nextNumber, lane)
        this.nextNumber += count
        return
      }
      case workFacts.noted:
        return this.#note(readFact(noted, payload))
      case workFacts.forgotten: {
        const { stream, offset } = readFact(forgotten, payload)
        this.#lane(stream).notes.delete(offset)
        return
      }
      case workFacts.runsDropped: {
        const { stream, below } = readFact(runsDropped, payload)
        const lane = this.#lane(stream)
        const count = lane.runsBelow(below)
        lane.numbers = lane.numbers.slice(count)
        lane.offsets = lane.offsets.slice(count)
        return
      }
      case workFacts.queueForgotten: {
        const { queue } = readFact(queueForgotten, payload)
        for (const lane of this.byQueue.get(queue) ?? []) {
          lane.isGone = true
          this.lanes.delete(lane.stream)
        }
        this.byQueue.delete(queue)
        return
      }
      default:
        throw new Error(`Work queues have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  #lane(stream: StreamId): LaneState {
    const lane = this.lanes.get(stream)
    assert(lane, `stream ${stream} is no lane`)
    return lane
  }

  #open(lane: LaneState): void {
    this.lanes.set(lane.stream, lane)
    const others = this.byQueue.get(lane.queue)
    if (others) others.push(lane)
    else this.byQueue.set(lane.queue, [lane])
  }

  #note({ stream, offset, place: placeIndex, ...rest }: NotedFact): void {
    const lane = this.#lane(stream)
    const place = places[placeIndex]
    const number = lane.numberOf(offset)
    assert(place !== undefined && number !== undefined, 'a note is of no use')
    const present = lane.notes.get(offset)
    if (present) Object.assign(present, rest, { place })
    else lane.notes.set(offset, { ...rest, number, lane, offset, place, heapAt: -1 })
  }

  save(out: Writer): void {
    out.u8(factVersion)
    savedHead.write(out, { nextNumber: this.nextNumber, lanes: this.lanes.size })
    for (const lane of this.lanes.values()) {
      const { numbers, offsets, notes, end } = lane
      savedLane.write(out, { opened: lane, end, runs: numbers.length, notes: notes.size })
      numbers.forEach((number, index) => savedRun.write(out, { number, offset: offsets[index]! }))
      for (const note of notes.values()) noted.write(out, factOfNote(note))
    }
  }

  load(from: Reader): void {
    checkVersion(from.u8())
    const head = savedHead.read(from)
    this.nextNumber = head.nextNumber
    for (let left = head.lanes; left > 0; left--) {
      const { opened, end, runs, notes } = savedLane.read(from)
      const lane = new LaneState(opened)
      this.#open(lane)
      lane.end = end
      for (let run = 0; run < runs; run++) {
        const { number, offset } = savedRun.read(from)
        lane.numbers.push(number)
        lane.offsets.push(offset)
      }
      for (let note = 0; note < notes; note++) this.#note(noted.read(from))
    }
    this.#index.rebuild(this.lanes.values())
  }
}

export function factOfNote(note: Note): NotedFact {
  const { lane, offset, priority, place, dueMs, delayMs, reserves, timeouts, releases, asides, kicks } = note
  const counts = { reserves, timeouts, releases, asides, kicks }
  return { stream: lane.stream, offset, priority, place: places.indexOf(place), dueMs, delayMs, ...counts }
}
