import { text } from '@dragoman/broker/options'
import { defineCommand, optional } from '../command.ts'
import { printItems } from '../listing.ts'
import { anyText } from '../settings.ts'
import { jsonOption, Management, managementOptions } from '../management.ts'

export const bindingList = defineCommand({
  name: 'binding list',
  summary: 'List the bindings of a namespace.',
  words: [],
  options: {
    ...managementOptions,
    exchange: optional(anyText('NAME', 'a name'), 'Only those from this exchange.'),
    queue: optional(text('NAME', 'a name'), 'Only those to this queue or topic.'),
    ...jsonOption,
  },
  examples: [
    ['dragoman binding list', 'All but those by which the default exchange leads to every queue.'],
    ['dragoman binding list --queue work', 'How messages get into a queue.'],
  ],
  async run({ options }) {
    const management = await Management.open(options)
    const { exchange, queue } = options
    const all = await management.list('bindings')
    const shown = all.filter(({ source, destination, destination_type: type }) => {
      if (exchange !== undefined && source !== exchange) return false
      if (queue !== undefined && (destination !== queue || type !== 'queue')) return false
      return source !== '' || exchange === ''
    })
    const columns = {
      EXCHANGE: 'source',
      TO: 'destination',
      KIND: 'destination_type',
      KEY: 'routing_key',
      ARGUMENTS: 'arguments',
    }
    printItems(shown, columns, options.json)
    return undefined
  },
})
