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
}
