import type { BrokenRule } from './broken-rules.ts'

/** What keeps the promises of sessions and of last messages, broken one at a time. */
export const brokenSessionRules: Record<string, BrokenRule> = {
  'a message is acknowledged before it is durable': {
    file: 'protocols/mqtt/incoming.ts',
    find: 'if (seq < 0 && this.#acks.length === 0) return this.#tell(type, id, reason)',
    replace: 'if (this.#acks.length === 0) return this.#tell(type, id, reason)',
  },
  'what was sent exactly once is taken again': {
    file: 'core/sessions/machine.ts',
    find: 'received: bytesOf(received),',
    replace: 'received: bytesOf(new Set()),',
  },
  'what a client has taken comes again': {
    file: 'protocols/mqtt/outgoing.ts',
    find: 'whenDurable(seq, () => release(id, reasons.success))',
    replace: 'if (seq >= -1) release(id, reasons.success)',
  },
  'numbers that are not released are used again': {
    file: 'core/sessions/machine.ts',
    find: 'taken: bytesOf(taken),',
    replace: 'taken: bytesOf(new Set()),',
  },
  'subscriptions are not in checkpoints': {
    file: 'core/sessions/machine.ts',
    find: 'subscriptions: Array.from(subscriptions, ([filter, options]) => ({ filter, options })),',
    replace: 'subscriptions: Array.from(subscriptions, ([filter, options]) => ({ filter, options })).slice(1),',
  },
  'last messages of topics are not in checkpoints': {
    file: 'core/retained/machine.ts',
    find: 'kept: [...this.byOffset.values()]',
    replace: 'kept: [...this.byOffset.values()].slice(1)',
  },
}
