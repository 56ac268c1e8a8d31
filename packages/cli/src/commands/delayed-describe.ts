import { bodyOf } from '../browsing.ts'
import { defineCommand } from '../command.ts'
import { printItem } from '../listing.ts'
import { jsonOption, Management, managementOptions, type Item } from '../management.ts'

export const delayedDescribe = defineCommand({
  name: 'delayed describe',
  summary: 'Show one message that waits for its time.',
  words: [{ name: 'ID', help: 'As dragoman delayed list tells it.' }],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman delayed describe ID --json', 'With its whole body.']],
  async run({ options, words: [id = ''] }) {
    const management = await Management.open(options)
    const time = (name: string) => (item: Item) => new Date(Number(item[name])).toISOString()
    const columns = {
      Id: 'id',
      Due: time('due_ms'),
      'Handed in': time('since_ms'),
      Exchange: 'exchange',
      Key: 'routing_key',
      Properties: 'properties',
      Body: bodyOf,
    }
    printItem(await management.get('dragoman/delayed', id), columns, options.json)
    return undefined
  },
})
