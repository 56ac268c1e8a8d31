import assert from 'node:assert/strict'
import test from 'node:test'
import { fuzzBytes, ProtocolError, Random, Reader, Writer, type Codec, type Infer, type Write } from '@dragoman/wire'
import { homeNamespace, type Broker } from '../../../core/broker.ts'
import { Groups } from '../../../core/groups/groups.ts'
import { TestLedger } from '../../../core/groups/test-ledger.ts'
import { defaultLimits } from '../../../core/limits.ts'
import { TestLedger as DirectoryLedger } from '../../../core/test-ledger.ts'
import { Topics } from '../../../core/topics.ts'
import type { SessionContext } from '../../protocol.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import type { Exchange, Handler } from './handler.ts'
import { handlers } from './index.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const nilId = '0'.repeat(32)
const names = [
  'offsetCommit',
  'offsetFetch',
  'findCoordinator',
  'joinGroup',
  'heartbeat',
  'leaveGroup',
  'syncGroup',
  'describeGroups',
  'listGroups',
  'deleteGroups',
  'offsetDelete',
] as const
type Name = (typeof names)[number]
type Asked<N extends Name> = Write<(typeof apis)[N]['request']>
type Answered<N extends Name> = Infer<(typeof apis)[N]['response']>

/** Groups and topics as a session sees them, asked by encoded requests; answers wait for virtual time. */
class Fixture {
  readonly ledger = new TestLedger()
  readonly topics: Topics
  readonly groups: Groups
  readonly #broker: Broker
  readonly #connection: SessionContext

  static async open(): Promise<Fixture> {
    const topics = await Topics.open(new DirectoryLedger(), { limits: defaultLimits, random: new Random(seed) })
    await topics.create(homeNamespace, 'orders', { partitions: 2 })
    await topics.create(homeNamespace, 'bills', { partitions: 2 })
    return new Fixture(topics)
  }

