import type { Reader, Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import { checkVersion, cleared, entryFacts, expires, factVersion, readFact, removed, set } from './facts.ts'

/** What an entry costs besides its bytes. */
export const entryOverhead = 96

/** The entries of one namespace. Keys are any bytes, a character for each. */
export interface EntrySpace {
  readonly values: Map<string, Buffer>
  /** Until when keys last that do not last for ever, those of other things included. */
  readonly deadlines: Map<string, number>
}

/** Single values by their keys, and until when keys last. Bounded by whoever decides. */
export class EntriesMachine implements Machine {
  readonly spaces = new Map<string, EntrySpace>()
  count = 0
  /** Of keys and values. */
  bytes = 0

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case entryFacts.set: {
        const { namespace, key, value, expiresMs } = readFact(set, payload)
        return this.#set(namespace, key.toString('latin1'), Buffer.from(value), expiresMs)
      }
      case entryFacts.removed: {
        const { namespace, key } = readFact(removed, payload)
        return this.#remove(this.spaceOf(namespace), key.toString('latin1'))
      }
      case entryFacts.expires: {
        const { namespace, key, expiresMs } = readFact(expires, payload)
        return this.#expire(this.spaceOf(namespace), key.toString('latin1'), expiresMs)
      }
      case entryFacts.cleared: {
        const space = this.spaceOf(readFact(cleared, payload).namespace)
        for (const key of [...space.values.keys()]) this.#remove(space, key)
        space.deadlines.clear()
        return
      }
      default:
        throw new Error(`Entries have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  spaceOf(namespace: string): EntrySpace {
    const known = this.spaces.get(namespace)
    if (known) return known
    const space: EntrySpace = { values: new Map(), deadlines: new Map() }
    this.spaces.set(namespace, space)
    return space
  }

  #set(namespace: string, key: string, value: Buffer, expiresMs: number): void {
    const space = this.spaceOf(namespace)
    const before = space.values.get(key)
    if (before) this.bytes += value.length - before.length
    else {
      this.count++
      this.bytes += key.length + value.length + entryOverhead
    }
    space.values.set(key, value)
    this.#expire(space, key, expiresMs)
  }

  #remove(space: EntrySpace, key: string): void {
    const value = space.values.get(key)
    space.deadlines.delete(key)
    if (!value) return
    space.values.delete(key)
    this.count--
    this.bytes -= key.length + value.length + entryOverhead
  }

  #expire({ deadlines }: EntrySpace, key: string, expiresMs: number): void {
    if (expiresMs === 0) deadlines.delete(key)
    else deadlines.set(key, expiresMs)
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.spaces.size)
    for (const [namespace, { values, deadlines }] of this.spaces) {
      out.string32(namespace)
      out.u32(values.size)
      for (const [key, value] of values) {
        out.bytes32(Buffer.from(key, 'latin1'))
        out.bytes32(value)
      }
      out.u32(deadlines.size)
      for (const [key, expiresMs] of deadlines) {
        out.bytes32(Buffer.from(key, 'latin1'))
        out.i64(expiresMs)
      }
    }
  }

  load(from: Reader): void {
    checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) {
      const namespace = from.string32()
      const space = this.spaceOf(namespace)
      for (let values = from.u32(); values > 0; values--) {
        const key = from.bytes32().toString('latin1')
        this.#set(namespace, key, Buffer.from(from.bytes32()), 0)
      }
      for (let deadlines = from.u32(); deadlines > 0; deadlines--) {
        const key = from.bytes32().toString('latin1')
        space.deadlines.set(key, from.i64())
      }
    }
  }
}
