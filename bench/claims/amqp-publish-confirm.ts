import { amqp, warmUp, type QueueType } from '../harness/amqp.ts'
import { cost, dragoman, format, spread, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import type { Peer } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'

const sizes = [16, 1024]
const targets = { classic: 4, quorum: 3 } as const

export const claim: Claim = {
  title:
    'Persistent messages published with confirms, 1,000 unconfirmed at most: at least 4 times RabbitMQ with a classic durable queue, and 3 times with a quorum queue.',
  method:
    'A raw generator, one connection and channel, default exchange; nobody consumes. 3 s of publishing and consuming before; the queue is declared on both sides with the same type. ' +
    'RabbitMQ has its default settings and one node; ours has durability fsync.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const [peer] = bench.peers([rabbitmq])
    for (const size of sizes) {
      for (const type of ['classic', 'quorum'] as const) {
        bench.log(` ${type}, ${size} bytes`)
        const sides = [dragoman, ...(peer === undefined ? [] : [peer])].map(each => side(bench, each, type, size))
        const [ours, theirs] = await bench.compare(sides)
        if (ours === undefined) continue
        const ratio = theirs === undefined ? undefined : ours.median / theirs.median
        rows.push({
          what: `${type} queue, ${size} B`,
          value: spread(ours, 'messages/s'),
          reference: theirs === undefined ? '–' : `${rabbitmq.title('fsync')}: ${spread(theirs, 'messages/s')}`,
          ...(ratio === undefined ? {} : { ratio }),
          target: `≥ ${format(targets[type])}`,
          met: ratio !== undefined && ratio >= targets[type],
          note: `${cost(ours)}${theirs === undefined ? '' : ` – theirs: ${cost(theirs)}`}`,
        })
      }
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, type: QueueType, size: number): Side {
  const words = ['--type', type, '--size', size]
  const run: Side['run'] = () =>
    bench.withBroker(
      peer,
      'fsync',
      async running => {
        await warmUp(running, ...words)
        return bench.measure(
          running,
          () => amqp('publish', running, '--seconds', bench.options.seconds, ...words),
          report => report['confirmedPerSecond'] ?? 0,
        )
      },
      'amqp',
    )
  return { name: peer.title('fsync'), run }
}