  constructor(topics: Topics) {
    this.topics = topics
    const { ledger } = this
    const settings = { initialRebalanceDelayMs: 0 }
    this.groups = new Groups({ ledger, random: new Random(seed), limits: defaultLimits, topics, settings })
    // Only what these handlers use of the front door.
    this.#broker = {
      brokerId: 7,
      topics,
      groups: this.groups,
      limits: defaultLimits,
      addresses: new Map([['kafka', { host: 'broker.example', port: 1234 }]]),
    } as unknown as Broker
    const remote = { host: '127.0.0.1', port: 4 }
    this.#connection = { remote, clock: ledger.clock } as unknown as SessionContext
  }

  topicId(name: string): string {
    const topic = this.topics.get(homeNamespace, name)
    assert(topic !== undefined)
    return topic.id
  }

  /** Sends a request; its answer comes by `settle`. */
  async send<N extends Name>(name: N, version: number, request: Asked<N>): Promise<Answered<N>> {
    const { key, request: asked, response } = apis[name]
    const out = new Writer()
    ;(asked as Codec<unknown>).write(out, request, version)
    const body = out.take()
    const handler = handlers.get(key)
    assert(handler !== undefined)
    const answer = await this.#serve(handler, version, body)
    ;(response as Codec<unknown>).write(out, answer, version)
    const reader = new Reader(out.take())
    const read = (response as Codec<unknown>).read(reader, version)
    reader.expectEnd()
    return read as Answered<N>
  }

  #serve(handler: Handler, version: number, body: Buffer): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const broker = this.#broker
    const connection = this.#connection
    const caller = { clientId: 'test', principal: 'ANONYMOUS', may: () => true, mayAny: () => true }
    const exchange = { broker, connection, version, ...caller, cancel: undefined, reply: resolve, fail: reject }
    handler.serve(exchange as unknown as Exchange<unknown>, new Reader(body))
    // The bytes of a request are only lent.
    body.fill(0xee)
    return promise
  }

  /** The answer after time has passed. */
  async ask<N extends Name>(name: N, version: number, request: Asked<N>): Promise<Answered<N>> {
    const answer = this.send(name, version, request)
    this.ledger.pass(5)
    return answer
  }

  serveBytes(name: Name, version: number, body: Buffer): void {
    const handler = handlers.get(apis[name].key)
    assert(handler !== undefined)
    this.#serve(handler, version, body).catch(() => assert.fail('a promise of an answer was broken'))
  }

  /** A stable group with one member. */
  async member(joinVersion = 5, groupId = 'g'): Promise<{ memberId: string; generationId: number }> {
    const request = {
      groupId,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: subscription('orders') }],
    }
    let join = await this.ask('joinGroup', joinVersion, request)
    if (join.errorCode === codes.memberIdRequired) {
      join = await this.ask('joinGroup', joinVersion, { ...request, memberId: join.memberId })
    }
    assert.equal(join.errorCode, codes.none)
    assert.equal(join.leader, join.memberId)
    const { memberId, generationId } = join
    assert.deepEqual(join.members, [{ memberId, groupInstanceId: null, metadata: subscription('orders') }])
    const assignments = [{ memberId, assignment: Buffer.from('all') }]
    const sync = await this.ask('syncGroup', 3, { groupId, generationId, memberId, assignments })
    assert.equal(sync.errorCode, codes.none)
    assert.equal(sync.assignment.toString(), 'all')
    return { memberId, generationId }
  }

  async commit(version: number, offset: number, member?: { memberId: string; generationId: number }): Promise<number> {
    const { memberId = '', generationId = -1 } = member ?? {}
    const partitions = [{ partitionIndex: 0, committedOffset: offset, committedLeaderEpoch: 3, committedMetadata: 'm' }]
    const topics = [{ name: 'orders', topicId: this.topicId('orders'), partitions }]
    const head = { groupId: 'g', memberId, generationIdOrMemberEpoch: generationId }
    const answer = await this.ask('offsetCommit', version, { ...head, topics })
    const errorCode = answer.topics[0]?.partitions[0]?.errorCode
    assert(errorCode !== undefined)
    return errorCode
  }

  async committed(version: number): Promise<number | undefined> {
    const topics = [{ name: 'orders', topicId: this.topicId('orders'), partitionIndexes: [0] }]
    const request = version < 8 ? { groupId: 'g', topics } : { groups: [{ groupId: 'g', topics }] }
    const answer = await this.ask('offsetFetch', version, request)
    const found = version < 8 ? answer.topics : answer.groups[0]?.topics
    return found?.[0]?.partitions[0]?.committedOffset
  }
}

/** A consumer's subscription, version 1: version, topics, user data, owned partitions. */
function subscription(...topics: string[]): Buffer {
  const out = new Writer()
  out.i16(1)
  out.i32(topics.length)
  for (const topic of topics) {
    out.i16(topic.length)
    out.bytes(Buffer.from(topic))
  }
  out.i32(-1)
  out.i32(0)
  return out.take()
}

test('a member joins, syncs, lives, commits and leaves in every version of the requests', async () => {
  for (let version = 0; version <= 10; version++) {
    const fixture = await Fixture.open()
    const upTo = (max: number): number => Math.min(version, max)
    const member = await fixture.member(upTo(9))
    const { memberId, generationId } = member
    const sync = {
      groupId: 'g',
      generationId,
      memberId,
      protocolType: 'consumer',
      protocolName: 'range',
      assignments: [],
    }
    const synced = await fixture.ask('syncGroup', upTo(5), sync)
    assert.deepEqual([synced.errorCode, synced.assignment.toString()], [codes.none, 'all'])
    const beat = await fixture.ask('heartbeat', upTo(4), { groupId: 'g', generationId, memberId })
    assert.equal(beat.errorCode, codes.none)
    assert.equal(await fixture.commit(Math.max(2, version), 42, member), codes.none)
    assert.equal(await fixture.committed(Math.max(1, version)), 42)
    const described = await fixture.ask('describeGroups', upTo(6), { groups: ['g'] })
    assert.equal(described.groups[0]?.groupState, 'Stable')
    assert.equal(described.groups[0].members[0]?.clientHost, '/127.0.0.1')
    const left = await fixture.ask('leaveGroup', upTo(5), { groupId: 'g', memberId, members: [{ memberId }] })
    assert.deepEqual(
      [left.errorCode, left.members.map(({ errorCode }) => errorCode)],
      [codes.none, version < 3 ? [] : [0]],
    )
    const listed = await fixture.ask('listGroups', upTo(5), {})
    assert.deepEqual(
      listed.groups.map(({ groupId, protocolType }) => [groupId, protocolType]),
      [['g', 'consumer']],
    )
    const gone = await fixture.ask('deleteGroups', upTo(2), { groupsNames: ['g', 'g'] })
    assert.deepEqual(gone.results, [{ groupId: 'g', errorCode: codes.none }])
  }
})

