import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'
import { compile } from './compile.ts'
import { docsTable } from './docs.ts'
import { fuzzBytes } from './fuzz.ts'
import { Random } from './random.ts'
import * as schema from './schema.ts'
import {
  array,
  between,
  bool,
  byDefault,
  bytes,
  bytesRef,
  compactList,
  compactNullableList,
  custom,
  flags,
  i16,
  i32,
  i64,
  list,
  list16,
  listToEnd,
  message,
  nullableArray,
  nullableBytes,
  nullableBytesRef,
  nullableList,
  nullableStr,
  nullableStruct,
  raw,
  rest,
  since,
  str,
  string16,
  struct,
  tagged,
  u16,
  u32,
  u8,
  until,
  uuid,
  uvarint,
  type Codec,
  type Infer,
  type Write,
} from './schema.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Every kind of declaration, with the versions in which it differs. */
const inner = struct({
  id: i32,
  name: since(2, str, 'none'),
  state: tagged(0, i16, -1),
  extra: tagged(3, array(i32), []),
})
const everything = message(
  { name: 'Everything', versions: [1, 6], flexible: 4 },
  {
    scalars: struct(
      Object.fromEntries(
        Object.entries(schema).filter((entry): entry is [string, Codec<any>] => {
          const codec: unknown = entry[1]
          return typeof codec === 'object' && codec !== null && 'node' in codec
        }),
      ),
    ),
    inner,
    maybe: nullableStruct(inner),
    items: array(inner),
    itemsOrNull: nullableArray(inner),
    numbers: list16(u16),
    texts: list(string16),
    textsOrNull: nullableList(str),
    compact: compactList(uvarint),
    compactOrNull: compactNullableList(list(bool)),
    old: until(2, bytes),
    middle: between(2, 4, nullableBytes, Buffer.from('fallback')),
    recent: since(5, struct({ ids: array(uuid), deep: nullableStruct(struct({ at: i64 })) })),
    manyOld: until(1, nullableArray(nullableStruct(inner))),
    bits: flags({ first: 0, second: 1, last: 31 }, u32),
    fixed: raw(3),
    batches: bytesRef,
    batchesOrNull: nullableBytesRef,
    cluster: tagged(0, nullableStr, null),
    endpoint: tagged(2, struct({ host: str, port: i32 }), { host: '', port: -1 }, 5),
    epochs: tagged(200, nullableArray(struct({ epoch: i32 })), null),
  },
)
const plain = struct({ a: u8, b: since(3, i32, 7), tail: listToEnd(struct({ x: string16 })) })
const packed = message({ name: 'Packed', versions: [0, 0] }, { acks: i16, list: compactList(struct({ id: i32 })) })

const cases: [string, Codec<any, any>, (number | undefined)[]][] = [
  ['everything', everything, [undefined, 1, 2, 3, 4, 5, 6]],
  ['plain', plain, [undefined, 0, 3, 9]],
  ['packed', packed, [undefined, 0]],
  ['packet', struct({ kind: u8, body: rest(u8) }), [undefined]],
  ['bare list', nullableList(nullableList(u8)), [undefined]],
  ['bare scalar', string16, [undefined]],
]

for (const [name, codec, versions] of cases) {
  const compiled = compile(codec)

  test(`${name} survives a round trip in every version, interpreted and compiled (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (const version of versions) {
      for (let count = 0; count < 150; count++) {
        const value = codec.sample(random, version)
        const encoded = encode(codec, value, version)
        assert.deepEqual(encode(compiled, value, version), encoded)
        for (const reading of [codec, compiled]) {
          const reader = new Reader(encoded)
          assert.deepEqual(reading.read(reader, version), value)
          reader.expectEnd()
        }
      }
    }
  })

  test(`${name} with fields left out is written alike, interpreted and compiled (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (const version of versions) {
      for (let count = 0; count < 100; count++) {
        const value = thinOut(random, codec.sample(random, version))
        const encoded = encode(codec, value, version)
        assert.deepEqual(encode(compiled, value, version), encoded)
        codec.read(new Reader(encoded), version)
      }
    }
  })

  test(`${name} compiled agrees with interpreted on faulty bytes (SEED=${seed})`, () => {
    const random = new Random(seed)
    let refused = 0
    for (const version of versions) {
      for (let count = 0; count < 1_000; count++) {
        const faulty = fuzzBytes(random, codec, version)
        const outcome = attempt(codec, faulty, version)
        assert.deepEqual(attempt(compiled, faulty, version), outcome)
        if ('refused' in outcome) refused++
        else assert.deepEqual(encode(compiled, outcome.value, version), encode(codec, outcome.value, version))
      }
    }
    if (codec === everything) assert.ok(refused > 100, `only ${refused} refused`)
  })
}

