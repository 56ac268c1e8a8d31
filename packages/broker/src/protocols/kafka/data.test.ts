import assert from 'node:assert/strict'
import test, { after, before, suite } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Infer, Write } from '@dragoman/wire'
import { startBroker, type RunningBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { recompressBatch } from '../../storage/rebuild-batch.ts'
import {
  attributeBits,
  batchBytes,
  batchHeaderBytes,
  checkBatch,
  compressionNames,
  compressionOf,
  makeBatch,
  sealBatch,
  type NewRecord,
} from '../../storage/record-batch.ts'
import { KafkaDriver, recordsOf } from './driver.ts'
import { codes } from './errors.ts'
import { apis } from './messages/index.ts'

const { network, clock } = realRuntime()

const now = clock.nowMs()
const record = (text: string, timestampMs = now): NewRecord => ({ value: Buffer.from(text), timestampMs })
const values = (batches: Buffer | null): string[] =>
  Array.from(recordsOf(batches ?? Buffer.alloc(0)), ({ value }) => String(value))

let broker: RunningBroker
let driver: KafkaDriver

before(async () => {
  broker = await startBroker({ data: 'memory', kafka: 0 })
  driver = await connect()
})
after(async () => {
  driver.close()
  await broker.close()
})

const connect = (): Promise<KafkaDriver> =>
  KafkaDriver.connect(network, { host: '127.0.0.1', port: broker.port('kafka') })

let topics = 0
/** A new topic's name. */
async function topic(partitions = 1, config: Record<string, string> = {}): Promise<string> {
  const name = `topic-${topics++}`
  await driver.declare(name, partitions, config)
  return name
}

const idOf = (name: string): string => broker.core.topics.get('/', name)?.id ?? assert.fail(name)
const epoch = (): number => broker.core.cell.epoch

/** A batch with one byte or more changed, and its checksum renewed unless told not to. */
function edited(edit: (batch: Buffer) => void, seal = true): Buffer {
  const batch = makeBatch([record('x')])
  edit(batch)
  if (seal) sealBatch(batch)
  return batch
}

suite('produce', () => {
  test('stores batches in the compression of the topic, whatever they come in', async () => {
    const texts = Array.from({ length: 50 }, (_, index) => `record ${index % 7}`)
    const plain = makeBatch(texts.map(text => record(text)))
    const forms = ['uncompressed', 'gzip', 'snappy', 'lz4', 'zstd']
    for (const [wanted, word] of forms.entries()) {
      const name = await topic(1, { 'compression.type': word })
      for (const from of compressionNames) {
        const batch = recompressBatch(plain, from) ?? assert.fail(from)
        assert.equal((await driver.produce(name, batch)).errorCode, codes.none)
      }
      for (let offset = 0; offset < texts.length * forms.length; offset += texts.length) {
        const { records } = await fetchOne(name, offset)
        assert(records)
        assert.equal(compressionOf(records), compressionNames[wanted], word)
        assert.deepEqual(values(records).slice(0, texts.length), texts)
        assert.equal(checkBatch(records.subarray(0, batchBytes(records)), 1e6), undefined)
      }
    }
    const garbage = edited(batch => batch.writeInt16BE(1, 21))
    const refused = await driver.produce(await topic(1, { 'compression.type': 'lz4' }), garbage)
    assert.equal(refused.errorCode, codes.corruptMessage)
    const small = await topic(1, { 'compression.type': 'uncompressed', 'max.message.bytes': '200' })
    const packed = recompressBatch(plain, 'gzip') ?? assert.fail()
    assert.equal((await driver.produce(small, packed)).errorCode, codes.messageTooLarge)
  })

  test('stores compressed batches as they are, and fetch gives them back', async () => {
    const name = await topic()
    const plain = makeBatch([record('one'), record('two')])
    const body = gzipSync(plain.subarray(batchHeaderBytes))
    const batch = Buffer.concat([plain.subarray(0, batchHeaderBytes), body])
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt16BE(1, 21)
    sealBatch(batch)
    assert.equal((await driver.produce(name, Buffer.from(batch))).baseOffset, 0)
    assert.equal((await driver.produce(name, Buffer.from(batch))).baseOffset, 2)
    const found = (await fetchOne(name, 2)).records
    assert(found)
    assert.deepEqual(values(found), ['one', 'two'])
    assert.equal(found.readBigInt64BE(0), 2n)
    assert.equal(found.readInt32BE(12), epoch())
    assert(found.subarray(16).equals(batch.subarray(16)))
    assert.deepEqual(
      (await driver.consume(name, 4)).map(({ offset }) => offset),
      [0, 1, 2, 3],
    )
  })

  const transactional = edited(batch => batch.writeInt16BE(attributeBits.transactional, 21))
  const refused: [string, Buffer | null, keyof typeof codes, number?][] = [
    ['no records', null, 'invalidRecord'],
    ['an empty batch', Buffer.alloc(0), 'invalidRecord'],
    ['messages of format 1', edited(batch => (batch[16] = 1)), 'invalidRecord'],
    ['two batches', Buffer.concat([makeBatch([record('a')]), makeBatch([record('b')])]), 'invalidRecord'],
    ['a batch cut off', makeBatch([record('abc')]).subarray(0, -1), 'invalidRecord'],
    ['a wrong checksum', edited(batch => batch.writeUInt8(0xff, 65), false), 'corruptMessage'],
    ['a wrong count', edited(batch => batch.writeInt32BE(7, 57)), 'invalidRecord'],
    ['an unknown compression', edited(batch => batch.writeInt16BE(7, 21)), 'unsupportedCompressionType'],
    ['a control batch', edited(batch => batch.writeInt16BE(attributeBits.control, 21)), 'invalidRecord'],
    ['a transactional batch of nobody', transactional, 'invalidRecord'],
    ['a producer without a sequence', makeBatch([record('a')], { producerId: 5, producerEpoch: 0 }), 'invalidRecord'],
    ['a batch that is too large', makeBatch([record('x'.repeat(2000))]), 'messageTooLarge'],
    ['a timestamp far ahead', makeBatch([record('x', now + 7_200_000)]), 'invalidTimestamp'],
    ['zstd before version 7', edited(batch => batch.writeInt16BE(4, 21)), 'unsupportedCompressionType', 6],
  ]
  for (const [what, bytes, error, version] of refused) {
    test(`refuses ${what}`, async () => {
      const name = await topic(1, { 'max.message.bytes': '1000' })
      const answer = await driver.produce(name, bytes, version === undefined ? {} : { version })
      assert.equal(answer.errorCode, codes[error])
      assert.equal(answer.baseOffset, -1)
      assert.equal((await fetchOne(name, 0)).highWatermark, 0)
    })
  }

  test('refuses wrong acks, and partitions and topics that are not there', async () => {
    const name = await topic()
    assert.equal(
      (await driver.produce(name, makeBatch([record('x')]), { acks: 2 })).errorCode,
      codes.invalidRequiredAcks,
    )
    const elsewhere = { partition: 1 }
    assert.equal(
      (await driver.produce(name, makeBatch([record('x')]), elsewhere)).errorCode,
      codes.unknownTopicOrPartition,
    )
    assert.equal((await driver.produce('nowhere', makeBatch([record('x')]))).errorCode, codes.unknownTopicOrPartition)
  })

  test('finds topics by id from version 13 on', async () => {
    const name = await topic()
    const partitionData = (): { index: number; records: Buffer }[] => [{ index: 0, records: makeBatch([record('x')]) }]
    const topicData = [
      { topicId: idOf(name), partitionData: partitionData() },
      { topicId: 'f'.repeat(32), partitionData: partitionData() },
    ]
    const { responses } = await driver.connection.request(apis.produce, { acks: 1, topicData }, 13)
    assert.deepEqual(
      responses.map(({ topicId, partitionResponses: [answer] }) => [topicId, answer?.errorCode]),
      [
        [idOf(name), codes.none],
        ['f'.repeat(32), codes.unknownTopicId],
      ],
    )
  })

  test('with acks 0 is not answered, and a refusal closes the connection', async () => {
    const name = await topic()
    const other = await connect()
    const send = (index: number): void => {
      const topicData = [{ name, partitionData: [{ index, records: makeBatch([record('quiet')]) }] }]
      other.connection.send(apis.produce, { acks: 0, topicData }, 9)
    }
    send(0)
    assert.equal((await other.consume(name, 1)).length, 1)
    send(5)
    await assert.rejects(other.consume(name, 2))
  })

  test('stamps batches with the time of the append when the topic says so', async () => {
    const name = await topic(1, { 'message.timestamp.type': 'LogAppendTime' })
    const answer = await driver.produce(name, makeBatch([record('old', 5)]))
    assert(answer.logAppendTimeMs >= now)
    assert.equal((await driver.consume(name, 1))[0]?.timestampMs, answer.logAppendTimeMs)
  })

  test('recognises repetitions, gaps and fenced producers', async () => {
    const name = await topic()
    const { producerId } = await driver.connection.request(apis.initProducerId, {}, 4)
    const send = async (baseSequence: number, producerEpoch = 0): Promise<[number, number]> => {
      const batch = makeBatch([record('a'), record('b')], { producerId, producerEpoch, baseSequence })
      const { errorCode, baseOffset } = await driver.produce(name, batch)
      return [errorCode, baseOffset]
    }
    assert.deepEqual(await Promise.all([send(0), send(2), send(4)]), [
      [codes.none, 0],
      [codes.none, 2],
      [codes.none, 4],
    ])
    assert.deepEqual(await send(2), [codes.none, 2])
    assert.deepEqual(await send(8), [codes.outOfOrderSequenceNumber, -1])
    assert.deepEqual(await send(0, 1), [codes.none, 6])
    assert.deepEqual(await send(6, 0), [codes.invalidProducerEpoch, -1])
  })
})

type FetchBody = Write<typeof apis.fetch.request>
type FetchAnswer = Infer<typeof apis.fetch.response>

const fetch = (body: FetchBody, version = 12): Promise<FetchAnswer> =>
  driver.connection.request(apis.fetch, { maxBytes: 1_000_000, ...body }, version)

async function fetchOne(
  name: string,
  fetchOffset: number,
  { version = 12, more = {}, partition: of = {} }: { version?: number; more?: FetchBody; partition?: object } = {},
): Promise<FetchAnswer['responses'][number]['partitions'][number]> {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1_000_000, ...of }]
  const { responses } = await fetch({ ...more, topics: [{ topic: name, topicId: idOf(name), partitions }] }, version)
  return responses[0]?.partitions[0] ?? assert.fail('no answer')
}

