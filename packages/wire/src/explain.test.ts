import assert from 'node:assert/strict'
import test from 'node:test'
import { ProtocolError } from './protocol-error.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'
import { docsTable } from './docs.ts'
import { explain, explainValue, formatRows, type ExplainRow } from './explain.ts'
import { fuzzBytes } from './fuzz.ts'
import { Random } from './random.ts'
import {
  array,
  between,
  bytes,
  doc,
  flags,
  i16,
  i32,
  list16,
  listToEnd,
  message,
  nullableStr,
  nullableStruct,
  raw,
  since,
  str,
  struct,
  tagged,
  u8,
  until,
  type Codec,
} from './schema.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

const order = message(
  { name: 'Order', versions: [0, 9], flexible: 6, doc: 'Asks for things.' },
  {
    id: doc(i16, 'Chosen by the peer | unique.'),
    note: since(3, nullableStr),
    lines: array(struct({ name: str, amount: between(1, 7, i32, 1) })),
    giver: nullableStruct(struct({ code: raw(2) })),
    bits: flags({ urgent: 0, gift: 3 }, u8),
    scan: until(0, bytes),
    zone: tagged(0, str, 'none', 7),
  },
)

const encoded = Buffer.from('0007 00 02 026e 0000012c 00 ff 08 01 00 02 027a'.replaceAll(' ', ''), 'hex')

test('explain shows every field against its bytes', () => {
  assert.deepEqual(explain(order, encoded, 7).split('\n'), [
    '     0  00 07        id               7',
    '     2  00           note             null',
    '     3  02           lines            (1 items)',
    '     4  02 6e        lines[0].name    "n"',
    '     6  00 00 01 2c  lines[0].amount  300',
    '    10  00           lines[0].(tags)  (0 tagged fields)',
    '    11  ff           giver            null',
    '    12  08           bits             {"urgent":false,"gift":true}',
    '    13  01           (tags)           (1 tagged fields)',
    '    14  00 02        (tag)            (tag 0, 2 bytes)',
    '    16  02 7a        zone             "z"',
  ])
})

test('explain shows unknown tags and bytes left over', () => {
  const bytesOfOrder = Buffer.from('0007 00 01 ff 00 01 05 01 ee 6869'.replaceAll(' ', ''), 'hex')
  const lines = explain(order, bytesOfOrder, 6).split('\n')
  assert.match(lines.at(-2)!, /ee +\(unknown tag 5\) +1 bytes$/)
  assert.match(lines.at(-1)!, /10 +68 69 +\(left over\) +2 bytes$/)
})

test('explain shows the rows up to malformed bytes, then the error', () => {
  const lines = explain(order, Buffer.from('000700007fff', 'hex'), 0).split('\n')
  assert.equal(lines.length, 2)
  assert.match(lines[1]!, /\(malformed\) +Cannot read 32-bit integer|\(malformed\) +Cannot take a list/)
  assert.match(explain(order, Buffer.alloc(2), 99), /\(malformed\) +Order has no version 99/)
})

test('explainValue puts head and body into one list', () => {
  const rows: ExplainRow[] = []
  const reader = new Reader(Buffer.from('0102036162', 'hex'), 1)
  explainValue(struct({ size: u8 }), reader, rows, undefined, 'head')
  explainValue(listToEnd(u8), reader, rows, undefined, 'body')
  assert.deepEqual(
    rows.map(row => [row.at, row.path, row.value]),
    [
      [1, 'head.size', '2'],
      [2, 'body[0]', '3'],
      [3, 'body[1]', '97'],
      [4, 'body[2]', '98'],
    ],
  )
  assert.match(formatRows(rows), /^ {5}1 {2}02 {2}head.size {2}2\n/)
  assert.throws(() => explainValue(u8, reader, rows), ProtocolError)
})

test(`explain agrees with reading on what is malformed and covers every byte once (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let version = 0; version <= 9; version++) {
    for (let count = 0; count < 300; count++) {
      const faulty = fuzzBytes(random, order, version)
      assert.equal(/\(malformed\)/.test(explain(order, faulty, version)), !reads(order, faulty, version))
    }
    const writer = new Writer()
    order.write(writer, order.sample(random, version), version)
    const whole = writer.take()
    const rows: ExplainRow[] = []
    explainValue(order, new Reader(whole), rows, version)
    assert.deepEqual(Buffer.concat(rows.map(row => row.bytes)), whole)
  }
})

function reads(codec: Codec<any, any>, source: Buffer, version: number): boolean {
  try {
    codec.read(new Reader(source), version)
    return true
  } catch {
    return false
  }
}

test('docsTable has a row for every field, nested ones included', () => {
  assert.equal(
    docsTable(order),
    String.raw`
| field | type | versions | default | |
|---|---|---|---|---|
| id | i16 |  |  | Chosen by the peer \| unique. |
| note | nullableStr | 3+ | null |  |
| lines | array of struct |  |  |  |
| lines[].name | str |  |  |  |
| lines[].amount | i32 | 1-7 | 1 |  |
| giver | nullable struct |  |  |  |
| giver.code | 2 bytes |  |  |  |
| bits | flags in u8 |  |  |  |
| bits.urgent | bit 0 |  |  |  |
| bits.gift | bit 3 |  |  |  |
| scan | bytes | 0 |  |  |
| zone | str, tag 0 | 7+ | "none" |  |
`.trim(),
  )
})

test('docsTable names every form of list', () => {
  const table = docsTable(struct({ a: list16(i32), b: listToEnd(list16(struct({ c: u8 }))) }))
  assert.match(table, /\| a \| list \(16-bit count\) of i32 \|/)
  assert.match(table, /\| b \| list to the end of list \(16-bit count\) of struct \|/)
  assert.match(table, /\| b\[\]\[\]\.c \| u8 \|/)
})
