import { performance } from 'node:perf_hooks'
import { Random } from '@dragoman/wire'
import type { Ledger } from '../../packages/broker/src/cell/machine.ts'
import type { ConsumerId, Cursor } from '../../packages/broker/src/core/cursor/cursor.ts'
import { Cursors } from '../../packages/broker/src/core/cursor/cursors.ts'
import { CursorMachine } from '../../packages/broker/src/core/cursor/machine.ts'
import { TimerWheel } from '../../packages/broker/src/core/timers/wheel.ts'
import { collectGarbage } from '../harness/garbage.ts'
import { format, type Bench, type Claim, type Row } from '../harness/bench.ts'

export const claim: Claim = {
  title:
    'A message costs a cursor under 94 ns when it is delivered in a run and under 400 ns alone, under 227 ns when it is acknowledged, and about 40 bytes while it is in flight.',
  method:
    'One cursor in this process over 10 million messages, facts applied and counted but not written; processor time. Delivered in runs of 100 or one by one; acknowledged one ' +
    'by one in order, one by one at random within a window of 1000, or in ranges of 100. Bytes: all typed arrays of the cursor with a million in flight; growth of the ' +
    'process with 10,000 messages left over from different chunks of 4096. The best of the runs counts.',
  async run(bench: Bench): Promise<Row[]> {
    const count = Math.round(1e7 * bench.options.scale)
    const rows: Row[] = []
    for (const { what, measure, target, unit } of figures) {
      let best = Infinity
      for (let round = 0; round < bench.options.runs; round++) best = Math.min(best, measure(count))
      bench.log(`  ${what}: ${format(best)} ${unit}`)
      const met = best <= target
      rows.push({
        what,
        value: `${format(best)} ${unit}`,
        reference: '–',
        target: `<= ${target} ${unit}`,
        met,
        note: '',
      })
    }
    return rows
  },
}

const figures = [
  {
    what: 'deliver, in runs of 100',
    unit: 'ns',
    target: 94,
    measure: (count: number) => cycle(count, 100, 'range').deliver,
  },
  {
    what: 'deliver, one by one',
    unit: 'ns',
    target: 400,
    measure: (count: number) => cycle(count, 1, 'in order').deliver,
  },
  {
    what: 'acknowledge, one by one in order',
    unit: 'ns',
    target: 227,
    measure: (count: number) => cycle(count, 100, 'in order').ack,
  },
  {
    what: 'acknowledge, at random in a window of 1000',
    unit: 'ns',
    target: 227,
    measure: (count: number) => cycle(count, 100, 'random').ack,
  },
  {
    what: 'acknowledge, in ranges of 100',
    unit: 'ns',
    target: 94,
    measure: (count: number) => cycle(count, 100, 'range').ack,
  },
  {
    what: 'journal for a delivery and an acknowledgement at random',
    unit: 'bytes',
    target: 6,
    measure: (count: number) => cycle(count, 100, 'random').bytes,
  },
  { what: 'in flight', unit: 'bytes', target: 50, measure: () => inFlightBytes(1e6) },
  { what: 'left over, one in a chunk of 4096', unit: 'bytes', target: 250, measure: () => scatteredBytes(10_000) },
]

/** Applies facts and keeps nothing. */
class NullLedger implements Ledger {
  readonly epoch = 1
  readonly openSeq = 1
  readonly lastSeq = 1
  readonly clock = { nowMs: () => Date.now(), monotonicMs: () => performance.now(), after: () => () => {} }
  readonly cursor = new CursorMachine()
  bytes = 0

  fact(_machine: number, type: number, payload: Buffer): number {
    this.bytes += payload.length
    this.cursor.apply(type, payload)
    return 1
  }
  atomic(run: () => void): number {
    run()
    return 1
  }
  beforeEnd(run: () => void): void {
    run()
  }

  whenDurable(): void {}
  async durable(): Promise<void> {}
  define(): number {
    return 1024
  }
  drop(): void {}
  machine(): CursorMachine {
    return this.cursor
  }
}

function open(): { ledger: NullLedger; cursor: Cursor; consumer: ConsumerId } {
  const ledger = new NullLedger()
  const cursor = new Cursors(ledger, new TimerWheel(ledger.clock)).create(1, 0)
  return { ledger, cursor, consumer: cursor.join('bench', 'session') }
}

/** Of this process: others on the machine do not count. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

const noSink = { run: (): void => {} }
const windowSize = 1000

/** Fills and empties a window again and again. Nanoseconds per message, and bytes of facts. */
function cycle(
  count: number,
  run: number,
  how: 'in order' | 'random' | 'range',
): { deliver: number; ack: number; bytes: number } {
  const { ledger, cursor, consumer } = open()
  const random = new Random(1)
  const order = Array.from({ length: windowSize }, (_, index) => index)
  let deliver = 0
  let ack = 0
  for (let base = 0; base < count; base += windowSize) {
    if (how === 'random' && base % 100_000 === 0) random.shuffle(order)
    const start = cpuMs()
    for (let at = 0; at < windowSize; at += run)
      cursor.acquire(consumer, { max: run, to: count, leaseMs: 30_000 }, noSink)
    const middle = cpuMs()
    if (how === 'range') for (let at = 0; at < windowSize; at += 100) cursor.ack(consumer, base + at, base + at + 99)
    else if (how === 'in order') for (let at = 0; at < windowSize; at++) cursor.ack(consumer, base + at)
    else for (const at of order) cursor.ack(consumer, base + at)
    deliver += middle - start
    ack += cpuMs() - middle
  }
  if (cursor.floor < count) throw new Error('not all messages were acknowledged')
  return { deliver: (deliver * 1e6) / count, ack: (ack * 1e6) / count, bytes: ledger.bytes / count }
}

function inFlightBytes(count: number): number {
  const { ledger, cursor, consumer } = open()
  cursor.acquire(consumer, { max: count, to: count, leaseMs: 30_000 }, noSink)
  return ledger.cursor.leases.bytes / count
}

/** One message of each chunk is never acknowledged. */
function scatteredBytes(count: number): number {
  const before = used()
  const { cursor, consumer, ledger } = open()
  for (let chunk = 0; chunk < count; chunk++) {
    const base = chunk * 4096
    cursor.acquire(consumer, { max: 4096, to: base + 4096 }, noSink)
    cursor.ack(consumer, base, base + 1000)
    cursor.ack(consumer, base + 1002, base + 4095)
  }
  const after = used()
  if (ledger.cursor.inFlightCount !== count) throw new Error('messages are missing')
  return (after - before) / count
}

function used(): number {
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
