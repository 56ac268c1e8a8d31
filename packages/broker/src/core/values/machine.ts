import { keptCopy, type Reader, type Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import { checkVersion, cleared, valueFacts, expires, factVersion, readFact, removed, set } from './facts.ts'

/** What a value costs besides its bytes. */
export const valueOverhead = 96

/** The values of one namespace. Keys are any bytes, a character for each. */
export interface ValueSpace {
  readonly values: Map<string, Buffer>
  /** Until when keys last that do not last for ever, those of other things included. */
  readonly deadlines: Map<string, number>
}

/** Single values by their keys, and until when keys last. Bounded by whoever decides. */
export class ValuesMachine implements Machine {
  readonly spaces = new Map<string, ValueSpace>()
  count = 0
  /** Of keys and values. */
  bytes = 0

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case valueFacts.set: {
        const { namespace, key, value, expiresMs } = readFact(set, payload)
        return this.#set(namespace, key.toString('latin1'), keptCopy(value), expiresMs)
      }
      case valueFacts.removed: {
        const { namespace, key } = readFact(removed, payload)
        return this.#remove(this.spaceOf(namespace), key.toString('latin1'))
      }
      case valueFacts.expires: {
        const { namespace, key, expiresMs } = readFact(expires, payload)
        return this.#expire(this.spaceOf(namespace), key.toString('latin1'), expiresMs)
      }
      case valueFacts.cleared: {
        const space = this.spaceOf(readFact(cleared, payload).namespace)
        for (const key of [...space.values.keys()]) this.#remove(space, key)
        space.deadlines.clear()
        return
      }
      default:
        throw new Error(`Values have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  spaceOf(namespace: string): ValueSpace {
    const known = this.spaces.get(namespace)
    if (known) return known
    const space: ValueSpace = { values: new Map(), deadlines: new Map() }
    this.spaces.set(namespace, space)
    return space
  }

  #set(namespace: string, key: string, value: Buffer, expiresMs: number): void {
    const space = this.spaceOf(namespace)
    const before = space.values.get(key)
    if (before) this.bytes += value.length - before.length
    else {
      this.count++
      this.bytes += key.length + value.length + valueOverhead
    }
    space.values.set(key, value)
    this.#expire(space, key, expiresMs)
  }

  #remove(space: ValueSpace, key: string): void {
    const value = space.values.get(key)
    space.deadlines.delete(key)
    if (!value) return
    space.values.delete(key)
    this.count--
    this.bytes -= key.length + value.length + valueOverhead
  }

  #expire({ deadlines }: ValueSpace, key: string, expiresMs: number): void {
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
        this.#set(namespace, key, keptCopy(from.bytes32()), 0)
      }
      for (let deadlines = from.u32(); deadlines > 0; deadlines--) {
        const key = from.bytes32().toString('latin1')
        space.deadlines.set(key, from.i64())
      }
    }
  }
}
