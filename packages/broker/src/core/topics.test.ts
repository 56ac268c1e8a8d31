import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { machineKinds } from '../cell/machine.ts'
import { homeNamespace } from './topic.ts'
import { DirectoryMachine, factOf, factTypes, factVersion, identified, producerIdBlock } from './directory.ts'
import { BrokerError, type ErrorCode } from './errors.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { TestLedger, type Fact } from './test-ledger.ts'
import { topicConfig } from './topic-config.ts'
import { Topics } from './topics.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

async function open(
  limits: Partial<Limits> = {},
  ledger = new TestLedger(),
): Promise<{ ledger: TestLedger; topics: Topics }> {
  const topics = await Topics.open(ledger, { limits: { ...defaultLimits, ...limits }, random: new Random(seed) })
  return { ledger, topics }
}

function refusal(code: ErrorCode, text?: RegExp): (error: unknown) => boolean {
  return error => {
    assert(error instanceof BrokerError)
    assert.equal(error.code, code)
    if (text !== undefined) assert.match(error.message, text)
    return true
  }
}

/** The same facts applied to a new machine. */
function replayed(facts: readonly Fact[]): DirectoryMachine {
  const machine = new DirectoryMachine()
  for (const { type, payload } of facts) machine.apply(type, payload)
  return machine
}

function saved(machine: DirectoryMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}

function loaded(bytes: Buffer): DirectoryMachine {
  const machine = new DirectoryMachine()
  const reader = new Reader(bytes)
  machine.load(reader)
  reader.expectEnd()
  return machine
}

test('open writes the identity once and finds it again', async () => {
  const { ledger, topics } = await open()
  assert.equal(topics.clusterId.length, 16)
  assert.equal(ledger.facts.length, 1)
  const again = await open({}, new TestLedger(replayed(ledger.facts)))
  assert.deepEqual(again.topics.clusterId, topics.clusterId)
  assert.equal(again.ledger.facts.length, 0)
})

test('create answers when the topic is durable, in one block with its streams', async () => {
  const { ledger, topics } = await open()
  ledger.automatic = false
  let answered = false
  const creation = topics.create(homeNamespace, 'orders', { partitions: 3, config: new Map([['retentionMs', '5000']]) })
  void creation.then(() => (answered = true))
  const shown = topics.get(homeNamespace, 'orders')
  assert.deepEqual(shown?.partitions, ledger.defined)
  assert.equal(topics.settled, false)
  await Promise.resolve()
  assert.equal(answered, false)

  ledger.flush()
  const topic = await creation
  assert.equal(topics.settled, true)
  assert.equal(topic, shown)
  assert.equal(topics.byId(topic.id), topic)
  assert.deepEqual(topics.ofStream(topic.partitions[2]!), { topic, partition: 2 })
  assert.deepEqual(topics.retentionOf(topic.partitions[0]!), { ms: 5000, bytes: -1 })
  assert.equal(topics.retentionOf(1), undefined)
  ledger.automatic = true
  await topics.configure('/', topic.name, new Map([['cleanupPolicy', 'compact']]))
  const compaction = {
    dirtyRatioMin: 0.5,
    lagMinMs: 0,
    lagMaxMs: Number(2n ** 63n - 1n),
    deleteRetentionMs: 86_400_000,
  }
  assert.deepEqual(topics.retentionOf(topic.partitions[0]!), { ms: -1, bytes: -1, compaction })
  assert.match(topic.id, /^[0-7][0-9a-f]{31}$/)
})

test('create gives a name to one of two who ask at once', async () => {
  const { topics } = await open()
  const [first, second] = await Promise.allSettled([topics.create('/', 'a'), topics.create('/', 'a')])
  assert.equal(first.status, 'fulfilled')
  assert(second.status === 'rejected')
  assert(refusal('topic-exists', /"a"/)(second.reason))
  await topics.create('other', 'a')
  assert.deepEqual(
    topics.list().map(topic => topic.namespace),
    ['/', 'other'],
  )
  assert.equal(topics.list('other').length, 1)
})

