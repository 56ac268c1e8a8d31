import { defineCommand } from '../command.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const queuePurge = defineCommand({
  name: 'queue purge',
  summary: 'Drop all messages that wait in queues; what consumers hold stays theirs.',
  words: [{ name: 'QUEUE', help: 'Name of the queue.', many: true }],
  options: managementOptions,
  examples: [['dragoman queue purge work', 'The messages are gone for good, and are not dead-lettered.']],
  async run({ options, words }) {
    const management = await Management.open(options)
    for (const name of words) {
      await management.remove('queues', [name, 'contents'])
      print(`${name} purged`)
    }
    return undefined
  },
})
