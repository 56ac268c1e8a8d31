import { choice, count, text, toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster, type Cluster, type TopicPartitions } from '../cluster.ts'
import { CommandError, defineCommand, option, optional, repeated, UsageError } from '../command.ts'
import { fetchRecords, type Fetched } from '../fetcher.ts'
import { GroupMember } from '../group-member.ts'
import { committedOffsets } from '../group-offsets.ts'
import { Interruption } from '../interruption.ts'
import { queueOptions } from '../queue-connection.ts'
import { consumeQueue, queueConsumeOptions } from '../queue-reader.ts'
import { ShareReader } from '../share-reader.ts'
import { offsetsAt, position, type PartitionOffsets, type Position } from '../positions.ts'
import { formatRecord, recordFormats, type FormatOptions } from '../record-formats.ts'

const waitMs = 500
const commitMs = 1_000

export const consume = defineCommand({
  name: 'consume',
  summary: 'Print the messages of topics, or take those of a queue.',
  words: [{ name: 'TOPIC', help: 'The topics. Left out with --queue.', optional: true, many: true }],
  options: {
    ...brokerOptions,
    from: option(position, { kind: 'beginning' }, 'Where to begin; in a group, only where it has committed nothing.'),
    partition: repeated(count(0, 1_000_000, 'NUMBER'), 'Only this partition.'),
    group: optional(text('GROUP', 'a name'), 'Read as a member of this group, and commit what was printed.'),
    shareGroup: optional(
      text('GROUP', 'a name'),
      'Read as a member of this share group, and accept what was printed: each message goes to one member.',
    ),
    follow: option(toggle, false, 'Wait for what comes, until interrupted. Without this, stop at what is the end now.'),
    max: option(count(0, 1e15), 1e15, 'Stop after so many messages.'),
    format: option(
      choice(...recordFormats),
      'text',
      'text: values; json: as publish --json takes it; hex: topic/partition, offset, key, value.',
    ),
    keySeparator: optional(text('TEXT', 'a text'), 'In text: print the key and this before the value.'),
    ...queueOptions,
    ...queueConsumeOptions,
  },
  examples: [
    ['dragoman consume orders', 'All that the topic holds, then stop.'],
    ['dragoman consume orders --from last:10 --follow', 'The last ten of each partition, then whatever comes.'],
    [
      'dragoman consume orders --from ago:15m --format json',
      'The last quarter of an hour, with keys, offsets and headers.',
    ],
    ['dragoman consume orders --group billing --follow', 'Shares the work with the other members of the group.'],
    [
      'dragoman consume orders --share-group packers --follow',
      'Message by message with others, whatever the partitions.',
    ],
    ['dragoman consume orders --partition 0 --from 4711 --max 1 --format hex', 'One certain message, byte by byte.'],
    ['dragoman consume --queue work --follow', 'Takes what is in a queue, and what comes; they are gone then.'],
    ['dragoman consume --queue work --ack requeue --format json', 'Looks at what waits, and gives it back.'],
  ],
  notes: `Order holds within a partition. With a group a message is printed at least once: what was printed is committed every second and at
the end. A share group has no order: where it begins is its configuration, and what its members do not accept comes again.
Of a queue's messages, json shows exchange and properties, too.`,
  async run({ options, words: topics }) {
    const { group, shareGroup, partition: only, from, follow, max, queue } = options
    if (queue !== undefined) {
      if (topics.length > 0) throw new UsageError('Give either topics or --queue')
      if (group !== undefined || shareGroup !== undefined || only.length > 0 || from.kind !== 'beginning')
        throw new UsageError('--from, --partition, --group and --share-group are for topics')
      await consumeQueue({ ...options, queue }, print)
      return undefined
    }
    if (topics.length === 0) throw new UsageError('TOPIC is missing; see dragoman help consume')
    if (options.ack !== 'ack') throw new UsageError('--ack is for queues')
    if (shareGroup !== undefined && (group !== undefined || only.length > 0))
      throw new UsageError('Give --share-group without --group and --partition: the group assigns partitions itself')
    if (group !== undefined && only.length > 0)
      throw new UsageError('Give either --group or --partition: a group assigns partitions itself')
    await withCluster(options, async cluster => {
      const found = (await cluster.topics(topics)).map(topic => narrow(topic, only))
      const reader = new Reader(cluster, options, { from, follow, max })
      if (shareGroup !== undefined) await reader.readShared(found, shareGroup)
      else if (group === undefined) await reader.readAll(found)
      else await reader.readAsMember(found, group)
    })
    return undefined
  },
})

function narrow(topic: TopicPartitions, only: readonly number[]): TopicPartitions {
  const absent = only.find(partition => !topic.partitions.includes(partition))
  if (absent !== undefined) throw new CommandError(`Topic "${topic.topic}" has no partition ${absent}`)
  return only.length === 0 ? topic : { ...topic, partitions: [...only] }
}

