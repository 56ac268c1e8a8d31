import { count, text } from '@dragoman/broker/options'
import { filterOptions, moveMessages } from '../browsing.ts'
import { defineCommand, optional } from '../command.ts'
import { managementOptions } from '../management.ts'

export const dlqRedrive = defineCommand({
  name: 'dlq redrive',
  summary: 'Bring dead letters back to the queues that they come from.',
  words: [{ name: 'QUEUE', help: 'The queue that they are in.' }],
  options: {
    ...managementOptions,
    ...filterOptions,
    to: optional(text('QUEUE', 'a name'), 'All to this queue instead.'),
    max: optional(count(1, Number.MAX_SAFE_INTEGER), 'So many at the most; else all that wait now.'),
  },
  examples: [
    ['dragoman dlq redrive failed', 'The fault is repaired: all once more.'],
    ['dragoman dlq redrive failed --from-queue work --max 1', 'One, to see whether it works now.'],
  ],
  notes: 'A message whose queue of origin is gone stays where it is, and is told as passed over.',
  async run({ options, words: [name = ''] }) {
    const { to } = options
    await moveMessages(name, to === undefined ? 'origins' : { queue: to }, options)
    return undefined
  },
})
