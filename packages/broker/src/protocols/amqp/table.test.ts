import assert from 'node:assert/strict'
import test from 'node:test'
import { mutate, ProtocolError, Random, Reader, Writer } from '@dragoman/wire'
import { fieldOf, table, type FieldValue, type Table } from './table.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const encode = (value: Table): string => {
  const writer = new Writer()
  table.write(writer, value)
  return writer.take().toString('hex')
}
const decode = (hex: string): Table => table.read(new Reader(Buffer.from(hex, 'hex')))

/** A table with one field that is called `a`. */
const alone = (value: string): string => {
  const bytes = 2 + value.length / 2
  return `${bytes.toString(16).padStart(8, '0')}0161${value}`
}

const known: [hex: string, field: FieldValue][] = [
  ['7401', { type: 't', value: true }],
  ['62ff', { type: 'b', value: -1 }],
  ['42ff', { type: 'B', value: 255 }],
  ['73fffe', { type: 's', value: -2 }],
  ['75fffe', { type: 'u', value: 65_534 }],
  ['49fffffffd', { type: 'I', value: -3 }],
  ['69fffffffd', { type: 'i', value: 4_294_967_293 }],
  ['6cffffffffffffffff', { type: 'l', value: -1n }],
  ['4cffffffffffffffff', { type: 'L', value: -1n }],
  ['663fc00000', { type: 'f', value: 1.5 }],
  ['643ff8000000000000', { type: 'd', value: 1.5 }],
  ['440200000064', { type: 'D', value: { scale: 2, unscaled: 100 } }],
  ['53000000026869', { type: 'S', value: 'hi' }],
  ['5300000002c328', { type: 'S', value: Buffer.from('c328', 'hex') }],
  ['5300000003efbfbd', { type: 'S', value: '\uFFFD' }],
  ['54ffffffffffffffff', { type: 'T', value: 2n ** 64n - 1n }],
  ['780000000100', { type: 'x', value: Buffer.from([0]) }],
  ['56', { type: 'V', value: null }],
  [
    '41000000037401' + '56',
    {
      type: 'A',
      value: [
        { type: 't', value: true },
        { type: 'V', value: null },
      ],
    },
  ],
  ['46000000030162' + '56', { type: 'F', value: [{ name: 'b', type: 'V', value: null }] }],
]

for (const [hex, field] of known) {
  test(`type ${field.type} keeps its bytes: ${hex}`, () => {
    assert.deepEqual(decode(alone(hex)), [{ name: 'a', ...field }])
    assert.equal(encode([{ name: 'a', ...field }]), alone(hex))
  })
}

test('a name may come twice, and the last one is meant', () => {
  const twice: Table = [
    { name: 'a', type: 't', value: true },
    { name: 'a', type: 't', value: false },
  ]
  assert.deepEqual(decode(encode(twice)), twice)
  assert.equal(fieldOf(twice, 'a')?.value, false)
  assert.equal(fieldOf(twice, 'b'), undefined)
})

for (const [what, hex] of [
  ['an unknown type', alone('7a00')],
  ['a size that the bytes left cannot hold', '00000fff0161'],
  ['a field beyond the end of its table', '000000030161530000000568656c6c6f'],
  ['a negative length', alone('53ffffffff')],
] as const) {
  test(`refuses ${what}`, () => assert.throws(() => decode(hex), ProtocolError))
}

test('refuses what is nested too deep, before the stack is used up', () => {
  let hex = ''
  for (let depth = 0; depth < 5000; depth++) hex = `41${(hex.length / 2).toString(16).padStart(8, '0')}${hex}`
  assert.throws(() => decode(alone(hex)), /nested/)
})

test(`hostile bytes give only ProtocolError (SEED=${seed})`, () => {
  const random = new Random(seed)
  const writer = new Writer()
  for (let round = 0; round < 3000; round++) {
    table.write(writer, table.sample(random))
    const bytes = mutate(random, writer.take())
    try {
      const value = table.read(new Reader(bytes))
      table.write(writer, value)
      writer.take()
    } catch (error) {
      assert(error instanceof ProtocolError, String(error))
    }
  }
})
