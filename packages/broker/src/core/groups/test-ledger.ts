import { Reader, Writer } from '@dragoman/wire'
import { machineKinds, type Ledger, type Machine } from '../../cell/machine.ts'
import { MembershipsMachine } from './assigned/machine.ts'
import { GroupsMachine } from './machine.ts'

interface Fact {
  machine: number
  type: number
  payload: Buffer
  seq: number
  timeMs: number
}

/**
 * A ledger on virtual time for tests of the groups: each fact is a block, durable `syncMs` later; a crash loses the blocks
 * that are not durable yet, and all timers.
 */
export class TestLedger implements Ledger {
  readonly epoch = 1
  full = false
  syncMs = 2
  /** Virtual time, for both clocks. */
  now = 1_000_000
  #machines = newMachines()
  #facts: Fact[] = []
  #durableSeq = 0
  #timers: { atMs: number; order: number; run: () => void }[] = []
  #order = 0
  #waiting: { seq: number; run: () => void }[] = []

  readonly clock = {
    nowMs: (): number => this.now,
    monotonicMs: (): number => this.now,
    after: (delayMs: number, run: () => void): (() => void) => {
      const timer = { atMs: this.now + delayMs, order: this.#order++, run }
      this.#timers.push(timer)
      return () => {
        this.#timers = this.#timers.filter(other => other !== timer)
      }
    },
  }

  get lastSeq(): number {
    return this.openSeq - 1
  }
  get openSeq(): number {
    return this.#facts.length + 1
  }

  get facts(): readonly Fact[] {
    return this.#facts
  }

  get timerCount(): number {
    return this.#timers.length
  }

  fact(machine: number, type: number, payload: Uint8Array): number {
    if (this.full) {
      const error = new Error('The disk is full')
      error.name = 'StorageFull'
      throw error
    }
    const fact = { machine, type, payload: Buffer.from(payload), seq: this.openSeq, timeMs: this.now }
    this.#facts.push(fact)
    this.#apply(this.#machines, fact)
    this.clock.after(this.syncMs, () => this.#durable(fact.seq))
    return fact.seq
  }

  #apply(machines: Machines, { machine, type, payload, seq, timeMs }: Fact): void {
    // The machine may keep none of the bytes that it is lent.
    const lent = Buffer.from(payload)
    machines.get(machine)?.apply(type, lent, { seq, timeMs, epoch: this.epoch })
    lent.fill(0xee)
  }

  #durable(seq: number): void {
    this.#durableSeq = Math.max(this.#durableSeq, seq)
    const ready = this.#waiting.filter(waiter => waiter.seq <= this.#durableSeq)
    this.#waiting = this.#waiting.filter(waiter => waiter.seq > this.#durableSeq)
    for (const { run } of ready) run()
  }

  beforeEnd(run: () => void): void {
    run()
  }

  whenDurable<A>(seq: number, run: (argument: A) => void, argument: A): void {
    if (seq <= this.#durableSeq) run(argument)
    else this.#waiting.push({ seq, run: () => run(argument) })
  }

  durable(seq: number): Promise<void> {
    return new Promise(resolve => this.whenDurable(seq, resolve, undefined))
  }

  atomic(run: () => void): number {
    run()
    return this.openSeq - 1
  }

  define(): number {
    throw new Error('Groups define no machines')
  }

  drop(): void {
    throw new Error('Groups drop no machines')
  }

  machine(id: number): Machine | undefined {
    return this.#machines.get(id)
  }

  /** Lets time pass, with all that is due in it. */
  pass(ms: number): void {
    const untilMs = this.now + ms
    for (;;) {
      const due = this.#timers
        .filter(timer => timer.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter(timer => timer !== due)
      this.now = Math.max(this.now, due.atMs)
      due.run()
    }
    this.now = untilMs
  }

  /** The process dies; another one recovers, from a checkpoint in the middle of what was durable. */
  crash(): void {
    this.#timers = []
    this.#waiting = []
    this.#facts.length = this.#durableSeq
    const early = newMachines()
    const half = Math.floor(this.#facts.length / 2)
    for (const fact of this.#facts.slice(0, half)) this.#apply(early, fact)
    this.#machines = newMachines()
    for (const [id, machine] of early) {
      const saved = new Writer()
      machine.save(saved)
      this.#machines.get(id)?.load(new Reader(saved.take()))
    }
    for (const fact of this.#facts.slice(half)) this.#apply(this.#machines, fact)
  }

  /** The state as a checkpoint would hold it. */
  saved(): Buffer {
    return savedOf(this.#machines)
  }

  /** The same state reached by all facts from the beginning. */
  replayed(): Buffer {
    const machines = newMachines()
    for (const fact of this.#facts) this.#apply(machines, fact)
    return savedOf(machines)
  }
}

type Machines = ReadonlyMap<number, Machine>

const newMachines = (): Machines =>
  new Map<number, Machine>([
    [machineKinds.groups, new GroupsMachine()],
    [machineKinds.memberships, new MembershipsMachine()],
  ])

function savedOf(machines: Machines): Buffer {
  const out = new Writer()
  for (const machine of machines.values()) machine.save(out)
  return out.take()
}
