import { homeNamespace, type Topic } from '../topic.ts'
import type { TopicView } from './assigned/interests.ts'

/** Topics as groups see them, made and removed at will. */
export class TestTopics implements TopicView {
  revision = 0
  readonly #byName = new Map<string, Topic>()
  readonly #beforeRemove: ((topic: Topic) => void)[] = []
  #nextStream = 1024
  #nextId = 1

  get(_namespace: string, name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  byId(id: string): Topic | undefined {
    return this.list().find(topic => topic.id === id)
  }

  list(): Topic[] {
    return [...this.#byName.values()]
  }

  beforeRemove(run: (topic: Topic) => void): void {
    this.#beforeRemove.push(run)
  }

  create(name: string, partitions: number): Topic {
    const id = (this.#nextId++).toString(16).padStart(32, '0')
    const topic = { id, namespace: homeNamespace, name, partitions: this.#streams(partitions), config: new Map() }
    this.#byName.set(name, topic)
    this.revision++
    return topic
  }

  grow(name: string, by: number): void {
    const topic = this.#byName.get(name)
    if (topic === undefined) return
    this.#byName.set(name, { ...topic, partitions: [...topic.partitions, ...this.#streams(by)] })
    this.revision++
  }

  remove(name: string): void {
    const topic = this.#byName.get(name)
    if (topic === undefined) return
    for (const run of this.#beforeRemove) run(topic)
    this.#byName.delete(name)
    this.revision++
  }

  #streams(count: number): number[] {
    return Array.from({ length: count }, () => this.#nextStream++)
  }
}
