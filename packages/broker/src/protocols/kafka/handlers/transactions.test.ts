import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { startBroker, type RunningBroker } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { attributeBits, makeBatch } from '../../../storage/record-batch.ts'
import { KafkaConnection } from '../client.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'

let broker: RunningBroker
let connection: KafkaConnection
let topics = 0

before(async () => {
  broker = await startBroker({ data: 'memory', kafka: 0 })
  connection = await open()
})
after(async () => {
  connection.close()
  await broker.close()
})

async function open(): Promise<KafkaConnection> {
  const address = { host: '127.0.0.1', port: broker.port('kafka') }
  return KafkaConnection.open(await realRuntime().network.connect(address))
}

async function newTopic(partitions = 1): Promise<string> {
  const name = `t${++topics}`
  await broker.core.topics.create('/', name, { partitions })
  return name
}

interface Producer {
  transactionalId: string
  producerId: number
  producerEpoch: number
}

async function register(transactionalId: string, version = 5, given: Partial<Producer> = {}) {
  const asked = { transactionalId, transactionTimeoutMs: 60_000, producerId: -1, producerEpoch: -1, ...given }
  return connection.request(apis.initProducerId, asked, version)
}

async function newProducer(transactionalId: string): Promise<Producer> {
  const { errorCode, producerId, producerEpoch } = await register(transactionalId)
  assert.equal(errorCode, codes.none)
  return { transactionalId, producerId, producerEpoch }
}

async function produce(producer: Producer, topic: string, version: number, baseSequence = 0, index = 0) {
  const { transactionalId, ...identity } = producer
  const attributes = attributeBits.transactional
  const records = makeBatch([{ value: Buffer.from('v'), timestampMs: Date.now() }], {
    ...{ ...identity, baseSequence, attributes },
  })
  const topicData = [{ name: topic, partitionData: [{ index, records }] }]
  const asked = { transactionalId, acks: -1, timeoutMs: 5_000, topicData }
  const answer = (await connection.request(apis.produce, asked, version)).responses[0]?.partitionResponses[0]
  return answer?.errorCode
}

async function add(producer: Producer, topic: string, version = 3, partitions = [0], to = connection) {
  const asked = {
    v3AndBelowTransactionalId: producer.transactionalId,
    v3AndBelowProducerId: producer.producerId,
    v3AndBelowProducerEpoch: producer.producerEpoch,
    v3AndBelowTopics: [{ name: topic, partitions }],
  }
  const { resultsByTopicV3AndBelow: results } = await to.request(apis.addPartitionsToTxn, asked, version)
  return results[0]?.resultsByPartition.map(({ partitionErrorCode }) => partitionErrorCode)
}

const end = (producer: Producer, committed: boolean, version: number) =>
  connection.request(apis.endTxn, { ...producer, committed }, version)

async function commitOffset(producer: Producer, group: string, topic: string, version: number, more = {}) {
  const partitions = [{ partitionIndex: 0, committedOffset: 7, committedMetadata: 'm' }]
  const asked = { ...producer, groupId: group, topics: [{ name: topic, partitions }], ...more }
  const answer = await connection.request(apis.txnOffsetCommit, asked, version)
  return answer.topics[0]?.partitions[0]?.errorCode
}

async function fetch(topic: string, isolationLevel: number, fetchOffset = 0) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1e6 }]
  const asked = { maxWaitMs: 0, minBytes: 0, maxBytes: 1e6, isolationLevel, topics: [{ topic, partitions }] }
  const answer = (await connection.request(apis.fetch, asked, 12)).responses[0]?.partitions[0]
  assert(answer)
  const { highWatermark, lastStableOffset, abortedTransactions, records } = answer
  return { highWatermark, lastStableOffset, abortedTransactions, bytes: records?.length ?? 0 }
}

async function latest(topic: string, isolationLevel: number, timestamp = -1): Promise<number | undefined> {
  const asked = {
    replicaId: -1,
    isolationLevel,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
  }
  return (await connection.request(apis.listOffsets, asked, 7)).topics[0]?.partitions[0]?.offset
}

