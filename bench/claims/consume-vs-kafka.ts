import {
  comparedRow,
  createTopics,
  dragoman,
  filesUnder,
  mb,
  type Bench,
  type Claim,
  type Row,
  type Side,
} from '../harness/bench.ts'
import { backlog } from '../harness/backlog.ts'
import { runTool } from '../harness/tools.ts'
import type { Peer } from '../peers/peer.ts'

const target = 1.5

/** What is read first after a start, as after an outage, and what is read again while it is in the page cache. */
const temperatures = ['cold', 'warm'] as const

export const claim: Claim = {
  title: 'Consume of 1 KiB records against Apache Kafka: at least 1.5 times.',
  method:
    'A backlog of 2 GB in one partition, read from the beginning by one consumer. Cold: the broker is started after its ' +
    'files were dropped from the page cache. Warm: the files are in the page cache.',
  async run(bench: Bench): Promise<Row[]> {
    const records = Math.round((2e9 / 1024) * bench.options.scale)
    const rows: Row[] = []
    for (const peer of bench.peers()) {
      const made = new Map<Peer, { directory: string; count: number }>()
      for (const broker of [dragoman, peer]) made.set(broker, await fill(bench, broker, records))
      for (const temperature of temperatures) {
        for (const load of ['librdkafka', 'raw'] as const) {
          bench.log(` ${load}; ${temperature}`)
          const side = (broker: Peer): Side => ({
            name: broker.title('os'),
            run: () => consume(bench, broker, made.get(broker) ?? { directory: '', count: 0 }, load, temperature),
          })
          const [ours, theirs] = await bench.compare([side(dragoman), side(peer)])
          if (ours === undefined || theirs === undefined) continue
          const what = `consume 2 GB ${temperature}, ${load}`
          rows.push(comparedRow({ what, unit: 'MB/s', ours, theirs, peer: peer.title('os'), atLeast: target }))
        }
      }
      for (const { directory } of made.values()) bench.remove(directory)
    }
    return rows
  },
}

async function fill(bench: Bench, broker: Peer, records: number): Promise<{ directory: string; count: number }> {
  const directory = bench.freshDirectory()
  const running = await broker.start({ directory, durability: 'os' })
  await createTopics(running.address, ['bench'])
  const count = await backlog(bench, running, 'bench', records)
  await running.process.stop()
  return { directory, count }
}

async function consume(
  bench: Bench,
  broker: Peer,
  made: { directory: string; count: number },
  load: 'raw' | 'librdkafka',
  temperature: (typeof temperatures)[number],
) {
  const files = filesUnder(made.directory)
  await runTool('disk', temperature === 'cold' ? 'drop' : 'read', ...files)
  const running = await broker.start({ directory: made.directory, durability: 'os' })
  const words = ['--topic', 'bench', '--count', made.count, '--seconds', 120]
  try {
    const work = () =>
      load === 'raw' ? bench.raw('fetch', running, ...words) : bench.librdkafka('consume', running, ...words)
    return await bench.measure(running, work, mb)
  } finally {
    await running.process.stop()
  }
}
