import { setTimeout as sleep } from 'node:timers/promises'
import { createTopics, dragoman, format, type Bench, type Claim, type Row } from '../harness/bench.ts'
import type { Peer, Running } from '../peers/peer.ts'

export const claim: Claim = {
  title: 'Resident memory: idle under 90 MB; under 300 MB while a backlog of 10 GB is produced and consumed.',
  method:
    'Idle: `VmRSS` three seconds after `ready`. Busy: the highest resident size (`VmHWM`) after 10 GB of 1 KiB records went ' +
    'in over 8 partitions while a consumer read them all from the beginning, and a second one read all of it once more.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const peers = bench.peers()
    const idle = async (peer: Peer): Promise<number> =>
      bench.withBroker(peer, 'fsync', async running => {
        await sleep(3000)
        return running.process.usage().rssMb
      })
    const busy = async (peer: Peer): Promise<number> =>
      bench.withBroker(peer, 'fsync', running => produceAndConsume(bench, running))
    for (const [what, limit, measure] of [
      ['idle', 90, idle],
      ['10 GB produced and consumed', 300, busy],
    ] as const) {
      const ours = await measure(dragoman)
      const others: string[] = []
      for (const peer of peers) others.push(`${peer.title('fsync')}: ${format(await measure(peer))} MB`)
      bench.log(`  ${what}: ${format(ours)} MB; ${others.join('; ')}`)
      rows.push({
        what,
        value: `${format(ours)} MB`,
        reference: others.join('; ') || '–',
        target: `< ${limit} MB`,
        met: ours < limit,
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
