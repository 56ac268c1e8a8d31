import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { comparedRow, createTopics, dragoman, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool, type Report } from '../harness/tools.ts'
import { kafkaJars, resolveKafka } from '../peers/kafka.ts'
import type { Durability, Peer } from '../peers/peer.ts'

/** One application alone, and many: a transaction is a chain of requests that each wait for the one before. */
const shapes = [
  { name: '1 producer, 1 partition', producers: 1, partitions: 1 },
  { name: '16 producers, 10 partitions', producers: 16, partitions: 10 },
] as const

/** The older protocol of transactions, and the newer. */
const clients = { librdkafka, "Kafka's own client": java }

interface Load {
  name: string
  producers: number
  partitions: number
  run(words: (string | number)[], seconds: number): Promise<Report>
}

const loads: Load[] = Object.entries(clients).flatMap(([client, run]) =>
  shapes.map(shape => ({ ...shape, name: `${client}, ${shape.name}`, run })),
)

const recordsPerTransaction = 100
const recordBytes = 100
const target = 5

export const claim: Claim = {
  title: "Transactions of 100 records: at least 5 times as many commits per second as Apache Kafka's default.",
  method:
    'Records of 100 bytes, each producer with a transactional id of its own; one broker each. Kafka with its defaults, which flush ' +
    'nothing. Ours as it is by default, with every commit on the disk, and with `--durability os`, which promises what Kafka does.',
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
          const words = `${load.name}; ours with \`--durability ${what}\``
          const title = peer.title('os')
          rows.push(comparedRow({ what: words, unit: 'commits/s', ours: result, theirs, peer: title, atLeast: target }))
        }
      }
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, durability: Durability, { producers, partitions, run }: Load): Side {
  return {
    name: peer.title(durability),
    run: () =>
      bench.withBroker(peer, durability, async running => {
        await createTopics(running.address, ['bench'], partitions)
        const words = ['--brokers', running.address, '--topic', 'bench', '--partitions', partitions]
        const sizes = ['--producers', producers, '--records', recordsPerTransaction, '--size', recordBytes]
        const load = () => run([...words, ...sizes], bench.options.seconds)
        return bench.measure(running, load, report => report['commitsPerSecond'] ?? 0)
      }),
  }
}

/** A JVM compiles what it runs often: the broker is given time for that, and so are we. */
const warmupSeconds = 3

async function librdkafka(words: (string | number)[], seconds: number): Promise<Report> {
  await runTool('kafka-transactions', ...words, '--seconds', warmupSeconds)
  return runTool('kafka-transactions', ...words, '--seconds', seconds)
}

async function java(words: (string | number)[], seconds: number): Promise<Report> {
  const missing = resolveKafka()
  if (missing !== undefined) throw new Error(missing)
  const program = join(import.meta.dirname, '..', 'load', 'KafkaTransactions.java')
  const times = ['--warmup', warmupSeconds, '--seconds', seconds]
  const args = ['-Xmx512m', '-Dlog4j2.level=off', '-cp', `${kafkaJars}/*`, program, ...words, ...times]
  const { stdout } = await promisify(execFile)('java', args.map(String))
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Report
}
