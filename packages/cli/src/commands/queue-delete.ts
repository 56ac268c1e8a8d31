import { toggle } from '@dragoman/broker/options'
import { defineCommand, option } from '../command.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const queueDelete = defineCommand({
  name: 'queue delete',
  summary: 'Delete queues with everything in them.',
  words: [{ name: 'QUEUE', help: 'Name of the queue.', many: true }],
  options: {
    ...managementOptions,
    ifUnused: option(toggle, false, 'Only if nobody consumes it.'),
    ifEmpty: option(toggle, false, 'Only if nothing waits in it.'),
  },
  examples: [['dragoman queue delete work --if-unused --if-empty', 'Nothing is lost, and nobody misses it.']],
  async run({ options, words }) {
    const management = await Management.open(options)
    const query = {
      ...(options.ifUnused ? { 'if-unused': 'true' } : {}),
      ...(options.ifEmpty ? { 'if-empty': 'true' } : {}),
    }
    for (const name of words) {
      await management.remove('queues', [name], query)
      print(`${name} deleted`)
    }
    return undefined
  },
})
