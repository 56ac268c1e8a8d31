import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { check } from '../errors.ts'
import { print } from '../table.ts'

export const topicDelete = defineCommand({
  name: 'topic delete',
  summary: 'Delete topics with everything in them.',
  words: [{ name: 'TOPIC', help: 'Name of the topic.', many: true }],
  options: { ...brokerOptions, ifExists: option(toggle, false, 'Be content with a topic that is not there.') },
  examples: [
    [
      'dragoman topic delete orders',
      'The messages are gone for good, and so are the offsets that groups have committed.',
    ],
  ],
  async run({ options, words }) {
    const { ifExists } = options
    await withCluster(options, async cluster => {
      const { responses } = await cluster.request(apis.deleteTopics, {
        topicNames: [...words],
        topics: words.map(name => ({ name })),
        timeoutMs: 30_000,
      })
      for (const { name, errorCode, errorMessage } of responses) {
        if (ifExists && errorCode === codes.unknownTopicOrPartition) continue
        check(errorCode, `Cannot delete topic "${name ?? ''}"`, errorMessage)
        print(`${name ?? ''} deleted`)
      }
    })
    return undefined
  },
})
