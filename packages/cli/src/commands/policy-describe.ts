import { defineCommand } from '../command.ts'
import { printItem } from '../listing.ts'
import { jsonOption, Management, managementOptions } from '../management.ts'
import { policyKindOption, policyPath } from '../policies.ts'

export const policyDescribe = defineCommand({
  name: 'policy describe',
  summary: 'Show one policy.',
  words: [{ name: 'POLICY', help: 'Name of the policy.' }],
  options: { ...managementOptions, ...policyKindOption, ...jsonOption },
  examples: [['dragoman policy describe brief', 'What it is for, and what it sets.']],
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    const columns = {
      Policy: 'name',
      Pattern: 'pattern',
      'Applies to': 'apply-to',
      Priority: 'priority',
      Sets: 'definition',
    }
    printItem(await management.get(policyPath(options), name), columns, options.json)
    return undefined
  },
})
