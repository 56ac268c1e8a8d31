import { comparedRow, dragoman, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import type { Peer } from '../peers/peer.ts'
import { redis } from '../peers/redis.ts'

const subscribers = 100
const sizes = [16, 1024]
const ratio = 0.5

export const claim: Claim = {
  title: 'Channels of Redis, one publisher and 100 subscribers: at least half of the deliveries of Redis.',
  method:
    'A raw generator of one thread publishes 100 messages at a time to a channel, for `--seconds`, and takes what all subscribers are sent; it waits when these are more than 200 messages behind. ' +
    'Nothing of it is stored by either.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const theirs = bench.peers([redis])
    for (const size of sizes) {
      bench.log(` ${size} bytes`)
      const [mine, other] = await bench.compare([dragoman, ...theirs].map(peer => side(bench, peer, size)))
      if (mine === undefined || other === undefined) continue
      const what = `1 to ${subscribers}, ${size} B`
      const peer = redis.title('memory')
      rows.push(comparedRow({ what, unit: 'deliveries/s', ours: mine, theirs: other, peer, atLeast: ratio }))
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, size: number): Side {
  const { seconds } = bench.options
  return {
    name: peer.title('memory'),
    run: () =>
      bench.withBroker(
        peer,
        'memory',
        running =>
          bench.measure(
            running,
            () =>
              runTool(
                ...(['resp-raw', 'fanout', '--port', running.port, '--size', size, '--conns', subscribers] as const),
                ...(['--window', 100, '--seconds', seconds] as const),
              ),
            report => report['deliveredPerSecond'] ?? 0,
          ),
        'resp',
      ),
  }
}
