import { choice, text } from '@dragoman/broker/options'
import { defineCommand, option, optional, required, UsageError } from '../command.ts'
import { exchangePath, Management, managementOptions } from '../management.ts'
import { anyText } from '../settings.ts'
import { print } from '../table.ts'

export const scheduleDeclare = defineCommand({
  name: 'schedule declare',
  summary: 'Publish a message again and again, at times that a cron expression names.',
  words: [
    { name: 'SCHEDULE', help: 'Name of the schedule; one that is there is replaced.' },
    { name: 'MESSAGE', help: 'The body.' },
  ],
  options: {
    ...managementOptions,
    cron: required(text('EXPRESSION', 'minute, hour, day, month and day of the week'), 'When.'),
    timeZone: option(text('ZONE', 'a name like Europe/Berlin'), 'UTC', 'Whose minutes and hours these are.'),
    missed: option(choice('skip', 'once'), 'skip', 'What becomes of times at which the broker was down.'),
    queue: optional(text('QUEUE', 'a name'), 'Publish to this queue.'),
    exchange: optional(anyText('EXCHANGE', 'a name'), 'Publish to this exchange.'),
    routingKey: optional(anyText('KEY', 'a routing key'), 'The routing key at the exchange.'),
  },
  examples: [['dragoman schedule declare nightly "run" --cron "0 3 * * *" --queue jobs', 'At three every night.']],
  async run({ options, words: [name = '', payload = ''] }) {
    const { queue, exchange, routingKey, cron, timeZone, missed } = options
    if ((queue === undefined) === (exchange === undefined)) throw new UsageError('Give either --queue or --exchange')
    const management = await Management.open(options)
    await management.put('dragoman/schedules', [name], {
      expression: cron,
      time_zone: timeZone,
      missed,
      exchange: exchangePath(exchange),
      routing_key: queue ?? routingKey ?? '',
      payload,
    })
    print(`${name} declared`)
    return undefined
  },
})
