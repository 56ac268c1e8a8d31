import assert from 'node:assert/strict'
import type { StreamId } from '../../cell/client.ts'
import type { Ledger } from '../../cell/machine.ts'
import type { LiveRecords } from '../../cell/options.ts'
import type { TimerWheel } from '../timers/wheel.ts'
import { CellCursor, type CursorHost } from './cell-cursor.ts'
import type { Cursor, CursorId, CursorStore } from './cursor.ts'
import { cursorFacts, factWriter as writer } from './facts.ts'
import { CursorMachine } from './machine.ts'

/** All cursors of a cell that lives in this process. */
export class Cursors implements CursorStore, CursorHost {
  readonly ledger: Ledger
  readonly wheel: TimerWheel
  readonly leaseSkewMs: number
  readonly #open = new Map<CursorId, CellCursor>()
  readonly #owners = new Map<StreamId, Set<CursorId>>()

  constructor(ledger: Ledger, wheel: TimerWheel) {
    this.ledger = ledger
    this.wheel = wheel
    this.leaseSkewMs = ledger.clock.nowMs() - ledger.clock.monotonicMs()
  }

  leaseClockMs(): number {
    return this.ledger.clock.monotonicMs() + this.leaseSkewMs
  }

  create(stream: StreamId, start: number): Cursor {
    const id = this.ledger.define('cursor')
    writer.begin()
    writer.number(stream)
    writer.number(start)
    this.ledger.fact(id, cursorFacts.opened, writer.take())
    const cursor = this.open(id)
    assert(cursor)
    return cursor
  }

  open(id: CursorId): Cursor | undefined {
    const known = this.#open.get(id)
    if (known) return known
    const machine = this.ledger.machine(id)
    if (!(machine instanceof CursorMachine)) return undefined
    const cursor = new CellCursor(id, machine, this)
    this.#open.set(id, cursor)
    cursor.restart()
    return cursor
  }

  remove(id: CursorId): void {
    const machine = this.ledger.machine(id)
    const stream = machine instanceof CursorMachine ? machine.stream : -1
    const owners = this.#owners.get(stream)
    if (owners?.delete(id) === true && owners.size === 0) this.#owners.delete(stream)
    this.#open.get(id)?.removed()
    this.#open.delete(id)
    this.ledger.drop(id)
  }

  own(stream: StreamId, cursor: CursorId): void {
    const owners = this.#owners.get(stream)
    if (owners) owners.add(cursor)
    else this.#owners.set(stream, new Set([cursor]))
  }

  trimPoint(stream: StreamId): number | undefined {
    let lowest: number | undefined
    for (const { floor } of this.#ownersOf(stream)) lowest = Math.min(lowest ?? floor, floor)
    return lowest
  }

  isLive(stream: StreamId, offset: number): boolean {
    let hasOwners = false
    for (const machine of this.#ownersOf(stream)) {
      if (machine.stateOf(offset) !== 'settled') return true
      hasOwners = true
    }
    return !hasOwners
  }

  liveOf(stream: StreamId): LiveRecords | undefined {
    if (!this.#owners.has(stream)) return undefined
    return {
      isLive: offset => this.isLive(stream, offset),
      count: (first, last, max) => {
        let count = 0
        for (const machine of this.#ownersOf(stream)) count += machine.countLive(first, last, max - count)
        return Math.min(count, max, last - first + 1)
      },
    }
  }

  *#ownersOf(stream: StreamId): Generator<CursorMachine> {
    for (const id of this.#owners.get(stream) ?? []) {
      const machine = this.ledger.machine(id)
      if (machine instanceof CursorMachine) yield machine
    }
  }

  close(): void {
    this.wheel.close()
  }
}