interface Extent {
  from: Position
  follow: boolean
  max: number
}

class Reader {
  readonly #cluster: Cluster
  readonly #format: FormatOptions
  readonly #extent: Extent
  #printed = 0
  readonly #interruption = new Interruption()

  constructor(cluster: Cluster, format: FormatOptions, extent: Extent) {
    this.#cluster = cluster
    this.#format = format
    this.#extent = extent
  }

  async readAll(topics: readonly TopicPartitions[]): Promise<void> {
    const ends = await offsetsAt(this.#cluster, topics, { kind: 'end' })
    const positions = await offsetsAt(this.#cluster, topics, this.#extent.from)
    while (!this.#isDone(positions, ends)) await this.#step(positions, ends)
  }

  async readAsMember(topics: readonly TopicPartitions[], group: string): Promise<void> {
    const member = new GroupMember(
      this.#cluster,
      group,
      topics.map(({ topic }) => topic),
    )
    let done = false
    while (!done) {
      const assigned = [...(await member.join())].map(([topic, partitions]) => ({ topic, id: '', partitions }))
      done = await this.#readAssigned(member, group, assigned)
    }
    await member.leave()
  }

  /** Ends when nothing has come for a while, unless it follows: nobody knows which messages are for this member. */
  async readShared(topics: readonly TopicPartitions[], group: string): Promise<void> {
    const reader = new ShareReader(this.#cluster, group, topics)
    const { follow, max } = this.#extent
    while (!this.#interruption.isThere && this.#printed < max) {
      const found = await reader.next(max - this.#printed)
      if (found.length === 0 && !follow) break
      this.#printed += found.length
      const out = found.map(({ topic, partition, record }) => formatRecord(topic, partition, record, this.#format))
      if (out.length > 0) await print(Buffer.concat(out))
    }
    await reader.close()
  }

  /** False when the group has begun another generation. */
  async #readAssigned(member: GroupMember, group: string, assigned: readonly TopicPartitions[]): Promise<boolean> {
    const ends = await offsetsAt(this.#cluster, assigned, { kind: 'end' })
    const positions = await offsetsAt(this.#cluster, assigned, this.#extent.from)
    const committed = await committedOffsets(this.#cluster, group, assigned)
    for (const [topic, partitions] of committed)
      for (const [partition, offset] of partitions) positions.get(topic)?.set(partition, offset)
    let committedMs = performance.now()
    while (!this.#isDone(positions, ends)) {
      await this.#step(positions, ends)
      const stays = await member.beat()
      if (stays && performance.now() - committedMs < commitMs) continue
      if (!(await member.commit(positions)) || !stays) return false
      committedMs = performance.now()
    }
    await member.commit(positions)
    return true
  }

  #isDone(positions: PartitionOffsets, ends: PartitionOffsets): boolean {
    if (this.#interruption.isThere || this.#printed >= this.#extent.max) return true
    return !this.#extent.follow && unfinished(positions, ends).size === 0
  }

  /** Fetches once and prints; positions move behind what was printed. */
  async #step(positions: PartitionOffsets, ends: PartitionOffsets): Promise<void> {
    const wanted = this.#extent.follow ? positions : unfinished(positions, ends)
    const out: Buffer[] = []
    for (const fetched of await fetchRecords(this.#cluster, wanted, waitMs)) {
      const end = this.#extent.follow ? Infinity : (ends.get(fetched.topic)?.get(fetched.partition) ?? 0)
      positions.get(fetched.topic)?.set(fetched.partition, this.#print(fetched, end, out))
    }
    if (out.length > 0) await print(Buffer.concat(out))
  }

  /** Returns where the partition goes on. */
  #print({ topic, partition, records, next }: Fetched, end: number, out: Buffer[]): number {
    for (const record of records) {
      if (record.offset >= end) return end
      if (this.#printed >= this.#extent.max) return record.offset
      out.push(formatRecord(topic, partition, record, this.#format))
      this.#printed++
    }
    return next
  }
}

/** What has not been read to its end. */
function unfinished(positions: PartitionOffsets, ends: PartitionOffsets): PartitionOffsets {
  const left: PartitionOffsets = new Map()
  for (const [topic, partitions] of positions) {
    const open = [...partitions].filter(([partition, offset]) => offset < (ends.get(topic)?.get(partition) ?? 0))
    if (open.length > 0) left.set(topic, new Map(open))
  }
  return left
}

/** Resolves when the bytes have left: only then may they be committed. */
const print = (bytes: Buffer): Promise<void> =>
  new Promise((resolve, reject) => {
    process.stdout.write(bytes, error => (error ? reject(error) : resolve()))
  })
