import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { Authorizer, type Policy } from './authorizer.ts'
import {
  clusterName,
  effects,
  operations,
  patterns,
  type Effect,
  type Operation,
  type ResourceKind,
  type Rule,
} from './permissions.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

class TestPolicy implements Policy {
  version = 0
  isEnforced = true
  withoutRule: Effect = 'deny'
  rules: Rule[] = []
  supers = new Set<string>()
  absent = new Set<string>()
  refused = 0
  isSuper = (principal: string): boolean => this.supers.has(principal)
  isPresent = (principal: string): boolean => !this.absent.has(principal)
  standingInNamespaces = (): 'asked' => 'asked'
  denied = (): void => void this.refused++

  set(...rules: Partial<Rule>[]): void {
    this.rules = rules.map(rule => ({ ...allowed, ...rule }))
    this.version++
  }
}

const allowed: Rule = {
  namespace: '/',
  kind: 'topic',
  pattern: 'literal',
  name: 'orders',
  principal: 'ann',
  host: '*',
  operation: 'read',
  effect: 'allow',
}

function bench(...rules: Partial<Rule>[]): {
  policy: TestPolicy
  may(operation: Operation, name?: string, kind?: ResourceKind, principal?: string, host?: string): boolean
} {
  const policy = new TestPolicy()
  policy.set(...rules)
  const authorizer = new Authorizer(policy)
  return {
    policy,
    may: (operation, name = 'orders', kind = 'topic', principal = 'ann', host = '10.0.0.1') =>
      authorizer.access(principal, host).may(operation, kind, name),
  }
}

test('nobody may do anything without a rule, but where that is the policy, and super users', () => {
  const { policy, may } = bench()
  assert.equal(may('read'), false)
  policy.supers.add('ann')
  assert.equal(may('read'), true)
  assert.equal(may('alter', clusterName, 'cluster'), true)
  policy.supers.clear()
  policy.withoutRule = 'allow'
  policy.version++
  assert.equal(may('read'), true)
  // A rule about the topic, even about somebody else, ends that.
  policy.set({ principal: 'bob' })
  assert.equal(may('read'), false)
  assert.equal(may('read', 'other'), true)
  policy.isEnforced = false
  policy.version++
  assert.equal(may('read'), true)
})

test('what denies wins over what allows', () => {
  const { may } = bench({ operation: 'all' }, { operation: 'write', effect: 'deny', principal: '*' })
  assert.equal(may('read'), true)
  assert.equal(may('write'), false)
  assert.equal(may('describe'), true)
})

test('who may read, write, delete or alter may describe; who may alter configurations may see them', () => {
  for (const operation of ['read', 'write', 'delete', 'alter'] as const) {
    const { may } = bench({ operation })
    assert.equal(may('describe'), true, operation)
    assert.equal(may('describe-configs'), false, operation)
  }
  assert.equal(bench({ operation: 'alter-configs' }).may('describe-configs'), true)
  assert.equal(bench({ operation: 'create' }).may('describe'), false)
  // To forbid reading does not forbid looking.
  const { may } = bench({ operation: 'write' }, { operation: 'read', effect: 'deny' })
  assert.equal(may('describe'), true)
  assert.equal(may('read'), false)
})

test('names match as they are, by their beginning, or all of them', () => {
  const { may } = bench({ name: 'logs-', pattern: 'prefix' }, { name: '*', operation: 'write' })
  assert.equal(may('read', 'logs-a'), true)
  assert.equal(may('read', 'logs-'), true)
  assert.equal(may('read', 'logs'), false)
  assert.equal(may('read', '*'), false)
  assert.equal(may('write', 'anything'), true)
  assert.equal(may('write', 'anything', 'group'), false)
  // A prefix that looks like the word for all is one letter.
  assert.equal(bench({ name: '*', pattern: 'prefix' }).may('read', 'orders'), false)
})

test('a rule is for its host and its namespace alone', () => {
  const { may, policy } = bench({ host: '10.0.0.1' })
  assert.equal(may('read'), true)
  assert.equal(may('read', 'orders', 'topic', 'ann', '10.0.0.2'), false)
  const authorizer = new Authorizer(policy)
  assert.equal(authorizer.access('ann', '10.0.0.1', 'other').may('read', 'topic', 'orders'), false)
})

