import assert from 'node:assert/strict'
import test, { after, before, suite } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { batchHeaderBytes, makeBatch, sealBatch, type NewRecord } from '../../storage/record-batch.ts'
import { KafkaDriver, recordsOf } from './driver.ts'
import { codes } from './errors.ts'
import { apis } from './messages/index.ts'
import { acquiredOf, partitionsOf, ShareMember } from './share-member.ts'

const { network } = realRuntime()

let broker: RunningBroker
let driver: KafkaDriver
const drivers: KafkaDriver[] = []

before(async () => {
  broker = await startBroker({ data: 'memory', kafka: 0, groupJoinDelayMs: 0 })
  driver = await connect()
})
after(async () => {
  for (const one of drivers) one.close()
  await broker.close()
})

async function connect(): Promise<KafkaDriver> {
  const opened = await KafkaDriver.connect(network, { host: '127.0.0.1', port: broker.port('kafka') })
  drivers.push(opened)
  return opened
}

let names = 0
const fresh = (what: string): string => `${what}-${names++}`

async function topic(partitions = 1): Promise<{ name: string; topicId: string }> {
  const name = fresh('topic')
  await driver.declare(name, partitions)
  return { name, topicId: broker.core.topics.get('/', name)?.id ?? assert.fail() }
}

const record = (text: string): NewRecord => ({ value: Buffer.from(text), timestampMs: 1_700_000_000_000 })

const publish = (name: string, ...texts: string[]): Promise<number> => driver.publish(name, texts.map(record))

async function member(group: string, topics: string[], id = fresh('member')): Promise<ShareMember> {
  const { connection } = await connect()
  const joined = new ShareMember(connection, group, id)
  await joined.join(topics)
  return joined
}

const offsets = (acquired: readonly { offset: number }[]): number[] => acquired.map(({ offset }) => offset)

const configure = (group: string, config: Record<string, string>): Promise<void> =>
  broker.core.groups.configure({ namespace: '/', group }, new Map(Object.entries(config)))

async function startOffset(groupId: string): Promise<{ startOffset: number; lag: number } | undefined> {
  const answer = await driver.connection.request(apis.describeShareGroupOffsets, {
    groups: [{ groupId, topics: null }],
  })
  const found = answer.groups[0]?.topics[0]?.partitions[0]
  return found && { startOffset: found.startOffset, lag: found.lag }
}

