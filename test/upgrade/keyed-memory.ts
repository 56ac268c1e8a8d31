import assert from 'node:assert/strict'
import { homeNamespace as namespace, type Broker } from '../../packages/broker/src/core/broker.ts'
import { NotLoaded } from '../../packages/broker/src/core/lists/elements.ts'
import type { List } from '../../packages/broker/src/core/lists/list.ts'

/** What a broker has to remember of a `KeyedStory`. */
export class KeyedMemory {
  readonly #core: Broker
  readonly #mark: string

  constructor(core: Broker, mark: string) {
    this.#core = core
    this.#mark = mark
  }

  async check(): Promise<void> {
    await this.#lists()
    this.#values()
    await this.#entries()
    await this.#lastMessages()
    this.#sessions()
  }

  #name(name: string): string {
    return `${name}-${this.#mark}`
  }

  #texts(...texts: string[]): string[] {
    return texts.map(text => `${text} ${this.#mark}`)
  }

  async #lists(): Promise<void> {
    const { lists, queues } = this.#core
    const list = lists.get(namespace, this.#name('elements'))
    assert(list?.isMade)
    assert.deepEqual(await elementsOf(list), this.#texts('z', 'a', 'b', 'c', 'd'))
    assert.equal(queues.get(namespace, this.#name('old-elements')), undefined)
  }

  #values(): void {
    const { values } = this.#core
    const of = (name: string): string => String(values.get(namespace, this.#name(name)))
    const [old] = this.#texts('value')
    assert.deepEqual(['lasting', 'passing', 'extended', 'removed'].map(of), [old, old, old, 'undefined'])
    const untilMs = ['lasting', 'passing', 'extended'].map(name => values.expiryOf(namespace, this.#name(name)))
    assert.equal(untilMs[0], undefined)
    assert.equal((untilMs[2] ?? 0) - (untilMs[1] ?? 0), 1000 * 3600 * 1000)
    assert.equal(values.get(this.#name('old-values'), 'key'), undefined)
  }

  async #entries(): Promise<void> {
    const { entryStreams } = this.#core
    const stream = entryStreams.get(namespace, this.#name('log'))
    assert(stream)
    const found: [string, string][] = []
    await stream.range({ ms: 0, seq: 0 }, { ms: 2 ** 53 - 1, seq: 0 }, ({ id: { ms, seq }, record }) => {
      // Those that brought none have the time of their day.
      const id = Number(ms) > 1000 ? 'later' : `${ms}-${seq}`
      return found.push([id, String(record.value)]) > 0
    })
    const ids = ['2-20', '4-40', '5-50', '6-60', '7-70', '8-80', 'later', 'later']
    const texts = this.#texts(...[2, 4, 5, 6, 7, 8].map(number => `entry ${number}`), 'x', 'y')
    assert.deepEqual(
      found,
      ids.map((id, at) => [id, texts[at]]),
    )
    assert.equal(stream.state.added, 22)
    assert.deepEqual(stream.state.maxRemoved, { ms: 3, seq: 30 })
    assert.equal(entryStreams.get(namespace, this.#name('old-log')), undefined)
    const groups = stream.groups.map(({ state: { name, lastId, entriesRead } }) => [name, lastId, entriesRead])
    assert.deepEqual(groups, [
      [this.#name('readers'), { ms: 6, seq: 60 }, -1],
      [this.#name('others'), { ms: 4, seq: 40 }, 4],
    ])
    const readers = stream.group(this.#name('readers'))
    const pending = [...(readers?.state.pending.from(undefined) ?? [])]
    assert.deepEqual(
      pending.map(({ ms, holder, count }) => [ms, readers?.state.consumers.get(holder)?.name, count]),
      [
        [3, 'first', 1],
        [4, 'second', 7],
        [5, 'first', 1],
      ],
    )
    assert.deepEqual([...(readers?.state.byName.keys() ?? [])], ['first', 'second'])
  }

  async #lastMessages(): Promise<void> {
    const { retained } = this.#core
    const found: [string, string][] = []
    const reader = retained.reader()
    for (const entry of retained.find(namespace, `#`)) {
      if (!entry.key.endsWith(`.${this.#mark}`)) continue
      const record = await reader.read(entry)
      found.push([entry.key, String(record?.value)])
    }
    reader.close()
    const [second, passing, will] = this.#texts('second', 'passing', 'will of lost')
    assert.deepEqual(found, [
      [`kept.twice.${this.#mark}`, second],
      [`kept.passing.${this.#mark}`, passing],
      [`will.${this.#mark}`, will],
    ])
  }

  #sessions(): void {
    const { sessions } = this.#core
    const client = sessions.get(namespace, this.#name('client'))
    assert(client)
    const { owner, queue, expiryMs, subscriptions, received, taken, will } = client
    assert.deepEqual([owner, queue, expiryMs], ['User:alice', this.#name('of-client'), -1])
    assert.deepEqual(
      Array.from(subscriptions, ([filter, options]) => [filter, String(options)]),
      [['a.*', 'a.*']],
    )
    assert.deepEqual([...received], [5])
    assert.deepEqual([...taken], [65_535])
    assert.deepEqual(
      [String(will?.value), will?.headers],
      [`will of client ${this.#mark}`, [{ name: 'h', value: Buffer.from([1, 2]) }]],
    )
    const lost = sessions.get(namespace, this.#name('lost'))
    assert(lost && lost.leftMs > 0)
    assert.equal(lost.will, undefined)
    assert.equal(sessions.get(namespace, this.#name('gone-client')), undefined)
  }
}

async function elementsOf(list: List): Promise<string[]> {
  for (;;) {
    try {
      return list.valuesOf(list.offsets('left', list.length)).map(String)
    } catch (error) {
      if (!(error instanceof NotLoaded)) throw error
      await new Promise<void>(resolve => error.load(resolve))
    }
  }
}
