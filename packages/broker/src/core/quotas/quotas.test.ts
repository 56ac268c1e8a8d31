import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Reader, Writer } from '@dragoman/wire'
import { BrokerError } from '../errors.ts'
import { Bucket, burstMs } from './bucket.ts'
import { entityId, quotaKeyNames, type QuotaEntity, type QuotaKeyName } from './entity.ts'
import { QuotasMachine } from './machine.ts'
import { QuotasBench } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

const caller = (user: string, client: string | null) => ({ user, client })

test('a bucket lends once and is paid back with time', () => {
  const bucket = new Bucket(5000)
  assert.equal(bucket.spend(10, 1, 5000), 0, 'ten seconds of the rate are to the good at first')
  assert.equal(bucket.spend(4, 1, 5000), 4000)
  assert.equal(bucket.waitMs(8000), 1000)
  assert.equal(bucket.waitMs(9000), 0)
  assert.equal(bucket.spend(12, 1, 90_000), 2000, 'no more than ten seconds are saved')
})

test(`who waits as told does not exceed the limit, whatever the steps (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 50; round++) {
    const limit = random.between(100, 1_000_000)
    let now = random.between(0, 1_000_000)
    const begin = now
    const bucket = new Bucket(now)
    let sent = 0
    while (now - begin < 600_000) {
      const amount = random.between(1, limit * 30)
      sent += amount
      now += bucket.spend(amount, limit, now)
      const allowed = (limit * (now - begin + burstMs)) / 1000
      assert(sent <= allowed + 1, `${sent} of ${allowed} at ${limit}`)
    }
  }
})

test('quotas: the most specific one that is set counts, each key for itself', async () => {
  const bench = new QuotasBench()
  const levels: [QuotaEntity, number][] = [
    [{ client: null }, 8],
    [{ client: 'c' }, 7],
    [{ user: null }, 6],
    [{ user: null, client: null }, 5],
    [{ user: null, client: 'c' }, 4],
    [{ user: 'u' }, 3],
    [{ user: 'u', client: null }, 2],
    [{ user: 'u', client: 'c' }, 1],
  ]
  const max = () => bench.quotas.fetchBytesMax(caller('u', 'c'))
  assert.equal(max(), Infinity)
  for (const [entity, value] of levels) {
    await bench.set(entity, 'fetchBytes', value)
    assert.equal(max(), value * 10)
  }
  await bench.set({ user: 'u', client: 'c' }, 'publishBytes', 77)
  for (const [entity, value] of levels.toReversed()) {
    assert.equal(max(), value * 10)
    await bench.set(entity, 'fetchBytes', undefined)
  }
  assert.equal(max(), Infinity)
  assert.deepEqual(
    bench.quotas.list().map(({ entity, values }) => [entity, [...values]]),
    [[{ user: 'u', client: 'c' }, [['publishBytes', 77]]]],
  )
})

test('quotas: those for whom one is set share it', async () => {
  const { quotas, ...bench } = new QuotasBench()
  void bench
  await quotas.change({ user: null }, [{ key: 'publishBytes', value: 1000 }])
  assert.equal(quotas.published(caller('u', 'a'), 6000), 0)
  assert(quotas.published(caller('u', 'b'), 6000) > 0, 'all clients of one user together')
  assert.equal(quotas.published(caller('v', 'b'), 6000), 0, 'another user')
  await quotas.change({ client: null }, [{ key: 'fetchBytes', value: 1000 }])
  assert.equal(quotas.fetched(caller('u', 'a'), 6000), 0)
  assert(quotas.fetched(caller('v', 'a'), 6000) > 0, 'one client, whoever uses it')
  assert.equal(quotas.fetched(caller('u', 'b'), 6000), 0)
})

test('quotas: changes are refused strictly, or made and held back for', async () => {
  const bench = new QuotasBench()
  const { quotas } = bench
  await bench.set({ user: 'u' }, 'changes', 1)
  const who = caller('u', null)
  assert.deepEqual(quotas.changed(who, 20, true), { isAllowed: true, waitMs: 10_000 })
  assert.deepEqual(quotas.changed(who, 1, true), { isAllowed: false, waitMs: 10_000 })
  assert.deepEqual(quotas.changed(who, 1, false), { isAllowed: true, waitMs: 11_000 })
  bench.nowMs += 11_000
  assert.deepEqual(quotas.changed(who, 1, true), { isAllowed: true, waitMs: 1000 })
})

test('quotas: work is held back for a second at most, connections as long as it takes', async () => {
  const bench = new QuotasBench()
  const { quotas } = bench
  assert.equal(quotas.measuresWork, false)
  await bench.set({ client: 'c' }, 'workPercent', 50)
  assert.equal(quotas.measuresWork, true)
  assert.equal(quotas.worked(caller('u', 'c'), 5000), 0)
  assert.equal(quotas.worked(caller('u', 'c'), 50_000), 1000)
  await bench.set({ address: '127.0.0.1' }, 'connections', 1)
  await bench.set({ address: null }, 'connections', 2)
  for (let count = 0; count < 10; count++) assert.equal(quotas.connected('::ffff:127.0.0.1'), 0)
  assert.equal(quotas.connected('127.0.0.1'), 1000)
  for (let count = 0; count < 20; count++) assert.equal(quotas.connected('::1'), 0)
  assert.equal(quotas.connected('0:0:0:0:0:0:0:1'), 500)
})

test('quotas: what is counted is bounded; the least recently active begin anew', async () => {
  const bench = new QuotasBench({ quotaMetersMax: 100 })
  await bench.set({ client: null }, 'publishBytes', 1)
  const used = () => bench.quotas.published(caller('u', 'first'), 1000)
  assert.equal(used(), 990_000)
  for (let count = 0; count < 500; count++) {
    bench.nowMs++
    bench.quotas.published(caller('u', `c${count}`), 1)
    if (count % 20 === 0) assert(used() > 1_500_000, 'who is active stays')
  }
  for (let count = 0; count < 200; count++) {
    bench.nowMs++
    bench.quotas.published(caller('u', `d${count}`), 1)
  }
  assert.equal(used(), 990_000, 'who was not was forgotten')
})

test('quotas: what cannot be is refused with its reason', async () => {
  const bench = new QuotasBench({ quotaMetersMax: 100, quotasMax: 2 })
  const refused = async (entity: QuotaEntity, key: QuotaKeyName, value: number, reason: RegExp) => {
    await assert.rejects(bench.set(entity, key, value), (error: unknown) => {
      assert(error instanceof BrokerError)
      assert.match(error.message, reason)
      return true
    })
  }
  await refused({}, 'publishBytes', 1, /nobody/)
  await refused({ user: '' }, 'publishBytes', 1, /empty/)
  await refused({ user: 'u', address: '::1' }, 'publishBytes', 1, /not for both/)
  await refused({ address: 'localhost' }, 'connections', 1, /not an IP address/)
  await refused({ address: '1.2.3.256' }, 'connections', 1, /not an IP address/)
  await refused({ address: '::1' }, 'publishBytes', 1, /cannot be set for addresses/)
  await refused({ user: 'u' }, 'connections', 1, /for addresses only/)
  for (const value of [0, -1, Number.NaN]) await refused({ user: 'u' }, 'publishBytes', value, /greater than 0/)
  for (const value of [Infinity, 1e19]) await refused({ user: 'u' }, 'publishBytes', value, /too large/)
  await refused({ user: 'u' }, 'publishBytes', 1.5, /whole number/)
  await bench.set({ user: 'u' }, 'workPercent', 0.5)
  await bench.set({ user: 'v' }, 'changes', 0.5)
  await refused({ user: 'w' }, 'publishBytes', 1, /the most allowed/)
  await bench.set({ user: 'v' }, 'changes', undefined)
  await bench.quotas.change({ user: 'w' }, [{ key: 'changes', value: 1 }], { validateOnly: true })
  assert.deepEqual(
    bench.quotas.list().map(({ entity }) => entity),
    [{ user: 'u' }],
  )
})

test(`quotas: what is saved is what all facts have made (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const bench = new QuotasBench()
  const name = () => random.pick([null, 'a', 'b', 'ü'])
  for (let round = 0; round < 300; round++) {
    const entity = random.pick<QuotaEntity>([{ user: name() }, { client: name() }, { user: name(), client: name() }])
    const key = random.pick(quotaKeyNames.filter(one => one !== 'connections'))
    await bench.set(entity, key, random.pick([undefined, random.between(1, 1000)]))
  }
  await bench.set({ address: '::1' }, 'connections', 5)
  const out = new Writer()
  bench.machine.save(out)
  const loaded = new QuotasMachine()
  loaded.load(new Reader(out.take()))
  const shown = (machine: QuotasMachine) => {
    return new Map(Array.from(machine.all(), ({ entity, values }) => [entityId(entity), values]))
  }
  assert.deepEqual(shown(loaded), shown(bench.machine))
  assert(loaded.count > 1)
  assert.throws(() => loaded.apply(9, Buffer.alloc(0)), /newer broker/)
})
