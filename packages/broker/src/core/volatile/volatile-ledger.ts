import assert from 'node:assert/strict'
import type { Ledger, Machine, MachineKind } from '../../cell/machine.ts'
import { CursorMachine } from '../cursor/machine.ts'
import type { VolatileStreams } from './volatile-streams.ts'

/** Ids of what is durable have 32 bits: those of what is not begin above them. */
const firstId = 2 ** 32

/**
 * The ledger of what is not durable: a fact takes effect, is written nowhere and needs no waiting for. So the machines and deciders of what
 * is durable serve what is not, and a restart leaves nothing of it.
 */
export class VolatileLedger implements Ledger {
  readonly epoch = 0
  /** Durable for ever. */
  readonly openSeq = -1
  readonly lastSeq = -1
  readonly clock: Ledger['clock']
  readonly #streams: VolatileStreams
  readonly #cursors = new Map<number, CursorMachine>()
  #nextId = firstId

  constructor(clock: Ledger['clock'], streams: VolatileStreams) {
    this.clock = clock
    this.#streams = streams
  }

  fact(machine: number, type: number, payload: Buffer): number {
    const target = this.#cursors.get(machine)
    assert(target, `machine ${machine} does not exist`)
    target.apply(type, payload)
    return this.openSeq
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
    const id = this.#nextId++
    if (kind === 'stream') this.#streams.add(id)
    else {
      assert(kind === 'cursor', `nothing of the kind ${kind} can do without being durable`)
      this.#cursors.set(id, new CursorMachine())
    }
    return id
  }

  drop(machine: number): void {
    if (!this.#cursors.delete(machine)) this.#streams.remove(machine)
  }

  machine(id: number): Machine | undefined {
    return this.#cursors.get(id)
  }
}
