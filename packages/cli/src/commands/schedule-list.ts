import { defineCommand } from '../command.ts'
import { printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions, type Item } from '../management.ts'

const time = (name: string) => (item: Item) =>
  typeof item[name] === 'number' ? new Date(item[name]).toISOString() : ''

export const scheduleList = defineCommand({
  name: 'schedule list',
  summary: 'List the schedules that publish messages again and again.',
  words: [],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman schedule list', 'When each publishes next.']],
  async run({ options }) {
    const management = await Management.open(options)
    const columns = {
      SCHEDULE: 'name',
      CRON: 'expression',
      'TIME ZONE': 'time_zone',
      NEXT: time('next_ms'),
      LAST: time('published_ms'),
      TIMES: 'published_count',
      EXCHANGE: 'exchange',
      KEY: 'routing_key',
    }
    printItems(await management.list('dragoman/schedules'), columns, options.json)
    return undefined
  },
})
