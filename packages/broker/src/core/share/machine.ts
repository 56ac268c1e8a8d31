import { list, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { FactContext, Machine } from '../../cell/machine.ts'
import type { CursorId } from '../cursor/cursor.ts'
import {
  checkVersion,
  cursorsMade,
  factOf,
  groupRemoved,
  readFact,
  shareFacts,
  storedShareGroup,
  topicDropped,
  topicForgotten,
} from './facts.ts'

/** The cursors of a topic by partition. */
export type TopicCursors = ReadonlyMap<number, CursorId>

/** The cursors of a group by topic id. */
export type GroupCursors = ReadonlyMap<string, TopicCursors>

type Topics = Map<string, Map<number, CursorId>>

/** Which cursors share groups have. Who is in the groups is another machine's. */
export class ShareGroupsMachine implements Machine {
  readonly #namespaces = new Map<string, Map<string, Topics>>()

  /** The cursors of a group; undefined when it has none. */
  get(namespace: string, group: string): GroupCursors | undefined {
    return this.#namespaces.get(namespace)?.get(group)
  }

  *all(): Generator<{ namespace: string; group: string; cursors: GroupCursors }> {
    for (const [namespace, groups] of this.#namespaces) {
      for (const [group, cursors] of groups) yield { namespace, group, cursors }
    }
  }

  apply(type: number, payload: Buffer, _at: FactContext): void {
    switch (type) {
      case shareFacts.cursorsMade:
        return this.#make(readFact(cursorsMade, payload))
      case shareFacts.topicDropped: {
        const { namespace, group, topicId } = readFact(topicDropped, payload)
        return this.#drop(namespace, group, topicId)
      }
      case shareFacts.topicForgotten: {
        const { topicId } = readFact(topicForgotten, payload)
        for (const { namespace, group } of [...this.all()]) this.#drop(namespace, group, topicId)
        return
      }
      case shareFacts.groupRemoved: {
        const { namespace, group } = readFact(groupRemoved, payload)
        return this.#remove(namespace, group)
      }
      default:
        throw new Error(`Share groups have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  #make({ namespace, group, topicId, cursors }: Infer<typeof cursorsMade>): void {
    let groups = this.#namespaces.get(namespace)
    if (groups === undefined) this.#namespaces.set(namespace, (groups = new Map()))
    let topics = groups.get(group)
    if (topics === undefined) groups.set(group, (topics = new Map()))
    let partitions = topics.get(topicId)
    if (partitions === undefined) topics.set(topicId, (partitions = new Map()))
    for (const { partition, cursor } of cursors) partitions.set(partition, cursor)
  }

  #drop(namespace: string, group: string, topicId: string): void {
    const topics = this.#namespaces.get(namespace)?.get(group)
    if (topics === undefined) return
    topics.delete(topicId)
    if (topics.size === 0) this.#remove(namespace, group)
  }

  #remove(namespace: string, group: string): void {
    const groups = this.#namespaces.get(namespace)
    groups?.delete(group)
    if (groups?.size === 0) this.#namespaces.delete(namespace)
  }

  save(out: Writer): void {
    const groups = Array.from(this.all(), ({ namespace, group, cursors }) => ({
      namespace,
      group,
      topics: Array.from(cursors, ([topicId, partitions]) => ({
        topicId,
        cursors: Array.from(partitions, ([partition, cursor]) => ({ partition, cursor })),
      })),
    }))
    out.bytes(factOf(list(storedShareGroup), groups))
  }

  load(from: Reader): void {
    this.#namespaces.clear()
    const version = checkVersion(from.u8())
    for (const { namespace, group, topics } of list(storedShareGroup).read(from, version)) {
      for (const { topicId, cursors } of topics) this.#make({ namespace, group, topicId, cursors })
    }
  }
}
