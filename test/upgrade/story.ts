import assert from 'node:assert/strict'
import type { AppendResult } from '../../packages/broker/src/cell/client.ts'
import { turns } from '../../packages/broker/src/cell/testing/cells.ts'
import { homeNamespace as namespace, type Broker, type Topic } from '../../packages/broker/src/core/broker.ts'
import type { HeartbeatRequest, HeartbeatResult } from '../../packages/broker/src/core/groups/assigned/requests.ts'
import type { CommitRequest, JoinResult } from '../../packages/broker/src/core/groups/requests.ts'
import type { Rule } from '../../packages/broker/src/core/identity/permissions.ts'
import { credentialOf } from '../../packages/broker/src/core/identity/scram.ts'
import type { TakeResult } from '../../packages/broker/src/core/share/taking.ts'
import type { Identified } from '../../packages/broker/src/core/transactions/requests.ts'
import * as batches from '../../packages/broker/src/storage/record-batch.ts'
import type { FixtureClock } from './fixture.ts'
import { KeyedStory } from './keyed-story.ts'

/** Wall clock of all records. */
const recordMs = 1_800_000_000_000
const hour = 3600 * 1000
const nobody = { memberId: '', instanceId: null, generation: -1 }
const noLease = { runRecords: 10, wholeBatches: false, recordsMax: 100, bytesMin: 1, bytesMax: 1e6, waitMsMax: 0 }

export const ruleOf = (name: string): Rule => ({
  namespace,
  kind: 'topic',
  pattern: 'prefix',
  name,
  principal: 'User:alice',
  host: '*',
  operation: 'read',
  effect: 'allow',
})

/** A request that is answered through a callback. */
function answer<T>(ask: (done: (value: T) => void) => void): Promise<T> {
  return new Promise(resolve => ask(resolve))
}

/**
 * Does everything once that leaves something in the journal, in a broker that a clock of our own drives: topics, queues, groups of each
 * kind, transactions, users and quotas, and records in each form. `mark` is in all names, so that it can be told again.
 */
export class Story {
  readonly #core: Broker
  readonly #clock: FixtureClock
  readonly #mark: string

  constructor(core: Broker, clock: FixtureClock, mark: string) {
    this.#core = core
    this.#clock = clock
    this.#mark = mark
  }

  async tell(): Promise<void> {
    const orders = await this.#topics()
    await this.#records(orders)
    await this.#people()
    await this.#tenants()
    await this.#classicGroups(orders)
    await this.#assignedGroups()
    await this.#shareGroups()
    await this.#transactions(orders)
    await this.#queues()
    await this.#routes()
    await this.#tasks()
    await this.#priorities()
    await this.#policies()
    await this.#delayed()
    await new KeyedStory(this.#core, this.#mark).tell()
    const gone = this.#core.topics.get(namespace, this.#name('gone'))
    assert(gone)
    await this.#core.topics.remove(namespace, gone.name)
    await this.#core.topics.settle()
  }

  #name(name: string): string {
    return `${name}-${this.#mark}`
  }

