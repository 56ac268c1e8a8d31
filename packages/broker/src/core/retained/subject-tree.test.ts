import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { SubjectTree } from './subject-tree.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

function matches(pattern: readonly string[], key: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return key.length === 0
  if (first === '#') return matches(rest, key) || (key.length > 0 && matches(pattern, key.slice(1)))
  return key.length > 0 && (first === '*' || first === key[0]) && matches(rest, key.slice(1))
}

test(`patterns find what they match, each once (SEED=${seed})`, () => {
  const random = new Random(seed)
  const tree = new SubjectTree<string>()
  const model = new Set<string>()
  const words = (from: readonly string[]): string =>
    Array.from({ length: 1 + random.below(4) }, () => random.pick(from)).join('.')
  for (let step = 0; step < 2000; step++) {
    const key = words(['a', 'b', '', 'c'])
    if (random.chance(0.6)) {
      tree.set(key, key)
      model.add(key)
    } else {
      tree.delete(key)
      model.delete(key)
    }
    assert.equal(tree.get(key), model.has(key) ? key : undefined)
    const pattern = words(['a', 'b', '', '*', '#', '#'])
    const expected = [...model].filter(each => matches(pattern.split('.'), each.split('.')))
    assert.deepEqual(tree.match(pattern).toSorted(), expected.toSorted(), pattern)
  }
  for (const key of model) tree.delete(key)
  assert.deepEqual(tree.match('#'), [])
})
