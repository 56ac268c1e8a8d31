import assert from 'node:assert/strict'
import { subjectExchange } from '../routing/exchange.ts'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { MemoryBlobStore } from '../../storage/memory-store.ts'
import { BrokerError, type ErrorCode } from '../errors.ts'
import { later, startDelayed, texts, wait, WallClock, type DelayedNode } from './test-bench.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const refusal = (code: ErrorCode) => (error: unknown) => error instanceof BrokerError && error.code === code

test('a message is published when its time has come, by the bindings that there are then', async () => {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  await node.queues.declare('/', 'other')
  await node.router.declare('/', 'e', { kind: 'fanout' })
  await wait(node, later('', 'q', 'near'), 5 * second)
  await wait(node, later('e', 'k', 'far'), 3 * hour)
  assert.equal(node.delayed.count, 2)
  assert.deepEqual([node.delayed.countOf('/'), node.delayed.countOf('/', 'e'), node.delayed.countOf('x')], [2, 1, 0])
  await node.clock.advance(5 * second - 1)
  assert.deepEqual(await texts(node, 'q'), [])
  await node.clock.advance(1)
  assert.deepEqual(await texts(node, 'q'), ['near'])
  await node.router.bind('/', { source: 'e', kind: 'queue', destination: 'other', key: '' })
  await node.clock.advance(3 * hour)
  assert.deepEqual(await texts(node, 'other'), ['far'])
  assert.deepEqual([node.delayed.count, node.delayed.counts()], [0, []])
  assert.deepEqual([node.delayed.publishedCount, node.delayed.unroutedCount], [2, 0])
  await node.close()
})

/** Small enough that a few hundred messages meet every edge. */
const small = { recentMax: 64, recentOfAllMax: 200, blockEntriesMax: 8 }

interface Expected {
  readonly text: string
  readonly dueMs: number
}

/** Compares what waits, and what was published since the last look, with what is expected. */
class Model {
  readonly waiting = new Map<string, Expected>()
  published = 0

  async check(node: DelayedNode): Promise<void> {
    const nowMs = node.clock.nowMs()
    const found = await texts(node, 'q')
    const due = [...this.waiting].filter(([, { dueMs }]) => dueMs <= nowMs)
    assert.deepEqual(found.slice(this.published).sort(), due.map(([, { text }]) => text).sort())
    this.published = found.length
    for (const [id] of due) this.waiting.delete(id)
    assert.equal(node.delayed.count, this.waiting.size)
    assert.equal(node.delayed.countOf('/', ''), this.waiting.size)
  }

  inOrder(): [number, string][] {
    const all = Array.from(this.waiting.values(), ({ dueMs, text }): [number, string] => [dueMs, text])
    return all.sort(([a, x], [b, y]) => a - b || (x < y ? -1 : 1))
  }
}

async function listed({ delayed }: DelayedNode, max: number, fromMs = 0, toMs = Infinity): Promise<[number, string][]> {
  const found: [number, string][] = []
  let after: string | undefined
  do {
    const page = await delayed.list({ max, fromMs, toMs, ...(after === undefined ? {} : { after }) })
    found.push(...page.messages.map(({ dueMs, message }): [number, string] => [dueMs, String(message.value)]))
    after = page.next
  } while (after !== undefined)
  return found.sort(([a, x], [b, y]) => a - b || (x < y ? -1 : 1))
}