suite('acquire and settle', () => {
  test('records go to one member each, and are gone when accepted', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    const [one, two] = [await member(group, [name]), await member(group, [name])]
    await publish(name, 'a', 'b')
    await publish(name, 'c', 'd')
    assert.deepEqual(offsets(await one.take({ maxRecords: 2 })), [0, 1])
    assert.deepEqual(offsets(await two.take()), [2, 3])
    assert.deepEqual(await one.take(), [])
    assert.deepEqual(await one.acknowledge([{ topicId, partition: 0, first: 0, last: 1, as: 'accept' }]), [0, 0])
    assert.deepEqual(await startOffset(group), { startOffset: 2, lag: 2 })
    await two.take({}, [{ topicId, partition: 0, first: 3, as: 'accept' }])
    assert.deepEqual(await startOffset(group), { startOffset: 2, lag: 1 })
    assert.deepEqual(await two.acknowledge([{ topicId, partition: 0, first: 2, as: 'reject' }]), [0, 0])
    assert.deepEqual(await startOffset(group), { startOffset: 4, lag: 0 })
  })

  test('released records come again with a higher count, up to the limit', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    await configure(group, { shareDeliveryLimit: '3' })
    const one = await member(group, [name])
    await publish(name, 'a', 'b')
    const counts = async (): Promise<number[][]> =>
      (await one.take({ maxWaitMs: 5000 })).map(({ offset, deliveryCount }) => [offset, deliveryCount])
    const release = (first: number, last: number): Promise<number[]> =>
      one.acknowledge([{ topicId, partition: 0, first, last, as: 'release' }])
    for (let count = 1; count <= 2; count++) {
      assert.deepEqual(await counts(), [
        [0, count],
        [1, count],
      ])
      assert.deepEqual(await release(0, 1), [0, 0])
    }
    // In its last delivery a record is alone, so that it can only fail by itself.
    for (const offset of [0, 1]) {
      assert.deepEqual(await counts(), [[offset, 3]])
      assert.deepEqual(await release(offset, offset), [0, 0])
    }
    assert.deepEqual(await one.take(), [])
    assert.deepEqual(await startOffset(group), { startOffset: 2, lag: 0 })
  })

  test('a lock that runs out gives the record to another; a renewed one does not', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    await configure(group, { shareLockDurationMs: '1000' })
    const [one, two] = [await member(group, [name]), await member(group, [name])]
    await publish(name, 'a')
    assert.deepEqual(offsets(await one.take()), [0])
    const renewed = Date.now() + 1500
    while (Date.now() < renewed) {
      assert.deepEqual(await two.take({ maxWaitMs: 100 }), [])
      assert.deepEqual(await one.acknowledge([{ topicId, partition: 0, first: 0, as: 'renew' }]), [0, 0])
    }
    const [again] = await two.take({ maxWaitMs: 10_000 })
    assert.equal(again?.deliveryCount, 2)
    const late = await one.acknowledge([{ topicId, partition: 0, first: 0, as: 'accept' }])
    assert.deepEqual(late, [0, codes.invalidRecordState])
    assert.deepEqual(await two.acknowledge([{ topicId, partition: 0, first: 0, as: 'accept' }]), [0, 0])
  })

  test('all acknowledgements of a partition are taken, or none', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    const one = await member(group, [name])
    await publish(name, 'a', 'b', 'c')
    await one.take()
    await publish(name, 'd')
    const at = { topicId, partition: 0 }
    const beyond = [
      { ...at, first: 0, as: 'accept' },
      { ...at, first: 3, as: 'accept' },
    ] as const
    assert.deepEqual(await one.acknowledge(beyond), [0, codes.invalidRecordState])
    assert.deepEqual(await one.acknowledge([{ ...at, first: 9, as: 'accept' }]), [0, codes.invalidRequest])
    assert.deepEqual(await one.acknowledge([{ ...at, first: 2, as: 'accept' }]), [0, 0])
    assert.deepEqual(await one.acknowledge([{ ...at, first: 1, last: 2, as: 'accept' }]), [0, codes.invalidRecordState])
    assert.deepEqual(await one.acknowledge([{ ...at, first: 0, last: 1, as: 'accept' }]), [0, 0])
    // What lies below the start is done, whoever says so again.
    assert.deepEqual(await one.acknowledge([{ ...at, first: 0, last: 2, as: 'accept' }]), [0, 0])
  })

  test('per-record types, gaps and malformed batches', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    const one = await member(group, [name])
    await publish(name, 'a', 'b', 'c', 'd')
    await one.take()
    const say = async (firstOffset: number, lastOffset: number, acknowledgeTypes: number[]): Promise<number> => {
      const answer = await one.connection.request(apis.shareAcknowledge, {
        groupId: group,
        memberId: one.memberId,
        shareSessionEpoch: one.sessionEpoch++,
        topics: [
          {
            topicId,
            partitions: [
              { partitionIndex: 0, acknowledgementBatches: [{ firstOffset, lastOffset, acknowledgeTypes }] },
            ],
          },
        ],
      })
      return answer.responses[0]?.partitions[0]?.errorCode ?? answer.errorCode
    }
    assert.equal(await say(1, 0, [1]), codes.invalidRequest)
    assert.equal(await say(0, 3, []), codes.invalidRequest)
    assert.equal(await say(0, 3, [1, 1]), codes.invalidRequest)
    assert.equal(await say(0, 0, [5]), codes.invalidRequest)
    assert.equal(await say(0, 0, [4]), codes.invalidRequest)
    assert.equal(await say(0, 2 ** 52, [1]), codes.invalidRequest)
    assert.equal(await say(0, 3, [1, 2, 3, 0]), codes.none)
    assert.deepEqual(offsets(await one.take({ maxWaitMs: 5000 })), [1])
    assert.deepEqual(await startOffset(group), { startOffset: 1, lag: 1 })
  })
})

