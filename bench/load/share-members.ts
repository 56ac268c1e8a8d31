import { KafkaConnection } from '../../packages/broker/src/protocols/kafka/client.ts'
import { ShareMember, type Acknowledgement } from '../../packages/broker/src/protocols/kafka/share-member.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'

/**
 * Members of a share group, each on a connection of its own: takes up to 500 records and accepts the ones before with the same
 * request, every record by an acknowledgement of its own. Prints one JSON line when `count` records are accepted.
 *
 *   share-members.ts PORT GROUP TOPIC COUNT MEMBERS
 */
const [port, group = '', topic = '', count, members] = process.argv.slice(2)
const wanted = Number(count)
const recordsMax = 500
let accepted = 0
let errors = 0

async function open(index: number): Promise<ShareMember> {
  const socket = await realRuntime().network.connect({ host: '127.0.0.1', port: Number(port) })
  return new ShareMember(await KafkaConnection.open(socket), group, `member-${index}`)
}

async function work(member: ShareMember): Promise<void> {
  let held: Acknowledgement[] = []
  while (accepted < wanted) {
    const answer = await member.fetch({ maxRecords: recordsMax, maxWaitMs: 100, maxBytes: 8 << 20 }, held)
    accepted += held.length
    held = []
    if (answer.errorCode !== 0) throw new Error(`share fetch: ${answer.errorCode}`)
    for (const { topicId, partitions } of answer.responses) {
      for (const { partitionIndex: partition, errorCode, acknowledgeErrorCode, acquiredRecords } of partitions) {
        if (errorCode !== 0 || acknowledgeErrorCode !== 0) errors++
        for (const { firstOffset, lastOffset } of acquiredRecords) {
          for (let first = firstOffset; first <= lastOffset; first++) {
            held.push({ topicId, partition, first, as: 'accept' })
          }
        }
      }
    }
  }
}

const all = await Promise.all(Array.from({ length: Number(members) }, (_, index) => open(index)))
for (const member of all) await member.join([topic])
for (const member of all) await member.heartbeat()
const startedAt = performance.now()
const before = process.cpuUsage()
await Promise.all(all.map(work))
const seconds = (performance.now() - startedAt) / 1e3
const { user, system } = process.cpuUsage(before)
for (const member of all) member.connection.close()
process.stdout.write(
  `${JSON.stringify({ records: accepted, seconds, recordsPerSecond: accepted / seconds, cpuSeconds: (user + system) / 1e6, errors })}\n`,
)
