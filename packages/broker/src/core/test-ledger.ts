import assert from 'node:assert/strict'
import { machineKinds, type Ledger, type Machine, type MachineKind } from '../cell/machine.ts'
import { DirectoryMachine } from './directory.ts'

export interface Fact {
  machine: number
  type: number
  payload: Buffer
}

/** A ledger of the directory alone, for tests: blocks become durable in the next turn, or when the test says so. */
export class TestLedger implements Ledger {
  readonly epoch = 1
  readonly clock = { nowMs: () => 0, monotonicMs: () => 0, after: () => () => {} }
  readonly facts: Fact[] = []
  readonly defined: number[] = []
  readonly dropped: number[] = []
  readonly blocks: number[] = []
  openSeq = 1
  get lastSeq(): number {
    return this.openSeq
  }
  automatic = true
  readonly #directory: DirectoryMachine
  #durableSeq = 0
  #waiting: { seq: number; run: () => void }[] = []
  #nextStream = 1024

  constructor(directory = new DirectoryMachine()) {
    this.#directory = directory
  }

  fact(machine: number, type: number, payload: Uint8Array): number {
    assert.equal(machine, machineKinds.directory)
    const kept = Buffer.from(payload)
    this.facts.push({ machine, type, payload: kept })
    this.#directory.apply(type, Buffer.from(payload))
    this.blocks.push(this.openSeq)
    return this.openSeq
  }

  atomic(run: () => void): number {
    run()
    return this.openSeq
  }

  beforeEnd(run: () => void): void {
    run()
  }

  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void {
    if (seq <= this.#durableSeq) return run(argument)
    this.#waiting.push({ seq, run: () => run(argument) })
    if (this.automatic) void Promise.resolve().then(() => this.flush())
  }

  durable(seq: number): Promise<void> {
    return new Promise(resolve => this.whenDurable(seq, resolve, undefined))
  }

  flush(): void {
    this.#durableSeq = this.openSeq++
    const due = this.#waiting.filter(({ seq }) => seq <= this.#durableSeq)
    this.#waiting = this.#waiting.filter(({ seq }) => seq > this.#durableSeq)
    for (const { run } of due) run()
  }

  define(kind: MachineKind): number {
    assert.equal(kind, 'stream')
    this.defined.push(this.#nextStream)
    return this.#nextStream++
  }

  drop(machine: number): void {
    this.dropped.push(machine)
  }

  machine(id: number): Machine | undefined {
    return id === machineKinds.directory ? this.#directory : undefined
  }
}