test('clients learn that the newer protocol is in force', async () => {
  const asked = { clientSoftwareName: 'a', clientSoftwareVersion: '1' }
  for (const version of [3, 4]) {
    const answer = await connection.request(apis.apiVersions, asked, version)
    const finalized = answer.finalizedFeatures.find(({ name }) => name === 'transaction.version')
    assert.deepEqual([finalized?.minVersionLevel, finalized?.maxVersionLevel], [2, 2])
    assert.ok(answer.finalizedFeaturesEpoch >= 0)
    assert.equal(
      answer.supportedFeatures.some(({ minVersion }) => minVersion === 0),
      version === 4,
    )
  }
  const { coordinators } = await connection.request(apis.findCoordinator, { keyType: 1, coordinatorKeys: ['t'] }, 4)
  assert.deepEqual([coordinators[0]?.errorCode, coordinators[0]?.port], [codes.none, broker.port('kafka')])
})

test('the newer protocol: partitions and groups take part by themselves, and each end gives an epoch', async () => {
  const topic = await newTopic()
  const producer = await newProducer('newer')
  assert.equal(await produce(producer, topic, 12), codes.none)
  assert.equal(await commitOffset(producer, 'newer', topic, 5), codes.none)
  assert.deepEqual(await fetch(topic, 1), { highWatermark: 1, lastStableOffset: 0, abortedTransactions: [], bytes: 0 })
  const { bytes, ...open } = await fetch(topic, 0)
  assert.deepEqual([open, bytes > 0], [{ highWatermark: 1, lastStableOffset: 0, abortedTransactions: null }, true])
  assert.deepEqual([await latest(topic, 0), await latest(topic, 1)], [1, 0])
  assert.deepEqual([await latest(topic, 0, -3), await latest(topic, 1, -3)], [0, -1])
  assert.deepEqual([await latest(topic, 0, 5), await latest(topic, 1, 5)], [0, -1])

  const aborted = await end(producer, false, 5)
  assert.deepEqual([aborted.errorCode, aborted.producerId, aborted.producerEpoch], [0, producer.producerId, 1])
  const { producerId } = producer
  const after = await fetch(topic, 1)
  assert.deepEqual(after.abortedTransactions, [{ producerId, firstOffset: 0 }])
  assert.deepEqual([after.highWatermark, after.lastStableOffset], [2, 2])
  assert.equal(await produce(producer, topic, 12), codes.invalidProducerEpoch, 'a late one of the first transaction')

  const next = { ...producer, producerEpoch: aborted.producerEpoch }
  assert.equal(await produce(next, topic, 12), codes.none)
  assert.equal((await end(next, true, 5)).producerEpoch, 2)
  assert.equal((await end(next, true, 5)).producerEpoch, 2, 'its answer was lost')
  assert.deepEqual((await fetch(topic, 1, 2)).abortedTransactions, [])
})

test('the older protocol: only what was added takes part; errors are in the words of each version', async () => {
  const topic = await newTopic(2)
  const producer = await newProducer('older')
  assert.equal(await produce(producer, topic, 10), codes.invalidTransactionState)
  assert.equal(await produce(producer, topic, 11), codes.transactionAbortable)
  assert.equal(await commitOffset(producer, 'older', topic, 3), codes.invalidTransactionState)
  assert.equal(await commitOffset(producer, 'older', topic, 4), codes.transactionAbortable)
  assert.deepEqual(await add(producer, topic, 3, [0, 5]), [codes.operationNotAttempted, codes.unknownTopicOrPartition])
  assert.deepEqual(await add(producer, topic, 3, [0]), [codes.none])
  assert.equal(await produce(producer, topic, 11), codes.none)
  assert.equal(await produce(producer, topic, 11, 0, 1), codes.transactionAbortable)
  const group = { ...producer, groupId: 'older' }
  assert.equal((await connection.request(apis.addOffsetsToTxn, group, 3)).errorCode, codes.none)
  assert.equal(await commitOffset(producer, 'older', topic, 3), codes.none)
  const ended = await end(producer, true, 3)
  assert.equal(ended.errorCode, codes.none)
  assert.equal((await end(producer, true, 3)).errorCode, codes.none)
  assert.equal((await end(producer, false, 3)).errorCode, codes.invalidTransactionState)

  await newProducer('older')
  assert.equal(await produce(producer, topic, 11), codes.invalidProducerEpoch)
  assert.equal((await end(producer, true, 1)).errorCode, codes.invalidProducerEpoch)
  assert.equal((await end(producer, true, 2)).errorCode, codes.producerFenced)
  assert.deepEqual(await add(producer, topic, 1), [codes.invalidProducerEpoch])
  assert.deepEqual(await add(producer, topic, 2), [codes.producerFenced])
  assert.equal((await connection.request(apis.addOffsetsToTxn, group, 3)).errorCode, codes.producerFenced)
  assert.equal(await commitOffset(producer, 'older', topic, 3), codes.invalidProducerEpoch)
  assert.equal((await register('older', 4, producer)).errorCode, codes.producerFenced)
  assert.equal((await register('older', 3, producer)).errorCode, codes.invalidProducerEpoch)
  const stranger = { ...producer, producerId: 999_999 }
  assert.equal((await end(stranger, true, 5)).errorCode, codes.invalidProducerIdMapping)
  assert.equal(await produce(stranger, topic, 12), codes.invalidProducerIdMapping)
})

