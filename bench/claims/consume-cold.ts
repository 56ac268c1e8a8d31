import {
  cost,
  createTopics,
  dragoman,
  filesUnder,
  mb,
  spread,
  type Bench,
  type Claim,
  type Row,
  type Side,
} from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import { backlog } from '../harness/backlog.ts'

export const claim: Claim = {
  title:
    'Consuming a cold 4 GB backlog reaches half of what a sequential read of the same files sent over the loopback reaches.',
  method:
    'The backlog is produced, the broker stopped, its files dropped from the page cache and the broker started again; then ' +
    'one consumer reads from the beginning. The limit is a C program that reads the same files cold, 1 MiB at a time, and ' +
    'sends each buffer over one loopback connection.',
  async run(bench: Bench): Promise<Row[]> {
    const records = Math.round((4e9 / 1024) * bench.options.scale)
    const directory = bench.freshDirectory()
    const first = await dragoman.start({ directory, durability: 'os' })
    await createTopics(first.address, ['bench'])
    const made = await backlog(bench, first, 'bench', records)
    await first.process.stop()
    const consume = (name: string, load: 'raw' | 'librdkafka'): Side => ({
      name,
      async run() {
        await runTool('disk', 'drop', ...filesUnder(directory))
        const running = await dragoman.start({ directory, durability: 'os' })
        const words = ['--topic', 'bench', '--count', made, '--seconds', 120]
        try {
          return await bench.measure(
            running,
            () =>
              load === 'raw' ? bench.raw('fetch', running, ...words) : bench.librdkafka('consume', running, ...words),
            mb,
          )
        } finally {
          await running.process.stop()
        }
      },
    })
    const limit: Side = {
      name: 'raw read + loopback',
      run: async () => ({ value: mb(await runTool('disk', 'serve', ...filesUnder(directory))) }),
    }
    const [raw, rdkafka, chain] = await bench.compare([
      consume('raw', 'raw'),
      consume('librdkafka', 'librdkafka'),
      limit,
    ])
    bench.remove(directory)
    if (raw === undefined || rdkafka === undefined || chain === undefined) return []
    return [raw, rdkafka].map(result => ({
      what: `consume ${Math.round((made * 1024) / 1e6)} MB cold, ${result.name}`,
      value: spread(result, 'MB/s'),
      reference: `read + loopback ${spread(chain, 'MB/s')}`,
      ratio: result.median / chain.median,
      target: '≥ 0.5',
      met: result.median >= chain.median / 2,
      note: cost(result),
    }))
  },
}
