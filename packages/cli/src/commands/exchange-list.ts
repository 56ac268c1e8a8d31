import { defineCommand } from '../command.ts'
import { printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions } from '../management.ts'

export const exchangeList = defineCommand({
  name: 'exchange list',
  summary: 'List the exchanges of a namespace.',
  words: [],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman exchange list', 'Names and types.']],
  async run({ options }) {
    const management = await Management.open(options)
    const columns = {
      EXCHANGE: ({ name }: Readonly<Record<string, unknown>>) => (name === '' ? '(default)' : name),
      TYPE: 'type',
      DURABLE: 'durable',
      'AUTO-DELETE': 'auto_delete',
      INTERNAL: 'internal',
      POLICY: 'policy',
      ARGUMENTS: 'arguments',
    }
    printItems(await management.list('exchanges'), columns, options.json)
    return undefined
  },
})
