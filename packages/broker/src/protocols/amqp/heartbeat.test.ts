import assert from 'node:assert/strict'
import test from 'node:test'
import { Heartbeat } from './heartbeat.ts'
import { Traffic } from '../live-connection.ts'

/** Turns a clock that only the test moves. */
function bench(seconds: number) {
  let run: (() => void) | undefined
  let delayMs = 0
  const clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    after: (ms: number, then: () => void) => {
      delayMs = ms
      run = then
      return () => (run = undefined)
    },
    soon: (now: () => void) => now(),
  }
  const seen = { beats: 0, missed: 0, isReading: true, traffic: new Traffic() }
  const heartbeat = new Heartbeat(seconds, clock, {
    traffic: seen.traffic,
    isReading: () => seen.isReading,
    beat: () => {
      seen.beats++
      seen.traffic.sentPackets++
    },
    missed: () => seen.missed++,
  })
  return Object.assign(seen, {
    heartbeat,
    isWaiting: () => run !== undefined,
    pass: (ms: number) => {
      for (let left = ms; left >= delayMs && run; left -= delayMs) {
        const then = run
        run = undefined
        then()
      }
    },
  })
}

test('a heartbeat is sent when nothing else is, and not otherwise', () => {
  const seen = bench(10)
  seen.traffic.sentPackets++
  seen.traffic.receivedPackets++
  seen.pass(2500)
  assert.equal(seen.beats, 0)
  seen.traffic.receivedPackets++
  seen.pass(2500)
  assert.equal(seen.beats, 1)
})

test('a peer that is silent for two heartbeats is missed; one that says anything is not', () => {
  const seen = bench(10)
  seen.traffic.receivedPackets++
  seen.pass(20_000)
  assert.equal(seen.missed, 0)
  seen.traffic.receivedPackets++
  seen.pass(20_000)
  assert.equal(seen.missed, 0)
  seen.pass(2500)
  assert.equal(seen.missed, 1)
  assert.equal(seen.isWaiting(), false)
})

test('a peer that is not read is not missed', () => {
  const seen = bench(1)
  seen.isReading = false
  seen.pass(60_000)
  assert.equal(seen.missed, 0)
  seen.isReading = true
  seen.pass(1750)
  assert.equal(seen.missed, 0)
  seen.pass(250)
  assert.equal(seen.missed, 1)
})

test('nothing is waited for after the end', () => {
  const seen = bench(1)
  seen.heartbeat.stop()
  assert.equal(seen.isWaiting(), false)
})
