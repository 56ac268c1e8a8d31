import assert from 'node:assert/strict'
import test from 'node:test'
import { bindingOf, Filter, isFilter, isTopicName, sharedOf, swapped } from './topics.ts'

test('a filter matches as the specification has it', () => {
  const rows: [filter: string, topic: string, matches: boolean][] = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/tennis/player1/#', 'sport/tennis/player11', false],
    ['sport/#', 'sport', true],
    ['sport/#', 'sports', false],
    ['#', 'a/b/c', true],
    ['#', '/', true],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['$SYS/+', '$SYS/a', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['+', 'finance', true],
    ['a/+/c', 'a//c', true],
    ['a/b', 'a/b', true],
    ['a/b', 'a/B', false],
    ['a/*', 'a/b', false],
    ['+/b/#', 'a/b', true],
  ]
  for (const [filter, topic, matches] of rows)
    assert.equal(new Filter(filter).matches(topic), matches, `${filter} ${topic}`)
})

test('names of topics and filters are told from what is none', () => {
  for (const filter of ['a', '/', '+', '#', '+/+/#', 'a/+/b', 'a//b', '$share']) assert(isFilter(filter), filter)
  for (const filter of ['', 'a#', 'a/#/b', '#/a', 'a+', 'a/b+', '+a/b', 'x'.repeat(65_536)])
    assert(!isFilter(filter), filter.slice(0, 9))
  for (const topic of ['', '+', 'a/#']) assert(!isTopicName(topic), topic)
  assert.deepEqual(sharedOf('$share/g/a/+'), { group: 'g', filter: 'a/+' })
  assert.equal(sharedOf('a/$share/b'), undefined)
  for (const filter of ['$share/g', '$share//a', '$share/g/', '$share/+/a', '$share/g#/a', '$share'])
    assert.equal(sharedOf(filter), 'invalid', filter)
})

test('a topic is a key with dots for slashes, and the other way round', () => {
  const rows = [
    ['a/b/c', 'a.b.c'],
    ['a.b/c', 'a/b.c'],
    ['/', '.'],
    ['plain', 'plain'],
    ['ä/€', 'ä.€'],
  ] as const
  for (const [topic, key] of rows) assert.deepEqual([swapped(topic), swapped(key)], [key, topic])
  assert.deepEqual(bindingOf('a/+/#'), { key: 'a.*.#', pattern: 'binding' })
  assert.deepEqual(bindingOf('a/*'), { key: 'a.*', pattern: 'literal' })
  assert.deepEqual(bindingOf('a.b/+'), { key: 'a/b.*', pattern: 'binding' })
})
