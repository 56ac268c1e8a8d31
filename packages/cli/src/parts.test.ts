import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { assignRanges, readAssignment, readSubscription, writeAssignment, writeSubscription } from './group-protocol.ts'
import { readLines } from './input.ts'
import { readJsonRecord, showJsonRecord } from './json-records.ts'
import { murmur2, partitionOf } from './partitioner.ts'
import { position } from './positions.ts'
import { formatTable } from './table.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test('murmur2 gives the values that the Java client is tested with', () => {
  const known: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [key, hash] of known) assert.equal(murmur2(Buffer.from(key)), hash, key)
  assert.equal(partitionOf(Buffer.from('21'), 6), (-973932308 & 0x7fffffff) % 6)
})

test(`readLines gives every line once, wherever the input is cut (SEED=${seed})`, async () => {
  const random = new Random(seed)
  for (let round = 0; round < 50; round++) {
    const lines = Array.from({ length: random.below(20) }, () => 'x'.repeat(random.below(30)) + random.below(10))
    const bytes = Buffer.from(lines.join('\n') + (random.chance(0.5) && lines.length > 0 ? '\n' : ''))
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + random.below(40))
      chunks.push(bytes.subarray(at, end))
      at = end
    }
    const read: string[] = []
    for await (const some of readLines(Readable.from(chunks), 1000)) read.push(...some.map(String))
    assert.deepEqual(read, lines)
  }
})

test('readLines refuses a line without end', async () => {
  const endless = Readable.from([Buffer.alloc(600), Buffer.alloc(600)])
  await assert.rejects(async () => {
    for await (const lines of readLines(endless, 1000)) assert.equal(lines.length, 0)
  }, /A line is longer than 1000 bytes/)
})

test(`a record survives JSON, whatever its bytes (SEED=${seed})`, () => {
  const random = new Random(seed)
  const bytes = (): Buffer | null => {
    if (random.chance(0.2)) return null
    return random.chance(0.5) ? random.bytes(random.below(20)) : Buffer.from('text é "quoted"\n')
  }
  for (let round = 0; round < 500; round++) {
    const headers = Array.from({ length: random.below(4) }, () => ({ key: `h${random.below(3)}`, value: bytes() }))
    const record = { offset: 7, timestampMs: 1234, key: bytes(), value: bytes(), headers }
    const line = showJsonRecord('t', 3, record)
    const back = readJsonRecord(Buffer.from(line))
    assert.equal(back.partition, 3)
    const { offset: _, ...rest } = record
    assert.deepEqual(back.record, rest, line)
  }
})

test('readJsonRecord publishes values that are no strings as JSON, and says what it cannot take', () => {
  const { record } = readJsonRecord(
    Buffer.from('{"value":{"a":[1]},"timestamp":"2020-01-01T00:00:00Z","headers":{"n":1}}'),
  )
  assert.equal(String(record.value), '{"a":[1]}')
  assert.equal(record.key, null)
  assert.equal(record.timestampMs, 1577836800000)
  assert.deepEqual(record.headers, [{ key: 'n', value: Buffer.from('1') }])
  const bad: [string, RegExp][] = [
    ['{', /not JSON/],
    ['[]', /not a JSON object/],
    ['{"val":1}', /unknown field "val"/],
    ['{"value":"a","valueBase64":"YQ=="}', /both value and valueBase64/],
    ['{"keyBase64":"%"}', /keyBase64 takes base64/],
    ['{"timestamp":"soon"}', /timestamp takes/],
    ['{"partition":-1}', /partition takes/],
    ['{"headers":[["a"]]}', /headers takes/],
  ]
  for (const [line, message] of bad) assert.throws(() => readJsonRecord(Buffer.from(line)), message, line)
})

test('a position is a place, an offset, a time or a count from the end', () => {
  assert.deepEqual(position.parse('beginning'), { kind: 'beginning' })
  assert.deepEqual(position.parse('42'), { kind: 'offset', offset: 42 })
  assert.deepEqual(position.parse('@1700000000000'), { kind: 'time', atMs: 1700000000000 })
  assert.deepEqual(position.parse('2026-01-31T12:00:00Z'), { kind: 'time', atMs: Date.UTC(2026, 0, 31, 12) })
  assert.deepEqual(position.parse('last:10'), { kind: 'last', count: 10 })
  assert.equal(position.parse('ago:15m')?.kind, 'time')
  for (const bad of ['', 'start', '-1', 'last:', 'ago:soon', '2026-99-99', '@x', '1e3'])
    assert.equal(position.parse(bad), undefined, bad)
})

test('what members tell each other survives, and has the bytes of the Java client', () => {
  assert.deepEqual(readSubscription(writeSubscription(['a', 'b'])), ['a', 'b'])
  assert.equal(writeSubscription(['t']).toString('hex'), '0000' + '00000001' + '000174' + 'ffffffff')
  const assignment = new Map([['t', [0, 2]]])
  assert.deepEqual(readAssignment(writeAssignment(assignment)), assignment)
  assert.equal(
    writeAssignment(assignment).toString('hex'),
    '0000' + '00000001' + '000174' + '00000002' + '0000000000000002' + 'ffffffff',
  )
  assert.equal(readAssignment(Buffer.alloc(0)).size, 0)
})

test(`assignRanges gives each partition to one subscriber of its topic (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const partitionsOf = new Map(
      ['a', 'b'].map(topic => [topic, Array.from({ length: random.below(9) }, (_, index) => index)]),
    )
    const members = Array.from({ length: 1 + random.below(5) }, (_, index) => ({
      memberId: `m${index}`,
      topics: ['a', 'b'].filter(() => random.chance(0.7)),
    }))
    const assigned = assignRanges(members, partitionsOf)
    for (const [topic, partitions] of partitionsOf) {
      const given = [...assigned.values()].flatMap(assignment => assignment.get(topic) ?? []).sort((x, y) => x - y)
      const wanted = members.some(({ topics }) => topics.includes(topic))
      assert.deepEqual(given, wanted ? partitions : [])
      for (const { memberId, topics } of members)
        if (!topics.includes(topic)) assert.ok(!assigned.get(memberId)?.has(topic))
    }
  }
})

test('formatTable aligns text left and numbers right', () => {
  assert.equal(
    formatTable(
      ['A', 'COUNT'],
      [
        ['long', 7],
        ['b', 1234],
      ],
    ),
    'A     COUNT\nlong      7\nb      1234',
  )
})
