import type { Infer, Reader, Writer } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import type { Machine } from '../../cell/machine.ts'
import { checkVersion, factVersion, kept, opened, readFact, removed, retainedFacts, saved } from './facts.ts'
import { SubjectTree } from './subject-tree.ts'

/** Where the last message of a key lies. A newer message has an entry of its own. */
export interface RetainedEntry {
  readonly namespace: string
  /** A subject: words between dots. */
  readonly key: string
  readonly offset: number
  /** Milliseconds since 1970; -1: never. */
  readonly expiresMs: number
}

/**
 * Which messages are retained, and where in their stream they lie. The messages themselves are not in memory.
 *
 * Invariant: an entry is in the tree of its namespace exactly when it is in `byOffset`.
 */
export class RetainedMachine implements Machine {
  /** Undefined until there is the first message. */
  stream: StreamId | undefined
  /** By ascending offset. */
  readonly byOffset = new Map<number, RetainedEntry>()
  readonly expiring = new Set<RetainedEntry>()
  readonly #trees = new Map<string, { tree: SubjectTree<RetainedEntry>; count: number }>()

  get(namespace: string, key: string): RetainedEntry | undefined {
    return this.#trees.get(namespace)?.tree.get(key)
  }

  match(namespace: string, pattern: string): RetainedEntry[] {
    return this.#trees.get(namespace)?.tree.match(pattern) ?? []
  }

  countIn(namespace: string): number {
    return this.#trees.get(namespace)?.count ?? 0
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case retainedFacts.opened:
        this.stream = readFact(opened, payload).stream
        return
      case retainedFacts.kept:
        return this.#keep(readFact(kept, payload))
      case retainedFacts.removed: {
        const { namespace, key } = readFact(removed, payload)
        return this.#remove(namespace, key)
      }
      default:
        throw new Error(`Retained messages have no fact of type ${type}`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    saved.write(out, { stream: this.stream ?? 0, kept: [...this.byOffset.values()] })
  }

  load(from: Reader): void {
    checkVersion(from.u8())
    const { stream, kept: all } = saved.read(from)
    if (stream !== 0) this.stream = stream
    for (const fact of all) this.#keep(fact)
  }

  #keep(entry: Infer<typeof kept>): void {
    const { namespace, key } = entry
    this.#remove(namespace, key)
    let within = this.#trees.get(namespace)
    if (!within) this.#trees.set(namespace, (within = { tree: new SubjectTree(), count: 0 }))
    within.tree.set(key, entry)
    within.count++
    this.byOffset.set(entry.offset, entry)
    if (entry.expiresMs >= 0) this.expiring.add(entry)
  }

  #remove(namespace: string, key: string): void {
    const within = this.#trees.get(namespace)
    const present = within?.tree.get(key)
    if (!within || !present) return
    within.tree.delete(key)
    if (--within.count === 0) this.#trees.delete(namespace)
    this.byOffset.delete(present.offset)
    this.expiring.delete(present)
  }
}
