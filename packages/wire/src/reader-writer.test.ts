import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'
import { Random } from './random.ts'
import type { ScalarName } from './scalar.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex')

/** Known bytes both ways. */
const rows: [ScalarName, unknown, string][] = [
  ['u8', 0xfe, 'fe'],
  ['i8', -2, 'fe'],
  ['bool', true, '01'],
  ['bool', false, '00'],
  ['u16', 0xfffe, 'fffe'],
  ['i16', -2, 'fffe'],
  ['i16', 0x7fff, '7fff'],
  ['u32', 0xfffffffe, 'fffffffe'],
  ['i32', -2, 'fffffffe'],
  ['i64', -1, 'ffffffffffffffff'],
  ['i64', 2 ** 53, '0020000000000000'],
  ['i64', -(2 ** 53), 'ffe0000000000000'],
  ['i64', 0x1_0000_0001, '0000000100000001'],
  ['i64', -0x1_0000_0001, 'fffffffeffffffff'],
  ['i64', 2 ** 63 - 1024, '7ffffffffffffc00'],
  ['i64', -(2 ** 63), '8000000000000000'],
  ['bigint64', -0x8000_0000_0000_0000n, '8000000000000000'],
  ['f64', -1.5, 'bff8000000000000'],
  ['uvarint', 0, '00'],
  ['uvarint', 127, '7f'],
  ['uvarint', 128, '8001'],
  ['uvarint', 300, 'ac02'],
  ['uvarint', 0xffffffff, 'ffffffff0f'],
  ['varint', 0, '00'],
  ['varint', -1, '01'],
  ['varint', 1, '02'],
  ['varint', 0x7fffffff, 'feffffff0f'],
  ['varint', -0x80000000, 'ffffffff0f'],
  ['varlong', 0, '00'],
  ['varlong', -1, '01'],
  ['varlong', -64, '7f'],
  ['varlong', 64, '8001'],
  ['varlong', 2 ** 53 - 1, 'feffffffffffff1f'],
  ['varlong', -(2 ** 53) + 1, 'fdffffffffffff1f'],
  ['varlong', -(2 ** 63), 'ffffffffffffffffff01'],
  ['uuid', '00112233445566778899aabbccddeeff', '00112233445566778899aabbccddeeff'],
  ['string8', 'hé', '0368c3a9'],
  ['string16', 'hi', '00026869'],
  ['stringI16', '', '0000'],
  ['nullableString16', null, 'ffff'],
  ['nullableString16', 'a', '000161'],
  ['string32', 'hi', '000000026869'],
  ['bytes32', hex('0102'), '000000020102'],
  ['nullableBytes32', null, 'ffffffff'],
  ['compactString', 'hi', '036869'],
  ['compactNullableString', null, '00'],
  ['compactNullableString', '', '01'],
  ['compactBytes', hex('ff'), '02ff'],
  ['compactNullableBytes', null, '00'],
]

for (const [name, value, digits] of rows) {
  test(`${name} of ${typeof value === 'bigint' ? String(value) : JSON.stringify(value)} is ${digits}`, () => {
    const writer = new Writer()
    writer[name](value as never)
    assert.equal(writer.length, digits.length / 2)
    assert.equal(writer.take().toString('hex'), digits)
    const reader = new Reader(hex(digits))
    assert.deepEqual(reader[name](), value)
    reader.expectEnd()
    for (let length = 0; length < digits.length / 2; length++) {
      assert.throws(() => new Reader(hex(digits), 0, length)[name](), ProtocolError, `${length} bytes`)
    }
  })
}

const refused: [ScalarName, string][] = [
  ['uvarint', 'ffffffff10'],
  ['uvarint', 'ffffffffff01'],
  ['varlong', 'ffffffffffffffffff02'],
  ['stringI16', 'ffff'],
  ['stringI16', '8000'],
  ['nullableString16', 'fffe'],
  ['string32', 'ffffffff'],
  ['bytes32', 'ffffffff'],
  ['nullableBytes32', 'fffffffe'],
  ['nullableBytes32', '80000000'],
  ['compactString', '00'],
  ['compactBytes', '00'],
  ['compactBytes', 'ffffffff0f'],
]

for (const [name, digits] of refused) {
  test(`${name} refuses ${digits}`, () => {
    assert.throws(() => new Reader(hex(digits))[name](), ProtocolError)
  })
}

test('i64 and varlong clamp what 64 bits do not hold', () => {
  const writer = new Writer()
  for (const value of [1e300, Infinity, 2 ** 63]) writer.i64(value)
  for (const value of [-1e300, -Infinity]) writer.i64(value)
  assert.equal(writer.take().toString('hex'), '7fffffffffffffff'.repeat(3) + '8000000000000000'.repeat(2))
  writer.varlong(1e300)
  assert.equal(writer.take().toString('hex'), 'feffffffffffffffff01')
  assert.throws(() => writer.varlong(NaN), RangeError)
})

