import { count } from '@dragoman/broker/options'
import { filterOptions, moveMessages } from '../browsing.ts'
import { defineCommand, optional } from '../command.ts'
import { managementOptions } from '../management.ts'

export const queueMove = defineCommand({
  name: 'queue move',
  summary: 'Bring messages that wait in a queue to another one.',
  words: [
    { name: 'QUEUE', help: 'Where they are.' },
    { name: 'TO', help: 'The queue to which they go.' },
  ],
  options: {
    ...managementOptions,
    ...filterOptions,
    max: optional(count(1, Number.MAX_SAFE_INTEGER), 'So many at the most; else all that wait now.'),
  },
  examples: [['dragoman queue move work parked --max 100', 'The hundred oldest.']],
  notes: 'Each message leaves and arrives at once: none is lost and none is doubled, whatever happens meanwhile.',
  async run({ options, words: [name = '', to = ''] }) {
    await moveMessages(name, { queue: to }, options)
    return undefined
  },
})
