import {
  comparedRow,
  createTopics,
  dragoman,
  mb,
  type Bench,
  type Claim,
  type Row,
  type Side,
} from '../harness/bench.ts'
import type { Durability, Peer } from '../peers/peer.ts'

interface Load {
  name: string
  tool: 'raw' | 'librdkafka'
  partitions: number
  words: (string | number)[]
}

/** From one busy pipeline of large batches to many producers that each wait for their own record. */
const loads: Load[] = [
  { name: 'librdkafka, batches to 1 MB', tool: 'librdkafka', partitions: 1, words: [] },
  { name: 'raw, 1 MB batches, 8 in flight', tool: 'raw', partitions: 1, words: ['--window', 8] },
  {
    name: 'raw, 16 KiB batches, 16 connections × 5 in flight, 16 partitions',
    tool: 'raw',
    partitions: 16,
    words: ['--batch-bytes', 16_576, '--conns', 16, '--window', 5, '--partitions', 16],
  },
  {
    name: 'raw, one record each, 32 connections × 5 in flight, 16 partitions',
    tool: 'raw',
    partitions: 16,
    words: ['--batch-bytes', 1036, '--conns', 32, '--window', 5, '--partitions', 16],
  },
]

const targets = { os: 1.5, fsync: 5 } as const

export const claim: Claim = {
  title:
    'Produce of 1 KiB records against Apache Kafka: at least 1.5 times with no flush on either side, 5 times with a flush per acknowledgement on both.',
  method:
    'acks=all, one broker each. No flush: `--durability os` and Kafka with its defaults. Flush: `--durability fsync` and ' +
    '`log.flush.interval.messages=1`, so that neither acknowledges what is not on the disk.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    for (const peer of bench.peers()) {
      for (const durability of ['os', 'fsync'] as const) {
        for (const load of loads) {
          bench.log(` ${load.name}; ${durability}`)
          const [ours, theirs] = await bench.compare([
            side(bench, dragoman, durability, load),
            side(bench, peer, durability, load),
          ])
          if (ours === undefined || theirs === undefined) continue
          const target = targets[durability]
          const what = `${load.name}; ${durability === 'os' ? 'no flush' : 'flush'}`
          rows.push(comparedRow({ what, unit: 'MB/s', ours, theirs, peer: peer.title(durability), atLeast: target }))
        }
      }
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, durability: Durability, load: Load): Side {
  return {
    name: peer.title(durability),
    run: () =>
      bench.withBroker(peer, durability, async running => {
        await createTopics(running.address, ['bench'], load.partitions)
        const words = ['--topic', 'bench', '--size', 1024, ...load.words]
        // A JVM compiles what it runs often: it is given time for that, and so are we.
        await bench[load.tool]('produce', running, ...words, '--seconds', 2)
        return bench.measure(
          running,
          () => bench[load.tool]('produce', running, ...words, '--seconds', bench.options.seconds),
          mb,
        )
      }),
  }
}
