import { amqp, warmUp, type QueueType } from '../harness/amqp.ts'
import {
  cost,
  dragoman,
  format,
  summarize,
  type Bench,
  type Claim,
  type Result,
  type Row,
  type Side,
} from '../harness/bench.ts'
import { runTool, type Report } from '../harness/tools.ts'
import type { Peer } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'

const rate = 2000
/** Code that runs at this rate is another than at full load: it is compiled by then. */
const warmSeconds = 10

/** What is read of each run; the side's own figure is the 99th percentile of confirms. */
const figures = ['confirmP50Ms', 'confirmP99Ms', 'deliveryP50Ms', 'deliveryP99Ms'] as const

/** Whether somebody consumes meanwhile. RabbitMQ confirms what was consumed and acknowledged without having written it. */
const modes = { publish: 'nobody consumes', flow: 'each is consumed at once' } as const
type Mode = keyof typeof modes

export const claim: Claim = {
  title: 'At 2,000 persistent messages of 1 KiB a second, 99 % of the confirms come sooner than those of RabbitMQ.',
  method: `A raw generator on one clock: a publisher that spreads its messages evenly; alone, and with a consumer that acknowledges each; 3 s at full load and ${warmSeconds} s at this one before. RabbitMQ confirms what was consumed and acknowledged without having written it; Dragoman gives nobody what is not on disk. The disk alone is asked for as many writes of 4 KiB, one at a time. Medians over the runs.`,
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    for (const mode of Object.keys(modes) as Mode[]) rows.push(...(await compare(bench, mode)))
    return rows
  },
}

async function compare(bench: Bench, mode: Mode): Promise<Row[]> {
  const [peer] = bench.peers([rabbitmq])
  const sides: Measured[] = [measured(bench, dragoman, mode, 'classic')]
  if (peer !== undefined) sides.push(measured(bench, peer, mode, 'classic'), measured(bench, peer, mode, 'quorum'))
  const results = await bench.compare(sides)
  const [ours] = results
  if (ours === undefined) return []
  const disk = await runTool('disk', 'steady', bench.root, rate, bench.options.seconds)
  const alone = `the disk alone p50 ${format(disk['p50Ms'] ?? 0)}, p99 ${format(disk['p99Ms'] ?? 0)} ms`
  return sides.slice(1).map((other, index): Row => {
    const theirs = results[index + 1]
    return {
      what: `${rate} messages/s, ${modes[mode]}; their queue is a ${other.type} one`,
      value: text(mode, sides[0]),
      reference: `${rabbitmq.title('fsync')}: ${text(mode, other)}`,
      target: 'p99 of confirms below theirs',
      met: theirs !== undefined && ours.median < theirs.median,
      note: `${alone}; ${cost(ours)}${theirs === undefined ? '' : ` – theirs: ${cost(theirs)}`}`,
    }
  })
}

interface Measured extends Side {
  type: QueueType
  reports: Report[]
}

function measured(bench: Bench, peer: Peer, mode: Mode, type: QueueType): Measured {
  const reports: Report[] = []
  const words = ['--type', type, '--size', 1024]
  const run: Side['run'] = () =>
    bench.withBroker(
      peer,
      'fsync',
      async running => {
        await warmUp(running, ...words)
        const load = (seconds = bench.options.seconds) =>
          amqp(mode, running, '--seconds', seconds, '--rate', rate, ...words)
        await load(warmSeconds)
        return bench.measure(
          running,
          () => load(),
          report => {
            reports.push(report)
            return report['confirmP99Ms'] ?? Number.NaN
          },
        )
      },
      'amqp',
    )
  return { name: `${peer.title('fsync')}, ${type}`, type, reports, run }
}

function text(mode: Mode, side: Measured | undefined): string {
  const median = (figure: (typeof figures)[number]): string => {
    const samples = (side?.reports ?? []).map(report => ({ value: report[figure] ?? Number.NaN }))
    const result: Result = summarize(figure, samples)
    return format(result.median)
  }
  const confirms = `confirms p50 ${median('confirmP50Ms')}, p99 ${median('confirmP99Ms')} ms`
  if (mode === 'publish') return confirms
  return `${confirms}; deliveries p50 ${median('deliveryP50Ms')}, p99 ${median('deliveryP99Ms')} ms`
}