test('a request that comes over a connection that its producer has left is refused', async () => {
  const topic = await newTopic()
  const producer = await newProducer('moved')
  assert.deepEqual(await add(producer, topic), [codes.none])
  const newer = await open()
  assert.deepEqual(await add(producer, topic, 3, [0], newer), [codes.none])
  assert.deepEqual(await add(producer, topic), [codes.producerFenced])
  assert.equal((await end(producer, true, 3)).errorCode, codes.producerFenced)
  assert.equal(await produce(producer, topic, 11), codes.invalidProducerEpoch)
  assert.equal((await newer.request(apis.endTxn, { ...producer, committed: true }, 3)).errorCode, codes.none)
  newer.close()
})

test('InitProducerId refuses what makes no sense', async () => {
  assert.equal((await register('')).errorCode, codes.invalidRequest)
  assert.equal((await register('x', 5, { producerId: 5 })).errorCode, codes.invalidRequest)
  assert.equal((await register('x', 5, { producerEpoch: 5 })).errorCode, codes.invalidRequest)
  for (const transactionTimeoutMs of [0, -1, 2 ** 31 - 1]) {
    const answer = await connection.request(apis.initProducerId, { transactionalId: 'x', transactionTimeoutMs }, 2)
    assert.equal(answer.errorCode, codes.invalidTransactionTimeout)
  }
})

test('Produce refuses transactional records without an id, and others while a transaction is open', async () => {
  const topic = await newTopic()
  const { producerId, producerEpoch, transactionalId } = await newProducer('mixed')
  const send = async (attributes: number, more: object, asId: string | null) => {
    const records = makeBatch([{ value: Buffer.from('v'), timestampMs: 1 }], { attributes, ...more })
    const topicData = [{ name: topic, partitionData: [{ index: 0, records }] }]
    const asked = { transactionalId: asId, acks: -1, timeoutMs: 5_000, topicData }
    const { responses } = await connection.request(apis.produce, asked, 12)
    return responses[0]?.partitionResponses[0]?.errorCode
  }
  const identity = { producerId, producerEpoch }
  const { transactional, control } = attributeBits
  assert.equal(await send(transactional, { ...identity, baseSequence: 0 }, null), codes.invalidProducerIdMapping)
  assert.equal(await send(transactional, {}, transactionalId), codes.invalidRecord)
  assert.equal(await send(transactional, identity, transactionalId), codes.invalidRecord)
  assert.equal(
    await send(transactional | control, { ...identity, baseSequence: 0 }, transactionalId),
    codes.invalidRecord,
  )
  assert.equal(await send(transactional, { ...identity, baseSequence: 0 }, transactionalId), codes.none)
  assert.equal(await send(0, { ...identity, baseSequence: 1 }, transactionalId), codes.invalidTransactionState)
})

