import type { Peer, Running } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'
import { comparedRow, dragoman, type Bench, type Row, type Side } from './bench.ts'
import { runTool, type Report } from './tools.ts'

export type QueueType = 'classic' | 'quorum'

type Words = readonly (string | number)[]

export function amqp(
  mode: 'publish' | 'consume' | 'flow' | 'purge',
  running: Running,
  ...words: Words
): Promise<Report> {
  return runTool('amqp-raw', mode, '--port', running.port, ...words)
}

/** What runs before that counts: both brokers compile what they run often. */
export async function warmUp(running: Running, ...words: Words): Promise<void> {
  await amqp('flow', running, '--seconds', 3, ...words)
  await amqp('purge', running, ...words)
}

/** What a comparison of rates runs: the generator's mode, the figure of its report, and the ratio asked of each type. */
export interface Rates {
  mode: 'publish' | 'flow'
  figure: 'confirmedPerSecond' | 'ackedPerSecond'
  targets: Partial<Record<QueueType, number>>
}

/** One row for each queue type and size of message: ours against RabbitMQ, both flushed before a confirm. */
export async function compareRates(bench: Bench, rates: Rates): Promise<Row[]> {
  const rows: Row[] = []
  const [peer] = bench.peers([rabbitmq])
  for (const type of ['classic', 'quorum'] as const) {
    for (const size of [16, 1024]) {
      bench.log(` ${type}, ${size} bytes`)
      const words = ['--type', type, '--size', size]
      const sides = [dragoman, ...(peer === undefined ? [] : [peer])].map(each => rateOf(bench, each, rates, words))
      const [ours, theirs] = await bench.compare(sides)
      if (ours === undefined) continue
      const target = rates.targets[type]
      const what = `${type} queue, ${size} B`
      const title = rabbitmq.title('fsync')
      rows.push(comparedRow({ what, unit: 'messages/s', ours, theirs, peer: title, atLeast: target }))
    }
  }
  return rows
}

function rateOf(bench: Bench, peer: Peer, { mode, figure }: Rates, words: Words): Side {
  const run: Side['run'] = () =>
    bench.withBroker(
      peer,
      'fsync',
      async running => {
        await warmUp(running, ...words)
        const load = () => amqp(mode, running, '--seconds', bench.options.seconds, ...words)
        return bench.measure(running, load, report => report[figure] ?? 0)
      },
      'amqp',
    )
  return { name: peer.title('fsync'), run }
}
