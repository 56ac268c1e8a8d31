import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import type { ScheduleDefinition } from './schedules.ts'
import { startDelayed, texts, WallClock, type DelayedNode } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const second = 1000
const minute = 60 * second
const hour = 60 * minute

const refusal = (code: ErrorCode) => (error: unknown) => error instanceof BrokerError && error.code === code

const schedule = (name: string, expression: string, more: Partial<ScheduleDefinition> = {}): ScheduleDefinition => {
  const message = { value: Buffer.from(name), headers: [{ key: 'h', value: Buffer.from('v') }], priority: 3 }
  const where = { namespace: '/', exchange: '', key: 'q' }
  return { name, expression, timeZone: 'UTC', missed: 'skip', isEnabled: true, ...where, message, ...more }
}

const count = async (node: DelayedNode, text: string): Promise<number> =>
  (await texts(node, 'q')).filter(each => each === text).length

/** The clock begins 1,000 seconds after a full hour. */
async function start(): Promise<DelayedNode> {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  return node
}

test('a schedule publishes at its times until it is disabled or removed, and by hand', async () => {
  const node = await start()
  const { schedules, clock } = node
  const set = await schedules.set(schedule('s', '*/5 * * * *', { headers: [{ name: 'a', value: 1n }] }))
  assert.equal(set.nextMs, 1_200_000)
  await clock.advance(200 * second - 1)
  assert.equal(await count(node, 's'), 0)
  await clock.advance(1)
  assert.equal(await count(node, 's'), 1)
  await clock.advance(10 * minute)
  assert.equal(await count(node, 's'), 3)
  const { publishedMs, publishedCount, nextMs, headers, message } = schedules.get('/', 's') ?? set
  assert.deepEqual([publishedMs, publishedCount, nextMs], [1_800_000, 3, 2_100_000])
  assert.deepEqual([headers, message.priority], [[{ name: 'a', value: 1n }], 3])
  const [first] = (await node.queues.get('/', 'q')?.browse(0, 1)) ?? []
  assert.deepEqual([first?.stamp.priority, String(first?.headers[0]?.value)], [3, 'v'])

  assert.equal((await schedules.enable('/', 's', false))?.nextMs, -1)
  await clock.advance(hour)
  assert.equal(await count(node, 's'), 3)
  assert.equal(await schedules.runNow('/', 's'), true)
  assert.equal(await count(node, 's'), 4)
  assert.equal((await schedules.enable('/', 's', true))?.nextMs, 5_700_000)
  await clock.advance(5 * minute)
  assert.equal(await count(node, 's'), 5)
  assert.deepEqual(
    schedules.list('/').map(({ name }) => name),
    ['s'],
  )
  assert.deepEqual(schedules.list('other'), [])
  assert.equal(await schedules.remove('/', 's'), true)
  assert.equal(await schedules.remove('/', 's'), false)
  assert.equal(await schedules.runNow('/', 's'), false)
  assert.equal(await schedules.enable('/', 's', true), undefined)
  await clock.advance(hour)
  assert.equal(await count(node, 's'), 5)
  await node.close()
})

test('a schedule whose exchange is gone publishes nothing, and can be disabled', async () => {
  const node = await start()
  await node.router.declare('/', 'e', { kind: 'fanout' })
  await node.schedules.set(schedule('s', '* * * * *', { exchange: 'e' }))
  await node.router.remove('/', 'e')
  await node.clock.advance(2 * minute)
  assert.deepEqual([await texts(node, 'q'), node.schedules.get('/', 's')?.publishedCount], [[], 2])
  assert.equal((await node.schedules.enable('/', 's', false))?.isEnabled, false)
  await assert.rejects(node.schedules.set(schedule('s', '* * * * *', { exchange: 'e' })), refusal('exchange-not-found'))
  await node.close()
})