suite('fetch', () => {
  test('waits for records and is woken by them', async () => {
    const name = await topic()
    const other = await connect()
    const waiting = fetchOne(name, 0, { more: { maxWaitMs: 60_000, minBytes: 1 } })
    assert.equal(await other.publish(name, [record('here')]), 0)
    other.close()
    assert.deepEqual(values((await waiting).records), ['here'])
  })

  test('answers in every version, by name and by id', async () => {
    const name = await topic()
    await driver.publish(name, [record('a')])
    for (let version = 4; version <= 18; version++) {
      const answer = await fetchOne(name, 0, { version, more: { isolationLevel: version % 2 } })
      assert.deepEqual(values(answer.records), ['a'], `version ${version}`)
      assert.deepEqual(answer.abortedTransactions, version % 2 === 1 ? [] : null)
      assert.deepEqual([answer.highWatermark, answer.lastStableOffset], [1, 1])
    }
  })

  test('refuses offsets outside the log, wrong epochs and what is not there, without waiting', async () => {
    const name = await topic()
    await driver.publish(name, [record('a')])
    const more = { maxWaitMs: 60_000, minBytes: 1 }
    const errorOf = async (offset: number, partition: object): Promise<number> =>
      (await fetchOne(name, offset, { more, partition })).errorCode
    assert.equal(await errorOf(2, {}), codes.offsetOutOfRange)
    assert.equal(await errorOf(-1, {}), codes.offsetOutOfRange)
    assert.equal(await errorOf(1, { partition: 3 }), codes.unknownTopicOrPartition)
    assert.equal(await errorOf(1, { currentLeaderEpoch: epoch() - 1 }), codes.fencedLeaderEpoch)
    assert.equal(await errorOf(1, { currentLeaderEpoch: epoch() + 1 }), codes.unknownLeaderEpoch)
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 100 }]
    const unknown = await fetch({ ...more, topics: [{ topicId: 'f'.repeat(32), partitions }] }, 13)
    assert.equal(unknown.responses[0]?.partitions[0]?.errorCode, codes.unknownTopicId)
  })

  test('tells a reader whose epoch ended earlier where the log divides', async () => {
    const name = await topic()
    await driver.publish(name, [record('a')])
    const answer = await fetchOne(name, 1, { partition: { lastFetchedEpoch: epoch() } })
    assert.deepEqual(answer.divergingEpoch, { epoch: -1, endOffset: -1 })
    const ahead = await fetchOne(name, 5, { partition: { lastFetchedEpoch: epoch() } })
    assert.deepEqual(ahead.divergingEpoch, { epoch: epoch(), endOffset: 1 })
  })

  test('keeps to the bytes asked for, but gives at least one batch', async () => {
    const name = await topic(3)
    for (let partition = 0; partition < 3; partition++) {
      await driver.publish(name, [record('x'.repeat(3000))], { partition })
      await driver.publish(name, [record('y'.repeat(3000))], { partition })
    }
    const partitions = [0, 1, 2].map(partition => ({ partition, fetchOffset: 0, partitionMaxBytes: 5000 }))
    const counts = async (maxBytes: number): Promise<number[]> => {
      const { responses } = await fetch({ maxBytes, topics: [{ topic: name, partitions }] })
      return responses[0]?.partitions.map(({ records }) => values(records).length) ?? []
    }
    assert.deepEqual(await counts(1), [1, 0, 0])
    assert.deepEqual(await counts(7000), [1, 1, 0])
    assert.deepEqual(await counts(1_000_000), [1, 1, 1])
  })
})

