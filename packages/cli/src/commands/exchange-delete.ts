import { toggle } from '@dragoman/broker/options'
import { defineCommand, option } from '../command.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const exchangeDelete = defineCommand({
  name: 'exchange delete',
  summary: 'Delete exchanges with their bindings.',
  words: [{ name: 'EXCHANGE', help: 'Name of the exchange.', many: true }],
  options: { ...managementOptions, ifUnused: option(toggle, false, 'Only if nothing is bound to it.') },
  examples: [['dragoman exchange delete shop', 'Who publishes to it from now on is refused.']],
  async run({ options, words }) {
    const management = await Management.open(options)
    for (const name of words) {
      await management.remove('exchanges', [name], options.ifUnused ? { 'if-unused': 'true' } : {})
      print(`${name} deleted`)
    }
    return undefined
  },
})