suite('fetch', () => {
  test('takes whole batches, or exactly as many records as wanted; compressed ones as they are', async () => {
    const { name, topicId } = await topic()
    const plain = makeBatch(['a', 'b', 'c'].map(record))
    const packed = Buffer.concat([plain.subarray(0, batchHeaderBytes), gzipSync(plain.subarray(batchHeaderBytes))])
    packed.writeInt32BE(packed.length - 12, 8)
    packed.writeInt16BE(1, 21)
    sealBatch(packed)
    const group = fresh('group')
    const [one, two] = [await member(group, [name]), await member(group, [name])]
    for (let count = 0; count < 2; count++) assert.equal((await driver.produce(name, packed)).errorCode, codes.none)
    const answer = await one.fetch({ maxRecords: 2 })
    assert.deepEqual(offsets(acquiredOf(answer)), [0, 1, 2])
    const bytes = partitionsOf(answer)[0]?.records ?? assert.fail()
    assert(bytes.subarray(16).equals(packed.subarray(16)))
    const exact = await two.fetch({ maxRecords: 2, exact: true })
    assert.deepEqual(offsets(acquiredOf(exact)), [3, 4])
    assert.deepEqual(
      [...recordsOf(partitionsOf(exact)[0]?.records ?? assert.fail())].map(({ offset }) => offset),
      [3, 4, 5],
    )
    assert.deepEqual(offsets(await one.take({ exact: true })), [5])
    const accept = { topicId, partition: 0, first: 3, last: 4, as: 'accept' } as const
    assert.deepEqual(await two.acknowledge([accept]), [0, 0])
  })

  test('waits for records, and for those that others give back', async () => {
    const { name, topicId } = await topic(2)
    const group = fresh('group')
    const one = await member(group, [name])
    const waiting = one.take({ maxWaitMs: 20_000 })
    await publish(name, 'a')
    assert.deepEqual(offsets(await waiting), [0])
    const two = await member(group, [name])
    await one.heartbeat()
    two.assignment = [{ topicId, partitions: [0, 1] }]
    const second = two.take({ maxWaitMs: 20_000 })
    assert.deepEqual(await one.acknowledge([{ topicId, partition: 0, first: 0, as: 'release' }]), [0, 0])
    assert.deepEqual(
      (await second).map(({ offset, deliveryCount }) => [offset, deliveryCount]),
      [[0, 2]],
    )
  })

  test('waits for as many bytes as asked for', async () => {
    const { name } = await topic()
    const one = await member(fresh('group'), [name])
    const waiting = one.take({ maxWaitMs: 20_000, minBytes: 2000 })
    for (let count = 0; count < 20; count++) await publish(name, 'x'.repeat(100))
    const acquired = await waiting
    assert(acquired.length >= 10 && acquired.length < 20, String(acquired.length))
  })

  test('ranges are as long as the member likes, and end where counts differ', async () => {
    const { name, topicId } = await topic()
    const one = await member(fresh('group'), [name])
    for (let count = 0; count < 6; count++) await publish(name, 'x')
    const ranges = async (batchSize: number): Promise<number[][]> =>
      partitionsOf(await one.fetch({ batchSize, maxWaitMs: 5000 })).flatMap(({ acquiredRecords }) =>
        acquiredRecords.map(({ firstOffset, lastOffset, deliveryCount }) => [firstOffset, lastOffset, deliveryCount]),
      )
    assert.deepEqual(await ranges(100), [[0, 5, 1]])
    await one.acknowledge([{ topicId, partition: 0, first: 1, last: 4, as: 'release' }])
    await publish(name, 'x', 'x')
    const more = await ranges(3)
    assert.deepEqual(
      more.filter(([, , deliveryCount]) => deliveryCount === 1),
      [[6, 7, 1]],
    )
    assert(more.every(([first = 0, last = 0]) => last - first < 3))
  })

  test('a member that falls behind retention goes on at the start of the log', async () => {
    const { name } = await topic()
    const group = fresh('group')
    const one = await member(group, [name])
    for (let count = 0; count < 5; count++) await publish(name, 'x')
    await driver.connection.request(apis.deleteRecords, {
      topics: [{ name, partitions: [{ partitionIndex: 0, offset: 3 }] }],
      timeoutMs: 1000,
    })
    assert.deepEqual(offsets(await one.take()), [3, 4])
    assert.deepEqual(await startOffset(group), { startOffset: 3, lag: 2 })
  })
})

