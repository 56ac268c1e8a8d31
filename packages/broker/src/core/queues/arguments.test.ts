import assert from 'node:assert/strict'
import test from 'node:test'
import type { Header, HeaderValue } from '../message.ts'
import { checkTopicConfig } from '../topic-config.ts'
import {
  argumentDifference,
  argumentProblem,
  queueArguments,
  queueSettings,
  queueTypeOf,
  topicArguments,
  topicSettings,
} from './arguments.ts'
import { differenceOf, queueConfig } from './queue-config.ts'

const list = (given: Record<string, HeaderValue>): Header[] =>
  Object.entries(given).map(([name, value]) => ({ name, value }))

const whole: Record<string, HeaderValue> = {
  'x-queue-type': 'quorum',
  'x-expires': 60_000n,
  'x-message-ttl': 0n,
  'x-dead-letter-exchange': '',
  'x-dead-letter-routing-key': 'dead',
  'x-dead-letter-strategy': 'at-least-once',
  'x-max-length': 10n,
  'x-max-length-bytes': 2n ** 40n,
  'x-overflow': 'reject-publish',
  'x-single-active-consumer': true,
  'x-delivery-limit': 0n,
  'x-queue-mode': 'lazy',
  'x-queue-version': 2n,
  'x-max-in-memory-length': 1n,
  'x-max-in-memory-bytes': 1n,
  'x-quorum-initial-group-size': 3n,
  'x-queue-leader-locator': 'balanced',
  'x-queue-master-locator': 'min-masters',
}

test('queueSettings: every argument is a setting or a hint, and is told again', () => {
  const settings = queueSettings(list(whole))
  assert.deepEqual(queueArguments(settings), list(whole))
  const config = queueConfig(settings)
  assert.equal(config.expiresMs, 60_000)
  assert.equal(config.deadLetterExchange, '')
  // It may come back never, hence is given out once.
  assert.equal(config.deliveryLimit, 1)
  assert.equal(config.singleActiveConsumer, true)
})

test('queueSettings: what means the same is kept alike', () => {
  assert.equal(queueSettings(list({ 'x-queue-type': 'classic', 'x-delivery-limit': -1n })).size, 0)
})

test('queueSettings: what nobody knows is told again if it is small, and makes no difference', () => {
  const strange = { 'x-strange': 1n, team: 'orders', flag: true, list: [1n], long: 'x'.repeat(300) }
  const settings = queueSettings(list(strange))
  queueConfig(settings)
  const told = list({ 'x-strange': 1n, team: 'orders', flag: true })
  assert.deepEqual(queueArguments(settings), told)
  assert.equal(argumentDifference(told, []), undefined)
  const many = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`name${index}`, 'x'.repeat(100)]))
  queueConfig(queueSettings(list(many)))
})

test('topicSettings: a stream keeps everything, but for what arguments bound', () => {
  assert.deepEqual([...topicSettings(list({ 'x-queue-type': 'stream' }))], [['retentionMs', '-1']])
  const given = { 'x-queue-type': 'stream', 'x-max-length-bytes': 5n, 'x-max-age': '1h', 'x-initial-cluster-size': 1n }
  const settings = topicSettings(list(given))
  checkTopicConfig(settings)
  assert.equal(settings.get('retentionMs'), '3600000')
  assert.deepEqual(topicArguments(settings), list({ ...given, 'x-max-age': '3600s' }))
  assert.deepEqual(topicArguments(new Map([['retentionMs', '-1']])), list({ 'x-queue-type': 'stream' }))
  assert.equal(queueTypeOf(list(given)), 'stream')
})

for (const [name, value, pattern] of [
  ['x-message-ttl', -1n, /value_negative/],
  ['x-message-ttl', 'soon', /expected an integer/],
  ['x-message-ttl', 2n ** 32n, /value_too_large/],
  ['x-expires', 0n, /value_zero/],
  ['x-max-priority', 256n, /value_too_large/],
  ['x-dead-letter-routing-key', 'k', /no_dlx/],
  ['x-overflow', 'spill', /expected one of drop-head/],
  ['x-queue-type', 'fast', /expected one of classic/],
  ['x-single-active-consumer', 1n, /expected a boolean/],
  ['x-max-age', '7D', /does not take it/],
] as const) {
  test(`argumentProblem: ${name} does not take ${String(value)}`, () => {
    const problem = argumentProblem(list({ [name]: value }))
    assert.equal(problem?.name, name)
    assert.match(problem.text, pattern)
  })
}

test('argumentProblem: a stream has arguments of its own', () => {
  const stream = { 'x-queue-type': 'stream' }
  assert.equal(argumentProblem(list({ ...stream, 'x-max-age': '7D' })), undefined)
  assert.match(argumentProblem(list({ ...stream, 'x-max-age': '7' }))?.text ?? '', /invalid_max_age/)
  assert.match(argumentProblem(list({ ...stream, 'x-expires': 1n }))?.text ?? '', /stream does not take it/)
})

test('argumentDifference: names the first that differs, also when one is not there', () => {
  assert.equal(argumentDifference(list(whole), list({ ...whole })), undefined)
  const without = list(whole).filter(({ name }) => name !== 'x-max-length')
  assert.deepEqual(argumentDifference(list(whole), without), { name: 'x-max-length', values: [10n, undefined] })
})

test('queueConfig: hints are kept, compared and bounded', () => {
  const hint = (name: string, text: string): Map<string, string> => new Map([[`hint.${name}`, text]])
  assert.equal(differenceOf(hint('a', '1'), hint('a', '1')), undefined)
  assert.deepEqual(differenceOf(hint('a', '1'), new Map()), { name: 'hint.a', values: ['1', undefined] })
  assert.throws(() => queueConfig(hint('a', 'x'.repeat(255))), /hints/)
  const many = Array.from({ length: 33 }, (_, index) => [`hint.${index}`, ''] as const)
  assert.throws(() => queueConfig(new Map(many)), /hints/)
})