  async #topics(): Promise<Topic> {
    const { topics } = this.#core
    const name = this.#name('orders')
    await topics.create(namespace, name, { partitions: 2, config: new Map([['retentionBytes', '1000000']]) })
    await topics.addPartitions(namespace, name, 3)
    await topics.configure(namespace, name, new Map([['retentionMs', '-1']]))
    await topics.create(namespace, this.#name('gone'))
    await topics.create(namespace, this.#name('compacted'), {
      config: new Map([
        ['cleanupPolicy', 'compact'],
        ['dirtyRatioMin', '0'],
      ]),
    })
    await topics.override('cluster', new Map([['retentionMs', this.#mark === 'a' ? '111000000' : '222000000']]))
    await topics.override('broker', new Map([['connectionsMax', this.#mark === 'a' ? '111' : '222']]))
    await topics.nextProducerId()
    const found = topics.get(namespace, name)
    assert(found)
    return found
  }

  async #append(stream: number, records: readonly batches.NewRecord[], of: batches.NewBatch = {}): Promise<void> {
    const batch = batches.makeBatch(records, of)
    const { error } = await answer<AppendResult>(done => this.#core.cell.append(stream, batch, done))
    assert.equal(error, undefined)
  }

  #text(text: string): batches.NewRecord {
    return { key: null, value: Buffer.from(`${text} ${this.#mark}`), timestampMs: recordMs }
  }

  /** Small and large batches, numbered ones, some removed; and keys that come again, for compaction. */
  async #records({ partitions }: Topic): Promise<void> {
    const { topics, cell } = this.#core
    const [first, second] = partitions
    assert(first !== undefined && second !== undefined)
    await this.#append(
      first,
      ['one', 'two', 'three'].map(text => this.#text(text)),
    )
    await cell.trim(first, 1)
    await this.#append(second, [this.#text('numbered')], { producerId: 77_000, producerEpoch: 3, baseSequence: 5 })
    await this.#append(second, [this.#text('x'.repeat(3000))])
    await this.#append(second, [this.#text('y'.repeat(3000))])
    const compacted = topics.get(namespace, this.#name('compacted'))?.partitions[0]
    assert(compacted !== undefined)
    for (let round = 0; round < 4; round++) {
      const keyed = ['k', 'l', round < 3 ? 'm' : 'n'].map(key => ({
        key: Buffer.from(key),
        value: round === 2 && key === 'm' ? null : Buffer.from(`${key} ${round}`),
        timestampMs: recordMs,
      }))
      await this.#append(compacted, keyed)
    }
  }

  async #people(): Promise<void> {
    const { identity, quotas } = this.#core
    const credential = credentialOf('SCRAM-SHA-256', Buffer.alloc(32, 5), Buffer.alloc(24, 7), 4096)
    const users = ['alice', 'bob'].map(name => ({ kind: 'set' as const, name: this.#name(name), credential }))
    await identity.changeUsers(users)
    await identity.changeUsers([{ kind: 'remove', name: this.#name('bob'), mechanism: 'SCRAM-SHA-256' }])
    await identity.addRules([ruleOf(this.#name('orders')), ruleOf(this.#name('secret'))])
    await identity.removeRules([ruleOf(this.#name('secret'))])
    await quotas.change({ user: this.#name('alice') }, [{ key: 'publishBytes', value: 12_345 }])
    await quotas.change({ address: null }, [{ key: 'connections', value: 17 }])
    await quotas.change({ client: this.#name('c') }, [{ key: 'fetchBytes', value: 5 }])
    await quotas.change({ client: this.#name('c') }, [{ key: 'fetchBytes', value: undefined }])
  }

  /** A namespace with limits and what permissions there are in it, and one that is gone with all that was in it. */
  async #tenants(): Promise<void> {
    const { identity, namespaces, queues } = this.#core
    const { governance } = identity
    const [tenant, gone, user] = [this.#name('tenant'), this.#name('old-tenant'), this.#name('carol')]
    const hash = { algorithm: 'sha256' as const, salt: Buffer.alloc(4, 1), digest: Buffer.alloc(32, 2) }
    await governance.setUser(user, { tags: ['monitoring'], secret: { kind: 'hash', hash } })
    await governance.setLimit(user, 'channels', 12)
    await namespaces.set(tenant, { description: 'a tenant', tags: ['x'], defaultQueueType: 'quorum' })
    await namespaces.setLimit(tenant, 'queues', 34)
    await namespaces.set(gone)
    await queues.declare(gone, 'q')
    const everything = { user, configure: '.*', write: '.*', read: '^r' }
    for (const name of [tenant, gone, namespace]) {
      await governance.setPermission({ ...everything, namespace: name })
    }
    await governance.removePermission(user, namespace)
    const keys = { user, namespace: tenant, write: 'w', read: 'r' }
    for (const exchange of ['amq.topic', 'events']) await governance.setKeyPermission({ ...keys, exchange })
    await governance.removeKeyPermissions(user, tenant, 'events')
    const parameter = { namespace: tenant, component: 'c', value: '{"a":1}' }
    for (const name of ['kept', 'dropped']) await namespaces.setParameter({ ...parameter, name })
    await namespaces.removeParameter(tenant, 'c', 'dropped')
    await namespaces.remove(gone)
  }

  #commitOf(group: string, topicId: string, offsets: number[]): CommitRequest {
    const partitions = offsets.map((offset, partition) => ({ partition, offset, leaderEpoch: 0, metadata: 'note' }))
    return { namespace, group, ...nobody, expiresMs: -1, topics: [{ topicId, partitions }] }
  }

  async #commit(group: string, topicId: string, offsets: number[]): Promise<void> {
    const request = this.#commitOf(group, topicId, offsets)
    assert.equal(await answer(done => this.#core.groups.commit(request, done)), undefined)
  }

  /** A member that is alone in its group and has its assignment. Resolves with its id. */
  async #alone(group: string): Promise<string> {
    const { groups } = this.#core
    const member = { namespace, group, memberId: '', instanceId: null }
    const who = { clientId: 'c', clientHost: '/h', principal: 'p', host: 'h' }
    const times = { sessionTimeoutMs: 24 * hour, rebalanceTimeoutMs: hour }
    const joining = answer<JoinResult>(done =>
      groups.join(
        {
          ...{ ...member, ...who, ...times },
          protocolType: 'consumer',
          offers: [{ name: 'range', metadata: Buffer.from('subscription') }],
          ...{ takesIdFirst: false, maySkipAssignment: false },
        },
        done,
      ),
    )
    await this.#clock.advance(1)
    const { error, memberId, generation } = await joining
    assert.equal(error, undefined)
    const assignments = [{ memberId, assignment: Buffer.from('assignment') }]
    const protocol = { protocolType: 'consumer', protocol: 'range' }
    await answer(done => groups.sync({ ...member, memberId, generation, ...protocol, assignments }, done))
    return memberId
  }

  async #classicGroups({ id }: Topic): Promise<void> {
    const { groups, topics } = this.#core
    const group = this.#name('classic')
    await this.#alone(group)
    const emptied = this.#name('emptied')
    const memberId = await this.#alone(emptied)
    await answer(done => groups.leave({ namespace, group: emptied }, [{ memberId, instanceId: null }], done))
    await this.#commit(emptied, id, [1, 2, 3])
    await groups.removeOffsets({ namespace, group: emptied }, [{ topicId: id, partitions: [1] }])
    await this.#commit(this.#name('removed'), id, [9])
    await groups.remove({ namespace, group: this.#name('removed') })
    const gone = topics.get(namespace, this.#name('gone'))
    assert(gone)
    await this.#commit(this.#name('of-gone'), gone.id, [4])
    await this.#commit(this.#name('of-gone'), id, [5])
  }

  async #beat(group: string, memberId: string, more: Partial<HeartbeatRequest>): Promise<HeartbeatResult> {
    const request: HeartbeatRequest = {
      ...{ namespace, group, kind: 'exclusive', memberId, epoch: 0, instanceId: null, rackId: 'r' },
      ...{ rebalanceTimeoutMs: hour, topics: [this.#name('orders')], pattern: null, assignor: null, owned: new Map() },
      ...{ clientId: 'c', clientHost: '/h', principal: 'User:p', host: 'h' },
      ...more,
    }
    const result = await answer<HeartbeatResult>(done => this.#core.groups.heartbeatAssigned(request, done))
    assert.equal(result.error, undefined, result.detail ?? '')
    await turns()
    return result
  }

  /** Two members that share the partitions, one that has left, and a group that is gone. */
  async #assignedGroups(): Promise<void> {
    const { groups } = this.#core
    const group = this.#name('assigned')
    await groups.configure({ namespace, group }, new Map([['heartbeatIntervalMs', '6000']]))
    let first = await this.#beat(group, 'm1', {})
    let owned = first.assigned ?? new Map<string, readonly number[]>()
    let second = await this.#beat(group, 'm2', { instanceId: 'static' })
    await this.#beat(group, 'm3', {})
    await this.#beat(group, 'm3', { epoch: -1 })
    for (let round = 0; round < 6; round++) {
      first = await this.#beat(group, 'm1', { epoch: first.epoch, owned })
      owned = first.assigned ?? owned
      second = await this.#beat(group, 'm2', { epoch: second.epoch, instanceId: 'static', owned: null })
    }
    const gone = this.#name('gone-assigned')
    await this.#beat(gone, 'm', {})
    await this.#beat(gone, 'm', { epoch: -1 })
    await groups.remove({ namespace, group: gone })
  }

  async #take(group: string, topic: Topic, recordsMax: number): Promise<void> {
    const { shareGroups } = this.#core
    const partition = shareGroups.partition({ namespace, group }, topic.id, 0)
    assert(partition)
    const request = { ...noLease, partitions: [partition], recordsMax }
    const { taken, release } = await answer<TakeResult>(
      done => void shareGroups.take({ namespace, group }, 's1', request, done),
    )
    assert.equal(taken.length, 1)
    release()
  }

  /** A group that has accepted, rejected and returned records, and one that has forgotten everything. */
  async #shareGroups(): Promise<void> {
    const { groups, shareGroups, topics } = this.#core
    const [orders, gone] = ['orders', 'gone'].map(name => topics.get(namespace, this.#name(name)))
    assert(orders && gone)
    const [stream] = gone.partitions
    assert(stream !== undefined)
    await this.#append(stream, [this.#text('soon gone')])
    const group = this.#name('share')
    const config = new Map([['shareStart', 'earliest']])
    for (const name of ['share', 'gone-share']) {
      await groups.configure({ namespace, group: this.#name(name) }, config)
      await shareGroups.prepare({ namespace, group: this.#name(name) }, [orders.id, gone.id])
    }
    await this.#beat(group, 's1', { kind: 'shared' })
    await this.#append(
      orders.partitions[0] ?? -1,
      ['four', 'five', 'six'].map(text => this.#text(text)),
    )
    await this.#take(group, orders, 100)
    const partition = shareGroups.partition({ namespace, group }, orders.id, 0)
    assert(partition)
    const isSettled = shareGroups.settle({ namespace, group }, 's1', partition, [
      { first: 1, last: 1, outcome: 'ack' },
      { first: 2, last: 2, outcome: 'reject' },
      { first: 3, last: 3, outcome: 'release' },
    ])
    assert(isSettled)
    await this.#core.groups.configure({ namespace, group: this.#name('gone-share') }, new Map())
    await shareGroups.move({ namespace, group: this.#name('gone-share') }, [
      { topicId: orders.id, partition: 1, offset: 1 },
    ])
    await shareGroups.forget({ namespace, group: this.#name('gone-share') }, orders.id)
    const leaving = { kind: 'shared' as const }
    await this.#beat(this.#name('gone-share'), 's2', leaving)
    await this.#beat(this.#name('gone-share'), 's2', { ...leaving, epoch: -1 })
    await groups.remove({ namespace, group: this.#name('gone-share') })
  }

  /** Committed, aborted, open, and empty ones. */
  async #transactions({ id: topicId, partitions }: Topic): Promise<void> {
    const stream = partitions[2]
    assert(stream !== undefined)
    for (const how of ['committed', 'aborted', 'open', 'empty'] as const) {
      const transaction = { namespace, id: this.#name(how), epochPerTransaction: true, connection: 1 }
      const { transactions } = this.#core
      const registration = { namespace, id: transaction.id, timeoutMs: 24 * hour, previous: undefined, connection: 1 }
      const { error, ...producer } = await answer<Identified>(done => transactions.register(registration, done))
      assert.equal(error, undefined)
      if (how === 'empty') continue
      const request = { ...transaction, producerId: producer.producerId, epoch: producer.epoch }
      const batch = batches.makeBatch([this.#text(how)], {
        producerId: producer.producerId,
        producerEpoch: producer.epoch,
        baseSequence: 0,
        attributes: batches.attributeBits.transactional,
      })
      const appended = await answer<{ error?: unknown }>(done => transactions.append(request, stream, batch, done))
      assert.equal(appended.error, undefined)
      const { topics } = this.#commitOf('', topicId, [7])
      const pending = { ...request, ...nobody, group: this.#name(`of-${how}`), topics }
      assert.equal(await answer(done => transactions.commitOffsets(pending, done)), undefined)
      if (how === 'open') continue
      const ended = { ...request, isCommitted: how === 'committed' }
      assert.equal((await answer<Identified>(done => transactions.end(ended, done))).error, undefined)
    }
  }

  /** A queue whose messages have met every fate, and one that is gone. */
  async #queues(): Promise<void> {
    const { queues } = this.#core
    const queue = await queues.declare(namespace, this.#name('jobs'), new Map([['delivery.limit', '9']]))
    const messages = Array.from({ length: 10 }, (_, index) => ({ value: Buffer.from(`job ${index} ${this.#mark}`) }))
    await answer(done => queue.publish(messages, done))
    const { cursor } = queue
    const lasting = cursor.join(this.#name('lasting'), 'lasting')
    const session = cursor.join(this.#name('session'), 'session')
    const passing = cursor.join(this.#name('passing'), 'session')
    const sink = { run: () => {} }
    cursor.acquire(lasting, { max: 4, to: 10 }, sink)
    cursor.acquire(session, { max: 2, to: 10, leaseMs: 1000 * hour }, sink)
    cursor.acquire(passing, { max: 1, to: 10 }, sink)
    cursor.ack(lasting, 0)
    cursor.reject(lasting, 1)
    cursor.release(lasting, 2)
    cursor.extend(lasting, 3, 3, 2000 * hour)
    cursor.leave(passing)
    cursor.drop(6, 6, 'expired')
    const other = await queues.declare(namespace, this.#name('old-jobs'))
    await answer(done => other.publish([{ value: Buffer.from('lost') }], done))
    await queues.remove(namespace, this.#name('old-jobs'))
  }

  /** An exchange with two bindings, and one that is gone. */
  async #routes(): Promise<void> {
    const { router } = this.#core
    const [source, other] = [this.#name('events'), this.#name('old-events')]
    await router.declare(namespace, source, { kind: 'topic', config: new Map([['alternate.exchange', 'amq.fanout']]) })
    await router.declare(namespace, other, { kind: 'headers', autoDelete: true })
    const toQueue = { kind: 'queue' as const, destination: this.#name('jobs') }
    await router.bind(namespace, { source, ...toQueue, key: 'a.#' })
    await router.bind(namespace, { source, kind: 'topic', destination: this.#name('orders'), key: 'b.*' })
    await router.bind(namespace, { source, ...toQueue, key: 'never' })
    await router.unbind(namespace, { source, ...toQueue, key: 'never' })
    const given = [{ name: 'size', value: 7n }]
    await router.bind(namespace, { source: 'amq.headers', ...toQueue, key: '', arguments: given })
    await router.remove(namespace, other)
    // It stays as long as one of its bindings does, and only the other one is durable.
    const auto = this.#name('auto')
    await router.declare(namespace, auto, { autoDelete: true })
    await this.#core.queues.declare(namespace, this.#name('brief'), new Map(), { isDurable: false })
    await router.bind(namespace, { source: auto, kind: 'queue', destination: this.#name('brief'), key: '' })
    await router.bind(namespace, { source: auto, ...toQueue, key: '' })
  }

  /** A queue with three lanes that goes with its last consumer, and one that is gone. */
  async #priorities(): Promise<void> {
    const { queues } = this.#core
    const config = new Map([['priority.max', '9']])
    for (const name of ['urgent', 'old-urgent']) {
      const queue = await queues.declare(namespace, this.#name(name), config, { autoDelete: true })
      const messages = [0, 9, 4].map(priority => ({ value: Buffer.from(`${priority} ${this.#mark}`), priority }))
      await answer(done => queue.publish(messages, done))
    }
    await queues.remove(namespace, this.#name('old-urgent'))
  }

  /** One of each rank, and one that is gone. */
  async #policies(): Promise<void> {
    const { policies } = this.#core
    const of = { namespace, pattern: `^urgent-${this.#mark}$`, target: 'queues' as const }
    const name = this.#name('policy')
    const said = [
      { name: 'max-length', value: 100n },
      { name: 'ha-params', value: ['one', 2n] },
    ]
    await policies.set({ ...of, rank: 'user', name, priority: -7, definition: said })
    await policies.set({
      ...of,
      rank: 'operator',
      name,
      priority: 0,
      definition: [{ name: 'max-length', value: 50n }],
    })
    await policies.set({ ...of, rank: 'user', name: this.#name('gone-policy'), priority: 1, definition: said })
    await policies.remove('user', namespace, this.#name('gone-policy'))
  }

  /** Jobs: one is done, one put aside, one given back for later, one waits for its time, one is ready. */
  async #tasks(): Promise<void> {
    const { work } = this.#core
    const worker = work.worker({ name: this.#name('worker'), leaseMs: () => hour })
    const put = async (name: string, text: string, delayMs = 0): Promise<number> => {
      const queue = work.open(namespace, this.#name(name))
      worker.watch(queue)
      const value = Buffer.from(`${text} ${this.#mark}`)
      const number = await answer<number | string>(done => queue.put({ value }, { priority: 5, delayMs }, done))
      assert(typeof number === 'number', String(number))
      return number
    }
    const reserve = (): Promise<number> => answer(done => worker.reserve(held => done(held.spot.number)))
    const passing = await put('old-tasks', 'gone')
    assert.equal(await reserve(), passing)
    assert(worker.remove(passing))
    const numbers: number[] = []
    for (const text of ['done', 'aside', 'given back']) numbers.push(await put('tasks', text))
    await put('tasks', 'delayed', 1000 * hour)
    const [first, second, third] = numbers
    assert(first && second && third)
    assert.equal(await reserve(), first)
    assert(worker.release(first, 1, 0))
    assert.equal(await reserve(), first)
    assert(worker.remove(first))
    assert.equal(await reserve(), second)
    assert(worker.putAside(second, 5))
    assert.equal(await reserve(), third)
    assert(worker.release(third, 9, 1000 * hour))
    await put('tasks', 'ready')
    worker.close()
    await turns()
    await answer(done => work.whenDurable(() => done(undefined)))
  }

  /** Some wait for weeks, one is published, one is cancelled and one moved; schedules of which one is in time. */
  async #delayed(): Promise<void> {
    const { delayed, schedules, queues } = this.#core
    const key = this.#name('later')
    await queues.declare(namespace, key)
    const message = (text: string) => ({ value: Buffer.from(`${text} ${this.#mark}`), priority: 4 })
    const wait = async (text: string, delayMs: number): Promise<string> => {
      const headers = [{ name: 'text', value: text }]
      const later = { namespace, exchange: '', key, headers, message: message(text) }
      const { id, error } = await answer<{ id: string; error?: unknown }>(done => delayed.publish(later, delayMs, done))
      assert.equal(error, undefined)
      return id
    }
    const ids: string[] = []
    for (let number = 0; number < 20; number++) ids.push(await wait(`m${number}`, 1000 * hour + number))
    await delayed.cancel(ids[3] ?? '')
    await delayed.reschedule(ids[5] ?? '', this.#clock.nowMs() + 2000 * hour)
    await wait('published', 1000)
    const schedule = { namespace, exchange: '', key, timeZone: 'UTC', missed: 'skip', isEnabled: true } as const
    const daily = { ...schedule, name: this.#name('daily'), expression: '@daily', message: message('daily') }
    const often = { ...schedule, name: this.#name('often'), expression: '* * * * *', message: message('often') }
    await schedules.set(often)
    await schedules.set(daily)
    await schedules.set({ ...daily, name: this.#name('gone') })
    await schedules.remove(namespace, this.#name('gone'))
    await this.#clock.advance(60_000)
    await schedules.enable(namespace, often.name, false)
    // What was published leaves nothing behind.
    await this.#clock.advance(70_000)
    await turns()
  }
}
