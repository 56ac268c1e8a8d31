import type { BrokenRule } from './broken-rules.ts'

/** What keeps the chain safe, broken one at a time. */
export const brokenChainRules: Record<string, BrokenRule> = {
  'R1 fences are deleted': {
    file: 'cell/checkpointer.ts',
    find: ' && !fences.has(seq)',
    replace: '',
  },
  'R2 no second look at the checkpoints': {
    file: 'storage/claim.ts',
    find: 'if (newest !== undefined && newest >= fence.seq) continue',
    replace: '',
  },
  'R3 a broken link is accepted': {
    file: 'storage/claim.ts',
    find: 'if (!sameLink(block.previous, head.link))',
    replace: 'if (block.seq < 0)',
  },
  'R4 an ambiguous answer counts as success': {
    file: 'storage/journal.ts',
    find: "if (result === 'ok') this.#settle",
    replace: "if (result !== 'exists') this.#settle",
  },
  'R4 a block of another writer counts as ours': {
    file: 'storage/journal.ts',
    find: 'found.writer === this.#writer && found.crc === crc',
    replace: 'found.seq === seq && crc !== -1',
  },
  'R5 acknowledged before it is durable': {
    file: 'storage/journal.ts',
    find: 'if (awaited <= this.#durableSeq) return run(argument)',
    replace: 'if (awaited <= this.#durableSeq + 1) return run(argument)',
  },
  'R6 blocks are deleted without a checkpoint': {
    file: 'cell/checkpointer.ts',
    find: 'const floor = this.#kept[0]!.seq',
    replace: 'const floor = this.#kept[0]!.seq + 100',
  },
}