function encode(codec: Codec<any, any>, value: unknown, version?: number): Buffer {
  const writer = new Writer()
  codec.write(writer, value, version)
  return writer.take()
}

/** Leaves out fields here and there, at every depth. */
function thinOut(random: Random, value: unknown): unknown {
  if (Array.isArray(value)) return value.map(item => thinOut(random, item))
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return value
  const kept = Object.entries(value).filter(() => random.chance(0.8))
  return Object.fromEntries(
    kept.map(([name, field]) => [name, random.chance(0.1) ? undefined : thinOut(random, field)]),
  )
}

/** What reading gives: a value and where it ends, or the refusal. Any other error is let through and fails the test. */
function attempt(
  codec: Codec<any, any>,
  source: Buffer,
  version?: number,
): { value: unknown; at: number } | { refused: string } {
  const reader = new Reader(source)
  try {
    return { value: codec.read(reader, version), at: reader.at }
  } catch (error) {
    if (error instanceof ProtocolError) return { refused: error.message }
    throw error
  }
}

const ping = message(
  { name: 'Ping', versions: [0, 3], flexible: 2 },
  { id: i16, note: since(1, nullableStr), parts: array(struct({ n: i32 })), zone: tagged(1, str, '') },
)

/** Worked out by hand from the rules of each form. */
const known: [number, Write<typeof ping>, string][] = [
  [0, { id: 1, parts: [{ n: 5 }] }, '0001 00000001 00000005'],
  [1, { id: 1, note: 'hi', parts: [] }, '0001 00026869 00000000'],
  [1, {}, '0000 ffff 00000000'],
  [2, { id: 1, note: 'hi', parts: [{ n: 5 }] }, '0001 036869 02 00000005 00 00'],
  [3, { zone: 'z' }, '0000 00 01 01 01 02 027a'],
]

for (const [version, value, digits] of known) {
  test(`Ping v${version} is ${digits}`, () => {
    const expected = digits.replaceAll(' ', '')
    assert.equal(encode(ping, value, version).toString('hex'), expected)
    assert.equal(encode(compile(ping), value, version).toString('hex'), expected)
    const complete: Infer<typeof ping> = ping.read(new Reader(Buffer.from(expected, 'hex')), version)
    assert.deepEqual(complete, { id: 0, note: null, parts: [], zone: '', ...value })
  })
}

