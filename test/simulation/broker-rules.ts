import type { BrokenRule } from './broken-rules.ts'

/** What keeps a broker's promises on a disk, broken one at a time. */
export const brokenBrokerRules: Record<string, BrokenRule> = {
  'the sync of the journal is skipped': {
    file: 'storage/file-chain.ts',
    find: "const file = await this.#patiently(() => disk.open(path, spare ? 'write' : 'create', { dsync }))",
    replace:
      "const file = await this.#patiently(() => disk.open(path, spare ? 'write' : 'create', { dsync: false && dsync }))",
  },
  'acknowledged before it is durable': {
    file: 'cell/local-client.ts',
    find: 'cell.whenDurable(seq, done, {',
    replace: 'done({',
  },
  'a torn block is accepted': {
    file: 'storage/block.ts',
    find: 'crc32c(bytes, blockHeaderBytes, bytes.length, crc32c(bytes, 0, 92)) !== crc',
    replace: 'crc === -1',
  },
  'segments are not synced': {
    file: 'storage/file-store.ts',
    find: '        await file.sync()\n        await close()',
    replace: '        await close()',
  },
  'large batches are not synced': {
    file: 'storage/file-store.ts',
    find: '{ dsync: this.#dsync }',
    replace: '{ dsync: false && this.#dsync }',
  },
  'a block is written before the large batches that it tells of': {
    file: 'storage/journal.ts',
    find: 'if (required) void',
    replace: 'if (required && block.seq < 0) void',
  },
  'the name of a journal file is not synced': {
    file: 'storage/file-chain.ts',
    find: '    await disk.syncDirectory(this.#directory)\n    return {',
    replace: '    return {',
  },
  'visible before it is durable': {
    file: 'cell/stream.ts',
    find: 'this.tail.get(row, tail.seq) <= seq',
    replace: 'this.tail.get(row, tail.seq) <= seq + 5',
  },
  'the offsets of a transaction are not in the block of its end': {
    file: 'core/transactions/transactions.ts',
    find: 'for (const group of record.groups) this.#groups.endPending({ namespace, group }, producerId, isCommitted)',
    replace:
      'for (const group of record.groups) this.#ledger.clock.after(1, () => this.#groups.endPending({ namespace, group }, producerId, isCommitted))',
  },
  'aborted transactions are not saved': {
    file: 'cell/stream-transactions.ts',
    find: 'out.u32(this.#aborted.count)\n    for (let row = 0; row < this.#aborted.count; row++) {',
    replace: 'out.u32(0)\n    for (let row = 0; row < 0; row++) {',
  },
  'compaction drops the newest record of a key': {
    file: 'cell/compaction-filter.ts',
    find: 'keys.get(records) > offset',
    replace: 'keys.get(records) >= offset',
  },
  'compaction takes an aborted record for the newest of its key': {
    file: 'cell/compactor.ts',
    find: '|| isAborted(stream, batch)) continue',
    replace: '|| isAborted(stream, batch) === undefined) continue',
  },
  'repeated sequences are taken again': {
    file: 'cell/local-client.ts',
    find: 'if (producer >= 0) {',
    replace: 'if (producer < -1) {',
  },
  'blocks are dropped without a checkpoint': {
    file: 'cell/checkpointer.ts',
    find: 'const floor = this.#kept[0]!.seq',
    replace: 'const floor = this.#kept.at(-1)!.seq + 2',
  },
  'a checkpoint takes the state of a later block': {
    file: 'cell/checkpointer.ts',
    find: 'const seq = journal.cut()',
    replace: 'const seq = journal.cut() - 1',
  },
  'an accepted record is not written down': {
    file: 'core/cursor/cell-cursor.ts',
    find: "      this.#settleRanges(cursorFacts.acked, of('ack'))\n",
    replace: '',
  },
  'anybody may settle what somebody holds': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'if (this.#machine.holderOf(offset) !== consumer) return false',
    replace: 'if (this.#machine.holderOf(offset) === 0) return false',
  },
  'locks run out early': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'this.#host.leaseClockMs() + leaseMs',
    replace: 'this.#host.leaseClockMs() + leaseMs / 4',
  },
  'an accepted record is acknowledged before that is durable': {
    file: 'core/share/share-groups.ts',
    find: 'this.#options.ledger.whenDurable(seq, run, argument)',
    replace: 'run(argument)',
  },
  'a record is given up before its last delivery': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'deliveryCount >= this.deliveryLimit',
    replace: 'deliveryCount >= this.deliveryLimit - 1',
  },
  'a member may commit in an epoch of the past': {
    file: 'core/groups/memberships.ts',
    find: 'if (member.epoch === epoch) return undefined',
    replace: 'if (member.epoch >= epoch) return undefined',
  },
  'a partition goes to its next owner before it is given up': {
    file: 'core/groups/assigned/reconcile.ts',
    find: 'filterPartitions(missing, (topicId, partition) => input.isFree(topicId, partition))',
    replace: 'missing',
  },
}
