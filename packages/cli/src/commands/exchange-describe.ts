import { defineCommand } from '../command.ts'
import { printItem, printItems } from '../listing.ts'
import { exchangePath, jsonOption, Management, managementOptions } from '../management.ts'
import { print, printJson } from '../table.ts'

export const exchangeDescribe = defineCommand({
  name: 'exchange describe',
  summary: 'Show what an exchange is and where it leads.',
  words: [{ name: 'EXCHANGE', help: 'Name of the exchange; "" is the default exchange.' }],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman exchange describe amq.topic', 'Type, arguments and bindings.']],
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    const path = exchangePath(name)
    const exchange = await management.get('exchanges', path)
    const bindings = await management.list('exchanges', path, 'bindings', 'source')
    if (options.json) {
      printJson({ ...exchange, bindings })
      return undefined
    }
    const columns = {
      Exchange: 'name',
      Type: 'type',
      Durable: 'durable',
      'Auto-delete': 'auto_delete',
      Internal: 'internal',
      Arguments: 'arguments',
      Policy: 'policy',
    }
    printItem(exchange, columns, false)
    if (bindings.length > 0) {
      print('')
      printItems(
        bindings,
        { TO: 'destination', KIND: 'destination_type', KEY: 'routing_key', ARGUMENTS: 'arguments' },
        false,
      )
    }
    return undefined
  },
})
