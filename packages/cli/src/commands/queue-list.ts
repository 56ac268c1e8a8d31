import { defineCommand } from '../command.ts'
import { printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions } from '../management.ts'

export const queueList = defineCommand({
  name: 'queue list',
  summary: 'List the queues of a namespace, with what waits in them.',
  words: [],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman queue list', 'Names, messages that wait and that are held, consumers.']],
  notes: 'Topics are listed as well: to clients of AMQP they are queues of the type stream.',
  async run({ options }) {
    const management = await Management.open(options)
    const columns = {
      QUEUE: 'name',
      TYPE: 'type',
      READY: 'messages_ready',
      HELD: 'messages_unacknowledged',
      CONSUMERS: 'consumers',
      POLICY: 'policy',
      ARGUMENTS: 'arguments',
    }
    printItems(await management.list('queues'), columns, options.json)
    return undefined
  },
})