test('create refuses bad names, counts and settings and writes nothing', async () => {
  const { ledger, topics } = await open({ partitionsPerTopicMax: 5, partitionsMax: 7, topicsMax: 2 })
  const before = ledger.facts.length
  for (const name of ['', '.', '..', 'a b', 'a/b', 'ä', 'x'.repeat(250), 'a\n']) {
    await assert.rejects(topics.create('/', name), refusal('name-invalid'))
  }
  for (const partitions of [0, -1, 6, 1.5, NaN]) {
    await assert.rejects(topics.create('/', 'a', { partitions }), refusal('partition-count-invalid'))
  }
  const config = new Map([['retentionDays', '1']])
  await assert.rejects(topics.create('/', 'a', { config }), refusal('config-invalid', /retentionDays/))
  const preview = await topics.create('/', 'a', { partitions: 2, validateOnly: true })
  assert.equal(preview.partitions.length, 2)
  assert.equal(ledger.facts.length, before)
  assert.deepEqual(ledger.defined, [])

  await topics.create('/', 'x'.repeat(249), { partitions: 5 })
  await assert.rejects(topics.create('/', 'b', { partitions: 3 }), refusal('limit-reached', /2 left of 7/))
  await topics.create('/', 'b')
  await assert.rejects(topics.create('/', 'c'), refusal('limit-reached', /2 topics/))
})

test('remove drops the streams and tells those who asked, in one block', async () => {
  const { ledger, topics } = await open()
  const topic = await topics.create('/', 'a', { partitions: 2 })
  const told: string[] = []
  topics.beforeRemove(removed => told.push(removed.id))
  await topics.remove('/', 'a')
  assert.deepEqual(told, [topic.id])
  assert.deepEqual(ledger.dropped, topic.partitions)
  assert.equal(topics.get('/', 'a'), undefined)
  assert.equal(topics.byId(topic.id), undefined)
  assert.equal(topics.ofStream(topic.partitions[0]!), undefined)
  await assert.rejects(topics.remove('/', 'a'), refusal('topic-not-found'))
  const again = await topics.create('/', 'a')
  assert.notEqual(again.id, topic.id)
})

test('addPartitions keeps the present ones and refuses to shrink', async () => {
  const { topics } = await open({ partitionsPerTopicMax: 4 })
  const topic = await topics.create('/', 'a', { partitions: 2 })
  assert.equal((await topics.addPartitions('/', 'a', 3, { validateOnly: true })).partitions.length, 2)
  const grown = await topics.addPartitions('/', 'a', 4)
  assert.deepEqual(grown.partitions.slice(0, 2), topic.partitions)
  assert.deepEqual(topics.ofStream(grown.partitions[3]!), { topic: grown, partition: 3 })
  assert.equal(topics.ofStream(grown.partitions[0]!)?.topic, grown)
  for (const total of [4, 3, 0, 5]) {
    await assert.rejects(topics.addPartitions('/', 'a', total), refusal('partition-count-invalid'))
  }
  await assert.rejects(topics.addPartitions('/', 'b', 2), refusal('topic-not-found'))
})

test('configure replaces the whole set', async () => {
  const { ledger, topics } = await open()
  await topics.create('/', 'a', { config: new Map([['retentionMs', '1']]) })
  const config = new Map([['retentionBytes', '2']])
  await topics.configure('/', 'a', new Map([['retentionBytes', '3']]), { validateOnly: true })
  const topic = await topics.configure('/', 'a', config)
  assert.deepEqual([...topic.config], [['retentionBytes', '2']])
  const facts = ledger.facts.length
  await topics.configure('/', 'a', config)
  assert.equal(ledger.facts.length, facts)
  await assert.rejects(
    topics.configure('/', 'a', new Map([['x', '1']])),
    refusal('config-invalid', /x: there is no such/),
  )
  await assert.rejects(topics.configure('/', 'b', config), refusal('topic-not-found'))
})

test('nextProducerId never gives an id twice, also after a restart', async () => {
  const { ledger, topics } = await open()
  const count = producerIdBlock + 5
  const ids = await Promise.all(Array.from({ length: count }, () => topics.nextProducerId()))
  assert.equal(new Set(ids).size, count)
  assert.equal(ledger.facts.filter(({ type }) => type === factTypes.producerIdsReserved).length, 2)
  const restarted = await open({}, new TestLedger(replayed(ledger.facts)))
  assert.equal(await restarted.topics.nextProducerId(), 2 * producerIdBlock)
})

test('an unknown fact or one of a newer version is refused', () => {
  const machine = new DirectoryMachine()
  assert.throws(() => machine.apply(99, Buffer.from([1])), /newer broker/)
  const payload = factOf(identified, { clusterId: '0'.repeat(32) })
  payload[0] = factVersion + 1
  assert.throws(() => machine.apply(factTypes.identified, payload), /newer broker/)
  assert.throws(() => loaded(Buffer.from([factVersion + 1])), /newer broker/)
})

