import { apis } from '@dragoman/broker/kafka-messages'
import { count, text } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, optional, repeated, UsageError } from '../command.ts'
import { check } from '../errors.ts'
import { assignment } from '../settings.ts'
import { print } from '../table.ts'

const topicResource = 2
const operations = { set: 0, remove: 1 } as const

export const topicAlter = defineCommand({
  name: 'topic alter',
  summary: 'Add partitions to a topic, or change its settings.',
  words: [{ name: 'TOPIC', help: 'Name of the topic.' }],
  options: {
    ...brokerOptions,
    partitions: optional(
      count(1, 100_000),
      'How many there shall be in all. Keys then go to other partitions than before.',
    ),
    set: repeated(assignment, 'A setting and its new value.'),
    unset: repeated(text('NAME', 'the name of a setting'), 'A setting that shall have its default again.'),
  },
  examples: [
    ['dragoman topic alter orders --partitions 12', 'Adds partitions until there are twelve.'],
    [
      'dragoman topic alter orders --set retention.ms=86400000 --unset retention.bytes',
      'Keeps a day, whatever its size.',
    ],
  ],
  async run({ options, words: [topic = ''] }) {
    const { partitions, set, unset } = options
    if (partitions === undefined && set.length === 0 && unset.length === 0) {
      throw new UsageError('Nothing to alter: give --partitions, --set or --unset')
    }
    await withCluster(options, async cluster => {
      if (set.length > 0 || unset.length > 0) {
        const configs = [
          ...set.map(([name, value]) => ({ name, configOperation: operations.set, value })),
          ...unset.map(name => ({ name, configOperation: operations.remove, value: null })),
        ]
        const { responses } = await cluster.request(apis.incrementalAlterConfigs, {
          resources: [{ resourceType: topicResource, resourceName: topic, configs }],
        })
        for (const { errorCode, errorMessage } of responses)
          check(errorCode, `Cannot alter topic "${topic}"`, errorMessage)
        print(`${topic}: settings changed`)
      }
      if (partitions !== undefined) {
        const { results } = await cluster.request(apis.createPartitions, {
          topics: [{ name: topic, count: partitions, assignments: null }],
          timeoutMs: 30_000,
        })
        for (const { errorCode, errorMessage } of results)
          check(errorCode, `Cannot add partitions to "${topic}"`, errorMessage)
        print(`${topic}: ${partitions} partitions`)
      }
    })
    return undefined
  },
})