test('joinGroup names no protocol when it fails: empty for older clients, null for newer ones', async () => {
  const fixture = await Fixture.open()
  const request = { groupId: '', sessionTimeoutMs: 10_000, protocolType: 'consumer', protocols: [] }
  const before = await fixture.ask('joinGroup', 6, request)
  const after = await fixture.ask('joinGroup', 7, request)
  assert.deepEqual([before.errorCode, before.protocolName], [codes.invalidGroupId, ''])
  assert.deepEqual([after.errorCode, after.protocolName], [codes.invalidGroupId, null])
})

test('an empty group id is refused where members are concerned and allowed where only offsets are', async () => {
  const fixture = await Fixture.open()
  const groupId = ''
  assert.equal((await fixture.ask('syncGroup', 3, { groupId })).errorCode, codes.invalidGroupId)
  assert.equal((await fixture.ask('heartbeat', 3, { groupId })).errorCode, codes.invalidGroupId)
  assert.equal((await fixture.ask('leaveGroup', 3, { groupId })).errorCode, codes.invalidGroupId)
  assert.equal((await fixture.ask('offsetDelete', 0, { groupId })).errorCode, codes.invalidGroupId)
  const partitions = [{ partitionIndex: 0, committedOffset: 1, committedMetadata: null }]
  const topics = [{ name: 'orders', partitions }]
  const commit = await fixture.ask('offsetCommit', 5, { groupId, generationIdOrMemberEpoch: -1, topics })
  assert.equal(commit.topics[0]?.partitions[0]?.errorCode, codes.none)
  const fetch = await fixture.ask('offsetFetch', 5, { groupId, topics: null })
  assert.equal(fetch.topics[0]?.partitions[0]?.committedOffset, 1)
})

test('syncGroup from version 5 must say what the member takes for granted', async () => {
  const fixture = await Fixture.open()
  const { memberId, generationId } = await fixture.member()
  const sync = { groupId: 'g', generationId, memberId, assignments: [] }
  assert.equal((await fixture.ask('syncGroup', 5, sync)).errorCode, codes.inconsistentGroupProtocol)
})

test('offsetCommit refuses partitions one by one and keeps the others', async () => {
  const fixture = await Fixture.open()
  const long = 'x'.repeat(defaultLimits.offsetMetadataBytesMax + 1)
  const partition = { committedOffset: 1, committedMetadata: '' }
  const topics = [
    { name: 'nowhere', partitions: [{ ...partition, partitionIndex: 0 }] },
    {
      name: 'orders',
      partitions: [
        { ...partition, partitionIndex: 0 },
        { ...partition, partitionIndex: 2 },
        { ...partition, partitionIndex: 1, committedMetadata: long },
      ],
    },
  ]
  const answer = await fixture.ask('offsetCommit', 9, { groupId: 'g', generationIdOrMemberEpoch: -1, topics })
  const errors = answer.topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
  const { unknownTopicOrPartition, none, offsetMetadataTooLarge } = codes
  assert.deepEqual(errors, [[unknownTopicOrPartition], [none, unknownTopicOrPartition, offsetMetadataTooLarge]])
  const unknown = [{ topicId: 'f'.repeat(32), partitions: [{ ...partition, partitionIndex: 0 }] }]
  const byId = await fixture.ask('offsetCommit', 10, { groupId: 'g', generationIdOrMemberEpoch: -1, topics: unknown })
  assert.equal(byId.topics[0]?.partitions[0]?.errorCode, codes.unknownTopicId)
})

