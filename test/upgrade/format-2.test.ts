import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import test, { type TestContext } from 'node:test'
import { temporary } from '../../packages/broker/src/cell/testing/cells.ts'
import { readCommitted } from '../../packages/broker/src/cell/testing/committed.ts'
import { machineKinds } from '../../packages/broker/src/cell/machine.ts'
import { cellFacts, cellMachine } from '../../packages/broker/src/cell/state.ts'
import { streamFacts } from '../../packages/broker/src/cell/stream.ts'
import { homeNamespace as namespace, type Broker, type Topic } from '../../packages/broker/src/core/broker.ts'
import { cursorFacts } from '../../packages/broker/src/core/cursor/facts.ts'
import { entryFacts } from '../../packages/broker/src/core/entry-streams/facts.ts'
import { factTypes } from '../../packages/broker/src/core/directory.ts'
import { delayedFacts } from '../../packages/broker/src/core/delayed/facts.ts'
import { membershipFacts } from '../../packages/broker/src/core/groups/assigned/facts.ts'
import { groupFacts } from '../../packages/broker/src/core/groups/facts.ts'
import { identityFacts } from '../../packages/broker/src/core/identity/facts.ts'
import { listFacts } from '../../packages/broker/src/core/lists/facts.ts'
import { namespaceFacts } from '../../packages/broker/src/core/namespaces/facts.ts'
import { policyFacts } from '../../packages/broker/src/core/policies/facts.ts'
import { quotaFacts } from '../../packages/broker/src/core/quotas/facts.ts'
import { retainedFacts } from '../../packages/broker/src/core/retained/facts.ts'
import { sessionFacts } from '../../packages/broker/src/core/sessions/facts.ts'
import { shareFacts } from '../../packages/broker/src/core/share/facts.ts'
import { transactionFacts } from '../../packages/broker/src/core/transactions/facts.ts'
import { valueFacts } from '../../packages/broker/src/core/values/facts.ts'
import { workFacts } from '../../packages/broker/src/core/work/facts.ts'
import { dataFormat } from '../../packages/broker/src/data-directory.ts'
import { machines } from '../../packages/broker/src/machines.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { blockHeaderBytes, factHeaderBytes, type Block } from '../../packages/broker/src/storage/block.ts'
import { ChainWriters, scanChainFile } from '../../packages/broker/src/storage/scan.ts'
import { verifyDirectory } from '../../packages/broker/src/cell/verify.ts'
import { FixtureClock, longMs, openFixture, unpack } from './fixture.ts'
import { KeyedMemory } from './keyed-memory.ts'
import { ruleOf } from './story.ts'

const { disk } = realRuntime()

function copy(t: TestContext, of = 'format-2'): string {
  const directory = temporary(t)
  unpack(of, directory)
  return directory
}

/** All kinds of facts by machine kind, but for those that a short life does not meet, or only in what an earlier one has made. */
const factTables: [number, Record<string, number>][] = [
  [cellMachine, without(cellFacts, 'mark')],
  [machineKinds.directory, without(factTypes, 'identified', 'producerIdsReserved')],
  [machineKinds.groups, groupFacts],
  [machineKinds.memberships, membershipFacts],
  [machineKinds.transactions, transactionFacts],
  [machineKinds.identity, identityFacts],
  [machineKinds.quotas, quotaFacts],
  [machineKinds.shareGroups, shareFacts],
  [machineKinds.namespaces, namespaceFacts],
  [machineKinds.policies, policyFacts],
  [machineKinds.delayed, delayedFacts],
  // Numbers are dropped in thousands.
  [machineKinds.work, without(workFacts, 'runsDropped')],
  [machineKinds.lists, listFacts],
  [machineKinds.values, valueFacts],
  [machineKinds.entryStreams, entryFacts],
  [machineKinds.sessions, sessionFacts],
  [machineKinds.retained, without(retainedFacts, 'opened')],
  [machineKinds.stream, without(streamFacts, 'forgetProducers', 'forgetAborted')],
  [machineKinds.cursor, without(cursorFacts, 'surfaced')],
]

function without(table: Record<string, number>, ...names: string[]): Record<string, number> {
  return Object.fromEntries(Object.entries(table).filter(([name]) => !names.includes(name)))
}