test('answers are remembered until something changes, and refusals are told once', () => {
  const policy = new TestPolicy()
  const access = new Authorizer(policy).access('ann', 'h')
  for (let time = 0; time < 3; time++) assert.equal(access.may('read', 'topic', 'orders'), false)
  assert.equal(policy.refused, 1)
  policy.set({})
  assert.equal(access.may('read', 'topic', 'orders'), true)
  policy.set()
  assert.equal(access.may('read', 'topic', 'orders'), false)
})

test('what is remembered is bounded, and answers stay right', () => {
  const policy = new TestPolicy()
  policy.set({ name: 'a', pattern: 'prefix' })
  const access = new Authorizer(policy).access('ann', 'h')
  for (let index = 0; index < 25_000; index++) {
    assert.equal(access.may('read', index % 2 ? 'topic' : 'group', `a${index}`), index % 2 === 1)
  }
  const long = `a${'x'.repeat(1000)}`
  assert.equal(access.may('read', 'topic', long), true)
  assert.equal(access.may('write', 'topic', long), false)
  assert.equal(access.mayAny('read', 'topic'), true)
  policy.set()
  assert.equal(access.mayAny('read', 'topic'), false)
  assert.equal(access.may('read', 'topic', long), false)
})

test('who is gone may do nothing, not even as a super user', () => {
  const { policy, may } = bench({ operation: 'all' })
  policy.supers.add('ann')
  policy.absent.add('ann')
  assert.equal(may('read'), false)
})

test('mayAny finds a right that is not wholly taken back', () => {
  const any = (...rules: Partial<Rule>[]): boolean => {
    const policy = new TestPolicy()
    policy.set(...rules)
    return new Authorizer(policy).access('ann', 'h').mayAny('read', 'topic')
  }
  const deny = { effect: 'deny' } as const
  assert.equal(any(), false)
  assert.equal(any({}), true)
  assert.equal(any({}, { ...deny }), false)
  assert.equal(any({}, { ...deny, name: 'or', pattern: 'prefix' }), false)
  assert.equal(any({}, { ...deny, name: 'x', pattern: 'prefix' }), true)
  assert.equal(any({ name: 'or', pattern: 'prefix' }, { ...deny }), true)
  assert.equal(any({ name: '*' }, { ...deny, name: '*', operation: 'all' }), false)
  assert.equal(any({ operation: 'write' }), false)
})

/** The same by reading all rules each time. */
function slowly(policy: TestPolicy, principal: string, host: string, operation: Operation, name: string): boolean {
  const about = policy.rules.filter(rule => {
    if (rule.kind !== 'topic') return false
    return rule.pattern === 'prefix' ? name.startsWith(rule.name) : rule.name === name || rule.name === '*'
  })
  const mine = about.filter(rule => {
    return [principal, '*'].includes(rule.principal) && [host, '*'].includes(rule.host)
  })
  const isDenied = mine.some(({ effect, operation: of }) => effect === 'deny' && [operation, 'all'].includes(of))
  const implying: (Operation | 'all')[] = [operation, 'all']
  if (operation === 'describe') implying.push('read', 'write', 'delete', 'alter')
  if (operation === 'describe-configs') implying.push('alter-configs')
  const isAllowed = mine.some(({ effect, operation: of }) => effect === 'allow' && implying.includes(of))
  return !isDenied && (isAllowed || (about.length === 0 && policy.withoutRule === 'allow'))
}

test(`the authorizer answers as reading all rules does (SEED=${seed})`, () => {
  const random = new Random(seed)
  const names = ['a', 'ab', 'abc', 'b', 'ba', '']
  const policy = new TestPolicy()
  const authorizer = new Authorizer(policy)
  const accesses = ['ann', 'bob'].flatMap(user => ['h1', 'h2'].map(host => authorizer.access(user, host)))
  for (let round = 0; round < 200; round++) {
    policy.withoutRule = random.pick(effects)
    policy.set(
      ...Array.from({ length: random.below(8) }, () => ({
        kind: random.pick(['topic', 'topic', 'group'] as const),
        pattern: random.pick(patterns),
        name: random.pick([...names.slice(0, 5), '*']),
        principal: random.pick(['ann', 'bob', '*']),
        host: random.pick(['h1', '*']),
        operation: random.pick(['all', ...operations] as const),
        effect: random.pick(effects),
      })),
    )
    for (let question = 0; question < 40; question++) {
      const access = random.pick(accesses)
      const operation = random.pick(operations)
      const name = random.pick(names)
      const { principal, host } = access
      const words = `${principal} ${host} ${operation} ${name} ${JSON.stringify(policy.rules)}`
      assert.equal(access.may(operation, 'topic', name), slowly(policy, principal, host, operation, name), words)
    }
  }
})
