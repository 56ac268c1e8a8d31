import { defineCommand } from '../command.ts'
import { printItem, printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions, type Item } from '../management.ts'
import { print, printJson } from '../table.ts'

export const queueDescribe = defineCommand({
  name: 'queue describe',
  summary: 'Show what a queue is, what waits in it, and who consumes it.',
  words: [{ name: 'QUEUE', help: 'Name of the queue.' }],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman queue describe work', 'Settings, messages, consumers and bindings.']],
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    const queue = await management.get('queues', name)
    const bindings = await management.list('queues', name, 'bindings')
    if (options.json) {
      printJson({ ...queue, bindings })
      return undefined
    }
    const columns = {
      Queue: 'name',
      Type: 'type',
      Durable: 'durable',
      'Auto-delete': 'auto_delete',
      Exclusive: 'exclusive',
      Arguments: 'arguments',
      Policy: 'policy',
      'Operator policy': 'operator_policy',
      'By policy': 'effective_policy_definition',
      Ready: 'messages_ready',
      Held: 'messages_unacknowledged',
      'Bytes ready': 'message_bytes_ready',
      'Since start': ({ message_stats: stats }: Item) => countsOf(stats),
    }
    printItem(queue, columns, false)
    const consumers = Array.isArray(queue['consumer_details']) ? (queue['consumer_details'] as Item[]) : []
    if (consumers.length > 0) {
      print('')
      printItems(
        consumers,
        {
          CONSUMER: 'consumer_tag',
          CONNECTION: ({ channel_details: of }) => (of as Item | undefined)?.['connection_name'],
          PREFETCH: 'prefetch_count',
          ACTIVE: 'active',
        },
        false,
      )
    }
    const named = bindings.filter(({ source }) => source !== '')
    if (named.length > 0) {
      print('')
      printItems(named, { EXCHANGE: 'source', KEY: 'routing_key', ARGUMENTS: 'arguments' }, false)
    }
    return undefined
  },
})

/** Counts only; rates are for those who ask more than once. */
function countsOf(stats: unknown): string {
  if (typeof stats !== 'object' || stats === null) return ''
  return Object.entries(stats)
    .filter(([, value]) => typeof value === 'number' && value > 0)
    .map(([name, value]) => `${name} ${value as number}`)
    .join(', ')
}
