import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { Refusal } from './errors.ts'
import { listing, shownOf, withColumns } from './listing.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test(`a page that is cut before its items are made is the page of all items (SEED=${seed})`, () => {
  const random = new Random(seed)
  const names = ['a', 'B', 'b', 'c.1', 'c.2', 'ä', '/']
  for (let round = 0; round < 500; round++) {
    const items = Array.from({ length: random.below(40) }, (_, index) => ({
      ...{ vhost: random.pick(['/', 'v', 'w']), name: `${random.pick(names)}${index}` },
    }))
    const query = new URLSearchParams({ page: String(random.between(1, 4)), page_size: String(random.between(1, 12)) })
    if (random.below(2) === 0) query.set('sort', random.pick(['name', 'vhost', '']))
    if (random.below(2) === 0) query.set('sort_reverse', random.pick(['true', 'false']))
    if (random.below(2) === 0) query.set('name', random.pick(['b', 'c.', '1$', '^a']))
    if (random.below(2) === 0) query.set('use_regex', 'true')
    const outcome = (run: () => unknown): unknown => {
      try {
        return run()
      } catch (error) {
        assert(error instanceof Refusal)
        return error.message
      }
    }
    const whole = outcome(() => listing(items, query, { sort: ['vhost', 'name'], paginates: true }))
    const early = outcome(() => {
      const { shown, page } = shownOf(items, query)
      return { ...page, items: shown }
    })
    assert.deepEqual(early, whole, query.toString())
  }
})

test('sorting by what only whole items have needs all of them', () => {
  const items = [1, 2, 3].map(index => ({ vhost: '/', name: `q${index}` }))
  assert.deepEqual(shownOf(items, new URLSearchParams('page=1&sort=messages')), { shown: items })
  assert.deepEqual(shownOf(items, new URLSearchParams('')), { shown: items })
})

test('columns lead into objects and lists', () => {
  const item = { a: 1, b: { c: 2, d: [{ e: 3, f: 4 }] } }
  assert.deepEqual(withColumns(item, 'a'), { a: 1 })
  assert.deepEqual(withColumns(item, 'b.c'), { b: { c: 2 } })
  assert.deepEqual(withColumns(item, 'b.d.f,b.c'), { b: { c: 2, d: [{ f: 4 }] } })
  assert.deepEqual(withColumns(item, 'b.d.f,b'), { b: item.b })
  assert.deepEqual(withColumns(item, 'none,__proto__.x'), {})
  assert.deepEqual(withColumns([item, 5, null], 'a'), [{ a: 1 }, 5, null])
})

test('numbers come before texts, and what is missing before both', () => {
  const items = [{ name: 'b', n: 'x' }, { name: 'c', n: 10 }, { name: 'a', n: 9 }, { name: 'd' }]
  const sorted = listing(items, new URLSearchParams('sort=n'), { sort: ['name'], paginates: false }) as {
    name: string
  }[]
  assert.deepEqual(
    sorted.map(({ name }) => name),
    ['d', 'a', 'c', 'b'],
  )
})
