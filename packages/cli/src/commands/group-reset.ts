import { text, toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster, type Cluster, type TopicPartitions } from '../cluster.ts'
import { CommandError, defineCommand, option, repeated, required, UsageError } from '../command.ts'
import { check } from '../errors.ts'
import { commitOffsets, committedOffsets, noMember } from '../group-offsets.ts'
import { describeShareGroup, moveShareGroup, shareOffsets } from '../share-groups.ts'
import { offsetsAt, position, type PartitionOffsets } from '../positions.ts'
import { formatTable, print } from '../table.ts'

export const groupReset = defineCommand({
  name: 'group reset',
  summary: 'Move the committed offsets of a group, or where a share group begins.',
  words: [{ name: 'GROUP', help: 'Name of a group without members.' }],
  options: {
    ...brokerOptions,
    to: required(position, 'Where the group shall go on.'),
    topic: repeated(
      text('TOPIC[:PARTITION,...]', 'a topic, with partitions after a colon if not all'),
      'What to move.',
    ),
    allTopics: option(toggle, false, 'Move every topic that the group has committed offsets of.'),
    execute: option(toggle, false, 'Do it. Without this, only the plan is printed.'),
  },
  examples: [
    ['dragoman group reset billing --topic orders --to beginning', 'Prints what would change.'],
    [
      'dragoman group reset billing --topic orders:0,1 --to 2026-01-31T00:00:00Z --execute',
      'Moves two partitions to the first record of that day.',
    ],
    ['dragoman group reset billing --all-topics --to end --execute', 'Skips all that is waiting.'],
  ],
  async run({ options, words: [group = ''] }) {
    const { to, topic: wanted, allTopics, execute } = options
    if (allTopics === wanted.length > 0) throw new UsageError('Give either --topic or --all-topics')
    await withCluster(options, async cluster => {
      const isShared = (await describeShareGroup(cluster, group)) !== undefined
      const before = await (isShared ? shareOffsets : committedOffsets)(cluster, group)
      const topics = await chooseTopics(cluster, allTopics ? [...before.keys()] : wanted)
      if (topics.length === 0) throw new CommandError(`Group "${group}" has committed no offsets`)
      const after = await offsetsAt(cluster, topics, to)
      print(plan(before, after))
      if (!execute) return print('\nNothing was changed: this is the plan, and --execute carries it out')
      const code = isShared
        ? await moveShareGroup(cluster, group, after)
        : await commitOffsets(cluster, group, after, noMember)
      check(code, `Cannot move group "${group}"`)
      print(`\n${group} moved`)
    })
    return undefined
  },
})

async function chooseTopics(cluster: Cluster, wanted: readonly string[]): Promise<TopicPartitions[]> {
  const chosen = wanted.map(parseTopic)
  const known = await cluster.topics(chosen.map(({ topic }) => topic))
  return known.map(found => {
    const partitions = chosen.find(({ topic }) => topic === found.topic)?.partitions ?? found.partitions
    const absent = partitions.find(partition => !found.partitions.includes(partition))
    if (absent !== undefined) throw new CommandError(`Topic "${found.topic}" has no partition ${absent}`)
    return { ...found, partitions }
  })
}

function parseTopic(text: string): { topic: string; partitions: number[] | undefined } {
  const match = /^([^:]+)(?::(\d{1,9}(?:,\d{1,9})*))?$/.exec(text)
  if (!match) throw new UsageError(`Cannot take "${text}" for --topic: it takes TOPIC or TOPIC:PARTITION,PARTITION`)
  return { topic: match[1] ?? '', partitions: match[2]?.split(',').map(Number) }
}

function plan(before: PartitionOffsets, after: PartitionOffsets): string {
  const rows: (string | number)[][] = []
  for (const [topic, partitions] of after) {
    for (const [partition, offset] of partitions)
      rows.push([topic, partition, before.get(topic)?.get(partition) ?? '-', offset])
  }
  return formatTable(['TOPIC', 'PARTITION', 'COMMITTED', 'NEW'], rows)
}
