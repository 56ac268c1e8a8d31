import assert from 'node:assert/strict'
import test from 'node:test'
import { BrokerError } from './errors.ts'
import { NamePattern } from './name-pattern.ts'

const cases: [pattern: string, matching: string[], others: string[]][] = [
  ['.*', ['', 'a', 'a\nb'], []],
  ['^$', [''], ['a']],
  ['', ['', 'a'], []],
  ['b', ['abc', 'b'], ['ac']],
  ['^b', ['bc'], ['ab']],
  ['c$', ['bc'], ['cb']],
  ['^(a|b)', ['a1', 'b1'], ['c']],
  ['^a|b$', ['a1', '1b'], ['1a1']],
  ['^(?!amq\\.).*', ['orders', 'amq'], ['amq.topic']],
  ['^(?!amq\\.|tmp)', ['orders'], ['amq.topic', 'tmp1']],
  ['^(?!a)(?=.*z$)', ['bz'], ['az', 'b']],
  ['^(?!a)b|^c', ['b', 'c'], ['ab', 'd']],
  ['^(?![)a]x).*', ['b', 'ab'], [')x', 'ax']],
  ['^(?!\\)).*', ['a'], [')']],
  ['^[]|]$', [']', '|'], ['a']],
  ['(?i)ORDERS', ['my-orders'], ['other']],
]

for (const [pattern, matching, others] of cases) {
  test(`${pattern} is looked for anywhere in a name`, () => {
    const compiled = new NamePattern(pattern)
    for (const name of matching) assert.equal(compiled.matches(name), true, name)
    for (const name of others) assert.equal(compiled.matches(name), false, name)
  })
}

test('what cannot be matched in linear time is refused with words that name it', () => {
  for (const pattern of ['(', '(?!a).*', 'a(?!b)', '(?<=a)b', '(a)\\1', '^(?!a', '['.repeat(1), 'a'.repeat(2000)]) {
    assert.throws(() => new NamePattern(pattern), BrokerError, pattern)
  }
})

test('an expression that is built to be costly takes no time', () => {
  const pattern = new NamePattern('^(a+)+$|^(a|aa)+b$')
  assert.equal(pattern.matches(`${'a'.repeat(255)}!`), false)
})

test('an expression that has lived long still answers', () => {
  const pattern = new NamePattern('(x|y).{20}(z|w)')
  let seed = 1
  for (let round = 0; round < 2000; round++) {
    seed = (seed * 48_271) % 2_147_483_647
    const name = Array.from({ length: 60 }, (_, at) => 'xyzw'.charAt((seed >> (at % 29)) & 3)).join('')
    assert.equal(pattern.matches(name), /(x|y).{20}(z|w)/.test(name))
  }
})
