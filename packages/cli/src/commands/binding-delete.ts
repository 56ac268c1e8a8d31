import { bindingOptions, bindingPath, bindingWords, findBinding } from '../bindings.ts'
import { defineCommand } from '../command.ts'
import { Management } from '../management.ts'
import { print } from '../table.ts'

export const bindingDelete = defineCommand({
  name: 'binding delete',
  summary: 'Remove a binding.',
  words: bindingWords,
  options: bindingOptions,
  examples: [['dragoman binding delete shop work --key "order.*"', 'Messages go that way no more.']],
  async run({ options, words: [source = '', destination = ''] }) {
    const management = await Management.open(options)
    const name = await findBinding(management, source, destination, options)
    await management.remove('bindings', [...bindingPath(source, destination, options.to), name])
    print(`${source} leads no more to ${destination}`)
    return undefined
  },
})
