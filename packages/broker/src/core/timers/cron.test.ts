import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { Cron, CronError } from './cron.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

/** The next `count` times after one, as text. */
function following(expression: string, after: string, count: number, zone = 'UTC'): string[] {
  const cron = new Cron(expression, zone)
  let at = Date.parse(after)
  return Array.from({ length: count }, () => {
    at = cron.next(at)
    return new Date(at).toISOString().replace('.000Z', 'Z')
  })
}

const cases: [string, string, string[]][] = [
  ['* * * * *', '2026-01-01T00:00:00Z', ['2026-01-01T00:01:00Z', '2026-01-01T00:02:00Z']],
  ['* * * * * *', '2026-12-31T23:59:58.500Z', ['2026-12-31T23:59:59Z', '2027-01-01T00:00:00Z']],
  ['*/20 10-12/2 * * *', '2026-01-01T10:25:00Z', ['2026-01-01T10:40:00Z', '2026-01-01T12:00:00Z']],
  ['5/25 * * * *', '2026-01-01T10:06:00Z', ['2026-01-01T10:30:00Z', '2026-01-01T10:55:00Z', '2026-01-01T11:05:00Z']],
  ['0 9 * * mon-FRI', '2026-11-20T09:00:00Z', ['2026-11-23T09:00:00Z', '2026-11-24T09:00:00Z']],
  ['0 0 29 feb *', '2026-01-01T00:00:00Z', ['2028-02-29T00:00:00Z', '2032-02-29T00:00:00Z']],
  ['0 0 31 * ?', '2026-01-31T00:00:00Z', ['2026-03-31T00:00:00Z', '2026-05-31T00:00:00Z']],
  ['0 0 13 * 5', '2026-02-01T00:00:00Z', ['2026-02-06T00:00:00Z', '2026-02-13T00:00:00Z']],
  ['0 0 */10 * 5', '2026-02-01T00:00:00Z', ['2026-05-01T00:00:00Z']],
  ['0 0 * * 7', '2026-11-21T00:00:00Z', ['2026-11-22T00:00:00Z', '2026-11-29T00:00:00Z']],
  ['0 0 * * 5-7', '2026-11-21T00:00:00Z', ['2026-11-22T00:00:00Z', '2026-11-27T00:00:00Z']],
  ['@hourly', '2026-11-21T00:00:00Z', ['2026-11-21T01:00:00Z']],
  ['@yearly', '2026-11-21T00:00:00Z', ['2027-01-01T00:00:00Z']],
]

for (const [expression, after, expected] of cases) {
  test(`Cron: ${expression} after ${after}`, () => {
    assert.deepEqual(following(expression, after, expected.length), expected)
  })
}

const zone = 'Europe/Berlin' // 2026: forward on 29 March at 01:00 UTC, back on 25 October at 01:00 UTC.

test('Cron: what falls into the gap comes right behind it, once', () => {
  const expected = ['2026-03-28T01:30:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:30:00Z']
  assert.deepEqual(following('30 2 * * *', '2026-03-27T12:00:00Z', 3, zone), expected)
  const twice = ['2026-03-29T01:00:00Z', '2026-03-29T01:30:00Z', '2026-03-30T00:30:00Z']
  assert.deepEqual(following('30 2,3 * * *', '2026-03-28T12:00:00Z', 3, zone), twice)
})

test('Cron: an hour that comes twice counts once for what names it, and twice for what comes each hour', () => {
  const named = ['2026-10-25T00:30:00Z', '2026-10-26T01:30:00Z']
  assert.deepEqual(following('30 2 * * *', '2026-10-24T12:00:00Z', 2, zone), named)
  assert.deepEqual(following('30 2 * * *', '2026-10-25T00:45:00Z', 1, zone), named.slice(1))
  const hourly = ['2026-10-25T00:30:00Z', '2026-10-25T01:30:00Z', '2026-10-25T02:30:00Z']
  assert.deepEqual(following('30 * * * *', '2026-10-25T00:00:00Z', 3, zone), hourly)
  const forward = ['2026-03-29T00:30:00Z', '2026-03-29T01:30:00Z']
  assert.deepEqual(following('30 * * * *', '2026-03-29T00:00:00Z', 2, zone), forward)
})

test('Cron: a rare day far behind several changes of the clocks', () => {
  assert.deepEqual(following('15 * 29 2 *', '2026-03-01T00:00:00Z', 1, zone), ['2028-02-28T23:15:00Z'])
  assert.deepEqual(following('0 12 * * *', '2026-04-04T12:00:00Z', 2, 'Australia/Lord_Howe'), [
    '2026-04-05T01:30:00Z',
    '2026-04-06T01:30:00Z',
  ])
})

test(`Cron: nothing between one time and the next matches (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 30; round++) {
    const minutes = Array.from({ length: 3 }, () => random.below(60)).join(',')
    const hours = random.pick(['*', '*/5', '1-3', String(random.below(24))])
    const cron = new Cron(`${minutes} ${hours} * * *`, zone)
    const isMinute = new Set(minutes.split(',').map(Number))
    const from = Date.parse(random.pick(['2026-03-28T20:00:00Z', '2026-10-24T20:00:00Z', '2026-07-01T00:00:00Z']))
    const next = cron.next(from)
    assert(next > from)
    for (let at = from + 60_000; at < next && at < from + 86_400_000; at += 60_000) {
      const [hour = 0, minute = 0] = new Date(at)
        .toLocaleTimeString('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' })
        .split(':')
        .map(Number)
      const isHour =
        hours === '*' ||
        (hours === '*/5' && hour % 5 === 0) ||
        (hours === '1-3' && hour >= 1 && hour <= 3) ||
        hour === Number(hours)
      const isSecondTime = hours !== '*' && new Date(at).getUTCMonth() === 9 && at >= Date.parse('2026-10-25T01:00:00Z')
      assert(!isMinute.has(minute) || !isHour || (isSecondTime && hour === 2), `${minutes} ${hours} at ${at}`)
    }
  }
})

test('Cron: what is no expression, and what never comes, is refused', () => {
  const wrong = ['', '* * * *', '* * * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8']
  const strange = ['*/0 * * * *', '5-2 * * * *', 'a * * * *', '*-5 * * * *', '? * * * *', '1,,2 * * * *', '-1 * * * *']
  for (const expression of [...wrong, ...strange, '0 0 30 2 *', `${'1,'.repeat(200)}1 * * * *`]) {
    assert.throws(() => new Cron(expression, 'UTC'), CronError, expression)
  }
  for (const name of ['Nowhere/City', '', '+02:00', 'x'.repeat(100)]) {
    assert.throws(() => new Cron('* * * * *', name), CronError, name)
  }
})
