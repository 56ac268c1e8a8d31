import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { BrokerError } from '../errors.ts'
import type { HeaderValue } from '../message.ts'
import { Selector } from './selector.ts'
import type { SelectorOptions } from './parser.ts'

const message: Readonly<Record<string, HeaderValue>> = {
  colour: 'red',
  Colour: 'blue',
  size: 12n,
  big: 9_007_199_254_740_993n,
  price: 2.5,
  isNew: true,
  isOld: false,
  nothing: null,
  bytes: Buffer.from('red'),
  at: { timeMs: 1000 },
  digits: '12',
  word: 'TRUE',
  phone: '12993',
  under: '_foo',
  face: 'a😀c',
  $a_1: 'x',
  'a.b.c': 'dotted',
  'content-type': 'text/plain',
  größe: 'xl',
}

const matches = (text: string, options?: SelectorOptions): boolean =>
  new Selector(text, options).matches(name => message[name])

const groups: Record<string, { wanted: readonly string[]; unwanted: readonly string[] }> = {
  'comparisons are of like with like': {
    wanted: [
      "colour = 'red'",
      "colour <> 'blue'",
      "colour != 'blue'",
      "Colour = 'blue'",
      "'red' = colour",
      'size = 12',
      'size = 12.0',
      'size > 11.5 and size < 1.25E1',
      'price <= 2.5',
      'isNew',
      'NOT isOld',
      'isNew = TRUE and isOld = false',
      'big = 9007199254740993',
      'big > 9007199254740992',
      'at = 1000',
      '(size > 1) = TRUE',
      "größe = 'xl'",
      "$a_1 = 'x'",
      "a.b.c = 'dotted'",
      `"content-type" = 'text/plain'`,
    ],
    unwanted: [
      "colour = 'Red'",
      'colour = 12 or colour <> 12',
      'digits = 12 or digits <> 12',
      "isNew = 'true' or isNew <> 'true'",
      'size > 12',
      'size = price',
      "size = '12'",
      'word',
      'NOT word',
      'big = 9007199254740992',
      'colour > 1 or colour <= 1',
      'isNew > isOld',
    ],
  },
  'what is not there is unknown': {
    wanted: [
      'nothing IS NULL',
      'absent is null',
      'colour IS NOT NULL',
      'absent = 1 OR isNew',
      'NOT (absent = 1 AND isOld)',
      'bytes IS NULL',
    ],
    unwanted: [
      'absent = 1',
      'absent <> 1',
      'NOT absent = 1',
      'NOT (absent = 1 AND isNew)',
      'absent = 1 OR isOld',
      'absent = absent',
      "absent IN ('a')",
      "absent NOT IN ('a')",
      "absent LIKE '%'",
      "absent NOT LIKE '%'",
      'absent BETWEEN 1 AND 2',
      'size + absent > 0',
      'size / 0 = 0 or size / 0 <> 0',
      'absent',
    ],
  },
  'numbers are calculated with as in Java': {
    wanted: [
      'size + 1 = 13',
      'size - 1 - 1 = 10',
      '2 + 3 * 4 = 14',
      '(2 + 3) * 4 = 20',
      '7 / 2 = 3',
      '-7 / 2 = -3',
      '7 / 2.0 = 3.5',
      '-size = -12',
      '- -size = +12',
      'size % 5 = 2',
      '9223372036854775807 + 1 = -9223372036854775808',
      '0x1F = 31 and 017 = 15 and 0b101 = 5 and 12L = 12',
      '7. = 7 and .5 = 0.5 and 5f = 5 and 1e3 = 1000',
      'price * 2 = 5',
    ],
    unwanted: ['colour + 1 = 1 or colour + 1 <> 1', '7 / 2 = 3.5'],
  },
  'ranges, lists and patterns': {
    wanted: [
      'size BETWEEN 12 AND 12',
      'size NOT BETWEEN 13 AND 20',
      'size between 11 and 13 and isNew',
      "colour IN ('blue', 'red')",
      "colour NOT IN ('blue')",
      "phone LIKE '12%3'",
      "colour LIKE 'r_d'",
      "colour LIKE '%'",
      "colour LIKE '%e%'",
      "colour LIKE 'red'",
      "under LIKE '\\_%' ESCAPE '\\'",
      "face LIKE 'a_c'",
      "face LIKE '%_c'",
      "phone NOT LIKE '12%4'",
      "phone LIKE '%9_3'",
      "phone LIKE '%2__%'",
      "price NOT LIKE '2%'",
    ],
    unwanted: [
      'size BETWEEN 13 AND 12',
      "colour LIKE 're'",
      "colour LIKE 'r__d'",
      "phone LIKE '\\_%' ESCAPE '\\'",
      "face LIKE 'a__c'",
      "size LIKE '12'",
      "colour LIKE '%rr%'",
      "colour LIKE 'red_'",
      "size IN ('12')",
    ],
  },
  precedence: {
    wanted: [
      'isNew OR isOld AND isOld',
      'NOT isOld AND isNew',
      'NOT (isOld OR isOld)',
      'not size = 13',
      'isOld = false and not isOld = true',
    ],
    unwanted: ['(isNew OR isOld) AND isOld', 'NOT isNew OR isOld'],
  },
}