suite('sessions', () => {
  test('epochs are checked, and a session that is gone is told', async () => {
    const { name, topicId } = await topic()
    const one = await member(fresh('group'), [name])
    assert.deepEqual(await one.acknowledge([]), [codes.invalidShareSessionEpoch])
    one.sessionEpoch = 7
    assert.equal((await one.fetch()).errorCode, codes.shareSessionNotFound)
    one.sessionEpoch = 0
    const early = await one.fetch({}, [{ topicId, partition: 0, first: 0, as: 'accept' }])
    assert.equal(early.errorCode, codes.invalidRequest)
    assert.equal((await one.fetch()).errorCode, codes.none)
    one.sessionEpoch = 5
    assert.equal((await one.fetch()).errorCode, codes.invalidShareSessionEpoch)
    one.sessionEpoch = 1
    assert.equal((await one.fetch()).errorCode, codes.none)
    assert.equal((await one.closeSession()).errorCode, codes.none)
    one.sessionEpoch = 2
    assert.equal((await one.fetch()).errorCode, codes.shareSessionNotFound)
  })

  test('what a member holds is released when it closes its session, leaves, or is cut off', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    const watcher = await member(group, [name])
    await publish(name, 'a', 'b')
    const goings: ((one: ShareMember) => unknown)[] = [
      one => one.closeSession([{ topicId, partition: 0, first: 0, as: 'release' }]),
      one => one.leave(),
      one => one.connection.close(),
    ]
    for (const [index, go] of goings.entries()) {
      const one = await member(group, [name])
      const mine = await one.take({ maxWaitMs: 5000 })
      assert.deepEqual(
        mine.map(({ offset, deliveryCount }) => [offset, deliveryCount]),
        [
          [0, index + 1],
          [1, index + 1],
        ],
      )
      await go(one)
    }
    assert.deepEqual(offsets(await watcher.take({ maxWaitMs: 5000 })), [0, 1])
  })

  test('partitions that are not there or not of the group are refused, those that are missing begin', async () => {
    const { name, topicId } = await topic()
    const other = await topic()
    const one = await member(fresh('group'), [name])
    one.assignment = [
      { topicId, partitions: [0, 9] },
      { topicId: other.topicId, partitions: [0] },
      { topicId: 'f'.repeat(32), partitions: [0] },
    ]
    const answer = await one.fetch({ maxWaitMs: 10 })
    assert.deepEqual(
      answer.responses.map(({ topicId: id, partitions }) => [id, partitions.map(({ errorCode }) => errorCode)]),
      [
        [topicId, [codes.unknownTopicOrPartition]],
        ['f'.repeat(32), [codes.unknownTopicId]],
      ],
    )
    const stranger = new ShareMember((await connect()).connection, fresh('nobody'), 'stranger')
    stranger.assignment = [{ topicId, partitions: [0] }]
    assert.deepEqual(
      partitionsOf(await stranger.fetch()).map(({ errorCode }) => errorCode),
      [codes.unknownTopicOrPartition],
    )
  })

  test('a request to renew that wants records, too, is refused', async () => {
    const { name, topicId } = await topic()
    const one = await member(fresh('group'), [name])
    await publish(name, 'a')
    await one.take()
    const renewal = [{ topicId, partition: 0, first: 0, as: 'renew' }] as const
    assert.equal((await one.fetch({}, renewal)).errorCode, codes.invalidRequest)
    const nothing = { maxRecords: 0, maxBytes: 0, minBytes: 0 }
    assert.deepEqual(await one.take(nothing, renewal), [])
  })
})

