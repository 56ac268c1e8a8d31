import { cost, createTopics, dragoman, spread, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import type { Durability, Peer } from '../peers/peer.ts'

/** One application alone, and many: a transaction is a chain of requests that each wait for the one before. */
const loads = [
  { name: '1 producer, 1 partition', producers: 1, partitions: 1 },
  { name: '1 producer, 10 partitions', producers: 1, partitions: 10 },
  { name: '16 producers, 10 partitions', producers: 16, partitions: 10 },
] as const
type Load = (typeof loads)[number]

const recordsPerTransaction = 100
const recordBytes = 100
const target = 5

export const claim: Claim = {
  title: "Transactions of 100 records: at least 5 times as many commits per second as Apache Kafka's default.",
  method:
    'librdkafka, records of 100 bytes, each producer with a transactional id of its own; one broker each. Kafka with its ' +
    'defaults (no flush; one partition of its log of transactions would hold the ids of one producer). Ours both as it is by default, ' +
    'with every commit on the disk, and with `--durability os`, which promises what Kafka does.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    for (const peer of bench.peers()) {
      for (const load of loads) {
        bench.log(` ${load.name}`)
        const [durable, ours, theirs] = await bench.compare([
          side(bench, dragoman, 'fsync', load),
          side(bench, dragoman, 'os', load),
          side(bench, peer, 'os', load),
        ])
        if (durable === undefined || ours === undefined || theirs === undefined) continue
        for (const [what, result] of [
          ['fsync', durable],
          ['os', ours],
        ] as const) {
          rows.push({
            what: `${load.name}; ours with \`--durability ${what}\``,
            value: spread(result, 'commits/s'),
            reference: `${peer.title('os')}: ${spread(theirs, 'commits/s')}`,
            ratio: result.median / theirs.median,
            target: `≥ ${target}`,
            met: result.median >= theirs.median * target,
            note: `${cost(result)} – theirs: ${cost(theirs)}`,
          })
        }
      }
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, durability: Durability, { producers, partitions }: Load): Side {
  return {
    name: peer.title(durability),
    run: () =>
      bench.withBroker(peer, durability, async running => {
        await createTopics(running.address, ['bench'], partitions)
        const words: (string | number)[] = ['--brokers', running.address, '--topic', 'bench', '--partitions', partitions]
        words.push('--producers', producers, '--records', recordsPerTransaction, '--size', recordBytes)
        // A JVM compiles what it runs often: it is given time for that, and so are we.
        await runTool('kafka-transactions', ...words, '--seconds', 2)
        const load = () => runTool('kafka-transactions', ...words, '--seconds', bench.options.seconds)
        return bench.measure(running, load, report => report['commitsPerSecond'] ?? 0)
      }),
  }
}