test('OffsetFetch that wants what is stable waits for open transactions', async () => {
  const topic = await newTopic()
  const committed = async (requireStable: boolean, named: boolean) => {
    const wanted = named ? [{ name: topic, partitionIndexes: [0] }] : null
    const asked = { groups: [{ groupId: topic, topics: wanted }], requireStable }
    const { groups } = await connection.request(apis.offsetFetch, asked, 8)
    const found = groups[0]?.topics?.[0]?.partitions[0]
    return [found?.errorCode, found?.committedOffset]
  }
  const producer = await newProducer(topic)
  assert.equal(await commitOffset(producer, topic, topic, 5), codes.none)
  assert.deepEqual(await committed(true, true), [codes.unstableOffsetCommit, -1])
  assert.deepEqual(await committed(false, true), [codes.none, -1])
  const { producerEpoch } = await end(producer, true, 5)
  assert.deepEqual(await committed(true, true), [codes.none, 7])
  assert.equal(await commitOffset({ ...producer, producerEpoch }, topic, topic, 5), codes.none)
  assert.deepEqual(await committed(true, false), [codes.unstableOffsetCommit, -1])
  assert.deepEqual(await committed(false, false), [codes.none, 7])
  await end({ ...producer, producerEpoch }, false, 5)
  assert.deepEqual(await committed(true, false), [codes.none, 7])
})

test('TxnOffsetCommit checks the member, and what it is to commit', async () => {
  const topic = await newTopic()
  const producer = await newProducer(topic)
  const member = { memberId: 'nobody', generationId: 3 }
  assert.equal(await commitOffset(producer, topic, topic, 5, member), codes.illegalGeneration)
  assert.equal(await commitOffset(producer, topic, 'not-there', 5), codes.unknownTopicOrPartition)
  const long = [{ partitionIndex: 0, committedOffset: 1, committedMetadata: 'x'.repeat(5000) }]
  const topics = [{ name: topic, partitions: long }]
  assert.equal(await commitOffset(producer, topic, topic, 5, { topics }), codes.offsetMetadataTooLarge)
})

test('TxnOffsetCommit to a group to which the broker assigns: by a member in its epoch, or by somebody who is none', async () => {
  const topic = await newTopic()
  const producer = await newProducer(topic)
  const asked = {
    ...{ groupId: topic, memberId: 'm', memberEpoch: 0, rebalanceTimeoutMs: 10_000 },
    ...{ subscribedTopicNames: [topic], topicPartitions: [], serverAssignor: null },
  }
  const joined = await connection.request(apis.consumerGroupHeartbeat, asked)
  assert.equal(joined.errorCode, codes.none)
  const member = { memberId: 'm', generationId: joined.memberEpoch }
  assert.equal(await commitOffset(producer, topic, topic, 5), codes.none)
  assert.equal(await commitOffset(producer, topic, topic, 5, member), codes.none)
  const stale = await commitOffset(producer, topic, topic, 5, { ...member, generationId: joined.memberEpoch + 5 })
  assert.notEqual(stale, codes.none)
  assert.notEqual(await commitOffset(producer, topic, topic, 5, { ...member, memberId: 'other' }), codes.none)
  await end(producer, true, 5)
})

test('AddPartitionsToTxn in the form of brokers: several transactions, and only asking', async () => {
  const topic = await newTopic()
  const [a, b] = [await newProducer('batched-a'), await newProducer('batched-b')]
  const ask = async (verifyOnly: boolean): Promise<(number | undefined)[]> => {
    const wanted = [{ name: topic, partitions: [0] }]
    const transactions = [a, { ...b, producerEpoch: 5 }].map(of => ({ ...of, verifyOnly, topics: wanted }))
    const answer = await connection.request(apis.addPartitionsToTxn, { transactions }, 5)
    return answer.resultsByTransaction.map(of => of.topicResults[0]?.resultsByPartition[0]?.partitionErrorCode)
  }
  assert.deepEqual(await ask(true), [codes.transactionAbortable, codes.producerFenced])
  assert.deepEqual(await ask(false), [codes.none, codes.producerFenced])
  assert.deepEqual(await ask(true), [codes.none, codes.producerFenced])
})