for (const codec of [ping, compile(ping)]) {
  const form = codec === ping ? 'interpreted' : 'compiled'
  const read = (digits: string, version?: number): Infer<typeof ping> =>
    codec.read(new Reader(Buffer.from(digits.replaceAll(' ', ''), 'hex')), version)

  test(`${form} skips unknown tags and takes known ones from among them`, () => {
    const value = read('0001 00 01 03 00 02 beef 01 02 027a 7f 00', 2)
    assert.equal(value.zone, 'z')
    assert.throws(() => read('0001 00 01 01 01 03 027a00', 2), /1 bytes are left/)
    assert.throws(() => read('0001 00 01 01 01 01 027a', 2), ProtocolError)
    assert.throws(() => read('0001 00 01 ffffffff0f', 2), ProtocolError)
    assert.throws(() => read('0001 00 01 01 05 ffffffff0f', 2), ProtocolError)
  })

  test(`${form} refuses a version that the message has not`, () => {
    for (const version of [-1, 4, NaN, 32767]) {
      assert.throws(() => read('0001', version), ProtocolError)
      assert.throws(() => codec.write(new Writer(), {}, version), ProtocolError)
    }
    assert.equal(read('0001 00 01 00').id, 1, 'the newest version is meant where none is named')
  })

  test(`${form} refuses counts that the bytes left cannot hold`, () => {
    for (const count of ['00000002', '7fffffff', 'ffffffff', '80000000']) {
      assert.throws(() => read(`0001 ${count} 00000001`, 0), /list of/, count)
    }
    assert.throws(() => read('0001 00 00 00', 2), /list of -1 items/)
    assert.throws(() => read('0001 00 ffffffff0f 0000000000', 2), /list of/)
  })

  test(`${form} bounds the items of all lists together`, () => {
    const bytesOfPing = Buffer.from('0001' + '00000002' + '00000005' + '00000006', 'hex')
    assert.equal(codec.read(new Reader(bytesOfPing, 0, bytesOfPing.length, 2), 0).parts.length, 2)
    assert.throws(() => codec.read(new Reader(bytesOfPing, 0, bytesOfPing.length, 1), 0), ProtocolError)
    const nested = list(listToEnd(u8))
    const reading = form === 'compiled' ? compile(nested) : nested
    const five = Buffer.from('00000001' + '01020304', 'hex')
    assert.deepEqual(reading.read(new Reader(five, 0, 8, 5)), [[1, 2, 3, 4]])
    assert.throws(() => reading.read(new Reader(five, 0, 8, 4)), ProtocolError)
    const tags = message({ name: 'Tags', versions: [0, 0], flexible: 0 }, { ids: tagged(0, list(u8), []) })
    const tagsReading = form === 'compiled' ? compile(tags) : tags
    const once = '00 07 00000003 010203'
    const twice = Buffer.from(`02 ${once} ${once}`.replaceAll(' ', ''), 'hex')
    assert.deepEqual(tagsReading.read(new Reader(twice, 0, twice.length, 6), 0), { ids: [1, 2, 3] })
    assert.throws(() => tagsReading.read(new Reader(twice, 0, twice.length, 5), 0), ProtocolError)
  })

  test(`${form} writes a tagged field only if it differs from its fallback`, () => {
    const epoch = struct({ at: i32, ids: list(u8) })
    const tags = message(
      { name: 'Tags', versions: [0, 0], flexible: 0 },
      { epoch: tagged(0, epoch, { at: -1, ids: [] }) },
    )
    const writing = form === 'compiled' ? compile(tags) : tags
    for (const same of [{}, { epoch: undefined }, { epoch: { at: -1, ids: [] } }]) {
      assert.equal(encode(writing, same).toString('hex'), '00')
    }
    assert.equal(encode(writing, { epoch: { at: -1 } }).toString('hex'), '010009' + 'ffffffff' + '00000000' + '00')
    assert.equal(encode(writing, { epoch: {} }).length, 12)
  })

  test(`${form} hands out fallbacks that nobody else holds`, () => {
    const holder = message(
      { name: 'Holder', versions: [0, 1] },
      { list: since(1, array(i32)), object: since(1, struct({ ids: list(i32) }), { ids: [1] }) },
    )
    const reading = form === 'compiled' ? compile(holder) : holder
    const first = reading.read(new Reader(Buffer.alloc(0)), 0)
    first.list.push(1)
    first.object.ids.push(2)
    assert.deepEqual(reading.read(new Reader(Buffer.alloc(0)), 0), { list: [], object: { ids: [1] } })
  })

  test(`${form} refuses to write what its field cannot hold`, () => {
    const fixed = struct({ id: raw(3), list: list16(u8) })
    const writing = form === 'compiled' ? compile(fixed) : fixed
    assert.throws(() => writing.write(new Writer(), { id: Buffer.alloc(2) }), RangeError)
    assert.throws(() => writing.write(new Writer(), { list: Array.from({ length: 65_536 }, () => 0) }), RangeError)
    assert.equal(encode(writing, {}).toString('hex'), '0000000000')
  })

  test(`${form} refuses items without bytes up to the end`, () => {
    const endless = listToEnd(struct({ later: since(2, u8) }))
    const reading = form === 'compiled' ? compile(endless) : endless
    assert.throws(() => reading.read(new Reader(Buffer.alloc(1)), 1), ProtocolError)
    assert.equal(reading.read(new Reader(Buffer.alloc(2)), 2).length, 2)
  })

  test(`${form} writes large bytes by reference, also in several slices`, () => {
    const records = message({ name: 'Records', versions: [0, 1], flexible: 1 }, { records: nullableBytesRef, end: u8 })
    const writing = form === 'compiled' ? compile(records) : records
    const slices = [Buffer.alloc(2_000, 1), Buffer.alloc(3_000, 2)]
    for (const version of [0, 1]) {
      const writer = new Writer()
      writing.write(writer, { records: slices, end: 9 }, version)
      const parts = writer.takeParts()
      assert.equal(parts[1], slices[0])
      assert.equal(parts[2], slices[1])
      const value = writing.read(new Reader(Buffer.concat(parts)), version)
      assert.deepEqual(value, { records: Buffer.concat(slices), end: 9 })
      assert.equal(encode(writing, { records: null }, version).toString('hex'), version === 0 ? 'ffffffff00' : '000000')
      assert.equal(encode(writing, { records: [] }, version).toString('hex'), version === 0 ? '0000000000' : '010000')
    }
  })
}