/** Which facts a block holds, as `kind type`. `kinds` remembers those of the machines that blocks have defined. */
function factsIn({ bytes, factCount }: Block, kinds: Map<number, number>, found: Set<string>): void {
  for (let at = blockHeaderBytes, left = factCount; left > 0; left--) {
    const type = bytes[at] ?? -1
    const machine = bytes.readUInt32BE(at + 2)
    const payload = at + factHeaderBytes
    if (machine === cellMachine && type === cellFacts.define) {
      kinds.set(bytes.readUInt32BE(payload + 2), bytes.readUInt16BE(payload))
    }
    found.add(`${kinds.get(machine) ?? machine} ${type}`)
    at = payload + bytes.readUInt32BE(at + 6)
  }
}

test('format 2: the fixture is sound, and its journal has every kind of fact', async t => {
  const directory = copy(t)
  assert.deepEqual((await verifyDirectory(disk, directory, machines)).findings, [])
  const found = new Set<string>()
  const kinds = new Map<number, number>()
  const journal = path.join(directory, 'cell/0/b')
  for (const name of fs.readdirSync(journal).sort()) {
    if (!name.endsWith('.blocks')) continue
    const file = await disk.open(path.join(journal, name), 'read')
    await scanChainFile(file, {
      path: name,
      writers: new ChainWriters(),
      afterSeq: -1,
      dense: true,
      visit: block => factsIn(block, kinds, found),
    })
    await file.close()
  }
  const missing = factTables.flatMap(([kind, table]) =>
    Object.entries(table)
      .filter(([, type]) => !found.has(`${kind} ${type}`))
      .map(([name]) => `${kind} ${name}`),
  )
  assert.deepEqual(missing, [])
})

test('format 2: all of it is found after a start, and after one more', async t => {
  const directory = copy(t)
  const clock = new FixtureClock()
  await clock.advance(longMs + 1000)
  for (const seed of [3, 4]) {
    const broker = await openFixture(directory, clock, seed)
    for (const mark of ['a', 'b']) await new Memory(broker.core, mark).check()
    await broker.close()
  }
  assert.deepEqual(JSON.parse(fs.readFileSync(path.join(directory, 'format.json'), 'utf8')), { format: dataFormat })
})

/** Directories of earlier releases, and what each release had to remember. */
const earlier = [
  ['format-2-first', 'namespaces, policies and delays', (memory: Memory) => memory.checkFirst()],
  ['format-2-second', 'lists, values, entries, sessions and last messages', (memory: Memory) => memory.checkSecond()],
] as const

for (const [name, things, check] of earlier) {
  test(`format 2: what was written before there were ${things} is found, too`, async t => {
    const directory = copy(t, name)
    assert.deepEqual((await verifyDirectory(disk, directory, machines)).findings, [])
    const clock = new FixtureClock()
    await clock.advance(longMs + 1000)
    for (const seed of [3, 4]) {
      const broker = await openFixture(directory, clock, seed)
      for (const mark of ['a', 'b']) await check(new Memory(broker.core, mark))
      await broker.close()
    }
  })
}

/** What the broker has to remember of a story. */
class Memory {
  readonly #core: Broker
  readonly #mark: string

  constructor(core: Broker, mark: string) {
    this.#core = core
    this.#mark = mark
  }

  async check(): Promise<void> {
    await this.checkSecond()
    await new KeyedMemory(this.#core, this.#mark).check()
  }

  /** What was told before there were lists, values, entries, sessions and last messages. */
  async checkSecond(): Promise<void> {
    await this.checkFirst()
    this.#tenants()
    await this.#delayed()
    await this.#priorities()
    this.#policies()
    this.#brief()
  }

  /** What the first stories told. */
  async checkFirst(): Promise<void> {
    const orders = this.#core.topics.get(namespace, this.#name('orders'))
    assert(orders)
    this.#topics(orders)
    await this.#records(orders)
    this.#people()
    this.#classicGroups(orders)
    this.#assignedGroups()
    this.#shareGroups(orders)
    await this.#transactions(orders)
    await this.#queues()
    this.#routes(orders)
    this.#tasks()
  }

  #name(name: string): string {
    return `${name}-${this.#mark}`
  }

