import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { KafkaConnection } from '../../packages/broker/src/protocols/kafka/client.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { repository } from '../../test/support/dragoman.ts'
import { cost, createTopics, dragoman, spread, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import type { Report } from '../harness/tools.ts'
import type { Running } from '../peers/peer.ts'

const perSecondMin = 50_000
const partitions = 4
const members = 4
const groupResource = 32
const opSet = 0

export const claim: Claim = {
  title: 'A share group acquires and accepts 50,000 records of 1 KiB a second, each by an acknowledgement of its own.',
  method:
    `A backlog of 500,000 records in ${partitions} partitions, as batches of 16 KiB or of 1 MiB; then ${members} members in one process, each ` +
    'on a connection of its own, fetch up to 500 records at a time and accept those before with the same request, record by record. An ' +
    'acceptance counts when its answer has come: it is durable then. Durability fsync.',
  async run(bench: Bench): Promise<Row[]> {
    const records = Math.round(500_000 * bench.options.scale)
    const side = (name: string, batchBytes: number): Side => ({
      name,
      run: round =>
        bench.withBroker(dragoman, 'fsync', async running => {
          const group = `group-${round}`
          await createTopics(running.address, ['bench'], partitions)
          await beginAtStart(running, group)
          const words = ['--partitions', partitions, '--conns', 2, '--count', records, '--batch-bytes', batchBytes]
          const made = await bench.raw('produce', running, '--topic', 'bench', ...words)
          const count = Math.min(records, made['records'] ?? 0)
          return bench.measure(
            running,
            () => load(running, group, count),
            report => report['recordsPerSecond'] ?? 0,
          )
        }),
    })
    const results = await bench.compare([side('batches of 16 KiB', 16 * 1024), side('batches of 1 MiB', 1 << 20)])
    return results.map(result => ({
      what: `acquire and accept 1 KiB records, ${result.name}`,
      value: spread(result, 'records/s'),
      reference: '–',
      target: '≥ 50,000 records/s',
      met: result.median >= perSecondMin,
      note: cost(result),
    }))
  },
}

async function beginAtStart({ port }: Running, group: string): Promise<void> {
  const connection = await KafkaConnection.open(await realRuntime().network.connect({ host: '127.0.0.1', port }))
  const { responses } = await connection.request(apis.incrementalAlterConfigs, {
    resources: [
      {
        resourceType: groupResource,
        resourceName: group,
        configs: [{ name: 'share.auto.offset.reset', configOperation: opSet, value: 'earliest' }],
      },
    ],
  })
  connection.close()
  const error = responses[0]?.errorCode
  if (error !== 0) throw new Error(`The group cannot be configured: ${error}`)
}

async function load({ port }: Running, group: string, count: number): Promise<Report> {
  const program = join(repository, 'bench', 'load', 'share-members.ts')
  const words = [program, port, group, 'bench', count, members].map(String)
  const { stdout } = await promisify(execFile)(process.execPath, words)
  return JSON.parse(stdout) as Report
}
