import { count, duration, size, text, toggle } from '@dragoman/broker/options'
import { defineCommand, option, optional } from '../command.ts'
import { argumentOptions, argumentsOf, Management, managementOptions, queueTypes } from '../management.ts'
import { anyText } from '../settings.ts'
import { print } from '../table.ts'

/** What 32 bits hold. */
const msMax = 2 ** 32 - 1

export const queueDeclare = defineCommand({
  name: 'queue declare',
  summary: 'Make a queue, or see to it that there is one like this.',
  words: [{ name: 'QUEUE', help: 'Name of the queue.' }],
  options: {
    ...managementOptions,
    type: option(queueTypes, 'classic', 'classic and quorum keep messages until they are taken, stream keeps them.'),
    transient: option(toggle, false, 'Gone after a restart, with its messages.'),
    autoDelete: option(toggle, false, 'Gone with its last consumer.'),
    ttl: optional(duration(0, msMax), 'Messages that nobody has taken for so long are dropped.'),
    expires: optional(duration(1, msMax), 'The queue goes when nobody has used it for so long.'),
    lengthMax: optional(count(0, Number.MAX_SAFE_INTEGER, 'NUMBER'), 'Messages that may wait.'),
    bytesMax: optional(size(0, Number.MAX_SAFE_INTEGER), 'Bytes of messages that may wait.'),
    overflow: optional(text('HOW', 'drop-head, reject-publish or reject-publish-dlx'), 'What happens beyond that.'),
    deadLetterExchange: optional(anyText('EXCHANGE', 'a name'), 'Where messages go that are dropped.'),
    deadLetterKey: optional(anyText('KEY', 'a routing key'), 'The key that they get.'),
    deliveryLimit: optional(count(0, 1_000_000, 'NUMBER'), 'Deliveries after which a message is given up.'),
    priorities: optional(count(1, 255, 'NUMBER'), 'Messages have priorities up to this.'),
    singleActiveConsumer: option(toggle, false, 'One consumer at a time; the others stand by.'),
    ...argumentOptions,
  },
  examples: [
    ['dragoman queue declare work', 'A durable queue.'],
    ['dragoman queue declare work --dead-letter-exchange "" --dead-letter-key failed', 'Dead letters go to "failed".'],
    ['dragoman queue declare events --type stream --argument x-max-age=7D', 'A topic of one partition.'],
  ],
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    const shorthand = Object.entries({
      'x-message-ttl': options.ttl,
      'x-expires': options.expires,
      'x-max-length': options.lengthMax,
      'x-max-length-bytes': options.bytesMax,
      'x-overflow': options.overflow,
      'x-dead-letter-exchange': options.deadLetterExchange,
      'x-dead-letter-routing-key': options.deadLetterKey,
      'x-delivery-limit': options.deliveryLimit,
      'x-max-priority': options.priorities,
      'x-single-active-consumer': options.singleActiveConsumer || undefined,
      'x-queue-type': options.type === 'classic' ? undefined : options.type,
    }).filter(([, value]) => value !== undefined)
    await management.put('queues', [name], {
      durable: !options.transient,
      auto_delete: options.autoDelete,
      arguments: { ...Object.fromEntries(shorthand), ...argumentsOf(options.argument) },
    })
    print(`${name} declared`)
    return undefined
  },
})
