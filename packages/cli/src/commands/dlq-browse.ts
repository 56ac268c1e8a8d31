import { browse, browseOptions } from '../browsing.ts'
import { defineCommand } from '../command.ts'

export const dlqBrowse = defineCommand({
  name: 'dlq browse',
  summary: 'Look at dead letters: where they come from, why, and how often.',
  words: [{ name: 'QUEUE', help: 'The queue that they are in.' }],
  options: browseOptions,
  examples: [['dragoman dlq browse failed --reason rejected', 'What consumers did not want.']],
  async run({ options, words: [name = ''] }) {
    await browse(name, options, true)
    return undefined
  },
})