test(`replay and checkpoint arrive at the same directory (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const { ledger, topics } = await open({ partitionsMax: 60 })
  const names = ['a', 'b', 'c', 'd', 'e']
  let checkpoint: { bytes: Buffer; facts: number } = { bytes: saved(new DirectoryMachine()), facts: 0 }
  for (let step = 0; step < 400; step++) {
    const name = random.pick(names)
    const namespace = random.pick(['/', 'tenant'])
    const change = random.pick(['create', 'remove', 'grow', 'configure', 'id', 'checkpoint'])
    const config = new Map([['retentionMs', String(random.below(1000))]])
    try {
      if (change === 'create') await topics.create(namespace, name, { partitions: random.between(1, 6), config })
      else if (change === 'remove') await topics.remove(namespace, name)
      else if (change === 'grow') await topics.addPartitions(namespace, name, random.between(1, 12))
      else if (change === 'configure') await topics.configure(namespace, name, config)
      else if (change === 'id') await topics.nextProducerId()
      else checkpoint = { bytes: saved(replayed(ledger.facts)), facts: ledger.facts.length }
    } catch (error) {
      assert(error instanceof BrokerError, String(error))
    }
  }
  const machine = ledger.machine(machineKinds.directory)
  assert(machine instanceof DirectoryMachine)
  const whole = replayed(ledger.facts)
  const fromCheckpoint = loaded(checkpoint.bytes)
  for (const { type, payload } of ledger.facts.slice(checkpoint.facts)) fromCheckpoint.apply(type, payload)
  for (const other of [whole, fromCheckpoint, loaded(saved(machine))]) {
    assert.deepEqual(saved(other), saved(machine))
    assert.equal(other.partitionCount, machine.partitionCount)
  }
  const streams = machine.list().flatMap(topic => topic.partitions)
  assert.equal(new Set(streams).size, machine.partitionCount)
  assert.deepEqual(new Set([...streams, ...ledger.dropped]), new Set(ledger.defined))
  for (const topic of machine.list()) {
    assert.equal(machine.get(topic.namespace, topic.name), topic)
    for (const [partition, stream] of topic.partitions.entries()) {
      assert.deepEqual(machine.ofStream(stream), { topic, partition })
    }
  }
})

test('overrides are the defaults of all topics, those of this broker first, and survive', async () => {
  const { topics, ledger } = await open()
  const early = await topics.create('/', 'early')
  const own = await topics.create('/', 'own', { config: new Map([['retentionMs', '1']]) })
  const retentionOf = (id: string, directory: Pick<Topics, 'byId'> = topics) => {
    return topicConfig(directory.byId(id) ?? assert.fail()).retentionMs
  }
  await topics.override(
    'cluster',
    new Map([
      ['retentionMs', '20'],
      ['connectionsMax', '5'],
    ]),
  )
  const late = await topics.create('/', 'late')
  assert.deepEqual(
    [early, own, late].map(({ id }) => retentionOf(id)),
    [20, 1, 20],
  )
  await topics.override('broker', new Map([['retentionMs', '30']]))
  assert.equal(retentionOf(early.id), 30)
  assert.equal(topics.overrideOf('connectionsMax'), 5)
  for (const machine of [replayed(ledger.facts), loaded(saved(replayed(ledger.facts)))]) {
    assert.equal(retentionOf(late.id, machine), 30)
    assert.deepEqual(
      [...machine.overrides('cluster')],
      [
        ['retentionMs', '20'],
        ['connectionsMax', '5'],
      ],
    )
  }
  await assert.rejects(topics.override('broker', new Map([['retentionMs', 'x']])), refusal('config-invalid'))
  await assert.rejects(topics.override('broker', new Map([['connectionsMax', '0']])), refusal('config-invalid'))
  await assert.rejects(topics.override('broker', new Map([['x', '1']])), refusal('config-invalid', /cannot be changed/))
  await topics.override('broker', new Map(), { validateOnly: true })
  assert.equal(retentionOf(early.id), 30)
  await topics.override('broker', new Map())
  assert.equal(retentionOf(early.id), 20)
})

test('a directory that was saved before there were overrides can be read', () => {
  const out = new Writer()
  out.u8(1)
  out.bool(false)
  out.uvarint(7)
  out.u32(0)
  assert.equal(loaded(out.take()).producerIdBlocks, 7)
})
