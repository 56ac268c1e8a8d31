import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { BrokerError } from '../../errors.ts'
import { TopicPattern } from './topic-pattern.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** Expression, names that match as a whole, names that do not. */
const cases: [string, string[], string[]][] = [
  ['orders', ['orders'], ['order', 'orders2', 'my-orders', '']],
  ['orders.*', ['orders', 'orders.eu', 'orders-1'], ['Orders']],
  ['(?i)orders', ['ORDERS', 'oRders'], ['order']],
  ['a|bc', ['a', 'bc'], ['abc', 'ac', 'b']],
  ['^a$', ['a'], ['b', 'aa']],
  ['a{2,3}', ['aa', 'aaa'], ['a', 'aaaa']],
  ['a{2}', ['aa'], ['a', 'aaa']],
  ['a{2,}b?', ['aa', 'aaaab'], ['a', 'ab']],
  ['a{,2}', ['a{,2}'], ['a', 'aa']],
  ['[a-c_]+', ['abc_', 'c'], ['abcd', '']],
  ['[^a-c]', ['d', '-'], ['a', 'dd']],
  ['[]a]', [']', 'a'], ['[']],
  ['[a-]', ['-', 'a'], ['b']],
  ['\\d+\\.\\w*', ['12.ab', '1.'], ['a.b', '12']],
  ['\\D', ['a'], ['1']],
  ['[\\d_]+', ['1_2'], ['a']],
  ['[[:alpha:]]+', ['abc'], ['a1']],
  ['[[:^digit:]]', ['a'], ['1']],
  ['\\pL+', ['abc'], ['a1']],
  ['\\p{Lu}', ['A'], ['a']],
  ['\\PL', ['1'], ['a']],
  ['\\p{^Latin}', ['1'], ['a']],
  ['(?P<name>a)(?<other>b)(?:c)', ['abc'], ['ab']],
  ['\\Qa.b+\\E+', ['a.b+', 'a.b++'], ['aab', 'a.bb']],
  ['\\Qa', ['a'], ['Qa']],
  ['\\x61\\x{62}\\143', ['abc'], ['abd']],
  ['a*?b+?', ['b', 'aabb'], ['a']],
  ['(?s).', ['a'], ['', 'ab']],
  ['(?-i:a)(?i:b)', ['ab', 'aB'], ['AB']],
  ['a(?i)b|c', ['aB', 'C'], ['AB']],
  ['.*\\b-\\b.*', ['a-b'], ['a--b', '-a']],
  ['a\\Bb', ['ab'], ['a']],
  ['(a|b)*c', ['c', 'ababc'], ['abab']],
  ['', [''], ['a']],
  ['()|a', ['', 'a'], ['b']],
  ['(a*)*', ['', 'aaa'], ['b']],
  ['(|a)+', ['', 'aa'], ['b']],
  ['a\\z', ['a'], ['ab']],
  ['x{0}y', ['y'], ['xy']],
]

test('TopicPattern.matches whole names', () => {
  for (const [text, yes, no] of cases) {
    const pattern = new TopicPattern(text)
    for (const name of yes) assert(pattern.matches(name), `${text} should match ${JSON.stringify(name)}`)
    for (const name of no) assert(!pattern.matches(name), `${text} should not match ${JSON.stringify(name)}`)
  }
})

test('TopicPattern refuses what is no expression, and what takes more than linear time', () => {
  const broken = ['(', ')', 'a)', '(a', '[', '[a', '[b-a]', '*', '+a', '?', '|*', 'a**', 'a+{2}', 'a{2}{3}', '\\']
  const unknown = ['(a)\\1', '\\7', '(?=a)', '(?!a)', '(?<=a)', '(?<!a)', '(?>a)', 'a++', '\\y', '\\p{No_Such}', '\\pX']
  const rest = [
    '(?z)',
    '(?i',
    '(?P<',
    '(?P<a',
    '(?P<>a)',
    '[[:nope:]]',
    '\\x{110000}',
    '\\xg',
    '[\\',
    'a{1001}',
    'a{3,2}',
  ]
  const large = ['(a{1000}){1000}', '((){1000}){1000}', '('.repeat(200) + ')'.repeat(200), 'a'.repeat(1001)]
  for (const text of [...broken, ...unknown, ...rest, ...large]) {
    assert.throws(() => new TopicPattern(text), isInvalid, text)
  }
})

const isInvalid = (error: unknown): boolean => error instanceof BrokerError && error.code === 'pattern-invalid'

test('TopicPattern is linear where others backtrack', () => {
  const name = `${'a'.repeat(248)}!`
  for (const text of ['(a+)+', '(a|a)*', '(a|aa)+', '(a*)*b', '(.*a){12}', '(a?){100}a{100}']) {
    assert.equal(new TopicPattern(text).matches(name), false, text)
  }
})

test('TopicPattern gives up an expression that has become too costly', () => {
  const pattern = new TopicPattern('([ab]*a[ab]{60}){30}')
  const random = new Random(1)
  assert.throws(() => {
    for (let left = 100_000; left > 0; left--) {
      pattern.matches(Array.from({ length: 249 }, () => random.pick(['a', 'b'])).join(''))
    }
  }, isInvalid)
})

test(`TopicPattern agrees with what backtracking finds, on expressions that both understand (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 1_000; round++) {
    const text = expression(random, 3)
    const ours = new TopicPattern(text)
    const other = new RegExp(`^(?:${text})$`)
    for (let left = 8; left > 0; left--) {
      const name = Array.from({ length: random.below(7) }, () => random.pick(['a', 'b', '-', '1'])).join('')
      assert.equal(ours.matches(name), other.test(name), `${text} on ${JSON.stringify(name)}`)
    }
  }
})

function expression(random: Random, depth: number): string {
  const atom = (): string => {
    if (depth > 0 && random.chance(0.3)) return `(?:${expression(random, depth - 1)})`
    return random.pick(['a', 'b', '.', '[ab]', '[^a]', '\\d', '\\w', '\\b', '-', '$', '^'])
  }
  const part = (): string => {
    const one = atom()
    const isPlace = one === '\\b' || one === '$' || one === '^'
    return isPlace ? one : one + random.pick(['', '', '*', '+', '?', '{2}', '{1,2}', '*?'])
  }
  const sequence = (): string => Array.from({ length: random.below(4) }, part).join('')
  return random.chance(0.3) ? `${sequence()}|${sequence()}` : sequence()
}
