import { BrokerError, type ErrorCode } from '../errors.ts'
import type { Delayed } from '../delayed/delayed.ts'
import type { Schedules } from '../delayed/schedules.ts'
import type { Queues } from '../queues/queues.ts'
import { predeclared } from '../routing/exchange.ts'
import type { Router } from '../routing/router.ts'
import type { Topics } from '../topics.ts'
import type { NamespaceContent } from './namespaces.ts'

interface Parts {
  readonly topics: Pick<Topics, 'list' | 'remove'>
  readonly queues: Pick<Queues, 'list' | 'remove'>
  readonly router: Pick<Router, 'list' | 'bindings' | 'remove' | 'unbind'>
  readonly delayed: Pick<Delayed, 'cancelAll'>
  readonly schedules: Pick<Schedules, 'list' | 'remove'>
  readonly retained: { removeSome(namespace: string): boolean }
  readonly values: { removeSome(namespace: string): boolean }
  readonly sessions: { removeSome(namespace: string): boolean }
  readonly policies: { forgetNamespace(namespace: string): Promise<void> }
  readonly identity: { forgetNamespace(namespace: string): Promise<void> }
}

/** Of one kind, removed together. */
const removedAtOnce = 256

/** What namespaces contain, in the order in which it is removed: queues and topics take the bindings to them along. */
export function namespaceContents(parts: Parts): NamespaceContent[] {
  const { topics, queues, router, delayed, schedules, retained, values, sessions, policies, identity } = parts
  return [
    { removeSome: namespace => Promise.resolve(sessions.removeSome(namespace)) },
    { removeSome: namespace => Promise.resolve(retained.removeSome(namespace)) },
    { removeSome: namespace => Promise.resolve(values.removeSome(namespace)) },
    {
      removeSome: namespace =>
        some(queues.list(namespace), 'queue-not-found', ({ definition: { name } }) => queues.remove(namespace, name)),
    },
    {
      removeSome: namespace => some(topics.list(namespace), 'topic-not-found', of => topics.remove(namespace, of.name)),
    },
    {
      removeSome: namespace => {
        const exchanges = router.list(namespace).filter(({ name }) => !predeclared.has(name))
        return some(exchanges, 'exchange-not-found', ({ name }) => router.remove(namespace, name))
      },
    },
    // Those between exchanges that every namespace has.
    {
      removeSome: namespace =>
        some(router.bindings(namespace), 'exchange-not-found', binding => router.unbind(namespace, binding)),
    },
    {
      removeSome: namespace => {
        const all = schedules.list(namespace)
        return some(all, 'request-invalid', ({ name }) => schedules.remove(namespace, name))
      },
    },
    { removeSome: namespace => delayed.cancelAll({ namespace }).then(() => false) },
    { removeSome: namespace => policies.forgetNamespace(namespace).then(() => false) },
    { removeSome: namespace => identity.forgetNamespace(namespace).then(() => false) },
  ]
}

/** Removes the first of them; `gone` is the refusal of what another has removed meanwhile. Resolves with whether there were any. */
async function some<T>(all: readonly T[], gone: ErrorCode, remove: (one: T) => Promise<unknown>): Promise<boolean> {
  const removals = all.slice(0, removedAtOnce).map(one =>
    remove(one).catch((error: unknown) => {
      if (!(error instanceof BrokerError) || error.code !== gone) throw error
    }),
  )
  await Promise.all(removals)
  return removals.length > 0
}
