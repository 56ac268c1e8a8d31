import {
  cost,
  createTopics,
  dragoman,
  format,
  summarize,
  type Bench,
  type Claim,
  type Result,
  type Row,
  type Side,
} from '../harness/bench.ts'
import type { Durability, Peer } from '../peers/peer.ts'

const p99MsMax = 5

interface Latency {
  p50: number
  p99: number
  p999: number
}

export const claim: Claim = {
  title:
    'At 2,000 records a second a consumer at the tail has 99 % of them within 5 ms of their send, durability fsync.',
  method:
    'librdkafka, linger 0, acks=all, 1 KiB records, producer and consumer in one process and on one clock; the first ' +
    'second is left out. Each run is of `--seconds`; figures are medians over the runs.',
  async run(bench: Bench): Promise<Row[]> {
    const others = bench
      .peers()
      .flatMap(peer => (['os', 'fsync'] as const).map((durability): [Peer, Durability] => [peer, durability]))
    const all: [Peer, Durability][] = [[dragoman, 'fsync'], [dragoman, 'os'], ...others]
    const seen = all.map((): Latency[] => [])
    const sides = all.map(([peer, durability], index): Side => ({
      name: peer.title(durability),
      run: () =>
        bench.withBroker(peer, durability, async running => {
          await createTopics(running.address, ['bench'])
          // Warm both up alike before the run that counts.
          await bench.librdkafka('latency', running, '--topic', 'bench', '--seconds', 3)
          return bench.measure(
            running,
            () => bench.librdkafka('latency', running, '--topic', 'bench', '--seconds', bench.options.seconds),
            report => {
              seen[index]?.push({ p50: report['p50Ms'] ?? 0, p99: report['p99Ms'] ?? 0, p999: report['p999Ms'] ?? 0 })
              return report['p99Ms'] ?? Number.NaN
            },
          )
        }),
    }))
    const results = await bench.compare(sides)
    const [ours, weaker] = results
    const text = (index: number): string => {
      const median = (pick: (latency: Latency) => number): string =>
        format(
          summarize(
            '',
            (seen[index] ?? []).map(latency => ({ value: pick(latency) })),
          ).median,
        )
      return `p50 ${median(l => l.p50)}, p99 ${median(l => l.p99)}, p99.9 ${median(l => l.p999)} ms`
    }
    const row = (own: number, result: Result, reference: string): Row => ({
      what: sides[own]?.name ?? '',
      value: text(own),
      reference,
      target: `p99 < ${p99MsMax} ms`,
      met: result.median < p99MsMax,
      note: cost(result),
    })
    if (ours === undefined || weaker === undefined) return []
    const [noFlush, flush] =
      others.length > 0 ? [2, 3].map(index => `${sides[index]?.name}: ${text(index)}`) : ['–', '–']
    return [row(0, ours, flush ?? '–'), row(1, weaker, noFlush ?? '–')]
  },
}