suite('fetch session', () => {
  const partitions = (count: number, fetchOffset = 0): object[] =>
    Array.from({ length: count }, (_, partition) => ({ partition, fetchOffset, partitionMaxBytes: 100_000 }))

  test('answers only what has changed', async () => {
    const name = await topic(3)
    await driver.publish(name, [record('a')], { partition: 1 })
    const full = await fetch({ sessionEpoch: 0, topics: [{ topic: name, partitions: partitions(3) }] })
    const { sessionId } = full
    assert(sessionId > 0)
    assert.equal(full.responses[0]?.partitions.length, 3)
    const next = [{ topic: name, partitions: [{ partition: 1, fetchOffset: 1, partitionMaxBytes: 100_000 }] }]
    assert.deepEqual((await fetch({ sessionId, sessionEpoch: 1, topics: next })).responses, [])
    await driver.publish(name, [record('b')], { partition: 2 })
    const changed = await fetch({ sessionId, sessionEpoch: 2 })
    assert.deepEqual(
      changed.responses[0]?.partitions.map(({ partitionIndex, records }) => [partitionIndex, values(records)]),
      [[2, ['b']]],
    )
    const forgotten = await fetch({
      sessionId,
      sessionEpoch: 3,
      forgottenTopicsData: [{ topic: name, partitions: [2] }],
    })
    assert.deepEqual(forgotten.responses, [])
    assert.equal((await fetch({ sessionId, sessionEpoch: 3 })).errorCode, codes.invalidFetchSessionEpoch)
    const byId = await fetch({ sessionId, sessionEpoch: 4 }, 13)
    assert.equal(byId.errorCode, codes.fetchSessionTopicIdError)
    const last = await fetch({ sessionId, sessionEpoch: -1 })
    assert.deepEqual([last.errorCode, last.sessionId], [codes.none, 0])
    assert.equal((await fetch({ sessionId, sessionEpoch: 4 })).errorCode, codes.fetchSessionIdNotFound)
  })

  test('repeats an error until it is gone, then tells the end again', async () => {
    const name = await topic()
    await driver.publish(name, [record('a')])
    const beyond = [{ topic: name, partitions: partitions(1, 7) }]
    const { sessionId, responses } = await fetch({ sessionEpoch: 0, topics: beyond })
    assert.equal(responses[0]?.partitions[0]?.errorCode, codes.offsetOutOfRange)
    const again = await fetch({ sessionId, sessionEpoch: 1 })
    assert.equal(again.responses[0]?.partitions[0]?.errorCode, codes.offsetOutOfRange)
    const good = await fetch({ sessionId, sessionEpoch: 2, topics: [{ topic: name, partitions: partitions(1, 1) }] })
    assert.equal(good.responses[0]?.partitions[0]?.highWatermark, 1)
    assert.deepEqual((await fetch({ sessionId, sessionEpoch: 3 })).responses, [])
  })

  test('reads a partition that gave data after the others', async () => {
    const name = await topic(2)
    for (const partition of [0, 1]) await driver.publish(name, [record('x'.repeat(2000))], { partition })
    const first = await fetch({ sessionEpoch: 0, maxBytes: 1, topics: [{ topic: name, partitions: partitions(2) }] })
    const { sessionId } = first
    const indexes = ({ responses }: FetchAnswer): number[] =>
      responses
        .flatMap(answer => answer.partitions.filter(({ records }) => values(records).length > 0))
        .map(one => one.partitionIndex)
    assert.deepEqual(indexes(first), [0])
    assert.deepEqual(indexes(await fetch({ sessionId, sessionEpoch: 1, maxBytes: 1 })), [1])
    assert.deepEqual(indexes(await fetch({ sessionId, sessionEpoch: 2, maxBytes: 1 })), [0])
  })
})

