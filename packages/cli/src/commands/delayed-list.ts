import { count } from '@dragoman/broker/options'
import { bodyOf } from '../browsing.ts'
import { defineCommand, option, optional } from '../command.ts'
import { printItems } from '../listing.ts'
import { exchangePath, jsonOption, Management, managementOptions, type Item } from '../management.ts'
import { anyText } from '../settings.ts'

const pageMax = 1000

export const delayedList = defineCommand({
  name: 'delayed list',
  summary: 'List messages that wait for their time, the soonest first.',
  words: [],
  options: {
    ...managementOptions,
    exchange: optional(anyText('EXCHANGE', 'a name'), 'Only those for this exchange; "" is the default exchange.'),
    key: optional(anyText('KEY', 'a routing key'), 'Only those with this routing key.'),
    max: option(count(1, 1_000_000), 50, 'So many at the most.'),
    ...jsonOption,
  },
  examples: [['dragoman delayed list --key work', 'What will come to a queue.']],
  async run({ options }) {
    const management = await Management.open(options)
    const { exchange, key, max } = options
    const found: Item[] = []
    for (let after: string | null = ''; after !== null && found.length < max;) {
      const query = {
        max: String(Math.min(pageMax, max - found.length)),
        ...(exchange === undefined ? {} : { exchange: exchangePath(exchange) }),
        ...(key === undefined ? {} : { routing_key: key }),
        ...(after === '' ? {} : { after }),
      }
      const path = ['dragoman/delayed', management.namespace]
      const page = (await management.ask('GET', path, undefined, query)) as { messages: Item[]; next: string | null }
      found.push(...page.messages)
      after = page.next
    }
    const columns = {
      ID: 'id',
      DUE: ({ due_ms: due }: Item) => new Date(Number(due)).toISOString(),
      EXCHANGE: 'exchange',
      KEY: 'routing_key',
      BODY: bodyOf,
    }
    printItems(found, columns, options.json)
    return undefined
  },
})
