import { amqp } from '../harness/amqp.ts'
import { dragoman, format, type Bench, type Claim, type Row } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import type { Peer, Running } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'
import { redis } from '../peers/redis.ts'

const sizes = [128, 512, 1024, 10_240]

interface Speed {
  enqueue: number
  dequeue: number
  rssPeakMb: number
}

export const claim: Claim = {
  title:
    'One million durable messages into a queue, and then out of it: faster than RabbitMQ. Redis stands beside, whose lists have no acknowledgement.',
  method:
    'The experiment that is often told of RabbitMQ and Redis, with nothing lost in between: one connection, 1,000 messages under way. AMQP: persistent messages into a classic durable queue with confirms, ' +
    'then a consumer with an ack for each. Redis: `LPUSH` and `RPOP` on a list with `appendfsync always`, pipelined. Ours with durability fsync. Messages per second; one run.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const peers = bench.peers([rabbitmq, redis])
    const count = Math.round(1e6 * bench.options.scale)
    for (const size of sizes) {
      const ours = await measure(bench, dragoman, count, size)
      const others: [Peer, Speed][] = []
      for (const peer of peers) others.push([peer, await measure(bench, peer, count, size)])
      for (const verb of ['enqueue', 'dequeue'] as const) {
        const theirs = others.find(([peer]) => peer === rabbitmq)?.[1][verb]
        rows.push({
          what: `${verb}, ${size} B`,
          value: `${format(ours[verb])} messages/s`,
          reference: others.map(([peer, speed]) => `${peer.title('fsync')}: ${format(speed[verb])}`).join('; ') || '–',
          ...(theirs === undefined ? {} : { ratio: ours[verb] / theirs }),
          target: '> 1, to RabbitMQ',
          met: theirs !== undefined && ours[verb] > theirs,
          note:
            [ours, ...others.map(([, speed]) => speed)].map(speed => Math.round(speed.rssPeakMb)).join(' / ') +
            ' MB at most',
        })
      }
    }
    return rows
  },
}

async function measure(bench: Bench, peer: Peer, count: number, size: number): Promise<Speed> {
  const use = async (running: Running): Promise<Speed> => {
    const words = ['--count', count, '--size', size]
    const run = async (verb: 'enqueue' | 'dequeue'): Promise<number> => {
      if (peer === redis) {
        const report = await runTool('redis-raw', verb === 'enqueue' ? 'push' : 'pop', '--port', running.port, ...words)
        return report['perSecond'] ?? 0
      }
      const report = await amqp(verb === 'enqueue' ? 'publish' : 'consume', running, ...words)
      return report[verb === 'enqueue' ? 'confirmedPerSecond' : 'ackedPerSecond'] ?? 0
    }
    const enqueue = await run('enqueue')
    const dequeue = await run('dequeue')
    bench.log(`  ${peer.title('fsync').padEnd(46)} ${size} B: in ${format(enqueue)}, out ${format(dequeue)} messages/s`)
    return { enqueue, dequeue, rssPeakMb: running.process.usage().rssPeakMb }
  }
  return bench.withBroker(peer, 'fsync', use, 'amqp')
}
