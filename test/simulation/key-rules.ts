import type { BrokenRule } from './broken-rules.ts'

/** What keeps the promises of values by their keys, broken one at a time. */
export const brokenKeyRules: Record<string, BrokenRule> = {
  'a command is answered before it is durable': {
    file: 'protocols/resp/answers.ts',
    find: 'if (this.#segments.length === 0 && seq <= this.#broker.cell.position) {',
    replace: 'if (this.#segments.length === 0) {',
  },
  'a command that waited for elements is carried out twice': {
    file: 'core/lists/elements.ts',
    find: 'if (!this.#isReading) this.#next()',
    replace: 'if (this.#loads.length === 1) this.#next()',
  },
  'the end at which elements were pushed is not in checkpoints': {
    file: 'core/lists/order.ts',
    find: 'out.bool(step === 1)',
    replace: 'out.bool(true)',
  },
  'what was read for one command is the answer of another': {
    file: 'protocols/resp/streams/reading.ts',
    find: 'found = worked(request, () =>',
    replace: 'found = worked(client, () =>',
  },
  'who holds an entry is not in checkpoints': {
    file: 'core/entry-streams/pending.ts',
    find: 'out.uvarint(this.size)',
    replace: 'out.uvarint(0)\n    if (this.size >= 0) return',
  },
  'an acknowledged entry is not written down': {
    file: 'core/entry-streams/entry-group.ts',
    find: '    const before = pending.size\n    this.release(offsets)\n',
    replace: '    const before = pending.size + offsets.length\n',
  },
  'until when a value lasts is not written down': {
    file: 'core/values/keyed-values.ts',
    find: 'value: Buffer.from(value), expiresMs: expiresMs ?? 0 })',
    replace: 'value: Buffer.from(value), expiresMs: 0 })',
  },
  'until when keys last is not in checkpoints': {
    file: 'core/values/machine.ts',
    find: 'space.deadlines.set(key, from.i64())',
    replace: 'from.i64()',
  },
  'keys end before their time': {
    file: 'core/values/keyed-values.ts',
    find: 'if (expiresMs !== undefined && expiresMs <= this.#options.ledger.clock.nowMs())',
    replace: 'if (expiresMs !== undefined && expiresMs - 100 <= this.#options.ledger.clock.nowMs())',
  },
  'a transaction is carried out though what it watches has changed': {
    file: 'protocols/resp/commands/transactions.ts',
    find: '  if (isStale) {',
    replace: '  if (isStale && commands.length === 0) {',
  },
  'a transaction is several blocks': {
    file: 'protocols/resp/commands/transactions.ts',
    find: 'broker.ledger.atomic(() => {',
    replace: '[broker].forEach(() => {',
  },
  'a stream stays when its time has come': {
    file: 'core/values/endings.ts',
    find: 'if (topics.get(namespace, name)) topics',
    replace: "if (topics.get(namespace, '')) topics",
  },
  'a key with another name lasts for ever': {
    file: 'protocols/resp/commands/generic.ts',
    find: '      if (expiresMs !== undefined) broker.values.expire(keys.namespace, to, expiresMs)\n    })\n    keys.appeared(to)',
    replace: '    })\n    keys.appeared(to)',
  },
  'what has another name keeps the old one': {
    file: 'protocols/resp/keyspace.ts',
    find: '        const list = copy(from, to)\n        if (list) lists.clear(list)',
    replace: '        copy(from, to)',
  },
  'a lock is given to two': {
    file: 'protocols/resp/commands/strings.ts',
    find: "(condition === 'xx') === isThere",
    replace: "(condition === 'xx') === (isThere && !expiresMs)",
  },
  'a stream is trimmed to one entry less': {
    file: 'protocols/resp/streams/trimming.ts',
    find: 'const surplus = state.length - max',
    replace: 'const surplus = state.length - max + 1',
  },
  'who is not subscribed any more is told': {
    file: 'protocols/resp/pubsub.ts',
    find: '    fan.delete(listener)\n    if',
    replace: '    if',
  },
  'what was gathered for a channel waits for more': {
    file: 'protocols/resp/pubsub.ts',
    find: '    if (this.#gathering !== fan) {\n      this.flush()',
    replace: '    if (this.#gathering !== fan) {',
  },
}