test(`each message is published once and never early, whatever is cancelled, moved and killed (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startDelayed(stores, new WallClock(), { sizes: small })
  await node.queues.declare('/', 'q')
  const model = new Model()
  let number = 0
  const anyId = (): string => random.pick([...model.waiting.keys()])
  for (let step = 0; step < 250; step++) {
    const what = random.below(100)
    if (what < 45) {
      for (let left = random.between(1, 60); left > 0; left--) {
        const delayMs = random.below(random.pick([second, minute, hour, 10 * day, 400 * day])) + 1
        const text = `m${number++}`
        const { id, error } = node.delayed.post(later('', 'q', text), delayMs)
        assert.equal(error, undefined)
        model.waiting.set(id, { text, dueMs: node.clock.nowMs() + delayMs })
      }
      await turns()
    } else if (what < 60 && model.waiting.size > 0) {
      const id = anyId()
      assert.equal((await node.delayed.get(id))?.dueMs, model.waiting.get(id)?.dueMs)
      assert.equal(await node.delayed.cancel(id), true)
      assert.equal(await node.delayed.cancel(id), false)
      model.waiting.delete(id)
    } else if (what < 70 && model.waiting.size > 0) {
      const id = anyId()
      const { text } = model.waiting.get(id) ?? { text: '' }
      const dueMs = node.clock.nowMs() + random.below(random.pick([minute, 3 * day])) + 1
      const moved = await node.delayed.reschedule(id, dueMs)
      assert(moved !== undefined)
      model.waiting.delete(id)
      model.waiting.set(moved, { text, dueMs })
    } else if (what < 85) await node.clock.advance(random.below(random.pick([20, second, 30 * second])))
    else if (what < 92) {
      // The wall clock is set: the virtual one cannot be moved by months, a second at a time.
      node.clock.aheadMs += random.below(random.pick([hour, day, 40 * day]))
      await node.clock.advance(5 * second)
      await turns(60)
    } else if (what < 96) {
      await node[random.pick(['kill', 'close'] as const)]()
      node = await startDelayed(stores, node.clock, { sizes: small })
      await turns(100)
    } else {
      const from = node.clock.nowMs() + random.below(day)
      const to = from + random.below(30 * day)
      const wanted = model.inOrder().filter(([dueMs]) => dueMs >= from && dueMs < to)
      assert.deepEqual(await listed(node, random.between(1, 50), from, to), wanted)
    }
    await model.check(node)
  }
  assert.deepEqual(await listed(node, 100), model.inOrder())
  assert.deepEqual(node.told, [])
  node.clock.aheadMs += 500 * day
  await node.clock.advance(5 * second)
  for (let left = 20; left > 0 && node.delayed.count > 0; left--) await turns(100)
  await model.check(node)
  await node.clock.advance(5 * second)
  assert.equal(node.cell.state.streams.size, 1, 'nothing is left of what has gone')
  await node.close()
})

test(`what is lost before it was durable is published or not, and all else once (SEED=${seed})`, async () => {
  const random = new Random(seed)
  const stores = memoryStores()
  let node = await startDelayed(stores, new WallClock(), { sizes: small })
  await node.queues.declare('/', 'q')
  await node.queues.declare('/', 'r')
  await node.router.declare('/', 'both', { kind: 'fanout' })
  for (const destination of ['q', 'r']) {
    await node.router.bind('/', { source: 'both', kind: 'queue', destination, key: '' })
  }
  const taken = new Set<string>()
  const confirmed = new Set<string>()
  const cancelled = new Set<string>()
  for (let round = 0; round < 40; round++) {
    for (let left = random.between(1, 100); left > 0; left--) {
      const text = `m${taken.size}`
      taken.add(text)
      node.delayed.publish(later('both', '', text), random.below(random.pick([50, second, hour])), ({ id, error }) => {
        assert.equal(error, undefined)
        confirmed.add(text)
        if (!random.chance(0.05)) return
        const cancelling = node.delayed.cancel(id).then(isCancelled => isCancelled && cancelled.add(text))
        cancelling.catch(() => {})
      })
      if (random.chance(0.1)) await turns(1)
      if (random.chance(0.02)) await node.clock.advance(random.below(200))
    }
    void node.clock.advance(random.below(2 * second))
    await turns(random.pick([0, 1, 2, 3, 5, 8, 13, 60]))
    await node.cut()
    node = await startDelayed(stores, node.clock, { sizes: small })
    node.clock.aheadMs += random.below(10 * second)
  }
  await turns(200)
  node.clock.aheadMs += 2 * hour
  await node.clock.advance(5 * second)
  await turns(400)
  assert.equal(node.delayed.count, 0)
  const found = await texts(node, 'q')
  assert.deepEqual(found, await texts(node, 'r'), 'all destinations, or none')
  assert.equal(new Set(found).size, found.length, 'none twice')
  const published = new Set(found)
  for (const text of confirmed) assert.equal(published.has(text), !cancelled.has(text), text)
  assert(confirmed.size > 500 && confirmed.size < taken.size, `${confirmed.size} of ${taken.size}`)
  await node.close()
})

test('an exchange that delays keeps what has a delay, and routes all else by its inner kind at once', async () => {
  const node = await startDelayed(memoryStores())
  const { router, queues, delayed } = node
  await queues.declare('/', 'q')
  await queues.declare('/', 'r')
  const config = new Map([['inner.kind', 'topic']])
  await router.declare('/', 'late', { kind: 'delayed', config })
  await router.bind('/', { source: 'late', kind: 'queue', destination: 'q', key: 'a.*' })
  await router.bind('/', { source: 'late', kind: 'queue', destination: 'r', key: 'b.#' })
  const publication = (text: string, key: string) => ({
    namespace: '/',
    exchange: 'late',
    key,
    message: { key: Buffer.from(key), value: Buffer.from(text), keys: ['b.x'], priority: 2 },
  })
  const outcome = await new Promise(resolve => router.publish({ ...publication('now', 'a.b'), delayMs: 0 }, resolve))
  assert.deepEqual(outcome, { isRouted: true, error: undefined })
  await new Promise(resolve => router.publish({ ...publication('later', 'a.c'), delayMs: 1000 }, resolve))
  assert.deepEqual([await texts(node, 'q'), delayed.countOf('/', 'late')], [['now'], 1])
  await node.clock.advance(1000)
  assert.deepEqual([await texts(node, 'q'), await texts(node, 'r')], [['now', 'later'], ['later']])
  const [message] = (await queues.get('/', 'r')?.browse(0, 1)) ?? []
  const { exchange, keys, priority } = message?.stamp ?? {}
  assert.deepEqual([String(message?.key), exchange, keys, priority], ['a.c', 'late', ['b.x'], 2])

  const wrong = (kind: string): ReadonlyMap<string, string> => new Map([['inner.kind', kind]])
  await assert.rejects(router.declare('/', 'x', { kind: 'delayed' }), refusal('config-invalid'))
  await assert.rejects(
    router.declare('/', 'x', { kind: 'delayed', config: wrong('delayed') }),
    refusal('config-invalid'),
  )
  await assert.rejects(router.declare('/', 'x', { kind: 'direct', config }), refusal('config-invalid'))
  await assert.rejects(
    router.declare('/', 'late', { kind: 'delayed', config: wrong('direct') }),
    refusal('exchange-exists'),
  )
  await router.declare('/', 'late', { kind: 'delayed', config })
  await node.close()
})

test('headers route it when its time has come, and its time to live begins then', async () => {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  const value = new Map([['k', [1n, 'x']]] as const)
  const match = { source: 'amq.headers', kind: 'queue', destination: 'q', key: '' } as const
  await node.router.bind('/', { ...match, arguments: [{ name: 'a', value }] })
  const headers = [{ name: 'a', value }]
  const expiresMs = node.clock.nowMs() + 700
  const message = { value: null, headers: [{ key: 'x', value: null }], expiresMs }
  await wait(node, { namespace: '/', exchange: 'amq.headers', key: '', headers, message }, 2000)
  await wait(node, { namespace: '/', exchange: 'amq.headers', key: '', message }, 2000)
  await node.clock.advance(2000)
  await turns()
  const found = (await node.queues.get('/', 'q')?.browse(0, 10)) ?? []
  assert.equal(found.length, 1)
  assert.deepEqual([found[0]?.value, found[0]?.headers], [null, message.headers])
  assert.equal(found[0]?.stamp.expiresMs, node.clock.nowMs() + 700)
  assert.equal(node.delayed.unroutedCount, 1)
  await node.close()
})

test('what is due at one time is published in the order in which it came, in bounded steps', async () => {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  const all = Array.from({ length: 3000 }, (_, number) => `m${number}`)
  for (const text of all) node.delayed.post(later('', 'q', text), 1000)
  await turns()
  const { position } = node.client
  await node.clock.advance(1000)
  await turns(100)
  assert.deepEqual(await texts(node, 'q'), all)
  assert(node.client.position - position > 10, 'in many blocks')
  await node.close()
})

test('what is late at a start is published in the order of its times', async () => {
  const stores = memoryStores()
  let node = await startDelayed(stores, new WallClock(), { sizes: small })
  await node.queues.declare('/', 'q')
  const random = new Random(seed)
  const due = Array.from({ length: 500 }, () => random.below(10 * day) + 1)
  for (const delayMs of due) node.delayed.post(later('', 'q', String(delayMs)), delayMs)
  await turns()
  await node.kill()
  node.clock.aheadMs += 11 * day
  node = await startDelayed(stores, node.clock, { sizes: small })
  await turns(300)
  const found = (await texts(node, 'q')).map(Number)
  assert.deepEqual(
    found,
    due.toSorted((a, b) => a - b),
  )
  assert.equal(node.delayed.count, 0)
  await node.close()
})

test('limits, places that are not there, and ids of nothing are refused', async () => {
  const node = await startDelayed(memoryStores(), new WallClock(), { delayedMax: 3, delayedPerNamespaceMax: 2 })
  const { delayed } = node
  await node.router.declare('/', 'inner', { internal: true })
  const error = (what: Parameters<typeof delayed.post>[0], delayMs = 1000) => delayed.post(what, delayMs).error
  assert.equal(error(later('no', 'q', '')), 'exchange-not-found')
  assert.equal(error(later('inner', 'q', '')), 'access-denied')
  assert.equal(error(later('', 'q', ''), 101 * 366 * day), 'limit-reached')
  assert.equal(error(later('', 'q', ''), NaN), 'limit-reached')
  const id = await wait(node, later('', 'q', 'a'), day)
  await wait(node, later('', 'q', 'b'), day)
  assert.equal(error(later('', 'q', '')), 'limit-reached')
  assert.equal(error(later('', 'q', '', { namespace: 'x' })), undefined)
  assert.equal(error(later('', 'q', '', { namespace: 'y' })), 'limit-reached')
  const volume = id.split('-')[0]
  for (const none of ['', 'x', '1', `${volume}-99`, '99-0', '-1-0', `${'9'.repeat(12)}-0`, `${id}-1`]) {
    assert.equal(await delayed.get(none), undefined, none)
    assert.equal(await delayed.cancel(none), false)
    assert.equal(await delayed.reschedule(none, 0), undefined)
  }
  await assert.rejects(delayed.reschedule(id, Infinity), refusal('request-invalid'))
  await assert.rejects(delayed.list({ max: 1, after: 'x' }), refusal('request-invalid'))
  assert.equal((await delayed.get(id))?.key, 'q')
  await node.close()
})

test('lists know namespaces, exchanges and keys; what matches is cancelled together', async () => {
  const node = await startDelayed(memoryStores(), new WallClock(), { sizes: small })
  const { delayed } = node
  await node.router.declare('/', 'e', { kind: 'fanout' })
  for (let number = 0; number < 300; number++) {
    await wait(node, later(number % 3 === 0 ? 'e' : '', `k${number % 2}`, `m${number}`), minute + number)
    if (number % 50 === 0) await wait(node, later('', 'k0', 'other', { namespace: 'x' }), minute)
  }
  const count = async (query: object): Promise<number> => (await delayed.list({ ...query, max: 1000 })).messages.length
  assert.deepEqual(
    [await count({}), await count({ namespace: 'x' }), await count({ exchange: 'e' }), await count({ key: 'k0' })],
    [306, 6, 100, 156],
  )
  assert.equal(await count({ exchange: '', key: 'k1', namespace: '/' }), 100)
  assert.equal(await delayed.cancelAll({ namespace: 'x' }), 6)
  assert.equal(await delayed.cancelAll({ namespace: '/', exchange: 'e' }), 100)
  assert.equal(await delayed.cancelAll({ namespace: 'none' }), 0)
  assert.deepEqual(delayed.counts(), [{ namespace: '/', exchange: '', count: 200 }])
  await node.clock.advance(2 * minute)
  assert.equal(delayed.publishedCount, 200)
  await node.close()
})

test('a message that is being published can be cancelled or moved, or has gone: never both', async () => {
  const node = await startDelayed(memoryStores())
  await node.queues.declare('/', 'q')
  const random = new Random(seed)
  const ids: string[] = []
  for (let number = 0; number < 200; number++) ids.push(await wait(node, later('', 'q', `m${number}`), 1000))
  const passing = node.clock.advance(1000)
  const results: Promise<boolean | string | undefined>[] = []
  for (const id of ids) {
    if (random.chance(0.2)) await turns(1)
    const moved = (): Promise<string | undefined> => node.delayed.reschedule(id, node.clock.nowMs() + minute)
    results.push(random.chance(0.5) ? node.delayed.cancel(id) : moved())
  }
  const answers = await Promise.all(results)
  await passing
  await turns(50)
  const published = new Set(await texts(node, 'q'))
  for (const [number, answer] of answers.entries()) {
    assert.equal(published.has(`m${number}`), answer === false || answer === undefined, `m${number} ${String(answer)}`)
  }
  const moved = answers.filter(answer => typeof answer === 'string')
  assert.equal(node.delayed.count, moved.length)
  await node.clock.advance(minute)
  assert.equal((await texts(node, 'q')).length, published.size + moved.length)
  await node.close()
})

test('on a full disk nothing is taken nor lost, and what is due is published when there is room', async () => {
  const stores = memoryStores()
  const node = await startDelayed(stores)
  await node.queues.declare('/', 'q')
  const id = await wait(node, later('', 'q', 'a'), 1000)
  Object.assign(stores.chain, { full: true })
  assert.equal(node.delayed.post(later('', 'q', 'b'), 1000).error, 'storage-full')
  assert.equal(node.delayed.post(later('', 'q', 'b'), day).error, 'storage-full')
  await assert.rejects(node.delayed.reschedule(id, 0), refusal('storage-full'))
  await node.clock.advance(5000)
  assert.deepEqual([await texts(node, 'q'), node.delayed.count], [[], 1])
  Object.assign(stores.chain, { full: false })
  await node.clock.advance(5000)
  assert.deepEqual([await texts(node, 'q'), node.delayed.count], [['a'], 0])
  await node.close()
})

test('on a full disk, what is due is not given again and again to those that need no disk', async () => {
  const stores = memoryStores()
  const node = await startDelayed(stores)
  const { router, queues } = node
  await queues.declare('/', 'stored')
  await queues.declare('/', 'in-memory', new Map(), { isDurable: false })
  const live: string[] = []
  for (const destination of ['stored', 'in-memory'])
    await router.bind('/', { source: subjectExchange, kind: 'queue', destination, key: 'a' })
  router.attach('/', { take: ({ message }) => void live.push(String(message.value)) }).bind(subjectExchange, 'a')
  for (const isTransient of [false, true]) {
    const { message, ...rest } = later(subjectExchange, 'a', String(isTransient))
    await wait(node, { ...rest, message: { ...message, isTransient } }, 1000)
  }
  Object.assign(stores.chain, { full: true })
  await node.clock.advance(5000)
  assert.deepEqual([live, queues.get('/', 'in-memory')?.readyCount, node.delayed.count], [[], 0, 2])
  Object.assign(stores.chain, { full: false })
  await node.clock.advance(5000)
  assert.deepEqual([live, queues.get('/', 'in-memory')?.readyCount, node.delayed.count], [['false', 'true'], 2, 0])
  await node.close()
})

/** Segments that are damaged for some time. */
class RottenBlobs extends MemoryBlobStore {
  readonly rotten = new Set<string>()

  /** Those that there are now. */
  async rot(): Promise<void> {
    for (const { name } of await this.list('')) if (name.includes('/s/')) this.rotten.add(name)
  }

  override async read(name: string, position: number, target: Buffer): Promise<number | null> {
    const count = await super.read(name, position, target)
    if (this.rotten.has(name)) target.writeUInt8((target.at(-1) ?? 0) ^ 1, target.length - 1)
    return count
  }
}

test('a message that cannot be read is told of, and keeps others from being published for a while only', async () => {
  const blobs = new RottenBlobs()
  const stores = { ...memoryStores(), blobs }
  let node = await startDelayed(stores)
  await node.queues.declare('/', 'q')
  const id = await wait(node, later('', 'q', 'lost'), hour)
  await node.close()
  node = await startDelayed(stores, node.clock)
  await blobs.rot()
  await wait(node, later('', 'q', 'sound'), hour + second)
  await assert.rejects(node.delayed.get(id), refusal('storage-corrupt'))
  await node.clock.advance(hour + second)
  assert.equal(node.delayed.count, 2)
  for (let left = 8; left > 0; left--) {
    await node.clock.advance(10 * second)
    await turns()
  }
  assert.deepEqual(await texts(node, 'q'), ['sound'])
  assert.equal(node.told.length, 2)
  assert.match(node.told[0] ?? '', new RegExp(`^error .*${id} cannot be read`))
  assert.match(node.told[1] ?? '', new RegExp(`^error .*${id} is lost`))
  await node.kill()
})

test('a message that cannot be read for a moment is published', async () => {
  const blobs = new RottenBlobs()
  const stores = { ...memoryStores(), blobs }
  let node = await startDelayed(stores)
  await node.queues.declare('/', 'q')
  await wait(node, later('', 'q', 'first'), hour)
  await wait(node, later('', 'q', 'second'), hour + 1)
  await node.close()
  node = await startDelayed(stores, node.clock)
  await blobs.rot()
  await node.clock.advance(hour + second)
  await turns()
  assert.equal(node.delayed.count, 2)
  blobs.rotten.clear()
  for (let left = 4; left > 0; left--) {
    await node.clock.advance(10 * second)
    await turns()
  }
  assert.deepEqual(await texts(node, 'q'), ['first', 'second'])
  assert.equal(node.delayed.count, 0)
  await node.kill()
})

test('an index that cannot be read holds its volume back, and no other', async () => {
  const blobs = new RottenBlobs()
  const stores = { ...memoryStores(), blobs }
  let node = await startDelayed(stores, new WallClock(), { sizes: small })
  await node.queues.declare('/', 'q')
  for (let number = 0; number < 100; number++) node.delayed.post(later('', 'q', `m${number}`), hour + number)
  await turns()
  await node.close()
  node = await startDelayed(stores, node.clock, { sizes: small })
  await blobs.rot()
  await wait(node, later('', 'q', 'other'), 2 * minute)
  await assert.rejects(node.delayed.list({ max: 1000 }), refusal('storage-corrupt'))
  await node.clock.advance(hour + second)
  await turns(50)
  assert.deepEqual(await texts(node, 'q'), ['other'])
  assert.equal(node.told.length, 1)
  blobs.rotten.clear()
  await node.kill()
  node = await startDelayed(stores, node.clock, { sizes: small })
  await node.clock.advance(second)
  assert.equal((await texts(node, 'q')).length, 101)
  assert.equal(node.delayed.count, 0)
  await node.close()
})

test('a wall clock that is set back keeps nothing waiting, and one that is set forward makes it due', async () => {
  const node = await startDelayed(memoryStores())
  const { clock, delayed } = node
  await node.queues.declare('/', 'q')
  await wait(node, later('', 'q', 'a'), 10 * second)
  clock.aheadMs -= day
  await wait(node, later('', 'q', 'b'), 12 * second)
  await clock.advance(10 * second)
  assert.deepEqual(await texts(node, 'q'), ['a'])
  await clock.advance(2 * second)
  assert.deepEqual(await texts(node, 'q'), ['a', 'b'])
  await wait(node, later('', 'q', 'c'), hour)
  clock.aheadMs += day + hour
  await clock.advance(5 * second)
  assert.deepEqual([await texts(node, 'q'), delayed.count], [['a', 'b', 'c'], 0])
  await node.close()
})
