import { comparedRow, dragoman, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import { beanstalkd } from '../peers/beanstalkd.ts'
import type { Durability, Peer, Running } from '../peers/peer.ts'

const sizes = [16, 1024]
const connections = 50
/** Jobs that `reserve` and `delete` find; they last for longer than any of the servers is warm. */
const backlog = 300_000
/** Brokers run for weeks; their code is compiled in the first seconds. */
const warmSeconds = 6

/** Ours against theirs, and the least ratio; without one it is for comparison only. */
const pairs: { ours: Durability; theirs: Durability; ratio: number | undefined }[] = [
  { ours: 'fsync', theirs: 'fsync', ratio: 1 },
  { ours: 'fsync', theirs: 'os', ratio: 0.7 },
  { ours: 'os', theirs: 'os', ratio: undefined },
]

export const claim: Claim = {
  title:
    'put, and reserve with delete, over 50 connections: at least as fast as beanstalkd that syncs at every write, and 0.7 of beanstalkd that syncs every 50 ms.',
  method:
    `A raw generator of one thread; each connection waits for each answer. \`put\` for \`--seconds\`, after ${warmSeconds} s of putting and taking; then 300,000 jobs are taken and deleted. ` +
    'Both have their logs on the same disk; ours answers a put when it is synced, theirs syncs as said.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const theirs = bench.peers([beanstalkd])
    for (const size of sizes) {
      for (const work of ['put', 'reserve and delete'] as const) {
        bench.log(` ${work}, ${size} bytes`)
        const sides: [Peer, Durability][] = [
          [dragoman, 'fsync'],
          [dragoman, 'os'],
          ...theirs.flatMap(peer => (['fsync', 'os'] as const).map((kind): [Peer, Durability] => [peer, kind])),
        ]
        const results = await bench.compare(sides.map(([peer, kind]) => side(bench, peer, kind, work, size)))
        const of = (peer: Peer, kind: Durability) => results[sides.findIndex(([p, k]) => p === peer && k === kind)]
        for (const pair of pairs) {
          const [mine, other] = [of(dragoman, pair.ours), of(beanstalkd, pair.theirs)]
          if (mine === undefined || other === undefined) continue
          const what = `${work}, ${size} B, ${pair.ours === 'fsync' ? 'every put synced' : '`--durability os`'}`
          const peer = beanstalkd.title(pair.theirs)
          rows.push(comparedRow({ what, unit: 'jobs/s', ours: mine, theirs: other, peer, atLeast: pair.ratio }))
        }
      }
    }
    return rows
  },
}

function side(
  bench: Bench,
  peer: Peer,
  durability: Durability,
  work: 'put' | 'reserve and delete',
  size: number,
): Side {
  const { seconds, scale } = bench.options
  const load = (running: Running, mode: 'put' | 'take' | 'both', ...words: (string | number)[]) =>
    runTool('beanstalk-raw', mode, '--port', running.port, '--size', size, '--conns', connections, ...words)
  return {
    name: `${peer.title(durability)}`,
    run: () =>
      bench.withBroker(
        peer,
        durability,
        async running => {
          await load(running, 'both', '--seconds', warmSeconds)
          if (work === 'put')
            return bench.measure(
              running,
              () => load(running, 'put', '--seconds', seconds),
              report => report['putsPerSecond'] ?? 0,
            )
          const jobs = Math.round(backlog * scale)
          await load(running, 'put', '--count', jobs, '--window', 20)
          return bench.measure(
            running,
            () => load(running, 'take', '--count', jobs),
            report => report['takenPerSecond'] ?? 0,
          )
        },
        'beanstalk',
      ),
  }
}
