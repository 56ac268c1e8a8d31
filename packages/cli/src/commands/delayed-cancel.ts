import { toggle } from '@dragoman/broker/options'
import { defineCommand, option, optional, UsageError } from '../command.ts'
import { exchangePath, Management, managementOptions } from '../management.ts'
import { anyText } from '../settings.ts'
import { countOfMessages, print } from '../table.ts'

export const delayedCancel = defineCommand({
  name: 'delayed cancel',
  summary: 'Cancel messages that wait for their time.',
  words: [{ name: 'ID', help: 'As dragoman delayed list tells it.', optional: true, many: true }],
  options: {
    ...managementOptions,
    all: option(toggle, false, 'All of the namespace, or all that the following name.'),
    exchange: optional(anyText('EXCHANGE', 'a name'), 'With --all: for this exchange.'),
    key: optional(anyText('KEY', 'a routing key'), 'With --all: with this routing key.'),
  },
  examples: [['dragoman delayed cancel --all --exchange "" --key work', 'Nothing more comes to the queue by itself.']],
  async run({ options, words }) {
    const { all, exchange, key } = options
    if (all === words.length > 0) throw new UsageError('Give either ids or --all')
    if (!all && (exchange !== undefined || key !== undefined))
      throw new UsageError('--exchange and --key go with --all')
    const management = await Management.open(options)
    for (const id of words) {
      await management.remove('dragoman/delayed', [id])
      print(`${id} cancelled`)
    }
    if (!all) return undefined
    const query = {
      ...(exchange === undefined ? {} : { exchange: exchangePath(exchange) }),
      ...(key === undefined ? {} : { routing_key: key }),
    }
    const { cancelled } = (await management.remove('dragoman/delayed', [], query)) as { cancelled: number }
    print(`${countOfMessages(cancelled)} cancelled`)
    return undefined
  },
})
