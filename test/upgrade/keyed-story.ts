import assert from 'node:assert/strict'
import { turns } from '../../packages/broker/src/cell/testing/cells.ts'
import { homeNamespace as namespace, type Broker } from '../../packages/broker/src/core/broker.ts'
import type { EntryStream } from '../../packages/broker/src/core/entry-streams/entry-stream.ts'
import type { SessionState, Will } from '../../packages/broker/src/core/sessions/sessions.ts'
import { makeBatch } from '../../packages/broker/src/storage/record-batch.ts'

const hour = 3600 * 1000
const everything = { countMax: 100, isForgotten: false }

/** The part of a story that is about what names lead to: lists, values, streams of entries, sessions of clients, and last messages. */
export class KeyedStory {
  readonly #core: Broker
  readonly #mark: string

  constructor(core: Broker, mark: string) {
    this.#core = core
    this.#mark = mark
  }

  async tell(): Promise<void> {
    await this.#lists()
    await this.#values()
    await this.#entries()
    await this.#lastMessages()
    await this.#sessions()
  }

  #name(name: string): string {
    return `${name}-${this.#mark}`
  }

  #bytes(text: string): Buffer {
    return Buffer.from(`${text} ${this.#mark}`)
  }

  async #durable(): Promise<void> {
    const { ledger } = this.#core
    await new Promise<void>(resolve => ledger.whenDurable(ledger.lastSeq, resolve, undefined))
  }

  /** One that was pushed to at both ends, inserted into and taken from, and one that is gone. */
  async #lists(): Promise<void> {
    const { lists, queues } = this.#core
    const list = lists.use(namespace, this.#name('elements'))
    list.push(
      'right',
      ['b', 'd', 'e'].map(text => this.#bytes(text)),
    )
    list.push(
      'left',
      ['a', 'z'].map(text => this.#bytes(text)),
    )
    const [anchor] = list.between(3, 3)
    assert(anchor !== undefined)
    list.insert(anchor, 'left', this.#bytes('c'))
    list.push('left', [this.#bytes('y')])
    await this.#durable()
    assert.equal(String(list.pop('left')), `y ${this.#mark}`)
    assert.equal(String(list.pop('right')), `e ${this.#mark}`)
    lists.use(namespace, this.#name('old-elements')).push('left', [this.#bytes('gone')])
    await queues.remove(namespace, this.#name('old-elements'))
  }

  /** Some for ever and some for a time, one that is gone, and those of a namespace that is gone. */
  async #values(): Promise<void> {
    const { values, namespaces, ledger } = this.#core
    const nowMs = ledger.clock.nowMs()
    values.set(namespace, this.#name('lasting'), this.#bytes('old'))
    values.set(namespace, this.#name('lasting'), this.#bytes('value'))
    values.set(namespace, this.#name('passing'), this.#bytes('value'), nowMs + 1000 * hour)
    values.set(namespace, this.#name('extended'), this.#bytes('value'))
    values.expire(namespace, this.#name('extended'), nowMs + 2000 * hour)
    values.set(namespace, this.#name('removed'), this.#bytes('value'))
    values.remove(namespace, this.#name('removed'))
    const gone = this.#name('old-values')
    await namespaces.set(gone)
    values.set(gone, 'key', this.#bytes('value'))
    await namespaces.remove(gone)
  }

  /** One with a group that has read, acknowledged and claimed; and one that is gone. */
  async #entries(): Promise<void> {
    const { entryStreams, topics } = this.#core
    const stream = entryStreams.open(namespace, this.#name('log'))
    for (let ms = 1; ms <= 8; ms++) stream.add({ value: this.#bytes(`entry ${ms}`) }, { ms, seq: ms * 10 })
    await this.#durable()
    await this.#group(stream)
    stream.trimTo(1)
    stream.remove([{ offset: 2, id: { ms: 3, seq: 30 } }])
    stream.setLastId({ ms: 100, seq: 0 }, 20)
    await this.#foreign(stream)
    entryStreams.open(namespace, this.#name('old-log')).add({ value: this.#bytes('gone') }, { ms: 1, seq: 1 })
    await topics.remove(namespace, this.#name('old-log'))
    await topics.settle()
  }

  async #group(stream: EntryStream): Promise<void> {
    const group = stream.createGroup(this.#name('readers'), { ms: 1, seq: 10 })
    const other = stream.createGroup(this.#name('others'), { ms: 0, seq: 0 })
    const old = stream.createGroup(this.#name('old-readers'), { ms: 0, seq: 0 })
    assert(group && other && old)
    stream.removeGroup(old)
    stream.setGroup(other, { ms: 4, seq: 40 }, 4)
    const [first, second, third] = ['first', 'second', 'third'].map(name => group.createConsumer(name))
    assert(first && second && third)
    await group.readNew(first, { ...everything, countMax: 4 }, () => true)
    await group.readNew(third, { ...everything, countMax: 1 }, () => true)
    group.removeConsumer(third)
    group.ack([{ ms: 2, seq: 20 }])
    group.claim(second, [{ offset: 3, id: { ms: 4, seq: 40 }, count: 7 }], this.#core.ledger.clock.nowMs())
  }

  /** Records that others have written, without ids. */
  async #foreign(stream: EntryStream): Promise<void> {
    const records = ['x', 'y'].map(text => ({ key: null, value: this.#bytes(text), timestampMs: 77 }))
    await new Promise<void>(resolve => {
      this.#core.cell.append(stream.stream, makeBatch(records), ({ error }) => {
        assert.equal(error, undefined)
        resolve()
      })
    })
    stream.notice()
  }

  /** The second of two, one for a time, and one that was removed. */
  async #lastMessages(): Promise<void> {
    const { retained, ledger } = this.#core
    const keep = (key: string, text: string, expiresMs = -1): void => {
      const message = { key: Buffer.from(key), value: this.#bytes(text), expiresMs }
      assert.equal(typeof retained.keep(namespace, key, message), 'number')
    }
    const [twice, passing, removed] = [
      `kept.twice.${this.#mark}`,
      `kept.passing.${this.#mark}`,
      `kept.no.${this.#mark}`,
    ]
    keep(twice, 'first')
    keep(removed, 'removed')
    keep(twice, 'second')
    keep(passing, 'passing', ledger.clock.nowMs() + 1000 * hour)
    retained.remove(namespace, removed)
    await this.#durable()
  }

  #enter(name: string, will: Partial<Will>): SessionState {
    const own: Will = {
      ...{ delayMs: 1000 * hour, exchange: 'amq.topic', key: `will.${this.#mark}`, isRetained: true },
      ...{ isTransient: false, ttlMs: -1, value: this.#bytes(`will of ${name}`), headers: [] },
      ...will,
    }
    const options = { owner: 'User:alice', queue: this.#name(`of-${name}`), expiryMs: -1, will: own }
    return this.#core.sessions.enter(namespace, this.#name(name), options)
  }

  /** One with hand-shakes that are not over, one whose will was published, and one that is gone. */
  async #sessions(): Promise<void> {
    const { sessions } = this.#core
    const present = this.#enter('client', { headers: [{ name: 'h', value: Buffer.from([1, 2]) }] })
    for (const filter of ['a.*', 'b.#']) sessions.subscribe(present, filter, Buffer.from(filter))
    sessions.unsubscribe(present, 'b.#')
    for (const number of [5, 6]) sessions.received(present, number)
    sessions.forget(present, 6)
    for (const number of [7, 65_535]) sessions.taken(present, number)
    sessions.completed(present, 7)
    const lost = this.#enter('lost', { delayMs: 0 })
    sessions.leave(lost, { expiryMs: 1000 * hour, isLost: true })
    const gone = this.#enter('gone-client', {})
    sessions.leave(gone, { expiryMs: 0, isLost: false })
    await this.#durable()
    await turns()
  }
}
