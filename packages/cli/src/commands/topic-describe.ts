import { apis } from '@dragoman/broker/kafka-messages'
import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster, type Cluster, type TopicPartitions } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { check } from '../errors.ts'
import { offsetsAt, type PartitionOffsets } from '../positions.ts'
import { formatTable, print, printJson } from '../table.ts'

const topicResource = 2
/** Where a setting comes from: set on the topic itself. */
const topicSource = 1

export const topicDescribe = defineCommand({
  name: 'topic describe',
  summary: 'Show the partitions, offsets and settings of topics.',
  words: [{ name: 'TOPIC', help: 'Name of the topic.', many: true }],
  options: {
    ...brokerOptions,
    allSettings: option(toggle, false, 'Show the settings that have their default, too.'),
    json: option(toggle, false, 'Print JSON.'),
  },
  examples: [
    ['dragoman topic describe orders', 'What each partition holds, and what was set.'],
    ['dragoman topic describe orders --all-settings', 'With the defaults.'],
  ],
  async run({ options, words }) {
    const { json, allSettings } = options
    await withCluster(options, async cluster => {
      const topics = await cluster.topics(words)
      const described = []
      for (const topic of topics) described.push(await describeTopic(cluster, topic, allSettings))
      if (json) printJson(described)
      else print(described.map(showTopic).join('\n\n'))
    })
    return undefined
  },
})

interface Described {
  topic: string
  id: string
  partitions: { partition: number; start: number; end: number }[]
  settings: { name: string; value: string | null; set: boolean }[]
}

async function describeTopic(cluster: Cluster, topic: TopicPartitions, allSettings: boolean): Promise<Described> {
  const starts = await offsetsAt(cluster, [topic], { kind: 'beginning' })
  const ends = await offsetsAt(cluster, [topic], { kind: 'end' })
  const { results } = await cluster.request(apis.describeConfigs, {
    resources: [{ resourceType: topicResource, resourceName: topic.topic, configurationKeys: null }],
  })
  const [result] = results
  check(result?.errorCode ?? 0, `Cannot read the settings of "${topic.topic}"`, result?.errorMessage)
  const settings = (result?.configs ?? [])
    .map(({ name, value, configSource }) => ({ name, value, set: configSource === topicSource }))
    .filter(({ set }) => set || allSettings)
  const at = (offsets: PartitionOffsets, partition: number): number => offsets.get(topic.topic)?.get(partition) ?? 0
  const partitions = topic.partitions.map(partition => ({
    partition,
    start: at(starts, partition),
    end: at(ends, partition),
  }))
  return { topic: topic.topic, id: topic.id, partitions, settings }
}

function showTopic({ topic, id, partitions, settings }: Described): string {
  const rows = partitions.map(({ partition, start, end }) => [partition, start, end, end - start])
  const lines = [`${topic}  (id ${id})`, '', formatTable(['PARTITION', 'START', 'END', 'OFFSETS'], rows)]
  if (settings.length > 0) {
    lines.push(
      '',
      formatTable(
        ['SETTING', 'VALUE', ''],
        settings.map(({ name, value, set }) => [name, value ?? '', set ? 'set' : 'default']),
      ),
    )
  }
  return lines.join('\n')
}