test('offsetCommit of a member of no group: older clients join again, newer ones are told the truth', async () => {
  const fixture = await Fixture.open()
  const member = { memberId: 'x', generationId: 3 }
  assert.equal(await fixture.commit(8, 1, member), codes.illegalGeneration)
  assert.equal(await fixture.commit(9, 1, member), codes.groupIdNotFound)
})

test('offsetFetch: all topics, several groups, nothing committed, unknown ids', async () => {
  const fixture = await Fixture.open()
  assert.equal(await fixture.committed(7), -1)
  await fixture.commit(6, 5)
  const one = { groupId: 'g', topics: [{ name: 'nowhere', topicId: nilId, partitionIndexes: [0, 9] }] }
  const all = { groupId: 'g', topics: null }
  const none = { groupId: 'other', topics: null }
  const fetched = await fixture.ask('offsetFetch', 10, { groups: [one, all, none] })
  const unknown = { committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: codes.unknownTopicId }
  const known = { partitionIndex: 0, committedOffset: 5, committedLeaderEpoch: 3, metadata: 'm', errorCode: codes.none }
  assert.deepEqual(
    fetched.groups.map(({ topics }) => topics.map(({ partitions }) => partitions)),
    [
      [
        [
          { partitionIndex: 0, ...unknown },
          { partitionIndex: 9, ...unknown },
        ],
      ],
      [[known]],
      [],
    ],
  )
  assert.equal(fetched.groups[1]?.topics[0]?.topicId, fixture.topicId('orders'))
  assert.deepEqual((await fixture.ask('offsetFetch', 8, { groups: [] })).groups, [])
})

test('offsetFetch shows only what is durable', async () => {
  const fixture = await Fixture.open()
  const partitions = [{ partitionIndex: 0, committedOffset: 8, committedMetadata: '' }]
  const topics = [{ name: 'orders', partitions }]
  const committing = fixture.send('offsetCommit', 8, { groupId: 'g', generationIdOrMemberEpoch: -1, topics })
  let shown = false
  const wanted = [{ name: 'orders', partitionIndexes: [0] }]
  const fetching = fixture.send('offsetFetch', 7, { groupId: 'g', topics: wanted }).then(answer => {
    shown = true
    return answer
  })
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(shown, false)
  fixture.ledger.pass(5)
  await committing
  assert.equal((await fetching).topics[0]?.partitions[0]?.committedOffset, 8)
})

test('findCoordinator: this broker for groups and transactional ids, a plain refusal for what there is not', async () => {
  const fixture = await Fixture.open()
  const self = { nodeId: 7, host: 'broker.example', port: 1234, errorCode: codes.none, errorMessage: null }
  const single = await fixture.ask('findCoordinator', 3, { key: 'g', keyType: 0 })
  const { nodeId, host, port, errorCode, errorMessage } = single
  assert.deepEqual({ nodeId, host, port, errorCode, errorMessage }, self)
  for (const keyType of [0, 1]) {
    const several = await fixture.ask('findCoordinator', 6, { keyType, coordinatorKeys: ['a', 'b'] })
    assert.deepEqual(several.coordinators, [
      { key: 'a', ...self },
      { key: 'b', ...self },
    ])
  }
  for (const keyType of [2, 9]) {
    const refused = await fixture.ask('findCoordinator', 4, { keyType, coordinatorKeys: ['t'] })
    assert.equal(refused.coordinators[0]?.errorCode, codes.invalidRequest)
    assert.equal(refused.coordinators[0].nodeId, -1)
    assert.notEqual(refused.coordinators[0].errorMessage, null)
  }
})

