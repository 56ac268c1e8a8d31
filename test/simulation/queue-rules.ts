import type { BrokenRule } from './broken-rules.ts'

/** What keeps the promises of queues, broken one at a time. */
export const brokenQueueRules: Record<string, BrokenRule> = {
  'what is said of a job is answered before it is durable': {
    file: 'core/work/work-queues.ts',
    find: 'ledger.whenDurable(ledger.openSeq, run, undefined)',
    replace: 'this.#options.soon(run)',
  },
  'a job is answered before it is durable': {
    file: 'core/work/work-queues.ts',
    find: 'ledger.whenDurable(ledger.lastSeq, done, number)',
    replace: 'done(number)',
  },
  'a deleted job is not written down': {
    file: 'core/work/worker.ts',
    find: 'lane.cursor.ack(held.consumer, offset)',
    replace: 'lane.cursor.release(held.consumer, offset)',
  },
  'what a worker holds is given to another': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'this.#host.leaseClockMs() + leaseMs',
    replace: 'this.#host.leaseClockMs() + leaseMs / 4',
  },
  'the least urgent job comes first': {
    file: 'core/work/laned-queue.ts',
    find: 'this.lanes.sort((a, b) => a.state.priority - b.state.priority)',
    replace: 'this.lanes.sort((a, b) => b.state.priority - a.state.priority)',
  },
  'a job that was given back with another priority keeps its place': {
    file: 'core/work/laned-queue.ts',
    find: 'const isOfLane = !lane.state.isSide && priority === lane.state.priority',
    replace: 'const isOfLane = !lane.state.isSide',
  },
  'a delayed job comes early': {
    file: 'core/work/laned-queue.ts',
    find: 'if (!note || note.dueMs > nowMs) break',
    replace: 'if (!note || note.dueMs > nowMs + 1500) break',
  },
  'notes of jobs are not in checkpoints': {
    file: 'core/work/machine.ts',
    find: 'savedLane.write(out, { opened: lane, end, runs: numbers.length, notes: notes.size })',
    replace:
      'notes.clear()\n      savedLane.write(out, { opened: lane, end, runs: numbers.length, notes: notes.size })',
  },
  'numbers of jobs are used again': {
    file: 'core/work/machine.ts',
    find: 'this.nextNumber = head.nextNumber',
    replace: 'this.nextNumber = Math.max(1, head.nextNumber - 1)',
  },
  'an empty tube stays': {
    file: 'core/work/work-queues.ts',
    find: 'if (this.#isClosed || !queue.isIdle || !queue.isEmpty) return',
    replace: 'if (this.#isClosed || !queue.isIdle || queue.isEmpty) return',
  },
  'an acknowledged message is not written down': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'const { floor } = this.#machine\n    this.#begin(cursorFacts.acked, -1)',
    replace:
      'const { floor } = this.#machine\n    if (first % 16 === 7) return 1\n    this.#begin(cursorFacts.acked, -1)',
  },
  'a route that is kept outlives its binding': {
    file: 'core/routing/resolver.ts',
    find: 'this.#kept.drop(node)',
    replace: '',
  },
  'a message that comes again is not marked': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'else taken.add(offset, offset, count + 1)',
    replace: 'else taken.add(offset, offset, 1)',
  },
  'what was given back comes last': {
    file: 'core/cursor/cell-cursor.ts',
    find: 'const taken = machine.pending.returnedCount > 0 ?',
    replace: 'const taken = machine.pending.returnedCount > 0 && machine.next >= to ?',
  },
  'bindings are not in checkpoints': {
    file: 'core/routing/table.ts',
    find: '[...outgoing.values()].filter(({ isDurable }) => isDurable)',
    replace: "[...outgoing.values()].filter(({ key }) => key !== 'a')",
  },
  'delayed messages are due early': {
    file: 'core/delayed/firing.ts',
    find: 'const nextMs = this.#take(nowMs)',
    replace: 'const nextMs = this.#take(nowMs + 500)',
  },
  'a cancelled message is published': {
    file: 'core/delayed/machine.ts',
    find: 'volume.cancelled.add(offset)',
    replace: '',
  },
  'a dead letter is lost': {
    file: 'core/queues/dead-letters.ts',
    find: 'isTaken &&= this.#reach(target, letter, to)',
    replace: 'isTaken &&= first % 8 === 3 || this.#reach(target, letter, to)',
  },
  'dead letters of an earlier start stay where they are': {
    file: 'core/queues/dead-letters.ts',
    find: 'if (reason !== undefined) this.#push({ first, last, heir, reason })',
    replace: '',
  },
  'a queue outlives the connection that it belongs to': {
    file: 'core/queues/queues.ts',
    find: 'if (queue) this.#removeUnused(queue)\n    }\n    this.#owned',
    replace: 'if (queue?.consumerCount === -1) this.#removeUnused(queue)\n    }\n    this.#owned',
  },
  'what has gone through a feed is not written down': {
    file: 'core/feeds/feed.ts',
    find: 'if (this.#hasGone) this.#source?.ack(this.#ticket)',
    replace: 'if (this.#hasGone && this.#ticket % 16 !== 7) this.#source?.ack(this.#ticket)',
  },
  'policies are not in checkpoints': {
    file: 'core/policies/machine.ts',
    find: 'out.u32(this.count)\n    for (const rank of policyRanks) {',
    replace: 'out.u32(0)\n    for (const rank of policyRanks.slice(policyRanks.length)) {',
  },
  'a commit is several blocks': {
    file: 'protocols/amqp/commit.ts',
    find: 'if (this.#cost <= pieceMax) return router.atomic(this.#whole)',
    replace: 'if (this.#cost <= pieceMax) return (this.#whole(), router.atomic(() => {}))',
  },
  'a commit that takes several turns is several blocks': {
    file: 'cell/long-blocks.ts',
    find: 'this.#cell.journal.keepOpen(work.finish)',
    replace: '',
  },
  'jobs are durable before their numbers': {
    file: 'core/work/work-queues.ts',
    find: 'ledger.beforeEnd(this.#numberLast)',
    replace: 'ledger.whenDurable(this.#options.ledger.lastSeq, this.#numberLast, undefined)',
  },
}
