import { browse, browseOptions } from '../browsing.ts'
import { defineCommand } from '../command.ts'

export const queueBrowse = defineCommand({
  name: 'queue browse',
  summary: 'Look at the messages of a queue without taking them.',
  words: [{ name: 'QUEUE', help: 'Name of the queue.' }],
  options: browseOptions,
  examples: [
    ['dragoman queue browse work', 'The oldest messages: who holds them, how often they were delivered.'],
    ['dragoman queue browse work --json --max 1', 'One message with everything that is known of it.'],
  ],
  async run({ options, words: [name = ''] }) {
    await browse(name, options, false)
    return undefined
  },
})
