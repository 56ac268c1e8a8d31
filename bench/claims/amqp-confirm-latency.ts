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
import type { Report } from '../harness/tools.ts'
import type { Peer } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'

const rate = 2000
/** Code that runs at this rate is another than at full load: it is compiled by then. */
const warmSeconds = 10

/** What is read of each run; the side's own figure is the 99th percentile of confirms. */
const figures = ['confirmP50Ms', 'confirmP99Ms', 'deliveryP50Ms', 'deliveryP99Ms'] as const

export const claim: Claim = {
  title: 'At 2,000 persistent messages of 1 KiB a second, 99 % of the confirms come sooner than those of RabbitMQ.',
  method: `A raw generator on one clock: a publisher that spreads its messages evenly, and a consumer that acknowledges each; 3 s at full load and ${warmSeconds} s at this one before. Medians over the runs.`,
  async run(bench: Bench): Promise<Row[]> {
    const [peer] = bench.peers([rabbitmq])
    const sides: Measured[] = [measured(bench, dragoman, 'classic')]
    if (peer !== undefined) sides.push(measured(bench, peer, 'classic'), measured(bench, peer, 'quorum'))
    const results = await bench.compare(sides)
    const [ours] = results
    if (ours === undefined) return []
    return sides.slice(1).map((other, index): Row => {
      const theirs = results[index + 1]
      return {
        what: `${rate} messages/s; their queue is a ${other.type} one`,
        value: text(sides[0]),
        reference: `${rabbitmq.title('fsync')}: ${text(other)}`,
        target: 'p99 of confirms below theirs',
        met: theirs !== undefined && ours.median < theirs.median,
        note: `${cost(ours)}${theirs === undefined ? '' : ` – theirs: ${cost(theirs)}`}`,
      }
    })
  },
}

interface Measured extends Side {
  type: QueueType
  reports: Report[]
}

function measured(bench: Bench, peer: Peer, type: QueueType): Measured {
  const reports: Report[] = []
  const words = ['--type', type, '--size', 1024]
  const run: Side['run'] = () =>
    bench.withBroker(
      peer,
      'fsync',
      async running => {
        await warmUp(running, ...words)
        const load = (seconds = bench.options.seconds) =>
          amqp('flow', running, '--seconds', seconds, '--rate', rate, ...words)
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

function text(side: Measured | undefined): string {
  const median = (figure: (typeof figures)[number]): string => {
    const samples = (side?.reports ?? []).map(report => ({ value: report[figure] ?? Number.NaN }))
    const result: Result = summarize(figure, samples)
    return format(result.median)
  }
  return `confirms p50 ${median('confirmP50Ms')}, p99 ${median('confirmP99Ms')} ms; deliveries p50 ${median('deliveryP50Ms')}, p99 ${median('deliveryP99Ms')} ms`
}
