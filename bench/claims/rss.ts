import { setTimeout as sleep } from 'node:timers/promises'
import { createTopics, dragoman, format, type Bench, type Claim, type Row } from '../harness/bench.ts'
import { publish } from '../harness/published.ts'
import { wholeDragoman } from '../peers/dragoman.ts'
import type { Peer, Running } from '../peers/peer.ts'

/** By then what a start leaves behind has been collected. */
const settledMs = 10_000

export const claim: Claim = {
  title: 'Resident memory: idle under 90 MB; under 300 MB while a backlog of 10 GB is produced and consumed.',
  method:
    `Idle: \`VmRSS\` ${settledMs / 1000} s after \`ready\`, with all listeners and compiled code in the cache that the command keeps, as published ` +
    'and from the sources, as `npm start` runs them. Busy: the highest resident size (`VmHWM`) after 10 GB of 1 KiB records went ' +
    'in over 8 partitions while a consumer read them all from the beginning, and a second one read all of it once more.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const peers = bench.peers()
    const idle = async (peer: Peer): Promise<number> =>
      bench.withBroker(peer, 'fsync', async running => {
        await sleep(settledMs)
        return running.process.usage().rssMb
      })
    const busy = async (peer: Peer): Promise<number> =>
      bench.withBroker(peer, 'fsync', running => produceAndConsume(bench, running))
    const published = wholeDragoman(publish(bench).main)
    const sources = wholeDragoman()
    // The first start compiles, and leaves the compiled code to the one that is measured.
    for (const peer of [published, sources]) await bench.withBroker(peer, 'memory', async () => undefined)
    for (const [what, limit, ours, others, measure] of [
      ['idle', 90, published, peers, idle],
      ['idle, from the sources', 90, sources, [], idle],
      ['10 GB produced and consumed', 300, dragoman, peers, busy],
    ] as const) {
      const value = await measure(ours)
      const beside: string[] = []
      for (const peer of others) beside.push(`${peer.title('fsync')}: ${format(await measure(peer))} MB`)
      bench.log(`  ${what}: ${format(value)} MB; ${beside.join('; ')}`)
      rows.push({
        what,
        value: `${format(value)} MB`,
        reference: beside.join('; ') || '–',
        target: `< ${limit} MB`,
        met: value < limit,
        note: '',
      })
    }
    return rows
  },
}

async function produceAndConsume(bench: Bench, running: Running): Promise<number> {
  const records = Math.round((1e10 / 1024) * bench.options.scale)
  await createTopics(running.address, ['bench'], 8)
  const words = ['--topic', 'bench', '--partitions', 8, '--conns', 2]
  const [made] = await Promise.all([
    bench.raw('produce', running, ...words, '--count', records),
    bench.raw('fetch', running, ...words, '--count', Math.round(records * 0.98), '--seconds', 600),
  ])
  const again = await bench.raw('fetch', running, ...words, '--count', made['records'] ?? 0, '--seconds', 600)
  if (again['records'] !== made['records'] || (again['errors'] ?? 0) > 0)
    bench.log(`  read ${again['records']} of ${made['records']}`)
  return running.process.usage().rssPeakMb
}