test('a field left out is written as its fallback', () => {
  const codec = struct({
    a: since(0, i32, -1),
    b: byDefault(i16, 5),
    c: nullableStr,
    d: flags({ on: 0, off: 4 }, u8),
    e: struct({ f: u8 }),
  })
  assert.equal(encode(codec, {}).toString('hex'), 'ffffffff' + '0005' + 'ffff' + '00' + '00')
  assert.equal(encode(codec, { a: 0, d: { off: true } }).toString('hex'), '00000000' + '0005' + 'ffff' + '10' + '00')
})

test('flags reads named bits and ignores others', () => {
  const codec = flags({ low: 0, high: 7 }, u8)
  assert.deepEqual(codec.read(new Reader(Buffer.from([0xfe]))), { low: false, high: true })
  assert.throws(() => flags({ low: 0 }, i16), RangeError)
})

test('nullableStruct takes -1 and 1 alone', () => {
  const codec = nullableStruct(struct({ n: u8 }))
  assert.equal(codec.read(new Reader(Buffer.from([0xff]))), null)
  assert.deepEqual(codec.read(new Reader(Buffer.from([1, 9]))), { n: 9 })
  assert.throws(() => codec.read(new Reader(Buffer.from([0]))), ProtocolError)
})

test('declarations that cannot work are refused when they are made', () => {
  assert.throws(() => rest(u16), RangeError)
  assert.throws(() => since(2, tagged(0, u8, 0)), RangeError)
  assert.throws(() => struct({ 1: u8 }), RangeError)
  assert.throws(() => struct({ ['__proto__']: u8 }), RangeError)
  assert.throws(() => struct({ a: tagged(0, u8, 0), b: tagged(0, u8, 0) }), /tag 0 again, for "b"/)
})

test('custom: its own functions read and write it, interpreted and compiled', () => {
  const pair = custom<[number, number]>({
    name: 'pair',
    bytesMin: 2,
    zero: () => [0, 0],
    read: reader => [reader.u8(), reader.u8()],
    write: (writer, [one, other]) => {
      writer.u8(one)
      writer.u8(other)
    },
    sample: random => [random.below(256), random.below(256)],
  })
  const declared = struct({ before: u8, pairs: list16(pair), after: pair })
  for (const codec of [declared, compile(declared)]) {
    const writer = new Writer()
    codec.write(writer, { before: 7, pairs: [[1, 2]] })
    const bytes = writer.take()
    assert.equal(bytes.toString('hex'), '07000101020000')
    assert.deepEqual(codec.read(new Reader(bytes)), { before: 7, pairs: [[1, 2]], after: [0, 0] })
    assert.throws(() => codec.read(new Reader(Buffer.from('07ffff0102', 'hex'))), ProtocolError)
    const value = codec.sample(new Random(3))
    codec.write(writer, value)
    assert.deepEqual(codec.read(new Reader(writer.take())), value)
  }
  assert.match(docsTable(declared), /\| after \| pair \|/)
})
