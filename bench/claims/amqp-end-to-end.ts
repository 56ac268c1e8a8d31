import { amqp, warmUp, type QueueType } from '../harness/amqp.ts'
import { cost, dragoman, spread, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import type { Peer } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'

const sizes = [16, 1024]
const ratioMin = 4

export const claim: Claim = {
  title:
    'Persistent messages published with confirms, delivered and acknowledged one by one: at least 4 times RabbitMQ with a classic durable queue.',
  method:
    'A raw generator, a publisher with 1,000 unconfirmed messages at most and a consumer with a prefetch of 1,000 and an ack for each message, each on a connection of its own, at once. ' +
    'What counts is acknowledged messages per second. 3 s of the same before.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const [peer] = bench.peers([rabbitmq])
    for (const type of ['classic', 'quorum'] as const) {
      for (const size of sizes) {
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
          target: type === 'classic' ? `≥ ${ratioMin}` : '–',
          met: type !== 'classic' || (ratio !== undefined && ratio >= ratioMin),
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
          () => amqp('flow', running, '--seconds', bench.options.seconds, ...words),
          report => report['ackedPerSecond'] ?? 0,
        )
      },
      'amqp',
    )
  return { name: peer.title('fsync'), run }
}