suite('groups', () => {
  test('members share partitions evenly, and epochs lead them', async () => {
    const { name, topicId } = await topic(2)
    const group = fresh('group')
    const members: ShareMember[] = []
    for (let count = 0; count < 4; count++) members.push(await member(group, [name]))
    for (const one of members) assert.equal(await one.heartbeat(), codes.none)
    const shares = members.map(({ assignment }) => assignment.flatMap(({ partitions }) => partitions))
    assert.deepEqual(
      shares.flat().toSorted((a, b) => a - b),
      [0, 0, 1, 1],
    )
    const { groups } = await driver.connection.request(apis.shareGroupDescribe, { groupIds: [group, 'none'] })
    assert.deepEqual(
      groups.map(({ errorCode, groupState, assignorName }) => [errorCode, groupState, assignorName]),
      [
        [codes.none, 'Stable', 'simple'],
        [codes.groupIdNotFound, 'Dead', ''],
      ],
    )
    assert.deepEqual(
      groups[0]?.members.map(({ assignment }) => assignment.topicPartitions[0]?.topicId),
      members.map(() => topicId),
    )
    const [stale = assert.fail()] = members
    stale.epoch += 5
    assert.equal(await stale.heartbeat(), codes.fencedMemberEpoch)
    stale.epoch = 2
    assert.equal(await stale.heartbeat(), codes.fencedMemberEpoch)
    for (const one of members) {
      one.epoch = -1
      assert.equal(await one.heartbeat(), codes.none)
      assert.equal(await one.heartbeat(), codes.unknownMemberId)
    }
    const listed = await driver.connection.request(apis.listGroups, { typesFilter: ['Share'] })
    assert.deepEqual(
      listed.groups.filter(({ groupId }) => groupId === group),
      [{ groupId: group, protocolType: 'share', groupState: 'Empty', groupType: 'share' }],
    )
  })

  test('begin where their settings say, and at the start of partitions that are added', async () => {
    const { name, topicId } = await topic()
    await publish(name, 'a', 'b')
    for (const [shareStart, expected] of [
      ['earliest', [0, 1]],
      ['latest', []],
      ['PT1H', []],
      ['P30000D', [0, 1]],
    ] as const) {
      const group = fresh('group')
      await configure(group, { shareStart })
      const one = await member(group, [name])
      assert.deepEqual(offsets(await one.take()), expected, shareStart)
    }
    const late = await member(fresh('group'), [name])
    await driver.connection.request(apis.createPartitions, {
      topics: [{ name, count: 2, assignments: null }],
      timeoutMs: 1000,
    })
    await driver.publish(name, [record('c')], { partition: 1 })
    await late.heartbeat()
    assert.deepEqual(late.assignment, [{ topicId, partitions: [0, 1] }])
    assert.deepEqual(offsets(await late.take({ maxWaitMs: 5000 })), [0])
  })

  test('a join is refused when it says too little, or to a group of another kind', async () => {
    const { name } = await topic()
    const { connection } = await connect()
    assert.equal(await new ShareMember(connection, fresh('group'), 'm').heartbeat(), codes.invalidRequest)
    assert.equal(await new ShareMember(connection, fresh('group'), '').heartbeat([name]), codes.invalidRequest)
    const group = fresh('group')
    const joinRequest = {
      groupId: group,
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 10_000,
      memberId: '',
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.alloc(4) }],
    }
    const classic = await connection.request(apis.joinGroup, joinRequest, 3)
    assert.equal(classic.errorCode, codes.none)
    assert.notEqual(await new ShareMember(connection, group, 'm').heartbeat([name]), codes.none)
    const shared = await member(fresh('group'), [name])
    const other = await connection.request(apis.joinGroup, { ...joinRequest, groupId: shared.group }, 3)
    assert.notEqual(other.errorCode, codes.none)
  })

  test('offsets are described, altered and deleted while nobody is there', async () => {
    const { name, topicId } = await topic()
    const group = fresh('group')
    const one = await member(group, [name])
    for (let count = 0; count < 4; count++) await publish(name, 'x')
    await one.take({ maxRecords: 1 })
    const alter = async (startOffset: number, topicName = name, partitionIndex = 0): Promise<number> => {
      const answer = await driver.connection.request(apis.alterShareGroupOffsets, {
        groupId: group,
        topics: [{ topicName, partitions: [{ partitionIndex, startOffset }] }],
      })
      return answer.responses[0]?.partitions[0]?.errorCode ?? answer.errorCode
    }
    assert.equal(await alter(2), codes.nonEmptyGroup)
    assert.equal(await one.leave(), codes.none)
    assert.equal(await alter(2, 'none'), codes.unknownTopicOrPartition)
    assert.equal(await alter(2, name, 7), codes.unknownTopicOrPartition)
    assert.equal(await alter(-1), codes.invalidRequest)
    assert.equal(await alter(2), codes.none)
    assert.deepEqual(await startOffset(group), { startOffset: 2, lag: 2 })
    const two = await member(group, [name])
    assert.deepEqual(offsets(await two.take()), [2, 3])
    await two.acknowledge([{ topicId, partition: 0, first: 2, last: 3, as: 'accept' }])
    await two.leave()
    const forget = async (): Promise<number> => {
      const answer = await driver.connection.request(apis.deleteShareGroupOffsets, {
        groupId: group,
        topics: [{ topicName: name }],
      })
      return answer.responses[0]?.errorCode ?? answer.errorCode
    }
    assert.equal(await forget(), codes.none)
    assert.equal(await forget(), codes.unknownTopicOrPartition)
    assert.equal(await startOffset(group), undefined)
    await configure(group, { shareStart: 'earliest' })
    const three = await member(group, [name])
    assert.deepEqual(offsets(await three.take()), [0, 1, 2, 3])
    assert.equal(await three.leave(), codes.none)
    const { results } = await driver.connection.request(apis.deleteGroups, { groupsNames: [group] })
    assert.equal(results[0]?.errorCode, codes.none)
    const { groups } = await driver.connection.request(apis.describeShareGroupOffsets, {
      groups: [{ groupId: group, topics: null }],
    })
    assert.deepEqual(groups, [{ groupId: group, topics: [], errorCode: codes.none, errorMessage: null }])
    // Where a group begins can be said before it has ever had a member.
    assert.equal(await alter(3), codes.none)
    const four = await member(group, [name])
    assert.deepEqual(offsets(await four.take()), [3])
  })

  test('a topic that is removed is told to those who wait for it, and forgotten', async () => {
    const { name } = await topic()
    const group = fresh('group')
    const one = await member(group, [name])
    const waiting = one.fetch({ maxWaitMs: 20_000 })
    await driver.connection.request(apis.deleteTopics, { topics: [{ name }], timeoutMs: 1000 })
    assert.deepEqual(
      partitionsOf(await waiting).map(({ errorCode }) => errorCode),
      [codes.unknownTopicId],
    )
    await driver.declare(name)
    await publish(name, 'new')
    assert.equal(await startOffset(group), undefined)
    await one.heartbeat()
    await publish(name, 'newer')
    await one.closeSession()
    assert.deepEqual(offsets(await one.take()), [1])
  })
})

