import { text } from '@dragoman/broker/options'
import { defineCommand, required } from '../command.ts'
import { feedPath } from '../feeds.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const feedSet = defineCommand({
  name: 'feed set',
  summary: 'Publish each new record of a topic to an exchange, too, by its key.',
  words: [{ name: 'FEED', help: 'Name of the feed; one that is there gets another exchange.' }],
  options: {
    ...managementOptions,
    topic: required(text('TOPIC', 'a name'), 'Whose records. It may be created later.'),
    exchange: required(text('EXCHANGE', 'a name'), 'Where they are published. It may be declared later.'),
  },
  examples: [
    [
      'dragoman feed set commands --topic commands --exchange amq.topic',
      'MQTT clients and queues get what Kafka producers write.',
    ],
  ],
  notes:
    'A feed begins with what comes after it was made. A record without a key that is text goes by the name of its topic. ' +
    'No feed publishes a record to an exchange where it was already.',
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    await management.put(feedPath, [name], { value: { topic: options.topic, exchange: options.exchange } })
    print(`${name} set`)
    return undefined
  },
})