test(`i64 and varlong round as the nearest double (SEED=${seed})`, () => {
  const random = new Random(seed)
  const writer = new Writer()
  for (let count = 0; count < 2_000; count++) {
    const value = random.bigint64() >> BigInt(random.below(64))
    writer.bigint64(value)
    assert.equal(new Reader(writer.take()).i64(), Number(value))
    writer.varlong(Number(value >> 10n))
    assert.equal(new Reader(writer.take()).varlong(), Number(value >> 10n))
  }
})

test('Reader says what it wanted, where, and what is left', () => {
  const reader = new Reader(hex('0000000000'), 1, 4)
  assert.equal(reader.remaining, 3)
  assert.throws(() => reader.i64(), /64-bit integer at byte 1: wanted 8 bytes, 3 left/)
  assert.throws(() => reader.bytes(-5), /negative length -5 at byte 1/)
  assert.throws(() => reader.bytes(4), ProtocolError)
  assert.throws(() => reader.bytes(2 ** 40), ProtocolError)
  assert.throws(() => reader.skip(4), ProtocolError)
  assert.throws(() => reader.expectEnd(), /3 bytes are left/)
  assert.equal(reader.rest().length, 3)
  assert.equal(reader.done(), true)
  assert.throws(() => new Reader(hex('00'), 0, 2), RangeError)
  assert.throws(() => new Reader(hex('00'), 2), RangeError)
})

test('Reader gives slices of its source and never a byte beyond its end', () => {
  const source = hex('0102030405')
  const reader = new Reader(source, 1, 3)
  assert.equal(reader.bytes(2).buffer, source.buffer)
  assert.throws(() => reader.u8(), ProtocolError)
})

test('utf8 replaces what is not UTF-8 and agrees with Buffer for short and long texts', () => {
  for (const text of ['', 'a', 'é', 'abcdef', 'abcdefg', 'abcdé', '漢字かな', '🜁'.repeat(20), 'x'.repeat(70_000)]) {
    const writer = new Writer()
    writer.utf8(text)
    const bytes = writer.take()
    assert.deepEqual(bytes, Buffer.from(text))
    assert.equal(new Reader(bytes).utf8(bytes.length), text)
  }
  assert.equal(new Reader(hex('61ff')).utf8(2), 'a\ufffd')
})

test('Writer refuses texts that their length field cannot tell', () => {
  const writer = new Writer()
  assert.throws(() => writer.string8('x'.repeat(256)), RangeError)
  assert.throws(() => writer.string16('x'.repeat(65_536)), RangeError)
  assert.throws(() => writer.stringI16('x'.repeat(32_768)), RangeError)
  assert.throws(() => writer.nullableString16('é'.repeat(16_384)), RangeError)
  assert.throws(() => writer.uuid('00'), RangeError)
  assert.throws(() => writer.uuid('0'.repeat(31) + 'g'), RangeError)
  assert.equal(writer.length, 0)
  writer.string16('x'.repeat(65_535))
  assert.equal(writer.take().length, 65_537)
})

test('Writer never touches again what it has given away', () => {
  const writer = new Writer()
  const taken: [Buffer, string][] = []
  for (let index = 0; index < 3_000; index++) {
    writer.fill(index % 50)
    writer.i32(index)
    writer.patchI32(0, index)
    const bytes = writer.take()
    taken.push([bytes, bytes.toString('hex')])
  }
  for (const [bytes, before] of taken) assert.equal(bytes.toString('hex'), before)
  assert.equal(writer.take().length, 0)
})

test('refer keeps a large slice as it is and copies a small one', () => {
  const writer = new Writer()
  const large = Buffer.alloc(5_000, 7)
  const small = Buffer.alloc(10, 8)
  writer.i32(0)
  writer.refer(large)
  writer.refer(large)
  writer.refer(small)
  writer.u8(9)
  assert.equal(writer.length, 10_015)
  writer.patchI32(0, 10_011)
  writer.patchI32(10_010, 0x01020304)
  assert.throws(() => writer.patchI32(10_012, 1), RangeError)
  const parts = writer.takeParts()
  assert.deepEqual(
    parts.map(part => part.length),
    [4, 5_000, 5_000, 11],
  )
  assert.equal(parts[1], large)
  assert.equal(parts[0]!.readInt32BE(), 10_011)
  assert.equal(parts[3]!.subarray(6, 10).toString('hex') + parts[3]!.subarray(10).toString('hex'), '0102030409')
  assert.equal(writer.length, 0)
  assert.deepEqual(writer.takeParts(), [Buffer.alloc(0)])

  writer.u8(1)
  writer.refer(large)
  assert.equal(writer.take().length, 5_001)
})

test('fill gives zeros although slabs are not cleared', () => {
  const writer = new Writer()
  writer.fill(40_000)
  assert.ok(writer.take().every(byte => byte === 0))
})
