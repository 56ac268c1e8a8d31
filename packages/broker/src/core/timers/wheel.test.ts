import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { noTimer, tickMs, TimerWheel, type TimerTarget } from './wheel.ts'

/** Time that passes when the test says so. */
class HandClock {
  now = 12_345
  wakes: { at: number; run: () => void }[] = []

  monotonicMs(): number {
    return this.now
  }
  after(delayMs: number, run: () => void): () => void {
    const wake = { at: this.now + delayMs, run }
    this.wakes.push(wake)
    return () => {
      this.wakes = this.wakes.filter(other => other !== wake)
    }
  }
  to(time: number): void {
    for (;;) {
      const next = this.wakes.toSorted((a, b) => a.at - b.at)[0]
      if (!next || next.at > time) break
      this.wakes = this.wakes.filter(wake => wake !== next)
      this.now = Math.max(this.now, next.at)
      next.run()
    }
    this.now = time
  }
}

const seed = Number(process.env['SEED'] ?? 7)

test(`the wheel fires each entry once, never early and at most a tick late (SEED=${seed})`, () => {
  const random = new Random(seed)
  const clock = new HandClock()
  const wheel = new TimerWheel(clock)
  const waiting = new Map<number, { due: number; id: number; added: number }>()
  let next = 0
  const target: TimerTarget = {
    due(reference) {
      const entry = waiting.get(reference)
      assert(entry, `${reference} had fired or was cancelled`)
      assert(clock.now >= entry.due, `${reference} fired ${entry.due - clock.now} ms early`)
      assert(
        clock.now <= Math.max(entry.due, entry.added) + tickMs,
        `${reference} fired ${clock.now - entry.due} ms late`,
      )
      waiting.delete(reference)
      if (random.chance(0.2)) add()
      if (random.chance(0.2)) cancel()
    },
  }
  const add = (): void => {
    const due = clock.now + random.pick([0, 50, 1000, 60_000, 409_600, 409_500, 1_000_000]) + random.below(200)
    const reference = next++
    waiting.set(reference, { due, id: wheel.at(due, target, reference), added: clock.now })
  }
  const cancel = (): void => {
    if (waiting.size === 0) return
    const [reference, entry] = random.pick([...waiting])
    wheel.cancel(entry.id)
    wheel.cancel(entry.id)
    waiting.delete(reference)
  }
  for (let step = 0; step < 20_000; step++) {
    if (random.chance(0.6) && waiting.size < 300) add()
    if (random.chance(0.1)) cancel()
    assert.equal(wheel.count, waiting.size)
    clock.to(clock.now + random.pick([0, 20, 150, 3_000, random.chance(0.01) ? 2_000_000 : 0]))
  }
  clock.to(clock.now + 3_000_000)
  assert.equal(waiting.size, 0)
  assert.equal(clock.wakes.length, 0, 'an empty wheel keeps nobody awake')
})

test('many entries of one time fire in turns of bounded length', () => {
  const clock = new HandClock()
  const wheel = new TimerWheel(clock)
  let fired = 0
  for (let count = 0; count < 10_000; count++) wheel.at(clock.now + 1000, { due: () => fired++ })
  const turns: number[] = []
  clock.now += 2000
  for (let wake = clock.wakes.pop(); wake; wake = clock.wakes.pop()) {
    const before = fired
    wake.run()
    turns.push(fired - before)
  }
  assert.deepEqual(turns, [4096, 4096, 1808])
})

test('an entry that has fired leaves its id dead, also when the place is taken anew', () => {
  const clock = new HandClock()
  const wheel = new TimerWheel(clock)
  const fired: number[] = []
  const target = { due: (reference: number) => fired.push(reference) }
  const first = wheel.at(clock.now + 100, target, 1)
  clock.to(clock.now + 300)
  wheel.at(clock.now + 100, target, 2)
  wheel.cancel(first)
  wheel.cancel(noTimer)
  clock.to(clock.now + 300)
  assert.deepEqual(fired, [1, 2])
})

test('a closed wheel fires nothing', () => {
  const clock = new HandClock()
  const wheel = new TimerWheel(clock)
  wheel.at(clock.now + 100, { due: () => assert.fail('it fired') })
  wheel.close()
  wheel.at(clock.now + 100, { due: () => assert.fail('it fired') })
  clock.to(clock.now + 1000)
  assert.equal(clock.wakes.length, 0)
})
