import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { formatTable, print, printJson } from '../table.ts'

export const topicList = defineCommand({
  name: 'topic list',
  summary: 'List all topics.',
  words: [],
  options: { ...brokerOptions, json: option(toggle, false, 'Print JSON.') },
  examples: [['dragoman topic list', 'Names and numbers of partitions.']],
  async run({ options }) {
    const { json } = options
    const topics = await withCluster(options, cluster => cluster.topics(null))
    if (json) printJson(topics.map(({ topic, id, partitions }) => ({ topic, id, partitions: partitions.length })))
    else if (topics.length > 0)
      print(
        formatTable(
          ['TOPIC', 'PARTITIONS'],
          topics.map(({ topic, partitions }) => [topic, partitions.length]),
        ),
      )
    return undefined
  },
})
