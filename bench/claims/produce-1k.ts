import { spawnSync } from 'node:child_process'
import {
  clientShare,
  cost,
  createTopics,
  dragoman,
  mb,
  spread,
  type Bench,
  type Claim,
  type Row,
  type Side,
} from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'

/** Bytes that the raw disk writes in one run: enough for seconds, little enough for small machines. */
const rawMib = 2048

export const claim: Claim = {
  title: 'Durable produce of 1 KiB records reaches half of what raw 1 MiB `O_DSYNC` writes reach on the same disk.',
  method:
    'One topic of one partition, acks=all, batches up to 1 MB, every block fsynced before its answer. `librdkafka` is an ' +
    'ordinary client, which compresses nothing and still keeps a core busy; `raw` sends prebuilt batches, 16 in flight, and checks the answers, so that the ' +
    'client costs next to nothing.',
  async run(bench: Bench): Promise<Row[]> {
    const produce = (name: string, load: 'raw' | 'librdkafka'): Side => ({
      name,
      run: () =>
        bench.withBroker(dragoman, 'fsync', async running => {
          await createTopics(running.address, ['bench'])
          const words = ['--topic', 'bench', '--seconds', bench.options.seconds, '--size', 1024]
          if (load === 'raw') words.push('--window', 16)
          return bench.measure(running, () => bench[load]('produce', running, ...words), mb)
        }),
    })
    const disk: Side = {
      name: 'raw disk, 1 MiB O_DSYNC',
      async run() {
        spawnSync('sync') // What the brokers left in the page cache is not the raw disk's to write.
        return { value: mb(await runTool('disk', 'write', bench.root, rawMib)) }
      },
    }
    const [raw, rdkafka, limit] = await bench.compare([
      produce('raw', 'raw'),
      produce('librdkafka', 'librdkafka'),
      disk,
    ])
    if (raw === undefined || rdkafka === undefined || limit === undefined) return []
    return [rdkafka, raw].map(result => ({
      what: `produce, ${result.name}`,
      value: spread(result, 'MB/s'),
      reference: `raw disk ${spread(limit, 'MB/s')}`,
      ratio: result.median / limit.median,
      target: '≥ 0.5, or the client is at its limit',
      met: result.median >= limit.median / 2 || clientShare(result) >= 0.95,
      note: cost(result),
    }))
  },
}