suite('transactions', () => {
  test('control batches go to nobody, and aborted records to those who want all', async () => {
    const { name } = await topic()
    const [all, some] = [fresh('group'), fresh('group')]
    await configure(some, { shareIsolation: 'committed' })
    const [one, two] = [await member(all, [name]), await member(some, [name])]
    await publish(name, 'plain')
    const transactionalId = fresh('writer')
    const { connection } = driver
    const identity = await connection.request(apis.initProducerId, { transactionalId, transactionTimeoutMs: 60_000 })
    const { producerId } = identity
    let { producerEpoch } = identity
    const write = async (committed: boolean, sequence: number, looks = true): Promise<number> => {
      const options = { producerId, producerEpoch, baseSequence: sequence, attributes: 0x10 }
      const batch = makeBatch([record('in transaction')], options)
      const { responses } = await connection.request(apis.produce, {
        transactionalId,
        acks: -1,
        timeoutMs: 1000,
        topicData: [
          { topicId: broker.core.topics.get('/', name)?.id ?? '', partitionData: [{ index: 0, records: batch }] },
        ],
      })
      assert.equal(responses[0]?.partitionResponses[0]?.errorCode, codes.none)
      if (looks) assert.deepEqual(await two.take(), [])
      const ended = await connection.request(apis.endTxn, { transactionalId, producerId, producerEpoch, committed })
      assert.equal(ended.errorCode, codes.none)
      producerEpoch = ended.producerEpoch
      return responses[0]?.partitionResponses[0]?.baseOffset ?? -1
    }
    assert.deepEqual(offsets(await two.take()), [0])
    assert.equal(await write(false, 0), 1)
    assert.equal(await write(true, 0), 3)
    assert.deepEqual(offsets(await two.take()), [3])
    const waiting = two.take({ maxWaitMs: 20_000 })
    assert.equal(await write(true, 0, false), 5)
    assert.deepEqual(offsets(await waiting), [5])
    await publish(name, 'plain')
    assert.deepEqual(offsets(await two.take()), [7])
    assert.deepEqual(offsets(await one.take()), [0, 1, 3, 5, 7])
  })
})
