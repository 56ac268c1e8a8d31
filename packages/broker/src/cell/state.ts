import { Reader } from '@dragoman/wire'
import type { Writer } from '@dragoman/wire'
import { blockHeaderBytes, factHeaderBytes } from '../storage/block.ts'
import type { Block } from '../storage/block.ts'
import { Corrupt } from '../storage/errors.ts'
import { Slab } from '../storage/slab.ts'
import { existsOnce, machineKinds } from './machine.ts'
import type { Machine, MachineKind } from './machine.ts'
import { Stream } from './stream.ts'
import type { StreamFactContext } from './stream.ts'

/** Makes an empty machine of each kind but the streams. Those that exist once are made at the beginning, the others as they are defined. */
export type MachineFactories = Partial<Record<MachineKind, () => Machine>>

/** Facts of the cell itself (machine 0): a machine made or removed, or just a block to hang a checkpoint on. Written to disk: never renumber. */
export const cellFacts = { define: 1, drop: 2, mark: 3 } as const
export const cellMachine = 0
const firstMachine = 1024
const stateVersion = 1

/**
 * All machines of a cell, and how facts reach them. Deterministic: the state after the same facts is the same, whether they
 * were decided here or replayed.
 */
export class CellState {
  readonly streams = new Map<number, Stream>()
  readonly #others = new Map<number, Machine>()
  /** Of the others, those that may exist many times: their kinds. */
  readonly #kinds = new Map<number, number>()
  readonly #factories: MachineFactories
  #nextMachine = firstMachine
  /** Numbers of all fence blocks: they are never deleted. */
  fences: number[] = []

  constructor(factories: MachineFactories) {
    this.#factories = factories
    for (const kind of Object.keys(factories) as MachineKind[]) {
      if (existsOnce(machineKinds[kind])) this.#others.set(machineKinds[kind], factories[kind]!())
    }
  }

  get nextMachine(): number {
    return this.#nextMachine
  }

  machine(id: number): Machine | undefined {
    return this.streams.get(id) ?? this.#others.get(id)
  }

  apply(type: number, machine: number, payload: Buffer, at: StreamFactContext): void {
    if (machine === cellMachine) return this.#applyOwn(type, payload)
    const target = this.streams.get(machine) ?? this.#others.get(machine)
    if (!target) throw new Corrupt(`Block ${at.seq} holds a fact for machine ${machine}, which does not exist`)
    target.apply(type, payload, at)
  }

  #applyOwn(type: number, payload: Buffer): void {
    if (type === cellFacts.define) {
      const kind = payload.readUInt16BE(0)
      const id = payload.readUInt32BE(2)
      if (!this.#make(kind, id)) throw new Corrupt(`Machine kind ${kind} is not known to this release`)
      this.#nextMachine = Math.max(this.#nextMachine, id + 1)
    } else if (type === cellFacts.drop) {
      const id = payload.readUInt32BE(0)
      this.streams.delete(id)
      if (this.#kinds.delete(id)) this.#others.delete(id)
    } else if (type !== cellFacts.mark) throw new Corrupt(`The cell knows no fact of type ${type}`)
  }

  /** A new machine of a kind that may exist many times; false for a kind that is not known. */
  #make(kind: number, id: number): boolean {
    if (kind === machineKinds.stream) this.streams.set(id, new Stream(id))
    else {
      const name = kindNames.get(kind)
      const factory = name && !existsOnce(kind) ? this.#factories[name] : undefined
      if (!factory) return false
      this.#others.set(id, factory())
      this.#kinds.set(id, kind)
    }
    return true
  }

  /** Applies all facts of a replayed block; its bytes are kept as long as the tail needs them. */
  applyBlock(block: Block): Slab {
    const slab = new Slab(block.bytes)
    if (block.kind === 'fence') this.fences.push(block.seq)
    const context: StreamFactContext = { seq: block.seq, timeMs: block.timeMs, epoch: block.epoch, slab, slabAt: 0 }
    const { bytes } = block
    let at = blockHeaderBytes
    for (let count = 0; count < block.factCount; count++) {
      const length = bytes.readUInt32BE(at + 6)
      context.slabAt = at + factHeaderBytes
      this.apply(
        bytes[at]!,
        bytes.readUInt32BE(at + 2),
        bytes.subarray(context.slabAt, context.slabAt + length),
        context,
      )
      at += factHeaderBytes + length
    }
    return slab
  }

  save(out: Writer): void {
    out.u8(stateVersion)
    out.u32(this.#nextMachine)
    out.u32(this.fences.length)
    for (const seq of this.fences) out.i64(seq)
    out.u32(this.#others.size + this.streams.size)
    for (const [id, machine] of this.#others) saveMachine(out, this.#kinds.get(id) ?? id, id, machine)
    for (const [id, stream] of this.streams) saveMachine(out, machineKinds.stream, id, stream)
  }

  /** Into a new, empty state. */
  load(from: Reader): void {
    const version = from.u8()
    if (version !== stateVersion)
      throw new Corrupt(`A checkpoint has state version ${version}, which this release cannot read`)
    this.#nextMachine = from.u32()
    for (let left = from.u32(); left > 0; left--) this.fences.push(from.i64())
    for (let left = from.u32(); left > 0; left--) {
      const kind = from.u16()
      const id = from.u32()
      const section = new Reader(from.bytes(from.u32()))
      if (!existsOnce(kind)) this.#make(kind, id)
      const machine = this.machine(id)
      if (!machine)
        throw new Corrupt(`A checkpoint holds a machine of kind ${kind}, which is not known to this release`)
      machine.load(section)
    }
  }
}

const kindNames = new Map(Object.entries(machineKinds).map(([name, kind]) => [kind as number, name as MachineKind]))

function saveMachine(out: Writer, kind: number, id: number, machine: Machine): void {
  out.u16(kind)
  out.u32(id)
  const at = out.length
  out.u32(0)
  machine.save(out)
  out.patchI32(at, out.length - at - 4)
}
