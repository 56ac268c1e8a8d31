import { comparedRow, dragoman, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import type { Durability, Peer } from '../peers/peer.ts'
import { redis } from '../peers/redis.ts'

const sizes = [16, 1024]
const entries = 300_000

/** Ours against theirs, and the least ratio; without one it is for comparison only. */
const pairs: { ours: Durability; theirs: Durability; ratio: (size: number) => number | undefined }[] = [
  { ours: 'fsync', theirs: 'fsync', ratio: size => (size === 1024 ? 2 : undefined) },
  { ours: 'fsync', theirs: 'os', ratio: () => undefined },
  { ours: 'os', theirs: 'os', ratio: () => undefined },
]

export const claim: Claim = {
  title: 'XADD, XREADGROUP and XACK of a stream: twice as fast as Redis that syncs at every write, with 1 KiB.',
  method:
    'A raw generator: four producers with 100 `XADD` under way each; four consumers of one group, `XREADGROUP COUNT 100`, then one `XACK` for all of it together with the next `XREADGROUP`. ' +
    '300,000 entries from the first `XADD` to the answer to the last `XACK`, after as many in another stream.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const theirs = bench.peers([redis])
    for (const size of sizes) {
      bench.log(` ${size} bytes`)
      const sides: [Peer, Durability][] = [
        [dragoman, 'fsync'],
        [dragoman, 'os'],
        ...theirs.flatMap(peer => (['fsync', 'os'] as const).map((kind): [Peer, Durability] => [peer, kind])),
      ]
      const results = await bench.compare(sides.map(([peer, kind]) => side(bench, peer, kind, size)))
      const of = (peer: Peer, kind: Durability) => results[sides.findIndex(([p, k]) => p === peer && k === kind)]
      for (const pair of pairs) {
        const [mine, other] = [of(dragoman, pair.ours), of(redis, pair.theirs)]
        if (mine === undefined || other === undefined) continue
        const least = pair.ratio(size)
        const what = `${size} B, ${pair.ours === 'fsync' ? 'every answer synced' : '`--durability os`'}`
        const peer = redis.title(pair.theirs)
        rows.push(comparedRow({ what, unit: 'entries/s', ours: mine, theirs: other, peer, atLeast: least }))
      }
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, durability: Durability, size: number): Side {
  const count = Math.round(entries * bench.options.scale)
  return {
    name: `${peer.title(durability)}`,
    run: () =>
      bench.withBroker(
        peer,
        durability,
        async running => {
          const words = ['--port', running.port, '--size', size]
          await runTool('redis-streams', ...words, '--key', 'warm', '--count', count)
          return bench.measure(
            running,
            () => runTool('redis-streams', ...words, '--count', count),
            report => report['perSecond'] ?? 0,
          )
        },
        'resp',
      ),
  }
}
