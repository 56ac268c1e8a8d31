import assert from 'node:assert/strict'
import test from 'node:test'
import { longDoubleOf, sumOf, textOf } from './long-double.ts'

function sum(a: string, b: string): string | undefined {
  const [x, y] = [longDoubleOf(a), longDoubleOf(b)]
  const value = x && y && sumOf(x, y)
  return value && textOf(value)
}

// Answers of Redis 7.0 on x86-64.
const sums: [string, string, string | undefined][] = [
  ['3', '0.1', '3.1'],
  ['0.1', '0.2', '0.3'],
  ['9223372036854775807', '3', '9223372036854775810'],
  ['1', '-1', '0'],
  ['-0', '0', '0'],
  ['1e-18', '0', '0'],
  ['3', '0x10', '19'],
  ['1e4932', '1e4932', undefined],
  ['1e5000', '0', undefined],
  ['1e-5000', '0', undefined],
  ['', '1', undefined],
  ['1e', '1', undefined],
]

for (const [a, b, expected] of sums) {
  test(`INCRBYFLOAT of ${JSON.stringify(a)} by ${b} gives ${expected ?? 'an error'}`, () => {
    assert.equal(sum(a, b), expected)
  })
}

test('a large number is written with the digits that its mantissa has', () => {
  assert.match(sum('1e400', '1') ?? '', /^100000000000000000002818806839475865145864534336290520386259/)
})
