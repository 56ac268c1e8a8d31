import { comparedRow, dragoman, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import type { Durability, Peer, Running } from '../peers/peer.ts'
import { redis } from '../peers/redis.ts'

const connections = 50
/** So often the list is filled and emptied before. */
const warmRounds = 3

/** What is done on each connection at a time, and the least ratio to Redis that syncs as we do. */
const works = [
  { size: 16, window: 1, count: 150_000, ratio: 1 },
  { size: 16, window: 50, count: 1_000_000, ratio: 0.5 },
  { size: 1024, window: 50, count: 400_000, ratio: 1.5 },
] as const

export const claim: Claim = {
  title:
    'Lists of Redis over 50 connections, every answer durable: LPUSH and RPOP at least as fast as Redis with `appendfsync always` one by one; 50 at a time, 0.5 with 16 bytes and 1.5 with 1 KiB.',
  method:
    `A raw generator of one thread; each connection sends so many commands and waits for their answers. A list is filled with LPUSH, then emptied with RPOP; before, the same is done ${warmRounds} times. Both write to the same disk. ` +
    'Redis with `appendfsync everysec` is there for comparison.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const theirs = bench.peers([redis])
    for (const work of works) {
      for (const mode of ['push', 'pop'] as const) {
        const what = `${mode === 'push' ? 'LPUSH' : 'RPOP'}, ${work.size} B, ${work.window} at a time`
        bench.log(` ${what}`)
        const sides: [Peer, Durability][] = [
          [dragoman, 'fsync'],
          ...theirs.flatMap(peer => (['fsync', 'os'] as const).map((kind): [Peer, Durability] => [peer, kind])),
        ]
        const results = await bench.compare(sides.map(([peer, kind]) => side(bench, peer, kind, mode, work)))
        const [mine, ...others] = results
        for (const [at, other] of others.entries()) {
          const durability = sides[at + 1]?.[1] ?? 'fsync'
          if (mine === undefined) continue
          const ratio = durability === 'fsync' ? work.ratio : undefined
          const peer = redis.title(durability)
          rows.push(comparedRow({ what, unit: 'commands/s', ours: mine, theirs: other, peer, atLeast: ratio }))
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
  mode: 'push' | 'pop',
  { size, window, count }: (typeof works)[number],
): Side {
  const total = Math.round(count * bench.options.scale)
  const load = (running: Running, what: 'push' | 'pop', commands: number) =>
    runTool(
      ...(['resp-raw', what, '--port', running.port, '--size', size, '--conns', connections] as const),
      ...(['--window', window, '--count', commands] as const),
    )
  return {
    name: peer.title(durability),
    run: () =>
      bench.withBroker(
        peer,
        durability,
        async running => {
          // A broker runs for weeks, and its code is compiled in the first seconds.
          for (let round = 0; round < warmRounds; round++) {
            await load(running, 'push', total)
            await load(running, 'pop', total)
          }
          if (mode === 'pop') await load(running, 'push', total)
          return bench.measure(
            running,
            () => load(running, mode, total),
            report => report['perSecond'] ?? 0,
          )
        },
        'resp',
      ),
  }
}