suite('offsets', () => {
  async function listed(name: string, timestamp: number, version = 11): Promise<[number, number, number]> {
    const asked = { topics: [{ name, partitions: [{ partitionIndex: 0, timestamp }] }] }
    const { topics: found } = await driver.connection.request(apis.listOffsets, asked, version)
    const answer = found[0]?.partitions[0]
    assert(answer)
    return [answer.errorCode, answer.offset, answer.timestamp]
  }

  test('list-offsets answers for times and for places in the log', async () => {
    const name = await topic()
    assert.deepEqual(await listed(name, now), [codes.none, -1, -1])
    assert.deepEqual(await listed(name, -3), [codes.none, -1, -1])
    await driver.publish(name, [record('a', now), record('b', now + 20), record('c', now + 10)])
    await driver.publish(name, [record('d', now + 15)])
    assert.deepEqual(await listed(name, now + 5), [codes.none, 1, now + 20])
    assert.deepEqual(await listed(name, now + 25), [codes.none, -1, -1])
    assert.deepEqual(await listed(name, -1), [codes.none, 4, -1])
    assert.deepEqual(await listed(name, -2), [codes.none, 0, -1])
    assert.deepEqual(await listed(name, -3), [codes.none, 1, now + 20])
    assert.deepEqual(await listed(name, -4), [codes.none, 0, -1])
    assert.deepEqual(await listed(name, -5), [codes.none, -1, -1])
    assert.deepEqual(await listed(name, -6), [codes.none, -1, -1])
    assert.deepEqual(await listed(name, -7), [codes.unsupportedVersion, -1, -1])
    assert.deepEqual(await listed(name, -3, 6), [codes.unsupportedVersion, -1, -1])
    assert.deepEqual(await listed('nowhere', -1), [codes.unknownTopicOrPartition, -1, -1])
  })

  test('delete-records moves the start of the log', async () => {
    const name = await topic()
    await driver.publish(name, [record('a'), record('b')])
    await driver.publish(name, [record('c')])
    const remove = async (offset: number): Promise<[number, number]> => {
      const asked = { topics: [{ name, partitions: [{ partitionIndex: 0, offset }] }] }
      const { topics: done } = await driver.connection.request(apis.deleteRecords, asked)
      const answer = done[0]?.partitions[0]
      assert(answer)
      return [answer.errorCode, answer.lowWatermark]
    }
    assert.deepEqual(await remove(1), [codes.none, 1])
    assert.deepEqual(await listed(name, -2), [codes.none, 1, -1])
    assert.equal((await fetchOne(name, 0)).errorCode, codes.offsetOutOfRange)
    assert.deepEqual(
      (await driver.consume(name, 2, { offset: 1 })).map(({ value }) => String(value)),
      ['b', 'c'],
    )
    assert.deepEqual(await remove(0), [codes.none, 1])
    assert.deepEqual(await remove(9), [codes.offsetOutOfRange, -1])
    assert.deepEqual(await remove(-1), [codes.none, 3])
    assert.deepEqual(await listed(name, -2), [codes.none, 3, -1])
  })

  test('offset-for-leader-epoch tells where an epoch ended', async () => {
    const name = await topic()
    await driver.publish(name, [record('a')])
    const ask = async (leaderEpoch: number, currentLeaderEpoch = -1): Promise<[number, number, number]> => {
      const asked = { topics: [{ topic: name, partitions: [{ partition: 0, leaderEpoch, currentLeaderEpoch }] }] }
      const { topics: found } = await driver.connection.request(apis.offsetForLeaderEpoch, asked)
      const answer = found[0]?.partitions[0]
      assert(answer)
      return [answer.errorCode, answer.leaderEpoch, answer.endOffset]
    }
    assert.deepEqual(await ask(epoch()), [codes.none, epoch(), 1])
    assert.deepEqual(await ask(epoch() + 1), [codes.none, -1, -1])
    assert.deepEqual(await ask(epoch() - 1), [codes.none, epoch() - 1, 0])
    assert.deepEqual(await ask(epoch(), epoch() + 1), [codes.unknownLeaderEpoch, -1, -1])
  })

  test('init-producer-id gives each producer its own id', async () => {
    const ask = (): Promise<Infer<typeof apis.initProducerId.response>> =>
      driver.connection.request(apis.initProducerId, { transactionalId: null, transactionTimeoutMs: 1000 })
    const ids = await Promise.all([ask(), ask(), ask()])
    assert.equal(new Set(ids.map(({ producerId }) => producerId)).size, 3)
    assert(ids.every(({ errorCode, producerEpoch }) => errorCode === codes.none && producerEpoch === 0))
  })
})