for (const [name, { wanted, unwanted }] of Object.entries(groups)) {
  test(name, () => {
    for (const text of wanted) assert.equal(matches(text), true, text)
    for (const text of unwanted) assert.equal(matches(text), false, text)
  })
}

test('texts are converted, and names have hyphens, where that is asked for', () => {
  const options = { convertsTexts: true, hasHyphens: true }
  for (const text of [
    'digits = 12',
    'digits > 11.5',
    'digits * 2 = 24',
    "digits = '12'",
    'word',
    'NOT word = FALSE',
    "content-type = 'text/plain'",
    'digits -2 = 10',
  ]) {
    assert.equal(matches(text, options), true, text)
  }
  for (const text of ['colour > 1 or colour <= 1', 'colour', "digits = '12.0'", "word = 'true'"]) {
    assert.equal(matches(text, options), false, text)
  }
})

describe('what is no condition is refused with the place where it goes wrong', () => {
  const wrong: Record<string, RegExp> = {
    '': /position 1: expected a name, .* got the end/,
    'a =': /position 4: expected a name, .* got the end/,
    'a = 1 b': /position 7: "b" comes where the selector should end/,
    'a == 1': /position 4: expected a name.*got "="/,
    "a = 'open": /position 5: the text that begins with "'open" does not end/,
    'a & b': /position 3: "& b" means nothing/,
    '1 + 1': /position 1: expected a condition, got a number/,
    "'a'": /position 1: expected a condition, got a text/,
    "a > 'b'": /position 5: expected a number, got a text/,
    "a + 'b' = 1": /position 5: expected a number, got a text/,
    'a AND 1': /position 7: expected a condition, got a number/,
    'NOT 5': /position 5: expected a condition, got a number/,
    'a IN (1)': /position 7: expected a text in quotes, got "1"/,
    "a IN ('b'": /position 10: expected \), got the end/,
    "5 IN ('b')": /position 1: IN takes the name of a property/,
    'a LIKE b': /position 8: expected a pattern in quotes/,
    "a LIKE 'b' ESCAPE 'cd'": /position 19: ESCAPE takes one character/,
    'a IS 5': /position 6: expected NULL, got "5"/,
    'a BETWEEN 1 OR 2': /position 13: expected AND, got "OR"/,
    'a NOT = 1': /position 7: expected BETWEEN, IN or LIKE, got "="/,
    '089 = 1': /position 1: "089" begins with 0, but is not octal/,
    '12x = 1': /position 1: "12x" is no number/,
    '9223372036854775808 = 1': /position 1: .* does not fit into 64 bits/,
    'NULL = a': /position 1: expected a name.* got "NULL"/,
    'between = 1': /position 1: expected a name.* got "BETWEEN"/,
  }
  for (const [text, expected] of Object.entries(wrong)) {
    test(JSON.stringify(text), () => {
      assert.throws(
        () => new Selector(text),
        (error: unknown) => {
          assert(error instanceof BrokerError)
          assert.equal(error.code, 'request-invalid')
          assert.match(error.message, expected)
          return true
        },
      )
    })
  }

  test('what is too long or nested too deep', () => {
    const tooMuch = [
      `a = '${'x'.repeat(8192)}'`,
      `${'('.repeat(200)}a${')'.repeat(200)}`,
      `${'NOT '.repeat(200)}a`,
      `${'- '.repeat(200)}a = 1`,
      `${'1 + '.repeat(200)}1 = 1`,
      `a LIKE '${'x'.repeat(1025)}'`,
    ]
    for (const text of tooMuch) assert.throws(() => new Selector(text), BrokerError, text.slice(0, 20))
    assert.equal(matches(`${'isNew AND '.repeat(700)}isNew`), true)
  })
})
