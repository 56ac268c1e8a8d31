import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import { count, toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option, optional, repeated } from '../command.ts'
import { check } from '../errors.ts'
import { assignment } from '../settings.ts'
import { print } from '../table.ts'

export const topicCreate = defineCommand({
  name: 'topic create',
  summary: 'Create topics.',
  words: [{ name: 'TOPIC', help: 'Name of the topic: letters, digits, ".", "_" and "-".', many: true }],
  options: {
    ...brokerOptions,
    partitions: optional(count(1, 100_000), 'Partitions of each topic; without it, what the broker gives by default.'),
    config: repeated(assignment, 'A setting of the topic, as retention.ms=3600000.'),
    ifNotExists: option(toggle, false, 'Be content with a topic that is there already.'),
    dryRun: option(toggle, false, 'Check everything and create nothing.'),
  },
  examples: [
    ['dragoman topic create orders --partitions 6', 'A topic of six partitions.'],
    [
      'dragoman topic create logs --config retention.ms=3600000 --config retention.bytes=1073741824',
      'Keeps an hour, and at most 1 GiB of each partition.',
    ],
  ],
  async run({ options, words }) {
    const { partitions = -1, config, ifNotExists, dryRun } = options
    await withCluster(options, async cluster => {
      const configs = config.map(([name, value]) => ({ name, value }))
      const answer = await cluster.request(apis.createTopics, {
        topics: words.map(name => ({
          name,
          numPartitions: partitions,
          replicationFactor: -1,
          assignments: [],
          configs,
        })),
        timeoutMs: 30_000,
        validateOnly: dryRun,
      })
      for (const { name, errorCode, errorMessage, numPartitions } of answer.topics) {
        if (ifNotExists && errorCode === codes.topicAlreadyExists) continue
        check(errorCode, `Cannot create topic "${name}"`, errorMessage)
        const made = numPartitions === 1 ? '1 partition' : `${numPartitions} partitions`
        print(dryRun ? `${name} could be created with ${made}` : `${name} created with ${made}`)
      }
    })
    return undefined
  },
})
