import assert from 'node:assert/strict'
import type { Infer, Reader, Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import { homeNamespace } from '../topic.ts'
import {
  checkVersion,
  factVersion,
  namespaceFacts,
  namespaceNamed,
  namespaceSet,
  parameterRemoved,
  parameterSet,
  readFact,
} from './facts.ts'

/** Written to disk as their index: only ever append. */
export const namespaceLimits = ['connections', 'queues'] as const
export type NamespaceLimit = (typeof namespaceLimits)[number]

/** What is kept of a namespace. Immutable. */
export interface NamespaceDefinition {
  readonly name: string
  readonly description: string
  readonly tags: readonly string[]
  /** What a queue becomes whose maker does not say, in the words of the protocol that has such a thing; empty: as everywhere. */
  readonly defaultQueueType: string
  /** What is not in it has no limit. */
  readonly limits: ReadonlyMap<NamespaceLimit, number>
}

/** A setting that means something to one part of the broker, or to a client alone. `value` is JSON. */
export interface Parameter {
  /** Empty for those of the whole broker. */
  readonly namespace: string
  readonly component: string
  readonly name: string
  readonly value: string
}

/** Equal exactly for the same place. */
export function parameterKey({ namespace, component, name }: Omit<Parameter, 'value'>): string {
  return JSON.stringify([namespace, component, name])
}

/**
 * Which namespaces there are, and parameters.
 *
 * Invariants: the home namespace is always there; what is in `ended` is not in `namespaces`.
 */
export class NamespacesMachine implements Machine {
  /** In the order of creation. */
  readonly namespaces = new Map<string, NamespaceDefinition>()
  /** Those whose contents are still to be removed. */
  readonly ended = new Set<string>()
  /** By `parameterKey`. */
  readonly parameters = new Map<string, Parameter>()

  constructor() {
    const name = homeNamespace
    const nothing = { description: '', tags: [], defaultQueueType: '', limits: new Map() }
    this.namespaces.set(name, { name, ...nothing })
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case namespaceFacts.namespaceSet:
        return this.#set(readFact(namespaceSet, payload))
      case namespaceFacts.namespaceEnded:
        return this.#end(readFact(namespaceNamed, payload).name)
      case namespaceFacts.namespaceRemoved:
        this.ended.delete(readFact(namespaceNamed, payload).name)
        return
      case namespaceFacts.parameterSet:
        return this.#setParameter(readFact(parameterSet, payload))
      case namespaceFacts.parameterRemoved:
        this.parameters.delete(parameterKey(readFact(parameterRemoved, payload)))
        return
      default:
        throw new Error(`Namespaces have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.namespaces.size)
    for (const definition of this.namespaces.values()) namespaceSet.write(out, storeNamespace(definition), factVersion)
    out.u32(this.ended.size)
    for (const name of this.ended) namespaceNamed.write(out, { name }, factVersion)
    out.u32(this.parameters.size)
    for (const parameter of this.parameters.values()) parameterSet.write(out, parameter, factVersion)
  }

  load(from: Reader): void {
    const version = checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) this.#set(namespaceSet.read(from, version))
    for (let left = from.u32(); left > 0; left--) this.ended.add(namespaceNamed.read(from, version).name)
    for (let left = from.u32(); left > 0; left--) this.#setParameter(parameterSet.read(from, version))
  }

  #set({ limits, ...rest }: Infer<typeof namespaceSet>): void {
    const known = limits.map(({ kind, max }): [NamespaceLimit, number] => {
      const limit = namespaceLimits[kind]
      assert(limit, 'A limit of a namespace was written by a newer broker')
      return [limit, max]
    })
    this.namespaces.set(rest.name, { ...rest, limits: new Map(known) })
  }

  #end(name: string): void {
    this.namespaces.delete(name)
    this.ended.add(name)
    for (const [key, { namespace }] of this.parameters) if (namespace === name) this.parameters.delete(key)
  }

  #setParameter(parameter: Parameter): void {
    this.parameters.set(parameterKey(parameter), parameter)
  }
}

/** A namespace as `namespaceSet` declares it. */
export function storeNamespace({ limits, tags, ...rest }: NamespaceDefinition): Infer<typeof namespaceSet> {
  const stored = Array.from(limits, ([limit, max]) => ({ kind: namespaceLimits.indexOf(limit), max }))
  return { ...rest, tags: [...tags], limits: stored }
}