test('describeGroups: a group that is not there is dead, and an error from version 6 on', async () => {
  const fixture = await Fixture.open()
  const before = (await fixture.ask('describeGroups', 5, { groups: ['x'] })).groups[0]
  assert.deepEqual([before?.errorCode, before?.groupState], [codes.none, 'Dead'])
  const after = (await fixture.ask('describeGroups', 6, { groups: ['x'], includeAuthorizedOperations: true })).groups[0]
  assert.deepEqual([after?.errorCode, after?.groupState], [codes.groupIdNotFound, 'Dead'])
  assert.equal(after?.errorMessage, 'Group x not found.')
  assert.equal(after.authorizedOperations, 0b1101_0100_1000)
})

test('listGroups filters by state and by type in any case', async () => {
  const fixture = await Fixture.open()
  await fixture.member(5, 'busy')
  await fixture.commit(5, 1)
  const ids = async (statesFilter: string[], typesFilter: string[] = []): Promise<string[]> =>
    (await fixture.ask('listGroups', 5, { statesFilter, typesFilter })).groups.map(({ groupId }) => groupId).sort()
  assert.deepEqual(await ids([]), ['busy', 'g'])
  assert.deepEqual(await ids(['stable']), ['busy'])
  assert.deepEqual(await ids(['Empty', 'Dead']), ['g'])
  assert.deepEqual(await ids([], ['Classic']), ['busy', 'g'])
  assert.deepEqual(await ids([], ['consumer']), [])
})

test('offsetDelete spares what the members subscribe to', async () => {
  const fixture = await Fixture.open()
  assert.equal((await fixture.ask('offsetDelete', 0, { groupId: 'g' })).errorCode, codes.groupIdNotFound)
  const member = await fixture.member()
  await fixture.commit(7, 3, member)
  const partitions = [{ partitionIndex: 0 }, { partitionIndex: 5 }]
  const topics = [
    { name: 'orders', partitions },
    { name: 'bills', partitions },
  ]
  const errors = async (): Promise<number[][]> =>
    (await fixture.ask('offsetDelete', 0, { groupId: 'g', topics })).topics.map(topic =>
      topic.partitions.map(({ errorCode }) => errorCode),
    )
  const { groupSubscribedToTopic, unknownTopicOrPartition, none } = codes
  assert.deepEqual(await errors(), [
    [groupSubscribedToTopic, unknownTopicOrPartition],
    [none, unknownTopicOrPartition],
  ])
  assert.equal(await fixture.committed(5), 3)
  await fixture.ask('leaveGroup', 2, { groupId: 'g', memberId: member.memberId })
  assert.deepEqual((await errors())[0], [none, unknownTopicOrPartition])
  assert.equal(await fixture.committed(5), -1)
})

test('deleteGroups refuses groups with members and groups that are not there', async () => {
  const fixture = await Fixture.open()
  await fixture.member()
  const answer = await fixture.ask('deleteGroups', 2, { groupsNames: ['g', 'x'] })
  assert.deepEqual(answer.results, [
    { groupId: 'g', errorCode: codes.nonEmptyGroup },
    { groupId: 'x', errorCode: codes.groupIdNotFound },
  ])
})

test(`hostile bytes in requests about groups are a ProtocolError or are answered (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const fixture = await Fixture.open()
  for (const name of names) {
    const { request, versions } = apis[name]
    for (let i = 0; i < 600; i++) {
      const version = random.between(versions[0], versions[1])
      const bytes = Buffer.from(fuzzBytes(random, request as Codec<unknown>, version))
      try {
        fixture.serveBytes(name, version, bytes)
      } catch (error) {
        assert(error instanceof ProtocolError, String(error))
      }
      fixture.ledger.pass(random.below(500))
    }
  }
  fixture.groups.close()
})