test('what is missed while the broker is down is skipped, or made good once', async () => {
  const stores = memoryStores()
  let node = await startDelayed(stores)
  await node.queues.declare('/', 'q')
  await node.schedules.set(schedule('skip', '*/5 * * * *'))
  await node.schedules.set(schedule('once', '*/5 * * * *', { missed: 'once' }))
  await node.schedules.set(schedule('often', '* * * * * *', { missed: 'once' }))
  await node.schedules.set(schedule('off', '* * * * *', { missed: 'once', isEnabled: false }))
  await node.kill()
  await node.clock.advance(50 * minute)
  node = await startDelayed(stores, node.clock)
  await node.clock.advance(1)
  assert.deepEqual((await texts(node, 'q')).sort(), ['often', 'once'])
  await node.clock.advance(5 * minute)
  assert.deepEqual([await count(node, 'skip'), await count(node, 'once'), await count(node, 'off')], [1, 2, 0])
  // One more start: what was made good is over.
  await node.kill()
  node = await startDelayed(stores, node.clock)
  await node.clock.advance(1)
  assert.deepEqual([await count(node, 'skip'), await count(node, 'once')], [1, 2])
  await node.close()
})

test('a wall clock that is set forward misses times, and one that is set back repeats none', async () => {
  const node = await start()
  const { clock, schedules } = node
  await schedules.set(schedule('skip', '*/5 * * * *'))
  await schedules.set(schedule('once', '*/5 * * * *', { missed: 'once' }))
  clock.aheadMs += 52 * minute
  await clock.advance(5 * second)
  assert.deepEqual([await count(node, 'skip'), await count(node, 'once')], [0, 1])
  await clock.advance(5 * minute)
  assert.deepEqual([await count(node, 'skip'), await count(node, 'once')], [1, 2])
  clock.aheadMs -= 20 * minute
  await clock.advance(20 * minute)
  assert.deepEqual([await count(node, 'skip'), await count(node, 'once')], [1, 2])
  await clock.advance(5 * minute)
  assert.deepEqual([await count(node, 'skip'), await count(node, 'once')], [2, 3])
  await node.close()
})

test(`each time is published for once, whatever is cut off (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startDelayed(stores, new WallClock())
  await node.queues.declare('/', 'q')
  await node.schedules.set(schedule('s', '* * * * * *'))
  await turns()
  for (let round = 0; round < 40; round++) {
    void node.clock.advance(random.below(3 * second))
    await turns(random.below(30))
    await node.cut()
    node = await startDelayed(stores, node.clock)
  }
  await turns()
  const found = (await node.queues.get('/', 'q')?.browse(0, 1000)) ?? []
  const seconds = found.map(({ timestampMs }) => Math.floor(timestampMs / second))
  assert.equal(new Set(seconds).size, seconds.length, 'none twice')
  assert.equal(node.schedules.get('/', 's')?.publishedCount, seconds.length)
  assert(seconds.length > 5)
  await node.close()
})

test('schedules that cannot be are refused, and say why', async () => {
  const node = await startDelayed(memoryStores(), new WallClock(), { schedulesMax: 1, scheduleBytesMax: 1000 })
  const { schedules } = node
  await node.router.declare('/', 'inner', { internal: true })
  await assert.rejects(schedules.set(schedule('', '* * * * *')), refusal('name-invalid'))
  await assert.rejects(schedules.set(schedule('s', '* * *')), refusal('request-invalid'))
  await assert.rejects(schedules.set(schedule('s', '* * * * *', { timeZone: 'Nowhere' })), refusal('request-invalid'))
  await assert.rejects(schedules.set(schedule('s', '* * * * *', { exchange: 'no' })), refusal('exchange-not-found'))
  await assert.rejects(schedules.set(schedule('s', '* * * * *', { exchange: 'inner' })), refusal('access-denied'))
  const message = { value: Buffer.alloc(1000) }
  await assert.rejects(schedules.set(schedule('s', '* * * * *', { message })), refusal('message-too-large'))
  await schedules.set(schedule('s', '* * * * *'))
  await schedules.set(schedule('s', '1 * * * *'))
  await assert.rejects(schedules.set(schedule('t', '* * * * *')), refusal('limit-reached'))
  await node.close()
})
