import assert from 'node:assert/strict'
import test from 'node:test'
import { SteadyClock } from './steady-clock.ts'

const startMs = 1_700_000_000_000
const minute = 60_000
const hour = 3_600_000
const day = 86_400_000

/** A clock that was right, and of which both faces are moved by hand. */
function open(patienceMs = 10 * minute) {
  const told: [string, number][] = []
  const raw = { wallMs: startMs, monotonicMs: 5, suspendedMs: 40 }
  const outside = {
    nowMs: () => raw.wallMs,
    monotonicMs: () => raw.monotonicMs,
    suspendedMs: () => raw.suspendedMs,
    after: () => () => {},
    soon: () => {},
  }
  const clock = new SteadyClock(outside, { patienceMs, tell: ({ kind, aheadMs }) => told.push([kind, aheadMs]) })
  const pass = (ms: number): void => {
    raw.wallMs += ms
    raw.monotonicMs += ms
  }
  const set = (byMs: number): void => void (raw.wallMs += byMs)
  return { clock, told, pass, set, raw, sinceStart: () => clock.nowMs() - startMs }
}

test('SteadyClock: a step that does not last has never been, in either direction', () => {
  for (const step of [2 * day, -3_600_000]) {
    const { told, pass, set, sinceStart } = open()
    pass(1_500)
    assert.equal(sinceStart(), 1_500)
    set(step)
    assert.equal(sinceStart(), 1_500)
    for (let left = 9; left > 0; left--) {
      pass(minute)
      sinceStart()
    }
    assert.equal(sinceStart(), 1_500 + 9 * minute)
    set(-step)
    assert.equal(sinceStart(), 1_500 + 9 * minute)
    pass(day)
    assert.equal(sinceStart(), 1_500 + 9 * minute + day)
    assert.deepEqual(told, [
      ['set', step],
      ['set-back-again', 0],
    ])
  }
})

test('SteadyClock: a step that lasts is followed, and from then on there is none', () => {
  for (const step of [2 * day, -3_600_000]) {
    const { told, pass, set, sinceStart } = open()
    set(step)
    assert.equal(sinceStart(), 0)
    pass(10 * minute)
    assert.equal(sinceStart(), step + 10 * minute)
    pass(minute)
    assert.equal(sinceStart(), step + 11 * minute)
    assert.deepEqual(told, [
      ['set', step],
      ['followed', step],
    ])
  }
})

test('SteadyClock: a clock that is set again while nobody looks, or again and again, is not followed early', () => {
  const { told, pass, set, sinceStart } = open()
  set(day)
  pass(9 * minute)
  assert.equal(sinceStart(), 9 * minute)
  set(day)
  pass(9 * minute)
  assert.equal(sinceStart(), 18 * minute)
  pass(9 * minute)
  set(-2 * day)
  pass(20 * minute)
  assert.equal(sinceStart(), 47 * minute)
  assert.deepEqual(told, [
    ['set', day],
    ['set', 2 * day],
    ['set-back-again', 0],
  ])
})

test('SteadyClock: a clock that is kept right is followed at once, but never goes back', () => {
  const { told, pass, set, sinceStart } = open()
  pass(5_000)
  assert.equal(sinceStart(), 5_000)
  set(9_000)
  assert.equal(sinceStart(), 14_000)
  set(-6_000)
  assert.equal(sinceStart(), 14_000)
  pass(7_000)
  assert.equal(sinceStart(), 15_000)
  assert.deepEqual(told, [])
})

test('SteadyClock: begins at the data when the machine is behind it', () => {
  const { clock, told, pass, sinceStart } = open()
  clock.begin(startMs + day)
  assert.equal(sinceStart(), day)
  pass(9 * minute)
  assert.equal(sinceStart(), day + 9 * minute)
  pass(minute)
  assert.equal(sinceStart(), 10 * minute)
  assert.deepEqual(told, [
    ['behind-data', -day],
    ['followed', -day],
  ])
})

test('SteadyClock: a machine that learns only after the start what time it is', () => {
  const { clock, told, pass, set, sinceStart } = open()
  clock.begin(startMs + 10_000 * day)
  pass(minute)
  set(10_000 * day + 5_000)
  assert.equal(sinceStart(), 10_000 * day + minute + 5_000)
  assert.deepEqual(told.at(-1), ['set-back-again', 5_000])
})

test('SteadyClock: data that was left alone for long is old only after a while', () => {
  const { clock, pass } = open()
  clock.begin(startMs - 2 * day)
  assert.equal(clock.nowMs(), startMs)
  assert.equal(clock.agesMs(), startMs - 2 * day)
  pass(10 * minute)
  assert.equal(clock.agesMs(), startMs + 10 * minute)
  const short = open()
  short.clock.begin(startMs - minute)
  assert.equal(short.clock.agesMs(), startMs)
})

test('SteadyClock: without patience every step is followed at once', () => {
  const { clock, told, set, sinceStart } = open(0)
  clock.begin(startMs + day)
  assert.equal(sinceStart(), 0)
  set(-day)
  assert.equal(sinceStart(), -day)
  assert.deepEqual(told, [['followed', -day]])
})

test('SteadyClock: short suspensions are not counted again with a long one', () => {
  const { told, pass, set, raw, sinceStart } = open()
  const suspend = (ms: number): void => {
    set(ms)
    raw.suspendedMs += ms
  }
  for (let time = 1; time <= 20; time++) {
    pass(minute)
    suspend(9_000)
    assert.equal(sinceStart(), time * (minute + 9_000))
  }
  suspend(hour)
  assert.equal(sinceStart(), 20 * (minute + 9_000) + hour)
  assert.deepEqual(told, [])
})

test('SteadyClock: the time for which the machine was suspended has passed, and a step beside it is one', () => {
  const { clock, told, pass, set, raw, sinceStart } = open()
  pass(minute)
  assert.equal(sinceStart(), minute)
  set(8 * hour)
  raw.suspendedMs += 8 * hour - 40
  assert.equal(sinceStart(), minute + 8 * hour)
  assert.deepEqual(told, [])
  pass(minute)
  set(2 * hour)
  raw.suspendedMs += hour
  assert.equal(sinceStart(), 2 * minute + 9 * hour)
  assert.equal(clock.wallMs() - startMs, 2 * minute + 10 * hour)
  assert.deepEqual(told, [['set', hour]])
})
