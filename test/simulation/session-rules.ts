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
  'last messages of topics end before their time': {
    file: 'core/retained/retained.ts',
    find: 'expiresMs < 0 || expiresMs > nowMs)',
    replace: 'expiresMs < 0 || expiresMs > nowMs + 3_000)',
  },
  'a will is not the last message of its topic': {
    file: 'core/sessions/sessions.ts',
    find: 'else if (isRetained) retained.keep(namespace, key, message)',
    replace: "else if (isRetained && key === '') retained.keep(namespace, key, message)",
  },
  'who says goodbye counts as lost': {
    file: 'protocols/mqtt/session.ts',
    find: 'this.#leave(rest.reason !== reasons.success, expiryMs)',
    replace: 'this.#leave(true, expiryMs)',
  },
  'a will does not wait': {
    file: 'core/sessions/sessions.ts',
    find: 'if (will && delayMs === 0) this.#publishWill(state)',
    replace: 'if (will) this.#publishWill(state)',
  },
  'who was there when the broker stopped has said goodbye': {
    file: 'core/sessions/sessions.ts',
    find: 'if (state.leftMs < 0) this.leave(state, { expiryMs: state.expiryMs, isLost: true })\n        else',
    replace: 'if (state.leftMs < 0) this.leave(state, { expiryMs: state.expiryMs, isLost: false })\n        else',
  },
  'wills are not in checkpoints': {
    file: 'core/sessions/machine.ts',
    find: 'expiryMs, wills: will ? [will] : [] }',
    replace: 'expiryMs, wills: [] }',
  },
  'a published will is not written down': {
    file: 'core/sessions/sessions.ts',
    find: '      this.#write(sessionFacts.willSettled, willSettled, { id })\n',
    replace: '      void [willSettled, id]\n',
  },
  'what is not acknowledged is sent twice': {
    file: 'protocols/mqtt/outgoing.ts',
    find: 'statistics.sentBytes += bytes.length\n    outbox.write([bytes])',
    replace: 'statistics.sentBytes += bytes.length\n    outbox.write([bytes, bytes])',
  },
  'what waits for those who share a filter waits in memory': {
    file: 'protocols/mqtt/shares.ts',
    find: 'const isNewlyKept = member.isLasting && !isKept',
    replace: 'const isNewlyKept = member.isLasting && isKept',
  },
  'what those who share a filter have taken is given out again': {
    file: 'protocols/mqtt/outgoing.ts',
    find: '    this.#inFlight.delete(id)\n    entry.source?.subscription.ack(entry.source.offset)\n    this.#goOn()\n    return true',
    replace: '    this.#inFlight.delete(id)\n    this.#goOn()\n    return true',
  },
  'an identifier that a client may hold means another message': {
    file: 'protocols/mqtt/outgoing.ts',
    find: 'this.#cleared.add(id)\n    this.#host.release(id, reasons.success)',
    replace: 'this.#cleared.add(id)',
  },
}