test('administrators see transactions, and abort them as a whole', async () => {
  const topic = await newTopic(2)
  const producer = await newProducer('seen.1')
  await newProducer('seen.2')
  await produce(producer, topic, 12)
  await produce(producer, topic, 12, 0, 1)

  const list = async (filters: object): Promise<string[]> => {
    const asked = { stateFilters: [], producerIdFilters: [], ...filters }
    const answer = await connection.request(apis.listTransactions, asked, 2)
    assert.equal(answer.errorCode, codes.none)
    return answer.transactionStates.map(of => `${of.transactionalId} ${of.transactionState}`)
  }
  const transactionalIdPattern = 'seen.*'
  assert.deepEqual(await list({ transactionalIdPattern }), ['seen.1 Ongoing', 'seen.2 Empty'])
  assert.deepEqual(await list({ transactionalIdPattern: 'seen' }), [])
  assert.deepEqual(await list({ transactionalIdPattern, stateFilters: ['Empty', 'Dead'] }), ['seen.2 Empty'])
  assert.deepEqual(await list({ stateFilters: ['Nonsense'] }), [])
  assert.deepEqual(await list({ producerIdFilters: [producer.producerId] }), ['seen.1 Ongoing'])
  assert.deepEqual(await list({ transactionalIdPattern, durationFilter: 1e9 }), [])
  const bad = { stateFilters: [], producerIdFilters: [], transactionalIdPattern: '(' }
  const refused = await connection.request(apis.listTransactions, bad, 2)
  assert.equal(refused.errorCode, codes.invalidRegularExpression)

  const transactionalIds = ['seen.1', 'never']
  const { transactionStates } = await connection.request(apis.describeTransactions, { transactionalIds })
  const [seen, never] = transactionStates
  assert.deepEqual(seen?.topics, [{ topic, partitions: [0, 1] }])
  assert.deepEqual([seen.transactionState, seen.transactionTimeoutMs, seen.producerEpoch], ['Ongoing', 60_000, 0])
  assert.ok(Math.abs(Date.now() - seen.transactionStartTimeMs) < 60_000)
  assert.equal(never?.errorCode, codes.transactionalIdNotFound)

  const describe = async () => {
    const asked = { topics: [{ name: topic, partitionIndexes: [0, 9] }] }
    const [first, second] = (await connection.request(apis.describeProducers, asked)).topics[0]?.partitions ?? []
    assert.equal(second?.errorCode, codes.unknownTopicOrPartition)
    const [found] = first?.activeProducers ?? []
    return [found?.producerId, found?.producerEpoch, found?.lastSequence, found?.currentTxnStartOffset]
  }
  assert.deepEqual(await describe(), [producer.producerId, 0, 0, 0])

  const { producerId } = producer
  const mark = async (transactionResult: boolean, producerEpoch: number, name = topic) => {
    const wanted = [{ name, partitionIndexes: [0] }]
    const marker = { producerId, producerEpoch, transactionResult, topics: wanted, coordinatorEpoch: 0 }
    const { markers } = await connection.request(apis.writeTxnMarkers, { markers: [marker] })
    return markers[0]?.topics[0]?.partitions[0]?.errorCode
  }
  assert.equal(await mark(true, 0), codes.invalidTransactionState)
  assert.equal(await mark(false, -1), codes.invalidProducerEpoch)
  assert.equal(await mark(false, 0, 'not-there'), codes.unknownTopicOrPartition)
  assert.equal(await mark(false, 0), codes.none)
  assert.equal(await mark(false, 0), codes.none, 'nothing is open any more')
  assert.deepEqual(await describe(), [producerId, 1, -1, -1])
  assert.deepEqual(await list({ transactionalIdPattern: 'seen.1' }), ['seen.1 CompleteAbort'])
  assert.equal((await end(producer, true, 5)).errorCode, codes.producerFenced)
  assert.equal((await fetch(topic, 1)).abortedTransactions?.length, 1)
})

test('WriteTxnMarkers and the others answer for nothing when nothing is asked', async () => {
  assert.deepEqual((await connection.request(apis.writeTxnMarkers, { markers: [] })).markers, [])
  const answer = await connection.request(apis.addPartitionsToTxn, { transactions: [] }, 5)
  assert.deepEqual(answer.resultsByTransaction, [])
})
