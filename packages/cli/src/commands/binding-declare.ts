import { bindingBody, bindingOptions, bindingPath, bindingWords } from '../bindings.ts'
import { defineCommand } from '../command.ts'
import { Management } from '../management.ts'
import { print } from '../table.ts'

export const bindingDeclare = defineCommand({
  name: 'binding declare',
  summary: 'Let messages go from an exchange to a queue, a topic or another exchange.',
  words: bindingWords,
  options: bindingOptions,
  examples: [
    ['dragoman binding declare shop work --key "order.*"', 'Messages whose keys match go to the queue.'],
    ['dragoman binding declare amq.headers work --argument x-match=any --argument kind=order', 'By their headers.'],
  ],
  async run({ options, words: [source = '', destination = ''] }) {
    const management = await Management.open(options)
    await management.post('bindings', bindingPath(source, destination, options.to), bindingBody(options))
    print(`${source} leads to ${destination}`)
    return undefined
  },
})
