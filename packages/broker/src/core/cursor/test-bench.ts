import assert from 'node:assert/strict'
import { Reader, Writer } from '@dragoman/wire'
import type { FactContext, Ledger, Machine, MachineKind } from '../../cell/machine.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { Cursors } from './cursors.ts'
import { CursorMachine } from './machine.ts'

/** Time that passes when the test says so. */
export class HandClock {
  monotonic = 1_000
  #wakes: { at: number; run: () => void }[] = []

  /** The wall clock runs with the other, from its own beginning. */
  nowMs(): number {
    return this.monotonic + 1_700_000_000_000
  }
  monotonicMs(): number {
    return this.monotonic
  }
  after(delayMs: number, run: () => void): () => void {
    const wake = { at: this.monotonic + delayMs, run }
    this.#wakes.push(wake)
    return () => {
      this.#wakes = this.#wakes.filter(other => other !== wake)
    }
  }
  pass(ms: number): void {
    const end = this.monotonic + ms
    for (;;) {
      const next = this.#wakes.toSorted((a, b) => a.at - b.at)[0]
      if (!next || next.at > end) break
      this.#wakes = this.#wakes.filter(wake => wake !== next)
      this.monotonic = Math.max(this.monotonic, next.at)
      next.run()
    }
    this.monotonic = end
  }
}

/** A ledger of cursors alone: facts take effect at once and are durable at once. Each fact also reaches two shadows of its machine. */
export class CursorLedger implements Ledger {
  readonly epoch = 1
  readonly clock = new HandClock()
  readonly machines = new Map<number, CursorMachine>()
  /** The first has seen all facts; the second was loaded from a checkpoint now and then. */
  readonly shadows = new Map<number, [CursorMachine, CursorMachine]>()
  openSeq = 1
  get lastSeq(): number {
    return this.openSeq - 1
  }
  factBytes = 0
  factCount = 0
  #next = 1024

  fact(machine: number, type: number, payload: Uint8Array): number {
    const target = this.machines.get(machine)
    assert(target, `machine ${machine} does not exist`)
    this.factBytes += payload.length
    this.factCount++
    for (const each of [target, ...(this.shadows.get(machine) ?? [])]) {
      // As in the journal: the bytes lie between others, and are soon overwritten.
      const bytes = Buffer.concat([Buffer.from([255]), payload, Buffer.from([255])])
      each.apply(type, bytes.subarray(1, -1))
      bytes.fill(255)
    }
    return this.openSeq++
  }

  atomic(run: () => void): number {
    run()
    return this.openSeq
  }
  beforeEnd(run: () => void): void {
    run()
  }

  whenDurable<A>(_seq: number, run: (argument: A) => void, argument: A): void {
    run(argument)
  }
  async durable(): Promise<void> {}

  define(kind: MachineKind): number {
    assert.equal(kind, 'cursor')
    const id = this.#next++
    this.machines.set(id, new CursorMachine())
    this.shadows.set(id, [new CursorMachine(), new CursorMachine()])
    return id
  }
  drop(machine: number): void {
    assert(this.machines.delete(machine))
    this.shadows.delete(machine)
  }
  machine(id: number): Machine | undefined {
    return this.machines.get(id)
  }

  /** What a start of the broker does: machines come from what is stored, and nothing else is left. */
  restart(): Cursors {
    for (const [id, [replayed, loaded]] of this.shadows) {
      this.machines.set(id, loaded)
      this.shadows.set(id, [replayed, copyOf(loaded)])
    }
    return this.open()
  }

  open(): Cursors {
    return new Cursors(this, new TimerWheel(this.clock))
  }
}

export function bytesOf(machine: Machine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}

export function copyOf(machine: CursorMachine): CursorMachine {
  const copy = new CursorMachine()
  const from = new Reader(bytesOf(machine))
  copy.load(from)
  from.expectEnd()
  return copy
}

export const noContext: FactContext = { seq: 0, timeMs: 0, epoch: 1 }