  #topics(orders: Topic): void {
    const { topics, cell } = this.#core
    assert.deepEqual([orders.partitions.length, [...orders.config]], [3, [['retentionMs', '-1']]])
    assert.equal(topics.get(namespace, this.#name('gone')), undefined)
    assert.deepEqual([...topics.overrides('cluster')], [['retentionMs', '222000000']])
    assert.equal(topics.overrideOf('connectionsMax'), 222)
    assert.equal(topics.clusterId.length, 16)
    const epoch = this.#mark === 'a' ? 1 : 2
    const bounds = cell.bounds(orders.partitions[0] ?? -1)
    assert.deepEqual(bounds, { startOffset: 1, endOffset: 6, stableOffset: 6, epoch, startEpoch: epoch })
  }

  async #read(topic: Topic | undefined, partition: number): Promise<[number, string][]> {
    const records = await readCommitted(this.#core.cell, topic?.partitions[partition] ?? -1)
    return records.map(({ offset, text }) => [offset, text])
  }

  async #records(orders: Topic): Promise<void> {
    const of = (text: string): string => `${text} ${this.#mark}`
    const texts = ['two', 'three', 'four', 'five', 'six'].map((text, index) => [index + 1, of(text)])
    assert.deepEqual(await this.#read(orders, 0), texts)
    const large = ['x', 'y'].map((text, index) => [index + 1, of(text.repeat(3000))])
    assert.deepEqual(await this.#read(orders, 1), [[0, of('numbered')], ...large])
    assert.deepEqual(await this.#read(orders, 2), [[0, of('committed')]])
    // The first life's was compacted in the second.
    const compacted = await this.#read(this.#core.topics.get(namespace, this.#name('compacted')), 0)
    // A tombstone stays for a while.
    const newest = ['null', 'k 3', 'l 3', 'n 3'].map((text, index) => [8 + index, text])
    assert.deepEqual(compacted.slice(-4), newest)
    assert.equal(compacted.length, this.#mark === 'a' ? 4 : 12)
    const producers = this.#core.cell.producers(orders.partitions[1] ?? -1) ?? []
    assert.deepEqual(
      producers.map(({ producerId, epoch, lastSequence }) => [producerId, epoch, lastSequence]),
      this.#mark === 'a' ? [] : [[77_000, 3, 5]],
    )
  }

  #people(): void {
    const { identity, quotas } = this.#core
    const alice = identity.user(this.#name('alice'))
    assert.deepEqual([...(alice?.credentials.keys() ?? [])], ['SCRAM-SHA-256'])
    assert.equal(alice?.credentials.get('SCRAM-SHA-256')?.salt.toString('hex'), '07'.repeat(24))
    assert.equal(alice?.isSuper, this.#mark === 'a')
    assert.equal(identity.user(this.#name('bob')), undefined)
    const rules = [...identity.rules].filter(({ name }) => name.endsWith(this.#mark))
    assert.deepEqual(rules, [ruleOf(this.#name('orders'))])
    assert.deepEqual(quotas.get({ user: this.#name('alice') })?.values, new Map([['publishBytes', 12_345]]))
    assert.deepEqual(quotas.get({ address: null })?.values, new Map([['connections', 17]]))
    assert.equal(quotas.get({ client: this.#name('c') }), undefined)
  }

  #tenants(): void {
    const { identity, namespaces, queues } = this.#core
    const [tenant, gone, user] = [this.#name('tenant'), this.#name('old-tenant'), this.#name('carol')]
    const { description, tags, defaultQueueType, limits } = namespaces.get(tenant) ?? {}
    assert.deepEqual([description, tags, defaultQueueType], ['a tenant', ['x'], 'quorum'])
    assert.deepEqual([...(limits ?? [])], [['queues', 34]])
    assert.deepEqual(
      namespaces.parameters(tenant).map(({ name, value }) => [name, value]),
      [['kept', '{"a":1}']],
    )
    assert.equal(namespaces.has(gone), false)
    assert.deepEqual(queues.list(gone), [])
    const carol = identity.user(user)
    assert.deepEqual([carol?.tags, carol?.isGoverned, carol?.hash?.algorithm], [['monitoring'], true, 'sha256'])
    assert.deepEqual([...(carol?.limits ?? [])], [['channels', 12]])
    const { permissions, keyPermissions } = identity.governance
    const permission = { user, namespace: tenant, configure: '.*', write: '.*', read: '^r' }
    assert.deepEqual(
      permissions.filter(of => of.user === user),
      [permission],
    )
    const keyPermission = { user, namespace: tenant, exchange: 'amq.topic', write: 'w', read: 'r' }
    assert.deepEqual(
      keyPermissions.filter(of => of.user === user),
      [keyPermission],
    )
  }

  #offsets(group: string, topicId: string): [number, number, string][] {
    const of = this.#core.groups.offsets(namespace, this.#name(group))?.get(topicId) ?? new Map()
    return Array.from(of, ([partition, { offset, metadata }]) => [partition, offset, metadata])
  }

  #classicGroups({ id }: Topic): void {
    const { groups } = this.#core
    const { state, generation, members } = groups.describe(namespace, this.#name('classic')) ?? {}
    assert.deepEqual([state, generation], ['stable', 1])
    assert.deepEqual(
      members?.map(({ subscription, assignment }) => [String(subscription), String(assignment)]),
      [['subscription', 'assignment']],
    )
    assert.equal(groups.describe(namespace, this.#name('emptied'))?.state, 'empty')
    assert.deepEqual(this.#offsets('emptied', id), [
      [0, 1, 'note'],
      [2, 3, 'note'],
    ])
    assert.deepEqual(this.#offsets('of-gone', id), [[0, 5, 'note']])
    assert.equal(groups.offsets(namespace, this.#name('of-gone'))?.size, 1)
    assert.equal(groups.offsets(namespace, this.#name('removed')), undefined)
  }

  #assignedGroups(): void {
    const { groups } = this.#core
    const described = groups.describeAssigned(namespace, this.#name('assigned'))
    assert.deepEqual([described?.kind, described?.state], ['exclusive', 'stable'])
    const members = described?.members.map(({ memberId, instanceId }) => [memberId, instanceId])
    assert.deepEqual(members, [
      ['m1', null],
      ['m2', 'static'],
    ])
    const given = described?.members.flatMap(({ assigned }) => [...assigned.values()].flat())
    assert.deepEqual(given?.sort(), [0, 1, 2])
    assert.deepEqual([...groups.config(namespace, this.#name('assigned'))], [['heartbeatIntervalMs', '6000']])
    assert.equal(groups.describeAssigned(namespace, this.#name('gone-assigned')), undefined)
  }

  #shareGroups(orders: Topic): void {
    const { shareGroups, groups } = this.#core
    const group = this.#name('share')
    const members = groups.describeAssigned(namespace, group)?.members.map(({ memberId }) => memberId)
    assert.deepEqual(members, ['s1'])
    const cursor = shareGroups.partition({ namespace, group }, orders.id, 0)?.cursor
    assert.deepEqual([cursor?.floor, cursor?.next, cursor?.ackedCount], [3, 6, 1])
    assert.deepEqual(
      [...(cursor?.pending() ?? [])].map(({ first, last, state, deliveryCount }) => [
        first,
        last,
        state,
        deliveryCount,
      ]),
      [[3, 5, 'returned', 1]],
    )
    assert.equal(shareGroups.positions({ namespace, group }).length, 3)
    assert.deepEqual(shareGroups.positions({ namespace, group: this.#name('gone-share') }), [])
  }

  async #transactions(orders: Topic): Promise<void> {
    const { transactions } = this.#core
    const states = ['committed', 'aborted', 'open', 'empty'].map(
      how => transactions.get(namespace, this.#name(how))?.state,
    )
    // Those of the first life have not been used for long in the second.
    const idle = [undefined, undefined, 'ongoing', undefined]
    assert.deepEqual(states, this.#mark === 'a' ? idle : ['committed', 'aborted', 'ongoing', 'empty'])
    assert.deepEqual(this.#offsets('of-committed', orders.id), [[0, 7, 'note']])
    assert.deepEqual(this.#offsets('of-aborted', orders.id), [])
    assert(this.#core.groups.isPending({ namespace, group: this.#name('of-open') }, orders.id, 0))
    const bounds = this.#core.cell.bounds(orders.partitions[2] ?? -1)
    assert.deepEqual([bounds?.stableOffset, bounds?.endOffset], [4, 5])
  }

  async #queues(): Promise<void> {
    const { queues } = this.#core
    assert.equal(queues.get(namespace, this.#name('old-jobs')), undefined)
    const queue = queues.get(namespace, this.#name('jobs'))
    assert(queue)
    assert.equal(queue.config.deliveryLimit, 9)
    const { cursor } = queue
    const lasting = cursor.consumerNamed(this.#name('lasting'))
    assert.deepEqual(
      [...cursor.consumers()].map(({ id }) => id),
      [lasting],
    )
    assert.deepEqual(
      [...cursor.pending()].map(({ first, last, state, deliveryCount }) => [first, last, state, deliveryCount]),
      [
        [2, 2, 'returned', 1],
        [3, 3, 'in-flight', 1],
        [4, 5, 'returned', 1],
      ],
    )
    assert.equal(cursor.holder(3), lasting)
    assert.deepEqual([cursor.next, cursor.ackedCount, cursor.droppedCount], [7, 1, 2])
    const messages = await queue.browse(0, 100)
    assert.deepEqual(
      messages.map(({ offset, value }) => [offset, String(value)]),
      [2, 3, 4, 5, 7, 8, 9].map(offset => [offset, `job ${offset} ${this.#mark}`]),
    )
  }

  #routes(orders: Topic): void {
    const { router } = this.#core
    const source = this.#name('events')
    const { kind, config } = router.get(namespace, source) ?? {}
    assert.deepEqual([kind, [...(config ?? [])]], ['topic', [['alternate.exchange', 'amq.fanout']]])
    assert.deepEqual(
      router.bindings(namespace, source).map(({ kind: to, destination, key }) => [to, destination, key]),
      [
        ['queue', this.#name('jobs'), 'a.#'],
        ['topic', orders.name, 'b.*'],
      ],
    )
    const led = router.bindings(namespace, 'amq.headers').find(({ destination }) => destination.endsWith(this.#mark))
    assert.deepEqual(led?.arguments, [{ name: 'size', value: 7n }])
    assert.equal(router.get(namespace, this.#name('old-events')), undefined)
  }

  /** What goes with a start or with its last binding. */
  #brief(): void {
    const { router } = this.#core
    assert.deepEqual(
      router.bindings(namespace, this.#name('auto')).map(({ destination }) => destination),
      [this.#name('jobs')],
    )
    assert.equal(this.#core.queues.get(namespace, this.#name('brief')), undefined)
  }

  async #priorities(): Promise<void> {
    const { queues } = this.#core
    assert.equal(queues.get(namespace, this.#name('old-urgent')), undefined)
    const queue = queues.get(namespace, this.#name('urgent'))
    assert(queue?.definition.autoDelete)
    const messages = await queue.browse(0, 100)
    assert.deepEqual(
      messages.map(({ value, stamp }) => [String(value), stamp.priority]),
      [9, 4, 0].map(priority => [`${priority} ${this.#mark}`, priority]),
    )
  }

  #policies(): void {
    const { policies, queues } = this.#core
    const told = policies.list('user', namespace).filter(({ name }) => name.endsWith(`-${this.#mark}`))
    assert.deepEqual(
      told.map(({ name, pattern, target, priority }) => [name, pattern, target, priority]),
      [[this.#name('policy'), `^urgent-${this.#mark}$`, 'queues', -7]],
    )
    assert.deepEqual(told[0]?.definition.find(({ name }) => name === 'ha-params')?.value, ['one', 2n])
    assert.equal(queues.get(namespace, this.#name('urgent'))?.config.lengthMax, 50)
  }

  #tasks(): void {
    const { work } = this.#core
    assert.equal(work.get(namespace, this.#name('old-tasks')), undefined)
    const queue = work.get(namespace, this.#name('tasks'))
    assert(queue)
    const { readyCount, delayedCount, asideCount, reservedCount } = queue
    assert.deepEqual([readyCount, delayedCount, asideCount, reservedCount], [1, 2, 1, 0])
    const aside = queue.firstAside()
    assert(aside)
    assert.equal(queue.stateOf(aside), 'aside')
    assert.equal(work.find(aside.number)?.offset, aside.offset)
    const done = work.find(aside.number - 1)
    assert.equal(done && queue.stateOf(done), undefined)
    const ready = queue.head()
    assert.equal(ready?.priority, 5)
  }

  async #delayed(): Promise<void> {
    const { delayed, schedules, queues } = this.#core
    const of = (text: string): string => `${text} ${this.#mark}`
    const key = this.#name('later')
    const { messages } = await delayed.list({ namespace, key, max: 100 })
    const texts = messages.map(({ message }) => String(message.value))
    const numbers = Array.from({ length: 20 }, (_, number) => number).filter(number => number !== 3 && number !== 5)
    assert.deepEqual(
      texts,
      [...numbers, 5].map(number => of(`m${number}`)),
    )
    const [first] = messages
    assert.deepEqual([first?.message.priority, first?.headers], [4, [{ name: 'text', value: 'm0' }]])
    assert.equal((await delayed.get(first?.id ?? ''))?.dueMs, first?.dueMs)
    const published = await queues.get(namespace, key)?.browse(0, 10)
    assert.deepEqual(
      published?.map(({ value }) => String(value)),
      [of('published'), of('often')],
    )
    const daily = schedules.get(namespace, this.#name('daily'))
    assert.deepEqual([daily?.expression, daily?.key, daily?.isEnabled], ['@daily', key, true])
    assert.deepEqual([String(daily?.message.value), daily?.publishedCount], [of('daily'), 0])
    const often = schedules.get(namespace, this.#name('often'))
    assert.deepEqual([often?.isEnabled, often?.publishedCount], [false, 1])
    assert.equal(schedules.get(namespace, this.#name('gone')), undefined)
  }
}
